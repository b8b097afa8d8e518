package fake_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk"
	"github.com/zerostate/zerostate/plugin/sdk/sdktest"
	"github.com/zerostate/zerostate/plugin/sdk/sdktest/fake"
)

// Each fake passes the suite of its kind; sdktest's own tests also run them
// behind the codec and in processes.
func TestConformance(t *testing.T) {
	t.Run("index", func(t *testing.T) { conform(t, sdktest.Index(), fake.IndexPlugin()) })
	t.Run("embedder", func(t *testing.T) { conform(t, sdktest.Embedder(), fake.EmbedderPlugin()) })
	t.Run("router", func(t *testing.T) { conform(t, sdktest.Router(), fake.RouterPlugin()) })
	t.Run("executor", func(t *testing.T) { conform(t, sdktest.Executor(), fake.ExecutorPlugin(sdktest.FakePrograms())) })
	t.Run("payment", func(t *testing.T) { conform(t, sdktest.Payment(), fake.PaymentPlugin()) })
	t.Run("reputation", func(t *testing.T) { conform(t, sdktest.Reputation(), fake.ReputationPlugin()) })
}

func conform[I any](t *testing.T, suite sdktest.Suite[I], p sdk.Plugin[I]) {
	t.Helper()
	suite.Test(t, sdktest.Direct(func(at sdktest.Place) (I, func() error, error) {
		impl, err := p.New(t.Context(), sdk.Env{Node: at.Node, Network: sdktest.Network, StateDir: at.StateDir})
		return impl, func() error { return nil }, err
	}, sdktest.Options{Durable: true}))
}

const module = "\x00asm\x01\x00\x00\x00"

func task(t *testing.T, inputs map[string]string, outputs string) *core.Resolved {
	t.Helper()
	var list strings.Builder
	refs := map[string]core.InputRef{}
	ref := func(data string) core.InputRef {
		return core.InputRef{CID: core.CardCID([]byte(data)), SHA256: sum(data)}
	}
	for _, name := range []string{"a", "b"} {
		if data, ok := inputs[name]; ok {
			list.WriteString("    - {name: " + name + ", uri: \"file:" + name + "\", mount: /in/" + name + "}\n")
			refs[name] = ref(data)
		}
	}
	m, err := core.ParseManifest([]byte("apiVersion: zerostate.dev/v1alpha1\nkind: Task\nspec:\n"+
		"  module: {uri: \"file:m.wasm\"}\n  inputs:\n"+list.String()+"  outputs:\n"+outputs), "task.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r, err := m.Resolve(core.Contents{
		Module: ref(module), Inputs: refs, Nonce: core.TaskNonce([32]byte{1}), Seed: core.TaskSeed([32]byte{2}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Without a program of its own, a module turns its inputs into capitals.
func TestTransform(t *testing.T) {
	inputs := map[string]string{"a": "# Hello\n", "b": "w\xc3\xb6rld \xff"}
	r := task(t, inputs, "    - {name: page, path: /out/page, maxBytes: 1KiB}\n")
	manifest, err := r.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	var stdout, page bytes.Buffer
	e := fake.NewExecutor(nil, nil)
	result, err := e.Run(t.Context(), core.RunRequest{
		RunID: "x", Manifest: manifest, Module: strings.NewReader(module),
		Inputs: []core.RunInput{{Name: "a", Content: strings.NewReader(inputs["a"])}, {Name: "b", Content: strings.NewReader(inputs["b"])}},
	}, func(e core.RunEvent) error {
		if e.Stream == core.RunStdout {
			stdout.Write(e.Data)
		}
		if e.Stream == core.RunOutput && e.Name == "page" {
			page.Write(e.Data)
		}
		return nil
	})
	if err != nil || result.Outcome != core.OutcomeOK || len(result.Outputs) != 2 {
		t.Fatalf("got %+v, %v", result, err)
	}
	if want := "# HELLO\nW\xc3\xb6RLD \xff"; page.String() != want {
		t.Errorf("page: got %q, want %q", page.String(), want)
	}
	want := "a " + sum(inputs["a"]) + " 8\nb " + sum(inputs["b"]) + " 8\n"
	if stdout.String() != want {
		t.Errorf("stdout: got %q, want %q", stdout.String(), want)
	}
	_, err = e.Run(t.Context(), core.RunRequest{RunID: "y", Manifest: manifest}, nil)
	if !errors.Is(err, core.ErrInvalid) {
		t.Errorf("run without inputs: got %v, want ErrInvalid", err)
	}
	_, err = e.Run(t.Context(), core.RunRequest{
		RunID: "y", Manifest: manifest,
		Inputs: []core.RunInput{{Name: "a", Content: strings.NewReader("other")}, {Name: "b", Content: strings.NewReader("")}},
	}, nil)
	if !errors.Is(err, core.ErrInvalid) {
		t.Errorf("run with other inputs: got %v, want ErrInvalid", err)
	}
}

// A program sees its arguments, writes to stderr, and can not write outputs
// that the manifest does not name or more than it allows.
func TestProgramLimits(t *testing.T) {
	r := task(t, map[string]string{"a": "x"}, "    - {name: page, path: /out/page, maxBytes: 4}\n")
	manifest, err := r.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	programs := map[string]fake.Program{sum(module): func(_ context.Context, p *fake.Process) int {
		if _, err := p.Output("other").Write([]byte("x")); !errors.Is(err, core.ErrInvalid) {
			t.Errorf("output that is not named: got %v, want ErrInvalid", err)
		}
		if n, err := p.Stderr().Write(bytes.Repeat([]byte("e"), 1<<20)); n != 1<<20 || err != nil {
			t.Errorf("too much on stderr: got %d, %v, want it dropped", n, err)
		}
		if _, err := p.Stderr().Write([]byte("note")); err != nil {
			t.Errorf("stderr: %v", err)
		}
		if _, err := p.Output("page").Write([]byte("12345")); err == nil {
			t.Error("more than maxBytes was written")
		}
		return 0
	}}
	req := core.RunRequest{
		RunID: "x", Manifest: manifest, Module: strings.NewReader(module),
		Inputs: []core.RunInput{{Name: "a", Content: strings.NewReader("x")}},
	}
	result, err := fake.NewExecutor(programs, time.Now).Run(t.Context(), req, func(core.RunEvent) error { return nil })
	if err != nil || result.Outcome != core.OutcomeLimit || !strings.Contains(result.Reason, "page") {
		t.Errorf("got %+v, %v, want the limit of page", result, err)
	}
}

// The router goes direct, else by the backbone, else by cost.
func TestRouterRule(t *testing.T) {
	direct := core.RouteCandidate{Path: core.PathDirect, RTT: time.Second}
	second := core.RouteCandidate{Path: "relay-2", RTT: time.Millisecond, Backbone: 2}
	first := core.RouteCandidate{Path: "relay-1", RTT: time.Minute, Backbone: 1}
	cheap := core.RouteCandidate{Path: "cheap", RTT: time.Millisecond}
	lossy := core.RouteCandidate{Path: "a-lossy", RTT: time.Millisecond, LossRatio: 0.5}
	for want, candidates := range map[string][]core.RouteCandidate{
		"direct":  {second, direct, first},
		"relay-1": {lossy, second, first, cheap},
		"cheap":   {lossy, cheap},
	} {
		got, err := fake.NewRouter().Decide(t.Context(), []core.RouteRequest{{ID: "x", Candidates: candidates}})
		if err != nil || got[0].Path != want || got[0].Fallback != (want == "relay-1") {
			t.Errorf("got %+v, %v, want %s", got, err, want)
		}
	}
}
