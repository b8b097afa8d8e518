package fake

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/zerostate/zerostate/core"
)

// What the fake payment quotes.
const (
	Currency        = "TEST"
	ChallengeWindow = 10 * time.Minute
	minDeposit      = 1
	maxMicros       = 1<<53 - 1
)

// Payment keeps channels in memory by the real rules of core.
type Payment struct {
	node    core.DID
	network string
	now     func() time.Time

	mu       sync.Mutex
	channels map[string]*channel
}

// NewPayment returns a payment of a node without channels; now may be nil.
func NewPayment(node core.DID, network string, now func() time.Time) *Payment {
	if now == nil {
		now = time.Now
	}
	return &Payment{node: node, network: network, now: now, channels: map[string]*channel{}}
}

// channel is one channel in the eyes of one side.
type channel struct {
	id      string
	params  *core.Params
	role    core.ChannelRole
	state   *core.State // committed; nil before the opening state is
	bytes   []byte      // state's
	pending *pendingCall
	done    map[string][]byte // committed document by key
	locked  map[attempt]bool  // every attempt that was ever locked
	dispute dispute
}

type attempt struct {
	task string
	n    int64
}

type pendingCall struct {
	key      string
	document []byte
}

// Quote computes the charge of the units.
func (p *Payment) Quote(_ context.Context, req core.QuoteRequest) (core.Quote, error) {
	if req.Currency != Currency || req.Price.Currency != Currency {
		return core.Quote{}, fmt.Errorf("quote in %.12q: %w: the fake backend knows %s", req.Currency, core.ErrUnsupported, Currency)
	}
	metering := core.VerifiableMetering{Req: req.MaxUnits, Byte: req.MaxUnits}
	charge, err := core.Charge(req.Price, core.Metering{Verifiable: metering}, maxMicros)
	if err != nil {
		return core.Quote{}, err
	}
	return core.Quote{
		MaxMicros: charge, Currency: Currency, Backend: Name, ChallengeWindow: ChallengeWindow, MinDepositMicros: minDeposit,
	}, nil
}

