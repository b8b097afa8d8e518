package host

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/peerpb"
	"github.com/zerostate/zerostate/host/internal/store"
)

// maxUpdateReceipts bounds the receipts of one update, bytes, so that its frame
// stays below 1 MiB.
const maxUpdateReceipts = 512 << 10

// change is what one caller wants of the next update.
type change struct {
	add     *core.Lock
	settle  *core.Settlement
	receipt []byte // justifies settle
	done    chan error
}

// operation is one proposal of ours, kept before the payment plugin sees it, so
// that after a crash the same key brings the same document back.
type operation struct {
	Key      string       `json:"key"`
	Kind     string       `json:"kind"` // open, update, close
	Changes  core.Changes `json:"changes"`
	Params   []byte       `json:"params,omitempty"`
	Receipts [][]byte     `json:"receipts,omitempty"`
}

// ensure answers a channel that can lock need micro-units for payee, and sets
// them aside for the lock that follows (or forgo): an open one, or a new one. A channel that has run down takes no more locks and is
// closed once its last one ended.
func (c *channels) ensure(ctx context.Context, payee core.DID, need int64) (*channel, error) {
	quote, err := c.payment.Quote(ctx, core.QuoteRequest{
		Price: core.Price{Currency: c.terms.Currency, Unit: "req", PriceMicros: 1, PerUnits: 1}, MaxUnits: 1, Currency: c.terms.Currency,
	})
	if err != nil {
		return nil, fmt.Errorf("quote: %w", err)
	}
	l := c.link(payee)
	l.opening.Lock()
	defer l.opening.Unlock()
	for _, ch := range c.list() {
		if ch.role != core.RolePayer || ch.peer != payee || ch.params.Currency != quote.Currency || ch.params.Backend != quote.Backend {
			continue
		}
		if ch.canLock(need) {
			return ch, nil
		}
	}
	if ch, err := c.reopen(ctx, payee, need); ch != nil || err != nil {
		return ch, err
	}
	ch, err := c.open(ctx, payee, max(c.terms.DepositMicros, quote.MinDepositMicros, need), quote)
	if err != nil {
		return nil, err
	}
	ch.mu.Lock()
	ch.promise(need)
	ch.mu.Unlock()
	c.closeRunDown(ctx, payee)
	return ch, nil
}

// closeRunDown closes the channels with payee that drain and hold no lock.
func (c *channels) closeRunDown(ctx context.Context, payee core.DID) {
	for _, ch := range c.list() {
		if ch.role != core.RolePayer || ch.peer != payee || !ch.runDown() {
			continue
		}
		if _, err := c.close(ctx, ch.id); err != nil && !errors.Is(err, core.ErrConflict) {
			c.log.Warn("channel that ran down not closed yet", "channel", short(ch.id), "error", err)
		}
	}
}

// reopen finishes an opening with payee that never came to an end: it is pending
// in the payment plugin, with its deposit.
func (c *channels) reopen(ctx context.Context, payee core.DID, need int64) (*channel, error) {
	for op, err := range store.ScanJSON[operation](c.store, operationPrefix) {
		if err != nil {
			return nil, err
		}
		if op.Kind != "open" {
			continue
		}
		ch, err := c.newChannel(core.RolePayer, op.Params)
		if err != nil {
			return nil, err
		}
		if ch.peer != payee {
			continue
		}
		if err := c.begin(ctx, ch, op); err != nil {
			return nil, err
		}
		if ch.canLock(need) {
			return ch, nil
		}
	}
	return nil, nil
}

// begin proposes the opening state of a channel and adds it to ours.
func (c *channels) begin(ctx context.Context, ch *channel, op operation) error {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if err := c.propose(ctx, ch, op); err != nil {
		return fmt.Errorf("open channel with %s: %w", ch.peer.Short(), err)
	}
	c.mu.Lock()
	c.byID[ch.id] = ch
	c.mu.Unlock()
	return c.audit.append(core.AuditChannelOpen, ch.id, "")
}

