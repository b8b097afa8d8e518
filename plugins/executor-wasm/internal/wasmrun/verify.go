package wasmrun

import (
	"context"
	"fmt"

	"github.com/zerostate/zerostate/core"
)

// Verify implements core.Executor: it runs the task again, keeps nothing of what
// it writes, and compares what must be the same.
func (e *Executor) Verify(ctx context.Context, req core.VerifyRequest) (core.VerifyResult, error) {
	result, err := e.Run(ctx, req.Run, func(core.RunEvent) error { return nil })
	if err != nil {
		return core.VerifyResult{}, err
	}
	diff := differences(req.Expected, result)
	return core.VerifyResult{Match: len(diff) == 0, Differences: diff, Result: result}, nil
}

// differences lists, one line each, what of a result must be the same and is not.
func differences(want, got core.RunResult) []string {
	var diff []string
	add := func(what string, want, got any) {
		if want != got {
			diff = append(diff, fmt.Sprintf("%s: expected %v, got %v", what, want, got))
		}
	}
	add("outcome", want.Outcome, got.Outcome)
	add("exit code", want.ExitCode, got.ExitCode)
	add("metering req", want.Metering.Verifiable.Req, got.Metering.Verifiable.Req)
	add("metering byte", want.Metering.Verifiable.Byte, got.Metering.Verifiable.Byte)
	add("metering peak pages", want.Metering.Verifiable.PeakPages, got.Metering.Verifiable.PeakPages)
	return append(diff, outputDifferences(want.Outputs, got.Outputs)...)
}

func outputDifferences(want, got []core.RunOutputDigest) []string {
	var diff []string
	made := make(map[string]core.RunOutputDigest, len(got))
	for _, o := range got {
		made[o.Name] = o
	}
	for _, w := range want {
		g, ok := made[w.Name]
		delete(made, w.Name)
		switch {
		case !ok:
			diff = append(diff, fmt.Sprintf("output %s: expected sha256 %s, got none", w.Name, w.SHA256))
		case g.SHA256 != w.SHA256:
			diff = append(diff, fmt.Sprintf("output %s: expected sha256 %s, got %s", w.Name, w.SHA256, g.SHA256))
		case g.SizeBytes != w.SizeBytes:
			diff = append(diff, fmt.Sprintf("output %s: expected %d bytes, got %d", w.Name, w.SizeBytes, g.SizeBytes))
		}
	}
	for _, g := range got {
		if _, extra := made[g.Name]; extra {
			diff = append(diff, fmt.Sprintf("output %s: expected none, got sha256 %s", g.Name, g.SHA256))
		}
	}
	return diff
}
