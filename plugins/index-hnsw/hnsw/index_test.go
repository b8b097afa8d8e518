package hnsw

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// clustered returns n vectors around n/50 centres, from a seeded generator.
func clustered(n, dim int, seed uint64) [][]float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	centers := make([][]float32, max(1, n/50))
	for i := range centers {
		centers[i] = gaussian(r, dim, nil, 1)
	}
	out := make([][]float32, n)
	for i := range out {
		out[i] = gaussian(r, dim, centers[r.IntN(len(centers))], 0.5)
	}
	return out
}

func gaussian(r *rand.Rand, dim int, center []float32, spread float64) []float32 {
	v := make([]float32, dim)
	for i := range v {
		v[i] = float32(r.NormFloat64() * spread)
		if center != nil {
			v[i] += center[i]
		}
	}
	return v
}

func build(tb testing.TB, cfg Config, vectors [][]float32, attrs func(int) map[string][]string) *Index {
	tb.Helper()
	x, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	for i, v := range vectors {
		it := Item{ID: name(i), Vector: v}
		if attrs != nil {
			it.Attributes = attrs(i)
		}
		if err := x.Upsert(it); err != nil {
			tb.Fatal(err)
		}
	}
	return x
}

func name(i int) string { return fmt.Sprintf("item-%06d", i) }

// exact is the oracle: it compares q with all rows in float64.
func exact(rows []Item, q []float32, k int) []string {
	u, _ := unit(q)
	hits := make([]Hit, len(rows))
	for i, it := range rows {
		hits[i] = Hit{ID: it.ID, Score: score(u, it.Vector)}
	}
	slices.SortFunc(hits, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID))
	})
	return hitIDs(Result{Hits: hits[:min(k, len(hits))]})
}

func hitIDs(r Result) []string {
	var out []string
	for _, h := range r.Hits {
		out = append(out, h.ID)
	}
	return out
}

func overlap(got, want []string) float64 {
	if len(want) == 0 {
		return 1
	}
	n := 0
	for _, id := range want {
		if slices.Contains(got, id) {
			n++
		}
	}
	return float64(n) / float64(len(want))
}

func recall(tb testing.TB, x *Index, queries [][]float32, filter []Condition, pass func(Item) bool) float64 {
	tb.Helper()
	var rows []Item
	for it := range x.All() {
		if pass == nil || pass(it) {
			rows = append(rows, it)
		}
	}
	sum := 0.0
	for _, q := range queries {
		res, err := x.Query(Query{Vector: q, K: 10, Filter: filter})
		if err != nil {
			tb.Fatal(err)
		}
		want := exact(rows, q, 10)
		if len(res.Hits) != len(want) {
			tb.Fatalf("got %d hits, want %d", len(res.Hits), len(want))
		}
		sum += overlap(hitIDs(res), want)
	}
	return sum / float64(len(queries))
}

func TestRecallClustered(t *testing.T) {
	n := 10000
	if testing.Short() || raceDetector { // `make test` runs this once more without the detector
		n = 2000
	}
	vectors := clustered(n+100, 32, 7)
	x := build(t, Config{Seed: 1, EfConstruction: 64}, vectors[:n], nil)
	if got := recall(t, x, vectors[n:], nil, nil); got < 0.95 {
		t.Errorf("recall@10 at ef 64: got %.4f, want >= 0.95", got)
	} else {
		t.Logf("recall@10 at ef 64 over %d vectors: %.4f", n, got)
	}
}

func TestSameCallsSameGraph(t *testing.T) {
	vectors := clustered(800, 32, 3)
	a, b := build(t, Config{Seed: 5}, vectors, nil), build(t, Config{Seed: 5}, vectors, nil)
	if !bytes.Equal(saved(t, a), saved(t, b)) {
		t.Error("two indexes built alike differ")
	}
	if c := build(t, Config{Seed: 6}, vectors, nil); bytes.Equal(saved(t, a), saved(t, c)) {
		t.Error("another seed built the same graph")
	}
}

