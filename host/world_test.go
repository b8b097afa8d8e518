package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/config"
	"github.com/zerostate/zerostate/host/internal/store"
	"github.com/zerostate/zerostate/plugin/sdk"
	"github.com/zerostate/zerostate/plugin/sdk/sdktest/fake"
)

// world is a network of whole nodes on the loopback interface, with fakes as
// plugins, in process and over the wire's codec.
type world struct {
	t     testing.TB
	nodes map[string]*Node
	boot  []string
	deps  Builtins
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return &world{t: t, nodes: map[string]*Node{}, deps: fakes()}
}

// fakes are a fake of every kind.
func fakes() Builtins {
	return Builtins{
		Index:      map[string]sdk.Plugin[core.Index]{"fake": fake.IndexPlugin()},
		Embedder:   map[string]sdk.Plugin[core.Embedder]{"fake": fake.EmbedderPlugin()},
		Router:     map[string]sdk.Plugin[core.Router]{"fake": fake.RouterPlugin()},
		Executor:   map[string]sdk.Plugin[core.Executor]{"fake": fake.ExecutorPlugin(programs())},
		Payment:    map[string]sdk.Plugin[core.Payment]{"fake": fake.PaymentPlugin()},
		Reputation: map[string]sdk.Plugin[core.Reputation]{"fake": fake.ReputationPlugin()},
	}
}

// home is a short directory of the test: a unix socket's path is bounded.
func home(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "zs-") //nolint:usetesting // a socket's path is bounded, and that of t.TempDir() is long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// config is the configuration of a node of the world.
func (w *world) config(name string, roles ...string) *Config {
	w.t.Helper()
	cfg, err := config.Load(config.Options{UserHome: w.t.TempDir(), Flags: map[string]string{
		"node.name": name, "node.home": home(w.t), "node.region": "test", "network.id": "zerostate-unit", "network.mdns": "false",
		"use.index": "builtin:fake", "use.embedder": "builtin:fake", "use.router": "builtin:fake",
		"use.executor": "builtin:fake", "use.payment": "builtin:fake", "use.reputation": "builtin:fake",
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	cfg.Node.Roles, cfg.Network.Bootstrap = roles, w.boot
	return cfg
}

// start runs a node until the test ends.
func (w *world) start(cfg *Config) *Node {
	w.t.Helper()
	log := hclog.New(&hclog.LoggerOptions{Name: cfg.Node.Name, Level: hclog.Debug, Output: testWriter{w.t}})
	if os.Getenv("ZEROSTATE_TEST_LOG") == "" {
		log = hclog.NewNullLogger()
	}
	n, err := New(w.t.Context(), cfg, Deps{Builtins: w.deps, Log: log, Version: "test"})
	if err != nil {
		w.t.Fatalf("start %s: %v", cfg.Node.Name, err)
	}
	ran := make(chan error, 1)
	go func() { ran <- n.Run(context.Background()) }()
	w.t.Cleanup(func() {
		if err := n.Close(); err != nil {
			w.t.Errorf("close %s: %v", cfg.Node.Name, err)
		}
		if err := <-ran; err != nil {
			w.t.Errorf("run %s: %v", cfg.Node.Name, err)
		}
	})
	w.nodes[cfg.Node.Name] = n
	w.boot = append(w.boot, n.net.Addrs()...)
	eventually(w.t, cfg.Node.Name+" is ready", n.ready.Load)
	return n
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	fmt.Fprint(os.Stderr, string(p))
	return len(p), nil
}

// eventually waits until a condition holds; the test's own deadline bounds it.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("it never came to be that %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// agentFiles writes an agent's card, manifest and module, and returns the card's path.
func agentFiles(t testing.TB, name, description string, price int64) string {
	t.Helper()
	dir := t.TempDir()
	card := fmt.Sprintf(`name: %s
description: %s
skills:
  - id: %s
    name: %s
    description: %s
    tags: [text, test]
offers:
  - skill: %s
    manifest: task.yaml
`, name, description, name, name, description, name)
	task := fmt.Sprintf(`apiVersion: zerostate.dev/v1alpha1
kind: Task
metadata: {name: %s}
spec:
  module: {uri: file:agent.wasm}
  inputs: [{name: doc}]
  outputs: [{name: out, maxBytes: 1MiB}]
  limits: {wallTimeout: 5s, outputBytes: 1MiB}
  settlement: {currency: TEST, unit: byte, priceMicros: %d, perUnits: 64}
`, name, price)
	for file, data := range map[string]string{"card.yaml": card, "task.yaml": task, "agent.wasm": "\x00asm\x01\x00\x00\x00" + name} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "card.yaml")
}

// steps collects what an Observer is told.
type steps struct {
	mu     sync.Mutex
	names  []string
	stdout strings.Builder
}

func (s *steps) Step(st Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names = append(s.names, st.Name)
}

func (s *steps) Output(stream string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stream == "stdout" {
		s.stdout.Write(data)
	}
}

// blocker is an agent's program that runs until it is cancelled or let go.
const blocker = "\x00asm\x01\x00\x00\x00blocker"

// programs are what the fake executor runs in place of some modules.
func programs() map[string]fake.Program {
	return map[string]fake.Program{sha256Hex([]byte(blocker)): func(ctx context.Context, _ *fake.Process) int {
		<-ctx.Done()
		return 1
	}}
}

// scanJournal reads a worker's journal.
func scanJournal(n *Node) func(func(*journalEntry, error) bool) {
	return store.ScanJSON[*journalEntry](n.store, journalPrefix)
}
