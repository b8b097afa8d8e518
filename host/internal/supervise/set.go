package supervise

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/config"
	"github.com/zerostate/zerostate/plugin/sdk"
)

// Builtins are the plugins that can run in this process, by the NAME of
// builtin:NAME.
type Builtins struct {
	Index      map[string]sdk.Plugin[core.Index]
	Embedder   map[string]sdk.Plugin[core.Embedder]
	Router     map[string]sdk.Plugin[core.Router]
	Executor   map[string]sdk.Plugin[core.Executor]
	Payment    map[string]sdk.Plugin[core.Payment]
	Reputation map[string]sdk.Plugin[core.Reputation]
}

// Deps is what Start needs beside the configuration. The zero value of each
// field but Node is production.
type Deps struct {
	Node     core.DID    // the node's did
	Kinds    []core.Kind // which to start; nil: KindsFor the roles
	Builtins Builtins
	HostDir  string // where the zerostate binary lies; empty: of this executable
	Log      hclog.Logger
	Now      func() time.Time
	Jitter   func() float64                   // 0..1
	Getenv   func(name string) (string, bool) // for {from_env = ...}
}

// Status describes one plugin.
type Status struct {
	Kind       string    `json:"kind"`
	Name       string    `json:"name"`
	Version    string    `json:"version"`
	Plugin     sdk.Info  `json:"-"` // as the plugin describes itself; zero before its first start
	Path       string    `json:"path"`
	SHA256     string    `json:"sha256"`
	PID        int       `json:"pid"`
	State      State     `json:"state"`
	Since      time.Time `json:"since"`
	Restarts   int       `json:"restarts"`
	Confined   bool      `json:"confined"`
	Unconfined string    `json:"unconfined,omitempty"` // why it is not
	Fallback   bool      `json:"fallback,omitempty"`   // stands in for another
	LastError  string    `json:"last_error,omitempty"`
}

// Set is a node's running plugins.
type Set struct {
	cfg    *config.Config
	deps   Deps
	pins   *pins
	ctx    context.Context //nolint:containedctx // the lives' own, ended by Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
	sealed sync.Map // path -> *binary, kept for restarts
	runDir string   // private parent of the socket directories

	index      *Handle[core.Index]
	embedder   *Handle[core.Embedder]
	router     *Handle[core.Router]
	executor   *Handle[core.Executor]
	payment    *Handle[core.Payment]
	reputation *Handle[core.Reputation]

	starts   []func() error
	statuses []func() []Status
	closing  sync.Once
	closeErr error
}

// KindsFor returns the kinds that the roles of a configuration need.
func KindsFor(cfg *config.Config) []core.Kind {
	var kinds []core.Kind
	add := func(role string, needs ...core.Kind) {
		for _, k := range needs {
			if cfg.HasRole(role) && !slices.Contains(kinds, k) {
				kinds = append(kinds, k)
			}
		}
	}
	add(config.RoleEdge, core.KindPayment, core.KindReputation, core.KindRouter, core.KindExecutor)
	add(config.RoleRelay, core.KindRouter, core.KindReputation)
	add(config.RoleIndex, core.KindIndex, core.KindEmbedder, core.KindReputation)
	return kinds
}

// Start starts every plugin that the node needs, side by side, each once, and
// returns when all are ready. Where a required one can not be started, all are
// stopped again and the error holds every problem. ctx bounds the start only.
func Start(ctx context.Context, cfg *config.Config, deps Deps) (*Set, error) {
	deps, err := deps.complete(cfg)
	if err != nil {
		return nil, err
	}
	s := &Set{cfg: cfg, deps: deps}
	if s.pins, err = readPins(cfg, deps.HostDir); err != nil {
		return nil, err
	}
	if s.runDir, err = shortDir(); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.index = addKind(s, sdk.Index, deps.Builtins.Index)
	s.embedder = addKind(s, sdk.Embedder, deps.Builtins.Embedder)
	s.router = addKind(s, sdk.Router, deps.Builtins.Router)
	s.executor = addKind(s, sdk.Executor, deps.Builtins.Executor)
	s.payment = addKind(s, sdk.Payment, deps.Builtins.Payment)
	s.reputation = addKind(s, sdk.Reputation, deps.Builtins.Reputation)
	if err := s.startAll(ctx); err != nil {
		return nil, errors.Join(err, s.Close(context.WithoutCancel(ctx)))
	}
	return s, nil
}

