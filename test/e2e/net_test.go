// Package e2e holds tests of whole networks of real processes. Start at
// TestDemo: it runs `zerostate demo` as a stranger would and holds what it prints
// to the contract; the others take a local network and kill, revoke, swap and
// command it. Skipped with -short. ZEROSTATE_BIN names the directory of the
// binaries to test instead of bin.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// commandTime bounds one command; it is reached only where something hangs.
	commandTime = 3 * time.Minute
	// patience is how long a state may take to come about.
	patience  = 30 * time.Second
	pollEvery = 20 * time.Millisecond
)

// root is the repository.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// built builds bin/ once in a test process. go build does nothing for what is up
// to date.
var built = sync.OnceValues(func() ([]byte, error) {
	cmd := exec.Command("make", "-s", "build") //nolint:noctx // shared by every test
	cmd.Dir = filepath.Join("..", "..")
	return cmd.CombinedOutput()
})

// binary is $ZEROSTATE_BIN/zerostate, or bin/zerostate, built with its plugins and agents
// by make build.
func binary(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("runs a network of processes")
	}
	if dir := os.Getenv("ZEROSTATE_BIN"); dir != "" {
		return filepath.Join(dir, "zerostate")
	}
	if out, err := built(); err != nil {
		t.Fatalf("make build: %v\n%s", err, out)
	}
	return filepath.Join(root(t), "bin", "zerostate")
}

// command runs zerostate and returns stdout, stderr and the exit code.
func command(t *testing.T, bin string, args ...string) (stdout, stderr []byte, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandTime)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = t.TempDir(), &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	return out.Bytes(), errs.Bytes(), cmd.ProcessState.ExitCode()
}

// run is command with stderr in the test's log where it failed.
func run(t *testing.T, bin string, args ...string) (stdout []byte, code int) {
	t.Helper()
	stdout, stderr, code := command(t, bin, args...)
	if code != 0 {
		t.Logf("%s: exit code %d, stderr:\n%s", strings.Join(args, " "), code, stderr)
	}
	return stdout, code
}

// network is a local network of separate processes that a test may hurt.
type network struct {
	t     *testing.T
	bin   string
	dir   string
	nodes map[string]*node
}

type node struct {
	Name string `json:"name"`
	PID  int    `json:"pid"`
	DID  string `json:"did"`
	Home string `json:"home"`
}

// names are the nodes of a local network.
func names() []string {
	return []string{"bootstrap", "index", "provider-1", "provider-2", "provider-3", "caller"}
}

// up starts a network; the end of the test ends it, and sees that no process of
// it is left.
func up(t *testing.T, args ...string) *network {
	t.Helper()
	bin := binary(t)
	parent, err := os.MkdirTemp("/tmp", "zs-e2e-") //nolint:usetesting // a unix socket's path is bounded
	if err != nil {
		t.Fatal(err)
	}
	n := &network{t: t, bin: bin, dir: filepath.Join(parent, "net"), nodes: map[string]*node{}}
	t.Cleanup(func() { n.down(parent) })
	var out struct {
		Nodes []*node `json:"nodes"`
	}
	n.json(&out, append([]string{"testnet", "up", "--dir", n.dir}, args...)...)
	for _, node := range out.Nodes {
		n.nodes[node.Name] = node
	}
	if len(n.nodes) != len(names()) {
		t.Fatalf("got %d nodes, want %d", len(n.nodes), len(names()))
	}
	return n
}

// down ends the network. It runs after the test's own context has ended.
func (n *network) down(parent string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if n.t.Failed() {
		for _, name := range names() {
			n.t.Logf("last lines of %s:\n%s", name, tail(filepath.Join(n.dir, "logs", name+".log")))
		}
	}
	if out, err := exec.CommandContext(ctx, n.bin, "testnet", "down", "--dir", n.dir).CombinedOutput(); err != nil {
		n.t.Errorf("testnet down: %v\n%s", err, out)
	}
	if left := mentioning(n.dir); len(left) > 0 {
		n.t.Errorf("processes of the network are left: %v", left)
	}
	if err := os.RemoveAll(parent); err != nil {
		n.t.Error(err)
	}
}

func tail(file string) string {
	const enough = 2000
	data, err := os.ReadFile(file) //nolint:gosec // a log of the test's own network
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-enough):])
}

// json runs a command that must succeed and reads its one JSON object.
func (n *network) json(into any, args ...string) {
	n.t.Helper()
	stdout, stderr, code := command(n.t, n.bin, append(args, "--json")...)
	if code != 0 {
		n.t.Fatalf("%s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	if err := json.Unmarshal(stdout, into); err != nil {
		n.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, stdout)
	}
}

