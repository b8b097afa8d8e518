package core

import (
	"strings"
	"time"
)

// The spellings that every task manifest and resolved manifest bears.
const (
	TaskAPIVersion   = "zerostate.dev/v1alpha1"
	KindTask         = "Task"         // what people write
	KindResolvedTask = "ResolvedTask" // what is hashed: resolved manifest and template
	ABIWASIPreview1  = "wasi_snapshot_preview1"
)

// MaxManifestBytes bounds a manifest, a template and a resolved manifest.
const MaxManifestBytes = 64 << 10

// Bounds of the lists of a task, so that its receipt fits MaxReceiptBytes.
const (
	maxTaskInputs  = 32
	maxTaskOutputs = 64
	maxTaskArgs    = 256
	maxTaskEnv     = 64
)

// Longest strings of a task, bytes.
const (
	maxTaskNameBytes  = 64
	maxTaskPathBytes  = 256
	maxTaskValueBytes = 4096
)

// SLAInteractive and SLABatch are the service levels of Placement.
const (
	SLAInteractive = "interactive" // a lock lives at most 15 minutes
	SLABatch       = "batch"       // a lock lives at most 24 hours
)

// SeedRandom is the seed of a manifest that leaves it to Resolve.
const SeedRandom = "random"

// NaNCanonical asks the executor to make every NaN the canonical one; an
// executor that can not do it refuses with ErrUnsupported.
const NaNCanonical = "canonical"

// Manifest is a task manifest as a person wrote it, checked, with every default
// filled in. Spec is not resolved yet: its module and inputs may be `file:` URIs,
// inputs may lack URI and digest, and the seed may be SeedRandom.
type Manifest struct {
	Name  string // metadata.name, may be empty
	Spec  TaskSpec
	Terms Terms
}

// Terms is what steers only the requester: it is kept beside the resolved
// manifest, never in it, so that the worker does not learn it.
type Terms struct {
	Placement Placement `json:"placement"`
	// MaxChargeMicros caps the lock, micro-units of the price's currency; 0 means
	// that only the caller's policy caps it.
	MaxChargeMicros int64 `json:"maxChargeMicros"`
}

// Placement says which workers the requester wants.
type Placement struct {
	Regions       []string `json:"regions,omitempty"` // any of these; empty: everywhere
	MinReputation float64  `json:"minReputation"`     // 0..1
	SLA           string   `json:"sla"`               // SLAInteractive or SLABatch
}

// TaskMetadata names a task.
type TaskMetadata struct {
	Name  string `json:"name,omitempty"`
	Nonce string `json:"nonce,omitempty"` // 32 bytes, unpadded base64url; absent in a template
}

// TaskSpec is what runs, on what, within which limits, at what price. JSON
// members are those of the resolved manifest.
type TaskSpec struct {
	Module      TaskModule        `json:"module"`
	Args        []string          `json:"args,omitempty"` // after the program's name
	Env         map[string]string `json:"env,omitempty"`
	Inputs      []TaskInput       `json:"inputs,omitempty"`
	Outputs     []TaskOutput      `json:"outputs,omitempty"`
	Limits      TaskLimits        `json:"limits"`
	Determinism TaskDeterminism   `json:"determinism"`
	Settlement  Price             `json:"settlement"`
}

// TaskModule is the WASM program.
type TaskModule struct {
	URI    string    `json:"uri"` // ipfs://CID; in a Manifest also file:PATH
	Digest Digest256 `json:"digest,omitzero"`
	ABI    string    `json:"abi"` // ABIWASIPreview1
}

// TaskInput is one file that the guest reads.
type TaskInput struct {
	Name      string    `json:"name"`            // plain, unique
	URI       string    `json:"uri,omitempty"`   // ipfs://CID; absent in a template
	Digest    Digest256 `json:"digest,omitzero"` // of the content; absent in a template
	Mount     string    `json:"mount"`           // where the guest sees it, under /in
	TimeoutMs int64     `json:"timeoutMs"`       // to fetch it, milliseconds
	Retries   int64     `json:"retries"`         // of the fetch
}

// TaskOutput is one file that the guest may write.
type TaskOutput struct {
	Name     string `json:"name"`     // plain, unique, not "stdout"
	Path     string `json:"path"`     // where the guest writes it, under /out
	MaxBytes int64  `json:"maxBytes"` // of this output
}

// TaskLimits is what a run may use.
type TaskLimits struct {
	MemoryBytes   int64 `json:"memoryBytes"`   // linear memory
	TableElements int64 `json:"tableElements"` // of all tables
	StackFrames   int64 `json:"stackFrames"`   // depth of calls
	WallTimeoutMs int64 `json:"wallTimeoutMs"` // elapsed time of the guest, milliseconds
	StdoutBytes   int64 `json:"stdoutBytes"`
	StderrBytes   int64 `json:"stderrBytes"`
	OutputBytes   int64 `json:"outputBytes"` // of all outputs together
	OutputFiles   int64 `json:"outputFiles"` // files the guest may make under /out
}

// TaskDeterminism is what the guest sees of chance and time.
type TaskDeterminism struct {
	Seed  string `json:"seed,omitempty"` // 32 bytes in hex; absent in a template; SeedRandom in a Manifest
	Epoch Time   `json:"epoch"`          // where the guest's clock starts
	NaN   string `json:"nan,omitempty"`  // NaNCanonical, or absent: as the engine leaves them
}

// DefaultLimits are the limits of a manifest that names none.
func DefaultLimits() TaskLimits {
	return TaskLimits{
		MemoryBytes:   64 << 20,
		TableElements: 100_000,
		StackFrames:   10_000,
		WallTimeoutMs: 5_000,
		StdoutBytes:   64 << 10,
		StderrBytes:   64 << 10,
		OutputBytes:   8 << 20,
		OutputFiles:   64,
	}
}

// Other defaults of a manifest; the schema documents them.
const (
	defaultInputTimeoutMs = 10_000
	defaultInputRetries   = 2

	defaultEpoch Time = 1767225600 // 2026-01-01T00:00:00Z
)

// WallTimeout is the limit on elapsed time.
func (l TaskLimits) WallTimeout() time.Duration {
	return time.Duration(l.WallTimeoutMs) * time.Millisecond
}

// Timeout is how long fetching the input may take.
func (i TaskInput) Timeout() time.Duration {
	return time.Duration(i.TimeoutMs) * time.Millisecond
}

// MaxUnits is the most that a run of the task can be charged for in the unit of
// its price, where its inputs have inputBytes bytes together: what to escrow.
func (s *TaskSpec) MaxUnits(inputBytes int64) int64 {
	if s.Settlement.Unit != UnitByte {
		return 1
	}
	out := s.Limits.OutputBytes + s.Limits.StdoutBytes
	return min(max(inputBytes, 0), maxSafeInteger-out) + out
}

// filePath is the path of a file: URI, as the host reads it: relative to the
// manifest's directory. Empty where uri is no file: URI.
func filePath(uri string) string {
	p, ok := strings.CutPrefix(uri, "file:")
	if !ok {
		return ""
	}
	return strings.TrimPrefix(p, "//")
}

// File is the path that a `file:` URI names, relative to the directory of the
// manifest; ok is false where the URI is another kind.
func (m TaskModule) File() (name string, ok bool) { return fileOf(m.URI) }

// File is the path that a `file:` URI names, relative to the directory of the
// manifest; ok is false where the URI is another kind.
func (i TaskInput) File() (name string, ok bool) { return fileOf(i.URI) }

func fileOf(uri string) (string, bool) {
	p := filePath(uri)
	return p, p != ""
}