// resume finishes, after a start, what was pending when the node ended, and
// tells each payee where its channels stand.
func (c *channels) resume(ctx context.Context) {
	for op, err := range store.ScanJSON[operation](c.store, operationPrefix) {
		if err != nil {
			c.log.Error("pending proposals not read", "error", err)
			return
		}
		if op.Kind == "open" {
			if ch, err := c.newChannel(core.RolePayer, op.Params); err == nil {
				l := c.link(ch.peer)
				l.opening.Lock()
				open, err := c.reopen(ctx, ch.peer, 0)
				if open != nil {
					open.forgo(0)
				}
				if err != nil {
					c.log.Warn("opening not finished yet", "peer", ch.peer.Short(), "error", err)
				}
				l.opening.Unlock()
			}
		}
	}
	for _, ch := range c.list() {
		if ch.role != core.RolePayer || ch.isClosed() {
			continue
		}
		if err := c.resync(ctx, ch); err != nil {
			c.log.Info("channel not synced yet", "channel", short(ch.id), "peer", ch.peer.Short(), "error", err)
		}
	}
}

// promise sets need aside for a lock that its task will ask for; answer, or
// forgo, ends that. The caller holds ch.mu.
func (ch *channel) promise(need int64) {
	ch.promised += need
	ch.promises++
}

func (ch *channel) forgetPromise(need int64) {
	ch.promised -= need
	ch.promises--
}

// forgo gives back what ensure set aside for a lock that will not come.
func (ch *channel) forgo(need int64) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.forgetPromise(need)
}

// canLock reports whether the channel takes a lock of need, and sets it aside
// for that; one that can not any more starts draining.
func (ch *channel) canLock(need int64) bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.state == nil || ch.closed || ch.disputed || ch.draining {
		return false
	}
	left := ch.state.PayerMicros - ch.promised
	if left >= need && len(ch.state.Locks)+ch.promises < core.MaxLocks {
		ch.promise(need)
		return true
	}
	ch.draining = left < need
	return false
}

// open opens a channel with a deposit.
func (c *channels) open(ctx context.Context, payee core.DID, deposit int64, q core.Quote) (*channel, error) {
	nonce := make([]byte, 32)
	if _, err := io.ReadFull(c.rand, nonce); err != nil {
		return nil, fmt.Errorf("open channel: %w", err)
	}
	window := q.ChallengeWindow
	if c.terms.ChallengeWindow > 0 {
		window = c.terms.ChallengeWindow
	}
	p := &core.Params{
		Network: c.network, Suite: core.SuiteEd25519, Payer: c.self.DID(), Payee: payee,
		Currency: q.Currency, Backend: q.Backend, DepositMicros: deposit,
		Nonce: base64.RawURLEncoding.EncodeToString(nonce), ChallengeWindowMs: window.Milliseconds(),
	}
	params, err := p.Bytes()
	if err != nil {
		return nil, err
	}
	ch, err := c.newChannel(core.RolePayer, params)
	if err != nil {
		return nil, err
	}
	op, err := c.newOperation("open")
	if err != nil {
		return nil, err
	}
	op.Params, op.Changes.AuditHead = params, c.audit.current()
	return ch, c.begin(ctx, ch, op)
}

// newOperation draws the random key of a proposal.
func (c *channels) newOperation(kind string) (operation, error) {
	key := make([]byte, 16)
	if _, err := io.ReadFull(c.rand, key); err != nil {
		return operation{}, fmt.Errorf("%s channel: %w", kind, err)
	}
	return operation{Key: hex.EncodeToString(key), Kind: kind}, nil
}

// lock adds a lock to the channel and returns when both sides hold it.
func (c *channels) lock(ctx context.Context, ch *channel, l core.Lock) error {
	return c.apply(ctx, ch, &change{add: &l, done: make(chan error, 1)})
}

