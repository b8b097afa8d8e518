package host

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/config"
	"github.com/zerostate/zerostate/host/internal/store"
)

func TestParallelTasksShareAChannel(t *testing.T) {
	const first, second = 40, 5
	l := newLab(t, nil, nil)
	other := l.begin("other", l.config("other", config.RoleEdge), nil)
	charges := map[core.DID]int64{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for n, tasks := range map[*Node]int{l.caller: first, other: second} {
		for range tasks {
			wg.Go(func() {
				r, err := l.run(n, "hello")
				if err != nil || r.Outcome != core.OutcomeOK || r.Settled != "paid" {
					t.Errorf("got outcome %s, settled %q, %v", r.Outcome, r.Settled, err)
				}
				mu.Lock()
				defer mu.Unlock()
				charges[n.DID()] += r.Charge
			})
		}
	}
	wg.Wait()
	if got := l.runs.get(); got != first+second {
		t.Errorf("the guest ran %d times, want %d", got, first+second)
	}
	if got := len(l.provider.channels.list()); got != 2 {
		t.Fatalf("the provider has %d channels, want one per caller", got)
	}
	for _, theirs := range l.provider.channels.list() {
		caller, tasks := l.caller, first
		if theirs.peer == other.DID() {
			caller, tasks = other, second
		}
		ours, they := onlyChannel(t, caller), theirs.info()
		if ours.Version != they.Version || ours.Locks != 0 || they.Locks != 0 {
			t.Errorf("got versions %d and %d with %d and %d locks", ours.Version, they.Version, ours.Locks, they.Locks)
		}
		want := charges[caller.DID()]
		if want <= 0 || ours.PayeeMicros != want || they.PayeeMicros != want || ours.PayerMicros+want != ours.DepositMicros {
			t.Errorf("got payee %d and %d, want the sum of charges %d", ours.PayeeMicros, they.PayeeMicros, want)
		}
		if limit := int64(2*tasks) * 3 / 4; tasks == first && ours.Version >= limit {
			t.Errorf("%d tasks took %d versions, want changes to share updates (below %d)", tasks, ours.Version, limit)
		}
		t.Logf("%d tasks in %d versions", tasks, ours.Version)
	}
}

func TestParallelTasksBeyondADepositOpenAnotherChannel(t *testing.T) {
	l := newLab(t, nil, func(_ string, cfg *Config, _ *Deps) { cfg.Policy.DepositMicros = 100_000 }) // of a lock of some 35,000
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if r, err := l.run(l.caller, "hello"); err != nil || r.Settled != "paid" {
				t.Errorf("settled %q, %v", r.Settled, err)
			}
		})
	}
	wg.Wait()
	for _, ch := range l.caller.channels.list() {
		if i := ch.info(); i.Locks != 0 || i.PayerMicros < 0 {
			t.Errorf("channel %s: got %d locks, payer %d", short(i.ID), i.Locks, i.PayerMicros)
		}
	}
}

func TestAChannelThatRunsDownIsClosed(t *testing.T) {
	// 400,000 bytes in and out cost 25,001 micros of at most 47,000 or so.
	l := newLab(t, nil, func(_ string, cfg *Config, _ *Deps) { cfg.Policy.DepositMicros = 60_000 })
	text := strings.Repeat("x", 400_000)
	var charged int64
	for range 3 {
		r, err := l.run(l.caller, text)
		if err != nil {
			t.Fatal(err)
		}
		charged += r.Charge
	}
	for _, n := range []*Node{l.caller, l.provider} {
		eventually(t, n.cfg.Node.Name+" has closed what ran down", func() bool {
			var open, closed int
			var payee int64
			for _, ch := range n.channels.list() {
				i := ch.info()
				payee += i.PayeeMicros
				if i.Final {
					closed++
				} else {
					open++
				}
			}
			return open == 1 && closed == 2 && payee == charged
		})
	}
}

