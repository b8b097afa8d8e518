package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/config"
	"github.com/zerostate/zerostate/host/internal/guild"
	"github.com/zerostate/zerostate/host/internal/peerpb"
)

// discarding is an intake that stores nothing.
func discarding() *intake {
	r, w := io.Pipe()
	in := &intake{pipe: w, done: make(chan struct{})}
	go func() {
		defer close(in.done)
		sum := sha256.New()
		n, err := io.Copy(sum, r)
		in.ref, in.err = contentRef{SHA256: hex.EncodeToString(sum.Sum(nil)), SizeBytes: n}, err
	}()
	return in
}

func TestAnInputIsSaidNotToComeOnce(t *testing.T) {
	task := new(core.Resolved)
	task.Spec.Inputs = []core.TaskInput{{Name: "doc"}}
	run := &workerRun{task: task, arrivals: []*arrival{newArrival()}}
	d := &desk{run: run, intakes: []*intake{discarding()}, unsent: []bool{false}}
	defer d.intakes[0].abort(io.EOF)
	later := &peerpb.Input{Name: "doc", Cid: "bafkreia", Last: true}
	if err := d.take(later); err != nil {
		t.Fatal(err)
	}
	if err := d.take(later); !errors.Is(err, core.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

func TestAReceiptBeforeTheEndOfAnOutputIsRefused(t *testing.T) {
	in := discarding()
	if err := in.take(0, []byte("half"), false); err != nil {
		t.Fatal(err)
	}
	tr := &taskRun{back: &delivery{
		receipt: []byte("x"), order: []string{"out"}, intakes: map[string]*intake{"out": in}, refs: map[string]contentRef{},
	}}
	if err := tr.collect(t.Context()); !errors.Is(err, core.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
	<-in.done // and nothing waits for the rest
}

func TestAFalseDigestLeavesNoOutputOpen(t *testing.T) {
	first, second := discarding(), discarding()
	taken := &takings{byName: map[string]*intake{"stdout": first, "out": second}, order: []string{"stdout", "out"}}
	lie := core.RunResult{Outputs: []core.RunOutputDigest{{Name: "stdout", SHA256: "00"}, {Name: "out", SHA256: "00"}}}
	if _, err := taken.finish(lie); !errors.Is(err, core.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
	<-second.done
}

// again is the offer of a journalled run, as if another did of the same payer
// had made it.
func again(e *journalEntry, requester core.DID) *guild.Opened {
	return &guild.Opened{
		Offer: &core.Offer{
			Agent: e.Terms.Agent, CardCID: e.Terms.CardCID, Channel: e.Key.Channel, Lock: e.Lock, Manifest: e.Manifest,
			Network: e.Terms.Network, Recipient: e.Terms.WorkerNode, Requester: requester,
		},
		Sender: e.Terms.RequesterNode, Hash: sha256Hex([]byte(requester)), Guild: sha256Hex([]byte("guild")),
	}
}

func TestALockHasOneReceipt(t *testing.T) {
	_, provider, caller := small(t)
	r, err := caller.RunTask(t.Context(), TaskRequest{Agent: provider.cards.list()[0].signer.DID(), Inputs: input(t, caller, "hello")}, Silence{})
	if err != nil {
		t.Fatal(err)
	}
	var entry *journalEntry
	for e, err := range scanJournal(provider) {
		if err != nil {
			t.Fatal(err)
		}
		entry = e
	}
	w := provider.worker
	before, err := provider.receipts.ofLock(r.Channel, r.Task, r.Attempt)
	if err != nil {
		t.Fatal(err)
	}
	other := again(entry, provider.cards.list()[0].signer.DID())
	if _, _, _, _, err := w.admit(t.Context(), other); !errors.Is(err, core.ErrConflict) {
		t.Errorf("got %v, want ErrConflict", err)
	}
	if err := w.refuse(t.Context(), other, core.ErrDenied); err != nil {
		t.Fatal(err)
	}
	t.Run("nor does another channel's replace it", func(t *testing.T) {
		e := *entry
		e.Key.Channel, e.Terms.Channel = sha256Hex([]byte("other")), sha256Hex([]byte("other"))
		task, err := core.ParseResolved(e.Manifest)
		if err != nil {
			t.Fatal(err)
		}
		run := &workerRun{entry: &e, agent: provider.cards.list()[0].signer, task: task}
		if err := w.finish(t.Context(), run, core.RunResult{Outcome: core.OutcomeRefused}, nil, e.Accepted); err != nil {
			t.Fatal(err)
		}
	})
	after, err := provider.receipts.ofLock(r.Channel, r.Task, r.Attempt)
	if err != nil {
		t.Fatal(err)
	}
	if string(after) != string(before) {
		t.Error("the receipt was replaced")
	}
	stranger := again(entry, provider.DID())
	stranger.Sender = provider.DID()
	if _, _, err := w.check(t.Context(), stranger); !errors.Is(err, core.ErrDenied) {
		t.Errorf("a channel of another node: got %v, want ErrDenied", err)
	}
}

func TestClosingANodeEndsItsGuests(t *testing.T) {
	w := newWorld(t)
	w.start(w.config("index", config.RoleIndex, config.RoleBootstrap))
	cfg := w.config("provider", config.RoleEdge)
	cfg.Agent = map[string]config.Agent{"blocker": {Card: agentFiles(t, "blocker", "never ends by itself", 2)}}
	provider := w.start(cfg)
	caller := w.start(w.config("caller", config.RoleEdge))
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer func() { cancel(); <-ended }()
	inputs := input(t, caller, "hello")
	go func() {
		defer close(ended)
		_, _ = caller.RunTask(ctx, TaskRequest{Agent: provider.cards.list()[0].signer.DID(), Inputs: inputs}, Silence{})
	}()
	eventually(t, "the guest runs", func() bool { return len(provider.worker.slots) == 1 })
	if err := provider.Close(); err != nil {
		t.Fatal(err)
	}
	cancel()
	again := w.start(cfg)
	for e, err := range scanJournal(again) {
		if err != nil {
			t.Fatal(err)
		}
		r, err := core.VerifyReceipt(e.Receipt, "zerostate-unit", true)
		if err != nil {
			t.Fatal(err)
		}
		if r.Predicate.Outcome != core.OutcomeLost || r.Predicate.ChargeMicros != 0 {
			t.Errorf("got %s charging %d, want lost charging 0", r.Predicate.Outcome, r.Predicate.ChargeMicros)
		}
	}
}

func TestAClaimIsAnsweredWithTheReceiptsThatItLacks(t *testing.T) {
	l := newLab(t, nil, nil)
	held := l.unlocked(l.caller, "later")
	if err := l.caller.channels.lock(t.Context(), held.channel, held.lock); err != nil {
		t.Fatal(err)
	}
	l.provider.cfg.Serve.Deny = []string{string(l.caller.DID())}
	if _, _, err := ask(t, l.caller, l.provider.DID(), l.offered(held)); err == nil {
		t.Fatal("the offer was not refused")
	}
	state, err := held.channel.params.ParseState(held.channel.rawState())
	if err != nil {
		t.Fatal(err)
	}
	claim, err := core.NewClaim(held.channel.params, l.caller.DID(), state, nil, l.caller.now())
	if err != nil {
		t.Fatal(err)
	}
	if err := core.Sign(claim, l.caller.keys.signer()); err != nil {
		t.Fatal(err)
	}
	raw, err := core.Encode(claim)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.provider.channels.acceptClaim(t.Context(), l.caller.DID(), &peerpb.Dispute{Claim: raw}); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*Node{l.caller, l.provider} {
		if !onlyChannel(t, n).Disputed {
			t.Errorf("%s does not hold the channel for disputed", n.cfg.Node.Name)
		}
		if s, err := n.payment.Status(t.Context(), core.StatusRequest{Channel: held.channel.id}); err != nil || !s[0].Disputed {
			t.Errorf("%s: got %v, %v, want a dispute filed", n.cfg.Node.Name, s, err)
		}
	}
}

func TestAHomeFromABackupSignsNothing(t *testing.T) {
	l := newLab(t, nil, nil)
	if _, err := l.run(l.caller, "hello"); err != nil {
		t.Fatal(err)
	}
	ch, c := l.caller.channels.list()[0], l.caller.channels
	backup, err := c.guard.signedLast(ch.id)
	if err != nil {
		t.Fatal(err)
	}
	state, raw := ch.state, ch.rawState()
	if _, err := l.run(l.caller, "hello again"); err != nil {
		t.Fatal(err)
	}
	if err := l.caller.store.SetJSON("guard/"+ch.id, backup); err != nil {
		t.Fatal(err)
	}
	ch.mu.Lock()
	ch.state, ch.raw = state, raw
	ch.mu.Unlock()
	link := c.link(l.provider.DID())
	link.mu.Lock()
	link.drop()
	link.mu.Unlock()
	if _, err := c.close(t.Context(), ch.id); !errors.Is(err, core.ErrConflict) {
		t.Errorf("got %v, want ErrConflict", err)
	}
	if now, err := c.guard.signedLast(ch.id); err != nil || now != backup {
		t.Errorf("got %v signed, %v, want %v", now, err, backup)
	}
	if ch.canLock(1) {
		t.Error("the channel takes locks")
	}
}

// mute answers a Sync with the promise of receipts that never come.
type mute struct {
	reset chan struct{}
	once  sync.Once
	asked int
}

func (m *mute) WriteFrame(*peerpb.Frame) error { return nil }

func (m *mute) ReadFrame() (*peerpb.Frame, error) {
	if m.asked++; m.asked == 1 {
		return &peerpb.Frame{Body: &peerpb.Frame_Sync{Sync: &peerpb.Sync{Receipts: 3}}}, nil
	}
	<-m.reset
	return nil, core.ErrUnavailable
}

func (m *mute) Reset() {}

func (m *mute) ResetOn(ctx context.Context) func() bool {
	return context.AfterFunc(ctx, func() { m.once.Do(func() { close(m.reset) }) })
}

func TestASyncEndsWithItsContext(t *testing.T) {
	l := newLab(t, nil, nil)
	if _, err := l.run(l.caller, "hello"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := l.caller.channels
	err := c.sendSyncs(ctx, &link{stream: &mute{reset: make(chan struct{})}}, l.provider.DID())
	if !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
}

func TestAChargeThatOnlyASyncBringsIsCountedOnce(t *testing.T) {
	l := newLab(t, nil, nil)
	r, err := l.run(l.caller, "hello")
	if err != nil {
		t.Fatal(err)
	}
	c := l.caller.channels
	signed, err := core.ParseReceipt(r.Receipt)
	if err != nil {
		t.Fatal(err)
	}
	spent := func() int64 {
		micros, err := l.caller.spend.spent()
		if err != nil {
			t.Fatal(err)
		}
		return micros
	}
	count := func() {
		if err := c.countCharge(signed.Receipt, r.Receipt); err != nil {
			t.Fatal(err)
		}
	}
	if count(); spent() != r.Charge {
		t.Errorf("got %d spent, want the task's %d: its own settling counted it", spent(), r.Charge)
	}
	signed.Receipt.Predicate.Attempt++ // one that no task of ours has settled
	if count(); spent() != 2*r.Charge {
		t.Errorf("got %d spent, want %d", spent(), 2*r.Charge)
	}
}

func TestARequesterReadsNoPaths(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("open /home/me/.zerostate/content/x: %w", core.ErrNotFound), "not_found"},
		{fmt.Errorf("input doc: %w", refusal(core.ErrDenied, "not the content")), "not the content"},
	} {
		if got := told(c.err); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
