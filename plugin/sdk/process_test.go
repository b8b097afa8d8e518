package sdk_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin/runner"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk"
	"github.com/zerostate/zerostate/plugin/sdk/sdktest/fake"
)

// serveEnv makes this test binary a plugin.
const serveEnv = "ZEROSTATE_TEST_SERVE"

func TestMain(m *testing.M) {
	switch os.Getenv(serveEnv) {
	case "probe":
		sdk.Embedder.Serve(probePlugin(newProbe()))
	case "index":
		sdk.Index.Serve(fake.IndexPlugin())
	case "nonsense":
		os.Stdout.WriteString("hello, I am no plugin\n")
	default:
		os.Exit(m.Run())
	}
}

func self(serve string, env ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append([]string{serveEnv + "=" + serve}, env...)
	return cmd
}

// logBuffer is a log that a process writes to.
type logBuffer struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	changed chan struct{} // gets one, if it has room, at each write
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case b.changed <- struct{}{}:
	default:
	}
	return b.buf.Write(p)
}

// wait waits until the log holds text: what a plugin prints comes after its
// answers.
func (b *logBuffer) wait(t *testing.T, text string) {
	t.Helper()
	for !strings.Contains(b.String(), text) {
		select {
		case <-b.changed:
		case <-t.Context().Done():
			t.Fatalf("log: no %q in %s", text, b.String())
		}
	}
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func start(t *testing.T, l sdk.Launch, log hclog.Logger) *sdk.Client[core.Embedder] {
	t.Helper()
	c, err := sdk.Embedder.Open(t.Context(), l, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}

func TestProcess(t *testing.T) {
	t.Setenv("ZEROSTATE_SECRET", "must not leak")
	out := &logBuffer{changed: make(chan struct{}, 1)}
	log := hclog.New(&hclog.LoggerOptions{Output: out, Level: hclog.Debug, JSONFormat: true})
	c := start(t, sdk.Launch{Cmd: self("probe")}, log)
	configure(t, c, nil)
	if c.PID() <= 0 || c.PID() == os.Getpid() {
		t.Errorf("pid: got %d", c.PID())
	}
	if env, err := os.ReadFile("/proc/" + strconv.Itoa(c.PID()) + "/environ"); err == nil && bytes.Contains(env, []byte("must not leak")) {
		t.Error("our environment leaked into the plugin")
	}
	for _, text := range []string{"log", "print"} {
		if err := embed(c, t.Context(), text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, want := range []string{`"@level":"warn"`, "something happened", `"count":3`, "printed, not logged"} {
		out.wait(t, want)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	<-c.Exited()
	if err := embed(c, t.Context(), "x"); !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("call after close: got %v, want ErrUnavailable", err)
	}
}

func TestKillProcess(t *testing.T) {
	c := start(t, sdk.Launch{Cmd: self("probe")}, nil)
	configure(t, c, nil)
	done := make(chan error, 1)
	go func() { done <- embed(c, t.Context(), "wait") }()
	for h, err := range c.Base().Health(t.Context(), 20*time.Millisecond) {
		if err != nil {
			t.Fatal(err)
		}
		if h.InFlight == 1 {
			break
		}
	}
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("call in flight: got %v, want ErrUnavailable", err)
	}
	<-c.Exited()
	if err := c.Kill(); err != nil {
		t.Errorf("kill again: %v", err)
	}
}

// A stopped process answers nothing: Close still ends.
func TestCloseStoppedProcess(t *testing.T) {
	c, err := sdk.Embedder.Open(t.Context(), sdk.Launch{Cmd: self("probe"), StopTimeout: 100 * time.Millisecond}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(c.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want DeadlineExceeded of its shutdown", err)
	}
	<-c.Exited()
}

func TestOpenRefuses(t *testing.T) {
	open := func(ctx context.Context, cmd *exec.Cmd) error {
		c, err := sdk.Embedder.Open(ctx, sdk.Launch{Cmd: cmd, StartTimeout: 5 * time.Second}, nil)
		if err == nil {
			t.Errorf("opened; close: %v", c.Close())
		}
		return err
	}
	if err := open(t.Context(), self("index")); !errors.Is(err, core.ErrUnsupported) {
		t.Errorf("another kind: got %v, want ErrUnsupported", err)
	}
	if err := open(t.Context(), self("nonsense")); !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("not a plugin: got %v, want ErrUnavailable", err)
	}
	if err := open(t.Context(), exec.Command("/nowhere/at-all")); !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("no such file: got %v, want ErrUnavailable", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := open(ctx, exec.Command("sleep", "60")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("silent process: got %v, want DeadlineExceeded", err)
	}
	// A kernel-checked peer: a plugin whose host is another process refuses us.
	c, err := sdk.Embedder.Open(t.Context(), sdk.Launch{Runner: func(log hclog.Logger, cmd *exec.Cmd, dir string) (runner.Runner, error) {
		cmd.Env = append(cmd.Env, sdk.EnvHostPID+"=1")
		return newPipeRunner(log, cmd, dir)
	}}, nil)
	if !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("plugin of another host: got %v, %v, want ErrUnavailable", c, err)
	}
}

func TestAnyKind(t *testing.T) {
	c, err := sdk.Any.Open(t.Context(), sdk.Launch{Cmd: self("index")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Info().Kind != core.KindIndex || c.Info().State != sdk.StateExclusive {
		t.Errorf("got %+v", c.Info())
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// pipeRunner starts a process whose standard input is a pipe, as a host does.
type pipeRunner struct {
	cmd            *exec.Cmd
	stdin          io.Closer
	stdout, stderr io.ReadCloser
}

func newPipeRunner(_ hclog.Logger, cmd *exec.Cmd, _ string) (runner.Runner, error) {
	r := &pipeRunner{cmd: exec.Command(os.Args[0])}
	r.cmd.Env = append(cmd.Env, serveEnv+"=probe", sdk.EnvWatchStdin+"=1")
	var err error
	if r.stdin, err = r.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if r.stdout, err = r.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	r.stderr, err = r.cmd.StderrPipe()
	return r, err
}

func (r *pipeRunner) Start(context.Context) error                      { return r.cmd.Start() }
func (r *pipeRunner) Wait(context.Context) error                       { return r.cmd.Wait() }
func (r *pipeRunner) Kill(context.Context) error                       { return r.cmd.Process.Kill() }
func (r *pipeRunner) Diagnose(context.Context) string                  { return "" }
func (r *pipeRunner) Stdout() io.ReadCloser                            { return r.stdout }
func (r *pipeRunner) Stderr() io.ReadCloser                            { return r.stderr }
func (r *pipeRunner) Name() string                                     { return r.cmd.Path }
func (r *pipeRunner) ID() string                                       { return strconv.Itoa(r.cmd.Process.Pid) }
func (r *pipeRunner) PluginToHost(n, a string) (string, string, error) { return n, a, nil }
func (r *pipeRunner) HostToPlugin(n, a string) (string, string, error) { return n, a, nil }

// A plugin does not outlive its host: when the pipe closes, it ends.
func TestPluginEndsWithItsHost(t *testing.T) {
	var pipe *pipeRunner
	c := start(t, sdk.Launch{SocketDir: t.TempDir(), Runner: func(log hclog.Logger, cmd *exec.Cmd, dir string) (runner.Runner, error) {
		r, err := newPipeRunner(log, cmd, dir)
		if err == nil {
			pipe = r.(*pipeRunner)
		}
		return r, err
	}}, nil)
	configure(t, c, nil)
	if c.PID() != pipe.cmd.Process.Pid {
		t.Errorf("pid: got %d, want %d", c.PID(), pipe.cmd.Process.Pid)
	}
	if err := pipe.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.Exited():
	case <-t.Context().Done():
		t.Fatal("the plugin still runs")
	}
}

// Outside of a host a plugin says what it is and exits.
func TestServeAlone(t *testing.T) {
	out, err := self("probe").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !bytes.Contains(out, []byte("plugin")) {
		t.Errorf("got %v, %q, want exit code 1 and a word about plugins", err, out)
	}
}
