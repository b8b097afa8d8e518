package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestKills kills every plugin of every node, one at a time and with the network
// idle, and wants the very next task done and paid, and the plugin back. Then it
// kills a node: its plugins go with it, and the work goes to another.
func TestKills(t *testing.T) {
	n := up(t, "--agent", "markdown", "--agent", "checksum", "--agent", "wordcount")
	for _, name := range []string{"provider-1", "provider-2", "provider-3"} {
		n.hire(name)
	}
	for _, name := range names() {
		provider := name
		if _, ok := jobs("")[name]; !ok {
			provider = "provider-1"
		}
		for _, p := range n.plugins(name) {
			if p.PID > 0 {
				t.Run(name+" "+p.Kind, func(t *testing.T) { n.with(t).killPlugin(name, p, provider) })
			}
		}
	}
	t.Run("node", func(t *testing.T) { n.with(t).killNode() })
}

// with is the network with the test that speaks.
func (n *network) with(t *testing.T) *network {
	t.Helper()
	other := *n
	other.t = t
	return &other
}

func (n *network) killPlugin(name string, p plugin, provider string) {
	n.t.Helper()
	if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
		n.t.Fatal(err)
	}
	gone(n.t, p.PID)
	n.hire(provider)
	eventually(n.t, patience, func() (bool, string) {
		for _, now := range n.plugins(name) {
			if now.Kind == p.Kind && now.Name == p.Name {
				return now.PID != p.PID && now.PID > 0 && now.State == "ready", fmt.Sprintf("%s was not started again: %+v", p.Kind, now)
			}
		}
		return false, p.Kind + " is not listed"
	})
}

// killNode publishes the word counter on a second provider and kills the one that
// had the task.
func (n *network) killNode() {
	t := n.t
	agents := filepath.Join(filepath.Dir(n.bin), "agents")
	n.at("provider-1", &struct{}{}, "card", "publish", "wordcount", "--from", filepath.Join(agents, "wordcount"))
	first := n.hire("provider-3")
	var killed *node
	for _, name := range []string{"provider-1", "provider-3"} {
		if n.nodes[name].DID == first.Node {
			killed = n.nodes[name]
		}
	}
	if killed == nil {
		t.Fatalf("the task went to %s, which is neither", first.Node)
	}
	pids := []int{killed.PID}
	for _, p := range n.plugins(killed.Name) {
		pids = append(pids, p.PID)
	}
	if err := syscall.Kill(killed.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	gone(t, pids...)
	if second := n.hire("provider-3"); second.Node == killed.DID || second.Agent == first.Agent {
		t.Errorf("the task went to %s on %s, which was killed", second.Agent, second.Node)
	}
	start := time.Now()
	n.fails("caller", exitUnavailable, "", "task", "run", "--agent", first.Agent, "--in", "text="+filepath.Join(root(t), "LICENSE"))
	t.Logf("a task for the killed node's agent failed after %s", time.Since(start).Round(time.Millisecond))
}

// exitUnavailable and the others are exit codes of zerostate.
const (
	exitInvalid     = 110
	exitNotFound    = 111
	exitDenied      = 112
	exitConflict    = 113
	exitUnavailable = 116
)

// TestDemoInterrupted ends a demo in the middle of its start: it ends cleanly and
// leaves nothing behind.
func TestDemoInterrupted(t *testing.T) {
	bin := binary(t)
	d := startDemo(t, bin, "demo")
	d.await(t, "caller")
	if err := d.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := d.wait(t); code != 1 {
		t.Errorf("got exit code %d, want 1\n%s", code, d.text())
	}
	d.left(t)
}
