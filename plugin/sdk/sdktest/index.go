package sdktest

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/zerostate/zerostate/core"
)

// Index returns the suite of plugins of kind index.
func Index() Suite[core.Index] {
	return Suite[core.Index]{
		{Name: "empty", Run: indexEmpty},
		{Name: "order", Run: indexOrder},
		{Name: "replace", Run: indexReplace},
		{Name: "filter", Run: indexFilter},
		{Name: "refuses", Run: indexRefuses},
		{Name: "sequence-error", Run: indexSequenceError},
		{Name: "delete", Run: indexDelete},
		{Name: "batch", Run: indexBatch},
		{Name: "large-upsert", Run: indexLarge},
		{Name: "concurrent", Run: indexConcurrent},
		{Name: "ended-context", Run: indexEnded},
		{Name: "durable", Durable: true, Run: indexDurable},
	}
}

const (
	testModel = "0000000000000000000000000000000000000000000000000000000000000001"
	testDims  = 8
)

// direction is a vector at an angle (in degrees) from the first axis.
func direction(degrees float64) []float32 {
	v := make([]float32, testDims)
	v[0] = float32(math.Cos(degrees * math.Pi / 180))
	v[1] = float32(math.Sin(degrees * math.Pi / 180))
	return v
}

func testItem(id string, degrees float64, region ...string) core.IndexItem {
	item := core.IndexItem{ID: id, Vector: direction(degrees), ModelDigest: testModel}
	if len(region) > 0 {
		item.Attributes = map[string][]string{"region": region}
	}
	return item
}

func testQuery(degrees float64, k int) core.IndexQuery {
	return core.IndexQuery{Vector: direction(degrees), K: k, ModelDigest: testModel}
}

func upsert(t T, x core.Index, items ...core.IndexItem) {
	t.Helper()
	n, err := x.Upsert(t.Context(), seq(nil, items...))
	must(t, "upsert", err)
	if n != len(items) {
		t.Fatalf("upsert: got %d acknowledged, want %d", n, len(items))
	}
}

// wantHits checks the ids that a query finds, in order.
func wantHits(t T, x core.Index, q core.IndexQuery, want ...string) core.IndexResult {
	t.Helper()
	result, err := x.Query(t.Context(), q)
	must(t, "query", err)
	got := []string{}
	for _, h := range result.Hits {
		got = append(got, h.ID)
	}
	if !slices.Equal(got, want) && len(got)+len(want) > 0 {
		t.Errorf("hits: got %v, want %v", got, want)
	}
	return result
}

func indexEmpty(t T, s Subject[core.Index]) {
	x := open(t, s)
	wantHits(t, x, testQuery(0, 10))
	stats, err := x.Stats(t.Context())
	must(t, "stats", err)
	if stats.Items != 0 || stats.Dimensions != 0 || stats.ModelDigest != "" {
		t.Errorf("stats of an empty index: got %+v", stats)
	}
	must(t, "compact", x.Compact(t.Context()))
	n, err := x.Delete(t.Context(), []string{"nobody"})
	if n != 0 || err != nil {
		t.Errorf("delete: got %d, %v, want 0, nil", n, err)
	}
}

func indexOrder(t T, s Subject[core.Index]) {
	x := open(t, s)
	upsert(t, x, testItem("far", 80), testItem("near", 10), testItem("opposite", 180), testItem("twin-b", 30), testItem("twin-a", 30))
	result := wantHits(t, x, testQuery(0, 10), "near", "twin-a", "twin-b", "far", "opposite")
	for i, want := range []float64{math.Cos(math.Pi / 18), math.Cos(math.Pi / 6), math.Cos(math.Pi / 6), math.Cos(math.Pi * 80 / 180), -1} {
		if i < len(result.Hits) && math.Abs(result.Hits[i].Score-want) > 1e-3 {
			t.Errorf("score of %s: got %v, want %v", result.Hits[i].ID, result.Hits[i].Score, want)
		}
	}
	if result.Visited < 1 {
		t.Errorf("visited: got %d, want at least 1", result.Visited)
	}
	wantHits(t, x, testQuery(0, 2), "near", "twin-a")
	long := testQuery(0, 1)
	for i := range long.Vector {
		long.Vector[i] *= 1000 // cosine does not see the length
	}
	wantHits(t, x, long, "near")
}

