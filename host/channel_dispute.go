package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/peerpb"
)

// dispute ends a channel without the other side: the highest state that both
// signed and our receipts of its locks are filed with the settlement backend,
// which freezes the channel. The claim goes to the other side too, which may
// answer within the challenge window.
func (c *channels) dispute(ctx context.Context, id string) (*channel, error) {
	ch, err := c.lookup(id)
	if err != nil {
		return nil, err
	}
	receipts, err := c.unsettled(ch)
	if err != nil {
		return nil, err
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	switch {
	case ch.state == nil || ch.closed:
		return nil, fmt.Errorf("channel %.8s is not open: %w", id, core.ErrConflict)
	case ch.disputed:
		return nil, fmt.Errorf("channel %.8s is in dispute already: %w", id, core.ErrExists)
	}
	if err := c.mayDispute(ch); err != nil {
		return nil, err
	}
	op, err := c.newOperation("dispute")
	if err != nil {
		return nil, err
	}
	claim, err := c.fileClaim(ctx, ch, op.Key, receipts)
	if err != nil {
		return nil, fmt.Errorf("dispute channel %.8s: %w", id, err)
	}
	ch.disputed = true
	if err := c.save(ch, ch.state); err != nil {
		return nil, err
	}
	c.deliverClaim(ctx, ch, claim, receipts)
	return ch, c.audit.append(core.AuditChannelDispute, ch.id, sha256Hex(claim))
}

// mayDispute says whether one of the locks lets us dispute now: as its worker
// with a receipt that is not settled, as its requester without one, from its
// expiry on and within a window. Without locks nothing but the deposit is at
// stake. The caller holds ch.mu.
func (c *channels) mayDispute(ch *channel) error {
	if len(ch.state.Locks) == 0 {
		return nil
	}
	err := fmt.Errorf("channel %.8s holds no lock that its %s may dispute: %w", ch.id, ch.role, core.ErrConflict)
	for _, l := range ch.state.Locks {
		_, missing := c.receipts.ofLock(ch.id, l.Task, l.Attempt)
		if missing != nil && !absent(missing) {
			return missing
		}
		if earned := missing == nil; earned != (ch.role == core.RolePayee) {
			continue
		}
		if err = core.CheckDisputeTime(ch.params, l, c.now()); err == nil {
			return nil
		}
	}
	return err
}

// fileClaim takes a claim through the plugin's two calls. The caller holds ch.mu.
func (c *channels) fileClaim(ctx context.Context, ch *channel, key string, receipts [][]byte) ([]byte, error) {
	var draft core.PendingDocument
	var err error
	for rest, first := receipts, true; first || len(rest) > 0; first = false {
		n := claimBatch(rest)
		req := core.DisputeRequest{Key: key, Channel: ch.id, State: ch.raw, Receipts: rest[:n]}
		if draft, err = c.payment.Dispute(ctx, req); err != nil {
			return nil, err
		}
		rest = rest[n:]
	}
	claim, err := core.Parse[core.Claim](draft.Document)
	if err != nil {
		return nil, fmt.Errorf("payment plugin's claim: %w", err)
	}
	if claim.Claimant != c.self.DID() {
		return nil, fmt.Errorf("payment plugin's claim is not ours: %w", core.ErrInvalid)
	}
	claim.Signatures = nil
	if err := core.Sign(claim, c.self); err != nil {
		return nil, err
	}
	// CheckClaim wants the signature too; the claim has not left yet.
	if err := core.CheckClaim(ch.params, claim, ch.state, receipts, c.now()); err != nil {
		return nil, fmt.Errorf("payment plugin's claim: %w", err)
	}
	signed, err := core.Encode(claim)
	if err != nil {
		return nil, err
	}
	_, err = c.payment.Dispute(ctx, core.DisputeRequest{Key: key, Channel: ch.id, Claim: signed})
	return signed, err
}

// claimBatch answers how many of the receipts fit one call of the plugin.
func claimBatch(receipts [][]byte) int {
	n, size := 0, 0
	for n < min(len(receipts), core.MaxClaimReceipts) && size+len(receipts[n]) <= core.MaxClaimReceiptBytes {
		size += len(receipts[n])
		n++
	}
	return n
}

// acceptClaim takes note of the other side's claim: the channel takes no more
// updates, and our own receipts are filed where the claim lacks them.
func (c *channels) acceptClaim(ctx context.Context, peer core.DID, d *peerpb.Dispute) error {
	claim, err := core.Parse[core.Claim](d.GetClaim())
	if err != nil {
		return err
	}
	if err := core.Verify(claim, c.network); err != nil {
		return err
	}
	ch, err := c.lookup(claim.Channel)
	if err != nil {
		return err
	}
	if ch.peer != peer || claim.Claimant != peer {
		return fmt.Errorf("channel %.8s: the claim is not of its other side: %w", ch.id, core.ErrDenied)
	}
	key, err := core.Digest(claim)
	if err != nil {
		return err
	}
	receipts, err := c.unsettled(ch)
	if err != nil {
		return err
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.closed {
		return fmt.Errorf("channel %.8s is closed: %w", ch.id, core.ErrConflict)
	}
	// The claim is over exactly its own receipts; ours go into one of our own.
	req := core.DisputeRequest{Key: key, Channel: ch.id, State: ch.raw, Receipts: d.GetReceipts(), Claim: d.GetClaim()}
	if _, err := c.payment.Dispute(ctx, req); err != nil && !errors.Is(err, core.ErrExists) {
		return fmt.Errorf("file the claim: %w", err)
	}
	answered := ch.disputed
	ch.disputed = true
	if err := c.save(ch, ch.state); err != nil {
		return err
	}
	if err := c.audit.append(core.AuditChannelDispute, ch.id, sha256Hex(d.GetClaim())); err != nil {
		return err
	}
	if more, err := lacking(d.GetReceipts(), receipts); answered || !more || err != nil {
		return err
	}
	return c.answerClaim(ctx, ch, receipts)
}

// lacking says whether a claim's receipts lack one of ours.
func lacking(theirs, ours [][]byte) (bool, error) {
	named := map[string]bool{}
	for _, r := range theirs {
		digest, err := core.ReceiptDigest(r)
		if err != nil {
			return false, err
		}
		named[digest] = true
	}
	for _, r := range ours {
		if digest, err := core.ReceiptDigest(r); err != nil || !named[digest] {
			return true, err
		}
	}
	return false, nil
}

// answerClaim files the receipts that the other side's claim lacks and sends it
// ours. The caller holds ch.mu; it is let go while the peer is asked.
func (c *channels) answerClaim(ctx context.Context, ch *channel, receipts [][]byte) error {
	op, err := c.newOperation("dispute")
	if err != nil {
		return err
	}
	claim, err := c.fileClaim(ctx, ch, op.Key, receipts)
	if err != nil {
		return fmt.Errorf("answer the claim over channel %.8s: %w", ch.id, err)
	}
	c.deliverClaim(ctx, ch, claim, receipts)
	return nil
}

// deliverClaim sends a filed claim to the other side. The caller holds ch.mu; it
// is let go meanwhile.
func (c *channels) deliverClaim(ctx context.Context, ch *channel, claim []byte, receipts [][]byte) {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	ch.mu.Unlock()
	defer ch.mu.Lock()
	f := &peerpb.Frame{Body: &peerpb.Frame_Dispute{Dispute: &peerpb.Dispute{Claim: claim, Receipts: receipts}}}
	if _, err := c.exchange(ctx, ch.peer, f); err != nil {
		c.log.Warn("claim not delivered", "channel", short(ch.id), "peer", ch.peer.Short(), "error", err)
	}
}
