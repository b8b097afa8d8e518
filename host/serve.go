package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/guild"
	"github.com/zerostate/zerostate/host/internal/p2p"
	"github.com/zerostate/zerostate/host/internal/peerpb"
)

const (
	// lockWait is how long the worker waits for the offered lock to stand in its
	// committed channel state.
	lockWait = 10 * time.Second
	// settleWait is how long the worker waits for the countersigned receipt.
	settleWait = 30 * time.Second
	// transferTime is what a lock's expiry allows for inputs and outputs, beside
	// the guest's wall timeout.
	transferTime = 60 * time.Second
)

// worker is the serving side of tasks: it opens Offers, accepts each run at most
// once, runs it in the executor plugin, and signs the receipt. An Offer's way
// through it is: serve, admit, perform, deliver.
type worker struct {
	n        *Node
	exec     core.Executor
	opener   *guild.Worker
	journal  *journal
	receipts *receiptBook
	slots    chan struct{} // tasks that run at once
	lockWait time.Duration // for the offered lock

	mu      sync.Mutex
	runs    map[runKey]*workerRun
	perPeer map[core.DID]int
}

// workerRun is a run in progress, or one whose receipt is ready.
type workerRun struct {
	entry  *journalEntry
	agent  core.Signer
	task   *core.Resolved
	accept []byte         // of the first Offer, to be repeated
	ring   *guild.Session // of the first Offer
	done   chan struct{}  // closed when the receipt is in entry
	// arrivals are the inputs as they come; made with the first stream's desk.
	arrivals []*arrival
	cancel   context.CancelCauseFunc
	err      error // why there is no receipt
}

var (
	errRequesterCancelled = errors.New("cancelled by the requester")
	errLockExpired        = errors.New("the lock expired before the task ended")
	errNodeStops          = errors.New("the node stopped while the task ran")
)

// serve answers one task/1 stream.
func (w *worker) serve(ctx context.Context, s *p2p.Stream) (err error) {
	f, err := s.ReadFrame()
	if err != nil {
		return err
	}
	o := f.GetOffer()
	if o == nil {
		return fmt.Errorf("want an Offer: %w", core.ErrInvalid)
	}
	ctx = extractTrace(ctx, f)
	ctx, span := w.n.tel.start(ctx, "serve")
	defer func() { span.end(err) }()
	opened, err := w.opener.OpenOffer(guild.SealedOffer{
		Guild: o.GetGuild(), Sender: core.DID(o.GetSender()), Recipient: core.DID(o.GetRecipient()),
		KeyHash: o.GetKeyHash(), Sealed: o.GetSealed(),
	}, s.Remote())
	if err != nil {
		return err
	}
	span.set("task", opened.Offer.Lock.Task, "guild", opened.Guild)
	run, session, accept, first, err := w.admit(ctx, opened)
	if err != nil {
		w.n.logger(ctx).Info("offer refused", "peer", s.Remote().Short(), "task", short(opened.Offer.Lock.Task), "error", err)
		return errors.Join(err, w.refuse(ctx, opened, err), w.n.audit.append(core.AuditTaskRefuse, opened.Offer.Lock.Task, opened.Hash))
	}
	done := w.n.guilds.add(opened.Guild, core.RoleWorker, opened.Sender, opened.Offer.Lock.Task, session)
	defer done()
	err = s.WriteFrame(&peerpb.Frame{Body: &peerpb.Frame_Accept{Accept: &peerpb.Accept{Document: accept}}})
	if err != nil && !first {
		return err // a run that was accepted goes on all the same, to its receipt
	}
	r := &ring{frames: s, session: session, rand: w.n.rand}
	return w.attend(ctx, r, run, first)
}

