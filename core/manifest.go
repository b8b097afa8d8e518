package core

import (
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"sort"
	"strings"
	"time"

	"github.com/zerostate/zerostate/core/internal/canon"
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

// specStage says how far a spec is resolved, so what must and must not be there.
type specStage int

const (
	stageManifest specStage = iota // file: allowed, inputs may be open
	stageTemplate                  // nonce, seed, inputs' uri and digest absent
	stageResolved                  // everything there
)

// specCheck gathers what is wrong with a spec, by path.
type specCheck struct {
	stage specStage
	bad   []ManifestProblem
}

func (c *specCheck) add(at, format string, args ...any) {
	c.bad = append(c.bad, ManifestProblem{Path: at, Problem: fmt.Sprintf(format, args...), Kind: ErrInvalid})
}

func (c *specCheck) unsupported(at, problem string) {
	c.bad = append(c.bad, ManifestProblem{Path: at, Problem: problem, Kind: ErrUnsupported})
}

// between refuses a number outside of low..high.
func (c *specCheck) between(at string, v, low, high int64) {
	if v < low || v > high {
		c.add(at, "got %d, wants %d to %d", v, low, high)
	}
}

// text refuses a string that is too long or that no document may hold.
func (c *specCheck) text(at, s string, most int) {
	if len(s) > most {
		c.add(at, "has %d bytes, at most %d are allowed", len(s), most)
	}
	if err := canon.CheckString(s); err != nil {
		c.add(at, "%s", plainProblem(err))
	}
}

// plainProblem is the text of an error without the sentinel in front.
func plainProblem(err error) string {
	return strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": ")
}

// check collects every rule that the spec breaks, in the order of its members.
func (s *TaskSpec) check(stage specStage) []ManifestProblem {
	c := &specCheck{stage: stage}
	c.module(s.Module)
	c.args(s.Args)
	c.env(s.Env)
	c.inputs(s.Inputs)
	c.outputs(s.Outputs, s.Limits)
	c.limits(s.Limits)
	c.determinism(s.Determinism)
	if err := s.Settlement.Check(); err != nil {
		var fe FieldError
		if errors.As(err, &fe) {
			c.add("spec.settlement."+fe.Path, "%s", fe.Problem)
		} else {
			c.unsupported("spec.settlement.unit", "is not supported yet, use req or byte")
		}
	}
	return c.bad
}

func (c *specCheck) module(m TaskModule) {
	const at = "spec.module"
	c.content(at, m.URI, m.Digest, c.stage == stageManifest)
	if m.ABI != ABIWASIPreview1 {
		c.unsupported(at+".abi", "only "+ABIWASIPreview1+" is supported")
	}
}

// content checks the URI and digest of a module or input. An open one may also
// be a file, and may leave its digest to Resolve.
func (c *specCheck) content(at, uri string, digest Digest256, open bool) {
	cid, isIPFS := strings.CutPrefix(uri, "ipfs://")
	switch {
	case isIPFS:
		if err := canon.CheckCID(cid); err != nil {
			c.add(at+".uri", "%s", plainProblem(err))
		} else if contradicts(cid, digest) {
			c.add(at+".digest.sha256", "is not the digest that the CID names")
		}
	case open && strings.HasPrefix(uri, "file:"):
		if p := filePath(uri); p == "" || len(p) > 4096 {
			c.add(at+".uri", "wants file: and a path of at most 4096 bytes")
		}
	case open:
		c.add(at+".uri", "wants file:PATH or ipfs://CID")
	default:
		c.add(at+".uri", "wants ipfs://CID")
	}
	if (!open || digest != (Digest256{})) && canon.CheckHex64(digest.SHA256) != nil {
		c.add(at+".digest.sha256", "wants 64 lower-case hex digits")
	}
}

// contradicts says whether a CID of one raw block names another digest than the
// one given. A CID of several blocks says nothing about the whole content.
func contradicts(cid string, digest Digest256) bool {
	sum, err := hex.DecodeString(digest.SHA256)
	if err != nil || len(sum) != 32 || !strings.HasPrefix(cid, rawCIDPrefix) {
		return false
	}
	block := append([]byte{1, 0x55, 0x12, 32}, sum...) // CIDv1, raw, sha2-256
	text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(block)
	return cid != "b"+strings.ToLower(text)
}

// rawCIDPrefix starts every CID v1 of a raw block in base32.
const rawCIDPrefix = "bafkre"

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

func (c *specCheck) args(args []string) {
	c.between("spec.args", int64(len(args)), 0, maxTaskArgs)
	for i, a := range args {
		c.text(fmt.Sprintf("spec.args[%d]", i), a, maxTaskValueBytes)
	}
}

func (c *specCheck) env(env map[string]string) {
	c.between("spec.env", int64(len(env)), 0, maxTaskEnv)
	names := make([]string, 0, len(env))
	for name := range env {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if !isEnvName(name) {
			c.add("spec.env."+name, "wants a name of at most 64 letters, digits and _, not starting with a digit")
		}
		c.text("spec.env."+name, env[name], maxTaskValueBytes)
	}
}

func (c *specCheck) inputs(inputs []TaskInput) {
	c.between("spec.inputs", int64(len(inputs)), 0, maxTaskInputs)
	names, mounts := map[string]bool{}, map[string]bool{}
	for i, in := range inputs {
		at := fmt.Sprintf("spec.inputs[%d]", i)
		c.name(at+".name", in.Name, names)
		c.inputContent(at, in)
		c.place(at+".mount", in.Mount, "/in/", mounts)
		c.between(at+".timeoutMs", in.TimeoutMs, 1, 10*60*1000)
		c.between(at+".retries", in.Retries, 0, 10)
	}
}

