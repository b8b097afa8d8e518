package core

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// fullManifest sets every field that is supported, each away from its default.
const fullManifest = `apiVersion: zerostate.dev/v1alpha1
kind: Task
metadata: {name: readme-to-html}
spec:
  module:
    uri: file:markdown.wasm
    digest: {sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}
    abi: wasi_snapshot_preview1
  args: ["--toc", 010]
  env: {LANG: C.UTF-8, EMPTY: ""}
  inputs:
    - {name: doc, uri: file:README.md, mount: /in/README.md, timeout: 1m30s, retries: 3}
    - {name: style, uri: "ipfs://bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"}
  outputs:
    - {name: page, path: /out/index.html, maxBytes: 1MiB}
    - name: log
  limits:
    memory: 128MiB
    tableElements: 1000
    stackFrames: 2000
    wallTimeout: 2500ms
    stdoutBytes: 1KiB
    stderrBytes: 2048
    outputBytes: 4MiB
    outputFiles: 8
  determinism: {seed: random, epoch: "2026-02-03T04:05:06Z", nan: canonical}
  network: none
  placement: {regions: [eu-west, us-east], minReputation: 0.5, sla: batch}
  settlement: {currency: EUR, unit: byte, priceMicros: 2, perUnits: 1000000, maxChargeMicros: 20000}
`

const styleCID = "bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"