func TestCooperativeClose(t *testing.T) {
	l := newLab(t, nil, nil)
	r, err := l.run(l.caller, "hello")
	if err != nil {
		t.Fatal(err)
	}
	id := onlyChannel(t, l.caller).ID
	held := l.unlocked(l.caller, "later")
	if err := l.caller.channels.lock(t.Context(), held.channel, held.lock); err != nil {
		t.Fatal(err)
	}
	if _, err := l.caller.channels.close(t.Context(), id); !errors.Is(err, core.ErrConflict) || !strings.Contains(err.Error(), "1 locks") {
		t.Errorf("got %v closing a channel with a lock, want ErrConflict", err)
	}
	if _, err := l.provider.channels.close(t.Context(), id); !errors.Is(err, core.ErrDenied) {
		t.Errorf("got %v closing as the payee, want ErrDenied", err)
	}
	// The worker refuses what it never got an Offer for: by hand, so that the lock ends.
	f := l.offered(held)
	l.provider.cfg.Serve.Deny = []string{string(l.caller.DID())}
	if _, _, err := ask(t, l.caller, l.provider.DID(), f); !errors.Is(err, core.ErrDenied) {
		t.Errorf("got %v, want ErrDenied", err)
	}
	if err := l.caller.channels.resync(t.Context(), held.channel); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second finds it closed
		ch, err := l.caller.channels.close(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if i := ch.info(); !i.Final || i.PayeeMicros != r.Charge || i.Locks != 0 {
			t.Errorf("got final %v, payee %d, %d locks, want the charge of %d", i.Final, i.PayeeMicros, i.Locks, r.Charge)
		}
	}
	version := onlyChannel(t, l.caller).Version
	if i := onlyChannel(t, l.provider); !i.Final || i.PayeeMicros != r.Charge || i.Version != version {
		t.Errorf("the provider has final %v, payee %d, version %d", i.Final, i.PayeeMicros, i.Version)
	}
	if err := l.caller.channels.lock(t.Context(), held.channel, core.Lock{}); err == nil {
		t.Error("a closed channel took a lock")
	}
	if _, err := l.caller.channels.dispute(t.Context(), id); !errors.Is(err, core.ErrConflict) {
		t.Errorf("got %v disputing a closed channel, want ErrConflict", err)
	}
}

// slowClose lets a test act while a close is under way.
type slowClose struct {
	core.Payment
	during func()
}

func (p slowClose) Close(ctx context.Context, req core.CloseRequest) (core.PendingDocument, error) {
	if len(req.Document) == 0 {
		p.during()
	}
	return p.Payment.Close(ctx, req)
}

func TestALockDuringACloseIsAnswered(t *testing.T) {
	l := newLab(t, nil, nil)
	if _, err := l.run(l.caller, "hello"); err != nil {
		t.Fatal(err)
	}
	tr := l.unlocked(l.caller, "later")
	locked := make(chan error, 1)
	l.caller.channels.payment = slowClose{l.caller.payment, func() {
		w := &change{add: &tr.lock, done: locked}
		tr.channel.queue = append(tr.channel.queue, w) // the close holds the mutex: as apply would
	}}
	if _, err := l.caller.channels.close(t.Context(), tr.channel.id); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-locked:
		if err == nil {
			t.Error("a closed channel took a lock")
		}
	default:
		t.Error("a lock that came during the close was never answered")
	}
}