func indexReplace(t T, s Subject[core.Index]) {
	x := open(t, s)
	upsert(t, x, testItem("a", 0, "eu"), testItem("b", 20))
	upsert(t, x, testItem("a", 170, "us"))
	result := wantHits(t, x, testQuery(0, 10), "b", "a")
	if len(result.Hits) == 2 && !slices.Equal(result.Hits[1].Attributes["region"], []string{"us"}) {
		t.Errorf("attributes: got %v, want region us", result.Hits[1].Attributes)
	}
	stats, err := x.Stats(t.Context())
	must(t, "stats", err)
	if stats.Items != 2 || stats.Dimensions != testDims || stats.ModelDigest != testModel {
		t.Errorf("stats: got %+v, want 2 items of %d dimensions", stats, testDims)
	}
}

func indexFilter(t T, s Subject[core.Index]) {
	x := open(t, s)
	both := testItem("both", 5, "eu", "us")
	both.Attributes["skill"] = []string{"html"}
	upsert(t, x, testItem("eu", 1, "eu"), testItem("us", 2, "us"), testItem("none", 3), both)
	filtered := func(conditions ...core.Condition) core.IndexQuery {
		q := testQuery(0, 10)
		q.Filter = conditions
		return q
	}
	eu := core.Condition{Attribute: "region", AnyOf: []string{"eu"}}
	wantHits(t, x, filtered(eu), "eu", "both")
	wantHits(t, x, filtered(core.Condition{Attribute: "region", AnyOf: []string{"us", "eu"}}), "eu", "us", "both")
	wantHits(t, x, filtered(eu, core.Condition{Attribute: "skill", AnyOf: []string{"html"}}), "both")
	wantHits(t, x, filtered(core.Condition{Attribute: "nothing", AnyOf: []string{"x"}}))
}

func indexRefuses(t T, s Subject[core.Index]) {
	x := open(t, s)
	upsert(t, x, testItem("a", 0))
	bad := func(change func(*core.IndexItem)) error {
		item := testItem("bad", 10)
		change(&item)
		_, err := x.Upsert(t.Context(), seq(nil, item))
		return err
	}
	wantIs(t, "zero vector", bad(func(i *core.IndexItem) { clear(i.Vector) }), core.ErrInvalid)
	wantIs(t, "NaN", bad(func(i *core.IndexItem) { i.Vector[3] = float32(math.NaN()) }), core.ErrInvalid)
	wantIs(t, "infinity", bad(func(i *core.IndexItem) { i.Vector[3] = float32(math.Inf(1)) }), core.ErrInvalid)
	wantIs(t, "another length", bad(func(i *core.IndexItem) { i.Vector = i.Vector[:4] }), core.ErrInvalid)
	wantIs(t, "no id", bad(func(i *core.IndexItem) { i.ID = "" }), core.ErrInvalid)
	wantIs(t, "another model", bad(func(i *core.IndexItem) { i.ModelDigest = "other" }), core.ErrConflict)
	ask := func(change func(*core.IndexQuery)) error {
		q := testQuery(0, 1)
		change(&q)
		_, err := x.Query(t.Context(), q)
		return err
	}
	wantIs(t, "k of 0", ask(func(q *core.IndexQuery) { q.K = 0 }), core.ErrInvalid)
	wantIs(t, "k too large", ask(func(q *core.IndexQuery) { q.K = core.MaxQueryK + 1 }), core.ErrInvalid)
	wantIs(t, "zero query", ask(func(q *core.IndexQuery) { clear(q.Vector) }), core.ErrInvalid)
	wantIs(t, "short query", ask(func(q *core.IndexQuery) { q.Vector = q.Vector[:2] }), core.ErrInvalid)
	wantIs(t, "query of another model", ask(func(q *core.IndexQuery) { q.ModelDigest = "other" }), core.ErrConflict)
	wantHits(t, x, testQuery(0, 10), "a")
}

func indexSequenceError(t T, s Subject[core.Index]) {
	x := open(t, s)
	_, err := x.Upsert(t.Context(), seq(errSequence, testItem("a", 0), testItem("b", 10)))
	wantIs(t, "upsert", err, errSequence)
	wantHits(t, x, testQuery(0, 10), "a", "b")
}

