// Command router-qlearn is the default router plugin: tabular Q-learning over
// paths. The algorithm is package qlearn beside it; table.go keeps what was
// learned.
package main

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk"
	"github.com/zerostate/zerostate/plugins/router-qlearn/qlearn"
)

func main() { sdk.Router.Serve(plugin()) }

// config is the plugin's block in the configuration.
type config struct {
	Rate         float64       `zs:"rate" default:"0.2" range:"0.001..1" doc:"least learning rate: how fast new outcomes replace old ones"`
	Epsilon      float64       `zs:"epsilon" default:"0.2" range:"0..1" doc:"chance of exploring at full trouble; there is none on a calm network"`
	EpsilonMin   float64       `zs:"epsilon_min" default:"0.02" range:"0..1" doc:"what that chance falls to"`
	EpsilonDecay float64       `zs:"epsilon_decay" default:"0.99" range:"0.001..1" doc:"factor by which it falls with each decision"`
	HalfLife     time.Duration `zs:"half_life" default:"10m" range:"1s.." doc:"after which an outcome counts half"`
	Margin       float64       `zs:"margin" default:"0.1" range:"0..1" doc:"share by which another path must be better to leave the last one"`
	PriceWeight  float64       `zs:"price_weight" default:"1" range:"0..1000000" doc:"milliseconds that a thousandth of a currency unit is worth"`
	FailureCost  time.Duration `zs:"failure_cost" default:"2s" range:"1ms.." doc:"what a failed attempt costs"`
	Seed         int           `zs:"seed" default:"0" range:"0.." doc:"seed of exploration; 0 takes a fresh one at each start"`
	SaveEvery    time.Duration `zs:"save_every" default:"1s" range:"10ms.." doc:"longest time that outcomes wait to be saved"`
}

func plugin() sdk.Plugin[core.Router] {
	return sdk.Plugin[core.Router]{
		Name:         "qlearn",
		Version:      "1.0.0",
		Capabilities: []string{"learning", "explained", "durable"},
		State:        sdk.StateExclusive,
		Config:       &config{},
		New: func(_ context.Context, env sdk.Env) (core.Router, error) {
			c, ok := env.Config.(*config)
			if !ok {
				return nil, fmt.Errorf("config of type %T: %w", env.Config, core.ErrInvalid)
			}
			if c.EpsilonMin > c.Epsilon {
				return nil, core.FieldErrors{{Path: "epsilon_min", Problem: "above epsilon"}}
			}
			learner, err := newLearner(c, env.Now)
			if err != nil {
				return nil, err
			}
			return openRouter(learner, env.StateDir, c.SaveEvery, env.Log)
		},
	}
}

func newLearner(c *config, now func() time.Time) (*qlearn.Learner, error) {
	cfg := qlearn.DefaultConfig()
	cfg.Rate, cfg.Epsilon, cfg.EpsilonMin, cfg.EpsilonDecay = c.Rate, c.Epsilon, c.EpsilonMin, c.EpsilonDecay
	cfg.HalfLife, cfg.Margin, cfg.PriceWeight, cfg.FailureCost = c.HalfLife, c.Margin, c.PriceWeight, c.FailureCost
	seed := uint64(c.Seed) //nolint:gosec // the range starts at 0
	if seed == 0 {
		var b [8]byte
		if _, err := crand.Read(b[:]); err != nil {
			return nil, fmt.Errorf("draw a seed: %w", err)
		}
		seed = binary.LittleEndian.Uint64(b[:])
	}
	learner, err := qlearn.New(cfg, rand.New(rand.NewPCG(seed, 0)), now) //nolint:gosec // exploring needs no secret
	if err != nil {
		return nil, fmt.Errorf("settings: %w: %w", err, core.ErrInvalid)
	}
	return learner, nil
}
