package wasmrun

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"golang.org/x/sync/semaphore"

	"github.com/zerostate/zerostate/core"
)

// The engines of wazero: the same results, the interpreter some 10 to 50 times
// slower but on every architecture.
const (
	EngineCompiler    = "compiler"
	EngineInterpreter = "interpreter"
)

// passVersion names the instrumentation pass: there is none yet.
const passVersion = "none"

// Config is what an Executor is made from. Zero values other than the
// directories stand for the defaults of DefaultConfig.
type Config struct {
	Engine           string        // EngineCompiler or EngineInterpreter
	MaxGuests        int           // guests that run at once
	MaxQueue         int           // runs that wait beyond them, first come first served
	RetryAfter       time.Duration // what a caller is told when the queue is full
	MaxModuleBytes   int64         // of one module
	MaxFunctions     int           // of one module
	MaxFunctionBytes int64         // of the body of one function
	ResidentModules  int           // compiled modules that stay in memory
	CacheDir         string        // modules and compiled code, kept between starts
	RunDir           string        // private directories of runs; emptied by New
}

// DefaultConfig is a Config for this machine, without its directories.
func DefaultConfig() Config {
	return Config{
		Engine: EngineCompiler, MaxGuests: runtime.NumCPU(), MaxQueue: 1024, RetryAfter: time.Second,
		MaxModuleBytes: 64 << 20, MaxFunctions: 200_000, MaxFunctionBytes: 1 << 20, ResidentModules: 64,
	}
}

// withDefaults fills what is zero, and refuses what can not be.
func (c Config) withDefaults() (Config, error) {
	d := DefaultConfig()
	var bad core.FieldErrors
	if c.Engine == "" {
		c.Engine = d.Engine
	}
	if c.Engine != EngineCompiler && c.Engine != EngineInterpreter {
		bad.Add("engine", fmt.Sprintf("got %q, wants %s or %s", c.Engine, EngineCompiler, EngineInterpreter))
	}
	for _, f := range []struct {
		path    string
		value   *int
		instead int
	}{
		{"max_guests", &c.MaxGuests, d.MaxGuests},
		{"max_queue", &c.MaxQueue, d.MaxQueue},
		{"max_functions", &c.MaxFunctions, d.MaxFunctions},
		{"resident_modules", &c.ResidentModules, d.ResidentModules},
	} {
		if *f.value == 0 {
			*f.value = f.instead
		}
		if *f.value < 0 || *f.value > 1<<24 {
			bad.Add(f.path, fmt.Sprintf("got %d, wants 1 to %d", *f.value, 1<<24))
		}
	}
	if c.MaxModuleBytes == 0 {
		c.MaxModuleBytes = d.MaxModuleBytes
	}
	if c.MaxFunctionBytes == 0 {
		c.MaxFunctionBytes = d.MaxFunctionBytes
	}
	if c.MaxModuleBytes < 8 || c.MaxModuleBytes > 1<<30 {
		bad.Add("max_module_bytes", "wants 8 bytes to 1 GiB")
	}
	if c.MaxFunctionBytes < 1 || c.MaxFunctionBytes > 1<<30 {
		bad.Add("max_function_bytes", "wants 1 byte to 1 GiB")
	}
	if c.RetryAfter <= 0 {
		c.RetryAfter = d.RetryAfter
	}
	return c, bad.Err()
}

// Executor implements core.Executor. Close it when no call is in progress any
// more or to stop those that are.
type Executor struct {
	cfg     Config
	engine  core.EngineInfo
	runtime wazero.Runtime
	cache   wazero.CompilationCache
	modules *modules
	slots   *semaphore.Weighted

	mu       sync.Mutex
	inFlight int
	runs     map[string]context.CancelCauseFunc
	closed   bool
	done     sync.WaitGroup
}

var _ core.Executor = (*Executor)(nil)

