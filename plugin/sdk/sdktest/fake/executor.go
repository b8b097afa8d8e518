package fake

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"
	"time"

	"github.com/zerostate/zerostate/core"
)

// Program stands for a WASM module: it reads p and writes to it, and returns an
// exit code. It must return soon after ctx has ended, and may panic, which is a
// trap. It must not keep p.
type Program func(ctx context.Context, p *Process) int

// Process is what a Program sees.
type Process struct {
	Args   []string
	Env    map[string]string
	Inputs map[string][]byte // by name
	Names  []string          // of the inputs, in the manifest's order
	// Outputs are the names that the manifest declares.
	Outputs []string

	run *run
}

// Stdout returns standard output. A write beyond the limit ends the run.
func (p *Process) Stdout() io.Writer {
	return stream{p.run, core.RunStdout, "", p.run.spec.Limits.StdoutBytes}
}

// Stderr returns standard error; what is beyond the limit is dropped.
func (p *Process) Stderr() io.Writer {
	return stream{p.run, core.RunStderr, "", p.run.spec.Limits.StderrBytes}
}

// Output returns an output of the manifest by name.
func (p *Process) Output(name string) io.Writer {
	for _, o := range p.run.spec.Outputs {
		if o.Name == name {
			return stream{p.run, core.RunOutput, name, min(o.MaxBytes, p.run.spec.Limits.OutputBytes)}
		}
	}
	return stream{p.run, core.RunOutput, name, -1}
}

// Transform is the program of every module that has none of its own: standard
// output gets a line "name sha256 size" for each input, and each output of the
// manifest gets the bytes of all inputs in their order, ASCII letters in upper
// case.
func Transform(_ context.Context, p *Process) int {
	var all []byte
	for _, name := range p.Names {
		data := p.Inputs[name]
		sum := sha256.Sum256(data)
		if _, err := fmt.Fprintf(p.Stdout(), "%s %x %d\n", name, sum, len(data)); err != nil {
			return 1
		}
		all = append(all, upper(data)...)
	}
	for _, name := range p.Outputs {
		if _, err := p.Output(name).Write(all); err != nil {
			return 1
		}
	}
	return 0
}

// upper turns ASCII letters into capitals and leaves every other byte.
func upper(data []byte) []byte {
	out := bytes.Clone(data)
	for i, b := range out {
		if 'a' <= b && b <= 'z' {
			out[i] = b - 'a' + 'A'
		}
	}
	return out
}

// Executor runs Programs in place of modules.
type Executor struct {
	programs map[string]Program
	now      func() time.Time

	mu       sync.Mutex
	prepared map[string]bool
	runs     map[string]context.CancelCauseFunc
}

// NewExecutor returns an executor with programs by the sha256 of their module,
// in hex; now may be nil for the real clock.
func NewExecutor(programs map[string]Program, now func() time.Time) *Executor {
	if now == nil {
		now = time.Now
	}
	return &Executor{
		programs: maps.Clone(programs), now: now,
		prepared: map[string]bool{}, runs: map[string]context.CancelCauseFunc{},
	}
}

// Reasons for which a run's context ends.
var (
	errCancelled = errors.New("cancelled by the requester")
	errLimit     = errors.New("output limit reached")
	errTimeout   = errors.New("wall timeout")
)

var engine = core.EngineInfo{Name: Name, Version: Version, Pass: "none"}

// Prepare remembers the module's digest.
func (e *Executor) Prepare(ctx context.Context, req core.PrepareRequest) (core.Prepared, error) {
	task, err := core.ParseResolved(req.Manifest)
	if err != nil {
		return core.Prepared{}, err
	}
	if err := ctx.Err(); err != nil {
		return core.Prepared{}, err
	}
	cached, err := e.load(task, req.Module)
	if err != nil {
		return core.Prepared{}, err
	}
	return core.Prepared{ModuleDigest: task.Spec.Module.Digest.SHA256, Cached: cached, Engine: engine}, nil
}

