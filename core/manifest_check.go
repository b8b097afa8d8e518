package core

import (
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/zerostate/zerostate/core/internal/canon"
)

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
		if fe, ok := errors.AsType[FieldError](err); ok {
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

func (c *specCheck) args(args []string) {
	c.between("spec.args", int64(len(args)), 0, maxTaskArgs)
	for i, a := range args {
		c.text(fmt.Sprintf("spec.args[%d]", i), a, maxTaskValueBytes)
	}
}

func (c *specCheck) env(env map[string]string) {
	c.between("spec.env", int64(len(env)), 0, maxTaskEnv)
	for _, name := range slices.Sorted(maps.Keys(env)) {
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
