package host

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/config"
	"github.com/zerostate/zerostate/plugin/sdk/sdktest/fake"
)

// once checks that one task ran, was receipted and was charged once.
func (l *lab) once(r *TaskResult, err error) {
	l.t.Helper()
	if err != nil || r.Outcome != core.OutcomeOK || r.Charge <= 0 {
		l.t.Fatalf("got outcome %q, charge %d, %v", r.Outcome, r.Charge, err)
	}
	if got := l.runs.get(); got != 1 {
		l.t.Errorf("the guest ran %d times, want once", got)
	}
	es := entries(l.t, l.provider)
	if len(es) != 1 || es[0].Key.Attempt != 1 {
		l.t.Fatalf("the worker journalled %d runs, want one", len(es))
	}
	theirs, err1 := core.ParseReceipt(es[0].Receipt)
	ours, err2 := core.ParseReceipt(r.Receipt)
	if err1 != nil || err2 != nil || string(theirs.Payload) != string(ours.Payload) {
		l.t.Errorf("the two sides hold different receipts: %v, %v", err1, err2)
	}
	l.paidExactly(r.Charge)
}

func TestALostStreamIsJoinedAgain(t *testing.T) {
	text := strings.Repeat("lost and found ", 20_000) // 300,000 bytes: five chunks
	for _, c := range []struct {
		name   string
		caller bool // whose frame the connection breaks before
		frame  int
	}{
		{"after the Accept, before any input", true, 1},
		{"in the middle of the inputs", true, 4},
		{"before the first word of the worker", false, 1},
		{"in the middle of the outputs", false, 5},
		{"before the Receipt", false, 8},
		{"after the Receipt, before Settle", true, 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			rands := map[string]*nonces{"provider": {}, "caller": {}}
			l := newLab(t, nil, func(name string, _ *Config, d *Deps) { d.Rand = rands[name] })
			side := "provider"
			if c.caller {
				side = "caller"
			}
			var broke atomic.Int32
			rands[side].arm(c.frame, func() {
				broke.Add(1)
				cut(t, l.caller, l.provider)
			})
			r, err := l.run(l.caller, text)
			if broke.Load() != 1 {
				t.Fatalf("the connection was cut %d times: the task has fewer frames than the test thinks", broke.Load())
			}
			l.once(r, err)
		})
	}
}

func TestAStreamLostWhileTheGuestRuns(t *testing.T) {
	running, end := make(chan struct{}), make(chan struct{})
	l := newLab(t, func(ctx context.Context, p *fake.Process) int {
		close(running)
		<-end
		return fake.Transform(ctx, p)
	}, nil)
	go func() {
		<-running
		cut(t, l.caller, l.provider)
		eventually(t, "the requester is back", func() bool { return len(l.provider.guilds.list()) == 1 && len(entries(t, l.provider)) == 1 })
		close(end)
	}()
	l.once(l.run(l.caller, "hello"))
}

// restart ends a node and starts another in its home.
func (l *lab) restart(n *Node, edit func(string, *Config, *Deps)) *Node {
	l.t.Helper()
	start := time.Now()
	err := n.Close()
	l.t.Logf("%s closed in %s", n.cfg.Node.Name, time.Since(start))
	if err != nil {
		l.t.Fatalf("close %s: %v", n.cfg.Node.Name, err)
	}
	again := l.config(n.cfg.Node.Name, config.RoleEdge)
	again.Node.Home, again.Agent = n.cfg.Node.Home, n.cfg.Agent
	return l.begin(n.cfg.Node.Name, again, edit)
}