// New makes an executor over the directories of cfg, which it creates. What an
// earlier process left in RunDir is removed. ErrInvalid for a bad setting.
func New(ctx context.Context, cfg Config) (*Executor, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := os.RemoveAll(cfg.RunDir); err != nil {
		return nil, fmt.Errorf("empty run directory: %w", err)
	}
	moduleDir := filepath.Join(cfg.CacheDir, "modules")
	for _, dir := range []string{cfg.RunDir, moduleDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make directory: %w", err)
		}
	}
	e := &Executor{
		cfg: cfg, runs: make(map[string]context.CancelCauseFunc), slots: semaphore.NewWeighted(int64(cfg.MaxGuests)),
		engine: core.EngineInfo{Name: "wazero-" + cfg.Engine, Version: wazeroVersion(), Pass: passVersion},
	}
	if err := e.start(ctx, moduleDir); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// start makes the runtime with its compile cache and the WASI functions.
func (e *Executor) start(ctx context.Context, moduleDir string) error {
	rc := wazero.NewRuntimeConfigInterpreter()
	if e.cfg.Engine == EngineCompiler {
		rc = wazero.NewRuntimeConfigCompiler()
		cache, err := wazero.NewCompilationCacheWithDir(filepath.Join(e.cfg.CacheDir, "compiled"))
		if err != nil {
			return fmt.Errorf("open compile cache: %w", err)
		}
		e.cache = cache
		rc = rc.WithCompilationCache(cache)
	}
	e.runtime = wazero.NewRuntimeWithConfig(ctx, rc.WithCloseOnContextDone(true).WithDebugInfoEnabled(false))
	imports, err := instantiateWASI(ctx, e.runtime)
	if err != nil {
		return err
	}
	e.modules = &modules{
		runtime: e.runtime, imports: imports, dir: moduleDir, resident: e.cfg.ResidentModules,
		workers: min(runtime.NumCPU(), 4), loaded: make(map[moduleKey]*compiled),
		limits: moduleLimits{
			moduleBytes: e.cfg.MaxModuleBytes,
			functions:   uint32(e.cfg.MaxFunctions), functionBytes: uint32(e.cfg.MaxFunctionBytes), //nolint:gosec // bounded by withDefaults
		},
	}
	return nil
}

// wazeroVersion is the version of the engine that this binary was built with.
func wazeroVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if dep.Path == "github.com/tetratelabs/wazero" {
				return dep.Version[1:]
			}
		}
	}
	return "1.12.0"
}

// Close stops every run, whose callers get ErrUnavailable, waits for them and
// frees the engine.
func (e *Executor) Close() error {
	e.mu.Lock()
	e.closed = true
	for _, cancel := range e.runs {
		cancel(errClosed)
	}
	e.mu.Unlock()
	e.done.Wait()
	ctx := context.Background()
	var err error
	if e.runtime != nil {
		err = e.runtime.Close(ctx)
	}
	if e.cache != nil {
		err = errors.Join(err, e.cache.Close(ctx))
	}
	return err
}

// Prepare implements core.Executor.
func (e *Executor) Prepare(ctx context.Context, req core.PrepareRequest) (core.Prepared, error) {
	task, err := parseTask(req.Manifest)
	if err != nil {
		return core.Prepared{}, err
	}
	leave, err := e.enter()
	if err != nil {
		return core.Prepared{}, err
	}
	defer leave()
	c, cached, err := e.modules.acquire(ctx, &task.Spec, req.Module)
	if err != nil {
		return core.Prepared{}, err
	}
	e.modules.release(keyOf(&task.Spec), c)
	return core.Prepared{ModuleDigest: task.Spec.Module.Digest.SHA256, Cached: cached, Engine: e.engine}, nil
}

// parseTask reads a manifest and refuses what this executor can not hold.
func parseTask(manifest []byte) (*core.Resolved, error) {
	task, err := core.ParseResolved(manifest)
	if err != nil {
		return nil, err
	}
	if task.Spec.Determinism.NaN == core.NaNCanonical {
		return nil, fmt.Errorf("manifest: spec.determinism.nan: canonical NaNs are not supported yet: %w", core.ErrUnsupported)
	}
	return task, nil
}

// enter counts a call that Close waits for.
func (e *Executor) enter() (leave func(), err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, errClosed
	}
	e.done.Add(1)
	return e.done.Done, nil
}