func indexDelete(t T, s Subject[core.Index]) {
	x := open(t, s)
	upsert(t, x, testItem("a", 0), testItem("b", 10), testItem("c", 20))
	n, err := x.Delete(t.Context(), []string{"a", "nobody", "c"})
	if n != 2 || err != nil {
		t.Errorf("delete: got %d, %v, want 2, nil", n, err)
	}
	wantHits(t, x, testQuery(0, 10), "b")
	must(t, "compact", x.Compact(t.Context()))
	wantHits(t, x, testQuery(0, 10), "b")
	stats, err := x.Stats(t.Context())
	must(t, "stats", err)
	if stats.Items != 1 || stats.Deleted != 0 {
		t.Errorf("stats after compact: got %+v, want 1 item, none deleted", stats)
	}
	upsert(t, x, testItem("a", 0))
	wantHits(t, x, testQuery(0, 10), "a", "b")
}

func indexBatch(t T, s Subject[core.Index]) {
	x := open(t, s)
	upsert(t, x, testItem("a", 0), testItem("b", 90))
	results, err := x.QueryBatch(t.Context(), []core.IndexQuery{testQuery(0, 1), testQuery(90, 1), testQuery(45, 2)})
	must(t, "batch", err)
	if len(results) != 3 || results[0].Hits[0].ID != "a" || results[1].Hits[0].ID != "b" || len(results[2].Hits) != 2 {
		t.Errorf("batch: got %+v, want a, then b, then both", results)
	}
	_, err = x.QueryBatch(t.Context(), []core.IndexQuery{testQuery(0, 1), testQuery(0, 0)})
	wantIs(t, "batch with a bad query", err, core.ErrInvalid)
	results, err = x.QueryBatch(t.Context(), nil)
	if len(results) != 0 || err != nil {
		t.Errorf("empty batch: got %v, %v", results, err)
	}
}

func indexLarge(t T, s Subject[core.Index]) {
	x := open(t, s)
	items := make([]core.IndexItem, 1500)
	for i := range items {
		items[i] = testItem(numbered("item", i), float64(i)*90/float64(len(items)), []string{"eu", "us"}[i%2])
	}
	upsert(t, x, items...)
	wantHits(t, x, testQuery(0, 3), "item-000", "item-001", "item-002")
	stats, err := x.Stats(t.Context())
	must(t, "stats", err)
	if stats.Items != len(items) {
		t.Errorf("items: got %d, want %d", stats.Items, len(items))
	}
}

func indexConcurrent(t T, s Subject[core.Index]) {
	x := open(t, s)
	upsert(t, x, testItem("base", 0))
	together(t, 16, func(i int) error {
		if i%4 == 0 {
			_, err := x.Upsert(t.Context(), seq(nil, testItem(numbered("item", i), float64(90+i))))
			return err
		}
		result, err := x.Query(t.Context(), testQuery(0, 1))
		if err == nil && (len(result.Hits) != 1 || result.Hits[0].ID != "base") {
			return fmt.Errorf("got %+v, want base", result.Hits)
		}
		return err
	})
}

func indexEnded(t T, s Subject[core.Index]) {
	x := open(t, s)
	upsert(t, x, testItem("a", 0))
	ended(t, func(ctx context.Context) error {
		_, err := x.Query(ctx, testQuery(0, 1))
		return err
	})
	ended(t, func(ctx context.Context) error {
		_, err := x.Upsert(ctx, seq(nil, testItem("b", 0)))
		return err
	})
}

func indexDurable(t T, s Subject[core.Index]) {
	at := place(t, "node")
	x, closing := openUntil(t, s, at)
	upsert(t, x, testItem("a", 0, "eu"), testItem("b", 10), testItem("c", 20))
	_, err := x.Delete(t.Context(), []string{"b"})
	must(t, "delete", err)
	closing()
	x = openAt(t, s, at)
	result := wantHits(t, x, testQuery(0, 10), "a", "c")
	if len(result.Hits) > 0 && !slices.Equal(result.Hits[0].Attributes["region"], []string{"eu"}) {
		t.Errorf("attributes after reopen: got %v, want region eu", result.Hits[0].Attributes)
	}
	_, err = x.Upsert(t.Context(), seq(nil, core.IndexItem{ID: "x", Vector: direction(0), ModelDigest: "other"}))
	wantIs(t, "another model after reopen", err, core.ErrConflict)
}