func saved(tb testing.TB, x *Index) []byte {
	tb.Helper()
	var buf bytes.Buffer
	if err := x.Save(&buf); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

func TestUpsertReplaces(t *testing.T) {
	x := build(t, Config{}, clustered(200, 16, 1), nil)
	v := make([]float32, 16)
	v[3] = 2
	for range 2 { // a new vector, then the same vector with other attributes
		it := Item{ID: name(7), Vector: v, Attributes: map[string][]string{"region": {"eu"}}}
		if err := x.Upsert(it); err != nil {
			t.Fatal(err)
		}
		it.Vector[3], it.Attributes["region"][0] = 4, "us" // the index keeps copies
	}
	res, err := x.Query(Query{Vector: v, K: 1})
	if err != nil || len(res.Hits) != 1 || res.Hits[0].ID != name(7) || res.Hits[0].Score < 0.999999 {
		t.Fatalf("got %+v, %v", res, err)
	}
	if x.Len() != 200 || x.Stats().Deleted != 1 {
		t.Errorf("got %+v, want 200 items, 1 deleted", x.Stats())
	}
	for region, want := range map[string]int{"eu": 1, "us": 0} {
		res, err := x.Query(Query{Vector: v, K: 10, Filter: []Condition{{"region", []string{region}}}})
		if err != nil || len(res.Hits) != want {
			t.Errorf("region %s: got %d hits, %v, want %d", region, len(res.Hits), err, want)
		}
	}
}

func TestAttributesReplacedInPlace(t *testing.T) {
	x := build(t, Config{}, nil, nil)
	for _, region := range []string{"eu", "us"} {
		if err := x.Upsert(Item{ID: "a", Vector: []float32{1, 2}, Attributes: map[string][]string{"region": {region, region}}}); err != nil {
			t.Fatal(err)
		}
	}
	res, err := x.Query(Query{Vector: []float32{1, 0}, K: 5, Filter: []Condition{{"region", []string{"eu"}}}})
	if err != nil || len(res.Hits) != 0 {
		t.Errorf("old attribute: got %v, %v, want no hits", res.Hits, err)
	}
	if x.Stats().Deleted != 0 {
		t.Errorf("got %d deleted, want 0", x.Stats().Deleted)
	}
}

func TestDeletedNeverReturned(t *testing.T) {
	vectors := clustered(1030, 16, 9)
	for _, share := range []int{5, 2, 1} { // keep 4 of 5, 1 of 2, and only every tenth
		x := build(t, Config{ScanRows: 1}, vectors[:1000], nil)
		gone := map[string]bool{}
		for i := range 1000 {
			if (share > 1 && i%share == 0) || (share == 1 && i%10 != 0) {
				gone[name(i)] = true
				if !x.Delete(name(i)) {
					t.Fatalf("%s was not there", name(i))
				}
			}
		}
		if x.Delete(name(0)) && share > 1 {
			t.Error("deleted twice")
		}
		check := func(when string) {
			t.Helper()
			for _, q := range vectors[1000:] {
				res, err := x.Query(Query{Vector: q, K: 50})
				if err != nil {
					t.Fatal(err)
				}
				for _, h := range res.Hits {
					if gone[h.ID] {
						t.Fatalf("%s: deleted %s returned", when, h.ID)
					}
				}
			}
			if got := recall(t, x, vectors[1000:], nil, nil); got < 0.95 {
				t.Errorf("%s, share %d: recall got %.3f, want >= 0.95", when, share, got)
			}
		}
		check("before compaction")
		deleted := x.Stats().Deleted
		if got := x.Compact(); got != deleted || got == 0 {
			t.Errorf("compacted %d, want %d", got, deleted)
		}
		check("after compaction")
		if x.Stats().Deleted != 0 || x.Compact() != 0 {
			t.Error("something was left to compact")
		}
		for i := range 100 { // freed places are taken again
			if err := x.Upsert(Item{ID: fmt.Sprintf("new-%d", i), Vector: vectors[i]}); err != nil {
				t.Fatal(err)
			}
		}
		check("after reuse")
	}
}

func TestDeleteAllThenAdd(t *testing.T) {
	x := build(t, Config{}, clustered(20, 8, 1), nil)
	for i := range 20 {
		x.Delete(name(i))
	}
	res, err := x.Query(Query{Vector: make([]float32, 8), K: 1})
	if !errors.Is(err, ErrVector) {
		t.Errorf("zero vector: got %v, %v, want ErrVector", res, err)
	}
	if err := x.Upsert(Item{ID: "again", Vector: []float32{1, 0, 0, 0, 0, 0, 0, 0}}); err != nil {
		t.Fatal(err)
	}
	res, err = x.Query(Query{Vector: []float32{1, 1, 0, 0, 0, 0, 0, 0}, K: 3})
	if err != nil || len(res.Hits) != 1 || math.Abs(res.Hits[0].Score-math.Sqrt2/2) > 1e-6 {
		t.Errorf("got %+v, %v", res, err)
	}
}

// Filters that pass .1, 1, 10 and 50% of the rows, at random and correlated
// with the clusters.
func TestFilters(t *testing.T) {
	const n = 3000
	vectors := clustered(n+20, 16, 11)
	axis := vectors[0]
	attrs := func(i int) map[string][]string {
		m := map[string][]string{"all": {"yes"}}
		for _, p := range []int{1000, 100, 10, 2} {
			if i%p == 0 {
				m["random"] = append(m["random"], fmt.Sprint(p))
			}
		}
		if dot(axis, vectors[i]) > 3 { // rows on one side of the space
			m["side"] = []string{"near"}
		} else if dot(axis, vectors[i]) < -6 {
			m["side"] = []string{"far"}
		}
		return m
	}
	for _, scanRows := range []int{1, 0} { // always walking, and as planned
		x := build(t, Config{ScanRows: scanRows}, vectors[:n], attrs)
		for _, c := range []Condition{
			{"random", []string{"1000"}},
			{"random", []string{"100"}},
			{"random", []string{"10"}},
			{"random", []string{"2", "100"}},
			{"side", []string{"near"}},
			{"side", []string{"far"}},
			{"side", []string{"nowhere"}},
		} {
			filter := []Condition{c, {"all", []string{"no", "yes"}}}
			pass := func(it Item) bool {
				return slices.ContainsFunc(it.Attributes[c.Attribute], func(v string) bool { return slices.Contains(c.AnyOf, v) })
			}
			if got := recall(t, x, vectors[n:], filter, pass); got < 0.95 {
				t.Errorf("scan rows %d, %v: recall got %.3f, want >= 0.95", scanRows, c, got)
			}
		}
	}
}

func TestFewMatchesAreAllReturned(t *testing.T) {
	x := build(t, Config{ScanRows: 1}, clustered(1000, 16, 2), func(i int) map[string][]string {
		if i%50 == 0 {
			return map[string][]string{"tag": {"rare"}}
		}
		return nil
	})
	res, err := x.Query(Query{Vector: clustered(1, 16, 3)[0], K: 100, Filter: []Condition{{"tag", []string{"rare"}}}})
	if err != nil || len(res.Hits) != 20 {
		t.Errorf("got %d hits, %v, want 20", len(res.Hits), err)
	}
	res, err = x.Query(Query{Vector: clustered(1, 16, 3)[0], K: 1000})
	if err != nil || len(res.Hits) != 1000 {
		t.Errorf("k = n: got %d hits, %v, want 1000", len(res.Hits), err)
	}
}

func TestTiesByID(t *testing.T) {
	x := build(t, Config{}, nil, nil)
	for _, id := range []string{"c", "a", "b"} {
		if err := x.Upsert(Item{ID: id, Vector: []float32{1, 1}}); err != nil {
			t.Fatal(err)
		}
	}
	res, err := x.Query(Query{Vector: []float32{1, 0}, K: 2})
	if want := []string{"a", "b"}; err != nil || !slices.Equal(hitIDs(res), want) {
		t.Errorf("got %v, %v, want %v", hitIDs(res), err, want)
	}
}

func TestBadArguments(t *testing.T) {
	for _, cfg := range []Config{{M: 1}, {M: 200}, {EfConstruction: 3}, {EfSearch: 5000}, {EfSearch: -1}, {ScanRows: -1}} {
		if _, err := New(cfg); !errors.Is(err, ErrArgument) {
			t.Errorf("%+v: got %v, want ErrArgument", cfg, err)
		}
	}
	x := build(t, Config{}, [][]float32{{1, 2, 3}}, nil)
	nan := float32(math.NaN())
	for _, c := range []struct {
		v    []float32
		want error
	}{
		{[]float32{0, 0, 0}, ErrVector},
		{[]float32{1, nan, 0}, ErrVector},
		{[]float32{float32(math.Inf(1)), 0, 0}, ErrVector},
		{[]float32{1, 2}, ErrDimensions},
		{nil, ErrDimensions},
	} {
		if err := x.Upsert(Item{ID: "x", Vector: c.v}); !errors.Is(err, c.want) {
			t.Errorf("upsert %v: got %v, want %v", c.v, err, c.want)
		}
		if _, err := x.Query(Query{Vector: c.v, K: 1}); !errors.Is(err, c.want) {
			t.Errorf("query %v: got %v, want %v", c.v, err, c.want)
		}
	}
	for _, q := range []Query{{K: 0}, {K: MaxK + 1}, {K: 1, Ef: -1}} {
		q.Vector = []float32{1, 2, 3}
		if _, err := x.Query(q); !errors.Is(err, ErrArgument) {
			t.Errorf("%+v: got %v, want ErrArgument", q, err)
		}
	}
	long := build(t, Config{}, nil, nil)
	if err := long.Upsert(Item{ID: "x", Vector: make([]float32, MaxDimensions+1)}); !errors.Is(err, ErrVector) {
		t.Errorf("too long: got %v, want ErrVector", err)
	}
	if err := long.Upsert(Item{ID: "x", Vector: slices.Repeat([]float32{1}, MaxDimensions)}); err != nil {
		t.Errorf("longest: got %v", err)
	}
	if !long.Has("x") || long.Has("y") {
		t.Error("Has is wrong")
	}
}

func TestConcurrentUse(t *testing.T) {
	vectors := clustered(600, 16, 4)
	x := build(t, Config{EfConstruction: 40}, vectors[:300], nil)
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			for i := range 150 {
				if err := x.Upsert(Item{ID: name(300 + w*150 + i), Vector: vectors[300+w*150+i]}); err != nil {
					t.Error(err)
				}
				x.Delete(name(w*150 + i))
				if i%60 == 59 {
					x.Compact()
				}
			}
		})
		wg.Go(func() {
			for i := range 300 {
				if _, err := x.Query(Query{Vector: vectors[i], K: 5}); err != nil {
					t.Error(err)
				}
				x.Stats()
			}
		})
	}
	wg.Wait()
	if x.Len() != 300 {
		t.Errorf("got %d rows, want 300", x.Len())
	}
}

