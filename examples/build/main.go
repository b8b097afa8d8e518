// Command build makes the example agents: it compiles the Go ones to WASM, and
// copies the C ones, which are committed as built.
//
//	cd examples && go run ./build -out ../bin/agents
//
// fills OUT/<name>/{agent.wasm,card.yaml,task.yaml}. The go tool's cache makes a
// second run quick.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
)

// parallel is how many agents are compiled side by side.
const parallel = 2

func main() {
	out := flag.String("out", filepath.Join("..", "bin", "agents"), "directory to fill")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := buildAll(ctx, "agents", *out, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// agent is one directory with a card and a manifest.
type agent struct {
	name, dir string
}

// findAgents lists the agents under root, those of root/c too.
func findAgents(root string) ([]agent, error) {
	var all []agent
	for _, pattern := range []string{"*", filepath.Join("c", "*")} {
		cards, err := filepath.Glob(filepath.Join(root, pattern, "card.yaml"))
		if err != nil {
			return nil, fmt.Errorf("look for agents: %w", err)
		}
		for _, card := range cards {
			dir := filepath.Dir(card)
			all = append(all, agent{filepath.Base(dir), dir})
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no agent under %s: run it in the directory examples", root)
	}
	return all, nil
}

// buildAll makes every agent under root into out, with one line each to log.
func buildAll(ctx context.Context, root, out string, log io.Writer) error {
	agents, err := findAgents(root)
	if err != nil {
		return err
	}
	errs := make([]error, len(agents))
	slots := make(chan struct{}, parallel)
	var group sync.WaitGroup
	var mu sync.Mutex // one line at a time
	for i, a := range agents {
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			size, err := a.build(ctx, filepath.Join(out, a.name))
			if err != nil {
				errs[i] = fmt.Errorf("agent %s: %w", a.name, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			_, errs[i] = fmt.Fprintf(log, "agent %-10s %8.1f KiB\n", a.name, float64(size)/1024)
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// build fills dir with the agent's module, card and manifest and answers the
// module's size in bytes.
func (a agent) build(ctx context.Context, dir string) (int64, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // build output, as readable as the sources
		return 0, err
	}
	wasm := filepath.Join(dir, "agent.wasm")
	if err := a.module(ctx, wasm); err != nil {
		return 0, err
	}
	for _, name := range []string{"card.yaml", "task.yaml"} {
		if err := copyFile(filepath.Join(a.dir, name), filepath.Join(dir, name)); err != nil {
			return 0, err
		}
	}
	info, err := os.Stat(wasm)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// module compiles a Go agent, or copies one that is committed as built.
func (a agent) module(ctx context.Context, to string) error {
	built := filepath.Join(a.dir, "agent.wasm")
	if _, err := os.Stat(built); err == nil {
		return copyFile(built, to)
	}
	abs, err := filepath.Abs(to)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", abs, ".") //nolint:gosec // the directory is one that findAgents found
	cmd.Dir = a.dir
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compile: %w\n%s", err, strings.TrimSpace(string(text)))
	}
	return nil
}

// copyFile writes the file anew, unless it is there with the same content.
func copyFile(from, to string) error {
	data, err := os.ReadFile(from) //nolint:gosec // a file beside the agent's card
	if err != nil {
		return err
	}
	if have, err := os.ReadFile(to); err == nil && string(have) == string(data) { //nolint:gosec // our own output
		return nil
	}
	return os.WriteFile(to, data, 0o644) //nolint:gosec // build output, as readable as the sources
}
