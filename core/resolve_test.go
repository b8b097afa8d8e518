package core

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// testRef is the reference of content of one block.
func testRef(content string) InputRef {
	return InputRef{CID: canon.CIDRaw([]byte(content)), SHA256: canon.SHA256Hex([]byte(content))}
}

var (
	taskNonce = TaskNonce(sha256.Sum256([]byte("zerostate-test-nonce")))
	taskSeed  = TaskSeed(sha256.Sum256([]byte("zerostate-test-seed")))
)

// testContents is what fullManifest names: its module's digest is of "test".
func testContents(t *testing.T) Contents {
	t.Helper()
	block, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(styleCID[1:]))
	if err != nil {
		t.Fatal(err)
	}
	style := InputRef{CID: styleCID, SHA256: hex.EncodeToString(block[4:])}
	return Contents{
		Module: testRef("test"),
		Inputs: map[string]InputRef{"doc": testRef("# Title\n"), "style": style},
		Nonce:  taskNonce, Seed: taskSeed,
	}
}

// agentManifest is what an agent offers.
const agentManifest = `metadata: {name: readme-to-html}
spec:
  module: {uri: file:markdown.wasm}
  args: ["--toc"]
  inputs: [{name: doc, mount: /in/README.md}]
  outputs: [{name: page, path: /out/index.html}]
  settlement: {unit: byte, priceMicros: 2, perUnits: 1000}
`

