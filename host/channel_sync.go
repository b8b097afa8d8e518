package host

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/p2p"
	"github.com/zerostate/zerostate/host/internal/peerpb"
)

// link is the one channel/1 stream that we keep to a payee.
type link struct {
	opening sync.Mutex // one new channel a peer at a time

	mu     sync.Mutex // one exchange at a time
	stream frames     // nil until dialled, and after a failure
}

func (c *channels) link(peer core.DID) *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	l, ok := c.links[peer]
	if !ok {
		l = new(link)
		c.links[peer] = l
	}
	return l
}

// exchange sends a proposal and answers the state that both signed. A stream
// that broke is dialled once more, with a Sync before anything else.
func (c *channels) exchange(ctx context.Context, peer core.DID, f *peerpb.Frame) ([]byte, error) {
	l := c.link(peer)
	l.mu.Lock()
	defer l.mu.Unlock()
	var err error
	for range 2 {
		var answer *peerpb.Frame
		if answer, err = c.tryExchange(ctx, l, peer, f); err == nil {
			return signedOf(answer)
		}
		l.drop()
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

func (c *channels) tryExchange(ctx context.Context, l *link, peer core.DID, f *peerpb.Frame) (*peerpb.Frame, error) {
	if err := c.connect(ctx, l, peer); err != nil {
		return nil, err
	}
	return l.call(ctx, injectTrace(ctx, f))
}

// connect dials the peer where there is no stream, and begins that with a Sync.
// The caller holds l.mu.
func (c *channels) connect(ctx context.Context, l *link, peer core.DID) error {
	if l.stream != nil {
		return nil
	}
	s, err := c.dial(ctx, peer)
	if err != nil {
		return fmt.Errorf("reach %s: %w", peer.Short(), err)
	}
	l.stream = s
	return c.sendSyncs(ctx, l, peer)
}

// ensureSynced returns once the peer has told where our channels with it stand,
// on the stream that there is: nothing is signed before.
func (c *channels) ensureSynced(ctx context.Context, peer core.DID) error {
	l := c.link(peer)
	l.mu.Lock()
	defer l.mu.Unlock()
	err := c.connect(ctx, l, peer)
	if err != nil {
		l.drop()
	}
	return err
}

// call writes a frame and reads the answer. The caller holds l.mu.
func (l *link) call(ctx context.Context, f *peerpb.Frame) (*peerpb.Frame, error) {
	stop := l.stream.ResetOn(ctx)
	defer stop()
	if err := l.stream.WriteFrame(f); err != nil {
		return nil, err
	}
	return l.stream.ReadFrame()
}

// drop forgets a stream that failed. The caller holds l.mu.
func (l *link) drop() {
	if l.stream != nil {
		l.stream.Reset()
		l.stream = nil
	}
}

func signedOf(answer *peerpb.Frame) ([]byte, error) {
	if e := answer.GetError(); e != nil {
		return nil, fmt.Errorf("refused: %w", p2p.DecodeError(e))
	}
	s := answer.GetSigned()
	if s == nil {
		return nil, fmt.Errorf("answer is neither Signed nor Error: %w", core.ErrInvalid)
	}
	return s.GetDocument(), nil
}

// sendSyncs tells the payee where each of our channels with it stands and
// adopts what it knows more: a proposal that it has countersigned, receipts of
// locks that we have not settled. The caller holds l.mu.
func (c *channels) sendSyncs(ctx context.Context, l *link, peer core.DID) error {
	stop := l.stream.ResetOn(ctx)
	defer stop()
	for _, ch := range c.list() {
		if ch.role != core.RolePayer || ch.peer != peer || ch.isClosed() {
			continue
		}
		params, err := ch.params.Bytes()
		if err != nil {
			return err
		}
		answer, err := l.call(ctx, &peerpb.Frame{Body: &peerpb.Frame_Sync{Sync: &peerpb.Sync{Params: params, State: ch.rawState()}}})
		if err != nil {
			return fmt.Errorf("sync with %s: %w", peer.Short(), err)
		}
		s := answer.GetSync()
		if s == nil {
			return fmt.Errorf("sync with %s: %w", peer.Short(), errOf(answer))
		}
		if err := c.compare(ch, s.GetState()); err != nil {
			return fmt.Errorf("sync with %s: %w", peer.Short(), err)
		}
		if s.GetReceipts() > core.MaxLocks {
			return fmt.Errorf("sync with %s: %d receipts for at most %d locks: %w", peer.Short(), s.GetReceipts(), core.MaxLocks, core.ErrInvalid)
		}
		for range s.GetReceipts() {
			f, err := l.stream.ReadFrame()
			if err != nil {
				return fmt.Errorf("sync with %s: %w", peer.Short(), err)
			}
			c.takeReceipt(ch, f.GetReceipt().GetReceipt())
		}
	}
	return nil
}

// compare notes when the payee shows a state that we signed and do not know of:
// this home is older than the channel, and signs nothing more in it. Our last
// proposal, whose answer was lost, is not such a state: it is sent again.
func (c *channels) compare(ch *channel, raw []byte) error {
	if len(raw) == 0 {
		return nil
	}
	state, err := ch.params.ParseState(raw)
	if err != nil {
		return err
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if state.Version <= ch.state.Version {
		return nil
	}
	if err := core.Verify(state, c.network); err != nil {
		return err
	}
	last, err := c.guard.signedLast(ch.id)
	if err != nil {
		return err
	}
	digest, err := core.Digest(state)
	if err != nil || last == (guardEntry{state.Version, digest}) {
		return err
	}
	c.log.Error("channel is newer than this home; it takes no more locks", "channel", short(ch.id), "peer", ch.peer.Short(), "version", state.Version)
	ch.stale, ch.draining = true, true
	return nil
}

func errOf(f *peerpb.Frame) error {
	if e := f.GetError(); e != nil {
		return p2p.DecodeError(e)
	}
	return fmt.Errorf("unexpected frame: %w", core.ErrInvalid)
}

// takeReceipt queues the settlement of a lock whose receipt reached us only by
// a Sync; the next update carries it.
func (c *channels) takeReceipt(ch *channel, envelope []byte) {
	r, err := core.VerifyReceipt(envelope, c.network, true)
	if err != nil {
		c.log.Warn("receipt in a sync refused", "peer", ch.peer.Short(), "error", err)
		return
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	lock, ok := ch.state.Lock(r.Predicate.Task, r.Predicate.Attempt)
	if !ok || core.ReceiptOfLock(ch.params, lock, r) != nil {
		return
	}
	for _, q := range ch.queue {
		if q.settle != nil && q.settle.Task == lock.Task && q.settle.Attempt == lock.Attempt {
			return
		}
	}
	if err := c.countCharge(r, envelope); err != nil {
		c.log.Error("charge of a sync not counted", "channel", short(ch.id), "error", err)
		return
	}
	s := core.SettlementOf(r)
	ch.queue = append(ch.queue, &change{settle: &s, receipt: envelope, done: make(chan error, 1)})
}

// countCharge counts, once, a charge that no task of ours has counted, and keeps
// its receipt.
func (c *channels) countCharge(r *core.Receipt, envelope []byte) error {
	p := r.Predicate
	if _, err := c.receipts.ofLock(p.Channel, p.Task, p.Attempt); !absent(err) {
		return err
	}
	if err := c.spent(p.ChargeMicros); err != nil {
		return err
	}
	return c.receipts.put(p.Task, p.Attempt, envelope)
}

// resync asks the payee of a channel where it stands and settles the receipts
// that it answers: how a lock ends whose Offer was refused.
func (c *channels) resync(ctx context.Context, ch *channel) error {
	l := c.link(ch.peer)
	sctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	l.mu.Lock()
	err := c.syncOn(sctx, l, ch.peer)
	if err != nil && sctx.Err() == nil { // the stream was of a connection that has gone
		err = c.syncOn(sctx, l, ch.peer)
	}
	l.mu.Unlock()
	if err != nil {
		return err
	}
	ch.mu.Lock()
	carry := !ch.flushing
	ch.flushing = true
	ch.mu.Unlock()
	if !carry {
		return nil // whoever carries the queue finds what the sync added
	}
	ch.mu.Lock()
	err = c.finishPending(ctx, ch)
	ch.mu.Unlock()
	c.flush(ctx, ch)
	return err
}

// syncOn sends the Syncs on the stream that there is, or on a new one. The caller
// holds l.mu.
func (c *channels) syncOn(ctx context.Context, l *link, peer core.DID) error {
	var err error
	if l.stream == nil {
		err = c.connect(ctx, l, peer)
	} else {
		err = c.sendSyncs(ctx, l, peer)
	}
	if err != nil {
		l.drop()
	}
	return err
}

// answerSync answers a payer's Sync with our highest state and the receipts it
// has not settled.
func (c *channels) answerSync(ctx context.Context, peer core.DID, s frames, in *peerpb.Sync) error {
	ch, receipts, err := c.syncWith(ctx, peer, in)
	if err != nil {
		return s.WriteFrame(&peerpb.Frame{Body: &peerpb.Frame_Error{Error: p2p.EncodeError(err)}})
	}
	out := &peerpb.Sync{Params: in.GetParams(), Receipts: int64(len(receipts))}
	if ch != nil {
		out.State = ch.rawState()
	}
	if err := s.WriteFrame(&peerpb.Frame{Body: &peerpb.Frame_Sync{Sync: out}}); err != nil {
		return err
	}
	for _, r := range receipts {
		paper := &peerpb.ReceiptPaper{Channel: ch.id, Receipt: r}
		if err := s.WriteFrame(&peerpb.Frame{Body: &peerpb.Frame_Receipt{Receipt: paper}}); err != nil {
			return err
		}
	}
	return nil
}

func (c *channels) syncWith(ctx context.Context, peer core.DID, in *peerpb.Sync) (*channel, [][]byte, error) {
	p, err := core.ParseParams(in.GetParams())
	if err != nil {
		return nil, nil, err
	}
	id, err := p.ChannelID()
	if err != nil {
		return nil, nil, err
	}
	ch, err := c.lookup(id)
	if errors.Is(err, core.ErrNotFound) {
		return nil, nil, nil // not open here yet: the proposal comes again
	}
	if err != nil {
		return nil, nil, err
	}
	if ch.role != core.RolePayee || ch.peer != peer {
		return nil, nil, fmt.Errorf("channel %.8s is not paid by %s: %w", id, peer.Short(), core.ErrDenied)
	}
	if err := c.adopt(ctx, ch, in.GetState()); err != nil {
		return nil, nil, err
	}
	receipts, err := c.unsettled(ch)
	return ch, receipts, err
}

// adopt takes over a higher state that bears both signatures.
func (c *channels) adopt(ctx context.Context, ch *channel, raw []byte) error {
	if len(raw) == 0 {
		return nil
	}
	state, err := ch.params.ParseState(raw)
	if err != nil {
		return err
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.state != nil && state.Version <= ch.state.Version {
		return nil
	}
	if err := core.Verify(state, c.network); err != nil {
		return err
	}
	key, err := core.Digest(state)
	if err != nil {
		return err
	}
	req := core.UpdateRequest{Key: key, Channel: ch.id, Role: ch.role, Document: raw}
	if _, err := c.payment.Update(ctx, req); err != nil {
		return fmt.Errorf("adopt version %d of channel %.8s: %w", state.Version, ch.id, err)
	}
	return c.save(ch, state)
}

// unsettled answers our receipts of locks that still stand.
func (c *channels) unsettled(ch *channel) ([][]byte, error) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.state == nil {
		return nil, nil
	}
	var out [][]byte
	for _, l := range ch.state.Locks {
		r, err := c.receipts.ofLock(ch.id, l.Task, l.Attempt)
		if errors.Is(err, core.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func (ch *channel) rawState() []byte {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.raw
}

func (ch *channel) isClosed() bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.closed || ch.state == nil
}
