package core

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// Resolved is a resolved manifest: everything that decides what a task computes
// and what it costs, with nothing left open. Its canonical bytes are what a
// worker is given, and their sha256 is the task id.
type Resolved struct {
	APIVersion string       `json:"apiVersion"` // TaskAPIVersion
	Kind       string       `json:"kind"`       // KindResolvedTask
	Metadata   TaskMetadata `json:"metadata,omitzero"`
	Spec       TaskSpec     `json:"spec"`
}

// InputRef is a piece of content: where it is and what it is.
type InputRef struct {
	CID    string // of the content, as the host's store made it
	SHA256 string // of the content's bytes, 64 lower-case hex digits
}

// Contents is what Resolve cannot know, because core reads no files and draws no
// random numbers.
type Contents struct {
	Module InputRef            // the module's content
	Inputs map[string]InputRef // of every input, by name
	Nonce  string              // TaskNonce; a task is repeated under its old one
	Seed   string              // TaskSeed; used only where the manifest says random
}

// TaskNonce spells 32 random bytes as metadata.nonce.
func TaskNonce(random [32]byte) string { return canon.B64URL(random[:]) }

// TaskSeed spells 32 random bytes as determinism.seed.
func TaskSeed(random [32]byte) string { return fmt.Sprintf("%x", random) }

// Resolve makes the resolved manifest: contents take the place of every URI and
// digest. A digest or CID that the manifest gives and the content does not have
// is ErrDenied; an input that is missing or that the manifest does not name, a
// bad nonce or seed, is ErrInvalid. m is not changed and shares nothing with the
// result; the requester's terms stay in m.Terms.
func (m *Manifest) Resolve(c Contents) (*Resolved, error) {
	r := &Resolved{
		APIVersion: TaskAPIVersion,
		Kind:       KindResolvedTask,
		Metadata:   TaskMetadata{Name: m.Name, Nonce: c.Nonce},
		Spec:       m.Spec.clone(),
	}
	s := &r.Spec
	if err := place("spec.module", &s.Module.URI, &s.Module.Digest, c.Module); err != nil {
		return nil, err
	}
	if err := s.fill(c.Inputs); err != nil {
		return nil, err
	}
	if s.Determinism.Seed == SeedRandom {
		s.Determinism.Seed = c.Seed
	}
	if err := r.check(stageResolved); err != nil {
		return nil, err
	}
	return r, nil
}

func (s *TaskSpec) clone() TaskSpec {
	c := *s
	c.Args, c.Env = slices.Clone(s.Args), maps.Clone(s.Env)
	c.Inputs, c.Outputs = slices.Clone(s.Inputs), slices.Clone(s.Outputs)
	return c
}

// fill puts content at every input, exactly those that the spec names.
func (s *TaskSpec) fill(inputs map[string]InputRef) error {
	var bad FieldErrors
	named := map[string]bool{}
	for i := range s.Inputs {
		in := &s.Inputs[i]
		named[in.Name] = true
		ref, ok := inputs[in.Name]
		if !ok {
			bad.Add(fmt.Sprintf("spec.inputs[%d]", i), fmt.Sprintf("input %q is not given", in.Name))
			continue
		}
		if err := place(fmt.Sprintf("spec.inputs[%d]", i), &in.URI, &in.Digest, ref); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		if !named[name] {
			bad.Add("inputs", fmt.Sprintf("the task has no input %q", name))
		}
	}
	return bad.Err()
}

// place puts ref where a URI and a digest stand, which must agree with it.
func place(at string, uri *string, digest *Digest256, ref InputRef) error {
	if digest.SHA256 != "" && digest.SHA256 != ref.SHA256 {
		return fmt.Errorf("%s.digest.sha256: the content has another digest, %s: %w", at, ref.SHA256, ErrDenied)
	}
	resolved := "ipfs://" + ref.CID
	if _, isFile := fileOf(*uri); !isFile && *uri != "" && *uri != resolved {
		return fmt.Errorf("%s.uri: the content has another CID, %s: %w", at, ref.CID, ErrDenied)
	}
	*uri, *digest = resolved, Digest256{SHA256: ref.SHA256}
	return nil
}

// check says everything that is wrong for the stage.
func (r *Resolved) check(stage specStage) error {
	c := &specCheck{stage: stage}
	if r.APIVersion != TaskAPIVersion {
		c.add("apiVersion", "wants %s", TaskAPIVersion)
	}
	if r.Kind != KindResolvedTask {
		c.add("kind", "wants %s", KindResolvedTask)
	}
	if r.Metadata.Name != "" && !isPlainName(r.Metadata.Name) {
		c.add("metadata.name", "wants a plain name")
	}
	nonce, err := canon.FromB64URL(r.Metadata.Nonce)
	switch {
	case stage == stageTemplate && r.Metadata.Nonce != "":
		c.add("metadata.nonce", "is filled by the caller: must be absent")
	case stage == stageResolved && (err != nil || len(nonce) != 32):
		c.add("metadata.nonce", "wants 32 bytes in unpadded base64url")
	}
	return problemsError("", append(c.bad, r.Spec.check(stage)...))
}

