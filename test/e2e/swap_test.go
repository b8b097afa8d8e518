package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zerostate/zerostate/core"
)

// TestDemoSwaps takes the same tour with one word changed in the configuration,
// and nothing else: the plugins and the receipts show the other name.
func TestDemoSwaps(t *testing.T) {
	bin := binary(t)
	for _, tc := range []struct{ kind, name, node, engine string }{
		{"index", "exact", "index", "wazero-compiler"},
		{"executor", "wasm-interp", "provider-1", "wazero-interpreter"},
		{"payment", "builtin:fake", "caller", "wazero-compiler"},
		{"embedder", "local-64", "index", "wazero-compiler"},
	} {
		t.Run(tc.kind, func(t *testing.T) {
			config := filepath.Join(t.TempDir(), "swap.hcl")
			if err := os.WriteFile(config, []byte("use {\n  "+tc.kind+" = \""+tc.name+"\"\n}\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			d := startDemo(t, bin, "demo", "--keep", "--json", "--config", config, "--out", filepath.Join(t.TempDir(), "out"))
			var r report
			d.await(t, "\n}\n")
			if err := json.Unmarshal([]byte(d.text()), &r); err != nil || !r.OK {
				t.Fatalf("demo --keep: ok %v, %v\n%s", r.OK, err, d.text())
			}
			var pids []int
			shown := false
			for _, n := range r.Nodes {
				pids = append(pids, n.PID)
				for _, p := range plugins(t, bin, n.Home) {
					shown = shown || n.Name == tc.node && p.Kind == tc.kind && p.Name == tc.name && p.Version != "" && p.State == "ready"
					if p.PID > 0 && p.PID != n.PID {
						pids = append(pids, p.PID)
					}
				}
			}
			if !shown {
				t.Errorf("plugin list of %s does not show %s %s", tc.node, tc.kind, tc.name)
			}
			executor := "wasm"
			if tc.kind == "executor" {
				executor = tc.name
			}
			checkEngine(t, &r, executor, tc.engine)
			if err := d.cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			if code := d.wait(t); code != 0 {
				t.Errorf("demo --keep: exit code %d after ctrl-c\n%s", code, d.text())
			}
			gone(t, pids...)
			d.left(t)
		})
	}
}

// checkEngine wants every receipt to name the executor and its engine.
func checkEngine(t *testing.T, r *report, executor, engine string) {
	t.Helper()
	for _, task := range r.Tasks {
		envelope, err := os.ReadFile(task.Receipt)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := core.ParseReceipt(envelope)
		if err != nil {
			t.Fatal(err)
		}
		p := signed.Receipt.Predicate
		if p.Executor.Name != executor || p.Executor.Version == "" || p.Engine.Name != engine || p.Engine.Version == "" {
			t.Errorf("receipt of %s: got executor %+v, engine %+v; want %s, %s", task.AgentName, p.Executor, p.Engine, executor, engine)
		}
	}
}

// process is a zerostate that runs beside the test.
type process struct {
	cmd  *exec.Cmd
	tmp  string
	mu   sync.Mutex
	out  bytes.Buffer
	errs bytes.Buffer
	done chan struct{}
}

// Write collects stdout.
func (d *process) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out.Write(b)
}

func (d *process) text() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out.String()
}

// startDemo starts zerostate with a temporary directory of its own; the end of
// the test ends it where it still runs.
func startDemo(t *testing.T, bin string, args ...string) *process {
	t.Helper()
	tmp, err := os.MkdirTemp("/tmp", "zs-e2e-") //nolint:usetesting // a unix socket's path is bounded
	if err != nil {
		t.Fatal(err)
	}
	d := &process{cmd: exec.CommandContext(t.Context(), bin, args...), tmp: tmp, done: make(chan struct{})}
	d.cmd.Dir, d.cmd.Stdout, d.cmd.Stderr = t.TempDir(), d, &d.errs
	d.cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	d.cmd.Cancel = func() error { return d.cmd.Process.Signal(os.Interrupt) }
	d.cmd.WaitDelay = patience
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = d.cmd.Wait() // the exit code is read where it is wanted
		close(d.done)
	}()
	t.Cleanup(func() {
		<-d.done // the test's context has ended, and with it the process
		if err := os.RemoveAll(tmp); err != nil {
			t.Error(err)
		}
	})
	return d
}

// await waits until stdout holds text.
func (d *process) await(t *testing.T, text string) {
	t.Helper()
	eventually(t, commandTime, func() (bool, string) {
		select {
		case <-d.done:
			if !strings.Contains(d.text(), text) {
				t.Fatalf("it ended without %q\n%s%s", text, d.text(), d.errs.String())
			}
		default:
		}
		return strings.Contains(d.text(), text), d.text()
	})
}

// wait waits for the end and returns the exit code.
func (d *process) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-d.done:
	case <-time.After(patience):
		t.Fatalf("it does not end\n%s", d.text())
	}
	return d.cmd.ProcessState.ExitCode()
}

// left wants no process and no file left.
func (d *process) left(t *testing.T) {
	t.Helper()
	if left := mentioning(d.tmp + "/"); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
	if files, err := os.ReadDir(d.tmp); err != nil || len(files) > 0 {
		t.Errorf("left in the temporary directory: %v, %v\n%s", files, err, d.errs.String())
	}
}