// attend performs a run, or joins one that is under way, and delivers it.
func (w *worker) attend(ctx context.Context, r *ring, run *workerRun, first bool) error {
	desk := w.newDesk(ctx, run)
	reading := make(chan struct{})
	w.n.work.Go(func() {
		defer close(reading)
		desk.read(r)
	})
	if first {
		// The run goes on when this stream dies: the requester may come back.
		w.n.work.Go(func() { w.perform(context.WithoutCancel(ctx), run, desk, r) })
	}
	select {
	case <-run.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if run.err != nil {
		return run.err
	}
	defer w.forget(run.entry.Key)
	if err := w.deliver(ctx, r, run); err != nil {
		return err
	}
	return w.awaitSettle(ctx, run, desk, reading)
}

// admit checks an Offer against everything that this node knows and journals
// the run before the Accept exists. first says that the run is new and ours to
// perform.
func (w *worker) admit(ctx context.Context, o *guild.Opened) (run *workerRun, s *guild.Session, accept []byte, first bool, err error) {
	a, task, err := w.check(ctx, o)
	if err != nil {
		return nil, nil, nil, false, err
	}
	key := runKey{Requester: o.Offer.Requester, Channel: o.Offer.Channel, Task: o.Offer.Lock.Task, Attempt: o.Offer.Lock.Attempt}
	w.mu.Lock()
	defer w.mu.Unlock()
	run = w.runs[key]
	if o.Repeated {
		if run == nil || run.entry.OfferHash != o.Hash {
			return nil, nil, nil, false, refusal(core.ErrConflict, "this Offer was answered before a restart; make a new one")
		}
		return run, run.ring, run.accept, false, nil
	}
	entry, err := w.journal.get(key)
	if err != nil && !absent(err) {
		return nil, nil, nil, false, err
	}
	if absent(err) {
		if err := w.unclaimed(key); err != nil {
			return nil, nil, nil, false, err
		}
		if err := w.room(o.Sender); err != nil {
			return nil, nil, nil, false, err
		}
		if entry, err = w.newEntry(o, key); err != nil {
			return nil, nil, nil, false, err
		}
		first = true
	}
	if accept, s, err = o.Accept(w.n.keys.signer(), a.signer, o.Offer.Lock.Expires, w.n.rand); err != nil {
		return nil, nil, nil, false, err
	}
	if run == nil {
		run = &workerRun{entry: entry, agent: a.signer, task: task, accept: accept, ring: s, done: make(chan struct{})}
		w.runs[key] = run
		if !first {
			close(run.done) // ended before a restart: its receipt is in the journal
		}
	}
	if first {
		if err := w.journal.put(entry); err != nil {
			delete(w.runs, key)
			return nil, nil, nil, false, err
		}
		w.perPeer[o.Sender]++
	}
	return run, s, accept, first, w.n.audit.append(core.AuditTaskAccept, key.Task, o.Hash)
}

// refuse signs a receipt of refusal, charge 0, for an Offer whose lock may stand
// already: it travels beside the Offer, and every lock ends by a receipt. The
// requester gets it by the channel's Sync. Nothing is signed for a stranger who
// has no channel here.
func (w *worker) refuse(ctx context.Context, o *guild.Opened, cause error) error {
	if !w.n.channels.paidBy(o.Offer.Channel, o.Sender) {
		return nil // no channel of theirs, no lock, nothing to end
	}
	a, err := w.n.cards.byDID(o.Offer.Agent)
	if err != nil {
		return nil //nolint:nilerr // not an agent whose lock we could end
	}
	task, err := o.Offer.Resolved()
	if err != nil {
		return nil //nolint:nilerr // a receipt names a task; this is none
	}
	key := runKey{Requester: o.Offer.Requester, Channel: o.Offer.Channel, Task: o.Offer.Lock.Task, Attempt: o.Offer.Lock.Attempt}
	entry, err := w.claim(o, key)
	if err != nil || entry == nil {
		return err
	}
	run := &workerRun{entry: entry, agent: a.signer, task: task}
	return w.finish(ctx, run, core.RunResult{Outcome: core.OutcomeRefused, Reason: reasonOf(cause)}, nil, entry.Accepted)
}

// unclaimed says whether no run and no refusal has taken the lock of k: a lock
// has one receipt, whoever of the payer's dids countersigns it. Two that differ
// would pay nothing. The caller holds w.mu.
func (w *worker) unclaimed(k runKey) error {
	taken, err := w.journal.lockTaken(k)
	if err == nil && taken {
		err = refusal(core.ErrConflict, "this attempt was offered before")
	}
	return err
}

// claim journals the run that is refused, so that nothing else takes its lock;
// nil where something has: that run's receipt ends the lock.
func (w *worker) claim(o *guild.Opened, key runKey) (*journalEntry, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if taken, err := w.journal.lockTaken(key); taken || err != nil {
		return nil, err
	}
	entry, err := w.newEntry(o, key)
	if err != nil {
		return nil, err
	}
	return entry, w.journal.put(entry)
}

// paidBy reports whether the channel is one by which peer pays us.
func (c *channels) paidBy(id string, peer core.DID) bool {
	ch, err := c.lookup(id)
	return err == nil && ch.role == core.RolePayee && ch.peer == peer
}

// reasonOf is what a peer may read of an error: never more than its sentinel and
// what we say of the peer's own document.
func reasonOf(err error) string { return p2p.EncodeError(err).GetReason() }

// told is reasonOf, or the sentinel where there is no more to say.
func told(err error) string {
	e := p2p.EncodeError(err)
	return cmp.Or(e.GetReason(), strings.ToLower(e.GetSentinel()))
}

// room refuses a peer that has too many tasks here, and a full queue.
func (w *worker) room(peer core.DID) error {
	total := 0
	for _, c := range w.perPeer {
		total += c
	}
	limits := w.n.cfg.Serve
	if w.perPeer[peer] >= limits.TasksPerPeer || total >= limits.Tasks+limits.Queue {
		return &core.RetryError{Err: refusal(core.ErrExhausted, fmt.Sprintf("%d tasks are running and waiting here", total)), After: time.Second}
	}
	return nil
}

func (w *worker) newEntry(o *guild.Opened, key runKey) (*journalEntry, error) {
	lock, err := core.LockDigest(o.Offer.Lock)
	if err != nil {
		return nil, err
	}
	name, version := w.n.pluginOf(core.KindExecutor)
	return &journalEntry{
		Key: key, OfferHash: o.Hash, Manifest: o.Offer.Manifest, Lock: o.Offer.Lock, Accepted: core.TimeOf(w.n.now()),
		Terms: core.ReceiptTerms{
			Network: o.Offer.Network, RequesterNode: o.Sender, WorkerNode: w.n.DID(), Agent: o.Offer.Agent,
			CardCID: o.Offer.CardCID, Requester: o.Offer.Requester, Task: key.Task, Attempt: key.Attempt, Guild: o.Guild,
			Executor: core.ReceiptExecutor{Name: name, Version: version}, MaxMicros: o.Offer.Lock.MaxMicros,
			Channel: key.Channel, Lock: lock,
		},
	}, nil
}

// refusal is an error whose reason the peer may read.
func refusal(sentinel error, reason string) error {
	return &p2p.ReasonError{Err: sentinel, Reason: reason}
}

// check says whether the offer asks for something that this node serves, at its
// price, from somebody whom it serves.
func (w *worker) check(ctx context.Context, o *guild.Opened) (*agent, *core.Resolved, error) {
	serve := w.n.cfg.Serve
	if slices.Contains(serve.Deny, string(o.Sender)) || len(serve.Allow) > 0 && !slices.Contains(serve.Allow, string(o.Sender)) {
		return nil, nil, refusal(core.ErrDenied, "this node does not serve you")
	}
	if known, err := w.n.known.Known(o.Sender); err != nil {
		return nil, nil, err
	} else if known.Tombstone != nil {
		return nil, nil, refusal(core.ErrDenied, "your node was revoked")
	}
	if !w.n.channels.paidBy(o.Offer.Channel, o.Sender) {
		return nil, nil, refusal(core.ErrDenied, "the offer's channel is none that you pay us by")
	}
	a, err := w.n.cards.byDID(o.Offer.Agent)
	if err != nil {
		return nil, nil, refusal(core.ErrNotFound, "no such agent here")
	}
	if a.cid != o.Offer.CardCID {
		return nil, nil, refusal(core.ErrConflict, "the agent has a newer card; resolve it again")
	}
	task, err := o.Offer.Resolved()
	if err != nil {
		return nil, nil, err
	}
	if err := w.checkTask(a, task); err != nil {
		return nil, nil, err
	}
	if err := core.CheckLock(o.Offer.Lock, task.Spec.Limits.WallTimeout()+transferTime, w.n.now(), false); err != nil {
		return nil, nil, refusal(err, err.Error())
	}
	if wall := task.Spec.Limits.WallTimeout(); wall > serve.MaxWall {
		return nil, nil, refusal(core.ErrDenied, fmt.Sprintf("the task's wall timeout of %s is above this node's %s", wall, serve.MaxWall))
	}
	least, err := core.Charge(task.Spec.Settlement, core.Metering{Verifiable: core.VerifiableMetering{Req: 1, Byte: task.Spec.MaxUnits(0)}}, o.Offer.Lock.MaxMicros)
	if err != nil {
		return nil, nil, err
	}
	full, err := w.n.payment.Quote(ctx, core.QuoteRequest{
		Price: task.Spec.Settlement, MaxUnits: task.Spec.MaxUnits(0), Currency: task.Spec.Settlement.Currency,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("quote: %w", err)
	}
	if least < full.MaxMicros {
		return nil, nil, refusal(core.ErrDenied, fmt.Sprintf("the lock of %d micros is below the %d that the task may cost", o.Offer.Lock.MaxMicros, full.MaxMicros))
	}
	return a, task, nil
}

// checkTask refuses what is not one of the agent's own templates, unless this
// node runs foreign modules.
func (w *worker) checkTask(a *agent, task *core.Resolved) error {
	var errs []error
	offers := a.card.Params().Offers
	for i, t := range a.templates {
		if err := core.SameTemplate(task, t); err != nil {
			errs = append(errs, err)
			continue
		}
		return core.CheckTemplatePrice(t, offers[i].Price)
	}
	if !w.n.cfg.Serve.ForeignModules {
		return refusal(core.ErrDenied, fmt.Sprintf("the manifest is none of the agent's templates, and this node runs no foreign modules: %v", errors.Join(errs...)))
	}
	for _, o := range offers {
		if o.Price == task.Spec.Settlement {
			return nil
		}
	}
	return refusal(core.ErrDenied, "the manifest's price is none of the agent's")
}

// perform waits for lock and inputs, runs the task, and leaves the receipt in
// the journal.
func (w *worker) perform(ctx context.Context, run *workerRun, desk *desk, r *ring) {
	defer close(run.done)
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.perPeer[run.entry.Terms.RequesterNode]--; w.perPeer[run.entry.Terms.RequesterNode] <= 0 {
			delete(w.perPeer, run.entry.Terms.RequesterNode)
		}
	}()
	ctx, expire := context.WithTimeoutCause(ctx, run.entry.Lock.Expires.Time().Sub(w.n.now()), errLockExpired)
	defer expire()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(w.n.ctx, func() { cancel(errNodeStops) })()
	w.mu.Lock()
	run.cancel = cancel
	w.mu.Unlock()
	started := core.TimeOf(w.n.now())
	result, outputs := w.execute(ctx, run, desk, r)
	err := w.finish(ctx, run, result, outputs, started)
	if err != nil && len(run.entry.Receipt) == 0 { // a result that no receipt can hold: the lock must end all the same
		w.n.logger(ctx).Error("result not receipted", "task", short(run.entry.Key.Task), "error", err)
		err = w.finish(ctx, run, core.RunResult{Outcome: core.OutcomeLost, Reason: "the executor's result does not hold"}, nil, started)
	}
	if err != nil {
		run.err = err
		w.n.logger(ctx).Error("receipt not written", "task", short(run.entry.Key.Task), "error", err)
	}
}

// execute answers how the run ended; every way out is an outcome.
func (w *worker) execute(ctx context.Context, run *workerRun, desk *desk, r *ring) (core.RunResult, []storedOutput) {
	lctx, cancel := context.WithTimeout(ctx, w.lockWait)
	err := w.n.channels.awaitLock(lctx, run.entry.Key.Channel, run.entry.Lock)
	cancel()
	if err != nil {
		return didNotRun(ctx, core.OutcomeRefused, err), nil
	}
	inputs, err := desk.inputs(ctx)
	if err != nil {
		w.n.logger(ctx).Info("input did not come", "task", short(run.entry.Key.Task), "error", err)
		return didNotRun(ctx, core.OutcomeInput, errors.New(told(err))), nil
	}
	select {
	case w.slots <- struct{}{}:
		defer func() { <-w.slots }()
	case <-time.After(w.n.cfg.Serve.QueueTimeout):
		return didNotRun(ctx, core.OutcomeRefused, errors.New("no slot became free in time")), nil
	case <-ctx.Done():
		return didNotRun(ctx, core.OutcomeRefused, context.Cause(ctx)), nil
	}
	result, outputs, err := w.runGuest(ctx, run, inputs, func(stream string, data []byte) error {
		return r.send(&peerpb.Event{Stream: stream, Bytes: data})
	})
	if err != nil {
		w.n.logger(ctx).Warn("guest not run", "task", short(run.entry.Key.Task), "error", err)
		return didNotRun(ctx, core.OutcomeRefused, errors.New("executor: "+told(err))), nil
	}
	ours := context.Cause(ctx)
	if result.Outcome == core.OutcomeCancelled && (errors.Is(ours, errNodeStops) || errors.Is(ours, errLockExpired)) {
		return didNotRun(ctx, core.OutcomeLost, ours), nil // not ended by its requester: nothing is charged
	}
	return result, outputs
}

// didNotRun is the result of a run whose guest never started.
func didNotRun(ctx context.Context, outcome core.Outcome, err error) core.RunResult {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errRequesterCancelled):
		outcome, err = core.OutcomeCancelled, cause
	case errors.Is(cause, errLockExpired):
		outcome, err = core.OutcomeExpired, cause
	case errors.Is(cause, errNodeStops):
		outcome, err = core.OutcomeLost, cause
	}
	return core.RunResult{Outcome: outcome, Reason: err.Error(), Engine: core.EngineInfo{Name: "none", Version: "none", Pass: "none"}}
}

