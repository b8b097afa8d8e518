// Package ledger is the mock payment backend: payment channels over a ledger of
// escrows that stands in one node's own store. Rules and signatures are those of
// a real backend (package core has them as pure functions); only the money is
// not real: every node starts with the same balance, and the settlement log is
// kept by both sides instead of by a chain.
//
// Start at Ledger; the two calls of each document are in propose.go (the payer's
// first), accept.go (the payee's first, and both sides' second) and dispute.go;
// store.go has what lies on disk. Everything that a call answers is synced.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/zerostate/zerostate/core"
)

// Backend is the name of this backend in channel params and quotes.
const Backend = "mock"

// maxKeyBytes bounds an idempotency key.
const maxKeyBytes = 256

// Config is what a Ledger is made from.
type Config struct {
	Dir              string
	FS               vfs.FS // nil: the disk
	Network          string
	Node             core.DID // whose channels these are; decides which side files a dispute
	Currency         string
	BalanceMicros    int64 // what every account starts with
	MinDepositMicros int64
	ChallengeWindow  time.Duration // what Quote proposes
	Now              func() time.Time
	Log              pebble.Logger // nil: silent but for what ends the process
}

// Ledger implements core.Payment.
type Ledger struct {
	cfg Config
	db  *pebble.DB

	opening  sync.Mutex // one deposit at a time is compared with the balance
	mu       sync.Mutex // guards the map, balances and the log's length
	channels map[channelKey]*channel
	balance  map[core.DID]int64 // difference to Config.BalanceMicros
	logSize  uint64
	closed   bool
	calls    sync.WaitGroup
}

var _ core.Payment = (*Ledger)(nil)

// channelKey names one side of a channel; a process that plays both sides keeps
// them apart.
type channelKey struct {
	id   string
	role core.ChannelRole
}

// channel is one side of a channel, as it stands on disk. Its mutex is held over
// each call, so that one call at a time changes it.
type channel struct {
	mu sync.Mutex
	record
	key    channelKey
	params *core.Params
	state  *core.State // committed; nil before the opening state is
	stored bool        // it is on disk; guarded by Ledger.mu
}

// Open opens the ledger in cfg.Dir, which it makes.
func Open(cfg Config) (*Ledger, error) {
	if cfg.FS == nil {
		cfg.FS = vfs.Default
	}
	if cfg.Log == nil {
		cfg.Log = silent{}
	}
	db, err := pebble.Open(cfg.Dir, &pebble.Options{FS: cfg.FS, Logger: cfg.Log, FormatMajorVersion: pebble.FormatNewest})
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	l := &Ledger{cfg: cfg, db: db, channels: make(map[channelKey]*channel), balance: make(map[core.DID]int64)}
	if err := l.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("read ledger: %w", err), db.Close())
	}
	return l, nil
}

// Shutdown waits for calls in progress and closes the store; what is committed is
// synced already. (Close is the end of a channel.)
func (l *Ledger) Shutdown() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	l.calls.Wait()
	return l.db.Close()
}

// enter counts a call that Shutdown waits for.
func (l *Ledger) enter() (leave func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errClosed
	}
	l.calls.Add(1)
	return l.calls.Done, nil
}

// Quote implements core.Payment.
func (l *Ledger) Quote(_ context.Context, req core.QuoteRequest) (core.Quote, error) {
	if err := req.Price.Check(); err != nil {
		return core.Quote{}, err
	}
	for _, currency := range []string{req.Currency, req.Price.Currency} {
		if currency != "" && currency != l.cfg.Currency {
			return core.Quote{}, fmt.Errorf("currency %q, this backend has %s: %w", currency, l.cfg.Currency, core.ErrUnsupported)
		}
	}
	if req.MaxUnits < 0 {
		return core.Quote{}, &core.FieldError{Path: "max_units", Problem: "must not be negative"}
	}
	most, err := chargeOf(req.Price, req.MaxUnits)
	if err != nil {
		return core.Quote{}, err
	}
	return core.Quote{
		MaxMicros: most, Currency: l.cfg.Currency, Backend: Backend,
		ChallengeWindow: l.cfg.ChallengeWindow, MinDepositMicros: l.cfg.MinDepositMicros,
	}, nil
}