// ParseResolved reads the canonical bytes of a resolved manifest, at most
// MaxManifestBytes, strictly and in their one spelling. What this version does
// not support is ErrUnsupported, what steers only a requester and has no place
// here is ErrDenied, both naming the field; everything else wrong is ErrInvalid.
func ParseResolved(data []byte) (*Resolved, error) {
	r := &Resolved{}
	if err := r.decode(data, stageResolved); err != nil {
		return nil, fmt.Errorf("resolved manifest: %w", err)
	}
	return r, nil
}

func (r *Resolved) decode(data []byte, stage specStage) error {
	if err := canon.Scan(data, canon.Limit(MaxManifestBytes)); err != nil {
		return err
	}
	if err := refuseForeign(data, stage); err != nil {
		return err
	}
	if err := canon.Decode(data, MaxManifestBytes, r); err != nil {
		return err
	}
	return r.check(stage)
}

// Bytes is the canonical form, what a worker is given. ErrInvalid where a field
// breaks a rule.
func (r *Resolved) Bytes() ([]byte, error) { return r.encode(stageResolved) }

func (r *Resolved) encode(stage specStage) ([]byte, error) {
	if err := r.check(stage); err != nil {
		return nil, err
	}
	b, err := canon.Encode(r)
	if err != nil {
		return nil, err
	}
	if len(b) > MaxManifestBytes {
		return nil, fmt.Errorf("%d bytes, at most %d are allowed: %w", len(b), MaxManifestBytes, ErrInvalid)
	}
	return b, nil
}

// TaskID is the sha256 of Bytes in hex.
func (r *Resolved) TaskID() (string, error) {
	b, err := r.Bytes()
	if err != nil {
		return "", err
	}
	return canon.SHA256Hex(b), nil
}

// foreign is the shape of what must not stand in a resolved manifest or
// template: each member is absent, or its text.
type foreign struct {
	Spec struct {
		Network      json.RawMessage   `json:"network"`
		Placement    json.RawMessage   `json:"placement"`
		Verification json.RawMessage   `json:"verification"`
		Limits       foreignLimits     `json:"limits"`
		Settlement   foreignSettlement `json:"settlement"`
		Module       foreignContent    `json:"module"`
		Inputs       []foreignContent  `json:"inputs"`
		Outputs      []foreignOutput   `json:"outputs"`
	} `json:"spec"`
}

type foreignLimits struct {
	Gas json.RawMessage `json:"gas"`
}

type foreignSettlement struct {
	Unit            string          `json:"unit"`
	MaxChargeMicros json.RawMessage `json:"maxChargeMicros"`
}

type foreignContent struct {
	URI string `json:"uri"`
}

type foreignOutput struct {
	Replicas json.RawMessage `json:"replicas"`
}

// refuseForeign names the fields that a stranger's document must not have
// (ErrDenied) or that nothing implements yet (ErrUnsupported), so that they are
// not just "unknown". Text of another shape is left to the strict reader.
func refuseForeign(data []byte, stage specStage) error {
	var f foreign
	if err := json.Unmarshal(data, &f); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	var bad []ManifestProblem
	denied := func(at string, present bool) {
		if present {
			bad = append(bad, ManifestProblem{Path: at, Problem: "is not allowed in a stranger's document", Kind: ErrDenied})
		}
	}
	later := func(at string, present bool) {
		if present {
			bad = append(bad, ManifestProblem{Path: at, Problem: "is not supported yet", Kind: ErrUnsupported})
		}
	}
	s := &f.Spec
	denied("spec.placement", s.Placement != nil)
	denied("spec.verification", s.Verification != nil)
	denied("spec.settlement.maxChargeMicros", s.Settlement.MaxChargeMicros != nil)
	denied("spec.module.uri", isForeignURI(s.Module.URI))
	for i, in := range s.Inputs {
		denied(fmt.Sprintf("spec.inputs[%d].uri", i), isForeignURI(in.URI) || (stage == stageTemplate && in.URI != ""))
	}
	for i, out := range s.Outputs {
		denied(fmt.Sprintf("spec.outputs[%d].replicas", i), out.Replicas != nil)
	}
	later("spec.network", s.Network != nil)
	later("spec.limits.gas", s.Limits.Gas != nil)
	later("spec.settlement.unit", reservedUnit(s.Settlement.Unit))
	return problemsError("", bad)
}