// errClosed and errCancelled are why a run ends early.
var (
	errClosed    = fmt.Errorf("executor is closing: %w", core.ErrUnavailable)
	errCancelled = errors.New("cancelled")
	errTimeout   = errors.New("wall timeout")
)

// register makes a run cancellable and takes its place in the queue.
// ErrExhausted where that is full, ErrExists where the ID is in use.
func (e *Executor) register(id string, cancel context.CancelCauseFunc) (unregister func(), err error) {
	if id == "" {
		return nil, &core.FieldError{Path: "run_id", Problem: "must not be empty"}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closed:
		return nil, errClosed
	case e.runs[id] != nil:
		return nil, fmt.Errorf("run %q is in progress: %w", id, core.ErrExists)
	case e.inFlight >= e.cfg.MaxGuests+e.cfg.MaxQueue:
		err := fmt.Errorf("%d runs wait already: %w", e.cfg.MaxQueue, core.ErrExhausted)
		return nil, &core.RetryError{Err: err, After: e.cfg.RetryAfter}
	}
	e.inFlight++
	e.runs[id] = cancel
	e.done.Add(1)
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.inFlight--
		delete(e.runs, id)
		e.done.Done()
	}, nil
}

// Cancel implements core.Executor.
func (e *Executor) Cancel(_ context.Context, runID string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	cancel := e.runs[runID]
	if cancel == nil {
		return fmt.Errorf("run %q is not in progress: %w", runID, core.ErrNotFound)
	}
	cancel(errCancelled)
	return nil
}

// Run implements core.Executor. The wall timeout starts with the guest, not with
// the wait for a free place.
func (e *Executor) Run(ctx context.Context, req core.RunRequest, emit func(core.RunEvent) error) (core.RunResult, error) {
	task, err := parseTask(req.Manifest)
	if err != nil {
		return core.RunResult{}, err
	}
	runCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	unregister, err := e.register(req.RunID, cancel)
	if err != nil {
		return core.RunResult{}, err
	}
	defer unregister()
	result, err := e.run(runCtx, cancel, task, req, emit)
	if err != nil {
		return e.endedEarly(ctx, runCtx, emit, err)
	}
	return result, nil
}

// run is Run without the bookkeeping.
func (e *Executor) run(ctx context.Context, cancel context.CancelCauseFunc, task *core.Resolved, req core.RunRequest, emit func(core.RunEvent) error) (core.RunResult, error) {
	code, _, err := e.modules.acquire(ctx, &task.Spec, req.Module)
	if err != nil {
		return core.RunResult{}, err
	}
	defer e.modules.release(keyOf(&task.Spec), code)
	r, err := newRun(e, task, code, emit)
	if err != nil {
		return core.RunResult{}, err
	}
	result, err := r.do(ctx, cancel, req.Inputs)
	return result, errors.Join(err, r.close())
}

// endedEarly is what a run that did not come to its end answers: the error of the
// caller's context, that we close, a result where it was cancelled before the
// guest started, or the error itself.
func (e *Executor) endedEarly(ctx, runCtx context.Context, emit func(core.RunEvent) error, err error) (core.RunResult, error) {
	cause := context.Cause(runCtx)
	switch {
	case ctx.Err() != nil:
		return core.RunResult{}, ctx.Err()
	case errors.Is(cause, errClosed):
		return core.RunResult{}, cause
	case !errors.Is(cause, errCancelled) || !errors.Is(err, context.Canceled):
		return core.RunResult{}, err
	}
	stdout := newStream(core.RunStdout, core.StdoutName, 0, emit)
	stderr := newStream(core.RunStderr, "stderr", 0, emit)
	if err := errors.Join(stdout.end(), stderr.end()); err != nil {
		return core.RunResult{}, err
	}
	return core.RunResult{
		Outcome: core.OutcomeCancelled, Reason: "cancelled before the start", Engine: e.engine,
		Metering: core.Metering{Verifiable: core.VerifiableMetering{Req: 1}},
		Outputs:  []core.RunOutputDigest{stdout.digest()},
	}, nil
}

func keyOf(spec *core.TaskSpec) moduleKey {
	return moduleKey{spec.Module.Digest.SHA256, spec.Limits.TableElements}
}