// settle ends a lock by its receipt and returns when both sides hold that.
func (c *channels) settle(ctx context.Context, ch *channel, s core.Settlement, receipt []byte) error {
	if err := c.apply(ctx, ch, &change{settle: &s, receipt: receipt, done: make(chan error, 1)}); err != nil {
		return err
	}
	if ch.runDown() {
		c.closeRunDown(ctx, ch.peer)
	}
	return nil
}

// runDown reports whether the channel drains and its last lock has ended.
func (ch *channel) runDown() bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.draining && !ch.closed && !ch.disputed && len(ch.state.Locks) == 0 && ch.promises == 0
}

// apply queues a change for the next update and waits for it. Whoever finds no
// update in flight carries the queue.
func (c *channels) apply(ctx context.Context, ch *channel, want *change) error {
	ch.mu.Lock()
	ch.queue = append(ch.queue, want)
	carry := !ch.flushing
	ch.flushing = true
	ch.mu.Unlock()
	if carry {
		c.flush(context.WithoutCancel(ctx), ch)
	}
	select {
	case err := <-want.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("update channel %.8s: %w", ch.id, context.Cause(ctx))
	}
}

// flush proposes updates until the queue is empty.
func (c *channels) flush(ctx context.Context, ch *channel) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	c.carry(ctx, ch)
}

// carry is flush of a caller that holds ch.mu and has set flushing.
func (c *channels) carry(ctx context.Context, ch *channel) {
	for len(ch.queue) > 0 {
		batch := ch.takeBatch()
		err := c.update(ctx, ch, batch)
		if err != nil && len(batch) > 1 && !errors.Is(err, core.ErrUnavailable) {
			// One change that can not be is not the others' fault: each alone.
			for _, w := range batch {
				ch.answer(w, c.update(ctx, ch, []*change{w}))
			}
			continue
		}
		for _, w := range batch {
			ch.answer(w, err)
		}
	}
	ch.flushing = false
}

// answer ends a change; what was promised for its lock now stands in the state,
// or never will. The caller holds ch.mu.
func (ch *channel) answer(w *change, err error) {
	if w.add != nil {
		ch.forgetPromise(w.add.MaxMicros)
	}
	w.done <- err
}

// takeBatch takes what fits one frame off the queue. The caller holds ch.mu.
func (ch *channel) takeBatch() []*change {
	size, n := 0, 0
	for n < len(ch.queue) && (n == 0 || size+len(ch.queue[n].receipt) <= maxUpdateReceipts) {
		size += len(ch.queue[n].receipt)
		n++
	}
	batch := ch.queue[:n:n]
	ch.queue = ch.queue[n:]
	return batch
}

// update proposes the next state with a batch of changes. The caller holds
// ch.mu, but lets go of it while the peer is asked.
func (c *channels) update(ctx context.Context, ch *channel, batch []*change) error {
	if err := c.finishPending(ctx, ch); err != nil {
		return err
	}
	op, err := c.newOperation("update")
	if err != nil {
		return err
	}
	op.Changes.AuditHead = c.audit.current()
	for _, w := range batch {
		if w.add != nil && !ch.holds(*w.add) {
			op.Changes.Add = append(op.Changes.Add, *w.add)
		}
		if w.settle != nil {
			op.Changes.Settle = append(op.Changes.Settle, *w.settle)
			op.Receipts = append(op.Receipts, w.receipt)
		}
	}
	if len(op.Changes.Add)+len(op.Changes.Settle) == 0 {
		return nil
	}
	return c.propose(ctx, ch, op)
}

// holds reports whether the lock stands: it was in a proposal whose answer was
// lost, and that has been finished. The caller holds ch.mu.
func (ch *channel) holds(l core.Lock) bool {
	old, ok := ch.state.Lock(l.Task, l.Attempt)
	if !ok {
		return false
	}
	want, err1 := core.LockDigest(l)
	got, err2 := core.LockDigest(old)
	return err1 == nil && err2 == nil && got == want
}

