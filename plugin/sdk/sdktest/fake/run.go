package fake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"time"

	"github.com/zerostate/zerostate/core"
)

// run is one run in progress. A Program is one goroutine, so nothing is locked.
type run struct {
	spec    core.TaskSpec
	emit    func(core.RunEvent) error
	stop    context.CancelCauseFunc
	written map[string]int64 // by stream and name
	hash    map[string]*digest
	bytes   int64 // inputs, stdout, outputs
	emitErr error
	limit   string // which limit was reached
}

type digest struct {
	hash.Hash
	size int64
}

// stream is one of the streams of a run.
type stream struct {
	run   *run
	kind  core.RunStream
	name  string
	limit int64 // -1: not declared
}

func (s stream) Write(p []byte) (int, error) {
	r, key := s.run, fmt.Sprint(s.kind, s.name)
	if s.limit < 0 {
		return 0, fmt.Errorf("output %s: %w: not in the manifest", s.name, core.ErrInvalid)
	}
	if r.written[key]+int64(len(p)) > s.limit {
		if s.kind == core.RunStderr {
			return len(p), nil
		}
		r.limit = "output of " + s.label()
		r.stop(errLimit)
		return 0, errLimit
	}
	r.written[key] += int64(len(p))
	if s.kind != core.RunStderr {
		d := r.digest(s.label())
		_, _ = d.Write(p) // a hash never fails
		d.size += int64(len(p))
		r.bytes += int64(len(p))
	}
	return len(p), r.send(core.RunEvent{Stream: s.kind, Name: s.name, Data: p})
}

func (s stream) label() string {
	if s.kind == core.RunStdout {
		return core.StdoutName
	}
	return s.name
}

func (r *run) digest(name string) *digest {
	if r.hash[name] == nil {
		r.hash[name] = &digest{Hash: sha256.New()}
	}
	return r.hash[name]
}

// send emits an event; the first error stops the run.
func (r *run) send(e core.RunEvent) error {
	if r.emitErr != nil {
		return r.emitErr
	}
	if r.emitErr = r.emit(e); r.emitErr != nil {
		r.stop(r.emitErr)
	}
	return r.emitErr
}

// execute runs the program and makes the result.
func (r *run) execute(ctx, runCtx context.Context, e *Executor, inputs map[string][]byte) (core.RunResult, error) {
	program := e.programs[r.spec.Module.Digest.SHA256]
	if program == nil {
		program = Transform
	}
	p := &Process{Args: r.spec.Args, Env: r.spec.Env, Inputs: inputs, run: r}
	for _, in := range r.spec.Inputs {
		p.Names = append(p.Names, in.Name)
	}
	for _, out := range r.spec.Outputs {
		p.Outputs = append(p.Outputs, out.Name)
	}
	start := e.now()
	limited, release := context.WithTimeoutCause(runCtx, r.spec.Limits.WallTimeout(), errTimeout)
	defer release()
	code, trap := r.call(limited, program, p)
	elapsed := e.now().Sub(start)
	if r.emitErr != nil {
		return core.RunResult{}, r.emitErr
	}
	cause := context.Cause(limited)
	if ctx.Err() != nil {
		return core.RunResult{}, ctx.Err()
	}
	result := core.RunResult{ExitCode: code, Engine: engine, Metering: r.metering(elapsed)}
	result.Outcome, result.Reason = r.outcome(cause, code, trap)
	if result.Outcome != core.OutcomeOK && result.Outcome != core.OutcomeExit {
		result.ExitCode = 0
	}
	result.Outputs = r.outputs()
	return result, r.sendLast()
}

// call runs the program; a panic is a trap.
func (r *run) call(ctx context.Context, program Program, p *Process) (code int, trap string) {
	defer func() {
		if cause := recover(); cause != nil {
			trap = fmt.Sprint(cause)
		}
	}()
	return program(ctx, p), ""
}

func (r *run) outcome(cause error, code int, trap string) (core.Outcome, string) {
	switch {
	case errors.Is(cause, errCancelled):
		return core.OutcomeCancelled, cause.Error()
	case r.limit != "":
		return core.OutcomeLimit, r.limit
	case errors.Is(cause, errTimeout):
		return core.OutcomeTimeout, cause.Error()
	case trap != "":
		return core.OutcomeTrap, trap
	case code != 0:
		return core.OutcomeExit, fmt.Sprintf("exit code %d", code)
	default:
		return core.OutcomeOK, ""
	}
}

// metering charges one page: a Program's memory is not counted.
func (r *run) metering(elapsed time.Duration) core.Metering {
	return core.Metering{
		Verifiable: core.VerifiableMetering{Req: 1, Byte: r.bytes, PeakPages: 1},
		Observed:   core.ObservedMetering{CPUMicros: elapsed.Microseconds(), WallMicros: elapsed.Microseconds()},
	}
}

// outputs lists stdout, then the outputs that were written, in the manifest's order.
func (r *run) outputs() []core.RunOutputDigest {
	list := []core.RunOutputDigest{r.outputDigest(core.StdoutName)}
	for _, o := range r.spec.Outputs {
		if r.hash[o.Name] != nil {
			list = append(list, r.outputDigest(o.Name))
		}
	}
	return list
}

func (r *run) outputDigest(name string) core.RunOutputDigest {
	d := r.digest(name)
	return core.RunOutputDigest{Name: name, SHA256: hex.EncodeToString(d.Sum(nil)), SizeBytes: d.size}
}

// sendLast ends every stream.
func (r *run) sendLast() error {
	events := []core.RunEvent{{Stream: core.RunStdout, Last: true}, {Stream: core.RunStderr, Last: true}}
	for _, o := range r.outputs()[1:] {
		events = append(events, core.RunEvent{Stream: core.RunOutput, Name: o.Name, Last: true})
	}
	for _, e := range events {
		if err := r.send(e); err != nil {
			return err
		}
	}
	return nil
}
