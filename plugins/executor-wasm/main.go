// Command executor-wasm is the executor plugin: it runs WASI preview 1 modules
// under wazero. The work is in internal/wasmrun; this file is its settings.
package main

import (
	"context"
	"path/filepath"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk"
	"github.com/zerostate/zerostate/plugins/executor-wasm/internal/wasmrun"
)

// config is what an operator may set.
type config struct {
	Engine           string `zs:"engine" default:"compiler" enum:"compiler|interpreter" doc:"how modules run; the interpreter is slower, and works on every machine"`
	MaxGuests        int    `zs:"max_guests" default:"0" range:"0..4096" doc:"guests that run at once; 0: one for each processor"`
	MaxQueue         int    `zs:"max_queue" default:"1024" range:"1..100000" doc:"runs that wait beyond them, first come first served"`
	MaxModuleBytes   int64  `zs:"max_module_bytes" default:"64MiB" range:"8..1073741824" unit:"bytes" doc:"largest module that is accepted"`
	MaxFunctionBytes int64  `zs:"max_function_bytes" default:"1MiB" range:"1..1073741824" unit:"bytes" doc:"largest function body that is compiled; one of 364 KB can take 18 s"`
	MaxFunctions     int    `zs:"max_functions" default:"200000" range:"1..10000000" doc:"most functions of a module"`
	ResidentModules  int    `zs:"resident_modules" default:"64" range:"1..10000" doc:"compiled modules that stay in memory"`
}

func main() { sdk.Executor.Serve(plugin()) }

func plugin() sdk.Plugin[core.Executor] {
	return sdk.Plugin[core.Executor]{
		Name: "wasm", Version: "1.0.0",
		Capabilities: []string{core.ABIWASIPreview1, "verify"},
		State:        sdk.StateExclusive,
		Config:       &config{},
		New: func(ctx context.Context, env sdk.Env) (core.Executor, error) {
			c := env.Config.(*config) //nolint:errcheck,forcetypeassert // the type of Config above
			return wasmrun.New(ctx, wasmrun.Config{
				Engine: c.Engine, MaxGuests: c.MaxGuests, MaxQueue: c.MaxQueue,
				MaxModuleBytes: c.MaxModuleBytes, MaxFunctionBytes: c.MaxFunctionBytes, MaxFunctions: c.MaxFunctions,
				ResidentModules: c.ResidentModules,
				CacheDir:        env.CacheDir, RunDir: filepath.Join(env.StateDir, "runs"),
			})
		},
	}
}
