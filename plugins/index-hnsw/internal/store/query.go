package store

import (
	"context"
	"fmt"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugins/index-hnsw/hnsw"
)

// Query answers as [core.Index] says.
func (s *Store) Query(ctx context.Context, q core.IndexQuery) (core.IndexResult, error) {
	if err := ctx.Err(); err != nil {
		return core.IndexResult{}, err
	}
	if err := hnsw.CheckVector(q.Vector); err != nil {
		return core.IndexResult{}, fmt.Errorf("query: %w: %w", err, core.ErrInvalid)
	}
	if q.K < 1 || q.K > core.MaxQueryK {
		return core.IndexResult{}, fmt.Errorf("query: k %d not in 1..%d: %w", q.K, core.MaxQueryK, core.ErrInvalid)
	}
	index, bound := s.current()
	if index.Len() == 0 {
		return core.IndexResult{}, nil
	}
	if q.ModelDigest != bound.digest {
		return core.IndexResult{}, fmt.Errorf("query is of model %q, the index of %q: %w", q.ModelDigest, bound.digest, core.ErrConflict)
	}
	filter := make([]hnsw.Condition, len(q.Filter))
	for i, c := range q.Filter {
		filter[i] = hnsw.Condition(c)
	}
	res, err := index.Query(hnsw.Query{Vector: q.Vector, K: q.K, Ef: q.Ef, Filter: filter})
	if err != nil { // every error of hnsw is the caller's input
		return core.IndexResult{}, fmt.Errorf("query: %w: %w", err, core.ErrInvalid)
	}
	out := core.IndexResult{Hits: make([]core.IndexHit, len(res.Hits)), Visited: res.Visited}
	for i, h := range res.Hits {
		out.Hits[i] = core.IndexHit(h)
	}
	return out, nil
}

// QueryBatch answers qs in their order; the first bad query fails the batch.
func (s *Store) QueryBatch(ctx context.Context, qs []core.IndexQuery) ([]core.IndexResult, error) {
	out := make([]core.IndexResult, len(qs))
	for i, q := range qs {
		var err error
		if out[i], err = s.Query(ctx, q); err != nil {
			return nil, fmt.Errorf("query %d of the batch: %w", i, err)
		}
	}
	return out, nil
}
