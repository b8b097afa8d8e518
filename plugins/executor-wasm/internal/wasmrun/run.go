package wasmrun

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/experimental/sysfs"
	"github.com/tetratelabs/wazero/sys"

	"github.com/zerostate/zerostate/core"
)

// chunkBytes is the most that one event carries.
const chunkBytes = 64 << 10

// limitError stops a guest that hits a limit; it travels as a panic out of the
// host function that the guest called, which wazero turns into an error.
type limitError struct{ reason string }

func (e *limitError) Error() string { return e.reason }

// emitError stops a guest whose output nobody takes any more.
type emitError struct{ err error }

func (e *emitError) Error() string { return e.err.Error() }

// run is one run of a task, from its private directory to its result.
type run struct {
	executor *Executor
	spec     *core.TaskSpec
	name     string
	code     *compiled
	emit     func(core.RunEvent) error

	dir    string
	root   *os.Root
	memory *memory
	stdout *stream
	stderr *stream
	inputs int64 // bytes
}

// newRun makes the run's private directory; the caller closes the run.
func newRun(e *Executor, task *core.Resolved, code *compiled, emit func(core.RunEvent) error) (*run, error) {
	dir, err := os.MkdirTemp(e.cfg.RunDir, "run-")
	if err != nil {
		return nil, fmt.Errorf("make run directory: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open run directory: %w", err), os.RemoveAll(dir))
	}
	r := &run{executor: e, spec: &task.Spec, name: task.Metadata.Name, code: code, emit: emit, dir: dir, root: root}
	if r.name == "" {
		r.name = "task"
	}
	limits := task.Spec.Limits
	r.stdout = newStream(core.RunStdout, core.StdoutName, limits.StdoutBytes, emit)
	r.stderr = newStream(core.RunStderr, "stderr", limits.StderrBytes, emit)
	return r, nil
}

// close removes the run's directory and memory. The guest is gone.
func (r *run) close() error {
	err := errors.Join(r.root.Close(), os.RemoveAll(r.dir))
	if r.memory != nil {
		err = errors.Join(err, r.memory.close())
	}
	if err != nil {
		return fmt.Errorf("clean up run: %w", err)
	}
	return nil
}

// do takes the inputs, waits for a free place, runs the guest and collects what
// it made. cancel stops the run early and says why.
func (r *run) do(ctx context.Context, cancel context.CancelCauseFunc, inputs []core.RunInput) (core.RunResult, error) {
	if err := r.stage(ctx, inputs); err != nil {
		return core.RunResult{}, err
	}
	if err := r.executor.slots.Acquire(ctx, 1); err != nil {
		return core.RunResult{}, err
	}
	defer r.executor.slots.Release(1)
	result, err := r.guest(ctx, cancel)
	if err != nil {
		return core.RunResult{}, err
	}
	return r.finish(result)
}

// stage writes the inputs to where the manifest mounts them.
func (r *run) stage(ctx context.Context, inputs []core.RunInput) error {
	for _, dir := range []string{inDir, outDir} {
		if err := r.root.Mkdir(dir, 0o700); err != nil {
			return fmt.Errorf("make run directory: %w", err)
		}
	}
	for _, out := range r.spec.Outputs {
		if err := r.root.MkdirAll(path.Dir(below(out.Path)), 0o700); err != nil {
			return fmt.Errorf("make directory of output %s: %w", out.Name, err)
		}
	}
	if len(inputs) != len(r.spec.Inputs) {
		return &core.FieldError{Path: "inputs", Problem: fmt.Sprintf("got %d, the manifest has %d", len(inputs), len(r.spec.Inputs))}
	}
	for i, in := range inputs {
		want := r.spec.Inputs[i]
		at := fmt.Sprintf("inputs[%d]", i)
		if in.Name != want.Name || in.Content == nil {
			return &core.FieldError{Path: at, Problem: fmt.Sprintf("wants the content of %q", want.Name)}
		}
		size, sum, err := r.stageOne(ctx, below(want.Mount), in.Content)
		if err != nil {
			return fmt.Errorf("input %s: %w", want.Name, err)
		}
		if size != in.SizeBytes {
			return &core.FieldError{Path: at + ".size_bytes", Problem: fmt.Sprintf("got %d, the content has %d", in.SizeBytes, size)}
		}
		if sum != want.Digest.SHA256 {
			return &core.FieldError{Path: at, Problem: "content is not what the manifest's digest names"}
		}
		r.inputs += size
	}
	return nil
}

