package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/zerostate/zerostate/cmd/zerostate/internal/term"
	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host"
	"github.com/zerostate/zerostate/plugin/sdk"
	"github.com/zerostate/zerostate/plugin/sdk/sdktest"
)

type inspectOutput struct {
	Kind         string          `json:"kind"`
	Name         string          `json:"name"`
	Version      string          `json:"version"`
	APIVersions  []string        `json:"api_versions"`
	Capabilities []string        `json:"capabilities"`
	State        string          `json:"state"`
	Path         string          `json:"path"`
	Settings     []pluginSetting `json:"settings"`
}

type pluginSetting struct {
	Name       string   `json:"name"`
	Type       string   `json:"type"`
	Default    any      `json:"default"`
	Min        any      `json:"min"`
	Max        any      `json:"max"`
	Enum       []string `json:"enum"`
	Unit       string   `json:"unit"`
	Doc        string   `json:"doc"`
	Sensitive  bool     `json:"sensitive"`
	Reloadable bool     `json:"reloadable"`
	Required   bool     `json:"required"`
}

// pluginBinary finds the binary that an argument names: a path, or
// <kind>-<name> beside the zerostate binary or in plugin_dir.
func (a *app) pluginBinary(arg string) (string, error) {
	if strings.ContainsRune(arg, filepath.Separator) {
		return filepath.Abs(arg)
	}
	cfg, err := a.loadConfig(nil)
	if err != nil {
		return "", err
	}
	kind, name, _ := strings.Cut(arg, "-")
	if name == "" {
		name, _ = cfg.Used(core.Kind(kind))
	}
	return host.LocatePlugin(cfg, core.Kind(kind), name)
}

func (a *app) pluginInspectCommand() *cobra.Command {
	return &cobra.Command{
		Use: "inspect BINARY", Short: "Start a plugin, ask what it is and which settings it takes, and stop it",
		Example: "  zerostate plugin inspect index-hnsw\n  zerostate plugin inspect ./my-plugin",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			path, err := a.pluginBinary(args[0])
			if err != nil {
				return err
			}
			info, err := describePlugin(c.Context(), path)
			if err != nil {
				return err
			}
			return a.showInfo(path, info)
		},
	}
}

func describePlugin(ctx context.Context, path string) (sdk.Info, error) {
	c, err := sdk.Any.Open(ctx, sdk.Launch{Cmd: exec.Command(path)}, nil) //nolint:gosec,noctx // the operator names the binary; the client ends it
	if err != nil {
		return sdk.Info{}, fmt.Errorf("start %s: %w", path, err)
	}
	return c.Info(), c.Close()
}

func (a *app) showInfo(path string, info sdk.Info) error {
	out := inspectOutput{
		Kind: string(info.Kind), Name: info.Name, Version: info.Version, State: string(info.State), Path: path,
		APIVersions: append([]string{}, info.APIVersions...), Capabilities: append([]string{}, info.Capabilities...), Settings: []pluginSetting{},
	}
	var t term.Table
	t.Row("plugin", fmt.Sprintf("%s %s, version %s", info.Kind, info.Name, info.Version))
	t.Row("speaks", strings.Join(info.APIVersions, ", "))
	t.Row("can", strings.Join(info.Capabilities, ", "))
	t.Row("state", info.State)
	for _, s := range info.Schema {
		out.Settings = append(out.Settings, pluginSetting{
			Name: s.Name, Type: string(s.Type), Default: s.Default, Min: s.Min, Max: s.Max, Enum: append([]string{}, s.Enum...),
			Unit: s.Unit, Doc: s.Doc, Sensitive: s.Sensitive, Reloadable: s.Reloadable, Required: s.Required,
		})
		def := ""
		if s.Default != nil {
			def = fmt.Sprintf(" (default %v)", s.Default)
		}
		t.Row("setting", fmt.Sprintf("%s %s%s: %s", s.Name, s.Type, def, s.Doc))
	}
	return a.print(out, t.Write)
}