// finishPending sends an earlier proposal again that never came to an end: a
// proposal is never replaced.
func (c *channels) finishPending(ctx context.Context, ch *channel) error {
	var op operation
	err := c.store.GetJSON(operationPrefix+ch.id, &op)
	if errors.Is(err, core.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return c.propose(ctx, ch, op)
}

// propose takes one operation from the payment plugin's first call to its
// second. The caller holds ch.mu; it is let go while the peer is asked, and
// `flushing` (or being new) keeps other proposals away meanwhile.
func (c *channels) propose(ctx context.Context, ch *channel, op operation) error {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	ch.mu.Unlock()
	err := c.ensureSynced(ctx, ch.peer)
	ch.mu.Lock()
	if err != nil {
		return err
	}
	if ch.stale {
		return fmt.Errorf("channel %.8s: %s holds a newer state than this home, which may be a backup: %w", ch.id, ch.peer.Short(), core.ErrConflict)
	}
	if err := c.store.SetJSON(operationPrefix+ch.id, op); err != nil {
		return err
	}
	pending, err := c.call(ctx, ch, op, nil)
	if err != nil {
		if refused(err) { // nothing is pending: the operation may be forgotten
			err = errors.Join(err, c.store.Delete(operationPrefix+ch.id))
		}
		return err
	}
	state, committed, err := c.draft(ch, op, pending)
	if err != nil {
		return err // the plugin keeps it pending, and so do we
	}
	if committed { // a crash came between the plugin's commit and our own note of it
		return c.conclude(ch, state)
	}
	if err := c.guard.sign(state, c.self); err != nil {
		return err
	}
	doc, err := core.Encode(state)
	if err != nil {
		return err
	}
	ch.mu.Unlock()
	signed, err := c.exchange(ctx, ch.peer, op.frame(doc))
	ch.mu.Lock()
	if err != nil {
		return err
	}
	return c.commit(ctx, ch, op, state, signed)
}

// refused reports whether the plugin has said no for good: it keeps nothing
// pending then. A plugin that went away may have stored the proposal.
func refused(err error) bool {
	if _, pending := errors.AsType[*core.PendingError](err); pending {
		return false
	}
	for _, sentinel := range []error{
		core.ErrInvalid, core.ErrNotFound, core.ErrExists, core.ErrDenied, core.ErrConflict, core.ErrExhausted, core.ErrUnsupported,
	} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}

// draft reads the plugin's document of an operation and checks that it is what
// was asked for: the host signs nothing that core does not derive. committed
// says that the operation had ended before; the state bears both signatures
// then.
func (c *channels) draft(ch *channel, op operation, pending core.PendingDocument) (state *core.State, committed bool, err error) {
	if state, err = ch.params.ParseState(pending.Document); err != nil {
		return nil, false, fmt.Errorf("payment plugin's document: %w", err)
	}
	if pending.Committed {
		return state, true, core.Verify(state, c.network)
	}
	want, err := c.expected(ch, op)
	if err != nil {
		return nil, false, err
	}
	got, err := core.Digest(state)
	if err != nil {
		return nil, false, err
	}
	if wantDigest, err := core.Digest(want); err != nil || got != wantDigest {
		return nil, false, errors.Join(err, fmt.Errorf("payment plugin's document for channel %.8s is not what was asked for: %w", ch.id, core.ErrInvalid))
	}
	state.Signatures = nil
	return state, false, nil
}

func (c *channels) expected(ch *channel, op operation) (*core.State, error) {
	if op.Kind == "open" {
		return core.OpeningState(ch.params, op.Changes.AuditHead)
	}
	return core.NextState(ch.params, ch.state, op.Changes)
}

// call makes the plugin's call of an operation: the first with no document, the
// second with both signatures.
func (c *channels) call(ctx context.Context, ch *channel, op operation, doc []byte) (core.PendingDocument, error) {
	switch op.Kind {
	case "open":
		return c.payment.Open(ctx, core.OpenRequest{
			Key: op.Key, Role: core.RolePayer, Params: op.Params, AuditHead: op.Changes.AuditHead, Document: doc,
		})
	case "close":
		return c.payment.Close(ctx, core.CloseRequest{
			Key: op.Key, Channel: ch.id, Role: core.RolePayer, AuditHead: op.Changes.AuditHead, Document: doc,
		})
	default:
		return c.payment.Update(ctx, core.UpdateRequest{
			Key: op.Key, Channel: ch.id, Role: core.RolePayer, Changes: op.Changes, Receipts: op.Receipts, Document: doc,
		})
	}
}

// frame is the proposal as the peer gets it.
func (op operation) frame(doc []byte) *peerpb.Frame {
	switch op.Kind {
	case "open":
		return &peerpb.Frame{Body: &peerpb.Frame_Open{Open: &peerpb.Open{Params: op.Params, Document: doc}}}
	case "close":
		return &peerpb.Frame{Body: &peerpb.Frame_Close{Close: &peerpb.Close{Document: doc}}}
	default:
		return &peerpb.Frame{Body: &peerpb.Frame_Update{Update: &peerpb.Update{Document: doc, Receipts: op.Receipts}}}
	}
}

// commit checks the payee's answer and ends the operation. The caller holds ch.mu.
func (c *channels) commit(ctx context.Context, ch *channel, op operation, proposed *core.State, signed []byte) error {
	both, err := ch.params.ParseState(signed)
	if err != nil {
		return fmt.Errorf("answer of %s: %w", ch.peer.Short(), err)
	}
	if err := core.Verify(both, c.network); err != nil {
		return fmt.Errorf("answer of %s: %w", ch.peer.Short(), err)
	}
	want, err := core.Digest(proposed)
	if err != nil {
		return err
	}
	if got, err := core.Digest(both); err != nil || got != want {
		return errors.Join(err, fmt.Errorf("%s signed another state than was proposed: %w", ch.peer.Short(), core.ErrDenied))
	}
	if _, err := c.call(ctx, ch, op, signed); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return c.conclude(ch, both)
}

// conclude notes a state that both sides hold and ends the operation. The caller
// holds ch.mu.
func (c *channels) conclude(ch *channel, both *core.State) error {
	if err := c.save(ch, both); err != nil {
		return err
	}
	return c.store.Delete(operationPrefix + ch.id)
}

// close ends a channel by agreement; its locks must all have ended.
func (c *channels) close(ctx context.Context, id string) (*channel, error) {
	ch, err := c.lookup(id)
	if err != nil {
		return nil, err
	}
	if ch.role != core.RolePayer {
		return nil, fmt.Errorf("channel %.8s: only its payer can propose the close: %w", id, core.ErrDenied)
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	switch {
	case ch.closed:
		return ch, nil
	case ch.flushing || len(ch.queue) > 0:
		return nil, fmt.Errorf("channel %.8s has an update in flight: %w", id, core.ErrConflict)
	case ch.state != nil && len(ch.state.Locks) > 0:
		return nil, fmt.Errorf("channel %.8s holds %d locks; each ends by its receipt or a dispute: %w", id, len(ch.state.Locks), core.ErrConflict)
	}
	ch.flushing = true
	defer c.carry(context.WithoutCancel(ctx), ch) // what came meanwhile is answered
	if err := c.finishPending(ctx, ch); err != nil {
		return nil, err
	}
	op, err := c.newOperation("close")
	if err != nil {
		return nil, err
	}
	op.Changes.Final, op.Changes.AuditHead = true, c.audit.current()
	if err := c.propose(ctx, ch, op); err != nil {
		return nil, fmt.Errorf("close channel %.8s: %w", id, err)
	}
	return ch, c.audit.append(core.AuditChannelClose, ch.id, "")
}
