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
	for _, l := range ch.state.Locks {
		if err := core.CheckDisputeTime(ch.params, l, c.now()); err != nil {
			return nil, err
		}
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
	f := &peerpb.Frame{Body: &peerpb.Frame_Dispute{Dispute: &peerpb.Dispute{Claim: claim, Receipts: receipts}}}
	ch.mu.Unlock()
	_, err = c.exchange(ctx, ch.peer, f)
	ch.mu.Lock()
	if err != nil {
		c.log.Info("claim not delivered; it goes again with the next sync", "peer", ch.peer.Short(), "error", err)
	}
	return ch, c.audit.append(core.AuditChannelDispute, ch.id, sha256Hex(claim))
}

// fileClaim takes a claim through the plugin's two calls. The caller holds ch.mu.
func (c *channels) fileClaim(ctx context.Context, ch *channel, key string, receipts [][]byte) ([]byte, error) {
	req := core.DisputeRequest{Key: key, Channel: ch.id, State: ch.raw, Receipts: receipts}
	draft, err := c.payment.Dispute(ctx, req)
	if err != nil {
		return nil, err
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
	req := core.DisputeRequest{Key: key, Channel: ch.id, State: ch.raw, Receipts: append(receipts, d.GetReceipts()...), Claim: d.GetClaim()}
	if _, err := c.payment.Dispute(ctx, req); err != nil && !errors.Is(err, core.ErrExists) {
		return fmt.Errorf("file the claim: %w", err)
	}
	ch.disputed = true
	if err := c.save(ch, ch.state); err != nil {
		return err
	}
	return c.audit.append(core.AuditChannelDispute, ch.id, sha256Hex(d.GetClaim()))
}
