package host

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/config"
)

// finds reports whether a node finds a did by meaning.
func finds(t testing.TB, n *Node, did core.DID) bool {
	t.Helper()
	f, err := n.Find(t.Context(), FindQuery{Text: "upper case text"})
	if err != nil {
		return false
	}
	for _, h := range f.Hits {
		if h.record.DID == did {
			return true
		}
	}
	return false
}

func TestRevokedAndUpdatedCardsAreSeenEverywhere(t *testing.T) {
	w, provider, caller := small(t)
	a := provider.cards.list()[0]
	did := a.signer.DID()
	eventually(t, "the card is found", func() bool { return finds(t, caller, did) })

	src, err := ReadSource(provider.cfg.Agent["shout"].Card, "")
	if err != nil {
		t.Fatal(err)
	}
	src.Card = []byte(strings.Replace(string(src.Card), "name: shout", "name: shout louder", 1))
	p, err := provider.cards.publish(t.Context(), "shout", src, true)
	if err != nil {
		t.Fatal(err)
	}
	updated := time.Now()
	for name, n := range w.nodes {
		eventually(t, name+" resolves the update", func() bool {
			l, err := n.directory.resolve(t.Context(), did, 0, false)
			return err == nil && l.record.Seq == p.Seq && l.card.Name == "shout louder"
		})
	}
	eventually(t, "the update is found", func() bool {
		f, err := caller.Find(t.Context(), FindQuery{Text: "upper case text"})
		return err == nil && len(f.Hits) == 1 && f.Hits[0].card.Name == "shout louder"
	})
	t.Logf("updated everywhere after %s", time.Since(updated))

	if _, _, err := provider.cards.revoke(t.Context(), "shout"); err != nil {
		t.Fatal(err)
	}
	gone := time.Now()
	for name, n := range w.nodes {
		eventually(t, name+" resolves no revoked card", func() bool {
			_, err := n.directory.resolve(t.Context(), did, 0, false)
			return errors.Is(err, core.ErrDenied)
		})
	}
	eventually(t, "the revoked card is not found", func() bool { return !finds(t, caller, did) })
	t.Logf("revoked everywhere after %s", time.Since(gone))

	if _, err := provider.cards.publish(t.Context(), "shout", src, false); !errors.Is(err, core.ErrConflict) {
		t.Errorf("got %v publishing a revoked agent, want ErrConflict", err)
	}
}

func TestARefusedOfferCostsNothing(t *testing.T) {
	w := newWorld(t)
	w.start(w.config("index", config.RoleIndex, config.RoleBootstrap))
	cfg := w.config("provider", config.RoleEdge)
	cfg.Agent = map[string]config.Agent{"shout": {Card: agentFiles(t, "shout", "turns a text into upper case", 2)}}
	cfg.Serve.MaxWall = time.Second // below the task's
	provider := w.start(cfg)
	caller := w.start(w.config("caller", config.RoleEdge))
	did := provider.cards.list()[0].signer.DID()
	r, err := caller.RunTask(t.Context(), TaskRequest{Agent: did, Inputs: input(t, caller, "hello")}, Silence{})
	if !errors.Is(err, core.ErrDenied) || !strings.Contains(err.Error(), "wall timeout") {
		t.Fatalf("got %v, want ErrDenied for the wall timeout", err)
	}
	if r.State != TaskFailed {
		t.Errorf("got state %s, want %s", r.State, TaskFailed)
	}
	for _, n := range []*Node{provider, caller} {
		eventually(t, n.cfg.Node.Name+" has no lock left", func() bool {
			i := n.channels.list()[0].info()
			return i.LockedMicros == 0 && i.Version >= 2 && i.PayerMicros == i.DepositMicros
		})
	}
}

func TestACancelledTaskIsSettled(t *testing.T) {
	w := newWorld(t)
	w.start(w.config("index", config.RoleIndex, config.RoleBootstrap))
	cfg := w.config("provider", config.RoleEdge)
	cfg.Agent = map[string]config.Agent{"blocker": {Card: agentFiles(t, "blocker", "never ends by itself", 2)}}
	provider := w.start(cfg)
	caller := w.start(w.config("caller", config.RoleEdge))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		eventually(t, "the guest runs", func() bool { return len(provider.worker.slots) == 1 })
		cancel()
	}()
	r, err := caller.RunTask(ctx, TaskRequest{Agent: provider.cards.list()[0].signer.DID(), Inputs: input(t, caller, "hello")}, Silence{})
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Outcome != core.OutcomeCancelled {
		t.Fatalf("got %v, want the outcome cancelled", err)
	}
	if r.Settled != "paid" || len(r.Receipt) == 0 {
		t.Errorf("got settled %q and a receipt of %d bytes", r.Settled, len(r.Receipt))
	}
	if i := caller.channels.list()[0].info(); i.LockedMicros != 0 {
		t.Errorf("%d micros are still locked", i.LockedMicros)
	}
}

