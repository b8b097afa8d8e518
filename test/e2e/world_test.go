package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWorlds takes the two embedded worlds from their configuration alone: a
// node, a card, a find, and a task with its outputs.
func TestWorlds(t *testing.T) {
	bin := binary(t)
	for _, tc := range []struct{ config, output string }{
		{"laptop.hcl", `"lines"`},
		{"ci-mock.yaml", "APACHE LICENSE"}, // the fake executor gives back what it got in capitals
	} {
		t.Run(tc.config, func(t *testing.T) {
			home, err := os.MkdirTemp("/tmp", "zs-e2e-") //nolint:usetesting // a unix socket's path is bounded
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(home) }) // a temporary directory
			d := startDemo(t, bin, "up", "--json", "--config", filepath.Join(root(t), "configs", tc.config), "--home", home)
			d.await(t, "\n}\n")
			n := &network{t: t, bin: bin, nodes: map[string]*node{"one": {Home: home}}}
			n.at("one", &struct{}{}, "card", "publish", "wordcount", "--from", filepath.Join(filepath.Dir(bin), "agents", "wordcount"))
			var found struct {
				Hits []struct {
					Name string `json:"name"`
				} `json:"hits"`
			}
			eventually(t, patience, func() (bool, string) {
				n.at("one", &found, "find", "count the words in this text")
				return len(found.Hits) > 0 && found.Hits[0].Name == "Word counter", "the card is not found"
			})
			r, out := &task{}, t.TempDir()
			n.at("one", r, "task", "run", "--query", "count the words in this text", "--in", "text="+filepath.Join(root(t), "LICENSE"), "--out", out)
			data, err := os.ReadFile(filepath.Join(out, "counts.json")) //nolint:gosec // the test's own directory
			if err != nil || r.Outcome != "ok" || !strings.Contains(string(data), tc.output) {
				t.Errorf("task %+v: %v\n%s", r, err, data[:min(len(data), 200)])
			}
			if err := d.cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			if code := d.wait(t); code != 0 {
				t.Errorf("up: exit code %d", code)
			}
			if left := mentioning(home); len(left) > 0 {
				t.Errorf("processes are left: %v", left)
			}
		})
	}
}