func testTemplate(tb testing.TB) *Template {
	tb.Helper()
	m, err := ParseManifest([]byte(agentManifest), "task.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	tpl, err := m.Template(testRef("module"))
	if err != nil {
		tb.Fatal(err)
	}
	return tpl
}

func testTask(tb testing.TB) *Resolved {
	tb.Helper()
	r, err := FillTemplate(testTemplate(tb), map[string]InputRef{"doc": testRef("# Title\n")}, taskNonce, taskSeed)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func mustBytes(tb testing.TB, doc interface{ Bytes() ([]byte, error) }) []byte {
	tb.Helper()
	b, err := doc.Bytes()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// The ids of the golden files: frozen together with the schema. A change of one
// of them is a break of the protocol.
const (
	goldenFullID     = "3f9861e6d7955500d8f1002f33d83b8cadfd5b95339646b2c72c3e86d65d0f66"
	goldenTaskID     = "0b722515eb7108ce2174f56b31c2818da5f6f35868a72674650491b52b8ee798"
	goldenTemplateID = "3eeeea9f2076c41cd5cd4a72b71ffd00338227fdb0f2853872c149d6fa9a15fa"
)

func TestResolveGolden(t *testing.T) {
	full, err := parseFull(t).Resolve(testContents(t))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "resolved-full.json", mustBytes(t, full))
	golden(t, "resolved.json", mustBytes(t, testTask(t)))
	golden(t, "template.json", mustBytes(t, testTemplate(t)))
	for _, c := range []struct {
		name, want string
		id         func() (string, error)
	}{
		{"full", goldenFullID, full.TaskID},
		{"task", goldenTaskID, testTask(t).TaskID},
		{"template", goldenTemplateID, testTemplate(t).Digest},
	} {
		if got, err := c.id(); err != nil || got != c.want {
			t.Errorf("%s: got %s, %v, want %s", c.name, got, err, c.want)
		}
	}
}

func TestResolvedSchema(t *testing.T) {
	s := compile(t, ResolvedSchema())
	full, err := parseFull(t).Resolve(testContents(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"full": mustBytes(t, full), "task": mustBytes(t, testTask(t)), "template": mustBytes(t, testTemplate(t))} {
		if err := validate(s, string(b)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	wrong := strings.Replace(string(mustBytes(t, testTask(t))), `"retries":2`, `"retries":2.5`, 1)
	if err := validate(s, wrong); err == nil {
		t.Error("the schema accepts a fraction")
	}
}

func TestResolveRoundTrip(t *testing.T) {
	m := parseFull(t)
	r, err := m.Resolve(testContents(t))
	if err != nil {
		t.Fatal(err)
	}
	b := mustBytes(t, r)
	again, err := ParseResolved(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(mustBytes(t, again), b) {
		t.Errorf("got %s, want %s", mustBytes(t, again), b)
	}
	for _, secret := range []string{"placement", "eu-west", "maxCharge", "20000", "random", "network"} {
		if strings.Contains(string(b), secret) {
			t.Errorf("the resolved manifest holds %s", secret)
		}
	}
	r.Spec.Args[0], r.Spec.Env["LANG"], r.Spec.Inputs[0].Name = "x", "x", "x"
	if m.Spec.Args[0] == "x" || m.Spec.Env["LANG"] == "x" || m.Spec.Inputs[0].Name == "x" {
		t.Error("the resolved manifest shares memory with the manifest")
	}
}

func TestResolveFixedSeed(t *testing.T) {
	fixed := strings.Repeat("ab", 32)
	m, err := ParseManifest([]byte(spec("  determinism: {seed: "+fixed+"}\n")), "t.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r, err := m.Resolve(Contents{Module: testRef("m"), Nonce: taskNonce, Seed: taskSeed})
	if err != nil || r.Spec.Determinism.Seed != fixed {
		t.Errorf("got %+v, %v, want the seed of the manifest", r, err)
	}
}

func TestResolveRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Contents)
		want   error
		text   string
	}{
		{"other module", func(c *Contents) { c.Module = testRef("evil") }, ErrDenied, "spec.module.digest.sha256"},
		{"other content", func(c *Contents) { c.Inputs["style"] = testRef("x") }, ErrDenied, "spec.inputs[1].uri"},
		{"missing input", func(c *Contents) { delete(c.Inputs, "doc") }, ErrInvalid, `input "doc" is not given`},
		{"unknown input", func(c *Contents) { c.Inputs["more"] = testRef("x") }, ErrInvalid, `no input "more"`},
		{"no nonce", func(c *Contents) { c.Nonce = "" }, ErrInvalid, "metadata.nonce"},
		{"short nonce", func(c *Contents) { c.Nonce = "AAAA" }, ErrInvalid, "metadata.nonce"},
		{"no seed", func(c *Contents) { c.Seed = "" }, ErrInvalid, "spec.determinism.seed"},
		{"bad cid", func(c *Contents) { c.Inputs["doc"] = InputRef{"Qm", emptySHA256} }, ErrInvalid, "spec.inputs[0].uri"},
		{"bad digest", func(c *Contents) { c.Inputs["doc"] = InputRef{styleCID, "00"} }, ErrInvalid, "spec.inputs[0].digest.sha256"},
		{"digest of other bytes", func(c *Contents) { c.Inputs["doc"] = InputRef{styleCID, emptySHA256} }, ErrInvalid, "spec.inputs[0].digest.sha256"},
	} {
		t.Run(c.name, func(t *testing.T) {
			contents := testContents(t)
			c.change(&contents)
			_, err := parseFull(t).Resolve(contents)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %v with %s", err, c.want, c.text)
			}
		})
	}
}

// edit changes one member of a canonical document, or adds one.
func edit(tb testing.TB, doc []byte, value string, at ...string) []byte {
	tb.Helper()
	var root map[string]any
	if err := json.Unmarshal(doc, &root); err != nil {
		tb.Fatal(err)
	}
	o := root
	for _, name := range at[:len(at)-1] {
		switch v := o[name].(type) {
		case []any:
			o = v[0].(map[string]any)
		case map[string]any:
			o = v
		default:
			tb.Fatalf("no %s", name)
		}
	}
	o[at[len(at)-1]] = json.RawMessage(value)
	b, err := canon.Encode(root)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestParseStrangersDocument(t *testing.T) {
	for _, c := range []struct {
		at    string
		value string
		want  error // of a template
		whole error // of a resolved manifest; nil: the same
		text  string
	}{
		{"spec inputs uri", `"file:/etc/passwd"`, ErrDenied, nil, "spec.inputs[0].uri"},
		{"spec inputs uri", `"https://example.org/x"`, ErrDenied, nil, "spec.inputs[0].uri"},
		{"spec inputs uri", `"ipfs://x"`, ErrDenied, ErrInvalid, "spec.inputs[0].uri"},
		{"spec inputs digest", `{"sha256":"x"}`, ErrInvalid, nil, "spec.inputs[0]"},
		{"spec module uri", `"file:x.wasm"`, ErrDenied, nil, "spec.module.uri"},
		{"spec module abi", `"wasip2"`, ErrUnsupported, nil, "spec.module.abi"},
		{"spec placement", `{"regions":["eu"]}`, ErrDenied, nil, "spec.placement"},
		{"spec verification", `{"quorum":1}`, ErrDenied, nil, "spec.verification"},
		{"spec settlement maxChargeMicros", `1`, ErrDenied, nil, "spec.settlement.maxChargeMicros"},
		{"spec outputs replicas", `3`, ErrDenied, nil, "spec.outputs[0].replicas"},
		{"spec network", `"full"`, ErrUnsupported, nil, "spec.network"},
		{"spec limits gas", `1`, ErrUnsupported, nil, "spec.limits.gas"},
		{"spec settlement unit", `"gas"`, ErrUnsupported, nil, "spec.settlement.unit"},
		{"spec settlement unit", `"mile"`, ErrInvalid, nil, "spec.settlement.unit"},
		{"spec outputs name", `"stdout"`, ErrInvalid, nil, "spec.outputs[0].name"},
		{"spec outputs path", `"/out/../in/x"`, ErrInvalid, nil, "spec.outputs[0].path"},
		{"spec limits memoryBytes", `1`, ErrInvalid, nil, "spec.limits.memoryBytes"},
		{"spec limits memoryBytes", `null`, ErrInvalid, nil, ""},
		{"spec determinism epoch", `"2026-01-01"`, ErrInvalid, nil, ""},
		{"spec determinism nan", `"quiet"`, ErrInvalid, nil, "spec.determinism.nan"},
		{"spec args", `[]`, ErrInvalid, nil, "canonical"},
		{"spec more", `1`, ErrInvalid, nil, "more"},
		{"spec module", `1`, ErrInvalid, nil, ""},
		{"spec determinism epoch", `"1970-01-01T00:00:00Z"`, ErrInvalid, nil, ""},
		{"metadata nonce", `"x"`, ErrInvalid, nil, "metadata.nonce"},
		{"spec determinism seed", `"x"`, ErrInvalid, nil, "spec.determinism.seed"},
		{"metadata name", `"a b"`, ErrInvalid, nil, "metadata.name"},
		{"metadata name", `""`, ErrInvalid, nil, "canonical"},
		{"kind", `"Task"`, ErrInvalid, nil, "kind"},
		{"apiVersion", `"v2"`, ErrInvalid, nil, "apiVersion"},
	} {
		at := strings.Fields(c.at)
		_, err := ParseTemplate(edit(t, mustBytes(t, testTemplate(t)), c.value, at...))
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("template with %s %s: got %v, want %v naming %s", c.at, c.value, err, c.want, c.text)
		}
		want := c.want
		if c.whole != nil {
			want = c.whole
		}
		_, err = ParseResolved(edit(t, mustBytes(t, testTask(t)), c.value, at...))
		if !errors.Is(err, want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("resolved with %s %s: got %v, want %v naming %s", c.at, c.value, err, want, c.text)
		}
	}
}

func TestParseResolvedOneSpelling(t *testing.T) {
	b := mustBytes(t, testTask(t))
	for name, data := range map[string][]byte{
		"newline": append(slices.Clone(b), '\n'),
		"space":   bytes.Replace(b, []byte(":"), []byte(": "), 1),
		"cut":     b[:len(b)-1],
		"empty":   nil,
		"a list":  []byte("[]"),
		"long":    append(slices.Clone(b), bytes.Repeat([]byte(" "), MaxManifestBytes)...),
	} {
		if _, err := ParseResolved(data); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
	if _, err := ParseResolved(mustBytes(t, testTemplate(t))); !errors.Is(err, ErrInvalid) {
		t.Errorf("a template: got %v, want ErrInvalid", err)
	}
	if _, err := ParseTemplate(b); !errors.Is(err, ErrDenied) {
		t.Errorf("a resolved manifest as template: got %v, want ErrDenied", err)
	}
}

func TestResolvedTooLong(t *testing.T) {
	r := testTask(t)
	r.Spec.Args = slices.Repeat([]string{strings.Repeat("x", maxTaskValueBytes)}, 17)
	if _, err := r.Bytes(); !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
	if _, err := r.TaskID(); !errors.Is(err, ErrInvalid) {
		t.Errorf("id: got %v, want ErrInvalid", err)
	}
	tpl := testTemplate(t)
	tpl.Spec.Args = []string{"a\u202eb"}
	if _, err := tpl.Digest(); !errors.Is(err, ErrInvalid) {
		t.Errorf("digest: got %v, want ErrInvalid", err)
	}
	tpl = testTemplate(t)
	tpl.Spec.Determinism.Epoch = 0
	if _, err := tpl.Bytes(); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "spec.determinism.epoch") {
		t.Errorf("no epoch: got %v, want ErrInvalid", err)
	}
}

// TestTemplateWithoutName has nothing in its metadata, so no metadata either.
func TestTemplateWithoutName(t *testing.T) {
	m, err := ParseManifest([]byte(spec("")), "t.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tpl, err := m.Template(testRef("m"))
	if err != nil {
		t.Fatal(err)
	}
	b := mustBytes(t, tpl)
	if _, err := ParseTemplate(b); err != nil || bytes.Contains(b, []byte("metadata")) {
		t.Errorf("got %s, %v", b, err)
	}
}

func TestTemplateRefusesTerms(t *testing.T) {
	for text, path := range map[string]string{
		"  inputs: [{name: a, uri: file:x}]\n":                           "spec.inputs[0].uri",
		"  inputs: [{name: a, digest: {sha256: " + emptySHA256 + "}}]\n": "spec.inputs[0].digest",
		"  placement: {regions: [eu]}\n":                                 "spec.placement",
		"  placement: {minReputation: 0.5}\n":                            "spec.placement",
		"  placement: {sla: batch}\n":                                    "spec.placement",
		"  settlement: {maxChargeMicros: 1}\n":                           "spec.settlement.maxChargeMicros",
		"  determinism: {seed: " + emptySHA256 + "}\n":                   "spec.determinism.seed",
	} {
		m, err := ParseManifest([]byte(spec(text)), "t.yaml")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Template(testRef("m")); !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, want ErrDenied", path, err)
		}
	}
	m, err := ParseManifest([]byte(spec("")), "t.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Template(InputRef{CID: "x"}); !errors.Is(err, ErrInvalid) {
		t.Errorf("bad module: got %v, want ErrInvalid", err)
	}
	m.Spec.Module.Digest.SHA256 = emptySHA256
	if _, err := m.Template(testRef("m")); !errors.Is(err, ErrDenied) {
		t.Errorf("other module: got %v, want ErrDenied", err)
	}
}

func TestCheckTemplatePrice(t *testing.T) {
	tpl := testTemplate(t)
	if err := CheckTemplatePrice(tpl, Price{"TEST", UnitByte, 2, 1000}); err != nil {
		t.Errorf("the price of the card: %v", err)
	}
	err := CheckTemplatePrice(tpl, Price{"TEST", UnitByte, 1, 1000})
	if !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), "asks 2 micro-TEST per 1000 byte") {
		t.Errorf("got %v, want ErrDenied", err)
	}
}

func TestFillTemplate(t *testing.T) {
	tpl := testTemplate(t)
	before := mustBytes(t, tpl)
	again, err := ParseTemplate(before)
	if err != nil {
		t.Fatal(err)
	}
	task := testTask(t)
	if err := SameTemplate(task, again); err != nil {
		t.Errorf("filled: %v", err)
	}
	if !bytes.Equal(mustBytes(t, tpl), before) {
		t.Error("filling changed the template")
	}
	doc := map[string]InputRef{"doc": testRef("x")}
	for name, fill := range map[string]func() (*Resolved, error){
		"missing": func() (*Resolved, error) { return FillTemplate(tpl, nil, taskNonce, taskSeed) },
		"nonce":   func() (*Resolved, error) { return FillTemplate(tpl, doc, "x", taskSeed) },
		"seed":    func() (*Resolved, error) { return FillTemplate(tpl, doc, taskNonce, SeedRandom) },
		"content": func() (*Resolved, error) {
			return FillTemplate(tpl, map[string]InputRef{"doc": {CID: "x", SHA256: "y"}}, taskNonce, taskSeed)
		},
		"template": func() (*Resolved, error) { return FillTemplate(&Template{}, nil, taskNonce, taskSeed) },
	} {
		if _, err := fill(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
}

func TestSameTemplateRefuses(t *testing.T) {
	changes := map[string]func(*Resolved){
		"price": func(r *Resolved) { r.Spec.Settlement.PriceMicros-- },
		"limit": func(r *Resolved) { r.Spec.Limits.MemoryBytes++ },
		"args":  func(r *Resolved) { r.Spec.Args = nil },
		"env":   func(r *Resolved) { r.Spec.Env = map[string]string{"A": "b"} },
		"module": func(r *Resolved) {
			m := testRef("x")
			r.Spec.Module.URI, r.Spec.Module.Digest.SHA256 = "ipfs://"+m.CID, m.SHA256
		},
		"name":    func(r *Resolved) { r.Metadata.Name = "" },
		"mount":   func(r *Resolved) { r.Spec.Inputs[0].Mount = "/in/x" },
		"outputs": func(r *Resolved) { r.Spec.Outputs = nil },
		"epoch":   func(r *Resolved) { r.Spec.Determinism.Epoch++ },
	}
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		r := testTask(t)
		changes[name](r)
		if err := SameTemplate(r, testTemplate(t)); !errors.Is(err, ErrDenied) {
			t.Errorf("%s: got %v, want ErrDenied", name, err)
		}
	}
	r := testTask(t)
	r.Metadata.Nonce = ""
	if err := SameTemplate(r, testTemplate(t)); !errors.Is(err, ErrInvalid) {
		t.Errorf("no nonce: got %v, want ErrInvalid", err)
	}
}

func FuzzParseResolved(f *testing.F) {
	f.Add(mustBytes(f, testTask(f)))
	f.Add(mustBytes(f, testTemplate(f)))
	f.Add(edit(f, mustBytes(f, testTask(f)), `{"a":1}`, "spec", "placement"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := ParseResolved(data); err == nil && !bytes.Equal(mustBytes(t, r), data) {
			t.Fatalf("two spellings: %s and %s", data, mustBytes(t, r))
		}
		if tpl, err := ParseTemplate(data); err == nil && !bytes.Equal(mustBytes(t, tpl), data) {
			t.Fatalf("two spellings: %s and %s", data, mustBytes(t, tpl))
		}
	})
}