type testOutput struct {
	OK      bool        `json:"ok"`
	Kind    string      `json:"kind"`
	Name    string      `json:"name"`
	Version string      `json:"version"`
	Checks  []testCheck `json:"checks"`
}

type testCheck struct {
	Name    string   `json:"name"`
	Result  string   `json:"result"` // pass, fail, skip
	Ms      float64  `json:"ms"`
	Details []string `json:"details"`
}

func (a *app) pluginTestCommand() *cobra.Command {
	var durable bool
	c := &cobra.Command{
		Use: "test BINARY", Short: "Run the conformance suite of its kind against a plugin",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			path, err := a.pluginBinary(args[0])
			if err != nil {
				return err
			}
			return a.testPlugin(c.Context(), path, durable)
		},
	}
	c.Flags().BoolVar(&durable, "durable", false, "also check that what was acknowledged outlives the process")
	return c
}

func (a *app) testPlugin(ctx context.Context, path string, durable bool) (err error) {
	info, err := describePlugin(ctx, path)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "zs-test-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	out := testOutput{OK: true, Kind: string(info.Kind), Name: info.Name, Version: info.Version, Checks: []testCheck{}}
	style := a.style()
	report := func(r sdktest.Result) {
		check := testCheck{Name: r.Name, Result: "pass", Ms: float64(r.Elapsed.Microseconds()) / 1000, Details: append([]string{}, r.Output...)}
		mark := style.Good("pass")
		switch {
		case r.Skipped:
			check.Result, mark = "skip", style.Dim("skip")
		case !r.Passed:
			check.Result, mark, out.OK = "fail", style.Bad("fail"), false
		}
		out.Checks = append(out.Checks, check)
		if a.json {
			return
		}
		_, _ = fmt.Fprintf(a.stdout, "%s  %s\n", mark, term.Escape(r.Name)) // the exit code tells too
		if check.Result == "fail" {
			a.note("      %s", strings.Join(r.Output, "\n      "))
		}
	}
	cmd := func() *exec.Cmd { return exec.Command(path) } //nolint:gosec,noctx // the operator names the binary; the client ends it
	if err := runSuite(ctx, info.Kind, dir, cmd, sdktest.Options{Durable: durable}, report); err != nil {
		return err
	}
	if err := a.print(out, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s %s %s: %d checks\n", out.Kind, term.Escape(out.Name), term.Escape(out.Version), len(out.Checks))
		return err
	}); err != nil {
		return err
	}
	if !out.OK {
		return &statusError{exitOther}
	}
	return nil
}

// runSuite runs the suite of a kind against a binary.
func runSuite(ctx context.Context, kind core.Kind, dir string, cmd func() *exec.Cmd, o sdktest.Options, report func(sdktest.Result)) error {
	log := hclog.NewNullLogger()
	switch kind {
	case core.KindIndex:
		sdktest.Index().Run(ctx, dir, sdktest.Command(sdk.Index, cmd, log, o), report)
	case core.KindEmbedder:
		sdktest.Embedder().Run(ctx, dir, sdktest.Command(sdk.Embedder, cmd, log, o), report)
	case core.KindRouter:
		sdktest.Router().Run(ctx, dir, sdktest.Command(sdk.Router, cmd, log, o), report)
	case core.KindExecutor:
		sdktest.Executor().Run(ctx, dir, sdktest.Command(sdk.Executor, cmd, log, o), report)
	case core.KindPayment:
		sdktest.Payment().Run(ctx, dir, sdktest.Command(sdk.Payment, cmd, log, o), report)
	case core.KindReputation:
		sdktest.Reputation().Run(ctx, dir, sdktest.Command(sdk.Reputation, cmd, log, o), report)
	default:
		return fmt.Errorf("no suite for the kind %q: %w", kind, core.ErrUnsupported)
	}
	return ctx.Err()
}
