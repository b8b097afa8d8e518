package host

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/p2p"
	"github.com/zerostate/zerostate/host/internal/peerpb"
)

// serve answers a peer's frames on a channel/1 stream until the stream ends.
func (c *channels) serve(ctx context.Context, peer core.DID, s frames) {
	for {
		f, err := s.ReadFrame()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				c.log.Debug("channel stream ended", "peer", peer.Short(), "error", err)
			}
			return
		}
		if sync := f.GetSync(); sync != nil {
			if err := c.answerSync(ctx, peer, s, sync); err != nil {
				c.log.Debug("channel sync failed", "peer", peer.Short(), "error", err)
				return
			}
			continue
		}
		if err := s.WriteFrame(c.answer(extractTrace(ctx, f), peer, f)); err != nil {
			return
		}
	}
}

// answer is the payee's answer to one proposal.
func (c *channels) answer(ctx context.Context, peer core.DID, f *peerpb.Frame) *peerpb.Frame {
	var signed []byte
	var err error
	switch {
	case f.GetOpen() != nil:
		signed, err = c.acceptOpen(ctx, peer, f.GetOpen())
	case f.GetUpdate() != nil:
		signed, err = c.acceptNext(ctx, peer, f.GetUpdate().GetDocument(), f.GetUpdate().GetReceipts(), false)
	case f.GetClose() != nil:
		signed, err = c.acceptNext(ctx, peer, f.GetClose().GetDocument(), f.GetClose().GetReceipts(), true)
	case f.GetDispute() != nil:
		err = c.acceptClaim(ctx, peer, f.GetDispute())
	default:
		err = fmt.Errorf("not a frame of channel/1: %w", core.ErrInvalid)
	}
	if err != nil {
		c.log.Warn("channel proposal refused", "peer", peer.Short(), "error", err)
		return &peerpb.Frame{Body: &peerpb.Frame_Error{Error: p2p.EncodeError(err)}}
	}
	return &peerpb.Frame{Body: &peerpb.Frame_Signed{Signed: &peerpb.Signed{Document: signed}}}
}

// acceptOpen checks and countersigns version 0 of a channel that peer pays.
func (c *channels) acceptOpen(ctx context.Context, peer core.DID, open *peerpb.Open) ([]byte, error) {
	ch, err := c.newChannel(core.RolePayee, open.GetParams())
	if err != nil {
		return nil, err
	}
	p := ch.params
	switch {
	case p.Network != c.network:
		return nil, fmt.Errorf("channel is of network %q: %w", p.Network, core.ErrDenied)
	case p.Payer != peer || p.Payee != c.self.DID():
		return nil, fmt.Errorf("channel is between others: %w", core.ErrDenied)
	case p.DepositMicros < c.terms.MinDepositMicros:
		return nil, refusal(core.ErrDenied, fmt.Sprintf("deposit of %d micros is below %d", p.DepositMicros, c.terms.MinDepositMicros))
	}
	// The same Open on two streams must not make two channels.
	c.accepting.Lock()
	defer c.accepting.Unlock()
	c.mu.Lock()
	if known, ok := c.byID[ch.id]; ok {
		ch = known
	}
	c.mu.Unlock()
	ch.mu.Lock()
	defer ch.mu.Unlock()
	state, err := p.ParseState(open.GetDocument())
	if err != nil {
		return nil, err
	}
	if again, ok := ch.repeats(state); ok {
		return again, nil
	}
	if err := core.CheckOpening(p, state); err != nil {
		return nil, err
	}
	req := core.OpenRequest{Role: core.RolePayee, Params: open.GetParams(), AuditHead: state.AuditHead}
	err = c.countersign(ctx, ch, state, func(ctx context.Context, key string, doc []byte) error {
		req.Key, req.Document = key, doc
		_, err := c.payment.Open(ctx, req)
		return err
	})
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.byID[ch.id] = ch
	c.mu.Unlock()
	return ch.raw, c.audit.append(core.AuditChannelOpen, ch.id, "")
}

