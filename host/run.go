package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/guild"
	"github.com/zerostate/zerostate/host/internal/p2p"
)

// settleBudget is how long settling and dissolving may take after the caller
// has gone.
const settleBudget = 30 * time.Second

// taskRun is one run of the pipeline, on its way through the steps below. It
// belongs to one goroutine, but for what job holds.
type taskRun struct {
	n      *Node
	req    TaskRequest
	ob     Observer
	result *TaskResult
	rater  core.Signer // countersigns and rates
	nonce  string
	seed   string

	hired    *hire        // find
	channel  *channel     // escrow
	lock     core.Lock    // escrow
	reserved int64        // escrow: of the day's allowance
	locking  <-chan error // escrow: the lock on its way to the worker
	draft    *guild.Draft // form
	sealed   guild.SealedOffer
	stream   *p2p.Stream // route
	routed   core.RouteDecision
	session  *guild.Session // execute
	left     func()         // execute: ends the guild's entry
	back     *delivery      // execute: what came back
	inputs   int64          // bytes of all inputs
	answered time.Duration  // execute: from Offer to Accept, what the router learns from
}

// RunTask takes a task from find to dissolve, as the mission says it:
//
//	find -> escrow -> form -> route -> execute -> settle -> dissolve -> verify
//
// Candidates that refuse or fail before they ran are followed by the next one.
// Settling and dissolving are done also when ctx ends; what was metered until
// then is paid. A guest that failed is an *ExitError beside the result.
func (n *Node) RunTask(ctx context.Context, req TaskRequest, ob Observer) (*TaskResult, error) {
	ctx, span := n.tel.start(ctx, "task")
	t := &taskRun{n: n, req: req, ob: ob, result: &TaskResult{State: TaskRunning, Started: n.now(), TraceID: span.traceID()}}
	err := t.run(ctx)
	t.result.Finished = n.now()
	t.result.State = stateOf(ctx, err)
	if err != nil {
		t.result.Error = err.Error()
	}
	n.tel.countTask("requester", t.result.State)
	if t.result.Task != "" {
		err = errors.Join(err, n.tasks.put(t.result))
	}
	span.end(err)
	return t.result, err
}

func stateOf(ctx context.Context, err error) string {
	var exit *ExitError
	switch {
	case err == nil, errors.As(err, &exit):
		return TaskDone
	case ctx.Err() != nil:
		return TaskCancelled
	default:
		return TaskFailed
	}
}

func (t *taskRun) run(ctx context.Context) error {
	if err := t.prepare(); err != nil {
		return err
	}
	var candidates []candidate
	err := t.step(ctx, "find", func(ctx context.Context) (detail string, err error) {
		candidates, detail, err = t.find(ctx)
		return detail, err
	})
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range candidates {
		if t.isOwn(c) {
			return t.runOwn(ctx, c)
		}
		again, err := t.attempt(ctx, c)
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", c.name(), err))
		if !again || ctx.Err() != nil {
			break
		}
		t.n.logger(ctx).Info("trying the next agent", "after", c.name(), "error", err)
	}
	return errors.Join(errs...)
}

// attempt hires one candidate. again says that nothing was run or charged, so
// that the next candidate may be tried.
func (t *taskRun) attempt(ctx context.Context, c candidate) (again bool, err error) {
	defer t.cleanUp(ctx)
	for _, s := range []struct {
		name string
		do   func(context.Context) (string, error)
	}{
		{"escrow", func(ctx context.Context) (string, error) { return t.escrow(ctx, c) }},
		{"form", t.form},
		{"route", t.route},
		{"execute", t.execute},
	} {
		if err := t.step(ctx, s.name, s.do); err != nil {
			return t.back == nil || t.back.receipt == nil, t.release(ctx, err)
		}
	}
	// From here on the caller's patience does not count any more.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleBudget)
	defer cancel()
	if err := t.step(ctx, "settle", t.settle); err != nil {
		return false, err
	}
	if err := t.step(ctx, "dissolve", t.dissolve); err != nil {
		return false, err
	}
	if err := t.step(ctx, "verify", t.verify); err != nil {
		return false, err
	}
	if o := t.result.Outcome; o != core.OutcomeOK {
		return !o.Ran(), &ExitError{Outcome: o, Code: t.result.ExitCode, Reason: t.result.Reason}
	}
	return false, nil
}

// step runs one step as a span, a metric and a line that an operator can read.
func (t *taskRun) step(ctx context.Context, name string, do func(context.Context) (string, error)) error {
	ctx, span := t.n.tel.start(ctx, name)
	start := time.Now()
	detail, err := do(ctx)
	s := Step{Task: t.result.Task, Name: name, Elapsed: time.Since(start), OK: err == nil, Detail: detail}
	if err != nil {
		s.Detail = err.Error()
		err = fmt.Errorf("%s: %w", name, err)
	}
	span.set("task", t.result.Task)
	span.end(err)
	t.n.tel.observeStep(ctx, name, s.Elapsed, err)
	t.result.Steps = append(t.result.Steps, s)
	t.ob.Step(s)
	t.n.logger(ctx).Debug("step", "step", name, "task", short(t.result.Task), "ms", s.Elapsed.Milliseconds(), "detail", s.Detail)
	return err
}

