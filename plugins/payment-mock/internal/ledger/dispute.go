package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/zerostate/zerostate/core"
)

// maxBackdate is how far before its arrival a claim of the other side may say it
// was filed: its clock may be off, but it does not shorten the window.
const maxBackdate = 2 * time.Minute

// filing is our own claim that waits for its signature.
type filing struct {
	Key      string   `json:"key"`
	State    []byte   `json:"state"`
	Receipts [][]byte `json:"receipts"`
	Claim    []byte   `json:"claim"` // unsigned
}

// dispute is what either side has filed.
type dispute struct {
	Filed    time.Time `json:"filed"` // the window runs from here
	States   [][]byte  `json:"states"`
	Receipts [][]byte  `json:"receipts"`
	Claims   [][]byte  `json:"claims"` // signed, the first opened the dispute
}

// Dispute implements core.Payment.
func (l *Ledger) Dispute(_ context.Context, req core.DisputeRequest) (core.PendingDocument, error) {
	if err := checkDispute(req); err != nil {
		return core.PendingDocument{}, err
	}
	leave, err := l.enter()
	if err != nil {
		return core.PendingDocument{}, err
	}
	defer leave()
	c, err := l.find(l.disputeKey(req.Channel))
	if err != nil {
		return core.PendingDocument{}, err
	}
	defer c.mu.Unlock()
	if d, err := l.finished(c.key, req.Key); err != nil || d != nil {
		return repeatedClaim(d, req, err)
	}
	switch {
	case c.Closed:
		return core.PendingDocument{}, fmt.Errorf("channel %.8s: is closed: %w", c.key.id, core.ErrConflict)
	case c.state == nil:
		return core.PendingDocument{}, fmt.Errorf("channel %.8s: is not open: %w", c.key.id, core.ErrConflict)
	case len(req.Claim) == 0:
		return l.proposeClaim(c, req)
	}
	return l.file(c, req)
}

func checkDispute(req core.DisputeRequest) error {
	var bad core.FieldErrors
	if req.Key == "" || len(req.Key) > maxKeyBytes {
		bad.Add("key", fmt.Sprintf("wants 1 to %d bytes", maxKeyBytes))
	}
	size := 0
	for _, r := range req.Receipts {
		size += len(r)
	}
	if len(req.Receipts) > core.MaxClaimReceipts || size > core.MaxClaimReceiptBytes {
		bad.Add("receipts", fmt.Sprintf("at most %d and %d bytes a call", core.MaxClaimReceipts, core.MaxClaimReceiptBytes))
	}
	return bad.Err()
}

// disputeKey is our side of a channel: the request does not name it.
func (l *Ledger) disputeKey(id string) channelKey {
	l.mu.Lock()
	defer l.mu.Unlock()
	payee := channelKey{id, core.RolePayee}
	if c := l.channels[payee]; c != nil && c.stored && (l.cfg.Node == "" || c.params.Payer != l.cfg.Node) {
		return payee
	}
	return channelKey{id, core.RolePayer}
}

// repeatedClaim answers a call under the key of a claim that is filed.
func repeatedClaim(d *done, req core.DisputeRequest, err error) (core.PendingDocument, error) {
	if err != nil {
		return core.PendingDocument{}, err
	}
	if d.Op != opDispute || len(req.Claim) > 0 && string(req.Claim) != string(d.Document) {
		return core.PendingDocument{}, fmt.Errorf("key %q was used for another %s: %w", req.Key, d.Op, core.ErrConflict)
	}
	return core.PendingDocument{Document: d.Document, Committed: true}, nil
}

// proposeClaim is the first call: an unsigned claim over the state and all
// receipts that calls under this key brought.
func (l *Ledger) proposeClaim(c *channel, req core.DisputeRequest) (core.PendingDocument, error) {
	if c.Filing != nil && c.Filing.Key != req.Key {
		return core.PendingDocument{}, &core.PendingError{Key: c.Filing.Key, Document: c.Filing.Claim}
	}
	f, filed := filing{Key: req.Key, State: req.State}, l.cfg.Now()
	if old := c.Filing; old != nil {
		f.Receipts = append(f.Receipts, old.Receipts...)
		if len(f.State) == 0 {
			f.State = old.State
		}
		claim, err := core.Parse[core.Claim](old.Claim)
		if err != nil {
			return core.PendingDocument{}, err
		}
		filed = claim.Filed.Time()
	}
	if len(f.State) == 0 {
		f.State = c.State
	}
	f.Receipts = appendNew(f.Receipts, req.Receipts)
	state, err := c.disputable(f.State)
	if err != nil {
		return core.PendingDocument{}, err
	}
	claim, err := core.NewClaim(c.params, c.own(), state, f.Receipts, filed)
	if err != nil {
		return core.PendingDocument{}, err
	}
	if err := l.checkTime(c, state, f.Receipts); err != nil {
		return core.PendingDocument{}, err
	}
	if f.Claim, err = core.Encode(claim); err != nil {
		return core.PendingDocument{}, err
	}
	r := c.record
	r.Filing = &f
	if err := l.write(c, change{record: r}); err != nil {
		return core.PendingDocument{}, err
	}
	return core.PendingDocument{Document: f.Claim}, nil
}