func parseFull(t *testing.T) *Manifest {
	t.Helper()
	m, err := ParseManifest([]byte(fullManifest), "task.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestParseManifestFull(t *testing.T) {
	epoch, err := ParseTime("2026-02-03T04:05:06Z")
	if err != nil {
		t.Fatal(err)
	}
	want := &Manifest{
		Name: "readme-to-html",
		Spec: TaskSpec{
			Module: TaskModule{
				URI: "file:markdown.wasm", ABI: ABIWASIPreview1,
				Digest: Digest256{"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
			},
			Args: []string{"--toc", "010"},
			Env:  map[string]string{"LANG": "C.UTF-8", "EMPTY": ""},
			Inputs: []TaskInput{
				{Name: "doc", URI: "file:README.md", Mount: "/in/README.md", TimeoutMs: 90_000, Retries: 3},
				{Name: "style", URI: "ipfs://" + styleCID, Mount: "/in/style", TimeoutMs: 10_000, Retries: 2},
			},
			Outputs: []TaskOutput{
				{Name: "page", Path: "/out/index.html", MaxBytes: 1 << 20},
				{Name: "log", Path: "/out/log", MaxBytes: 4 << 20},
			},
			Limits:      TaskLimits{128 << 20, 1000, 2000, 2500, 1024, 2048, 4 << 20, 8},
			Determinism: TaskDeterminism{Seed: SeedRandom, Epoch: epoch, NaN: NaNCanonical},
			Settlement:  Price{"EUR", UnitByte, 2, 1_000_000},
		},
		Terms: Terms{
			Placement:       Placement{[]string{"eu-west", "us-east"}, 0.5, SLABatch},
			MaxChargeMicros: 20_000,
		},
	}
	if got := parseFull(t); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestParseManifestDefaults(t *testing.T) {
	const minimal = `{"spec": {"module": {"uri": "file:a.wasm"}, "inputs": [{"name": "doc"}], "outputs": [{"name": "page"}]}}`
	m, err := ParseManifest([]byte(minimal), "task.json")
	if err != nil {
		t.Fatal(err)
	}
	want := &Manifest{
		Spec: TaskSpec{
			Module:      TaskModule{URI: "file:a.wasm", ABI: ABIWASIPreview1},
			Inputs:      []TaskInput{{Name: "doc", Mount: "/in/doc", TimeoutMs: 10_000, Retries: 2}},
			Outputs:     []TaskOutput{{Name: "page", Path: "/out/page", MaxBytes: 8 << 20}},
			Limits:      TaskLimits{64 << 20, 100_000, 10_000, 5_000, 65_536, 65_536, 8 << 20, 64},
			Determinism: TaskDeterminism{Seed: "random", Epoch: 1767225600},
			Settlement:  Price{"TEST", UnitRequest, 0, 1},
		},
		Terms: Terms{Placement: Placement{SLA: SLAInteractive}},
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got  %+v\nwant %+v", m, want)
	}
	if got := m.Spec.Determinism.Epoch.String(); got != "2026-01-01T00:00:00Z" {
		t.Errorf("default epoch: got %s", got)
	}
}

// spec wraps lines of a spec in the shortest manifest there is.
func spec(lines string) string { return "spec:\n  module: {uri: file:a.wasm}\n" + lines }

func TestParseManifestRefuses(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "t.yaml"},
		{"no spec", "kind: Task\n", "t.yaml:1:1: spec: is required"},
		{"no module", "spec: {args: []}\n", "t.yaml:1:7: spec.module: is required"},
		{"no uri", "spec: {module: {abi: wasi_snapshot_preview1}}\n", "t.yaml:1:16: spec.module.uri: is required"},
		{"a list", "- a\n", "is a list, wants a mapping"},
		{"kind", "kind: Job\nspec: {module: {uri: file:a}}\n", `t.yaml:1:7: kind: is "Job", wants Task`},
		{"api version", "apiVersion: v2\nspec: {module: {uri: file:a}}\n", "t.yaml:1:13: apiVersion"},
		{"unknown", spec("  limit: {memory: 1MiB}\n"), `t.yaml:3:3: spec.limit: is not a field of a task manifest, did you mean "limits"?`},
		{"case", spec("  limits: {Memory: 1MiB}\n"), `did you mean "memory"?`},
		{"far off", spec("  colour: red\n"), "t.yaml:3:3: spec.colour: is not a field of a task manifest"},
		{"name", "metadata: {name: a/b}\nspec: {module: {uri: file:a}}\n", "t.yaml:1:18: metadata.name: wants a plain name"},
		{"null", spec("  args: [null]\n"), "t.yaml:3:10: spec.args[0]: has no value"},
		{"empty", spec("  determinism:\n    seed:\n"), "spec.determinism.seed: has no value"},
		{"list for string", spec("  determinism: {seed: [1]}\n"), "spec.determinism.seed: is a list, wants a single value"},
		{"string for list", spec("  args: --toc\n"), "t.yaml:3:9: spec.args: is a single value, wants a list"},
		{"env list", spec("  env: [A]\n"), "spec.env: is a list, wants a mapping"},
		{"env name", spec("  env: {A-B: x}\n"), "spec.env.A-B: wants a name"},
		{"uri", "spec: {module: {uri: \"https://x.org/a.wasm\"}}\n", "t.yaml:1:22: spec.module.uri: wants file:PATH or ipfs://CID"},
		{"empty file", "spec: {module: {uri: \"file:\"}}\n", "spec.module.uri: wants file: and a path"},
		{"cid", "spec: {module: {uri: \"ipfs://Qm\"}}\n", "spec.module.uri: want a CID"},
		{"digest", "spec: {module: {uri: file:a, digest: {sha256: AB}}}\n", "spec.module.digest.sha256: wants 64"},
		{"cid against digest", "spec: {module: {uri: \"ipfs://" + styleCID + "\", digest: {sha256: " + strings.Repeat("0", 64) + "}}}\n", "spec.module.digest.sha256: is not the digest that the CID names"},
		{"octal", spec("  limits: {outputFiles: 010}\n"), `is "010", wants a whole number`},
		{"quoted", spec("  limits: {outputFiles: \"10\"}\n"), "without quotes"},
		{"fraction", spec("  limits: {outputFiles: 1.5}\n"), "wants a whole number"},
		{"2^53", spec("  settlement: {priceMicros: 9007199254740992}\n"), "wants a whole number of at most 2^53-1"},
		{"size", spec("  limits: {memory: 1MB}\n"), `t.yaml:3:20: spec.limits.memory: is "1MB", wants bytes or a number with KiB`},
		{"size too large", spec("  limits: {memory: 9007199254740991GiB}\n"), "wants bytes"},
		{"little memory", spec("  limits: {memory: 1KiB}\n"), "t.yaml:3:20: spec.limits.memory: got 1024, wants 65536 to"},
		{"duration", spec("  limits: {wallTimeout: 5}\n"), "whole milliseconds in Go's form"},
		{"microseconds", spec("  limits: {wallTimeout: 5us}\n"), "whole milliseconds in Go's form"},
		{"no time", spec("  limits: {wallTimeout: 0s}\n"), "t.yaml:3:25: spec.limits.wallTimeout: got 0"},
		{"ratio", spec("  placement: {minReputation: 1.5}\n"), "wants a number from 0 to 1"},
		{"not a number", spec("  placement: {minReputation: NaN}\n"), "wants a number from 0 to 1"},
		{"region", spec("  placement: {regions: [EU]}\n"), "t.yaml:3:25: spec.placement.regions[0]: wants"},
		{"sla", spec("  placement: {sla: gold}\n"), "spec.placement.sla: wants interactive or batch"},
		{"epoch", spec("  determinism: {epoch: 2026-01-01}\n"), "spec.determinism.epoch: is \"2026-01-01\", wants a time"},
		{"seed", spec("  determinism: {seed: 42}\n"), "spec.determinism.seed: wants random"},
		{"nan", spec("  determinism: {nan: quiet}\n"), "spec.determinism.nan: wants engine or canonical"},
		{"unit", spec("  settlement: {unit: mile}\n"), "spec.settlement.unit: wants req or byte"},
		{"currency", spec("  settlement: {currency: eur}\n"), "spec.settlement.currency: wants"},
		{"input name", spec("  inputs: [{name: ../x}]\n"), "spec.inputs[0].name: wants a plain name"},
		{"input without name", spec("  inputs: [{uri: file:a}]\n"), "t.yaml:3:12: spec.inputs[0].name: is required"},
		{"input twice", spec("  inputs: [{name: a}, {name: a, mount: /in/b}]\n"), `spec.inputs[1].name: "a" is used twice`},
		{"mount outside", spec("  inputs: [{name: a, mount: /etc/passwd}]\n"), "spec.inputs[0].mount: wants a clean absolute path under /in/"},
		{"mount dots", spec("  inputs: [{name: a, mount: /in/../out/a}]\n"), "spec.inputs[0].mount: wants a clean"},
		{"mount root", spec("  inputs: [{name: a, mount: /in/}]\n"), "spec.inputs[0].mount: wants a clean"},
		{"mount backslash", spec("  inputs: [{name: a, mount: '/in/a\\b'}]\n"), "spec.inputs[0].mount: wants a clean"},
		{"mount below another", spec("  inputs: [{name: a}, {name: b, mount: /in/a/b}]\n"), "spec.inputs[1].mount: overlaps another path"},
		{"open digest", spec("  inputs: [{name: a, digest: {sha256: x}}]\n"), "spec.inputs[0].digest.sha256: wants 64"},
		{"retries", spec("  inputs: [{name: a, retries: 11}]\n"), "spec.inputs[0].retries: got 11, wants 0 to 10"},
		{"timeout", spec("  inputs: [{name: a, timeout: 1h}]\n"), "t.yaml:3:31: spec.inputs[0].timeout: got 3600000, wants 1 to 600000"},
		{"stdout", spec("  outputs: [{name: stdout}]\n"), `spec.outputs[0].name: "stdout" is the name of standard output`},
		{"output outside", spec("  outputs: [{name: a, path: /in/a}]\n"), "spec.outputs[0].path: wants a clean absolute path under /out/"},
		{"output too large", spec("  outputs: [{name: a, maxBytes: 9MiB}]\n"), "spec.outputs[0].maxBytes: got 9437184, wants 1 to 8388608"},
		{"more outputs than files", spec("  outputs: [{name: a}, {name: b}]\n  limits: {outputFiles: 1}\n"), "spec.outputs: got 2, wants 0 to 1"},
		{"long arg", spec("  args: [" + strings.Repeat("x", 4097) + "]\n"), "spec.args[0]: has 4097 bytes"},
		{"env digit", spec("  env: {1A: x}\n"), "spec.env.1A: wants a name"},
		{"env empty", spec("  env: {\"\": x}\n"), "wants a name"},
		{"name under score", spec("  inputs: [{name: _a}]\n"), "spec.inputs[0].name: wants a plain name"},
		{"number is a list", spec("  limits: {outputFiles: []}\n"), "spec.limits.outputFiles: is a list"},
		{"size is a list", spec("  limits: {memory: []}\n"), "spec.limits.memory: is a list"},
		{"duration is a list", spec("  limits: {wallTimeout: []}\n"), "spec.limits.wallTimeout: is a list"},
		{"ratio is a list", spec("  placement: {minReputation: []}\n"), "spec.placement.minReputation: is a list"},
		{"time is a list", spec("  determinism: {epoch: []}\n"), "spec.determinism.epoch: is a list"},
		{"limits are a list", spec("  limits: []\n"), "spec.limits: is a list, wants a mapping"},
		{"module is text", "spec: {module: file:a}\n", "spec.module: is a single value, wants a mapping"},
		{"anchor", spec("  args: &a [x]\n"), "t.yaml"},
		{"too long", spec("#" + strings.Repeat("x", MaxManifestBytes)), "t.yaml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseManifest([]byte(c.text), "t.yaml")
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant ErrInvalid with %s", err, c.want)
			}
		})
	}
}