// prepare draws what is random in a run and finds the key that countersigns.
func (t *taskRun) prepare() error {
	var random [64]byte
	if _, err := io.ReadFull(t.n.rand, random[:]); err != nil {
		return fmt.Errorf("draw nonce: %w", err)
	}
	t.nonce, t.seed = core.TaskNonce([32]byte(random[:32])), core.TaskSeed([32]byte(random[32:]))
	if t.req.Nonce != "" {
		t.nonce = t.req.Nonce
	}
	if t.req.Seed != "" {
		t.seed = t.req.Seed
	}
	t.result.Run = t.nonce
	t.rater = t.n.keys.signer()
	if t.req.As != "" {
		a, err := t.n.cards.byNameOrDID(t.req.As)
		if err != nil {
			return err
		}
		t.rater = a.signer
	}
	for _, in := range t.req.Inputs {
		t.inputs += in.SizeBytes
	}
	return nil
}

// form draws the guild's keys and seals the Offer. The guild lives once the
// worker's Accept is in (execute): one round trip in all.
func (t *taskRun) form(context.Context) (string, error) {
	var err error
	h := t.hired
	t.draft, err = guild.NewOffer(guild.OfferSpec{
		Network: t.n.cfg.Network.ID, Requester: t.rater.DID(), Recipient: h.node(), Agent: h.agent(),
		CardCID: h.listing.record.CID, Channel: t.channel.id, Lock: t.lock, Manifest: h.manifest,
		TTL: t.n.cfg.Policy.GuildTTL, NotAfter: t.lock.Expires.Add(-time.Second),
	}, t.n.keys.signer(), t.n.rand)
	if err != nil {
		return "", err
	}
	if t.sealed, err = t.draft.Seal(h.listing.record.SealKey); err != nil {
		return "", err
	}
	t.result.Guild = t.draft.Guild
	return "offer sealed to " + h.node().Short(), nil
}

// dissolve wipes the guild's keys and ends its stream.
func (t *taskRun) dissolve(context.Context) (string, error) {
	guildID := t.result.Guild
	t.leave()
	return "keys wiped", t.n.audit.append(core.AuditGuildDissolve, guildID, "")
}

// leave is dissolve without the paper; it may be called again.
func (t *taskRun) leave() {
	if t.draft != nil {
		t.draft.Wipe()
	}
	if t.left != nil {
		t.left()
		t.left = nil
	}
	if t.stream != nil {
		if err := t.stream.Close(); err != nil {
			t.stream.Reset()
		}
		t.stream = nil
	}
}

// cleanUp ends what an attempt left open, whichever way it ended.
func (t *taskRun) cleanUp(context.Context) {
	t.leave()
	t.n.spend.giveBack(t.reserved)
	t.reserved, t.back, t.locking, t.session, t.draft = 0, nil, nil, nil, nil
}

// release follows an attempt that ended before its receipt: a lock that stands
// is ended by the worker's receipt of refusal or loss, if it has one.
// It does so in the background: a worker that is gone holds up nobody.
func (t *taskRun) release(ctx context.Context, cause error) error {
	if errors.Is(cause, core.ErrUnavailable) || errors.Is(cause, context.DeadlineExceeded) {
		t.n.observeRoute(ctx, t, false) // a worker that refuses is not the path's fault
	}
	if t.locking == nil {
		return cause
	}
	locking, ch, log := t.locking, t.channel, t.n.logger(ctx)
	t.n.work.Go(func() {
		if err := <-locking; err != nil {
			return // the lock never stood
		}
		ctx, cancel := context.WithTimeout(t.n.ctx, settleBudget)
		defer cancel()
		if err := t.n.channels.resync(ctx, ch); err != nil {
			log.Warn("lock not released yet", "channel", short(ch.id), "error", err)
		}
	})
	return cause
}

// verify checks the countersigned receipt and the stored outputs once more, as
// anyone can with `zerostate receipt verify`.
func (t *taskRun) verify(ctx context.Context) (string, error) {
	r, err := core.VerifyReceipt(t.result.Receipt, t.n.cfg.Network.ID, false)
	if err != nil {
		return "", err
	}
	if err := r.CheckTask(t.hired.task); err != nil {
		return "", err
	}
	var got []core.RunOutputDigest
	for _, o := range t.result.Outputs {
		sum, size, err := t.n.digestOf(ctx, o.CID)
		if err != nil {
			return "", fmt.Errorf("output %s: %w", o.Name, err)
		}
		got = append(got, core.RunOutputDigest{Name: o.Name, SHA256: sum, SizeBytes: size})
	}
	if len(got) == 0 { // nothing ran: stdout is empty, and named all the same
		got = append(got, core.RunOutputDigest{Name: core.StdoutName, SHA256: emptySHA256})
	}
	if err := r.CheckOutputs(got); err != nil {
		return "", err
	}
	return fmt.Sprintf("receipt holds, %d outputs match", len(got)), nil
}
