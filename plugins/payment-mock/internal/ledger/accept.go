package ledger

import (
	"context"
	"fmt"

	"github.com/zerostate/zerostate/core"
)

// Open implements core.Payment.
func (l *Ledger) Open(_ context.Context, req core.OpenRequest) (core.PendingDocument, error) {
	if err := checkCall(req.Key, req.Role); err != nil {
		return core.PendingDocument{}, err
	}
	leave, err := l.enter()
	if err != nil {
		return core.PendingDocument{}, err
	}
	defer leave()
	params, id, err := l.checkParams(req.Params, req.Role)
	if err != nil {
		return core.PendingDocument{}, err
	}
	request, err := digestOf(opOpen, req.Params, req.AuditHead)
	if err != nil {
		return core.PendingDocument{}, err
	}
	c := l.claim(channelKey{id, req.Role}, params, req.Params)
	defer c.mu.Unlock()
	if len(req.Document) == 0 && req.Role == core.RolePayer {
		return l.proposeOpening(params, c, proposal{key: req.Key, op: opOpen, request: request}, req.AuditHead)
	}
	return l.accept(c, req.Key, opOpen, req.Document, nil)
}

// claim answers the channel, locked; a new one is only in memory until it is
// written.
func (l *Ledger) claim(key channelKey, params *core.Params, raw []byte) *channel {
	l.mu.Lock()
	c := l.channels[key]
	if c == nil {
		c = &channel{key: key, params: params, record: record{Params: raw}}
		l.channels[key] = c
	}
	l.mu.Unlock()
	c.mu.Lock()
	return c
}

// Update implements core.Payment.
func (l *Ledger) Update(_ context.Context, req core.UpdateRequest) (core.PendingDocument, error) {
	if err := checkCall(req.Key, req.Role); err != nil {
		return core.PendingDocument{}, err
	}
	leave, err := l.enter()
	if err != nil {
		return core.PendingDocument{}, err
	}
	defer leave()
	if req.Changes.Final {
		return core.PendingDocument{}, &core.FieldError{Path: "changes.final", Problem: "use Close"}
	}
	request, err := digestOf(opUpdate, req.Changes, req.Receipts)
	if err != nil {
		return core.PendingDocument{}, err
	}
	c, err := l.find(channelKey{req.Channel, req.Role})
	if err != nil {
		return core.PendingDocument{}, err
	}
	defer c.mu.Unlock()
	if len(req.Document) == 0 && req.Role == core.RolePayer {
		return l.propose(c, proposal{key: req.Key, op: opUpdate, request: request, changes: req.Changes, receipts: req.Receipts})
	}
	return l.accept(c, req.Key, opUpdate, req.Document, req.Receipts)
}

// Close implements core.Payment.
func (l *Ledger) Close(_ context.Context, req core.CloseRequest) (core.PendingDocument, error) {
	if err := checkCall(req.Key, req.Role); err != nil {
		return core.PendingDocument{}, err
	}
	leave, err := l.enter()
	if err != nil {
		return core.PendingDocument{}, err
	}
	defer leave()
	request, err := digestOf(opClose, req.AuditHead)
	if err != nil {
		return core.PendingDocument{}, err
	}
	c, err := l.find(channelKey{req.Channel, req.Role})
	if err != nil {
		return core.PendingDocument{}, err
	}
	defer c.mu.Unlock()
	if len(req.Document) == 0 && req.Role == core.RolePayer {
		changes := core.Changes{Final: true, AuditHead: req.AuditHead}
		return l.propose(c, proposal{key: req.Key, op: opClose, request: request, changes: changes})
	}
	return l.accept(c, req.Key, opClose, req.Document, nil)
}

// accept takes a document that bears signatures: the payee's check of one that
// the payer signed, or the commit of one that both signed.
func (l *Ledger) accept(c *channel, key, op string, document []byte, envelopes [][]byte) (core.PendingDocument, error) {
	if len(document) == 0 {
		return core.PendingDocument{}, fmt.Errorf("%w: %w", errPayeeProposes, core.ErrInvalid)
	}
	next, err := c.params.ParseState(document)
	if err != nil {
		return core.PendingDocument{}, err
	}
	switch n := len(next.Signatures); {
	case n == 2:
		return l.commit(c, key, op, next, document, envelopes)
	case n != 1 || c.key.role == core.RolePayer:
		return core.PendingDocument{}, fmt.Errorf("document of the %s bears %d signatures: %w", c.key.role, n, core.ErrInvalid)
	}
	if err := core.VerifyFirst(next, c.params.Network, 1); err != nil {
		return core.PendingDocument{}, err
	}
	if d, err := l.finished(c.key, key); err != nil || d != nil {
		return repeatedHalf(d, c.params, next, err)
	}
	if _, err := l.follows(c, op, next, envelopes); err != nil {
		return core.PendingDocument{}, err
	}
	return core.PendingDocument{Document: document}, nil
}

