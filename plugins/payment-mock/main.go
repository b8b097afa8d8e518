// Command payment-mock is the payment plugin for tests and demonstrations: real
// channels, signatures and durability over money that is not real. The work is in
// internal/ledger; this file is its settings.
package main

import (
	"context"
	"path/filepath"
	"time"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk"
	"github.com/zerostate/zerostate/plugins/payment-mock/internal/ledger"
)

// config is what an operator may set.
type config struct {
	Currency         string        `zs:"currency" default:"TEST" doc:"the currency of the mock's money"`
	BalanceMicros    int64         `zs:"balance_micros" default:"1000000000" range:"0..9007199254740991" unit:"micros" doc:"what the node starts with"`
	MinDepositMicros int64         `zs:"min_deposit_micros" default:"1" range:"1..9007199254740991" unit:"micros" doc:"no channel opens with less"`
	ChallengeWindow  time.Duration `zs:"challenge_window" default:"10m" range:"1s..720h" doc:"how long the other side may answer a dispute, for channels opened from now on"`
}

func main() { sdk.Payment.Serve(plugin()) }

func plugin() sdk.Plugin[core.Payment] {
	return sdk.Plugin[core.Payment]{
		Name: "mock", Version: "1.0.0",
		Capabilities: []string{"dispute", "durable"},
		State:        sdk.StateExclusive,
		Config:       &config{},
		New: func(_ context.Context, env sdk.Env) (core.Payment, error) {
			c := env.Config.(*config) //nolint:errcheck,forcetypeassert // the type of Config above
			l, err := ledger.Open(ledger.Config{
				Dir: filepath.Join(env.StateDir, "ledger"), Network: env.Network, Node: env.Node, Now: env.Now,
				Currency: c.Currency, BalanceMicros: c.BalanceMicros,
				MinDepositMicros: c.MinDepositMicros, ChallengeWindow: c.ChallengeWindow,
			})
			if err != nil {
				return nil, err
			}
			return payment{l}, nil
		},
	}
}

// payment gives the store back when the plugin is drained. It can not be an
// io.Closer: Close is the end of a channel.
type payment struct{ *ledger.Ledger }

// Drain implements sdk.Drainer: no call follows.
func (p payment) Drain(context.Context) error { return p.Shutdown() }