// below is a guest's absolute path as one below the run's root.
func below(p string) string { return strings.TrimPrefix(path.Clean(p), "/") }

func (r *run) stageOne(ctx context.Context, name string, content io.Reader) (size int64, sum string, err error) {
	if err := r.root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return 0, "", err
	}
	f, err := r.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o400)
	if err != nil {
		return 0, "", err
	}
	h := sha256.New()
	size, err = io.Copy(io.MultiWriter(f, h), &contextReader{ctx, content})
	return size, hex.EncodeToString(h.Sum(nil)), errors.Join(err, f.Close())
}

// contextReader stops reading when a context ends.
type contextReader struct {
	ctx context.Context //nolint:containedctx // lives for one copy
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// guest runs the module and says how it ended, without its outputs. The error is
// one that leaves the run without a result.
func (r *run) guest(ctx context.Context, cancel context.CancelCauseFunc) (core.RunResult, error) {
	memory, err := newMemory(r.spec.Limits.MemoryBytes)
	if err != nil {
		return core.RunResult{}, err
	}
	r.memory = memory
	runtime.LockOSThread() // so that the processor time is this guest's
	defer runtime.UnlockOSThread()
	start, cpu := time.Now(), threadCPU()
	timer := time.AfterFunc(r.spec.Limits.WallTimeout(), func() { cancel(errTimeout) })
	err = r.call(ctx)
	timer.Stop()
	result, err := r.outcome(ctx, err)
	result.Metering.Observed.CPUMicros = (threadCPU() - cpu).Microseconds()
	result.Metering.Observed.WallMicros = time.Since(start).Microseconds()
	return result, err
}

// call instantiates the module and calls its _start.
func (r *run) call(ctx context.Context) (err error) {
	seed, err := hex.DecodeString(r.spec.Determinism.Seed)
	if err != nil || len(seed) != 32 {
		return fmt.Errorf("manifest: spec.determinism.seed: %w", core.ErrInvalid)
	}
	random := newRandom([32]byte(seed))
	ctx = experimental.WithMemoryAllocator(ctx, r.memory)
	ctx = context.WithValue(ctx, randomKey{}, io.Reader(random))
	mod, err := r.executor.runtime.InstantiateModule(ctx, r.code.module, r.config().WithRandSource(random))
	if err != nil {
		return err
	}
	_, err = mod.ExportedFunction("_start").Call(ctx)
	return errors.Join(err, mod.Close(context.WithoutCancel(ctx)))
}

// config is what the guest sees of the world.
func (r *run) config() wazero.ModuleConfig {
	epoch := r.spec.Determinism.Epoch.Time()
	clock := &clock{epoch: epoch}
	box := &sandbox{root: r.root, epoch: epoch.UnixNano(), quota: quota{
		maxBytes: r.spec.Limits.OutputBytes, maxFiles: r.spec.Limits.OutputFiles,
	}}
	files := wazero.NewFSConfig().(sysfs.FSConfig).WithSysFSMount(box, "/") //nolint:errcheck // wazero documents this assertion
	c := wazero.NewModuleConfig().WithName("").WithStartFunctions().
		WithArgs(append([]string{r.name}, r.spec.Args...)...).
		WithStdout(r.stdout).WithStderr(r.stderr).WithFSConfig(files).
		WithWalltime(clock.walltime, sys.ClockResolution(time.Microsecond)).
		WithNanotime(clock.nanotime, sys.ClockResolution(time.Microsecond)).
		WithNanosleep(clock.sleep)
	for _, name := range slices.Sorted(maps.Keys(r.spec.Env)) {
		c = c.WithEnv(name, r.spec.Env[name])
	}
	return c
}

// outcome turns the end of a guest into a result. What stopped it comes first:
// a guest could give any exit code.
func (r *run) outcome(ctx context.Context, err error) (core.RunResult, error) {
	var limit *limitError
	var emit *emitError
	var exit *sys.ExitError
	exited := errors.As(err, &exit)
	stopped := exited && ctx.Err() != nil && (exit.ExitCode() == sys.ExitCodeContextCanceled || exit.ExitCode() == sys.ExitCodeDeadlineExceeded)
	switch {
	case errors.As(err, &limit):
		return core.RunResult{Outcome: core.OutcomeLimit, Reason: limit.reason}, nil
	case errors.As(err, &emit):
		return core.RunResult{}, emit.err
	case stopped && errors.Is(context.Cause(ctx), errTimeout):
		return core.RunResult{Outcome: core.OutcomeTimeout, Reason: fmt.Sprintf("wall timeout of %s", r.spec.Limits.WallTimeout())}, nil
	case stopped && errors.Is(context.Cause(ctx), errCancelled):
		return core.RunResult{Outcome: core.OutcomeCancelled, Reason: "cancelled"}, nil
	case stopped:
		return core.RunResult{}, context.Cause(ctx)
	case err == nil || exited && exit.ExitCode() == 0:
		return core.RunResult{Outcome: core.OutcomeOK}, nil
	case r.memory.denied:
		reason := fmt.Sprintf("memory: more than %d bytes (%s)", r.spec.Limits.MemoryBytes, firstLine(err))
		return core.RunResult{Outcome: core.OutcomeLimit, Reason: reason}, nil
	case exited:
		code := int(exit.ExitCode())
		return core.RunResult{Outcome: core.OutcomeExit, ExitCode: code, Reason: fmt.Sprintf("exit code %d", code)}, nil
	case errors.Is(err, core.ErrInvalid):
		return core.RunResult{}, err
	}
	return core.RunResult{Outcome: core.OutcomeTrap, Reason: firstLine(err)}, nil
}

// firstLine is the part of a trap that is the same for every engine: no stack.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return strings.TrimSuffix(strings.TrimPrefix(line, "wasm error: "), " (recovered by wazero)")
}

