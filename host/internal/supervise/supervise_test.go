package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/config"
	"github.com/zerostate/zerostate/plugin/sdk"
)

const (
	hostDirEnv = "ZEROSTATE_TEST_HOST_DIR"
	node       = core.DID("did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK")
)

// TestMain is three programs: the tests, a plugin (a host started it), and a
// host that is to be killed.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(sdk.CookieKey) != "":
		servePlugin()
	case os.Getenv(hostDirEnv) != "":
		serveHost(os.Getenv(hostDirEnv))
	default:
		os.Exit(m.Run())
	}
}

type probeConfig struct {
	Mode  string `zs:"mode" enum:"ok|fail" default:"ok" doc:"how it behaves"`
	Token string `zs:"token" sensitive:"true" doc:"a secret"`
}

func servePlugin() { sdk.Embedder.Serve(probePlugin()) }

func probePlugin() sdk.Plugin[core.Embedder] {
	return sdk.Plugin[core.Embedder]{
		Name: "probe", Version: "1.2.3", State: sdk.StateNone, Config: &probeConfig{},
		New: func(_ context.Context, env sdk.Env) (core.Embedder, error) {
			c, _ := env.Config.(*probeConfig)
			if c.Mode == "fail" {
				return nil, core.FieldError{Path: "mode", Problem: "told to fail"}
			}
			return probe{env: env, token: c.Token}, nil
		},
	}
}

// probe is an embedder that answers questions about its own process: the model
// id of the answer is what it found.
type probe struct {
	env   sdk.Env
	token string
}

func (p probe) Embed(_ context.Context, req core.EmbedRequest) (core.Embeddings, error) {
	answer := ""
	ask, arg, _ := strings.Cut(strings.Join(req.Texts, ""), " ")
	switch ask {
	case "die":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "die-once":
		if _, err := os.Stat(filepath.Join(p.env.StateDir, "died")); err != nil {
			_ = os.WriteFile(filepath.Join(p.env.StateDir, "died"), nil, 0o600)
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		answer = "alive again"
	case "read":
		_, err := os.ReadFile(arg)
		answer = fmt.Sprint(err)
	case "write":
		answer = fmt.Sprint(os.WriteFile(arg, []byte("x"), 0o600))
	case "write-state":
		answer = fmt.Sprint(os.WriteFile(filepath.Join(p.env.StateDir, "x"), []byte("x"), 0o600))
	case "dial":
		network, addr, _ := strings.Cut(arg, "!")
		conn, err := net.Dial(network, addr)
		if err == nil {
			_ = conn.Close()
		}
		answer = fmt.Sprint(err)
	case "signal":
		pid, _ := strconv.Atoi(arg)
		answer = fmt.Sprint(syscall.Kill(pid, 0))
	case "env":
		answer = strings.Join(os.Environ(), "\n")
	case "files":
		var l syscall.Rlimit
		_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l)
		answer = strconv.FormatUint(l.Max, 10)
	case "token":
		answer = p.token
	case "context":
		answer = fmt.Sprint(p.env.Node, " ", p.env.Network, " ", p.env.Region, " ", p.env.StateDir)
	}
	return core.Embeddings{Model: core.EmbedModel{ID: "m" + answer, Digest: strings.Repeat("0", 64), Dimensions: 1}, Vectors: [][]float32{{1}}}, nil
}

func ask(ctx context.Context, e core.Embedder, question string) (string, error) {
	out, err := e.Embed(ctx, core.EmbedRequest{Texts: []string{question}})
	return strings.TrimPrefix(out.Model.ID, "m"), err
}

// testConfig is a configuration whose embedder is this test binary.
func testConfig(tb testing.TB, dir, extra string) *config.Config {
	tb.Helper()
	cfg, err := loadTest(dir, extra)
	if err != nil {
		tb.Fatal(err)
	}
	return cfg
}

func loadTest(dir, extra string) (*config.Config, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf("node: {home: %q, dev: true}\nuse: {embedder: probe}\nplugin:\n  embedder:\n    probe:\n      path: %q\n      restart: {backoff_min: 1ms, backoff_max: 2ms, crash_loop: 4, window: 1s}\n%s", filepath.Join(dir, "home"), self, extra)
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return config.Load(config.Options{Files: []string{file}, UserHome: dir})
}

