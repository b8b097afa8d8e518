package supervise

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/config"
	"github.com/zerostate/zerostate/plugin/sdk"
)

// State is where a plugin stands in its life.
type State string

// The states. Incompatible, InvalidConfig and Refused are never retried.
const (
	StateStarting      State = "starting"
	StateReady         State = "ready"
	StateBackoff       State = "backoff"
	StateCrashLoop     State = "crash-loop"
	StateIncompatible  State = "incompatible"
	StateInvalidConfig State = "invalid-config"
	StateRefused       State = "refused" // its pin or its confinement
	StateDraining      State = "draining"
	StateStopped       State = "stopped"
)

// How often a plugin is probed, and when it is given up.
const (
	probeInterval = 2 * time.Second
	probeDeadline = time.Second
	probeMisses   = 3
	startDeadline = 20 * time.Second
	stopDeadline  = 8 * time.Second
	maxWait       = 15 * time.Second // of a call without a deadline
)

// instance is one running plugin: a process, or one in this process.
type instance[T any] interface {
	impl() T
	info() instanceInfo
	ping(ctx context.Context) error
	exited() <-chan struct{}
	kill()
	stop(ctx context.Context) // drains, shuts down, terminates, kills; returns when it has ended
}

// instanceInfo is what is known of an instance.
type instanceInfo struct {
	plugin                sdk.Info // as it describes itself
	version, path, sha256 string
	pid                   int
	confined              bool
	unconfined            string // why not
}

// opener starts, checks and configures an instance.
type opener[T any] func(ctx context.Context) (instance[T], error)

// life keeps one plugin running: restarts it with jittered backoff, and opens
// a breaker when it crashes in a loop.
type life[T any] struct {
	kind, name string
	open       opener[T]
	restart    config.Restart
	log        hclog.Logger
	now        func() time.Time
	jitter     func() float64 // 0..1

	mu       sync.Mutex
	state    State
	since    time.Time
	cur      instance[T]
	last     instanceInfo
	err      error // the last one
	restarts int
	retryAt  time.Time
	changed  chan struct{} // closed and replaced at each change of state
}

func newLife[T any](kind, name string, open opener[T], r config.Restart, log hclog.Logger, now func() time.Time, jitter func() float64) *life[T] {
	return &life[T]{
		kind: kind, name: name, open: open, restart: r, log: log, now: now, jitter: jitter,
		state: StateStarting, since: now(), changed: make(chan struct{}),
	}
}

// run keeps the plugin alive until ctx ends; first receives the outcome of the
// first start.
func (l *life[T]) run(ctx context.Context, first chan<- error) {
	var crashes []time.Time
	for attempt := 0; ; attempt++ {
		l.enter(StateStarting, nil, nil)
		startCtx, cancel := context.WithTimeout(ctx, startDeadline)
		inst, err := l.open(startCtx)
		cancel()
		if err == nil {
			l.enter(StateReady, inst, nil)
			l.log.Info("plugin ready", "kind", l.kind, "name", l.name, "version", inst.info().version, "pid", inst.info().pid, "confined", inst.info().confined)
		}
		if first != nil {
			first <- err
			first = nil
		}
		if err == nil {
			started := l.now()
			if err = l.watch(ctx, inst); err == nil {
				l.enter(StateStopped, nil, nil)
				return
			}
			if l.now().Sub(started) > l.restart.Window {
				attempt = 0
			}
		}
		if ctx.Err() != nil {
			l.enter(StateStopped, nil, nil)
			return
		}
		if state, never := terminal(err); never {
			l.enter(state, nil, err)
			l.log.Error("plugin can not run", "kind", l.kind, "name", l.name, "state", string(state), "error", err)
			return
		}
		crashes = append(recent(crashes, l.now().Add(-l.restart.Window)), l.now())
		if !l.pause(ctx, attempt, len(crashes), err) {
			l.enter(StateStopped, nil, nil)
			return
		}
	}
}