// runGuest runs the task in the executor; one that dies is tried once more
// inside the attempt.
func (w *worker) runGuest(ctx context.Context, run *workerRun, inputs []contentRef, show showFunc) (result core.RunResult, outputs []storedOutput, err error) {
	ctx, span := w.n.tel.start(ctx, "guest")
	defer func() { span.end(err) }()
	for try := range 2 {
		result, outputs, err = w.tryGuest(ctx, run, inputs, show)
		if !errors.Is(err, core.ErrUnavailable) || ctx.Err() != nil {
			break
		}
		w.n.logger(ctx).Warn("executor went away", "task", short(run.entry.Key.Task), "try", try+1, "error", err)
	}
	return result, outputs, err
}

func (w *worker) tryGuest(ctx context.Context, run *workerRun, inputs []contentRef, show showFunc) (core.RunResult, []storedOutput, error) {
	if err := w.prepare(ctx, run); err != nil {
		return core.RunResult{}, nil, err
	}
	req := core.RunRequest{RunID: run.entry.Terms.Guild, Manifest: run.entry.Manifest}
	for i, in := range run.task.Spec.Inputs {
		content, err := w.n.net.Content().OpenLocal(ctx, inputs[i].CID, inputs[i].SizeBytes)
		if err != nil {
			return core.RunResult{}, nil, fmt.Errorf("input %s: %w", in.Name, err)
		}
		defer content.Close() //nolint:errcheck // only read from
		req.Inputs = append(req.Inputs, core.RunInput{Name: in.Name, SizeBytes: inputs[i].SizeBytes, Content: content})
	}
	ended := make(chan struct{})
	defer close(ended)
	stop := context.AfterFunc(ctx, func() { w.cancelGuest(req.RunID, ended) })
	defer stop()
	takings := w.newTakings(context.WithoutCancel(ctx), run.task, show)
	result, err := w.exec.Run(context.WithoutCancel(ctx), req, takings.take)
	outputs, storeErr := takings.finish(result)
	if err = errors.Join(err, storeErr); err != nil {
		return core.RunResult{}, nil, err
	}
	return result, outputs, nil
}

