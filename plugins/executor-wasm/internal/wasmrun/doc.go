// Package wasmrun runs WASI preview 1 modules under wazero, so that a run sees
// nothing of the machine it is on: its inputs, one writable /out, a clock that
// starts at the manifest's epoch, random numbers from the manifest's seed, and
// no network. The same manifest and inputs give the same outputs and the same
// verifiable metering on any machine.
//
// Start at Executor (executor.go), go on to run.go (one run), sandbox.go (what a
// guest sees of the disk) and modules.go (what is kept between runs).
//
// What it can not hold yet, because it needs an instrumentation pass: gas, the
// manifest's limit on stack frames (the engine's own ceiling holds instead), and
// a deadline inside a recursion without loops: the engine looks at the clock
// where a loop begins.
package wasmrun
