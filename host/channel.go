package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/peerpb"
	"github.com/zerostate/zerostate/host/internal/store"
)

// channels is the node's side of every payment channel: it checks, signs and
// exchanges what the payment plugin proposes (PROTOCOL.md, "Channel"). Only the
// payer proposes, one update in flight a channel; changes that come meanwhile
// gather for the next one. The payer's side lies in channel_payer.go, the
// payee's in channel_payee.go, what both do after a reconnect in channel_sync.go.
type channels struct {
	network  string
	self     core.Signer
	payment  core.Payment
	store    *store.Store
	guard    *guard
	audit    *auditLog
	receipts *receiptBook
	dial     func(ctx context.Context, peer core.DID) (frames, error)
	terms    channelTerms
	spent    func(micros int64) error // told of a charge that came by a Sync alone
	now      func() time.Time
	rand     io.Reader
	log      hclog.Logger

	accepting sync.Mutex // one channel at a time is opened by a payer

	mu    sync.Mutex
	byID  map[string]*channel
	links map[core.DID]*link
}

// channelTerms is what the policy says of new channels.
type channelTerms struct {
	DepositMicros    int64 // of a channel that we open
	MinDepositMicros int64 // of a channel that a payer opens with us
	Currency         string
	ChallengeWindow  time.Duration
}

// frames is a stream of frames with one peer.
type frames interface {
	ReadFrame() (*peerpb.Frame, error)
	WriteFrame(f *peerpb.Frame) error
	// ResetOn ends the stream, and what waits on it, when ctx ends.
	ResetOn(ctx context.Context) (stop func() bool)
	Reset()
}

// channel is one payment channel. params, id, role and peer never change.
type channel struct {
	id     string
	role   core.ChannelRole
	params *core.Params
	peer   core.DID

	mu       sync.Mutex
	state    *core.State   // the highest that both signed; nil before it opens
	raw      []byte        // its canonical bytes
	changed  chan struct{} // closed and replaced when state changes
	queue    []*change     // payer only: what the next update takes
	promised int64         // payer only: micro-units set aside for locks on their way,
	promises int           // and of how many
	flushing bool
	draining bool // takes no new lock; closed when the last one ended
	stale    bool // payer only: the payee shows a state of ours that this home has forgotten
	disputed bool
	closed   bool
}

// channelRecord is a channel as the host's store keeps it.
type channelRecord struct {
	Role     core.ChannelRole `json:"role"`
	Params   []byte           `json:"params"`
	State    []byte           `json:"state"`
	Draining bool             `json:"draining,omitempty"`
	Disputed bool             `json:"disputed,omitempty"`
}

const (
	channelPrefix   = "channel/"
	operationPrefix = "channel-op/"
	exchangeTimeout = 20 * time.Second
)

// load reads every channel from the store.
func (c *channels) load() error {
	c.byID, c.links = map[string]*channel{}, map[core.DID]*link{}
	for rec, err := range store.ScanJSON[channelRecord](c.store, channelPrefix) {
		if err != nil {
			return fmt.Errorf("load channels: %w", err)
		}
		ch, err := c.newChannel(rec.Role, rec.Params)
		if err != nil {
			return fmt.Errorf("load channels: %w", err)
		}
		if ch.state, err = ch.params.ParseState(rec.State); err != nil {
			return fmt.Errorf("load channel %.8s: %w", ch.id, err)
		}
		ch.raw, ch.draining, ch.disputed, ch.closed = rec.State, rec.Draining, rec.Disputed, ch.state.Final
		c.byID[ch.id] = ch
	}
	return nil
}

func (c *channels) newChannel(role core.ChannelRole, params []byte) (*channel, error) {
	p, err := core.ParseParams(params)
	if err != nil {
		return nil, err
	}
	id, err := p.ChannelID()
	if err != nil {
		return nil, err
	}
	ch := &channel{id: id, role: role, params: p, peer: p.Payee, changed: make(chan struct{})}
	if role == core.RolePayee {
		ch.peer = p.Payer
	}
	return ch, nil
}

// save keeps the channel's state, synced, and wakes who waits for it. The
// caller holds ch.mu.
func (c *channels) save(ch *channel, state *core.State) error {
	raw, err := core.Encode(state)
	if err != nil {
		return err
	}
	params, err := ch.params.Bytes()
	if err != nil {
		return err
	}
	rec := channelRecord{Role: ch.role, Params: params, State: raw, Draining: ch.draining, Disputed: ch.disputed}
	if err := c.store.SetJSON(channelPrefix+ch.id, rec); err != nil {
		return err
	}
	ch.state, ch.raw, ch.closed = state, raw, state.Final
	close(ch.changed)
	ch.changed = make(chan struct{})
	return nil
}

// lookup answers a channel by its id.
func (c *channels) lookup(id string) (*channel, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch, ok := c.byID[id]; ok {
		return ch, nil
	}
	return nil, fmt.Errorf("channel %.16s: %w", id, core.ErrNotFound)
}

// list answers all channels.
func (c *channels) list() []*channel {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]*channel, 0, len(c.byID))
	for _, ch := range c.byID {
		out = append(out, ch)
	}
	return out
}

// awaitLock blocks until exactly this lock stands in the channel's committed
// state. The worker starts only then.
func (c *channels) awaitLock(ctx context.Context, id string, lock core.Lock) error {
	want, err := core.LockDigest(lock)
	if err != nil {
		return err
	}
	for {
		ch, err := c.lookup(id)
		if err != nil {
			return err
		}
		ch.mu.Lock()
		changed, state := ch.changed, ch.state
		ch.mu.Unlock()
		if state != nil {
			if l, ok := state.Lock(lock.Task, lock.Attempt); ok {
				got, err := core.LockDigest(l)
				if err != nil || got != want {
					return errors.Join(err, fmt.Errorf("the lock in channel %.8s is not the one offered: %w", id, core.ErrDenied))
				}
				return nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for the lock in channel %.8s: %w", id, context.Cause(ctx))
		}
	}
}

// ChannelInfo is a channel as people and clients see it. Amounts are micro-units.
type ChannelInfo struct {
	ID            string
	Role          core.ChannelRole
	Peer          core.DID
	Params        *core.Params
	PayerMicros   int64
	PayeeMicros   int64
	LockedMicros  int64
	Locks         int
	Version       int64
	Final         bool
	Disputed      bool
	State         []byte
	DepositMicros int64
}

func (ch *channel) info() ChannelInfo {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	i := ChannelInfo{
		ID: ch.id, Role: ch.role, Peer: ch.peer, Params: ch.params, Disputed: ch.disputed,
		State: ch.raw, DepositMicros: ch.params.DepositMicros,
	}
	if s := ch.state; s != nil {
		i.PayerMicros, i.PayeeMicros, i.LockedMicros = s.PayerMicros, s.PayeeMicros, s.LockedMicros()
		i.Locks, i.Version, i.Final = len(s.Locks), s.Version, s.Final
	}
	return i
}