// warm has the executor compile an agent's modules before the first task asks
// for them, in the background; a task that comes meanwhile just waits for it.
func (n *Node) warm(a *agent) {
	if n.worker == nil {
		return
	}
	n.work.Go(func() {
		for _, t := range a.templates {
			if err := n.worker.warm(n.ctx, t); err != nil && n.ctx.Err() == nil {
				n.log.Warn("module not prepared", "agent", a.name, "error", err)
				return
			}
		}
		a.prepared.Store(true)
	})
}

// warm prepares a template's module under a task that is never run.
func (w *worker) warm(ctx context.Context, t *core.Template) error {
	inputs := map[string]core.InputRef{}
	for _, in := range t.Spec.Inputs {
		inputs[in.Name] = core.InputRef{CID: emptyCID, SHA256: emptySHA256}
	}
	var zero [32]byte
	task, err := core.FillTemplate(t, inputs, core.TaskNonce(zero), core.TaskSeed(zero))
	if err != nil {
		return err
	}
	manifest, err := task.Bytes()
	if err != nil {
		return err
	}
	return w.prepare(ctx, &workerRun{task: task, entry: &journalEntry{Manifest: manifest}})
}

// prepare hands the module to the executor where it does not hold it yet.
func (w *worker) prepare(ctx context.Context, run *workerRun) error {
	req := core.PrepareRequest{Manifest: run.entry.Manifest}
	_, err := w.exec.Prepare(ctx, req)
	if !errors.Is(err, core.ErrNotFound) {
		return err
	}
	module, err := w.n.net.Content().Open(ctx, cidOf(run.task.Spec.Module.URI), int64(w.n.cfg.Serve.MaxModule))
	if err != nil {
		return fmt.Errorf("module: %w", err)
	}
	defer module.Close() //nolint:errcheck // only read from
	req.Module = module
	_, err = w.exec.Prepare(ctx, req)
	return err
}