// repeats answers the state that both signed when a proposal of it comes again.
// The caller holds ch.mu.
func (ch *channel) repeats(state *core.State) ([]byte, bool) {
	if ch.state == nil || ch.state.Version != state.Version {
		return nil, false
	}
	old, err1 := core.Digest(ch.state)
	now, err2 := core.Digest(state)
	return ch.raw, err1 == nil && err2 == nil && old == now
}

// acceptNext checks and countersigns the state that follows. It is signed
// whatever its new locks are for: signing a lock is not accepting the task.
func (c *channels) acceptNext(ctx context.Context, peer core.DID, doc []byte, receipts [][]byte, final bool) ([]byte, error) {
	raw, err := core.Parse[core.State](doc)
	if err != nil {
		return nil, err
	}
	ch, err := c.lookup(raw.Channel)
	if err != nil {
		return nil, err
	}
	if ch.role != core.RolePayee || ch.peer != peer {
		return nil, fmt.Errorf("channel %.8s is not paid by %s: %w", ch.id, peer.Short(), core.ErrDenied)
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	state, err := ch.params.ParseState(doc)
	if err != nil {
		return nil, err
	}
	if again, ok := ch.repeats(state); ok {
		return again, nil
	}
	if ch.disputed {
		return nil, fmt.Errorf("channel %.8s is in dispute: %w", ch.id, core.ErrConflict)
	}
	if state.Final != final {
		return nil, fmt.Errorf("channel %.8s: a final state comes as Close: %w", ch.id, core.ErrInvalid)
	}
	parsed, err := c.checkReceipts(receipts)
	if err != nil {
		return nil, err
	}
	if err := core.CheckFollows(ch.params, ch.state, state, parsed); err != nil {
		return nil, refusal(err, err.Error())
	}
	err = c.countersign(ctx, ch, state, func(ctx context.Context, key string, doc []byte) error {
		var err error
		if final {
			_, err = c.payment.Close(ctx, core.CloseRequest{Key: key, Channel: ch.id, Role: core.RolePayee, AuditHead: state.AuditHead, Document: doc})
		} else {
			_, err = c.payment.Update(ctx, core.UpdateRequest{Key: key, Channel: ch.id, Role: core.RolePayee, Receipts: receipts, Document: doc})
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if final {
		err = c.audit.append(core.AuditChannelClose, ch.id, "")
	}
	return ch.raw, err
}

// checkReceipts verifies the worker's signature on each receipt.
func (c *channels) checkReceipts(envelopes [][]byte) ([]*core.Receipt, error) {
	out := make([]*core.Receipt, 0, len(envelopes))
	for i, e := range envelopes {
		r, err := core.VerifyReceipt(e, c.network, true)
		if err != nil {
			return nil, fmt.Errorf("receipts[%d]: %w", i, err)
		}
		out = append(out, r)
	}
	return out, nil
}

// countersign takes a payer's document through the plugin's two calls; the
// payee's signature leaves only after the second. The caller holds ch.mu.
func (c *channels) countersign(ctx context.Context, ch *channel, state *core.State, call func(ctx context.Context, key string, doc []byte) error) error {
	if err := core.VerifyFirst(state, c.network, 1); err != nil {
		return err
	}
	key, err := core.Digest(state)
	if err != nil {
		return err
	}
	doc, err := core.Encode(state)
	if err != nil {
		return err
	}
	if err := call(ctx, key, doc); err != nil {
		return fmt.Errorf("payment: %w", err)
	}
	if err := c.guard.sign(state, c.self); err != nil {
		return err
	}
	if doc, err = core.Encode(state); err != nil {
		return err
	}
	if err := call(ctx, key, doc); err != nil {
		return fmt.Errorf("payment: commit: %w", err)
	}
	return c.save(ch, state)
}
