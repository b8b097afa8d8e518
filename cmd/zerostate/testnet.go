package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/zerostate/zerostate/cmd/zerostate/internal/client"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/localnet"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/term"
	"github.com/zerostate/zerostate/core"
)

// testnetFile holds what is needed to look after a network that runs detached.
const testnetFile = "testnet.json"

type testnetOutput struct {
	Dir     string           `json:"dir"`
	Network string           `json:"network"`
	Nodes   []*localnet.Node `json:"nodes"`
	Alive   int              `json:"alive"`
}

func (a *app) testnetCommand() *cobra.Command {
	var dir string
	var set, agents []string
	up := &cobra.Command{
		Use: "up", Short: "Start a local network of six nodes that keeps running", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.testnetUp(c.Context(), dir, set, agents) },
	}
	up.Flags().StringArrayVar(&agents, "agent", nil, "publish only this example agent; may be repeated")
	up.Flags().StringArrayVar(&set, "set", nil, "one setting of every node, path=value; may be repeated")
	down := &cobra.Command{
		Use: "down", Short: "End the local network and remove its directory", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.testnetDown(c.Context(), dir) },
	}
	status := &cobra.Command{
		Use: "status", Short: "Show the nodes of the local network", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			net, err := readTestnet(dir)
			if err != nil {
				return err
			}
			return a.showTestnet(net)
		},
	}
	g := group("testnet", "A local network of separate node processes that keeps running", up, down, status)
	g.PersistentFlags().StringVar(&dir, "dir", filepath.Join("/tmp", fmt.Sprintf("zs-testnet-%d", os.Getuid())), "private directory of the network")
	return g
}

func (a *app) testnetUp(ctx context.Context, dir string, set, only []string) error {
	if _, err := settings(set); err != nil {
		return err
	}
	if _, err := readTestnet(dir); err == nil {
		return fmt.Errorf("a network is in %s; end it with: zerostate testnet down --dir %s: %w", dir, dir, core.ErrExists)
	}
	opts, err := a.localOptions(dir, set)
	if err != nil {
		return err
	}
	opts.Detach = true
	agents, err := someAgents(opts.Exe, only)
	if err != nil {
		return err
	}
	net, err := localnet.Start(ctx, opts, func(*localnet.Node) {})
	if err != nil {
		return err
	}
	if _, err := publishAgents(ctx, net, agents); err != nil {
		return errors.Join(err, net.Stop(context.WithoutCancel(ctx)))
	}
	out := &testnetOutput{Dir: dir, Network: opts.Network, Nodes: net.Nodes}
	data, err := json.MarshalIndent(out, "", "  ")
	if err == nil {
		err = writeNew(filepath.Join(dir, testnetFile), append(data, '\n'), 0o600)
	}
	if err != nil {
		return errors.Join(err, net.Stop(context.WithoutCancel(ctx)))
	}
	return a.showTestnet(out)
}

// someAgents are the example agents of these names, all where there is none.
func someAgents(exe string, names []string) ([]string, error) {
	dirs, err := agentDirs(exe)
	if err != nil || len(names) == 0 {
		return dirs, err
	}
	for _, name := range names {
		if !slices.ContainsFunc(dirs, func(d string) bool { return filepath.Base(d) == name }) {
			return nil, fmt.Errorf("no example agent %q beside the binary: %w", name, core.ErrNotFound)
		}
	}
	return slices.DeleteFunc(dirs, func(d string) bool { return !slices.Contains(names, filepath.Base(d)) }), nil
}

func readTestnet(dir string) (*testnetOutput, error) {
	data, err := os.ReadFile(filepath.Join(dir, testnetFile)) //nolint:gosec // the operator names the directory
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no network in %s; start one with: zerostate testnet up: %w", dir, core.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	out := &testnetOutput{}
	if err := json.Unmarshal(data, out); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", filepath.Join(dir, testnetFile), err, core.ErrInvalid)
	}
	return out, nil
}

func (a *app) showTestnet(o *testnetOutput) error {
	var t term.Table
	o.Alive = 0
	for _, n := range o.Nodes {
		state := "gone"
		if localnet.Alive(n.PID) {
			o.Alive++
			state = "up"
		}
		t.Row(n.Name, state, n.PID, fmt.Sprint(n.Roles), "--home "+n.Home)
	}
	return a.print(o, func(w io.Writer) error {
		a.note("network %s in %s", o.Network, o.Dir)
		return t.Write(w)
	})
}

// testnetDown ends every node: asked first whether the process of that id is
// still this node, then by SIGTERM, then by SIGKILL.
func (a *app) testnetDown(ctx context.Context, dir string) error {
	out, err := readTestnet(dir)
	if err != nil {
		return err
	}
	all := map[int]string{}
	for _, n := range out.Nodes {
		c, err := client.Dial(n.Home, "")
		if err != nil {
			continue // its home is gone, and so is the node
		}
		plugins, err := pluginList(ctx, c)
		c.Close()
		if err != nil {
			continue // no node answers there
		}
		all[n.PID] = n.Name
		for _, p := range plugins.GetPlugins() {
			if p.GetPid() > 0 {
				all[int(p.GetPid())] = n.Name + " " + p.GetKind()
			}
		}
		if err := syscall.Kill(n.PID, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop %s: %w", n.Name, err)
		}
	}
	if err := awaitGone(ctx, all); err != nil {
		for pid := range all {
			_ = syscall.Kill(pid, syscall.SIGKILL) // those that are gone answer an error
		}
		if err := awaitGone(ctx, all); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	out.Alive = 0
	return a.print(out, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "ended %d nodes (%s)\n", len(out.Nodes), time.Now().Format(time.TimeOnly))
		return err
	})
}