// finish ends the streams, collects the outputs and adds up the metering.
func (r *run) finish(result core.RunResult) (core.RunResult, error) {
	result.Engine = r.executor.engine
	for _, s := range []*stream{r.stdout, r.stderr} {
		if err := s.end(); err != nil {
			return core.RunResult{}, err
		}
	}
	result.Outputs = []core.RunOutputDigest{r.stdout.digest()}
	metered := r.inputs + r.stdout.size
	for _, out := range r.spec.Outputs {
		digest, problem, err := r.collect(out)
		switch {
		case err != nil:
			return core.RunResult{}, fmt.Errorf("output %s: %w", out.Name, err)
		case problem != nil && result.Outcome == core.OutcomeOK && result.Reason == "":
			result.Outcome, result.Reason = problem.outcome, problem.reason
		case problem == nil:
			result.Outputs = append(result.Outputs, digest)
			metered += digest.SizeBytes
		}
	}
	result.Metering.Verifiable = core.VerifiableMetering{Req: 1, Byte: metered}
	if r.memory != nil {
		result.Metering.Verifiable.PeakPages = r.memory.peakPages()
	}
	return result, nil
}

// outputProblem is why a declared output is not there, and what that makes of a
// guest that ended well: one that was not written leaves the outcome ok, with a
// reason that says so.
type outputProblem struct {
	outcome core.Outcome
	reason  string
}

// collect sends an output file and answers its digest.
func (r *run) collect(out core.TaskOutput) (core.RunOutputDigest, *outputProblem, error) {
	name := below(out.Path)
	info, err := r.root.Lstat(name)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return core.RunOutputDigest{}, &outputProblem{core.OutcomeOK, fmt.Sprintf("output %s: the task did not write %s", out.Name, out.Path)}, nil
	case err != nil:
		return core.RunOutputDigest{}, nil, err
	case !info.Mode().IsRegular():
		return core.RunOutputDigest{}, &outputProblem{core.OutcomeOK, fmt.Sprintf("output %s: %s is not a file", out.Name, out.Path)}, nil
	case info.Size() > out.MaxBytes:
		return core.RunOutputDigest{}, &outputProblem{core.OutcomeLimit, fmt.Sprintf("output %s: has %d bytes, at most %d are allowed", out.Name, info.Size(), out.MaxBytes)}, nil
	}
	f, err := r.root.Open(name)
	if err != nil {
		return core.RunOutputDigest{}, nil, err
	}
	s := newStream(core.RunOutput, out.Name, out.MaxBytes, r.emit)
	err = errors.Join(s.copyFrom(f), f.Close())
	if err == nil {
		err = s.end()
	}
	return s.digest(), nil, err
}