func testDeps(log hclog.Logger) Deps {
	return Deps{Node: node, Kinds: []core.Kind{core.KindEmbedder}, Log: log}
}

func startTest(t *testing.T, cfg *config.Config, deps Deps) *Set {
	t.Helper()
	set, err := Start(t.Context(), cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := set.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return set
}

func serveHost(dir string) {
	cfg, err := loadTest(dir, "")
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	set, err := Start(context.Background(), cfg, testDeps(nil))
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println("pid", set.Status()[0].PID)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func TestStartCallStatusClose(t *testing.T) {
	t.Setenv("ZEROSTATE_CANARY", "leaked")
	t.Setenv("SECRET_TOKEN", "s3cret")
	dir := t.TempDir()
	cfg := testConfig(t, dir, "      config: {token: {from_env: SECRET_TOKEN}}\n      limits: {files: 333, memory: 64MiB}\n")
	set := startTest(t, cfg, testDeps(hclog.NewNullLogger()))
	ctx := t.Context()
	e := set.Embedder()

	state := filepath.Join(dir, "home", "plugins", "embedder", "probe")
	outside := filepath.Join(dir, "secret")
	if err := os.WriteFile(outside, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	st := set.Status()[0]
	confined := func(want string) string {
		if !st.Confined {
			return ""
		}
		return want
	}
	for _, c := range []struct{ question, want string }{
		{"context", fmt.Sprint(node, " zerostate-test local ", state)},
		{"token", "s3cret"},
		{"files", "333"},
		{"write-state", "<nil>"},
		{"read " + outside, confined("permission denied")},
		{"write " + filepath.Join(dir, "home", "node.key"), confined("permission denied")},
		{"read /proc/" + strconv.Itoa(os.Getpid()) + "/environ", confined("permission denied")},
		{"dial tcp!" + listener.Addr().String(), confined("permission denied")},
		{"dial udp!127.0.0.1:9", confined("permission denied")},
		{"signal " + strconv.Itoa(os.Getpid()), confined("operation not permitted")},
	} {
		got, err := ask(ctx, e, c.question)
		if err != nil || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, %v, want %q", c.question, got, err, c.want)
		}
	}
	env, err := ask(ctx, e, "env")
	if err != nil || strings.Contains(env, "leaked") || strings.Contains(env, "s3cret") || !strings.Contains(env, "GOMEMLIMIT=67108864") {
		t.Errorf("environment: got %v\n%s", err, env)
	}
	if st.State != StateReady || st.Version != "1.2.3" || st.PID == 0 || len(st.SHA256) != 64 || st.Name != "probe" || st.Since.IsZero() {
		t.Errorf("status: got %+v", st)
	}
	if !st.Confined && st.Unconfined == "" {
		t.Errorf("status: unconfined without a reason: %+v", st)
	}
	if _, err := set.Index().Stats(ctx); !errors.Is(err, core.ErrUnsupported) {
		t.Errorf("a kind that is not started: got %v, want core.ErrUnsupported", err)
	}
	if err := set.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := syscall.Kill(st.PID, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("after close: process %d: got %v, want it gone", st.PID, err)
	}
	if got := set.Status()[0]; got.State != StateStopped || got.PID != 0 {
		t.Errorf("status after close: got %+v", got)
	}
	if _, err := ask(ctx, e, "token"); !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("call after close: got %v, want core.ErrUnavailable", err)
	}
	if _, err := os.Stat(set.runDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("socket directory: got %v, want it gone", err)
	}
}

func TestRestartAfterDeath(t *testing.T) {
	set := startTest(t, testConfig(t, t.TempDir(), ""), testDeps(nil))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	e := set.Embedder()
	if got, err := ask(ctx, e, "die-once"); err != nil || got != "alive again" {
		t.Fatalf("an idempotent call during which the plugin died: got %q, %v, want it repeated", got, err)
	}
	pid := set.Status()[0].PID
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := ask(ctx, e, "token"); err != nil {
			t.Fatalf("call after kill -9: %v", err)
		}
	}
	st := set.Status()[0]
	if st.Restarts < 1 || st.LastError == "" {
		t.Errorf("status: got %+v, want restarts and the last error", st)
	}
	err := set.embedder.Do(ctx, false, func(e core.Embedder) error {
		_, err := ask(ctx, e, "die")
		return err
	})
	var retry *core.RetryError
	if !errors.Is(err, core.ErrUnavailable) || !errors.As(err, &retry) {
		t.Errorf("a call that may not be repeated: got %v, want a RetryError", err)
	}
}

