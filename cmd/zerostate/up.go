package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host"
	"github.com/zerostate/zerostate/plugin/sdk"
	"github.com/zerostate/zerostate/plugin/sdk/sdktest"
	"github.com/zerostate/zerostate/plugin/sdk/sdktest/fake"
)

type upOutput struct {
	Name  string   `json:"name"`
	DID   string   `json:"did"`
	Home  string   `json:"home"`
	Roles []string `json:"roles"`
}

func (a *app) upCommand() *cobra.Command {
	var set []string
	c := &cobra.Command{
		Use: "up", Short: "Run a node until it is interrupted",
		Long: `Run a node until SIGINT or SIGTERM. Logs go to stderr; one line on stdout says
that the API answers.`,
		Example: `  zerostate up
  zerostate up --config configs/laptop.hcl
  zerostate up --home /srv/node --set use.index=exact`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.up(c.Context(), set) },
	}
	c.Flags().StringArrayVar(&set, "set", nil, "one setting over the configuration, path=value, e.g. use.index=exact")
	return c
}

// settings reads path=value pairs.
func settings(set []string) (map[string]string, error) {
	out := map[string]string{}
	for _, s := range set {
		path, value, ok := strings.Cut(s, "=")
		if !ok || path == "" {
			return nil, usagef("want path=value, e.g. use.index=exact, got %q", s)
		}
		out[path] = value
	}
	return out, nil
}

func (a *app) up(ctx context.Context, set []string) error {
	overrides, err := settings(set)
	if err != nil {
		return err
	}
	cfg, err := a.loadConfig(overrides)
	if err != nil {
		return err
	}
	log := hclog.New(&hclog.LoggerOptions{
		Name: cfg.Node.Name, Level: hclog.LevelFromString(cfg.Telemetry.LogLevel),
		Output: a.stderr, JSONFormat: cfg.Telemetry.LogFormat == "json",
	})
	n, err := host.New(ctx, cfg, host.Deps{Version: version, Log: log, Builtins: builtins()})
	if err != nil {
		return err
	}
	out := upOutput{Name: cfg.Node.Name, DID: string(n.DID()), Home: cfg.Node.Home, Roles: cfg.Node.Roles}
	err = a.print(out, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "node %s (%s) is up, home %s; ctrl-c ends it\n", cfg.Node.Name, n.DID().Short(), cfg.Node.Home)
		return err
	})
	if err == nil {
		err = n.Run(ctx)
	}
	return errors.Join(err, n.Close())
}

// builtins are the plugins that `builtin:NAME` runs in the node's own process:
// the SDK's fakes.
func builtins() host.Builtins {
	return host.Builtins{
		Index:      map[string]sdk.Plugin[core.Index]{fake.Name: fake.IndexPlugin()},
		Embedder:   map[string]sdk.Plugin[core.Embedder]{fake.Name: fake.EmbedderPlugin()},
		Router:     map[string]sdk.Plugin[core.Router]{fake.Name: fake.RouterPlugin()},
		Executor:   map[string]sdk.Plugin[core.Executor]{fake.Name: fake.ExecutorPlugin(sdktest.FakePrograms())},
		Payment:    map[string]sdk.Plugin[core.Payment]{fake.Name: fake.PaymentPlugin()},
		Reputation: map[string]sdk.Plugin[core.Reputation]{fake.Name: fake.ReputationPlugin()},
	}
}
