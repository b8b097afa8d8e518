package fake

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/zerostate/zerostate/core"
)

// dispute is what was filed over a channel, and the claim that is being made.
type dispute struct {
	claim    []byte    // the first that was filed
	at       time.Time // when
	states   []*core.State
	receipts [][]byte
	draft    *claimDraft
	done     map[string][]byte // filed claim by key
}

// claimDraft is an unsigned claim with what travels beside it.
type claimDraft struct {
	key      string
	state    *core.State
	receipts [][]byte
	filed    time.Time
	document []byte
}

func (d *dispute) filed() bool { return d.claim != nil }

func (d *dispute) outcome(p *core.Params, now time.Time) (*core.DisputeResult, error) {
	return core.DisputeOutcome(p, d.states, d.receipts, d.at, now)
}

// Dispute makes a claim, and files claims of either side.
func (p *Payment) Dispute(_ context.Context, req core.DisputeRequest) (core.PendingDocument, error) {
	if err := checkDispute(req); err != nil {
		return core.PendingDocument{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	ch := p.channels[req.Channel]
	if ch == nil {
		return core.PendingDocument{}, fmt.Errorf("channel %.8s: %w", req.Channel, core.ErrNotFound)
	}
	if doc, ok := ch.dispute.done[req.Key]; ok {
		return core.PendingDocument{Document: doc, Committed: true}, nil
	}
	if err := p.disputable(ch); err != nil {
		return core.PendingDocument{}, err
	}
	draft, err := p.draft(ch, req)
	if err != nil {
		return core.PendingDocument{}, err
	}
	if len(req.Claim) > 0 {
		return p.file(ch, req, draft)
	}
	claim, err := core.NewClaim(ch.params, p.node, draft.state, draft.receipts, draft.filed)
	if err != nil {
		return core.PendingDocument{}, err
	}
	if draft.document, err = core.Encode(claim); err != nil {
		return core.PendingDocument{}, err
	}
	ch.dispute.draft = draft
	return core.PendingDocument{Document: draft.document}, nil
}

func checkDispute(req core.DisputeRequest) error {
	size := 0
	for _, r := range req.Receipts {
		size += len(r)
	}
	switch {
	case req.Key == "":
		return core.FieldError{Path: "key", Problem: "must not be empty"}
	case len(req.Receipts) > core.MaxClaimReceipts || size > core.MaxClaimReceiptBytes:
		return core.FieldError{Path: "receipts", Problem: "more than one call may bring"}
	}
	return nil
}

// disputable says whether a claim may still be filed.
func (p *Payment) disputable(ch *channel) error {
	if ch.state == nil || ch.state.Final {
		return fmt.Errorf("channel %.8s: %w: not open", ch.id, core.ErrConflict)
	}
	if ch.dispute.filed() && !p.now().Before(ch.dispute.at.Add(ch.params.ChallengeWindow())) {
		return fmt.Errorf("channel %.8s: %w: the challenge window is over", ch.id, core.ErrConflict)
	}
	return nil
}

// draft returns the draft of the key with what the request adds to it.
func (p *Payment) draft(ch *channel, req core.DisputeRequest) (*claimDraft, error) {
	draft := &claimDraft{key: req.Key, filed: p.now()}
	if old := ch.dispute.draft; old != nil {
		if old.key == req.Key {
			*draft = *old
		} else if len(req.Claim) == 0 {
			return nil, &core.PendingError{Key: old.key, Document: old.document}
		}
	}
	if len(req.State) > 0 {
		state, err := ch.params.ParseState(req.State)
		if err != nil {
			return nil, err
		}
		if err := core.Verify(state, p.network); err != nil {
			return nil, err
		}
		draft.state = state
	}
	if draft.state == nil {
		return nil, core.FieldError{Path: "state", Problem: "must be the highest state that both signed"}
	}
	draft.receipts = slices.Clone(draft.receipts)
	for _, r := range req.Receipts {
		known := slices.ContainsFunc(draft.receipts, func(have []byte) bool { return string(have) == string(r) })
		if !known {
			draft.receipts = append(draft.receipts, r)
		}
	}
	return draft, nil
}

// file files a signed claim with the state and receipts beside it.
func (p *Payment) file(ch *channel, req core.DisputeRequest, draft *claimDraft) (core.PendingDocument, error) {
	claim, err := core.Parse[core.Claim](req.Claim)
	if err != nil {
		return core.PendingDocument{}, err
	}
	if err := core.CheckClaim(ch.params, claim, draft.state, draft.receipts, p.now()); err != nil {
		return core.PendingDocument{}, err
	}
	d := &ch.dispute
	if !d.filed() {
		d.claim, d.at = slices.Clone(req.Claim), claim.Filed.Time()
		d.states = []*core.State{ch.state}
	}
	d.states = append(d.states, draft.state)
	d.receipts = append(d.receipts, draft.receipts...)
	if d.draft != nil && d.draft.key == req.Key {
		d.draft = nil
	}
	if d.done == nil {
		d.done = map[string][]byte{}
	}
	d.done[req.Key] = slices.Clone(req.Claim)
	ch.pending = nil // a disputed channel has no next state
	return core.PendingDocument{Document: d.done[req.Key], Committed: true}, nil
}