func TestCrashLoopOpensBreakerAndFallbackServes(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(t, t.TempDir(), "      fallback: spare\n    spare: {path: "+strconv.Quote(self)+"}\n")
	set := startTest(t, cfg, testDeps(nil))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for range 4 {
		inst, err := set.embedder.primary.current(ctx, nil)
		if err != nil {
			break
		}
		inst.kill()
		<-inst.exited()
		if _, err := set.embedder.primary.current(ctx, inst); err != nil {
			break
		}
	}
	if st := set.Status()[0]; st.State != StateCrashLoop {
		t.Fatalf("after four crashes: got %+v, want a crash loop", st)
	}
	got, err := ask(ctx, set.Embedder(), "context")
	if err != nil || !strings.HasSuffix(got, "/embedder/spare") {
		t.Errorf("during a crash loop: got %q, %v, want the fallback's answer", got, err)
	}
	if list := set.Status(); len(list) != 2 || !list[1].Fallback || list[1].State != StateReady {
		t.Errorf("status: got %+v, want the fallback ready", list)
	}
	for set.Status()[0].State != StateReady { // half-open after the window
		l := set.embedder.primary
		l.mu.Lock()
		changed, state := l.changed, l.state
		l.mu.Unlock()
		if state == StateReady {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatal("the breaker did not close again")
		}
	}
}

