package wasmrun

import (
	"context"
	"fmt"
	"io"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/zerostate/zerostate/core"
)

// The WASI error numbers that randomGet answers.
const (
	errnoSuccess = 0
	errnoFault   = 21
	errnoInvalid = 28
	errnoIO      = 29
)

// instantiateWASI puts the functions of WASI preview 1 into the runtime, with
// our own random_get, and returns their names.
func instantiateWASI(ctx context.Context, rt wazero.Runtime) (map[string]bool, error) {
	b := rt.NewHostModuleBuilder(core.ABIWASIPreview1)
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(b)
	b.NewFunctionBuilder().WithFunc(randomGet).WithParameterNames("buf", "buf_len").Export("random_get")
	compiled, err := b.Compile(ctx)
	if err != nil {
		return nil, fmt.Errorf("compile wasi: %w", err)
	}
	names := make(map[string]bool)
	for name := range compiled.ExportedFunctions() {
		names[name] = true
	}
	if _, err := rt.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName(core.ABIWASIPreview1)); err != nil {
		return nil, fmt.Errorf("instantiate wasi: %w", err)
	}
	return names, nil
}

// randomKey is where a run's context carries its random source.
type randomKey struct{}

// randomGet is random_get with a bound on its length.
func randomGet(ctx context.Context, mod api.Module, buf, length uint32) uint32 {
	source, ok := ctx.Value(randomKey{}).(io.Reader)
	if !ok || mod.Memory() == nil {
		return errnoIO
	}
	if length > maxRandomBytes {
		return errnoInvalid
	}
	b, ok := mod.Memory().Read(buf, length)
	if !ok {
		return errnoFault
	}
	if _, err := io.ReadFull(source, b); err != nil {
		return errnoIO
	}
	return errnoSuccess
}
