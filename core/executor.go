package core

import (
	"context"
	"io"
)

// Executor runs the module of a task in a sandbox. It is safe for concurrent
// use. A guest that exits non-zero, traps or hits a limit is a RunResult, not
// an error; errors are ErrInvalid (manifest or module), ErrNotFound (module
// not given and not held), ErrUnsupported, ErrExhausted (the queue is full)
// and ErrUnavailable.
type Executor interface {
	// Prepare checks and compiles a module, cached by its digest, so that a
	// later Run starts at once.
	Prepare(ctx context.Context, req PrepareRequest) (Prepared, error)
	// Run runs the task and returns its result. Output goes to emit as it is
	// made; emit is never called concurrently, and not after Run has returned.
	// An error of emit stops the run and is returned. When ctx ends, the guest
	// is stopped and ctx's error is returned; Cancel instead gives a result.
	Run(ctx context.Context, req RunRequest, emit func(RunEvent) error) (RunResult, error)
	// Cancel stops the run of that ID: its Run returns a result with the
	// outcome "cancelled" and what was metered so far. ErrNotFound where no
	// such run is in progress.
	Cancel(ctx context.Context, runID string) error
	// Verify runs the task again and compares outcome, exit code, output
	// digests and verifiable metering with what was expected.
	Verify(ctx context.Context, req VerifyRequest) (VerifyResult, error)
}

// PrepareRequest names a module to be made ready.
type PrepareRequest struct {
	Manifest []byte    // resolved manifest, canonical; limits are read from it
	Module   io.Reader // the module's bytes; nil where the executor should hold it
}

// Prepared says what is ready.
type Prepared struct {
	ModuleDigest string // sha256, 64 lower-case hex digits
	Cached       bool   // it was ready before
	Engine       EngineInfo
}

// EngineInfo is what ran a module: the same engine and pass versions must give
// the same result.
type EngineInfo struct {
	Name    string // e.g. "wazero-compiler"
	Version string // e.g. "1.12.0"
	Pass    string // version of the instrumentation pass, "none" without one
}

// RunInput is the content of one input, by its name in the manifest. A Content
// that may block should be an io.Closer: when the run is over before it was
// read to its end, it may be closed to free the reader.
type RunInput struct {
	Name      string
	SizeBytes int64
	Content   io.Reader // read once, to its end
}

// RunRequest is one run of a task.
type RunRequest struct {
	RunID    string // not empty, unique among the runs in progress
	Manifest []byte // resolved manifest, canonical
	Module   io.Reader
	Inputs   []RunInput // every input of the manifest, in its order
}

// RunStream says where a RunEvent's bytes come from.
type RunStream int

// The streams of a guest.
const (
	RunStdout RunStream = iota
	RunStderr
	RunOutput // an output file, named by RunEvent.Name
)

// RunEvent is a piece of what a guest writes.
type RunEvent struct {
	Stream RunStream
	Name   string // the output's name in the manifest; empty for stdout and stderr
	Data   []byte // the receiver must copy what it keeps
	Last   bool   // nothing more of this stream and name follows
}

// StdoutName is the name of the digest of standard output, which is always the
// first of RunResult.Outputs.
const StdoutName = "stdout"

// RunOutputDigest identifies what a run produced under one name.
type RunOutputDigest struct {
	Name      string // StdoutName, or the output's name in the manifest
	SHA256    string // 64 lower-case hex digits
	SizeBytes int64
}

// RunResult is how a run ended.
type RunResult struct {
	Outcome  Outcome
	ExitCode int    // the guest's, 0 where it did not exit by itself
	Reason   string // for people: which limit, which trap
	Metering Metering
	Outputs  []RunOutputDigest // StdoutName first, always; then those of the manifest that exist, in its order
	Engine   EngineInfo
}

// VerifyRequest is a run and the result that someone claims for it.
type VerifyRequest struct {
	Run      RunRequest
	Expected RunResult
}

// VerifyResult is the outcome of a second run.
type VerifyResult struct {
	Match       bool
	Differences []string // one line each, empty where Match
	Result      RunResult
}
