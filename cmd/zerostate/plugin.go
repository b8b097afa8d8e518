package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/client"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/term"
	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host"
)

func (a *app) pluginCommand() *cobra.Command {
	return group("plugin", "List, inspect, test and pin plugins",
		a.pluginListCommand(), a.pluginStatusCommand(), a.pluginInspectCommand(), a.pluginTestCommand(), a.pluginPinCommand())
}

func (a *app) pluginListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the plugins of the running node", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(func(n *client.Client) error {
				list, err := pluginList(c.Context(), n)
				if err != nil {
					return err
				}
				return a.printMessage(list, func(w io.Writer) error {
					var t term.Table
					t.Row("KIND", "NAME", "VERSION", "STATE", "PID", "RESTARTS", "CONFINED", "BINARY")
					for _, p := range list.GetPlugins() {
						t.Row(p.GetKind(), p.GetName(), p.GetVersion(), p.GetState(), p.GetPid(), p.GetRestarts(), p.GetConfined(), filepath.Base(p.GetPath()))
					}
					return t.Write(w)
				})
			})
		},
	}
}

func pluginList(ctx context.Context, n *client.Client) (*nodev1.PluginListResponse, error) {
	resp, err := n.Plugin.List(ctx, connect.NewRequest(&nodev1.PluginListRequest{}))
	if err != nil {
		return nil, err
	}
	return resp.Msg, nil
}

func (a *app) pluginStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status KIND", Short: "Show everything about the plugin that serves a kind", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(func(n *client.Client) error {
				list, err := pluginList(c.Context(), n)
				if err != nil {
					return err
				}
				i := slices.IndexFunc(list.GetPlugins(), func(p *nodev1.PluginListResponse_Plugin) bool {
					return p.GetKind() == args[0] || p.GetKind()+"/"+p.GetName() == args[0] || p.GetKind()+"-"+p.GetName() == args[0]
				})
				if i < 0 {
					return fmt.Errorf("no plugin %q runs; see: zerostate plugin list: %w", args[0], core.ErrNotFound)
				}
				return a.showPlugin(list.GetPlugins()[i])
			})
		},
	}
}

func (a *app) showPlugin(p *nodev1.PluginListResponse_Plugin) error {
	return a.printMessage(p, func(w io.Writer) error {
		var t term.Table
		t.Row("plugin", fmt.Sprintf("%s %s, version %s", p.GetKind(), p.GetName(), p.GetVersion()))
		t.Row("state", fmt.Sprintf("%s, pid %d, %d restarts", p.GetState(), p.GetPid(), p.GetRestarts()))
		t.Row("confined", p.GetConfined())
		t.Row("binary", p.GetPath())
		t.Row("sha256", p.GetSha256())
		t.Row("can", strings.Join(p.GetCapabilities(), ", "))
		if p.GetLastError() != "" {
			t.Row("error", p.GetLastError())
		}
		return t.Write(w)
	})
}

type pinOutput struct {
	Lock string    `json:"lock"`
	Pins []pinLine `json:"pins"`
}

type pinLine struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
}

func (a *app) pluginPinCommand() *cobra.Command {
	var build string
	c := &cobra.Command{
		Use: "pin [KIND NAME]", Short: "Trust the binaries of plugins as they are now",
		Long: `Write the sha256 of plugins' binaries into plugins.lock beside the configuration:
those that the configuration uses, or the one of KIND and NAME. A node runs no
other bytes. --build DIR pins every plugin binary in DIR, beside them.`,
		Example: "  zerostate plugin pin\n  zerostate plugin pin index hnsw\n  zerostate plugin pin --build bin",
		Args:    cobra.MaximumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			if build != "" {
				pins, err := binariesIn(build)
				if err != nil {
					return err
				}
				return a.pin(build, pins)
			}
			cfg, err := a.loadConfig(nil)
			if err != nil {
				return err
			}
			pins, err := pinsOf(cfg, args)
			if err != nil {
				return err
			}
			dir := cfg.Dir()
			if dir == "" {
				dir = cfg.Node.Home
			}
			return a.pin(dir, pins)
		},
	}
	c.Flags().StringVar(&build, "build", "", "pin every plugin binary in this directory")
	return c
}

func (a *app) pin(dir string, pins []host.PluginPin) error {
	done, err := host.PinPlugins(dir, pins)
	if err != nil {
		return err
	}
	out := pinOutput{Lock: filepath.Join(dir, "plugins.lock"), Pins: []pinLine{}}
	var t term.Table
	for _, p := range done {
		out.Pins = append(out.Pins, pinLine{p.Kind, p.Name, p.Path, p.SHA256})
		t.Row(p.Kind, p.Name, p.Path, p.SHA256)
	}
	return a.print(out, t.Write)
}

// binariesIn finds the plugin binaries of a directory: <kind>-<name>, or <kind>
// alone for the one implementation that there is.
func binariesIn(dir string) ([]host.PluginPin, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, notFound(err)
	}
	var pins []host.PluginPin
	for _, e := range entries {
		kind, name, _ := strings.Cut(e.Name(), "-")
		if !e.Type().IsRegular() || !slices.Contains(core.Kinds(), core.Kind(kind)) {
			continue
		}
		if name == "" {
			name = defaultName(core.Kind(kind))
		}
		pins = append(pins, host.PluginPin{Kind: kind, Name: name, Path: filepath.Join(dir, e.Name())})
	}
	if len(pins) == 0 {
		return nil, fmt.Errorf("no plugin binary (<kind>-<name>) in %s: %w", dir, core.ErrNotFound)
	}
	return pins, nil
}

// defaultName is what the defaults call the plugin whose binary bears the name
// of its kind alone.
func defaultName(kind core.Kind) string {
	if kind == core.KindReputation {
		return "ledger"
	}
	return string(kind)
}

// pinsOf finds the binaries that a configuration uses, or the one that is named.
func pinsOf(cfg *host.Config, args []string) ([]host.PluginPin, error) {
	if len(args) == 1 {
		return nil, usagef("plugin pin wants KIND and NAME, e.g. index hnsw")
	}
	var pins []host.PluginPin
	add := func(kind core.Kind, name string) error {
		path, err := host.LocatePlugin(cfg, kind, name)
		if err == nil {
			pins = append(pins, host.PluginPin{Kind: string(kind), Name: name, Path: path})
		}
		return err
	}
	if len(args) == 2 {
		err := add(core.Kind(args[0]), args[1])
		return pins, err
	}
	for _, kind := range core.Kinds() {
		name, block := cfg.Used(kind)
		if name == "" || strings.HasPrefix(block.Path, "builtin:") {
			continue
		}
		if err := add(kind, name); err != nil {
			return nil, err
		}
	}
	return pins, nil
}