func TestARunThatTheNodeDidNotSurviveIsLost(t *testing.T) {
	w := newWorld(t)
	w.start(w.config("index", config.RoleIndex, config.RoleBootstrap))
	cfg := w.config("provider", config.RoleEdge)
	cfg.Agent = map[string]config.Agent{"shout": {Card: agentFiles(t, "shout", "turns a text into upper case", 2)}}
	provider := w.start(cfg)
	caller := w.start(w.config("caller", config.RoleEdge))
	r, err := caller.RunTask(t.Context(), TaskRequest{Agent: provider.cards.list()[0].signer.DID(), Inputs: input(t, caller, "hello")}, Silence{})
	if err != nil {
		t.Fatal(err)
	}
	// As if the node had died between Accept and receipt of a second attempt.
	var entry *journalEntry
	for e, err := range scanJournal(provider) {
		if err != nil {
			t.Fatal(err)
		}
		entry = e
	}
	entry.Receipt, entry.Summary, entry.Outputs = nil, nil, nil
	entry.Key.Attempt, entry.Terms.Attempt, entry.Lock.Attempt = 2, 2, 2
	if err := provider.worker.journal.put(entry); err != nil {
		t.Fatal(err)
	}
	if err := provider.worker.recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	env, err := provider.receipts.get(r.Task, 2)
	if err != nil {
		t.Fatal(err)
	}
	lost, err := core.VerifyReceipt(env, "zerostate-unit", true)
	if err != nil {
		t.Fatal(err)
	}
	if lost.Predicate.Outcome != core.OutcomeLost || lost.Predicate.ChargeMicros != 0 {
		t.Errorf("got %s charging %d, want lost charging 0", lost.Predicate.Outcome, lost.Predicate.ChargeMicros)
	}
}

func TestAuditLogShowsTampering(t *testing.T) {
	w := newWorld(t)
	n := w.start(w.config("edge", config.RoleEdge))
	for i := range 5 {
		if err := n.audit.append(core.AuditTaskOffer, strings.Repeat("a", i+1), ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := n.anchorAudit(); err != nil {
		t.Fatal(err)
	}
	head, err := n.audit.verify(nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := []SeenHead{{head, "a receipt"}}
	saved, err := n.store.Get(auditKey(3))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("changed entry", func(t *testing.T) {
		changed := strings.Replace(string(saved), `"subject":"`, `"subject":"b`, 1)
		if err := n.store.Set(auditKey(3), []byte(changed)); err != nil {
			t.Fatal(err)
		}
		if _, err := n.audit.verify(nil); !errors.Is(err, core.ErrDenied) || !strings.Contains(err.Error(), "entry 3") {
			t.Errorf("got %v, want ErrDenied naming entry 3", err)
		}
		if err := n.store.Set(auditKey(3), saved); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("cut tail", func(t *testing.T) {
		whole := n.audit.head
		defer func() { n.audit.head = whole }()
		n.audit.head.Size -= 2
		if _, err := n.audit.verify(seen); !errors.Is(err, core.ErrDenied) || !strings.Contains(err.Error(), "tail") {
			t.Errorf("got %v, want ErrDenied for the cut tail", err)
		}
	})
	t.Run("another log", func(t *testing.T) {
		other := seen[0]
		other.Root = sha256Hex([]byte("another"))
		if _, err := n.audit.verify([]SeenHead{other}); !errors.Is(err, core.ErrDenied) {
			t.Errorf("got %v, want ErrDenied", err)
		}
	})
}

func TestPolicyBindsTheCharge(t *testing.T) {
	_, provider, caller := small(t)
	did := provider.cards.list()[0].signer.DID()
	for _, c := range []struct {
		name string
		set  func(r *TaskRequest)
		want string
	}{
		{"below the quote", func(r *TaskRequest) { r.MaxMicros = 10 }, "max_charge"},
		{"the day's allowance is used up", func(*TaskRequest) { caller.spend.limit = 10 }, "max_charge_per_day"},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := TaskRequest{Agent: did, Inputs: input(t, caller, "hello")}
			c.set(&req)
			_, err := caller.RunTask(t.Context(), req, Silence{})
			if !errors.Is(err, core.ErrDenied) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want ErrDenied naming %s", err, c.want)
			}
			if len(caller.channels.list()) != 0 {
				t.Error("a channel was opened")
			}
		})
	}
}

func TestAnAgentPublishedBeforeARestartIsSignedAnew(t *testing.T) {
	w := newWorld(t)
	w.start(w.config("index", config.RoleIndex, config.RoleBootstrap))
	cfg := w.config("provider", config.RoleEdge)
	n, err := New(t.Context(), cfg, Deps{Builtins: w.deps})
	if err != nil {
		t.Fatal(err)
	}
	src, err := ReadSource(agentFiles(t, "shout", "turns a text into upper case", 2), "")
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- n.Run(context.Background()) }()
	eventually(t, "the provider is ready", n.ready.Load)
	p, err := n.cards.publish(t.Context(), "shout", src, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(n.Close(), <-ran); err != nil {
		t.Fatal(err)
	}
	again := w.start(cfg)
	caller := w.start(w.config("caller", config.RoleEdge))
	a := again.cards.list()[0]
	if got := a.card.Params(); got.Seq <= p.Seq || got.Prev == "" || got.Addresses[0] == "" {
		t.Errorf("got seq %d after %d and prev %q, want a newer card", got.Seq, p.Seq, got.Prev)
	}
	r, err := caller.RunTask(t.Context(), TaskRequest{Agent: p.DID, Inputs: input(t, caller, "hello")}, Silence{})
	if err != nil || r.Outcome != core.OutcomeOK {
		t.Errorf("got %v, %v hiring the agent after the restart", r.Outcome, err)
	}
}
