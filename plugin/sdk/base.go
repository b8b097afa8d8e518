package sdk

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/zerostate/zerostate/plugin/sdk/internal/pluginpb/pluginpb"
)

// Base is the host's side of the base service: the calls that every plugin
// answers, whatever its kind. It is safe for concurrent use.
type Base struct {
	rpc pluginpb.PluginServiceClient
}

// Describe asks what the plugin is; it answers before Configure.
func (b *Base) Describe(ctx context.Context) (Info, error) {
	resp, err := b.rpc.Describe(ctx, &pluginpb.DescribeRequest{})
	if err != nil {
		return Info{}, fmt.Errorf("describe: %w", err)
	}
	return infoFromPB(resp)
}

// Configure makes the plugin ready. The error is a core.FieldErrors where
// settings are bad; the diagnostics also hold warnings. A plugin that is
// configured already answers core.ErrConflict.
func (b *Base) Configure(ctx context.Context, c Configuration) ([]Diagnostic, error) {
	config, err := json.Marshal(c.Config)
	if err != nil {
		return nil, fmt.Errorf("configure: %w", err)
	}
	if c.Config == nil {
		config = nil
	}
	resp, err := b.rpc.Configure(ctx, &pluginpb.ConfigureRequest{
		ConfigJson: config, Secrets: c.Secrets,
		Node: &pluginpb.NodeContext{
			NodeDid: string(c.Node.Node), Network: c.Node.Network, Region: c.Node.Region, StateDir: c.Node.StateDir,
			CacheDir: c.Node.CacheDir, LogLevel: c.Node.LogLevel, OtlpEndpoint: c.Node.OTLPEndpoint,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("configure: %w", err)
	}
	diagnostics := mapSlice(resp.GetDiagnostics(), func(d *pluginpb.Diagnostic) Diagnostic {
		return Diagnostic{
			Warning: d.GetSeverity() == pluginpb.Severity_SEVERITY_WARNING, Path: d.GetPath(), Summary: d.GetSummary(),
		}
	})
	return diagnostics, diagnosticsError(diagnostics)
}

// Health yields the state of the plugin: once at the start, then on each
// change and at least once an interval (0: every 2 s), until ctx ends or the
// plugin goes away.
func (b *Base) Health(ctx context.Context, interval time.Duration) iter.Seq2[Health, error] {
	return func(yield func(Health, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		req := &pluginpb.HealthRequest{}
		if interval > 0 {
			req.Interval = durationpb.New(interval)
		}
		stream, err := b.rpc.Health(ctx, req)
		if err != nil {
			yield(Health{}, fmt.Errorf("health: %w", err))
			return
		}
		for resp, err := range received(ctx, stream.Recv) {
			if err != nil {
				yield(Health{}, fmt.Errorf("health: %w", err))
				return
			}
			if !yield(healthFromPB(resp), nil) {
				return
			}
		}
	}
}

// Drain makes the plugin refuse new calls of its kind and waits until those in
// flight have ended.
func (b *Base) Drain(ctx context.Context) error {
	if _, err := b.rpc.Drain(ctx, &pluginpb.DrainRequest{}); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	return nil
}

// Snapshot writes the state of a plugin to w; core.ErrUnsupported where its
// state mode is another.
func (b *Base) Snapshot(ctx context.Context, w io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := b.rpc.Snapshot(ctx, &pluginpb.SnapshotRequest{})
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	for resp, err := range received(ctx, stream.Recv) {
		if err != nil {
			return fmt.Errorf("snapshot: %w", err)
		}
		if _, err := w.Write(resp.GetChunk()); err != nil {
			return fmt.Errorf("snapshot: %w", err)
		}
	}
	return nil
}

// Restore replaces the state of a plugin by a snapshot.
func (b *Base) Restore(ctx context.Context, r io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := b.rpc.Restore(ctx)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	sink := chunkWriter(func(chunk []byte) error {
		return stream.Send(&pluginpb.RestoreRequest{Chunk: chunk})
	})
	if _, err := io.Copy(sink, r); ignoreEOF(err) != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if _, err := stream.CloseAndRecv(); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

// Shutdown makes the plugin close its state. It takes no calls after that; the
// host then ends the process.
func (b *Base) Shutdown(ctx context.Context) error {
	if _, err := b.rpc.Shutdown(ctx, &pluginpb.ShutdownRequest{}); err != nil {
		return fmt.Errorf("shutdown: %w", err)
	}
	return nil
}

// chunkWriter cuts what is written into chunks. Each chunk is a copy.
type chunkWriter func([]byte) error

func (w chunkWriter) Write(p []byte) (int, error) {
	for done := 0; done < len(p); {
		chunk := append([]byte(nil), p[done:min(done+chunkBytes, len(p))]...)
		if err := w(chunk); err != nil {
			return done, err
		}
		done += len(chunk)
	}
	return len(p), nil
}

// HealthState is the state of a plugin.
type HealthState string

// The states that a plugin reports of itself; the host knows more of them.
const (
	HealthStarting HealthState = "starting" // waits for Configure
	HealthReady    HealthState = "ready"
	HealthDegraded HealthState = "degraded"
	HealthDraining HealthState = "draining"
)

// Health is the state of a plugin at one moment.
type Health struct {
	State    HealthState
	Reason   string // for people
	InFlight int    // calls of the kind
	Panics   int    // since the start
}

var healthStates = map[HealthState]pluginpb.HealthResponse_State{
	HealthStarting: pluginpb.HealthResponse_STATE_STARTING,
	HealthReady:    pluginpb.HealthResponse_STATE_READY,
	HealthDegraded: pluginpb.HealthResponse_STATE_DEGRADED,
	HealthDraining: pluginpb.HealthResponse_STATE_DRAINING,
}

func healthFromPB(resp *pluginpb.HealthResponse) Health {
	h := Health{Reason: resp.GetReason(), InFlight: int(resp.GetInFlight()), Panics: int(resp.GetPanics())}
	for state, pb := range healthStates {
		if pb == resp.GetState() {
			h.State = state
		}
	}
	return h
}