func (c *specCheck) inputContent(at string, in TaskInput) {
	switch {
	case c.stage == stageTemplate:
		if in.URI != "" || in.Digest != (Digest256{}) {
			c.add(at, "is filled by the caller: uri and digest must be absent")
		}
	case c.stage == stageManifest && in.URI == "":
		if in.Digest != (Digest256{}) && canon.CheckHex64(in.Digest.SHA256) != nil {
			c.add(at+".digest.sha256", "wants 64 lower-case hex digits")
		}
	default:
		c.content(at, in.URI, in.Digest, c.stage == stageManifest)
	}
}

func (c *specCheck) outputs(outputs []TaskOutput, limits TaskLimits) {
	c.between("spec.outputs", int64(len(outputs)), 0, min(maxTaskOutputs, max(limits.OutputFiles, 0)))
	names, paths := map[string]bool{StdoutName: true}, map[string]bool{}
	for i, out := range outputs {
		at := fmt.Sprintf("spec.outputs[%d]", i)
		c.name(at+".name", out.Name, names)
		c.place(at+".path", out.Path, "/out/", paths)
		c.between(at+".maxBytes", out.MaxBytes, 1, max(limits.OutputBytes, 1))
	}
}

// name checks a plain name and that nobody took it.
func (c *specCheck) name(at, name string, taken map[string]bool) {
	switch {
	case !isPlainName(name):
		c.add(at, "wants a plain name: 1 to %d letters, digits, '.', '_' and '-', starting with a letter or digit", maxTaskNameBytes)
	case taken[name] && name == StdoutName:
		c.add(at, "%q is the name of standard output", name)
	case taken[name]:
		c.add(at, "%q is used twice", name)
	}
	taken[name] = true
}

// place checks an absolute, clean path under root and that it neither is nor
// contains one that is taken.
func (c *specCheck) place(at, p, root string, taken map[string]bool) {
	if !strings.HasPrefix(p, root) || path.Clean(p) != p || strings.Contains(p, `\`) {
		c.add(at, "wants a clean absolute path under %s", root)
		return
	}
	c.text(at, p, maxTaskPathBytes)
	for other := range taken {
		if p == other || strings.HasPrefix(p, other+"/") || strings.HasPrefix(other, p+"/") {
			c.add(at, "overlaps another path")
			break
		}
	}
	taken[p] = true
}

func (c *specCheck) limits(l TaskLimits) {
	const at = "spec.limits."
	c.between(at+"memoryBytes", l.MemoryBytes, 64<<10, 4<<30)
	c.between(at+"tableElements", l.TableElements, 0, 10_000_000)
	c.between(at+"stackFrames", l.StackFrames, 16, 1_000_000)
	c.between(at+"wallTimeoutMs", l.WallTimeoutMs, 1, 23*3600*1000)
	c.between(at+"stdoutBytes", l.StdoutBytes, 0, 64<<20)
	c.between(at+"stderrBytes", l.StderrBytes, 0, 64<<20)
	c.between(at+"outputBytes", l.OutputBytes, 0, 16<<30)
	c.between(at+"outputFiles", l.OutputFiles, 0, 1024)
}

func (c *specCheck) determinism(d TaskDeterminism) {
	const at = "spec.determinism."
	switch {
	case c.stage == stageTemplate:
		if d.Seed != "" {
			c.add(at+"seed", "is filled by the caller: must be absent")
		}
	case c.stage == stageManifest && d.Seed == SeedRandom:
	case canon.CheckHex64(d.Seed) != nil:
		c.add(at+"seed", "wants random, or 32 bytes in 64 lower-case hex digits")
	}
	if d.Epoch.IsZero() {
		c.add(at+"epoch", "wants a time, YYYY-MM-DDTHH:MM:SSZ")
	}
	if d.NaN != "" && d.NaN != NaNCanonical {
		c.add(at+"nan", "wants engine or canonical")
	}
}

// isPlainName says whether s can be a file name anywhere: letters, digits, '.',
// '_' and '-', starting with a letter or digit.
func isPlainName(s string) bool {
	if s == "" || len(s) > maxTaskNameBytes || strings.Contains("._-", s[:1]) {
		return false
	}
	return strings.Trim(s, letters+digits+"._-") == ""
}

func isEnvName(s string) bool {
	if s == "" || len(s) > maxTaskNameBytes || strings.Contains(digits, s[:1]) {
		return false
	}
	return strings.Trim(s, letters+digits+"_") == ""
}

const (
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits  = "0123456789"
)

// check collects what is wrong with the requester's own terms.
func (t *Terms) check() []ManifestProblem {
	c := &specCheck{stage: stageManifest}
	const at = "spec.placement."
	for i, region := range t.Placement.Regions {
		if !isLabel(region) {
			c.add(fmt.Sprintf("%sregions[%d]", at, i), "wants 1 to 64 of a-z, 0-9, '-', '.' and '_'")
		}
	}
	c.between(at+"regions", int64(len(t.Placement.Regions)), 0, 16)
	if t.Placement.SLA != SLAInteractive && t.Placement.SLA != SLABatch {
		c.add(at+"sla", "wants %s or %s", SLAInteractive, SLABatch)
	}
	c.between("spec.settlement.maxChargeMicros", t.MaxChargeMicros, 0, maxSafeInteger)
	return c.bad
}
