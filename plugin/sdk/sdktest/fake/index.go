package fake

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"sync"

	"github.com/zerostate/zerostate/core"
)

const maxIDBytes = 512

// Index is an exact index in memory: it compares a query with every row.
type Index struct {
	mu      sync.RWMutex
	rows    map[string]row
	dims    int
	model   string
	deleted int
}

type row struct {
	unit       []float64 // the vector at unit length
	attributes map[string][]string
}

// NewIndex returns an empty index.
func NewIndex() *Index { return &Index{rows: map[string]row{}} }

// Upsert stores items until the first bad one.
func (x *Index) Upsert(ctx context.Context, items iter.Seq2[core.IndexItem, error]) (int, error) {
	n := 0
	for item, err := range items {
		if err != nil {
			return n, err
		}
		if err := ctx.Err(); err != nil {
			return n, err
		}
		if err := x.put(item); err != nil {
			return n, fmt.Errorf("upsert item %d: %w", n, err)
		}
		n++
	}
	return n, nil
}

func (x *Index) put(item core.IndexItem) error {
	if item.ID == "" || len(item.ID) > maxIDBytes {
		return core.FieldError{Path: "id", Problem: "must have 1 to 512 bytes"}
	}
	unit, err := unitVector(item.Vector)
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.dims == 0 {
		x.dims, x.model = len(unit), item.ModelDigest
	}
	if err := x.fits(unit, item.ModelDigest); err != nil {
		return err
	}
	if _, replaced := x.rows[item.ID]; replaced {
		x.deleted++
	}
	x.rows[item.ID] = row{unit: unit, attributes: cloneAttributes(item.Attributes)}
	return nil
}

// fits checks a vector against what the first upsert bound.
func (x *Index) fits(unit []float64, model string) error {
	if model != x.model {
		return fmt.Errorf("model digest %.16q, the index has %.16q: %w", model, x.model, core.ErrConflict)
	}
	if len(unit) != x.dims {
		return core.FieldError{Path: "vector", Problem: fmt.Sprintf("has %d dimensions, the index %d", len(unit), x.dims)}
	}
	return nil
}

func cloneAttributes(attributes map[string][]string) map[string][]string {
	out := make(map[string][]string, len(attributes))
	for name, values := range attributes {
		out[name] = slices.Clone(values)
	}
	return out
}

// unitVector returns v at unit length; zero, NaN and infinity are ErrInvalid.
func unitVector(v []float32) ([]float64, error) {
	var sum float64
	for _, f := range v {
		sum += float64(f) * float64(f)
	}
	if sum == 0 || math.IsNaN(sum) || math.IsInf(sum, 0) {
		return nil, core.FieldError{Path: "vector", Problem: "must be finite and not zero"}
	}
	norm := math.Sqrt(sum)
	unit := make([]float64, len(v))
	for i, f := range v {
		unit[i] = float64(f) / norm
	}
	return unit, nil
}

// Query compares the query with every row that holds the filter.
func (x *Index) Query(ctx context.Context, q core.IndexQuery) (core.IndexResult, error) {
	if err := ctx.Err(); err != nil {
		return core.IndexResult{}, err
	}
	if q.K < 1 || q.K > core.MaxQueryK {
		return core.IndexResult{}, core.FieldError{Path: "k", Problem: fmt.Sprintf("must be 1 to %d", core.MaxQueryK)}
	}
	unit, err := unitVector(q.Vector)
	if err != nil {
		return core.IndexResult{}, err
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	if len(x.rows) == 0 {
		return core.IndexResult{}, nil
	}
	if err := x.fits(unit, q.ModelDigest); err != nil {
		return core.IndexResult{}, err
	}
	result := core.IndexResult{}
	for id, r := range x.rows {
		if !holds(r.attributes, q.Filter) {
			continue
		}
		result.Visited++
		result.Hits = append(result.Hits, core.IndexHit{ID: id, Score: dot(unit, r.unit), Attributes: cloneAttributes(r.attributes)})
	}
	slices.SortFunc(result.Hits, func(a, b core.IndexHit) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID))
	})
	result.Hits = result.Hits[:min(q.K, len(result.Hits))]
	return result, nil
}

func dot(a, b []float64) float64 {
	var sum float64
	for i := range a {
		sum += a[i] * b[i]
	}
	return max(-1, min(1, sum))
}

func holds(attributes map[string][]string, filter []core.Condition) bool {
	for _, c := range filter {
		if !slices.ContainsFunc(attributes[c.Attribute], func(v string) bool { return slices.Contains(c.AnyOf, v) }) {
			return false
		}
	}
	return true
}

// QueryBatch answers in order.
func (x *Index) QueryBatch(ctx context.Context, qs []core.IndexQuery) ([]core.IndexResult, error) {
	results := make([]core.IndexResult, len(qs))
	for i, q := range qs {
		var err error
		if results[i], err = x.Query(ctx, q); err != nil {
			return nil, fmt.Errorf("query %d: %w", i, err)
		}
	}
	return results, nil
}

// Delete removes rows.
func (x *Index) Delete(_ context.Context, ids []string) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := 0
	for _, id := range ids {
		if _, ok := x.rows[id]; ok {
			delete(x.rows, id)
			n++
		}
	}
	x.deleted += n
	return n, nil
}

// Stats describes the index.
func (x *Index) Stats(context.Context) (core.IndexStats, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var bytes int64
	for id := range maps.Keys(x.rows) {
		bytes += int64(len(id) + 8*x.dims)
	}
	return core.IndexStats{Items: len(x.rows), Deleted: x.deleted, Dimensions: x.dims, ModelDigest: x.model, Bytes: bytes}, nil
}

// Compact forgets how many rows were deleted.
func (x *Index) Compact(context.Context) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.deleted = 0
	return nil
}