// Open makes a channel.
func (p *Payment) Open(_ context.Context, req core.OpenRequest) (core.PendingDocument, error) {
	params, err := core.ParseParams(req.Params)
	if err != nil {
		return core.PendingDocument{}, err
	}
	if err := p.ours(params, req.Role); err != nil {
		return core.PendingDocument{}, err
	}
	id, err := params.ChannelID()
	if err != nil {
		return core.PendingDocument{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	ch, known := p.channels[id]
	if !known {
		ch = &channel{id: id, params: params, role: req.Role, done: map[string][]byte{}, locked: map[attempt]bool{}}
	}
	doc, err := p.step(ch, call{
		key: req.Key, role: req.Role, document: req.Document,
		allowed: func() error {
			if ch.state != nil {
				return fmt.Errorf("channel %.8s: %w", id, core.ErrExists)
			}
			return nil
		},
		propose: func() (*core.State, error) { return core.OpeningState(params, req.AuditHead) },
		check:   func(s *core.State) error { return core.CheckOpening(params, s) },
	})
	if err == nil && (ch.state != nil || ch.pending != nil) {
		p.channels[id] = ch
	}
	return doc, err
}

// ours checks that this node has the role in the channel.
func (p *Payment) ours(params *core.Params, role core.ChannelRole) error {
	side := params.Payer
	if role == core.RolePayee {
		side = params.Payee
	}
	switch {
	case role != core.RolePayer && role != core.RolePayee:
		return core.FieldError{Path: "role", Problem: "must be payer or payee"}
	case side != p.node:
		return core.FieldError{Path: "role", Problem: fmt.Sprintf("the %s of the channel is %s", role, side.Short())}
	case params.Network != p.network:
		return fmt.Errorf("channel of network %.20q: %w", params.Network, core.ErrDenied)
	}
	return nil
}

// Update moves a channel to its next state.
func (p *Payment) Update(_ context.Context, req core.UpdateRequest) (core.PendingDocument, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ch, err := p.channel(req.Channel, req.Role)
	if err != nil {
		return core.PendingDocument{}, err
	}
	if req.Changes.Final {
		return core.PendingDocument{}, core.FieldError{Path: "changes.final", Problem: "a channel ends by Close"}
	}
	receipts, err := p.receipts(req.Receipts)
	if err != nil {
		return core.PendingDocument{}, err
	}
	return p.step(ch, call{
		key: req.Key, role: req.Role, document: req.Document, allowed: ch.open,
		propose: func() (*core.State, error) {
			next, err := core.NextState(ch.params, ch.state, req.Changes)
			if err != nil {
				return nil, err
			}
			return next, ch.follows(next, receipts, false)
		},
		check: func(s *core.State) error { return ch.follows(s, receipts, false) },
	})
}

// Close ends a channel.
func (p *Payment) Close(_ context.Context, req core.CloseRequest) (core.PendingDocument, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ch, err := p.channel(req.Channel, req.Role)
	if err != nil {
		return core.PendingDocument{}, err
	}
	return p.step(ch, call{
		key: req.Key, role: req.Role, document: req.Document,
		allowed: func() error {
			if err := ch.open(); err != nil {
				return err
			}
			if n := len(ch.state.Locks); n > 0 {
				return fmt.Errorf("channel %.8s: %w: %d locks are held", ch.id, core.ErrConflict, n)
			}
			return nil
		},
		propose: func() (*core.State, error) {
			return core.NextState(ch.params, ch.state, core.Changes{Final: true, AuditHead: req.AuditHead})
		},
		check: func(s *core.State) error { return ch.follows(s, nil, true) },
	})
}

// channel finds a channel in which this node has the role.
func (p *Payment) channel(id string, role core.ChannelRole) (*channel, error) {
	ch := p.channels[id]
	if ch == nil {
		return nil, fmt.Errorf("channel %.8s: %w", id, core.ErrNotFound)
	}
	if role != ch.role {
		return nil, core.FieldError{Path: "role", Problem: fmt.Sprintf("this node is the %s", ch.role)}
	}
	return ch, nil
}

// open says whether the channel takes a next state.
func (c *channel) open() error {
	switch {
	case c.state == nil:
		return fmt.Errorf("channel %.8s: %w: not open yet", c.id, core.ErrConflict)
	case c.state.Final:
		return fmt.Errorf("channel %.8s: %w: closed", c.id, core.ErrConflict)
	case c.dispute.filed():
		return fmt.Errorf("channel %.8s: %w: disputed", c.id, core.ErrConflict)
	}
	return nil
}

// follows checks a next state by the rules of core, and that it locks no
// attempt again.
func (c *channel) follows(next *core.State, receipts []*core.Receipt, final bool) error {
	if err := core.CheckFollows(c.params, c.state, next, receipts); err != nil {
		return err
	}
	if next.Final != final {
		return core.FieldError{Path: "final", Problem: fmt.Sprintf("must be %t", final)}
	}
	for _, l := range next.Locks {
		_, kept := c.state.Lock(l.Task, l.Attempt)
		if !kept && c.locked[attempt{l.Task, l.Attempt}] {
			return fmt.Errorf("lock %.8s attempt %d: %w: was locked before", l.Task, l.Attempt, core.ErrExists)
		}
	}
	return nil
}

// receipts verifies envelopes; the worker's signature is enough.
func (p *Payment) receipts(envelopes [][]byte) ([]*core.Receipt, error) {
	var out []*core.Receipt
	for i, e := range envelopes {
		r, err := core.VerifyReceipt(e, p.network, true)
		if err != nil {
			return nil, fmt.Errorf("receipt %d: %w", i, err)
		}
		out = append(out, r)
	}
	return out, nil
}

// call is one call of Open, Update or Close.
type call struct {
	key      string
	role     core.ChannelRole
	document []byte
	allowed  func() error // may a new change begin
	propose  func() (*core.State, error)
	check    func(*core.State) error // may the state follow
}

// step is the protocol of two calls; see core.Payment.
func (p *Payment) step(ch *channel, c call) (core.PendingDocument, error) {
	if c.key == "" {
		return core.PendingDocument{}, core.FieldError{Path: "key", Problem: "must not be empty"}
	}
	if doc, ok := ch.done[c.key]; ok {
		return core.PendingDocument{Document: doc, Committed: true}, nil
	}
	if len(c.document) == 0 {
		return p.first(ch, c)
	}
	next, err := ch.params.ParseState(c.document)
	if err != nil {
		return core.PendingDocument{}, err
	}
	switch n := len(next.Signatures); {
	case n == 2 && c.role == core.RolePayer:
		return p.second(ch, c, next)
	case n >= 1 && c.role == core.RolePayee:
		return p.payee(ch, c, next, n)
	default:
		return core.PendingDocument{}, core.FieldError{
			Path: "document", Problem: fmt.Sprintf("bears %d signatures: not what a %s brings", n, c.role),
		}
	}
}

// first answers the payer's unsigned document.
func (p *Payment) first(ch *channel, c call) (core.PendingDocument, error) {
	if c.role != core.RolePayer {
		return core.PendingDocument{}, core.FieldError{Path: "role", Problem: "only the payer proposes"}
	}
	if ch.pending != nil {
		if ch.pending.key != c.key {
			return core.PendingDocument{}, &core.PendingError{Key: ch.pending.key, Document: ch.pending.document}
		}
		return core.PendingDocument{Document: ch.pending.document}, nil
	}
	if err := c.allowed(); err != nil {
		return core.PendingDocument{}, err
	}
	next, err := c.propose()
	if err != nil {
		return core.PendingDocument{}, err
	}
	doc, err := core.Encode(next)
	if err != nil {
		return core.PendingDocument{}, err
	}
	ch.pending = &pendingCall{key: c.key, document: doc}
	return core.PendingDocument{Document: doc}, nil
}

// second commits the payer's document with both signatures.
func (p *Payment) second(ch *channel, c call, next *core.State) (core.PendingDocument, error) {
	if ch.pending == nil || ch.pending.key != c.key {
		return core.PendingDocument{}, fmt.Errorf("channel %.8s: %w: nothing is pending under this key", ch.id, core.ErrConflict)
	}
	if err := core.Verify(next, p.network); err != nil {
		return core.PendingDocument{}, err
	}
	unsigned := *next
	unsigned.Signatures = nil
	if doc, err := core.Encode(&unsigned); err != nil || string(doc) != string(ch.pending.document) {
		return core.PendingDocument{}, core.FieldError{Path: "document", Problem: "is not the pending one"}
	}
	return ch.commit(c, next), nil
}

// payee checks what the payer proposes, and commits what both signed.
func (p *Payment) payee(ch *channel, c call, next *core.State, signatures int) (core.PendingDocument, error) {
	if err := core.VerifyFirst(next, p.network, signatures); err != nil {
		return core.PendingDocument{}, err
	}
	if err := c.allowed(); err != nil {
		return core.PendingDocument{}, err
	}
	if err := c.check(next); err != nil {
		return core.PendingDocument{}, err
	}
	if signatures == 1 {
		return core.PendingDocument{Document: c.document}, nil
	}
	return ch.commit(c, next), nil
}

func (c *channel) commit(by call, next *core.State) core.PendingDocument {
	c.state, c.bytes, c.pending = next, slices.Clone(by.document), nil
	c.done[by.key] = c.bytes
	for _, l := range next.Locks {
		c.locked[attempt{l.Task, l.Attempt}] = true
	}
	return core.PendingDocument{Document: c.bytes, Committed: true}
}

// Status answers what is known.
func (p *Payment) Status(_ context.Context, req core.StatusRequest) ([]core.ChannelStatus, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if req.Channel != "" && p.channels[req.Channel] == nil {
		return nil, fmt.Errorf("channel %.8s: %w", req.Channel, core.ErrNotFound)
	}
	var out []core.ChannelStatus
	for _, id := range slices.Sorted(maps.Keys(p.channels)) {
		ch := p.channels[id]
		peer := ch.params.Payee
		if ch.role == core.RolePayee {
			peer = ch.params.Payer
		}
		if (req.Channel != "" && id != req.Channel) || (req.Peer != "" && peer != req.Peer) {
			continue
		}
		status, err := p.status(ch)
		if err != nil {
			return nil, err
		}
		out = append(out, status)
	}
	return out, nil
}

func (p *Payment) status(ch *channel) (core.ChannelStatus, error) {
	params, err := ch.params.Bytes()
	if err != nil {
		return core.ChannelStatus{}, err
	}
	s := core.ChannelStatus{Channel: ch.id, Role: ch.role, Params: params, State: ch.bytes}
	if ch.pending != nil {
		s.Pending, s.PendingKey = ch.pending.document, ch.pending.key
	}
	if ch.state != nil && ch.state.Final {
		s.Closed, s.PaidMicros, s.RefundMicros = true, ch.state.PayeeMicros, ch.state.PayerMicros
	}
	if !ch.dispute.filed() {
		return s, nil
	}
	s.Disputed, s.Claim = true, ch.dispute.claim
	result, err := ch.dispute.outcome(ch.params, p.now())
	if err != nil {
		return core.ChannelStatus{}, err
	}
	if result.Closed {
		s.Closed, s.PaidMicros, s.RefundMicros = true, result.PayeeMicros, result.PayerMicros
	}
	return s, nil
}