func TestADisputeFreezesBothSides(t *testing.T) {
	l := newLab(t, nil, nil)
	if _, err := l.run(l.caller, "hello"); err != nil {
		t.Fatal(err)
	}
	id := onlyChannel(t, l.caller).ID
	held := l.unlocked(l.caller, "later")
	if err := l.caller.channels.lock(t.Context(), held.channel, held.lock); err != nil {
		t.Fatal(err)
	}
	if _, err := l.caller.channels.dispute(t.Context(), id); !errors.Is(err, core.ErrConflict) {
		t.Errorf("got %v disputing before the lock expired, want ErrConflict", err)
	}
	// A receipt of refusal ends the lock; then the rest can be disputed.
	f := l.offered(held)
	l.provider.cfg.Serve.Deny = []string{string(l.caller.DID())}
	if _, _, err := ask(t, l.caller, l.provider.DID(), f); err == nil {
		t.Fatal("the offer was not refused")
	}
	if err := l.caller.channels.resync(t.Context(), held.channel); err != nil {
		t.Fatal(err)
	}
	if _, err := l.caller.channels.dispute(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if _, err := l.caller.channels.dispute(t.Context(), id); !errors.Is(err, core.ErrExists) {
		t.Errorf("got %v for a second dispute, want ErrExists", err)
	}
	for _, n := range []*Node{l.caller, l.provider} {
		if !onlyChannel(t, n).Disputed {
			t.Errorf("%s does not hold the channel for disputed", n.cfg.Node.Name)
		}
	}
	l.provider.cfg.Serve.Deny = nil
	r, err := l.run(l.caller, "hello again")
	if err != nil || r.Channel == id {
		t.Errorf("the next task: got channel %s, %v, want a new one", short(r.Channel), err)
	}
}

func TestTheGuardSignsOneDocumentOfAVersion(t *testing.T) {
	dir := home(t)
	l := newLab(t, nil, nil)
	if _, err := l.run(l.caller, "hello"); err != nil {
		t.Fatal(err)
	}
	ch := l.caller.channels.list()[0]
	at := func(version, payer int64) *core.State {
		s, err := ch.params.ParseState(ch.rawState())
		if err != nil {
			t.Fatal(err)
		}
		s.Version, s.PayerMicros, s.PayeeMicros, s.Signatures = version, payer, ch.params.DepositMicros-payer, nil
		return s
	}
	for _, c := range []struct {
		name    string
		state   *core.State
		refused bool
	}{
		{"the first", at(5, 100), false},
		{"the same bytes after a restart", at(5, 100), false},
		{"another content of the version", at(5, 99), true},
		{"an older version", at(4, 100), true},
		{"the next version", at(6, 99), false},
		{"the one before it, though signed once", at(5, 100), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := store.Open(dir, nil) // a restart each time
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			err = (&guard{store: s}).sign(c.state, l.caller.keys.signer())
			if c.refused != errors.Is(err, core.ErrConflict) || c.refused != (len(c.state.Signatures) == 0) {
				t.Errorf("got %v and %d signatures, want refused %v", err, len(c.state.Signatures), c.refused)
			}
		})
	}
}

// lyingPayment answers updates with a document of its own making.
type lyingPayment struct {
	core.Payment
	forge func(doc []byte) []byte
}

func (p lyingPayment) Update(ctx context.Context, req core.UpdateRequest) (core.PendingDocument, error) {
	out, err := p.Payment.Update(ctx, req)
	if err == nil && len(req.Document) == 0 {
		out.Document = p.forge(out.Document)
	}
	return out, err
}

func TestAPluginsOwnDocumentIsNotSigned(t *testing.T) {
	l := newLab(t, nil, nil)
	if _, err := l.run(l.caller, "hello"); err != nil {
		t.Fatal(err)
	}
	ch := l.caller.channels.list()[0]
	forge := func(change func(*core.State)) func([]byte) []byte {
		return func(doc []byte) []byte {
			s, err := ch.params.ParseState(doc)
			if err != nil {
				t.Fatal(err)
			}
			change(s)
			out, err := core.Encode(s)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
	}
	var before guardEntry
	if err := l.caller.store.GetJSON("guard/"+ch.id, &before); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func([]byte) []byte{
		"pays the worker": forge(func(s *core.State) { s.PayerMicros -= 7; s.PayeeMicros += 7 }),
		"skips a version": forge(func(s *core.State) { s.Version++ }),
		"drops the lock":  forge(func(s *core.State) { s.PayerMicros += s.LockedMicros(); s.Locks = []core.Lock{} }),
		"no document":     func([]byte) []byte { return []byte("{}") },
	} {
		t.Run(name, func(t *testing.T) {
			tr := l.unlocked(l.caller, name)
			l.caller.channels.payment = lyingPayment{l.caller.payment, f}
			if err := l.caller.channels.lock(t.Context(), tr.channel, tr.lock); !errors.Is(err, core.ErrInvalid) {
				t.Errorf("got %v, want ErrInvalid", err)
			}
			var after guardEntry
			if err := l.caller.store.GetJSON("guard/"+ch.id, &after); err != nil || after != before {
				t.Errorf("the guard signed %v, %v, want %v", after, err, before)
			}
		})
	}
	l.caller.channels.payment = l.caller.payment
	if i := onlyChannel(t, l.provider); i.Version != before.Version {
		t.Errorf("the provider is at version %d, want %d", i.Version, before.Version)
	}
	// What the plugin keeps pending is proposed again, once it tells the truth.
	if r, err := l.run(l.caller, "hello again"); err != nil || r.Settled != "paid" {
		t.Errorf("the next task: settled %q, %v", r.Settled, err)
	}
}