func TestAProviderThatStoppedSignsLost(t *testing.T) {
	running := make(chan struct{}, 8)
	var slow atomic.Bool
	slow.Store(true)
	l := newLab(t, func(ctx context.Context, p *fake.Process) int {
		if slow.Load() {
			running <- struct{}{}
			<-ctx.Done()
			return 1
		}
		return fake.Transform(ctx, p)
	}, nil)
	type end struct {
		r   *TaskResult
		err error
	}
	ended := make(chan end, 1)
	go func() {
		r, err := l.caller.RunTask(context.Background(), TaskRequest{Agent: l.agent, Inputs: input(t, l.caller, "hello")}, Silence{})
		ended <- end{r, err}
	}()
	<-running
	slow.Store(false)
	l.provider = l.restart(l.provider, nil)
	e := <-ended
	task := entries(t, l.provider)[0]
	receipt, err := core.VerifyReceipt(task.Receipt, "zerostate-unit", true)
	if err != nil {
		t.Fatal(err)
	}
	if p := receipt.Predicate; p.Outcome != core.OutcomeLost || p.ChargeMicros != 0 || p.Metering.Verifiable.Req != 0 {
		t.Errorf("got outcome %s charging %d, want lost for nothing", p.Outcome, p.ChargeMicros)
	}
	if e.err == nil {
		t.Errorf("the caller got outcome %s of a run that was lost", e.r.Outcome)
	}
	r, err := l.run(l.caller, "hello again")
	if err != nil || r.Outcome != core.OutcomeOK {
		t.Fatalf("the next task: got %v, %v", r.Outcome, err)
	}
	l.paidExactly(r.Charge)
	if got := l.runs.get(); got != 2 {
		t.Errorf("the guest ran %d times, want twice in all", got)
	}
}

// noSettling is a payment plugin that goes away when a lock is to be settled.
type noSettling struct{ core.Payment }

func (p noSettling) Update(ctx context.Context, req core.UpdateRequest) (core.PendingDocument, error) {
	if req.Role == core.RolePayer && len(req.Changes.Settle) > 0 {
		return core.PendingDocument{}, core.ErrUnavailable
	}
	return p.Payment.Update(ctx, req)
}

func TestACallerThatStoppedSettlesAfterwards(t *testing.T) {
	for _, c := range []struct {
		name string
		left func(l *lab, channel string) error // what the stop left undone
	}{
		{"the proposal was noted", func(*lab, string) error { return nil }},
		{"nothing was noted", func(l *lab, channel string) error { return l.caller.store.Delete(operationPrefix + channel) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, nil, nil)
			l.caller.channels.payment = noSettling{l.caller.payment}
			r, err := l.run(l.caller, "hello")
			if err != nil || r.Settled == "paid" || r.Charge <= 0 {
				t.Fatalf("got settled %q, charge %d, %v, want it to be left open", r.Settled, r.Charge, err)
			}
			if i := onlyChannel(t, l.caller); i.Locks != 1 || i.PayeeMicros != 0 {
				t.Fatalf("got %d locks and payee %d, want the lock to stand", i.Locks, i.PayeeMicros)
			}
			if err := c.left(l, r.Channel); err != nil {
				t.Fatal(err)
			}
			l.caller = l.restart(l.caller, nil)
			l.paidExactly(r.Charge)
			next, err := l.run(l.caller, "hello")
			if err != nil || next.Settled != "paid" || next.Channel != r.Channel {
				t.Fatalf("the next task: settled %q, %v", next.Settled, err)
			}
			l.paidExactly(r.Charge + next.Charge)
		})
	}
}

func TestAHomeFromABackupSignsNothingOld(t *testing.T) {
	l := newLab(t, nil, nil)
	first, err := l.run(l.caller, "hello")
	if err != nil {
		t.Fatal(err)
	}
	ch := l.caller.channels.list()[0]
	old, err := ch.params.ParseState(ch.rawState())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.run(l.caller, "hello"); err != nil {
		t.Fatal(err)
	}
	now := onlyChannel(t, l.caller)
	// The channel record is from a backup; guard and plugin know better.
	ch.mu.Lock()
	err = l.caller.channels.save(ch, old)
	ch.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	tr := l.unlocked(l.caller, "later")
	if err := l.caller.channels.lock(t.Context(), tr.channel, tr.lock); err == nil {
		t.Error("a node with an old state proposed another version of one that both signed")
	}
	if i := onlyChannel(t, l.provider); i.Version != now.Version || i.PayeeMicros <= first.Charge {
		t.Errorf("the provider is at version %d with %d, want %d", i.Version, i.PayeeMicros, now.Version)
	}
}