// complete fills what is not given.
func (d Deps) complete(cfg *config.Config) (Deps, error) {
	if d.Kinds == nil {
		d.Kinds = KindsFor(cfg)
	}
	if d.HostDir == "" {
		self, err := os.Executable()
		if err != nil {
			return d, fmt.Errorf("find the zerostate binary: %w", err)
		}
		if self, err = filepath.EvalSymlinks(self); err != nil {
			return d, fmt.Errorf("find the zerostate binary: %w", err)
		}
		d.HostDir = filepath.Dir(self)
	}
	if d.Log == nil {
		d.Log = hclog.NewNullLogger()
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Jitter == nil {
		d.Jitter = rand.Float64
	}
	if d.Getenv == nil {
		d.Getenv = os.LookupEnv
	}
	return d, nil
}

// startAll runs the first start of each plugin side by side.
func (s *Set) startAll(ctx context.Context) error {
	errs := make([]error, len(s.starts))
	done := make(chan struct{})
	go func() {
		defer close(done)
		var wg sync.WaitGroup
		for i, start := range s.starts {
			wg.Go(func() { errs[i] = start() })
		}
		wg.Wait()
	}()
	select {
	case <-done:
		return errors.Join(errs...)
	case <-ctx.Done():
		s.cancel()
		<-done
		return fmt.Errorf("start plugins: %w", errors.Join(append(errs, ctx.Err())...))
	}
}

// addKind prepares the plugin of one kind and its fallback.
func addKind[T any](s *Set, k sdk.Kind[T], builtins map[string]sdk.Plugin[T]) *Handle[T] {
	h := &Handle[T]{kind: k.Kind()}
	s.statuses = append(s.statuses, h.statuses)
	if !slices.Contains(s.deps.Kinds, k.Kind()) {
		return h
	}
	name, block := s.cfg.Used(k.Kind())
	h.primary = makeLife(s, k, builtins, name)
	if block.Fallback != "" {
		h.fallback = makeLife(s, k, builtins, block.Fallback)
		h.start = func(l *life[T]) { s.wg.Go(func() { l.run(s.ctx, nil) }) }
	}
	s.starts = append(s.starts, func() error {
		first := make(chan error, 1)
		s.wg.Go(func() { h.primary.run(s.ctx, first) })
		err := <-first
		if err != nil && !block.Required {
			return nil // its life goes on trying and its status says so
		}
		return err
	})
	return h
}

// makeLife prepares one plugin.
func makeLife[T any](s *Set, k sdk.Kind[T], builtins map[string]sdk.Plugin[T], name string) *life[T] {
	kind := string(k.Kind())
	block := s.cfg.Plugin[kind][name]
	log := s.deps.Log.Named("plugin." + kind + "." + strings.TrimPrefix(name, config.Builtin))
	open := func(ctx context.Context) (instance[T], error) {
		if builtin, ok := strings.CutPrefix(block.Path, config.Builtin); ok {
			return openBuiltin(ctx, s, k, builtins, name, builtin, log)
		}
		return openProcess(ctx, s, k, name, block, log)
	}
	return newLife(kind, name, open, block.Restart, log, s.deps.Now, s.deps.Jitter)
}

// Index returns the node's index.
func (s *Set) Index() core.Index { return index{s.index} }

// Embedder returns the node's embedder.
func (s *Set) Embedder() core.Embedder { return embedder{s.embedder} }

// Router returns the node's router.
func (s *Set) Router() core.Router { return router{s.router} }

// Executor returns the node's executor.
func (s *Set) Executor() core.Executor { return executor{s.executor} }

// Payment returns the node's payment backend.
func (s *Set) Payment() core.Payment { return payment{s.payment} }

// Reputation returns the node's reputation log.
func (s *Set) Reputation() core.Reputation { return reputation{s.reputation} }

// Status describes every plugin, in the order of core.Kinds.
func (s *Set) Status() []Status {
	var list []Status
	for _, f := range s.statuses {
		list = append(list, f()...)
	}
	return list
}

// Close stops every plugin: each drains, is asked to end, is told to, is
// killed, within eight seconds. It may be called more than once.
func (s *Set) Close(ctx context.Context) error {
	s.closing.Do(func() {
		s.cancel()
		done := make(chan struct{})
		go func() { s.wg.Wait(); close(done) }()
		select {
		case <-done:
		case <-ctx.Done():
			s.closeErr = fmt.Errorf("stop plugins: %w", ctx.Err())
			return
		}
		s.sealed.Range(func(_, b any) bool {
			if b, ok := b.(*binary); ok {
				s.closeErr = errors.Join(s.closeErr, b.close())
			}
			return true
		})
		s.closeErr = errors.Join(s.closeErr, os.RemoveAll(s.runDir))
	})
	return s.closeErr
}

// shortDir makes a private directory whose path leaves room for a socket name:
// a unix socket's path ends at 108 bytes.
func shortDir() (string, error) {
	parent := os.Getenv("XDG_RUNTIME_DIR")
	if parent == "" {
		parent = os.TempDir()
	}
	if len(parent) > 40 {
		parent = "/tmp"
	}
	dir, err := os.MkdirTemp(parent, "zs-") // 0700
	if err != nil {
		return "", fmt.Errorf("make socket directory: %w", err)
	}
	return dir, nil
}
