// Package fake has an in-memory reference of every kind of plugin: small,
// deterministic, and held to the same conformance suite as the real ones. Use
// it in tests, in simulation and in CI; `builtin:fake` in a configuration runs
// it inside the node. Start at plugins.go; each kind has a file of its own.
package fake

import (
	"context"
	"sync"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk"
)

// Name and Version are what every fake says of itself.
const (
	Name    = "fake"
	Version = "1.0.0"
)

// IndexPlugin returns the fake index as a plugin. State lives in memory, in the
// plugin value, one per state directory: it survives a restart of a builtin.
func IndexPlugin() sdk.Plugin[core.Index] {
	return plugin(sdk.StateExclusive, func(sdk.Env) core.Index { return NewIndex() })
}

// EmbedderPlugin returns the fake embedder as a plugin.
func EmbedderPlugin() sdk.Plugin[core.Embedder] {
	return plugin(sdk.StateNone, func(sdk.Env) core.Embedder { return Embedder{} })
}

// RouterPlugin returns the fake router as a plugin.
func RouterPlugin() sdk.Plugin[core.Router] {
	return plugin(sdk.StateExclusive, func(sdk.Env) core.Router { return NewRouter() })
}

// ExecutorPlugin returns the fake executor as a plugin, with programs by the
// sha256 of their module.
func ExecutorPlugin(programs map[string]Program) sdk.Plugin[core.Executor] {
	return plugin(sdk.StateNone, func(env sdk.Env) core.Executor { return NewExecutor(programs, env.Now) })
}

// PaymentPlugin returns the fake payment as a plugin; see IndexPlugin for its
// state.
func PaymentPlugin() sdk.Plugin[core.Payment] {
	return plugin(sdk.StateExclusive, func(env sdk.Env) core.Payment { return NewPayment(env.Node, env.Network, env.Now) })
}

// ReputationPlugin returns the fake reputation as a plugin; see IndexPlugin for
// its state.
func ReputationPlugin() sdk.Plugin[core.Reputation] {
	return plugin(sdk.StateExclusive, func(env sdk.Env) core.Reputation { return NewReputation(env.Network, env.Now) })
}

// plugin keeps one implementation per node and state directory, so that its
// state outlives the process that it pretends to be.
func plugin[T any](mode sdk.StateMode, open func(sdk.Env) T) sdk.Plugin[T] {
	type place struct {
		node core.DID
		dir  string
	}
	var mu sync.Mutex
	opened := map[place]T{}
	return sdk.Plugin[T]{
		Name: Name, Version: Version, State: mode, Capabilities: []string{"in-memory"},
		New: func(_ context.Context, env sdk.Env) (T, error) {
			mu.Lock()
			defer mu.Unlock()
			at := place{env.Node, env.StateDir}
			if impl, ok := opened[at]; ok && mode != sdk.StateNone && env.StateDir != "" {
				return impl, nil
			}
			impl := open(env)
			opened[at] = impl
			return impl, nil
		},
	}
}
