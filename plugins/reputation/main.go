// Command reputation is the reputation plugin: an append-only log of signed
// events, scored by a lower bound on the chance of success. The work is in
// internal/replog; this file is its settings.
package main

import (
	"context"
	"path/filepath"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk"
	"github.com/zerostate/zerostate/plugins/reputation/internal/replog"
)

// config is what an operator may set.
type config struct {
	PriorGood float64 `zs:"prior_good" default:"4" range:"0.1..1000" unit:"events" doc:"good events that every agent starts with"`
	PriorBad  float64 `zs:"prior_bad" default:"1" range:"0.1..1000" unit:"events" doc:"bad events that every agent starts with"`
	Quantile  float64 `zs:"quantile" default:"0.25" range:"0.01..0.99" doc:"how careful the score is: the chance that an agent is worse than its score"`
	Fading    float64 `zs:"fading" default:"0.98" range:"0.5..1" doc:"weight that an event keeps for each later one of the same agent"`
}

func main() { sdk.Reputation.Serve(plugin()) }

func plugin() sdk.Plugin[core.Reputation] {
	return sdk.Plugin[core.Reputation]{
		Name: "ledger", Version: "1.0.0",
		Capabilities: []string{"durable", "prove"},
		State:        sdk.StateExclusive,
		Config:       &config{},
		New: func(_ context.Context, env sdk.Env) (core.Reputation, error) {
			c := env.Config.(*config) //nolint:errcheck,forcetypeassert // the type of Config above
			return replog.Open(replog.Config{
				Dir: filepath.Join(env.StateDir, "log"), Network: env.Network, Now: env.Now,
				Scoring: replog.Scoring{PriorGood: c.PriorGood, PriorBad: c.PriorBad, Quantile: c.Quantile, Fading: c.Fading},
			})
		},
	}
}