// watch returns nil when ctx ended and the plugin was stopped, or why it died.
func (l *life[T]) watch(ctx context.Context, inst instance[T]) error {
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	misses := 0
	for {
		select {
		case <-ctx.Done():
			l.enter(StateDraining, inst, nil)
			stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopDeadline)
			inst.stop(stopCtx)
			cancel()
			return nil
		case <-inst.exited():
			inst.kill() // frees its connection and sockets
			return fmt.Errorf("plugin %s %s exited: %w", l.kind, l.name, core.ErrUnavailable)
		case <-tick.C:
			probe, cancel := context.WithTimeout(ctx, probeDeadline)
			err := inst.ping(probe)
			cancel()
			if err == nil || ctx.Err() != nil {
				misses = 0
				continue
			}
			if misses++; misses >= probeMisses {
				inst.kill()
				return fmt.Errorf("plugin %s %s does not answer, killed: %w", l.kind, l.name, err)
			}
		}
	}
}

// pause waits before the next start: full jitter over a doubling bound, or the
// breaker's window once it crashed too often. It reports whether to go on.
func (l *life[T]) pause(ctx context.Context, attempt, crashes int, err error) bool {
	bound := l.restart.BackoffMin << min(attempt, 20)
	wait := time.Duration(l.jitter() * float64(min(bound, l.restart.BackoffMax)))
	state := StateBackoff
	if crashes >= l.restart.CrashLoop {
		state, wait = StateCrashLoop, l.restart.Window
	}
	l.mu.Lock()
	l.restarts++
	l.retryAt = l.now().Add(wait)
	l.mu.Unlock()
	l.enter(state, nil, err)
	l.log.Warn("plugin died", "kind", l.kind, "name", l.name, "state", string(state), "restart_in", wait, "error", err)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// enter changes the state and wakes who waits for it.
func (l *life[T]) enter(s State, inst instance[T], err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s != l.state {
		l.since = l.now()
	}
	l.state, l.cur = s, inst
	if inst != nil {
		l.last = inst.info()
	}
	if err != nil {
		l.err = err
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// current waits for a ready instance other than not. It fails at once where
// the plugin is not coming back soon.
func (l *life[T]) current(ctx context.Context, not instance[T]) (instance[T], error) {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, maxWait)
		defer cancel()
	}
	for {
		l.mu.Lock()
		inst, state, err, changed := l.cur, l.state, l.err, l.changed
		retry := l.retryAt.Sub(l.now())
		l.mu.Unlock()
		switch {
		case state == StateReady && inst != not:
			return inst, nil
		case state == StateCrashLoop:
			return nil, &core.RetryError{Err: fmt.Errorf("plugin %s %s crashes in a loop (%v): %w", l.kind, l.name, err, core.ErrUnavailable), After: max(retry, 0)} //nolint:errorlint // err tells of the crash, it is not what a caller may act on
		case state != StateReady && state != StateStarting && state != StateBackoff:
			return nil, fmt.Errorf("plugin %s %s is %s: %w", l.kind, l.name, state, errors.Join(core.ErrUnavailable, err))
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, &core.RetryError{Err: fmt.Errorf("plugin %s %s is %s: %w: %w", l.kind, l.name, state, core.ErrUnavailable, ctx.Err()), After: max(retry, 0)}
		}
	}
}

// status describes the plugin now.
func (l *life[T]) status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Status{
		Kind: l.kind, Name: l.name, State: l.state, Since: l.since, Restarts: l.restarts,
		Version: l.last.version, Plugin: l.last.plugin, Path: l.last.path, SHA256: l.last.sha256,
		Confined: l.last.confined, Unconfined: l.last.unconfined,
	}
	if l.cur != nil {
		s.PID = l.last.pid
	}
	if l.err != nil {
		s.LastError = l.err.Error()
	}
	return s
}

// terminal reports whether an error of a start can not be cured by another try.
func terminal(err error) (State, bool) {
	switch {
	case errors.Is(err, errIncompatible):
		return StateIncompatible, true
	case errors.Is(err, core.ErrDenied), errors.Is(err, core.ErrUnsupported):
		return StateRefused, true
	case errors.Is(err, core.ErrInvalid):
		return StateInvalidConfig, true
	}
	return "", false
}

// errIncompatible says that a binary is not the plugin that was asked for.
var errIncompatible = errors.New("incompatible plugin")

// recent drops what is older than since.
func recent(times []time.Time, since time.Time) []time.Time {
	for len(times) > 0 && times[0].Before(since) {
		times = times[1:]
	}
	return times
}