// load checks a module against its digest, or that it was loaded before.
func (e *Executor) load(task *core.Resolved, module io.Reader) (cached bool, err error) {
	digest := task.Spec.Module.Digest.SHA256
	e.mu.Lock()
	cached = e.prepared[digest]
	e.mu.Unlock()
	if module == nil {
		if !cached {
			return false, fmt.Errorf("module %.16s: %w: not prepared", digest, core.ErrNotFound)
		}
		return true, nil
	}
	data, err := io.ReadAll(module)
	if err != nil {
		return false, fmt.Errorf("read module: %w", err)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != digest {
		return false, fmt.Errorf("module: %w: its digest is %x, not %.16s", core.ErrInvalid, sum[:8], digest)
	}
	if !bytes.HasPrefix(data, []byte("\x00asm")) {
		return false, fmt.Errorf("module: %w: not a WASM module", core.ErrInvalid)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.prepared[digest] = true
	return cached, nil
}

// Run runs the program of the module's digest, Transform where there is none.
func (e *Executor) Run(ctx context.Context, req core.RunRequest, emit func(core.RunEvent) error) (core.RunResult, error) {
	task, err := core.ParseResolved(req.Manifest)
	if err != nil {
		return core.RunResult{}, err
	}
	if _, err := e.load(task, req.Module); err != nil {
		return core.RunResult{}, err
	}
	inputs, size, err := readInputs(task, req.Inputs)
	if err != nil {
		return core.RunResult{}, err
	}
	runCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := e.begin(req.RunID, cancel); err != nil {
		return core.RunResult{}, err
	}
	defer e.end(req.RunID)
	r := &run{
		spec: task.Spec, emit: emit, stop: cancel, written: map[string]int64{},
		hash: map[string]*digest{}, bytes: size,
	}
	return r.execute(ctx, runCtx, e, inputs)
}

func (e *Executor) begin(id string, cancel context.CancelCauseFunc) error {
	if id == "" {
		return core.FieldError{Path: "runId", Problem: "must not be empty"}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.runs[id] != nil {
		return fmt.Errorf("run %.40s: %w: in progress", id, core.ErrConflict)
	}
	e.runs[id] = cancel
	return nil
}

func (e *Executor) end(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.runs, id)
}

// readInputs reads every input of the manifest and checks its digest.
func readInputs(task *core.Resolved, inputs []core.RunInput) (map[string][]byte, int64, error) {
	if len(inputs) != len(task.Spec.Inputs) {
		return nil, 0, core.FieldError{Path: "inputs", Problem: fmt.Sprintf("%d, the manifest has %d", len(inputs), len(task.Spec.Inputs))}
	}
	contents, size := map[string][]byte{}, int64(0)
	for i, in := range inputs {
		want := task.Spec.Inputs[i]
		data, err := io.ReadAll(in.Content)
		if err != nil {
			return nil, 0, fmt.Errorf("read input %s: %w", in.Name, err)
		}
		sum := sha256.Sum256(data)
		if in.Name != want.Name || hex.EncodeToString(sum[:]) != want.Digest.SHA256 {
			return nil, 0, core.FieldError{Path: "inputs." + in.Name, Problem: "is not the manifest's"}
		}
		contents[in.Name] = data
		size += int64(len(data))
	}
	return contents, size, nil
}

// Cancel stops a run.
func (e *Executor) Cancel(_ context.Context, runID string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	cancel := e.runs[runID]
	if cancel == nil {
		return fmt.Errorf("run %.40s: %w", runID, core.ErrNotFound)
	}
	cancel(errCancelled)
	return nil
}

// Verify runs again and compares.
func (e *Executor) Verify(ctx context.Context, req core.VerifyRequest) (core.VerifyResult, error) {
	got, err := e.Run(ctx, req.Run, func(core.RunEvent) error { return nil })
	if err != nil {
		return core.VerifyResult{}, err
	}
	out := core.VerifyResult{Result: got}
	differ := func(what string, got, want any) {
		if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
			out.Differences = append(out.Differences, fmt.Sprintf("%s: got %s, want %s", what, g, w))
		}
	}
	differ("outcome", got.Outcome, req.Expected.Outcome)
	differ("exit code", got.ExitCode, req.Expected.ExitCode)
	differ("outputs", got.Outputs, req.Expected.Outputs)
	differ("verifiable metering", got.Metering.Verifiable, req.Expected.Metering.Verifiable)
	out.Match = len(out.Differences) == 0
	return out, nil
}