// at runs a command at a node; json as above.
func (n *network) at(name string, into any, args ...string) {
	n.t.Helper()
	n.json(into, append(args, "--home", n.nodes[name].Home)...)
}

// fails runs a command at a node that must end with this exit code and say this.
func (n *network) fails(name string, code int, say string, args ...string) {
	n.t.Helper()
	_, stderr, got := command(n.t, n.bin, append(args, "--home", n.nodes[name].Home)...)
	if got != code || !strings.Contains(string(stderr), say) {
		n.t.Errorf("%s: got exit code %d and %q, want %d and %q", strings.Join(args, " "), got, stderr, code, say)
	}
}

// task is what the tests read of task run --json.
type task struct {
	Task          string `json:"task"`
	State         string `json:"state"`
	Outcome       string `json:"outcome"`
	Agent         string `json:"agent"`
	Node          string `json:"node"`
	Settled       string `json:"settled"`
	ReceiptPath   string `json:"receipt_path"`
	ChargedMicros int64  `json:"charged_micros"`
	Outputs       []struct {
		Name string `json:"name"`
		CID  string `json:"cid"`
		Path string `json:"path"`
	} `json:"outputs"`
}

// jobs are a sentence, an input and its name for an agent of each provider.
func jobs(repo string) map[string][]string {
	file := func(name string) string { return filepath.Join(repo, name) }
	return map[string][]string{
		"provider-2": {"--query", "turn this document into a web page", "--skill", "markdown-to-html", "--in", "doc=" + file("README.md")},
		"provider-1": {"--query", "compute the sha256 checksum of this file", "--skill", "checksum", "--in", "file=" + file("go.mod")},
		"provider-3": {"--query", "count the words in this text", "--skill", "word-count", "--in", "text=" + file("LICENSE")},
	}
}

// hire has the caller run the job of a provider's agent, and wants it done and
// paid.
func (n *network) hire(provider string) *task {
	n.t.Helper()
	r := &task{}
	n.at("caller", r, append([]string{"task", "run", "--out", n.t.TempDir()}, jobs(root(n.t))[provider]...)...)
	if r.Outcome != "ok" || r.ChargedMicros <= 0 || r.Settled != "paid" || r.ReceiptPath == "" {
		n.t.Fatalf("task at %s: %+v", provider, r)
	}
	return r
}

type plugin struct {
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	Version string `json:"version"`
	State   string `json:"state"`
	PID     int    `json:"pid"`
}

func (n *network) plugins(name string) []plugin {
	n.t.Helper()
	return plugins(n.t, n.bin, n.nodes[name].Home)
}

func plugins(t *testing.T, bin, home string) []plugin {
	t.Helper()
	var out struct {
		Plugins []plugin `json:"plugins"`
	}
	stdout, code := run(t, bin, "plugin", "list", "--json", "--home", home)
	if err := json.Unmarshal(stdout, &out); err != nil || code != 0 {
		t.Fatalf("plugin list: exit code %d, %v\n%s", code, err, stdout)
	}
	return out.Plugins
}

// eventually waits until done says true; what it last said is the failure.
func eventually(t *testing.T, within time.Duration, done func() (bool, string)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		ok, why := done()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("after %s: %s", within, why)
		}
	}
}

// alive says whether a process runs; a zombie does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat("/proc/self/stat"); err == nil {
			return false
		}
		return syscall.Kill(pid, 0) == nil // no /proc here
	}
	_, state, ok := strings.Cut(string(stat), ") ")
	return err == nil && ok && state[0] != 'Z' && state[0] != 'X'
}

// gone waits until none of the processes is left.
func gone(t *testing.T, pids ...int) {
	t.Helper()
	eventually(t, patience, func() (bool, string) {
		for _, pid := range pids {
			if alive(pid) {
				return false, fmt.Sprintf("process %d is still there", pid)
			}
		}
		return true, ""
	})
}

// mentioning lists the processes whose command line or environment names dir.
// Without /proc there are none.
func mentioning(dir string) []string {
	var found []string
	all, _ := filepath.Glob("/proc/[0-9]*") // the pattern is good
	for _, proc := range all {
		pid, err := strconv.Atoi(filepath.Base(proc))
		if err != nil || pid == os.Getpid() || !alive(pid) {
			continue
		}
		cmdline, _ := os.ReadFile(filepath.Join(proc, "cmdline")) //nolint:gosec // of /proc; gone is fine
		environ, _ := os.ReadFile(filepath.Join(proc, "environ")) //nolint:gosec // of /proc; another user's is none of ours
		if bytes.Contains(append(cmdline, environ...), []byte(dir)) {
			found = append(found, fmt.Sprintf("%d %s", pid, bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '})))
		}
	}
	return found
}
