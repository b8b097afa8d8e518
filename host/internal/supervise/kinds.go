package supervise

import (
	"context"
	"iter"

	"github.com/zerostate/zerostate/core"
)

// call runs f through a handle and returns its value.
func call[T, R any](ctx context.Context, h *Handle[T], idempotent bool, f func(T) (R, error)) (R, error) {
	var out R
	err := h.Do(ctx, idempotent, func(impl T) error {
		var err error
		out, err = f(impl)
		return err
	})
	return out, err
}

// index is a core.Index that survives restarts. Upsert takes a stream that can
// be read once and Delete counts, so neither is repeated.
type index struct{ h *Handle[core.Index] }

func (x index) Upsert(ctx context.Context, items iter.Seq2[core.IndexItem, error]) (int, error) {
	return call(ctx, x.h, false, func(i core.Index) (int, error) { return i.Upsert(ctx, items) })
}

func (x index) Query(ctx context.Context, q core.IndexQuery) (core.IndexResult, error) {
	return call(ctx, x.h, true, func(i core.Index) (core.IndexResult, error) { return i.Query(ctx, q) })
}

func (x index) QueryBatch(ctx context.Context, qs []core.IndexQuery) ([]core.IndexResult, error) {
	return call(ctx, x.h, true, func(i core.Index) ([]core.IndexResult, error) { return i.QueryBatch(ctx, qs) })
}

func (x index) Delete(ctx context.Context, ids []string) (int, error) {
	return call(ctx, x.h, false, func(i core.Index) (int, error) { return i.Delete(ctx, ids) })
}

func (x index) Stats(ctx context.Context) (core.IndexStats, error) {
	return call(ctx, x.h, true, func(i core.Index) (core.IndexStats, error) { return i.Stats(ctx) })
}

func (x index) Compact(ctx context.Context) error {
	return x.h.Do(ctx, true, func(i core.Index) error { return i.Compact(ctx) })
}

// embedder is a core.Embedder that survives restarts.
type embedder struct{ h *Handle[core.Embedder] }

func (x embedder) Embed(ctx context.Context, req core.EmbedRequest) (core.Embeddings, error) {
	return call(ctx, x.h, true, func(e core.Embedder) (core.Embeddings, error) { return e.Embed(ctx, req) })
}

// router is a core.Router that survives restarts. Observe learns from each
// outcome it is given, so it is not repeated.
type router struct{ h *Handle[core.Router] }

func (x router) Decide(ctx context.Context, reqs []core.RouteRequest) ([]core.RouteDecision, error) {
	return call(ctx, x.h, true, func(r core.Router) ([]core.RouteDecision, error) { return r.Decide(ctx, reqs) })
}

func (x router) Observe(ctx context.Context, outcomes iter.Seq2[core.RouteOutcome, error]) (int, error) {
	return call(ctx, x.h, false, func(r core.Router) (int, error) { return r.Observe(ctx, outcomes) })
}

func (x router) ExportPolicy(ctx context.Context) ([]byte, error) {
	return call(ctx, x.h, true, func(r core.Router) ([]byte, error) { return r.ExportPolicy(ctx) })
}

func (x router) ImportPolicy(ctx context.Context, policy []byte) error {
	return x.h.Do(ctx, true, func(r core.Router) error { return r.ImportPolicy(ctx, policy) })
}

// executor is a core.Executor that survives restarts. Runs stream input and
// output, so they are not repeated here; the task pipeline decides.
type executor struct{ h *Handle[core.Executor] }

func (x executor) Prepare(ctx context.Context, req core.PrepareRequest) (core.Prepared, error) {
	return call(ctx, x.h, req.Module == nil, func(e core.Executor) (core.Prepared, error) { return e.Prepare(ctx, req) })
}

func (x executor) Run(ctx context.Context, req core.RunRequest, emit func(core.RunEvent) error) (core.RunResult, error) {
	return call(ctx, x.h, false, func(e core.Executor) (core.RunResult, error) { return e.Run(ctx, req, emit) })
}

func (x executor) Cancel(ctx context.Context, runID string) error {
	return x.h.Do(ctx, false, func(e core.Executor) error { return e.Cancel(ctx, runID) })
}

func (x executor) Verify(ctx context.Context, req core.VerifyRequest) (core.VerifyResult, error) {
	return call(ctx, x.h, false, func(e core.Executor) (core.VerifyResult, error) { return e.Verify(ctx, req) })
}

// payment is a core.Payment that survives restarts. Every mutation carries a
// key under which it happens once, so all calls may be repeated.
type payment struct{ h *Handle[core.Payment] }

func (x payment) Quote(ctx context.Context, req core.QuoteRequest) (core.Quote, error) {
	return call(ctx, x.h, true, func(p core.Payment) (core.Quote, error) { return p.Quote(ctx, req) })
}

func (x payment) Open(ctx context.Context, req core.OpenRequest) (core.PendingDocument, error) {
	return call(ctx, x.h, true, func(p core.Payment) (core.PendingDocument, error) { return p.Open(ctx, req) })
}

func (x payment) Update(ctx context.Context, req core.UpdateRequest) (core.PendingDocument, error) {
	return call(ctx, x.h, true, func(p core.Payment) (core.PendingDocument, error) { return p.Update(ctx, req) })
}

func (x payment) Close(ctx context.Context, req core.CloseRequest) (core.PendingDocument, error) {
	return call(ctx, x.h, true, func(p core.Payment) (core.PendingDocument, error) { return p.Close(ctx, req) })
}

func (x payment) Dispute(ctx context.Context, req core.DisputeRequest) (core.PendingDocument, error) {
	return call(ctx, x.h, true, func(p core.Payment) (core.PendingDocument, error) { return p.Dispute(ctx, req) })
}

func (x payment) Status(ctx context.Context, req core.StatusRequest) ([]core.ChannelStatus, error) {
	return call(ctx, x.h, true, func(p core.Payment) ([]core.ChannelStatus, error) { return p.Status(ctx, req) })
}

// reputation is a core.Reputation that survives restarts. Appending an event
// twice gives the same index, so all calls but the stream may be repeated.
type reputation struct{ h *Handle[core.Reputation] }

func (x reputation) Append(ctx context.Context, event []byte) (core.AppendResult, error) {
	return call(ctx, x.h, true, func(r core.Reputation) (core.AppendResult, error) { return r.Append(ctx, event) })
}

func (x reputation) Score(ctx context.Context, req core.ScoreRequest) ([]core.Score, error) {
	return call(ctx, x.h, true, func(r core.Reputation) ([]core.Score, error) { return r.Score(ctx, req) })
}

func (x reputation) History(ctx context.Context, agent core.DID) iter.Seq2[core.HistoryEntry, error] {
	return func(yield func(core.HistoryEntry, error) bool) {
		impl, err := x.h.Get(ctx)
		if err != nil {
			yield(core.HistoryEntry{}, err)
			return
		}
		impl.History(ctx, agent)(yield)
	}
}

func (x reputation) Checkpoint(ctx context.Context, req core.CheckpointRequest) (core.PendingDocument, error) {
	return call(ctx, x.h, true, func(r core.Reputation) (core.PendingDocument, error) { return r.Checkpoint(ctx, req) })
}

func (x reputation) Prove(ctx context.Context, req core.ProveRequest) (core.InclusionProof, error) {
	return call(ctx, x.h, true, func(r core.Reputation) (core.InclusionProof, error) { return r.Prove(ctx, req) })
}
