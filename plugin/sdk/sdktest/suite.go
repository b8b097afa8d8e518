// Package sdktest holds what every plugin of a kind has to do, as suites of
// checks: ordering, filters, durability, the two calls of payments, idempotency,
// the identity of errors, cancelling, deadlines, concurrency. The same checks
// run from `go test` (Test) and from `zerostate plugin test` (Run).
//
//	func TestConformance(t *testing.T) {
//		sdktest.Index().Test(t, sdktest.Builtin(sdk.Index, myPlugin, sdktest.Options{Durable: true}))
//	}
//
// Start here; index.go is the easiest suite to read.
package sdktest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk"
)

// Network is the network that the suites' documents are of.
const Network = "zerostate-test"

// T is what a check needs of a test. *testing.T is one.
type T interface {
	Helper()
	Context() context.Context
	TempDir() string
	Cleanup(f func())
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// Place is where an implementation is opened.
type Place struct {
	Node     core.DID
	StateDir string // exists, kept between two opens of the same place
	CacheDir string // exists
}

// Options say what a subject can do.
type Options struct {
	// Durable says that state outlives the process: what was acknowledged
	// before a close is there after the next open.
	Durable bool
	// Config is the plugin's settings.
	Config map[string]any
}

// Subject is what a suite checks: something that opens implementations.
type Subject[I any] struct {
	Options
	// Open opens an implementation at a place; close ends it. The context is
	// that of the opening only.
	Open func(ctx context.Context, at Place) (impl I, close func() error, err error)
}

// Check is one thing that every implementation of a kind has to do.
type Check[I any] struct {
	Name    string
	Durable bool // only where state outlives the process
	Run     func(t T, s Subject[I])
}

// Suite is every check of a kind.
type Suite[I any] []Check[I]

// Test runs the suite as subtests.
func (s Suite[I]) Test(t *testing.T, subject Subject[I]) {
	t.Helper()
	for _, check := range s {
		t.Run(check.Name, func(t *testing.T) {
			if check.Durable && !subject.Durable {
				t.Skip("the subject's state does not outlive it")
			}
			check.Run(t, subject)
		})
	}
}

// Result is how one check went.
type Result struct {
	Name    string
	Passed  bool
	Skipped bool
	Output  []string // one line each, why it failed first
	Elapsed time.Duration
}

// Run runs the suite outside of `go test`, one check after the other, until ctx
// ends. Temporary files go under dir.
func (s Suite[I]) Run(ctx context.Context, dir string, subject Subject[I], report func(Result)) {
	for _, check := range s {
		if ctx.Err() != nil {
			return
		}
		run := &runner{ctx: ctx, dir: dir}
		if check.Durable && !subject.Durable {
			run.skipped = true
		}
		start := time.Now()
		if !run.skipped {
			run.run(func() { check.Run(run, subject) })
		}
		report(Result{
			Name: check.Name, Passed: !run.failed && !run.skipped, Skipped: run.skipped, Output: run.output, Elapsed: time.Since(start),
		})
	}
}

// runner is a T outside of `go test`.
type runner struct {
	ctx      context.Context // of the run: T hands it out as testing.T does
	dir      string
	cleanups []func()
	output   []string
	failed   bool
	skipped  bool
}

// run runs f in a goroutine of its own, so that Fatalf can end it.
func (r *runner) run(f func()) {
	ctx, cancel := context.WithCancel(r.ctx)
	r.ctx = ctx
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if cause := recover(); cause != nil {
				r.Errorf("check panicked: %v\n%s", cause, debug.Stack())
			}
		}()
		f()
	}()
	<-done
	cancel()
	for _, clean := range slices.Backward(r.cleanups) {
		clean()
	}
}

func (r *runner) Helper()                  {}
func (r *runner) Context() context.Context { return r.ctx }
func (r *runner) Cleanup(f func())         { r.cleanups = append(r.cleanups, f) }

func (r *runner) Logf(format string, args ...any) {
	r.output = append(r.output, strings.Split(fmt.Sprintf(format, args...), "\n")...)
}

func (r *runner) Errorf(format string, args ...any) {
	r.failed = true
	r.Logf(format, args...)
}

func (r *runner) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *runner) Skipf(format string, args ...any) {
	r.skipped = true
	r.Logf(format, args...)
	runtime.Goexit()
}

func (r *runner) TempDir() string {
	dir, err := os.MkdirTemp(r.dir, "check-")
	if err != nil {
		r.Fatalf("temporary directory: %v", err)
	}
	r.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			r.Logf("remove %s: %v", dir, err)
		}
	})
	return dir
}

// Direct is a subject without any boundary: open is called in this process.
func Direct[I any](open func(at Place) (I, func() error, error), o Options) Subject[I] {
	return Subject[I]{Options: o, Open: func(_ context.Context, at Place) (I, func() error, error) { return open(at) }}
}

// Builtin is a plugin in this process behind the codec.
func Builtin[I any](kind sdk.Kind[I], p sdk.Plugin[I], o Options) Subject[I] {
	return Subject[I]{Options: o, Open: func(ctx context.Context, at Place) (I, func() error, error) {
		c, err := kind.Builtin(ctx, p, nil, nil)
		return configured(ctx, c, err, at, o)
	}}
}

// Command is a plugin in a process of its own; command makes it anew for each
// open. Its log lines go to log, which may be nil.
func Command[I any](kind sdk.Kind[I], command func() *exec.Cmd, log hclog.Logger, o Options) Subject[I] {
	return Subject[I]{Options: o, Open: func(ctx context.Context, at Place) (I, func() error, error) {
		c, err := kind.Open(ctx, sdk.Launch{Cmd: command()}, log)
		return configured(ctx, c, err, at, o)
	}}
}

func configured[I any](ctx context.Context, c *sdk.Client[I], err error, at Place, o Options) (impl I, closing func() error, _ error) {
	if err != nil {
		return impl, nil, err
	}
	_, err = c.Base().Configure(ctx, sdk.Configuration{Config: o.Config, Node: sdk.NodeContext{
		Node: at.Node, Network: Network, Region: "test", StateDir: at.StateDir, CacheDir: at.CacheDir, LogLevel: "warn",
	}})
	if err != nil {
		if closeErr := c.Close(); closeErr != nil {
			err = fmt.Errorf("%w (and close: %w)", err, closeErr)
		}
		return impl, nil, err
	}
	return c.Impl(), c.Close, nil
}
