package sdk_test

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk"
	"github.com/zerostate/zerostate/plugin/sdk/sdktest"
	"github.com/zerostate/zerostate/plugin/sdk/sdktest/fake"
)

// Every fake behind the codec passes the suite of its kind.
func TestConformance(t *testing.T) {
	o := sdktest.Options{Durable: true}
	t.Run("index", func(t *testing.T) {
		sdktest.Index().Test(t, sdktest.Builtin(sdk.Index, fake.IndexPlugin(), o))
	})
	t.Run("embedder", func(t *testing.T) {
		sdktest.Embedder().Test(t, sdktest.Builtin(sdk.Embedder, fake.EmbedderPlugin(), o))
	})
	t.Run("router", func(t *testing.T) {
		sdktest.Router().Test(t, sdktest.Builtin(sdk.Router, fake.RouterPlugin(), o))
	})
	t.Run("executor", func(t *testing.T) {
		sdktest.Executor().Test(t, sdktest.Builtin(sdk.Executor, fake.ExecutorPlugin(sdktest.FakePrograms()), o))
	})
	t.Run("payment", func(t *testing.T) {
		sdktest.Payment().Test(t, sdktest.Builtin(sdk.Payment, fake.PaymentPlugin(), o))
	})
	t.Run("reputation", func(t *testing.T) {
		sdktest.Reputation().Test(t, sdktest.Builtin(sdk.Reputation, fake.ReputationPlugin(), o))
	})
}

func empty[V any]() iter.Seq2[V, error] { return func(func(V, error) bool) {} }

func bare[T any](t *testing.T, k sdk.Kind[T], p sdk.Plugin[T]) *sdk.Client[T] {
	t.Helper()
	c, err := k.Builtin(t.Context(), p, hclog.NewNullLogger(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	if k.Kind() != c.Info().Kind {
		t.Errorf("kind: got %s, want %s", c.Info().Kind, k.Kind())
	}
	return c
}

// Each call of each kind before Configure is ErrConflict.
func TestCallsBeforeConfigure(t *testing.T) {
	ctx := t.Context()
	index := bare(t, sdk.Index, fake.IndexPlugin()).Impl()
	router := bare(t, sdk.Router, fake.RouterPlugin()).Impl()
	executor := bare(t, sdk.Executor, fake.ExecutorPlugin(nil)).Impl()
	payment := bare(t, sdk.Payment, fake.PaymentPlugin()).Impl()
	reputation := bare(t, sdk.Reputation, fake.ReputationPlugin()).Impl()
	nothing := func(core.RunEvent) error { return nil }
	for name, call := range map[string]func() (any, error){
		"Upsert":       func() (any, error) { return index.Upsert(ctx, empty[core.IndexItem]()) },
		"Query":        func() (any, error) { return index.Query(ctx, core.IndexQuery{}) },
		"QueryBatch":   func() (any, error) { return index.QueryBatch(ctx, nil) },
		"Delete":       func() (any, error) { return index.Delete(ctx, nil) },
		"Stats":        func() (any, error) { return index.Stats(ctx) },
		"Compact":      func() (any, error) { return nil, index.Compact(ctx) },
		"Decide":       func() (any, error) { return router.Decide(ctx, nil) },
		"Observe":      func() (any, error) { return router.Observe(ctx, empty[core.RouteOutcome]()) },
		"ExportPolicy": func() (any, error) { return router.ExportPolicy(ctx) },
		"ImportPolicy": func() (any, error) { return nil, router.ImportPolicy(ctx, nil) },
		"Prepare":      func() (any, error) { return executor.Prepare(ctx, core.PrepareRequest{}) },
		"Run":          func() (any, error) { return executor.Run(ctx, core.RunRequest{}, nothing) },
		"Cancel":       func() (any, error) { return nil, executor.Cancel(ctx, "x") },
		"Verify":       func() (any, error) { return executor.Verify(ctx, core.VerifyRequest{}) },
		"Quote":        func() (any, error) { return payment.Quote(ctx, core.QuoteRequest{}) },
		"Open":         func() (any, error) { return payment.Open(ctx, core.OpenRequest{}) },
		"Update":       func() (any, error) { return payment.Update(ctx, core.UpdateRequest{}) },
		"Close":        func() (any, error) { return payment.Close(ctx, core.CloseRequest{}) },
		"Dispute":      func() (any, error) { return payment.Dispute(ctx, core.DisputeRequest{}) },
		"Status":       func() (any, error) { return payment.Status(ctx, core.StatusRequest{}) },
		"Append":       func() (any, error) { return reputation.Append(ctx, nil) },
		"Score":        func() (any, error) { return reputation.Score(ctx, core.ScoreRequest{}) },
		"Checkpoint":   func() (any, error) { return reputation.Checkpoint(ctx, core.CheckpointRequest{}) },
		"Prove":        func() (any, error) { return reputation.Prove(ctx, core.ProveRequest{}) },
		"History": func() (any, error) {
			for _, err := range reputation.History(ctx, "") {
				return nil, err
			}
			return nil, nil
		},
	} {
		if _, err := call(); !errors.Is(err, core.ErrConflict) {
			t.Errorf("%s: got %v, want ErrConflict", name, err)
		}
	}
}

// refusing fails in every call, after what was uploaded.
type refusing struct{ core.Executor }

func (refusing) Run(ctx context.Context, req core.RunRequest, emit func(core.RunEvent) error) (core.RunResult, error) {
	for stream := core.RunStdout; stream <= core.RunOutput; stream++ {
		if err := emit(core.RunEvent{Stream: stream, Name: "n", Data: bytes.Repeat([]byte{1}, 100_000), Last: true}); err != nil {
			return core.RunResult{}, err
		}
	}
	if req.RunID == "unread" {
		return core.RunResult{Outcome: core.OutcomeOK}, nil
	}
	<-ctx.Done()
	return core.RunResult{}, ctx.Err()
}

// blocking is an input that gives nothing until it is closed.
type blocking struct{ closed chan struct{} }

func (b blocking) Read([]byte) (int, error) {
	<-b.closed
	return 0, errors.New("closed")
}

func (b blocking) Close() error {
	close(b.closed)
	return nil
}

// A run that ends before it has read its inputs does not wait for them, and
// long events arrive in pieces with one end.
func TestRunUnreadInput(t *testing.T) {
	c := bare(t, sdk.Executor, sdk.Plugin[core.Executor]{
		Name: "refusing", New: func(context.Context, sdk.Env) (core.Executor, error) { return refusing{}, nil },
	})
	configure(t, c, nil)
	sizes, ends := map[core.RunStream]int{}, map[core.RunStream]int{}
	result, err := c.Impl().Run(t.Context(), core.RunRequest{
		RunID: "unread", Inputs: []core.RunInput{{Name: "none"}, {Name: "slow", Content: blocking{make(chan struct{})}}},
	}, func(e core.RunEvent) error {
		sizes[e.Stream] += len(e.Data)
		if e.Last {
			ends[e.Stream]++
		}
		return nil
	})
	if err != nil || result.Outcome != core.OutcomeOK {
		t.Fatalf("got %+v, %v", result, err)
	}
	for stream := core.RunStdout; stream <= core.RunOutput; stream++ {
		if sizes[stream] != 100_000 || ends[stream] != 1 {
			t.Errorf("stream %d: got %d bytes, %d ends, want 100000 and one", stream, sizes[stream], ends[stream])
		}
	}
}
