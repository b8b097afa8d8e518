package sdktest_test

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk"
	"github.com/zerostate/zerostate/plugin/sdk/sdktest"
	"github.com/zerostate/zerostate/plugin/sdk/sdktest/fake"
)

// serveEnv makes this test binary a plugin of the kind that it names.
const serveEnv = "ZEROSTATE_TEST_SERVE"

func TestMain(m *testing.M) {
	switch kind := os.Getenv(serveEnv); core.Kind(kind) {
	case core.KindIndex:
		sdk.Index.Serve(fake.IndexPlugin())
	case core.KindEmbedder:
		sdk.Embedder.Serve(fake.EmbedderPlugin())
	case core.KindRouter:
		sdk.Router.Serve(fake.RouterPlugin())
	case core.KindExecutor:
		sdk.Executor.Serve(fake.ExecutorPlugin(sdktest.FakePrograms()))
	case core.KindPayment:
		sdk.Payment.Serve(fake.PaymentPlugin())
	case core.KindReputation:
		sdk.Reputation.Serve(fake.ReputationPlugin())
	default:
		os.Exit(m.Run())
	}
}

// self starts this test binary as a plugin.
func self(kind core.Kind) func() *exec.Cmd {
	return func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = []string{serveEnv + "=" + string(kind), "GORACE=" + os.Getenv("GORACE")}
		return cmd
	}
}

// three runs a suite against a fake without a boundary, behind the codec, and
// in a process of its own.
func three[I any](t *testing.T, suite sdktest.Suite[I], kind sdk.Kind[I], plugin func() sdk.Plugin[I]) {
	t.Helper()
	t.Run("direct", func(t *testing.T) {
		p := plugin()
		suite.Test(t, sdktest.Direct(func(at sdktest.Place) (I, func() error, error) {
			impl, err := p.New(t.Context(), sdk.Env{Node: at.Node, Network: sdktest.Network, StateDir: at.StateDir, Log: hclog.NewNullLogger()})
			return impl, func() error { return nil }, err
		}, sdktest.Options{Durable: true}))
	})
	t.Run("builtin", func(t *testing.T) {
		suite.Test(t, sdktest.Builtin(kind, plugin(), sdktest.Options{Durable: true}))
	})
	t.Run("process", func(t *testing.T) { // a few: each starts processes
		suite[:3].Test(t, sdktest.Command(kind, self(kind.Kind()), nil, sdktest.Options{}))
	})
}

func TestIndex(t *testing.T) { three(t, sdktest.Index(), sdk.Index, fake.IndexPlugin) }

func TestEmbedder(t *testing.T) { three(t, sdktest.Embedder(), sdk.Embedder, fake.EmbedderPlugin) }

func TestRouter(t *testing.T) { three(t, sdktest.Router(), sdk.Router, fake.RouterPlugin) }

func TestExecutor(t *testing.T) {
	three(t, sdktest.Executor(), sdk.Executor, func() sdk.Plugin[core.Executor] {
		return fake.ExecutorPlugin(sdktest.FakePrograms())
	})
}

func TestPayment(t *testing.T) { three(t, sdktest.Payment(), sdk.Payment, fake.PaymentPlugin) }

func TestReputation(t *testing.T) {
	three(t, sdktest.Reputation(), sdk.Reputation, fake.ReputationPlugin)
}

// A runner outside of go test tells passed, failed, skipped and panicked apart.
func TestRun(t *testing.T) {
	boom := sdktest.Suite[core.Embedder]{
		{Name: "fails", Run: func(t sdktest.T, _ sdktest.Subject[core.Embedder]) { t.Fatalf("got %d, want %d", 1, 2) }},
		{Name: "panics", Run: func(sdktest.T, sdktest.Subject[core.Embedder]) { panic("boom") }},
		{Name: "skips", Run: func(t sdktest.T, _ sdktest.Subject[core.Embedder]) { t.Skipf("not here") }},
		{Name: "durable", Durable: true, Run: func(sdktest.T, sdktest.Subject[core.Embedder]) { panic("not to be run") }},
	}
	suite := append(sdktest.Embedder(), boom...)
	got := map[string]string{}
	suite.Run(t.Context(), t.TempDir(), sdktest.Builtin(sdk.Embedder, fake.EmbedderPlugin(), sdktest.Options{}), func(r sdktest.Result) {
		switch {
		case r.Passed:
			got[r.Name] = "passed"
		case r.Skipped:
			got[r.Name] = "skipped"
		default:
			got[r.Name] = "failed: " + r.Output[0]
		}
	})
	for name, want := range map[string]string{
		"meaning": "passed", "fails": "failed: got 1, want 2", "panics": "failed: check panicked: boom",
		"skips": "skipped", "durable": "skipped",
	} {
		if got[name] != want {
			t.Errorf("%s: got %q, want %q", name, got[name], want)
		}
	}
	if len(got) != len(suite) {
		t.Errorf("got %d results, want %d", len(got), len(suite))
	}
}

// A suite must fail where the plugin does: one that forgets what it was told.
func TestSuiteFails(t *testing.T) {
	plugin := fake.IndexPlugin()
	failed := 0
	sdktest.Index().Run(t.Context(), t.TempDir(), sdktest.Direct(func(at sdktest.Place) (core.Index, func() error, error) {
		impl, err := plugin.New(t.Context(), sdk.Env{StateDir: at.StateDir + fmt.Sprint(failed)})
		return forgetful{impl}, func() error { return nil }, err
	}, sdktest.Options{Durable: true}), func(r sdktest.Result) {
		if !r.Passed {
			failed++
		}
	})
	if failed < 5 {
		t.Errorf("an index that drops filters and rows fails %d checks, want at least 5", failed)
	}
}