// chargeOf is what so many units cost. ErrInvalid beyond 2^53-1.
func chargeOf(p core.Price, units int64) (int64, error) {
	const most = 1<<53 - 1
	metering := core.Metering{Verifiable: core.VerifiableMetering{Req: units, Byte: units}}
	charge, err := core.Charge(p, metering, most+1)
	if err == nil && charge > most {
		err = fmt.Errorf("%d units at %d per %d: beyond 2^53-1 micros: %w", units, p.PriceMicros, p.PerUnits, core.ErrInvalid)
	}
	return charge, err
}

// Balance is what an account has that no escrow holds, in micro-units.
func (l *Ledger) Balance(account core.DID) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cfg.BalanceMicros + l.balance[account]
}

// Status implements core.Payment. Disputes whose time is over are settled first.
func (l *Ledger) Status(_ context.Context, req core.StatusRequest) ([]core.ChannelStatus, error) {
	leave, err := l.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	l.mu.Lock()
	var found []*channel
	for _, c := range l.channels {
		if c.stored && (req.Channel == "" || c.key.id == req.Channel) && (req.Peer == "" || c.peer() == req.Peer) {
			found = append(found, c)
		}
	}
	l.mu.Unlock()
	if req.Channel != "" && len(found) == 0 {
		return nil, fmt.Errorf("channel %.8s: %w", req.Channel, core.ErrNotFound)
	}
	sort.Slice(found, func(i, j int) bool {
		a, b := found[i].key, found[j].key
		return a.id < b.id || a.id == b.id && a.role < b.role
	})
	out := make([]core.ChannelStatus, 0, len(found))
	for _, c := range found {
		s, err := l.status(c)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func (l *Ledger) status(c *channel) (core.ChannelStatus, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := l.settleDue(c); err != nil {
		return core.ChannelStatus{}, err
	}
	s := core.ChannelStatus{
		Channel: c.key.id, Role: c.key.role, Params: c.Params, State: c.State,
		Disputed: c.Dispute != nil, Closed: c.Closed, PaidMicros: c.PaidMicros, RefundMicros: c.RefundMicros,
	}
	if c.Dispute != nil {
		s.Claim = c.Dispute.Claims[0]
	}
	switch {
	case c.Filing != nil:
		s.Pending, s.PendingKey = c.Filing.Claim, c.Filing.Key
	case c.Pending != nil:
		s.Pending, s.PendingKey = c.Pending.Document, c.Pending.Key
	}
	return s, nil
}

// peer is the other side's node did.
func (c *channel) peer() core.DID {
	if c.key.role == core.RolePayer {
		return c.params.Payee
	}
	return c.params.Payer
}

// own is our side's node did.
func (c *channel) own() core.DID { return sideOf(c.params, c.key.role) }

// errClosed is the answer of a ledger that is closed.
var errClosed = fmt.Errorf("ledger is closed: %w", core.ErrUnavailable)

// find answers a channel, locked, with what is due settled; the caller unlocks
// it.
func (l *Ledger) find(key channelKey) (*channel, error) {
	l.mu.Lock()
	c := l.channels[key]
	stored := c != nil && c.stored
	l.mu.Unlock()
	if !stored {
		return nil, fmt.Errorf("channel %.8s as %s: %w", key.id, key.role, core.ErrNotFound)
	}
	c.mu.Lock()
	if err := l.settleDue(c); err != nil {
		c.mu.Unlock()
		return nil, err
	}
	return c, nil
}

// usable says whether the channel may move on by agreement.
func (c *channel) usable() error {
	switch {
	case c.Closed:
		return fmt.Errorf("channel %.8s: is closed: %w", c.key.id, core.ErrConflict)
	case c.Dispute != nil:
		return fmt.Errorf("channel %.8s: is frozen by a dispute: %w", c.key.id, core.ErrConflict)
	case c.state == nil && c.Pending == nil:
		return fmt.Errorf("channel %.8s: is not open: %w", c.key.id, core.ErrNotFound)
	}
	return nil
}

// checkCall checks what every mutation bears.
func checkCall(key string, role core.ChannelRole) error {
	var bad core.FieldErrors
	if key == "" || len(key) > maxKeyBytes {
		bad.Add("key", fmt.Sprintf("wants 1 to %d bytes", maxKeyBytes))
	}
	if role != core.RolePayer && role != core.RolePayee {
		bad.Add("role", fmt.Sprintf("got %q, wants %s or %s", role, core.RolePayer, core.RolePayee))
	}
	return bad.Err()
}
