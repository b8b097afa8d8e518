package sdk

import (
	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk/internal/pluginpb/executorpb"
)

func runToPB(req core.RunRequest) *executorpb.RunStart {
	return &executorpb.RunStart{
		RunId: req.RunID, Manifest: req.Manifest, HasModule: req.Module != nil,
		Inputs: mapSlice(req.Inputs, func(in core.RunInput) *executorpb.Input {
			return &executorpb.Input{Name: in.Name, SizeBytes: in.SizeBytes}
		}),
	}
}

func engineToPB(e core.EngineInfo) *executorpb.Engine {
	return &executorpb.Engine{Name: e.Name, Version: e.Version, Pass: e.Pass}
}

func engineFromPB(e *executorpb.Engine) core.EngineInfo {
	return core.EngineInfo{Name: e.GetName(), Version: e.GetVersion(), Pass: e.GetPass()}
}

func streamToPB(s core.RunStream) executorpb.Stream {
	switch s {
	case core.RunStderr:
		return executorpb.Stream_STREAM_STDERR
	case core.RunOutput:
		return executorpb.Stream_STREAM_OUTPUT
	default:
		return executorpb.Stream_STREAM_STDOUT
	}
}

func streamFromPB(s executorpb.Stream) core.RunStream {
	switch s {
	case executorpb.Stream_STREAM_STDERR:
		return core.RunStderr
	case executorpb.Stream_STREAM_OUTPUT:
		return core.RunOutput
	default:
		return core.RunStdout
	}
}

func runResultToPB(r core.RunResult) *executorpb.Result {
	return &executorpb.Result{
		Outcome: string(r.Outcome), ExitCode: int64(r.ExitCode), Reason: cleanText(r.Reason), Engine: engineToPB(r.Engine),
		Metering: &executorpb.Metering{
			Req: r.Metering.Verifiable.Req, Byte: r.Metering.Verifiable.Byte, PeakPages: r.Metering.Verifiable.PeakPages,
			CpuMicros: r.Metering.Observed.CPUMicros, WallMicros: r.Metering.Observed.WallMicros,
		},
		Outputs: mapSlice(r.Outputs, func(o core.RunOutputDigest) *executorpb.OutputDigest {
			return &executorpb.OutputDigest{Name: o.Name, Sha256: o.SHA256, SizeBytes: o.SizeBytes}
		}),
	}
}

func runResultFromPB(r *executorpb.Result) core.RunResult {
	m := r.GetMetering()
	return core.RunResult{
		Outcome: core.Outcome(r.GetOutcome()), ExitCode: int(r.GetExitCode()), Reason: r.GetReason(), Engine: engineFromPB(r.GetEngine()),
		Metering: core.Metering{
			Verifiable: core.VerifiableMetering{Req: m.GetReq(), Byte: m.GetByte(), PeakPages: m.GetPeakPages()},
			Observed:   core.ObservedMetering{CPUMicros: m.GetCpuMicros(), WallMicros: m.GetWallMicros()},
		},
		Outputs: mapSlice(r.GetOutputs(), func(o *executorpb.OutputDigest) core.RunOutputDigest {
			return core.RunOutputDigest{Name: o.GetName(), SHA256: o.GetSha256(), SizeBytes: o.GetSizeBytes()}
		}),
	}
}