// disputable reads the state of a claim: one that both signed, and not older than
// ours.
func (c *channel) disputable(data []byte) (*core.State, error) {
	state, err := c.params.ParseState(data)
	if err != nil {
		return nil, err
	}
	if err := core.Verify(state, c.params.Network); err != nil {
		return nil, err
	}
	if state.Version < c.state.Version {
		return nil, fmt.Errorf("claim over version %d, version %d is committed: %w", state.Version, c.state.Version, core.ErrConflict)
	}
	return state, nil
}

// checkTime says whether our side may file now: to answer a claim always; else a
// worker over a lock with a receipt, a requester over one without, from its
// expiry on and within a window. A state without locks settles nothing and may be
// filed at any time: it only ends a channel whose other side is gone.
func (l *Ledger) checkTime(c *channel, state *core.State, envelopes [][]byte) error {
	if c.Dispute != nil || len(state.Locks) == 0 {
		return nil
	}
	receipts, err := verifyReceipts(c.params, envelopes)
	if err != nil {
		return err
	}
	err = fmt.Errorf("claim: no lock of version %d that the %s may dispute over: %w", state.Version, c.key.role, core.ErrConflict)
	for _, lock := range state.Locks {
		earned := false
		for _, r := range receipts {
			earned = earned || r.Predicate.Task == lock.Task && r.Predicate.Attempt == lock.Attempt
		}
		if earned != (c.key.role == core.RolePayee) {
			continue
		}
		if err = core.CheckDisputeTime(c.params, lock, l.cfg.Now()); err == nil {
			return nil
		}
	}
	return err
}

// appendNew appends what is not there yet.
func appendNew(list, more [][]byte) [][]byte {
	known := make(map[string]bool, len(list))
	for _, b := range list {
		known[string(b)] = true
	}
	for _, b := range more {
		if !known[string(b)] {
			known[string(b)] = true
			list = append(list, b)
		}
	}
	return list
}

// file is the second call, or the claim of the other side: it goes into the
// settlement log and freezes the channel.
func (l *Ledger) file(c *channel, req core.DisputeRequest) (core.PendingDocument, error) {
	claim, err := core.Parse[core.Claim](req.Claim)
	if err != nil {
		return core.PendingDocument{}, err
	}
	stateBytes, receipts := req.State, req.Receipts
	own := claim.Claimant == c.own()
	if own {
		if c.Filing == nil || c.Filing.Key != req.Key {
			return core.PendingDocument{}, fmt.Errorf("claim: nothing is pending under key %q: %w", req.Key, core.ErrConflict)
		}
		stateBytes, receipts = c.Filing.State, c.Filing.Receipts
	} else if len(stateBytes) == 0 {
		stateBytes = c.State
	}
	state, err := c.params.ParseState(stateBytes)
	if err != nil {
		return core.PendingDocument{}, err
	}
	now := l.cfg.Now()
	if err := core.CheckClaim(c.params, claim, state, receipts, now); err != nil {
		return core.PendingDocument{}, err
	}
	r := c.record
	if own {
		r.Filing = nil
	}
	r.Dispute = c.filed(claim, req.Claim, stateBytes, receipts, now)
	err = l.write(c, change{
		record: r, doneKey: req.Key, done: done{Op: opDispute, Document: req.Claim},
		log: &Entry{Kind: "claim", Document: req.Claim},
	})
	if err != nil {
		return core.PendingDocument{}, err
	}
	return core.PendingDocument{Document: req.Claim, Committed: true}, nil
}

// filed is the dispute with one more claim.
func (c *channel) filed(claim *core.Claim, raw, state []byte, receipts [][]byte, now time.Time) *dispute {
	d := &dispute{Filed: claim.Filed.Time(), States: [][]byte{c.State}}
	if earliest := now.Add(-maxBackdate); d.Filed.Before(earliest) {
		d.Filed = now
	}
	if c.Dispute != nil {
		*d = *c.Dispute
	}
	d.States = appendNew(append([][]byte(nil), d.States...), [][]byte{state})
	d.Receipts = appendNew(append([][]byte(nil), d.Receipts...), receipts)
	d.Claims = appendNew(append([][]byte(nil), d.Claims...), [][]byte{raw})
	return d
}

// settleDue closes a disputed channel whose time is over. The caller holds c.mu.
func (l *Ledger) settleDue(c *channel) error {
	if c.Dispute == nil || c.Closed {
		return nil
	}
	states := make([]*core.State, 0, len(c.Dispute.States))
	for _, data := range c.Dispute.States {
		s, err := c.params.ParseState(data)
		if err != nil {
			return err
		}
		states = append(states, s)
	}
	res, err := core.DisputeOutcome(c.params, states, c.Dispute.Receipts, c.Dispute.Filed, l.cfg.Now())
	if err != nil || !res.Closed {
		return err
	}
	r := c.record
	r.Pending, r.Filing = nil, nil
	r.Closed, r.PaidMicros, r.RefundMicros = true, res.PayeeMicros, res.PayerMicros
	return l.write(c, change{record: r, log: &Entry{Kind: "settle", PaidMicros: res.PayeeMicros, RefundMicros: res.PayerMicros}})
}
