package p2p

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"

	"github.com/zerostate/zerostate/core"
)

// budget counts what one peer uses of one protocol.
type budget struct {
	limits  Limits
	opens   *rate.Limiter
	frames  *rate.Limiter // nil: no limit
	now     func() time.Time
	changed chan struct{} // closed and replaced whenever bytes come back

	mu      sync.Mutex
	streams int
	bytes   int64
}

func newBudget(l Limits, now func() time.Time) *budget {
	b := &budget{limits: l, now: now, changed: make(chan struct{})}
	b.opens = rate.NewLimiter(rate.Inf, 0)
	if l.StreamRate > 0 {
		b.opens = rate.NewLimiter(rate.Limit(l.StreamRate), max(l.Streams, 1))
	}
	if l.FrameRate > 0 {
		b.frames = rate.NewLimiter(rate.Limit(l.FrameRate), max(int(l.FrameRate), 1))
	}
	return b
}

// open counts a stream in; the error is core.ErrExhausted.
func (b *budget) open() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.limits.Streams > 0 && b.streams >= b.limits.Streams {
		return fmt.Errorf("%d streams are open: %w", b.streams, core.ErrExhausted)
	}
	if !b.opens.AllowN(b.now(), 1) {
		return fmt.Errorf("more than %g streams a second: %w", b.limits.StreamRate, core.ErrExhausted)
	}
	b.streams++
	return nil
}

func (b *budget) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.streams--
}

// idle says whether nothing is counted.
func (b *budget) idle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.streams == 0 && b.bytes == 0 && b.opens.TokensAt(b.now()) >= float64(b.opens.Burst())
}

// frame waits until another frame may be read.
func (b *budget) frame(deadline time.Time) error {
	if b.frames == nil {
		return nil
	}
	ctx, cancel := deadlineContext(deadline)
	defer cancel()
	if err := b.frames.Wait(ctx); err != nil {
		return fmt.Errorf("more than %g frames a second: %w", b.limits.FrameRate, core.ErrExhausted)
	}
	return nil
}

// acquire waits until size more bytes may be in flight.
func (b *budget) acquire(size int64, deadline time.Time) error {
	if b.limits.BytesInFlight == 0 {
		return nil
	}
	if size > b.limits.BytesInFlight {
		return fmt.Errorf("more than %d bytes: %w", b.limits.BytesInFlight, core.ErrExhausted)
	}
	ctx, cancel := deadlineContext(deadline)
	defer cancel()
	for {
		b.mu.Lock()
		if b.bytes+size <= b.limits.BytesInFlight {
			b.bytes += size
			b.mu.Unlock()
			return nil
		}
		changed := b.changed
		b.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%d bytes in flight: %w", b.limits.BytesInFlight, core.ErrExhausted)
		}
	}
}

func (b *budget) release(size int64) {
	if size == 0 || b.limits.BytesInFlight == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes -= size
	close(b.changed)
	b.changed = make(chan struct{})
}

func deadlineContext(deadline time.Time) (context.Context, context.CancelFunc) {
	if deadline.IsZero() {
		return context.WithCancel(context.Background())
	}
	return context.WithDeadline(context.Background(), deadline)
}

// budgets holds the budget of every peer of one protocol.
type budgets struct {
	limits Limits
	now    func() time.Time

	mu    sync.Mutex
	peers map[peer.ID]*budget
}

func (b *budgets) of(id peer.ID) *budget {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p, ok := b.peers[id]; ok {
		return p
	}
	if len(b.peers) > 1024 {
		for other, p := range b.peers {
			if p.idle() {
				delete(b.peers, other)
			}
		}
	}
	p := newBudget(b.limits, b.now)
	b.peers[id] = p
	return p
}
