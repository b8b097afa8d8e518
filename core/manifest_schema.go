package core

import (
	"bytes"
	_ "embed" // the schemas below
	"fmt"

	"github.com/zerostate/zerostate/core/internal/canon"
)

//go:embed schema/task.schema.json
var taskSchema []byte

//go:embed schema/resolved-task.schema.json
var resolvedSchema []byte

// ManifestSchema is the JSON Schema (2020-12) of a task manifest, with every
// default documented: for editors. ParseManifest checks more, and says where.
// The caller owns the bytes.
func ManifestSchema() []byte { return bytes.Clone(taskSchema) }

// ResolvedSchema is the JSON Schema (2020-12) of a resolved manifest and of a
// template, which lacks nonce, seed and each input's uri and digest. The caller
// owns the bytes.
func ResolvedSchema() []byte { return bytes.Clone(resolvedSchema) }

// manifest reads the whole text, with defaults where it is silent.
func (r *manifestReader) manifest(root *canon.Node) *Manifest {
	m := &Manifest{
		Spec: TaskSpec{
			Module:     TaskModule{ABI: ABIWASIPreview1},
			Limits:     DefaultLimits(),
			Settlement: Price{Currency: DefaultCurrency, Unit: UnitRequest, PriceMicros: 0, PerUnits: 1},
		},
		Terms: Terms{Placement: Placement{SLA: SLAInteractive}},
	}
	m.Spec.Determinism = TaskDeterminism{Seed: SeedRandom, Epoch: defaultEpoch}
	r.object(root, "", map[string]reader{
		"apiVersion": r.constant(TaskAPIVersion),
		"kind":       r.constant(KindTask),
		"metadata": func(n *canon.Node, at string) {
			r.object(n, at, map[string]reader{"name": r.str(&m.Name)})
		},
		"spec": func(n *canon.Node, at string) { r.spec(n, at, m) },
	}, "spec")
	return m
}

func (r *manifestReader) spec(n *canon.Node, at string, m *Manifest) {
	s := &m.Spec
	r.object(n, at, map[string]reader{
		"module":       func(n *canon.Node, at string) { r.module(n, at, &s.Module) },
		"args":         r.strs(&s.Args),
		"env":          func(n *canon.Node, at string) { r.env(n, at, s) },
		"inputs":       func(n *canon.Node, at string) { r.list(n, at, r.input(&s.Inputs)) },
		"outputs":      func(n *canon.Node, at string) { r.list(n, at, r.output(&s.Outputs)) },
		"limits":       func(n *canon.Node, at string) { r.limits(n, at, &s.Limits) },
		"determinism":  func(n *canon.Node, at string) { r.determinism(n, at, &s.Determinism) },
		"network":      r.network,
		"placement":    func(n *canon.Node, at string) { r.placement(n, at, &m.Terms.Placement) },
		"settlement":   func(n *canon.Node, at string) { r.settlement(n, at, m) },
		"verification": r.later("verification is"),
	}, "module")
	for i := range s.Outputs { // limits may stand after outputs
		if s.Outputs[i].MaxBytes == 0 && r.nodes[fmt.Sprintf("%s.outputs[%d].maxBytes", at, i)] == nil {
			s.Outputs[i].MaxBytes = max(s.Limits.OutputBytes, 1)
		}
	}
}

func (r *manifestReader) module(n *canon.Node, at string, m *TaskModule) {
	r.object(n, at, map[string]reader{
		"uri":    r.str(&m.URI),
		"digest": r.digest(&m.Digest),
		"abi":    r.str(&m.ABI),
	}, "uri")
}

func (r *manifestReader) digest(dst *Digest256) reader {
	return func(n *canon.Node, at string) {
		r.object(n, at, map[string]reader{"sha256": r.str(&dst.SHA256)}, "sha256")
	}
}

func (r *manifestReader) env(n *canon.Node, at string, s *TaskSpec) {
	r.nodes[at] = n
	if n.Kind != canon.Map {
		r.invalid(n, at, "is %s, wants a mapping", n.Kind)
		return
	}
	if len(n.Map) > 0 {
		s.Env = make(map[string]string, len(n.Map))
	}
	for _, p := range n.Map {
		v, _ := r.scalar(p.Value, join(at, p.Key.Value))
		s.Env[p.Key.Value] = v
	}
}

func (r *manifestReader) input(dst *[]TaskInput) reader {
	return func(n *canon.Node, at string) {
		in := TaskInput{TimeoutMs: defaultInputTimeoutMs, Retries: defaultInputRetries}
		r.object(n, at, map[string]reader{
			"name":    r.str(&in.Name),
			"uri":     r.str(&in.URI),
			"digest":  r.digest(&in.Digest),
			"mount":   r.str(&in.Mount),
			"timeout": r.duration(&in.TimeoutMs),
			"retries": r.integer(&in.Retries),
		}, "name")
		if n.Get("mount") == nil {
			in.Mount = "/in/" + in.Name
		}
		*dst = append(*dst, in)
	}
}

func (r *manifestReader) output(dst *[]TaskOutput) reader {
	return func(n *canon.Node, at string) {
		var out TaskOutput
		r.object(n, at, map[string]reader{
			"name":     r.str(&out.Name),
			"path":     r.str(&out.Path),
			"maxBytes": r.size(&out.MaxBytes),
			"replicas": r.later("replicas are"),
		}, "name")
		if n.Get("path") == nil {
			out.Path = "/out/" + out.Name
		}
		*dst = append(*dst, out)
	}
}

func (r *manifestReader) limits(n *canon.Node, at string, l *TaskLimits) {
	r.object(n, at, map[string]reader{
		"gas":           r.later("gas is"),
		"memory":        r.size(&l.MemoryBytes),
		"tableElements": r.integer(&l.TableElements),
		"stackFrames":   r.integer(&l.StackFrames),
		"wallTimeout":   r.duration(&l.WallTimeoutMs),
		"stdoutBytes":   r.size(&l.StdoutBytes),
		"stderrBytes":   r.size(&l.StderrBytes),
		"outputBytes":   r.size(&l.OutputBytes),
		"outputFiles":   r.integer(&l.OutputFiles),
	})
}

func (r *manifestReader) determinism(n *canon.Node, at string, d *TaskDeterminism) {
	r.object(n, at, map[string]reader{
		"seed":  r.str(&d.Seed),
		"epoch": r.time(&d.Epoch),
		"nan": func(n *canon.Node, at string) {
			switch s, ok := r.scalar(n, at); {
			case !ok || s == "engine": // the default: left out
			default:
				d.NaN = s
			}
		},
	})
}

func (r *manifestReader) network(n *canon.Node, at string) {
	if s, ok := r.scalar(n, at); ok && s != "none" {
		r.problem(n, at, ErrUnsupported, "is %q, only none is supported", s)
	}
}

func (r *manifestReader) placement(n *canon.Node, at string, p *Placement) {
	r.object(n, at, map[string]reader{
		"regions":       r.strs(&p.Regions),
		"minReputation": r.ratio(&p.MinReputation),
		"sla":           r.str(&p.SLA),
	})
}

func (r *manifestReader) settlement(n *canon.Node, at string, m *Manifest) {
	p := &m.Spec.Settlement
	r.object(n, at, map[string]reader{
		"currency":        r.str(&p.Currency),
		"unit":            r.str(&p.Unit),
		"priceMicros":     r.integer(&p.PriceMicros),
		"perUnits":        r.integer(&p.PerUnits),
		"maxChargeMicros": r.integer(&m.Terms.MaxChargeMicros),
	})
}
