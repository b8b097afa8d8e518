package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"

	"github.com/zerostate/zerostate/core"
)

// machine runs agents as an executor does: WASI preview 1, files under /in and
// /out, nothing else.
type machine struct {
	runtime wazero.Runtime
}

func newMachine(t *testing.T) machine {
	t.Helper()
	r := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigInterpreter()) // compiles in a tenth of the time
	t.Cleanup(func() {
		if err := r.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	if _, err := wasi_snapshot_preview1.Instantiate(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return machine{r}
}

// result is what one run left behind.
type result struct {
	exit           uint32
	stdout, stderr string
	outputs        map[string][]byte
}

// run runs the module on the inputs. Root says whether the guest sees one
// directory "/" or two, "/in" and "/out"; both are usual.
func (m machine) run(t *testing.T, module []byte, root bool, inputs map[string][]byte) result {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	for _, d := range []string{in, out} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range inputs {
		if err := os.WriteFile(filepath.Join(in, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files := wazero.NewFSConfig().WithReadOnlyDirMount(in, "/in").WithDirMount(out, "/out")
	if root {
		files = wazero.NewFSConfig().WithDirMount(dir, "/")
	}
	var stdout, stderr bytes.Buffer
	_, err := m.runtime.InstantiateWithConfig(t.Context(), module, wazero.NewModuleConfig().WithName("").WithArgs("agent").
		WithFSConfig(files).WithStdout(&stdout).WithStderr(&stderr))
	var exit *sys.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	res := result{stdout: stdout.String(), stderr: stderr.String(), outputs: map[string][]byte{}}
	if exit != nil {
		res.exit = exit.ExitCode()
	}
	entries, err := os.ReadDir(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if res.outputs[e.Name()], err = os.ReadFile(filepath.Join(out, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return res
}

// manifestOf reads the manifest of an agent.
func manifestOf(t *testing.T, a agent) *core.Manifest {
	t.Helper()
	path := filepath.Join(a.dir, "task.yaml")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := core.ParseManifest(data, path)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// agentsHere lists the agents of this module.
func agentsHere(t *testing.T) []agent {
	t.Helper()
	agents, err := findAgents(filepath.Join("..", "agents"))
	if err != nil {
		t.Fatal(err)
	}
	return agents
}

func readFile(t *testing.T, path ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// buildOne compiles one agent and answers its module.
func buildOne(t *testing.T, name string) []byte {
	t.Helper()
	out := t.TempDir()
	for _, a := range agentsHere(t) {
		if a.name == name {
			if _, err := a.build(t.Context(), out); err != nil {
				t.Fatal(err)
			}
			return readFile(t, out, "agent.wasm")
		}
	}
	t.Fatalf("no agent %s", name)
	return nil
}

func TestBuildNamesTheAgent(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "broken")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"card.yaml": "", "task.yaml": "", "go.mod": "module broken\n", "main.go": "package main\n\nfunc main() { none() }\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	err := buildAll(t.Context(), root, t.TempDir(), io.Discard)
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte("agent broken")) {
		t.Errorf("got %v, want an error that names the agent", err)
	}
	if err := buildAll(t.Context(), t.TempDir(), t.TempDir(), io.Discard); err == nil {
		t.Error("got no error for a directory without agents")
	}
}