func TestDotAgreesWithNaive(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 40 {
		a, b := gaussian(r, n, nil, 1), gaussian(r, n, nil, 1)
		var want float64
		for i := range a {
			want += float64(a[i]) * float64(b[i])
		}
		if got := dot(a, b); math.Abs(float64(got)-want) > 1e-4 {
			t.Errorf("n=%d: got %v, want %v", n, got, want)
		}
	}
}

func BenchmarkQuery(b *testing.B) {
	const n = 10000
	vectors := clustered(n+200, 384, 7)
	x := build(b, Config{EfConstruction: 100}, vectors[:n], nil)
	r := recall(b, x, vectors[n:n+50], nil, nil)
	took := make([]time.Duration, 0, b.N)
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		start := time.Now()
		if _, err := x.Query(Query{Vector: vectors[n+i%200], K: 10}); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(r, "recall@10")
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*95/100].Microseconds()), "p95-µs")
}

func BenchmarkUpsert(b *testing.B) {
	vectors := clustered(5000, 384, 7)
	x := build(b, Config{}, vectors[:1000], nil)
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		if err := x.Upsert(Item{ID: name(i), Vector: vectors[2000+i%3000]}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDot384(b *testing.B) {
	v := clustered(2, 384, 1)
	var sink float32
	for b.Loop() {
		sink += dot(v[0], v[1])
	}
	_ = sink
}