func TestStoppedPluginDoesNotBlockClose(t *testing.T) {
	set, err := Start(t.Context(), testConfig(t, t.TempDir(), ""), testDeps(nil))
	if err != nil {
		t.Fatal(err)
	}
	pid := set.Status()[0].PID
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := set.Close(ctx); err != nil {
		t.Fatalf("close with a stopped plugin: %v", err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("stopped plugin: got %v, want it gone", err)
	}
}

// TestNoOrphans kills a host with SIGKILL: its plugin must go too.
func TestNoOrphans(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	host := exec.Command(self)
	host.Env = append(os.Environ(), hostDirEnv+"="+t.TempDir())
	stdin, err := host.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	out, err := host.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscanf(out, "pid %d\n", &pid); err != nil || pid == 0 {
		t.Fatalf("host did not start its plugin: %v", err)
	}
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = host.Wait()
	deadline := time.Now().Add(5 * time.Second)
	for running(pid) {
		if time.Now().After(deadline) {
			t.Fatalf("plugin %d outlived its host", pid)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// running reports whether a process is there and not a zombie.
func running(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func TestStartRefuses(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	sum, err := HashBinary(self)
	if err != nil {
		t.Fatal(err)
	}
	zeros := strings.Repeat("0", 64)
	for _, c := range []struct {
		name, extra string
		change      func(*config.Config, *Deps)
		is          error
		want        []string
	}{
		{"unknown setting", "      config: {mdoe: ok}\n", nil, core.ErrInvalid, []string{"config.yaml:8:16: plugin.embedder.probe.config.mdoe", `did you mean "mode"?`}},
		{"bad value", "      config: {mode: okk}\n", nil, core.ErrInvalid, []string{"config.yaml:8:16", "want one of ok, fail", `did you mean "ok"?`}},
		{"secret where none is", "      config: {mode: {from_env: X}}\n", nil, core.ErrInvalid, []string{"not a secret"}},
		{"missing secret", "      config: {token: {from_env: NOT_SET_ANYWHERE}}\n", nil, core.ErrInvalid, []string{"token", "NOT_SET_ANYWHERE"}},
		{"refused by the plugin", "      config: {mode: fail}\n", nil, core.ErrInvalid, []string{"mode", "told to fail"}},
		{"another digest", "      sha256: \"" + zeros + "\"\n", nil, core.ErrDenied, []string{zeros, sum, self, "zerostate plugin pin embedder probe"}},
		{"not pinned", "", func(c *config.Config, _ *Deps) { c.Node.Dev = false }, core.ErrDenied, []string{"not pinned", sum, "zerostate plugin pin embedder probe"}},
		{"another kind", "", func(c *config.Config, d *Deps) {
			c.Plugin["router"]["qlearn"] = c.Plugin["embedder"]["probe"]
			d.Kinds = []core.Kind{core.KindRouter}
		}, errIncompatible, []string{"want kind router"}},
		{"no binary", "", func(_ *config.Config, d *Deps) { d.Kinds = []core.Kind{core.KindIndex}; d.HostDir = "/nowhere" }, core.ErrNotFound, []string{"index-hnsw", "/nowhere"}},
		{"no builtin", "", func(c *config.Config, d *Deps) {
			p := c.Plugin["embedder"]["probe"]
			p.Path = "builtin:none"
			c.Plugin["embedder"]["probe"] = p
		}, core.ErrInvalid, []string{"no builtin"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, deps := testConfig(t, t.TempDir(), c.extra), testDeps(nil)
			if c.change != nil {
				c.change(cfg, &deps)
			}
			set, err := Start(t.Context(), cfg, deps)
			if set != nil || !errors.Is(err, c.is) {
				t.Fatalf("got %v, %v, want %v", set, err, c.is)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want it to hold %q", err, want)
				}
			}
		})
	}
}

func TestOptionalPluginMayBeMissing(t *testing.T) {
	cfg := testConfig(t, t.TempDir(), "")
	p := cfg.Plugin["embedder"]["probe"]
	p.Required, p.Path = false, "embedder-none"
	cfg.Plugin["embedder"]["probe"] = p
	deps := testDeps(nil)
	deps.HostDir = t.TempDir()
	set := startTest(t, cfg, deps)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := ask(ctx, set.Embedder(), "token"); !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("got %v, want core.ErrUnavailable", err)
	}
}

func TestBuiltin(t *testing.T) {
	cfg := testConfig(t, t.TempDir(), "      config: {token: plain}\n")
	p := cfg.Plugin["embedder"]["probe"]
	p.Path = "builtin:probe"
	cfg.Plugin["embedder"]["probe"] = p
	deps := testDeps(nil)
	deps.Builtins.Embedder = map[string]sdk.Plugin[core.Embedder]{"probe": probePlugin()}
	set := startTest(t, cfg, deps)
	if got, err := ask(t.Context(), set.Embedder(), "token"); err != nil || got != "plain" {
		t.Errorf("got %q, %v, want the token", got, err)
	}
	if st := set.Status()[0]; st.PID != 0 || st.Path != "builtin:probe" || st.State != StateReady || st.Confined {
		t.Errorf("status: got %+v", st)
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, LockName)
	empty, err := ReadLock(path)
	if err != nil || len(empty.Plugins) != 0 {
		t.Fatalf("a lock that is not there: got %v, %v", empty, err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	sum, err := HashBinary(self)
	if err != nil {
		t.Fatal(err)
	}
	empty.Set(Pin{Kind: "embedder", Name: "probe", Path: filepath.Base(self), SHA256: strings.Repeat("1", 64)})
	empty.Set(Pin{Kind: "embedder", Name: "probe", Path: filepath.Base(self), SHA256: sum})
	if err := empty.Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := ReadLock(path)
	if err != nil || len(got.Plugins) != 1 || got.Plugins[0].SHA256 != sum {
		t.Fatalf("got %v, %v, want one pin", got, err)
	}
	cfg := testConfig(t, dir, "")
	cfg.Node.Dev = false
	set := startTest(t, cfg, testDeps(nil))
	if st := set.Status()[0]; st.SHA256 != sum {
		t.Errorf("got %+v, want the pinned binary", st)
	}
	for name, bad := range map[string]string{"unknown member": `{"plugins":[],"x":1}`, "two values": `{}{}`, "no JSON": `x`} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadLock(path); !errors.Is(err, core.ErrInvalid) {
			t.Errorf("%s: got %v, want core.ErrInvalid", name, err)
		}
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadLock(path); !errors.Is(err, core.ErrDenied) {
		t.Errorf("a lock that everyone may write: got %v, want core.ErrDenied", err)
	}
}

// TestConcurrentCallsThroughKills is the load that a node must survive.
func TestConcurrentCallsThroughKills(t *testing.T) {
	cfg := testConfig(t, t.TempDir(), "")
	p := cfg.Plugin["embedder"]["probe"]
	p.Restart.CrashLoop = 100
	cfg.Plugin["embedder"]["probe"] = p
	set := startTest(t, cfg, testDeps(nil))
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := ask(ctx, set.Embedder(), "token"); err != nil && !errors.Is(err, core.ErrUnavailable) {
					t.Errorf("got %v, want an answer or core.ErrUnavailable", err)
					return
				}
			}
		})
	}
	var last instance[core.Embedder]
	for range 3 {
		inst, err := set.embedder.primary.current(ctx, last)
		if err != nil {
			t.Fatal(err)
		}
		_ = syscall.Kill(inst.info().pid, syscall.SIGKILL)
		<-inst.exited()
		last = inst
	}
	close(stop)
	wg.Wait()
	if _, err := ask(ctx, set.Embedder(), "token"); err != nil {
		t.Errorf("after the kills: %v", err)
	}
}

// TestUnstartedKinds calls every method of every kind that does not run.
func TestUnstartedKinds(t *testing.T) {
	deps := testDeps(nil)
	deps.Kinds = []core.Kind{}
	set := startTest(t, testConfig(t, t.TempDir(), ""), deps)
	ctx := t.Context()
	var items iter.Seq2[core.IndexItem, error] = func(func(core.IndexItem, error) bool) {}
	var outcomes iter.Seq2[core.RouteOutcome, error] = func(func(core.RouteOutcome, error) bool) {}
	x, r, e, p, l := set.Index(), set.Router(), set.Executor(), set.Payment(), set.Reputation()
	one := func(_ any, err error) error { return err }
	errs := []error{
		one(x.Upsert(ctx, items)), one(x.Query(ctx, core.IndexQuery{})), one(x.QueryBatch(ctx, nil)), one(x.Delete(ctx, nil)), one(x.Stats(ctx)), x.Compact(ctx),
		one(r.Decide(ctx, nil)), one(r.Observe(ctx, outcomes)), one(r.ExportPolicy(ctx)), r.ImportPolicy(ctx, nil),
		one(e.Prepare(ctx, core.PrepareRequest{})), one(e.Run(ctx, core.RunRequest{}, nil)), e.Cancel(ctx, ""), one(e.Verify(ctx, core.VerifyRequest{})),
		one(p.Quote(ctx, core.QuoteRequest{})), one(p.Open(ctx, core.OpenRequest{})), one(p.Update(ctx, core.UpdateRequest{})), one(p.Close(ctx, core.CloseRequest{})),
		one(p.Dispute(ctx, core.DisputeRequest{})), one(p.Status(ctx, core.StatusRequest{})),
		one(l.Append(ctx, nil)), one(l.Score(ctx, core.ScoreRequest{})), one(l.Checkpoint(ctx, core.CheckpointRequest{})), one(l.Prove(ctx, core.ProveRequest{})),
		one(set.Embedder().Embed(ctx, core.EmbedRequest{})),
	}
	for _, err := range l.History(ctx, node) {
		errs = append(errs, err)
	}
	if len(errs) != 26 {
		t.Errorf("got %d errors, want 26", len(errs))
	}
	for i, err := range errs {
		if !errors.Is(err, core.ErrUnsupported) {
			t.Errorf("call %d: got %v, want core.ErrUnsupported", i, err)
		}
	}
}

func TestKindsFor(t *testing.T) {
	for roles, want := range map[string]int{"bootstrap": 0, "relay": 2, "index": 3, "edge": 4, "edge,relay,index,bootstrap": 6} {
		cfg := testConfig(t, t.TempDir(), "")
		cfg.Node.Roles = strings.Split(roles, ",")
		if got := KindsFor(cfg); len(got) != want {
			t.Errorf("%s: got %v, want %d kinds", roles, got, want)
		}
	}
}