// repeatedHalf answers a payee's first call under a key that is finished: the
// committed document, if it is the same one.
func repeatedHalf(d *done, params *core.Params, half *core.State, err error) (core.PendingDocument, error) {
	if err != nil {
		return core.PendingDocument{}, err
	}
	full, err := params.ParseState(d.Document)
	if err != nil {
		return core.PendingDocument{}, err
	}
	full.Signatures = full.Signatures[:1]
	got, err := core.Encode(half)
	if err != nil {
		return core.PendingDocument{}, err
	}
	want, err := core.Encode(full)
	if err != nil {
		return core.PendingDocument{}, err
	}
	if string(got) != string(want) {
		return core.PendingDocument{}, fmt.Errorf("key was used for another %s: %w", d.Op, core.ErrConflict)
	}
	return core.PendingDocument{Document: d.Document, Committed: true}, nil
}

// isCommitted says whether a state is the committed one, whatever its
// signatures.
func (c *channel) isCommitted(s *core.State) (bool, error) {
	if c.state == nil || s.Version != c.state.Version {
		return false, nil
	}
	a, err := core.Digest(s)
	if err != nil {
		return false, err
	}
	b, err := core.Digest(c.state)
	return a == b, err
}

// follows checks that a state may follow the committed one and answers its new
// locks.
func (l *Ledger) follows(c *channel, op string, next *core.State, envelopes [][]byte) ([]core.Lock, error) {
	if op == opOpen {
		if c.state != nil {
			return nil, fmt.Errorf("channel %.8s: is open: %w", c.key.id, core.ErrExists)
		}
		return nil, core.CheckOpening(c.params, next)
	}
	if err := c.usable(); err != nil {
		return nil, err
	}
	if c.state == nil {
		return nil, fmt.Errorf("channel %.8s: its opening state is pending: %w", c.key.id, core.ErrConflict)
	}
	if next.Final != (op == opClose) {
		return nil, fmt.Errorf("%s: a state with final %t: %w", op, next.Final, core.ErrInvalid)
	}
	receipts, err := verifyReceipts(c.params, envelopes)
	if err != nil {
		return nil, err
	}
	if err := core.CheckFollows(c.params, c.state, next, receipts); err != nil {
		return nil, err
	}
	var added []core.Lock
	for _, lock := range next.Locks {
		if _, kept := c.state.Lock(lock.Task, lock.Attempt); !kept {
			added = append(added, lock)
		}
	}
	return added, l.lockedBefore(c.key, added)
}

// commit makes a state that both signed the committed one, once.
func (l *Ledger) commit(c *channel, key, op string, next *core.State, document []byte, envelopes [][]byte) (core.PendingDocument, error) {
	if err := core.Verify(next, c.params.Network); err != nil {
		return core.PendingDocument{}, err
	}
	if same, err := c.isCommitted(next); same || err != nil {
		return core.PendingDocument{Document: c.State, Committed: same}, err
	}
	request, locks, err := l.checkCommit(c, key, op, next, envelopes)
	if err != nil {
		return core.PendingDocument{}, err
	}
	r := c.record
	r.Pending, r.State = nil, document
	ch := change{locks: locks, doneKey: key, done: done{Op: op, Request: request, Document: document}}
	switch {
	case next.Final:
		r.Closed, r.PaidMicros, r.RefundMicros = true, next.PayeeMicros, next.PayerMicros
		ch.log = &Entry{Kind: "close", PaidMicros: next.PayeeMicros, RefundMicros: next.PayerMicros, Document: document}
	case op == opOpen:
		ch.log = &Entry{Kind: "escrow", Document: document}
	}
	ch.record = r
	if err := l.write(c, ch); err != nil {
		return core.PendingDocument{}, err
	}
	return core.PendingDocument{Document: document, Committed: true}, nil
}

// checkCommit checks that a state may be committed under the key: it is what
// pends, or, where nothing pends, what follows. It answers the digest of the
// request that the key stands for and the state's new locks.
func (l *Ledger) checkCommit(c *channel, key, op string, next *core.State, envelopes [][]byte) (string, []core.Lock, error) {
	d, err := l.finished(c.key, key)
	if err != nil {
		return "", nil, err
	}
	if d != nil {
		return "", nil, fmt.Errorf("key %q was used for another document: %w", key, core.ErrConflict)
	}
	p := c.Pending
	if p == nil {
		locks, err := l.follows(c, op, next, envelopes)
		return "", locks, err
	}
	proposed, err := c.params.ParseState(p.Document)
	if err != nil {
		return "", nil, err
	}
	want, err := core.Digest(proposed)
	if err != nil {
		return "", nil, err
	}
	got, err := core.Digest(next)
	if err != nil {
		return "", nil, err
	}
	if key != p.Key || op != p.Op || got != want {
		return "", nil, &core.PendingError{Key: p.Key, Document: p.Document}
	}
	if c.state == nil {
		return p.Request, nil, nil
	}
	if err := c.usable(); err != nil {
		return "", nil, err
	}
	var added []core.Lock
	for _, lock := range next.Locks {
		if _, kept := c.state.Lock(lock.Task, lock.Attempt); !kept {
			added = append(added, lock)
		}
	}
	return p.Request, added, nil
}
