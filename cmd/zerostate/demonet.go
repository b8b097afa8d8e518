package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/localnet"
	"github.com/zerostate/zerostate/core"
)

// agentCard is an agent that a local network publishes.
type agentCard struct {
	name string // of its directory
	node *localnet.Node
	did  string
	took time.Duration // publishing it
}

// localOptions are those of a local network under dir.
func (a *app) localOptions(dir string, set []string) (localnet.Options, error) {
	exe, err := os.Executable()
	if err != nil {
		return localnet.Options{}, fmt.Errorf("find the zerostate binary: %w", err)
	}
	if exe, err = filepath.EvalSymlinks(exe); err != nil {
		return localnet.Options{}, fmt.Errorf("find the zerostate binary: %w", err)
	}
	o := localnet.Options{Exe: exe, Dir: dir, Set: set, Network: "zerostate-demo-" + strings.ToLower(rand.Text()[:8])}
	for _, c := range a.configs {
		if c, err = filepath.Abs(c); err != nil {
			return o, err
		}
		if _, err := os.Stat(c); err != nil {
			return o, notFound(err)
		}
		o.Configs = append(o.Configs, c)
	}
	return o, nil
}

// privateDir makes a short-named private directory: a unix socket's path is bounded.
func privateDir() (string, error) {
	const longest = 40
	parent := os.TempDir()
	if len(parent) > longest {
		parent = "/tmp"
	}
	return os.MkdirTemp(parent, "zs-demo-")
}

// agentDirs lists the example agents beside the binary.
func agentDirs(exe string) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(filepath.Dir(exe), "agents", "*", "card.yaml"))
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no agents in %s; build them with: make build: %w", filepath.Join(filepath.Dir(exe), "agents"), core.ErrNotFound)
	}
	slices.Sort(found)
	for i := range found {
		found[i] = filepath.Dir(found[i])
	}
	return found, nil
}

// publishAgents shares the agents out over the providers and publishes them, a
// provider's one after the other and the providers side by side; it returns when
// the index node holds every offer.
func publishAgents(ctx context.Context, net *localnet.Net, dirs []string) ([]*agentCard, error) {
	providers := []*localnet.Node{net.Node("provider-1"), net.Node("provider-2"), net.Node("provider-3")}
	cards := make([]*agentCard, len(dirs))
	g, gctx := errgroup.WithContext(ctx)
	var mu sync.Mutex
	offers := int64(0)
	for p, node := range providers {
		g.Go(func() error {
			for i := p; i < len(dirs); i += len(providers) {
				card, n, err := publishAgent(gctx, node, dirs[i])
				if err != nil {
					return fmt.Errorf("publish %s: %w", filepath.Base(dirs[i]), err)
				}
				cards[i] = card
				mu.Lock()
				offers += n
				mu.Unlock()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return cards, awaitIndex(ctx, net.Node("index"), offers)
}

// awaitPrepared waits until the executors have compiled every module: the tour
// shows what the network takes, not the compiler. An executor that can not tell
// in time is not waited for: its first task waits instead.
func awaitPrepared(ctx context.Context, net *localnet.Net) error {
	const patience, every = 30 * time.Second, 50 * time.Millisecond
	providers := []*localnet.Node{net.Node("provider-1"), net.Node("provider-2"), net.Node("provider-3")}
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		waiting := 0
		for _, node := range providers {
			list, err := node.Client.Card.List(ctx, connect.NewRequest(&nodev1.CardListRequest{}))
			if err != nil && ctx.Err() == nil {
				return fmt.Errorf("cards of %s: %w", node.Name, err)
			}
			if err != nil {
				return outer.Err()
			}
			for _, c := range list.Msg.GetCards() {
				if !c.GetPrepared() {
					waiting++
				}
			}
		}
		if waiting == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return outer.Err()
		}
	}
}

func publishAgent(ctx context.Context, node *localnet.Node, dir string) (*agentCard, int64, error) {
	req := &nodev1.PublishRequest{Agent: filepath.Base(dir)}
	if err := readAgent(dir, req); err != nil {
		return nil, 0, err
	}
	spec, err := core.ParseCardSpec(req.GetCardSpec(), "card.yaml")
	if err != nil {
		return nil, 0, err
	}
	start := time.Now()
	resp, err := node.Client.Card.Publish(ctx, connect.NewRequest(req))
	if err != nil {
		return nil, 0, err
	}
	return &agentCard{name: req.GetAgent(), node: node, did: resp.Msg.GetDid(), took: time.Since(start)}, int64(len(spec.Offers)), nil
}

// awaitIndex waits until an index node holds as many rows.
func awaitIndex(ctx context.Context, index *localnet.Node, rows int64) error {
	const patience, every = 20 * time.Second, 25 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	held := int64(0)
	for {
		s, err := index.Client.Index.Stats(ctx, connect.NewRequest(&nodev1.IndexStatsRequest{}))
		if err == nil {
			held = s.Msg.GetItems()
		}
		if held >= rows {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("the index holds %d of %d offers after %s: %w", held, rows, patience, core.ErrUnavailable), err)
		}
	}
}

// pids lists every process of a network: nodes and plugins.
func pids(ctx context.Context, net *localnet.Net) (map[int]string, error) {
	all := map[int]string{}
	for _, n := range net.Nodes {
		all[n.PID] = n.Name
		list, err := pluginList(ctx, n.Client)
		if err != nil {
			return nil, err
		}
		for _, p := range list.GetPlugins() {
			if p.GetPid() > 0 && p.GetPid() != int64(n.PID) {
				all[int(p.GetPid())] = n.Name + " " + p.GetKind()
			}
		}
	}
	return all, nil
}
