package supervise

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/zerostate/zerostate/core"
)

// goneWait is how long a failed call waits for news of the plugin's death; it
// is seen a few milliseconds after.
const goneWait = 250 * time.Millisecond

// Handle is a plugin that may be restarted underneath. It is safe for
// concurrent use and stays valid until the Set is closed.
type Handle[T any] struct {
	kind     core.Kind
	primary  *life[T]
	fallback *life[T]
	start    func(*life[T]) // runs the fallback
	once     sync.Once
}

// Get returns the running implementation. While it is down, Get waits for the
// restart until ctx ends, or uses the fallback; core.ErrUnavailable says that
// neither serves, core.ErrUnsupported that this node runs no such plugin.
func (h *Handle[T]) Get(ctx context.Context) (T, error) {
	inst, err := h.instance(ctx, nil)
	if err != nil {
		var zero T
		return zero, err
	}
	return inst.impl(), nil
}

// Do calls f with the running implementation. Where the plugin dies during the
// call: an idempotent f is called once more after the restart, within ctx; for
// another the answer is a core.RetryError that wraps core.ErrUnavailable.
func (h *Handle[T]) Do(ctx context.Context, idempotent bool, f func(T) error) error {
	inst, err := h.instance(ctx, nil)
	if err != nil {
		return err
	}
	err = f(inst.impl())
	if err == nil || ctx.Err() != nil || !errors.Is(err, core.ErrUnavailable) || !gone(ctx, inst) {
		return err
	}
	if !idempotent {
		return &core.RetryError{Err: fmt.Errorf("plugin %s died during the call: %w", h.kind, err), After: h.primary.restart.BackoffMin}
	}
	next, nextErr := h.instance(ctx, inst)
	if nextErr != nil {
		return nextErr
	}
	return f(next.impl())
}

// instance is the primary's, or the fallback's while the primary is given up.
func (h *Handle[T]) instance(ctx context.Context, not instance[T]) (instance[T], error) {
	if h.primary == nil {
		return nil, fmt.Errorf("this node runs no %s plugin: %w", h.kind, core.ErrUnsupported)
	}
	inst, err := h.primary.current(ctx, not)
	if err == nil || h.fallback == nil || ctx.Err() != nil {
		return inst, err
	}
	h.once.Do(func() { h.start(h.fallback) })
	return h.fallback.current(ctx, not)
}

// statuses describes the plugin and, once it runs, its fallback.
func (h *Handle[T]) statuses() []Status {
	if h.primary == nil {
		return nil
	}
	list := []Status{h.primary.status()}
	if h.fallback != nil {
		s := h.fallback.status()
		s.Fallback = true
		list = append(list, s)
	}
	return list
}

// gone reports whether the instance has died, waiting a moment for the news.
func gone[T any](ctx context.Context, inst instance[T]) bool {
	timer := time.NewTimer(goneWait)
	defer timer.Stop()
	select {
	case <-inst.exited():
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}
