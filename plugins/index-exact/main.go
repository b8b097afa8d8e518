// Command index-exact is an index plugin that compares a query with every row:
// the fallback of index-hnsw, the oracle its recall is measured against, and
// the plugin to read first. This file is the whole contract of core.Index;
// rows.go checks and stores rows, disk.go keeps them.
package main

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"sync"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk"
)

// A plugin's main is one call. The host starts the process, sends the settings
// (there are none here) and calls New; from then on every call of core.Index
// arrives as a method call, errors keep their identity under errors.Is.
func main() { sdk.Index.Serve(plugin()) }

func plugin() sdk.Plugin[core.Index] {
	return sdk.Plugin[core.Index]{
		Name:         "exact",
		Version:      "1.0.0",
		Capabilities: []string{"filter", "durable", "exact"},
		State:        sdk.StateExclusive, // two processes must not share one directory
		New: func(_ context.Context, env sdk.Env) (core.Index, error) {
			// A directory below: a confined plugin can not read its own's parent.
			return open(filepath.Join(env.StateDir, "rows"), env.Log)
		},
	}
}

// exact is a core.Index: all rows in memory, every change on disk first.
type exact struct {
	disk *disk
	mu   sync.RWMutex // queries side by side, one change at a time
	rows map[string]row
}

const batch = 256 // items of a long sequence that are made durable together

// Upsert counts an item only when it is on disk.
func (x *exact) Upsert(_ context.Context, items iter.Seq2[core.IndexItem, error]) (int, error) {
	total := 0
	var pending []core.IndexItem
	flush := func() error {
		n, err := x.store(pending)
		total += n
		pending = nil
		return err
	}
	for it, err := range items {
		if err != nil { // the sequence broke off; what came before stays
			if stored := flush(); stored != nil {
				return total, stored
			}
			return total, err
		}
		if pending = append(pending, it); len(pending) == batch {
			if err := flush(); err != nil {
				return total, err
			}
		}
	}
	err := flush()
	return total, err
}

// Query scores every row that passes the filter and returns the best K.
func (x *exact) Query(ctx context.Context, q core.IndexQuery) (core.IndexResult, error) {
	v := unit(q.Vector)
	if v == nil || q.K < 1 || q.K > core.MaxQueryK || q.Ef < 0 {
		return core.IndexResult{}, fmt.Errorf("query with a vector of length %d, k %d, ef %d: %w", len(q.Vector), q.K, q.Ef, core.ErrInvalid)
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	if len(x.rows) == 0 {
		return core.IndexResult{}, nil
	}
	if err := check(core.IndexItem{ID: "query", Vector: q.Vector, ModelDigest: q.ModelDigest}, x.anyRow()); err != nil {
		return core.IndexResult{}, err
	}
	var hits []core.IndexHit
	for id, r := range x.rows {
		if passes(r, q.Filter) {
			hits = append(hits, core.IndexHit{ID: id, Score: max(-1, min(1, dot(v, r.Vector))), Attributes: r.Attributes})
		}
	}
	visited := len(hits)
	slices.SortFunc(hits, func(a, b core.IndexHit) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID))
	})
	hits = hits[:min(q.K, len(hits))]
	for i := range hits {
		hits[i].Attributes = cloneAttributes(hits[i].Attributes)
	}
	return core.IndexResult{Hits: hits, Visited: visited}, ctx.Err()
}

// QueryBatch answers each query in turn.
func (x *exact) QueryBatch(ctx context.Context, qs []core.IndexQuery) ([]core.IndexResult, error) {
	out := make([]core.IndexResult, len(qs))
	for i, q := range qs {
		var err error
		if out[i], err = x.Query(ctx, q); err != nil {
			return nil, fmt.Errorf("query %d of the batch: %w", i, err)
		}
	}
	return out, nil
}

// Delete removes rows, on disk first.
func (x *exact) Delete(_ context.Context, ids []string) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.disk.remove(ids); err != nil {
		return 0, err
	}
	before := len(x.rows)
	for _, id := range ids {
		delete(x.rows, id)
	}
	return before - len(x.rows), nil
}

// Stats describes the index.
func (x *exact) Stats(context.Context) (core.IndexStats, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	bound := x.anyRow()
	return core.IndexStats{
		Items: len(x.rows), Dimensions: len(bound.Vector), ModelDigest: bound.Model, Bytes: x.disk.size(),
	}, nil
}

// Compact reclaims the disk space of rows that were replaced or deleted.
func (x *exact) Compact(ctx context.Context) error { return x.disk.compact(ctx) }

// Close is called when the host shuts the plugin down.
func (x *exact) Close() error { return x.disk.close() }
