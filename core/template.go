package core

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// Template is what an offer names: the agent's manifest, resolved but for nonce,
// seed and each input's uri and digest, which are absent. For its reader it is a
// stranger's document: ParseTemplate.
type Template Resolved

// isForeignURI says whether a stranger's document may not name the URI: only
// public content can be.
func isForeignURI(uri string) bool { return uri != "" && !strings.HasPrefix(uri, "ipfs://") }

// Template makes the template of an agent's manifest; module is its module's
// content. ErrDenied, naming every field, where the manifest has what only a
// caller may say: an input's uri or digest, a fixed seed, placement or
// maxChargeMicros.
func (m *Manifest) Template(module InputRef) (*Template, error) {
	if err := m.refuseTerms(); err != nil {
		return nil, err
	}
	t := &Template{
		APIVersion: TaskAPIVersion,
		Kind:       KindResolvedTask,
		Metadata:   TaskMetadata{Name: m.Name},
		Spec:       m.Spec.clone(),
	}
	t.Spec.Determinism.Seed = ""
	if err := place("spec.module", &t.Spec.Module.URI, &t.Spec.Module.Digest, module); err != nil {
		return nil, err
	}
	if err := (*Resolved)(t).check(stageTemplate); err != nil {
		return nil, err
	}
	return t, nil
}

func (m *Manifest) refuseTerms() error {
	var bad []ManifestProblem
	denied := func(at string, present bool) {
		if present {
			bad = append(bad, ManifestProblem{Path: at, Problem: "is the caller's: not allowed in an offer", Kind: ErrDenied})
		}
	}
	for i, in := range m.Spec.Inputs {
		denied(fmt.Sprintf("spec.inputs[%d].uri", i), in.URI != "")
		denied(fmt.Sprintf("spec.inputs[%d].digest", i), in.Digest != Digest256{})
	}
	p := m.Terms.Placement
	denied("spec.determinism.seed", m.Spec.Determinism.Seed != SeedRandom)
	denied("spec.placement", len(p.Regions) > 0 || p.MinReputation != 0 || p.SLA != SLAInteractive)
	denied("spec.settlement.maxChargeMicros", m.Terms.MaxChargeMicros != 0)
	return problemsError("", bad)
}

// ParseTemplate reads the canonical bytes of a stranger's template. What a
// stranger may not say is ErrDenied and names the field: URIs in inputs, `file:`
// and other URIs, placement, verification, maxChargeMicros, replicas. What
// nothing implements yet is ErrUnsupported, everything else wrong ErrInvalid.
func ParseTemplate(data []byte) (*Template, error) {
	t := &Template{}
	if err := (*Resolved)(t).decode(data, stageTemplate); err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	return t, nil
}

// Bytes is the canonical form: what an offer's CID and sha256 name.
func (t *Template) Bytes() ([]byte, error) { return (*Resolved)(t).encode(stageTemplate) }

// Digest is the sha256 of Bytes in hex: an offer's manifest.sha256.
func (t *Template) Digest() (string, error) {
	b, err := t.Bytes()
	if err != nil {
		return "", err
	}
	return canon.SHA256Hex(b), nil
}

// CheckTemplatePrice says whether the template asks what the signed card offers;
// ErrDenied where it does not.
func CheckTemplatePrice(t *Template, offered Price) error {
	if t.Spec.Settlement != offered {
		return fmt.Errorf("spec.settlement: the template asks %s, the card offers %s: %w",
			t.Spec.Settlement, offered, ErrDenied)
	}
	return nil
}

// FillTemplate is what a caller does with an offer: it names each input's
// content and draws nonce (TaskNonce) and seed (TaskSeed), nothing else.
// ErrInvalid for a missing or unknown input, a bad CID, digest, nonce or seed.
func FillTemplate(t *Template, inputs map[string]InputRef, nonce, seed string) (*Resolved, error) {
	if err := (*Resolved)(t).check(stageTemplate); err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	r := Resolved(*t)
	r.Spec = t.Spec.clone()
	r.Metadata.Nonce, r.Spec.Determinism.Seed = nonce, seed
	if err := r.Spec.fill(inputs); err != nil {
		return nil, err
	}
	if err := r.check(stageResolved); err != nil {
		return nil, err
	}
	return &r, nil
}

// SameTemplate is what a worker does with a task that names its offer: it
// refuses (ErrDenied) every difference from its own template but those that a
// caller fills.
func SameTemplate(r *Resolved, t *Template) error {
	open := *r
	open.Spec = r.Spec.clone()
	open.Metadata.Nonce, open.Spec.Determinism.Seed = "", ""
	for i := range open.Spec.Inputs {
		open.Spec.Inputs[i].URI, open.Spec.Inputs[i].Digest = "", Digest256{}
	}
	_, complete := r.Bytes()
	got, errGot := open.encode(stageTemplate)
	want, errWant := t.Bytes()
	if err := errors.Join(complete, errGot, errWant); err != nil {
		return fmt.Errorf("compare task and template: %w", err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("the task differs from the offer in more than inputs, nonce and seed: %w", ErrDenied)
	}
	return nil
}
