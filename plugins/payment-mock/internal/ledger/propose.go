package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/zerostate/zerostate/core"
)

// proposal is the payer's first call of Open, Update or Close.
type proposal struct {
	key      string
	op       string
	request  string // digest of what is asked for
	changes  core.Changes
	receipts [][]byte
}

// digestOf identifies a request, so that a key is not used for two.
func digestOf(parts ...any) (string, error) {
	b, err := json.Marshal(parts)
	if err != nil {
		return "", fmt.Errorf("request: %w", err)
	}
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:]), nil
}

// repeated answers a call whose key is known: finished, or pending. ok is false
// where the key is new and nothing pends; ErrConflict where the key stands for
// something else, or something else pends.
func (l *Ledger) repeated(c *channel, p proposal) (doc core.PendingDocument, ok bool, err error) {
	d, err := l.finished(c.key, p.key)
	if err != nil {
		return doc, false, err
	}
	if d != nil {
		if d.Op != p.op || d.Request != p.request {
			return doc, false, fmt.Errorf("key %q was used for another %s: %w", p.key, d.Op, core.ErrConflict)
		}
		return core.PendingDocument{Document: d.Document, Committed: true}, true, nil
	}
	switch {
	case c.Pending == nil:
		return doc, false, nil
	case c.Pending.Key != p.key:
		return doc, false, &core.PendingError{Key: c.Pending.Key, Document: c.Pending.Document}
	case c.Pending.Op != p.op || c.Pending.Request != p.request:
		return doc, false, fmt.Errorf("key %q is pending for another request: %w", p.key, core.ErrConflict)
	}
	return core.PendingDocument{Document: c.Pending.Document}, true, nil
}

// propose is the payer's first call on an open channel: the next state, unsigned,
// pending and synced.
func (l *Ledger) propose(c *channel, p proposal) (core.PendingDocument, error) {
	if doc, ok, err := l.repeated(c, p); ok || err != nil {
		return doc, err
	}
	if err := c.usable(); err != nil {
		return core.PendingDocument{}, err
	}
	if p.op == opClose && len(c.state.Locks) > 0 {
		return core.PendingDocument{}, fmt.Errorf("close channel %.8s: %d locks are held: %w", c.key.id, len(c.state.Locks), core.ErrConflict)
	}
	receipts, err := verifyReceipts(c.params, p.receipts)
	if err != nil {
		return core.PendingDocument{}, err
	}
	if err := l.lockedBefore(c.key, p.changes.Add); err != nil {
		return core.PendingDocument{}, err
	}
	next, err := core.NextState(c.params, c.state, p.changes)
	if err != nil {
		return core.PendingDocument{}, err
	}
	if err := core.CheckFollows(c.params, c.state, next, receipts); err != nil {
		return core.PendingDocument{}, err
	}
	return l.pend(c, p, next)
}

// pend stores a proposal.
func (l *Ledger) pend(c *channel, p proposal, next *core.State) (core.PendingDocument, error) {
	doc, err := core.Encode(next)
	if err != nil {
		return core.PendingDocument{}, err
	}
	r := c.record
	r.Pending = &pending{Key: p.key, Op: p.op, Request: p.request, Document: doc}
	if err := l.write(c, change{record: r}); err != nil {
		return core.PendingDocument{}, err
	}
	return core.PendingDocument{Document: doc}, nil
}

// proposeOpening is the payer's first call of Open: it takes the deposit out of
// the payer's account.
func (l *Ledger) proposeOpening(params *core.Params, c *channel, p proposal, head core.AuditHead) (core.PendingDocument, error) {
	if doc, ok, err := l.repeated(c, p); ok || err != nil {
		return doc, err
	}
	if c.state != nil {
		return core.PendingDocument{}, fmt.Errorf("channel %.8s: is open: %w", c.key.id, core.ErrExists)
	}
	if params.DepositMicros < l.cfg.MinDepositMicros {
		return core.PendingDocument{}, &core.FieldError{Path: "params.depositMicros", Problem: fmt.Sprintf("got %d, at least %d", params.DepositMicros, l.cfg.MinDepositMicros)}
	}
	opening, err := core.OpeningState(params, head)
	if err != nil {
		return core.PendingDocument{}, err
	}
	l.opening.Lock()
	defer l.opening.Unlock()
	if have := l.Balance(params.Payer); have < params.DepositMicros {
		return core.PendingDocument{}, fmt.Errorf("deposit %d of %d micros: %w", params.DepositMicros, have, core.ErrExhausted)
	}
	return l.pend(c, p, opening)
}

// verifyReceipts reads receipts that at least the worker signed.
func verifyReceipts(p *core.Params, envelopes [][]byte) ([]*core.Receipt, error) {
	receipts := make([]*core.Receipt, 0, len(envelopes))
	for i, e := range envelopes {
		r, err := core.VerifyReceipt(e, p.Network, true)
		if err != nil {
			return nil, fmt.Errorf("receipt %d: %w", i, err)
		}
		receipts = append(receipts, r)
	}
	return receipts, nil
}

// checkParams reads the params of a channel that is to be opened.
func (l *Ledger) checkParams(data []byte, role core.ChannelRole) (*core.Params, string, error) {
	p, err := core.ParseParams(data)
	if err != nil {
		return nil, "", err
	}
	id, err := p.ChannelID()
	switch {
	case err != nil:
		return nil, "", err
	case p.Network != l.cfg.Network:
		return nil, "", fmt.Errorf("channel of network %q, this node is on %q: %w", p.Network, l.cfg.Network, core.ErrDenied)
	case l.cfg.Node != "" && sideOf(p, role) != l.cfg.Node:
		return nil, "", &core.FieldError{Path: "role", Problem: fmt.Sprintf("the %s of the channel is %s", role, sideOf(p, role).Short())}
	case p.Backend != Backend:
		return nil, "", fmt.Errorf("backend %q, this is %s: %w", p.Backend, Backend, core.ErrUnsupported)
	case p.Currency != l.cfg.Currency:
		return nil, "", fmt.Errorf("currency %q, this backend has %s: %w", p.Currency, l.cfg.Currency, core.ErrUnsupported)
	}
	return p, id, nil
}

// sideOf is the node did of a side of a channel.
func sideOf(p *core.Params, role core.ChannelRole) core.DID {
	if role == core.RolePayer {
		return p.Payer
	}
	return p.Payee
}

// errPayeeProposes is the answer to a payee's call without a document.
var errPayeeProposes = errors.New("only the payer proposes: a payee brings the payer's signed document")