func TestParseManifestUnsupported(t *testing.T) {
	for _, c := range []struct{ text, path string }{
		{"  settlement: {unit: gas}\n", "spec.settlement.unit"},
		{"  settlement: {unit: sec}\n", "spec.settlement.unit"},
		{"  settlement: {unit: token}\n", "spec.settlement.unit"},
		{"  limits: {gas: 5000000000}\n", "spec.limits.gas"},
		{"  verification: {reexecuteShare: 0.05, quorum: 1}\n", "spec.verification"},
		{"  outputs: [{name: a, replicas: 3}]\n", "spec.outputs[0].replicas"},
		{"  network: full\n", "spec.network"},
	} {
		_, err := ParseManifest([]byte(spec(c.text)), "t.yaml")
		if !errors.Is(err, ErrUnsupported) || errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.path) {
			t.Errorf("%s: got %v, want ErrUnsupported naming it", c.path, err)
		}
	}
	_, err := ParseManifest([]byte("spec: {module: {uri: file:a, abi: wasip2}}"), "t.yaml")
	if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "t.yaml:1:35: spec.module.abi") {
		t.Errorf("abi: got %v, want ErrUnsupported naming it", err)
	}
}

func TestParseManifestAllProblems(t *testing.T) {
	const text = `kind: Job
spec:
  module: {uri: ftp://x, abi: wasip2}
  limits: {gas: 1, memory: 1kb, wallTimeot: 5s}
  outputs: [{name: stdout}]
`
	_, err := ParseManifest([]byte(text), "t.yaml")
	var all *ManifestError
	if !errors.As(err, &all) {
		t.Fatalf("got %v, want a ManifestError", err)
	}
	var got []string
	for _, p := range all.Problems {
		got = append(got, fmt.Sprintf("%d:%s", p.Line, p.Path))
	}
	want := []string{
		"1:kind", "3:spec.module.uri", "3:spec.module.abi", "4:spec.limits.gas",
		"4:spec.limits.memory", "4:spec.limits.wallTimeot", "5:spec.outputs[0].name",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	var fields FieldErrors
	if !errors.As(err, &fields) || len(fields) != len(want) || fields[0].Path != "kind" {
		t.Errorf("as FieldErrors: got %v", fields)
	}
}

func TestManifestErrorText(t *testing.T) {
	e := &ManifestError{Problems: []ManifestProblem{{Path: "a", Problem: "is bad", Kind: ErrDenied}, {Problem: "later", Kind: ErrUnsupported}}}
	if got, want := e.Error(), "a: is bad\nlater"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	e.Name = "t.yaml"
	if got, want := e.Error(), "t.yaml: a: is bad\nt.yaml: later"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	var fields FieldErrors
	if !errors.Is(e, ErrDenied) || errors.As(e, &fields) {
		t.Errorf("denied and unsupported: want ErrDenied and no FieldErrors")
	}
}

func TestTaskAccessors(t *testing.T) {
	m := parseFull(t)
	if name, ok := m.Spec.Module.File(); !ok || name != "markdown.wasm" {
		t.Errorf("module file: got %q, %v", name, ok)
	}
	if _, ok := m.Spec.Inputs[1].File(); ok {
		t.Error("an ipfs: URI is a file")
	}
	if name, ok := (TaskInput{URI: "file:///a/b"}).File(); !ok || name != "/a/b" {
		t.Errorf("file with slashes: got %q, %v", name, ok)
	}
	if got := m.Spec.Limits.WallTimeout().String() + " " + m.Spec.Inputs[0].Timeout().String(); got != "2.5s 1m30s" {
		t.Errorf("durations: got %s", got)
	}
	if got, want := m.Spec.MaxUnits(100), int64(100+1024+(4<<20)); got != want {
		t.Errorf("units in bytes: got %d, want %d", got, want)
	}
	m.Spec.Settlement.Unit = UnitRequest
	if got := m.Spec.MaxUnits(100); got != 1 {
		t.Errorf("units in requests: got %d, want 1", got)
	}
}

// compile compiles a schema of ours.
func compile(t *testing.T, schema []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(s *jsonschema.Schema, text string) error {
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return err
	}
	return s.Validate(doc)
}

// TestSchemaAgrees holds schema and parser to the same answers.
func TestSchemaAgrees(t *testing.T) {
	s := compile(t, ManifestSchema())
	for _, c := range []struct {
		text string
		good bool
	}{
		{`{"spec":{"module":{"uri":"file:a.wasm"}}}`, true},
		{`{"apiVersion":"zerostate.dev/v1alpha1","kind":"Task","metadata":{"name":"a"},"spec":{"module":{"uri":"ipfs://` + styleCID + `","abi":"wasi_snapshot_preview1"},"args":["a"],"env":{"A":"b"},"inputs":[{"name":"a","uri":"file:x","digest":{"sha256":"` + emptySHA256 + `"},"mount":"/in/a","timeout":"5s","retries":0}],"outputs":[{"name":"o","path":"/out/o","maxBytes":"1KiB"}],"limits":{"memory":"1MiB","tableElements":1,"stackFrames":100,"wallTimeout":"1s","stdoutBytes":0,"stderrBytes":"1","outputBytes":"1GiB","outputFiles":5},"determinism":{"seed":"random","epoch":"2026-01-01T00:00:00Z","nan":"engine"},"network":"none","placement":{"regions":["a"],"minReputation":0.25,"sla":"batch"},"settlement":{"currency":"TEST","unit":"byte","priceMicros":1,"perUnits":1,"maxChargeMicros":1}}}`, true},
		{`{}`, false},
		{`{"spec":{"module":{"uri":"http://a"}}}`, false},
		{`{"spec":{"module":{"uri":"file:a"},"limits":{"gas":1}}}`, false},
		{`{"spec":{"module":{"uri":"file:a"},"verification":{}}}`, false},
		{`{"spec":{"module":{"uri":"file:a"},"outputs":[{"name":"a","replicas":2}]}}`, false},
		{`{"spec":{"module":{"uri":"file:a"},"outputs":[{"name":"stdout"}]}}`, false},
		{`{"spec":{"module":{"uri":"file:a"},"settlement":{"unit":"gas"}}}`, false},
		{`{"spec":{"module":{"uri":"file:a"},"limits":{"memory":"1MB"}}}`, false},
		{`{"spec":{"module":{"uri":"file:a"},"more":1}}`, false},
	} {
		if err := validate(s, c.text); (err == nil) != c.good {
			t.Errorf("schema: %s: got %v, want good %v", c.text, err, c.good)
		}
		if _, err := ParseManifest([]byte(c.text), "t"); (err == nil) != c.good {
			t.Errorf("parser: %s: got %v, want good %v", c.text, err, c.good)
		}
	}
}

// TestSchemaDocuments wants a description at every property, a default at every
// optional scalar, and the parser to know every property.
func TestSchemaDocuments(t *testing.T) {
	var root map[string]any
	if err := json.Unmarshal(ManifestSchema(), &root); err != nil {
		t.Fatal(err)
	}
	var walk func(at string, s map[string]any)
	walk = func(at string, s map[string]any) {
		text, _ := s["description"].(string)
		if text == "" {
			t.Errorf("%s: no description", at)
		}
		props, isObject := s["properties"].(map[string]any)
		_, hasDefault := s["default"]
		_, isReserved := s["not"]
		if !isObject && !hasDefault && !isReserved && !strings.Contains(text, "Default: ") && !required(at) {
			t.Errorf("%s: no default", at)
		}
		for _, name := range slices.Sorted(maps.Keys(props)) {
			walk(join(at, name), props[name].(map[string]any))
		}
		if items, ok := s["items"].(map[string]any); ok && items["properties"] != nil {
			walk(at+"[0]", items)
		}
	}
	walk("", root)
}

// required says whether a path of the schema has no default because it is
// required where its object is.
func required(at string) bool {
	return slices.Contains([]string{"spec.module.uri", "spec.inputs[0].name", "spec.outputs[0].name"}, at) ||
		strings.HasSuffix(at, ".sha256")
}

// TestSchemaDefaults holds the documented defaults to those of the parser: a
// manifest that writes them all is the one that writes none.
func TestSchemaDefaults(t *testing.T) {
	var root map[string]any
	if err := json.Unmarshal(ManifestSchema(), &root); err != nil {
		t.Fatal(err)
	}
	var fill func(s map[string]any) any
	fill = func(s map[string]any) any {
		if d, ok := s["default"]; ok {
			return d
		}
		props, _ := s["properties"].(map[string]any)
		o := map[string]any{}
		for name, p := range props {
			if v := fill(p.(map[string]any)); v != nil {
				o[name] = v
			}
		}
		if len(o) == 0 {
			return nil
		}
		return o
	}
	doc := fill(root).(map[string]any)
	doc["spec"].(map[string]any)["module"].(map[string]any)["uri"] = "file:a.wasm"
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	all, err := ParseManifest(text, "all.json")
	if err != nil {
		t.Fatal(err)
	}
	none, err := ParseManifest([]byte(`{"spec":{"module":{"uri":"file:a.wasm"}}}`), "none.json")
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(all, none) {
		t.Errorf("got  %+v\nwant %+v", all, none)
	}
}

func TestEditDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "abc", 3}, {"memory", "memroy", 2}, {"gas", "gas", 0}, {strings.Repeat("x", 65), "x", 64}} {
		if got := editDistance(c.a, c.b); got != c.want {
			t.Errorf("%s, %s: got %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(fullManifest))
	f.Add([]byte(`{"spec":{"module":{"uri":"file:a.wasm"}}}`))
	f.Add([]byte(spec("  outputs: [{name: stdout}]\n  limits: {gas: 1, memory: 1kb}\n")))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseManifest(data, "t.yaml")
		if err != nil {
			if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrUnsupported) {
				t.Fatalf("got %v, want a sentinel", err)
			}
			return
		}
		if bad := m.Spec.check(stageManifest); len(bad) > 0 {
			t.Fatalf("accepted what breaks a rule: %v", bad)
		}
	})
}