// cancelGuest cancels a run; one that the executor does not know yet is asked
// for again until it is there or has ended.
func (w *worker) cancelGuest(runID string, ended <-chan struct{}) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.n.ctx), 10*time.Second)
	defer cancel()
	for {
		err := w.exec.Cancel(ctx, runID)
		if err == nil {
			return
		}
		if !absent(err) {
			w.n.log.Warn("guest not cancelled", "error", err)
			return
		}
		select {
		case <-ended:
			return
		case <-ctx.Done():
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// finish signs receipt and work summary and journals them.
func (w *worker) finish(ctx context.Context, run *workerRun, result core.RunResult, outputs []storedOutput, started core.Time) error {
	e := run.entry
	receipt, err := core.NewReceipt(run.task, e.Terms, result, core.ReceiptTimes{Started: started, Finished: core.TimeOf(w.n.now())}, w.n.audit.current())
	if err != nil {
		return err
	}
	if e.Receipt, err = core.SignReceipt(receipt, run.agent); err != nil {
		return err
	}
	summary := core.SummaryOf(receipt)
	if err := core.Sign(summary, run.agent); err != nil {
		return err
	}
	if e.Summary, err = core.Encode(summary); err != nil {
		return err
	}
	e.Outputs = outputs
	if err := w.journal.put(e); err != nil {
		return err
	}
	if err := w.receipts.put(e.Key.Task, e.Key.Attempt, e.Receipt); err != nil {
		return err
	}
	w.n.tel.countTask("worker", string(result.Outcome))
	w.n.logger(ctx).Info("task ran", "task", short(e.Key.Task), "outcome", result.Outcome, "charge_micros", receipt.Predicate.ChargeMicros)
	return w.n.audit.append(core.AuditTaskReceipt, e.Key.Task, sha256Hex(e.Receipt))
}

// deliver pushes the outputs and then the receipt.
func (w *worker) deliver(ctx context.Context, r *ring, run *workerRun) error {
	for _, o := range run.entry.Outputs {
		content, err := w.n.net.Content().OpenLocal(ctx, o.CID, o.SizeBytes)
		if err != nil {
			return fmt.Errorf("output %s: %w", o.Name, err)
		}
		err = r.pushOutput(o.Name, o.CID, content)
		if err = errors.Join(err, content.Close()); err != nil {
			return fmt.Errorf("output %s: %w", o.Name, err)
		}
	}
	return r.send(&peerpb.Receipt{Receipt: run.entry.Receipt, WorkSummary: run.entry.Summary})
}

// awaitSettle waits for the countersigned receipt; one that never comes is no
// error: the channel's Sync and the dispute are there for it.
func (w *worker) awaitSettle(ctx context.Context, run *workerRun, desk *desk, reading <-chan struct{}) error {
	select {
	case envelope := <-desk.settled:
		return w.keepCountersigned(run, envelope)
	case <-reading:
		select {
		case envelope := <-desk.settled:
			return w.keepCountersigned(run, envelope)
		default:
			return nil
		}
	case <-time.After(settleWait):
		return nil
	case <-ctx.Done():
		return nil
	}
}

func (w *worker) keepCountersigned(run *workerRun, envelope []byte) error {
	if _, err := core.VerifyReceipt(envelope, w.n.cfg.Network.ID, false); err != nil {
		return err
	}
	ours, err := core.ParseReceipt(run.entry.Receipt)
	if err != nil {
		return err
	}
	theirs, err := core.ParseReceipt(envelope)
	if err != nil {
		return err
	}
	if string(ours.Payload) != string(theirs.Payload) {
		return fmt.Errorf("the countersigned receipt is not ours: %w", core.ErrDenied)
	}
	if err := w.receipts.put(run.entry.Key.Task, run.entry.Key.Attempt, envelope); err != nil {
		return err
	}
	return w.n.audit.append(core.AuditTaskSettle, run.entry.Key.Task, sha256Hex(envelope))
}

// recover signs `lost` for every run that was journalled and has no receipt: the
// process ended in the middle.
func (w *worker) recover(ctx context.Context) error {
	open, err := w.journal.open()
	if err != nil {
		return err
	}
	for _, e := range open {
		a, err := w.n.cards.byNameOrDID(string(e.Terms.Agent))
		if err != nil {
			w.n.log.Warn("run lost, and its agent is gone", "task", short(e.Key.Task))
			continue
		}
		task, err := core.ParseResolved(e.Manifest)
		if err != nil {
			return err
		}
		run := &workerRun{entry: e, agent: a.signer, task: task, done: make(chan struct{})}
		result := core.RunResult{Outcome: core.OutcomeLost, Reason: "the node stopped while the task ran"}
		if err := w.finish(ctx, run, result, nil, e.Accepted); err != nil {
			return fmt.Errorf("recover task %s: %w", short(e.Key.Task), err)
		}
	}
	return nil
}

// forget lets go of a run that ended; the journal has it.
func (w *worker) forget(k runKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.runs, k)
}

// stop cancels a run in progress.
func (w *worker) stop(run *workerRun) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if run.cancel != nil {
		run.cancel(errRequesterCancelled)
	}
}
