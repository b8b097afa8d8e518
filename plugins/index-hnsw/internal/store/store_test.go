package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugins/index-hnsw/hnsw"
)

const model = "model-a"

// vectorOf derives a vector of length 8 from a seed, so that tests can know
// what a row must hold.
func vectorOf(seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 99))
	v := make([]float32, 8)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

func row(i int) core.IndexItem {
	return core.IndexItem{
		ID: fmt.Sprintf("row-%05d", i), Vector: vectorOf(uint64(i)), ModelDigest: model,
		Attributes: map[string][]string{"region": {[]string{"eu", "us"}[i%2]}},
	}
}

func rows(from, to int) iter.Seq2[core.IndexItem, error] {
	return func(yield func(core.IndexItem, error) bool) {
		for i := from; i < to; i++ {
			if !yield(row(i), nil) {
				return
			}
		}
	}
}

func open(tb testing.TB, dir string) *Store {
	tb.Helper()
	s, err := Open(Config{Dir: dir, Graph: hnsw.Config{M: 6, EfConstruction: 30}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

func mustUpsert(tb testing.TB, s *Store, from, to int) {
	tb.Helper()
	if n, err := s.Upsert(tb.Context(), rows(from, to)); err != nil || n != to-from {
		tb.Fatalf("upsert: got %d, %v, want %d", n, err, to-from)
	}
}

// holds says whether the row is found by its own vector.
func holds(tb testing.TB, s *Store, it core.IndexItem) bool {
	tb.Helper()
	res, err := s.Query(tb.Context(), core.IndexQuery{Vector: it.Vector, K: 3, Ef: 100, ModelDigest: model})
	if err != nil {
		tb.Fatal(err)
	}
	return slices.ContainsFunc(res.Hits, func(h core.IndexHit) bool {
		return h.ID == it.ID && h.Score > 0.99999 && slices.Equal(h.Attributes["region"], it.Attributes["region"])
	})
}

func TestRestart(t *testing.T) {
	for _, how := range []string{"log alone", "snapshot alone", "snapshot and log", "snapshot on close"} {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			mustUpsert(t, s, 0, 100)
			want := 90
			if strings.HasPrefix(how, "snapshot") {
				if err := s.Compact(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if how == "snapshot on close" {
				mustUpsert(t, s, 100, 100+closeOps)
				want += closeOps
			}
			ids := make([]string, 0, 11)
			for i := range 10 {
				ids = append(ids, row(i*7).ID)
			}
			if how != "snapshot alone" || how == "log alone" {
				mustUpsert(t, s, 50, 60)
			}
			if n, err := s.Delete(t.Context(), append(ids, "unknown")); err != nil || n != 10 {
				t.Fatalf("delete: got %d, %v, want 10", n, err)
			}
			if how == "snapshot alone" {
				if err := s.Compact(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(s.Close(), s.Close()); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir)
			st, err := s.Stats(t.Context())
			if err != nil || st.Items != want || st.Dimensions != 8 || st.ModelDigest != model || st.Bytes == 0 {
				t.Fatalf("got %+v, %v, want %d items", st, err, want)
			}
			for i := range 100 {
				if got, want := holds(t, s, row(i)), i%7 != 0 || i > 63; got != want {
					t.Errorf("row %d there: got %v, want %v", i, got, want)
				}
			}
		})
	}
}

func TestBindingAndInput(t *testing.T) {
	s := open(t, t.TempDir())
	ctx := t.Context()
	if res, err := s.Query(ctx, core.IndexQuery{Vector: []float32{1}, K: 1, ModelDigest: "any"}); err != nil || len(res.Hits) != 0 {
		t.Errorf("empty index: got %v, %v", res, err)
	}
	mustUpsert(t, s, 0, 5)
	bad := func(change func(*core.IndexItem)) core.IndexItem {
		it := row(77)
		change(&it)
		return it
	}
	for name, c := range map[string]struct {
		it   core.IndexItem
		want error
	}{
		"other model":  {bad(func(it *core.IndexItem) { it.ModelDigest = "b" }), core.ErrConflict},
		"other length": {bad(func(it *core.IndexItem) { it.Vector = it.Vector[:3] }), core.ErrInvalid},
		"zero":         {bad(func(it *core.IndexItem) { clear(it.Vector) }), core.ErrInvalid},
		"no id":        {bad(func(it *core.IndexItem) { it.ID = "" }), core.ErrInvalid},
		"long id":      {bad(func(it *core.IndexItem) { it.ID = strings.Repeat("x", 513) }), core.ErrInvalid},
		"attributes":   {bad(func(it *core.IndexItem) { it.Attributes["x"] = []string{strings.Repeat("x", 2<<20)} }), core.ErrInvalid},
	} {
		n, err := s.Upsert(ctx, func(yield func(core.IndexItem, error) bool) {
			_ = yield(row(10), nil) && yield(c.it, nil) && yield(row(11), nil)
		})
		if n != 1 || !errors.Is(err, c.want) {
			t.Errorf("%s: got %d, %v, want 1, %v", name, n, err, c.want)
		}
	}
	if !holds(t, s, row(10)) || holds(t, s, row(11)) {
		t.Error("want the items before the bad one, and only those")
	}
	v := row(0).Vector
	for name, c := range map[string]struct {
		q    core.IndexQuery
		want error
	}{
		"other model":  {core.IndexQuery{Vector: v, K: 1, ModelDigest: "b"}, core.ErrConflict},
		"other length": {core.IndexQuery{Vector: v[:2], K: 1, ModelDigest: model}, core.ErrInvalid},
		"zero":         {core.IndexQuery{Vector: make([]float32, 8), K: 1, ModelDigest: model}, core.ErrInvalid},
		"k 0":          {core.IndexQuery{Vector: v, ModelDigest: model}, core.ErrInvalid},
		"k 1001":       {core.IndexQuery{Vector: v, K: 1001, ModelDigest: model}, core.ErrInvalid},
		"ef":           {core.IndexQuery{Vector: v, K: 1, Ef: -1, ModelDigest: model}, core.ErrInvalid},
	} {
		if _, err := s.Query(ctx, c.q); !errors.Is(err, c.want) {
			t.Errorf("query %s: got %v, want %v", name, err, c.want)
		}
		if _, err := s.QueryBatch(ctx, []core.IndexQuery{c.q}); !errors.Is(err, c.want) {
			t.Errorf("batch %s: got %v, want %v", name, err, c.want)
		}
	}
	res, err := s.QueryBatch(ctx, []core.IndexQuery{{Vector: v, K: 9, ModelDigest: model, Filter: []core.Condition{{Attribute: "region", AnyOf: []string{"us"}}}}})
	if err != nil || len(res) != 1 || len(res[0].Hits) != 2 {
		t.Errorf("filtered: got %v, %v, want 2 hits", res, err)
	}
}

func TestEmptiedIndexTakesAnotherModel(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	mustUpsert(t, s, 0, 2)
	if _, err := s.Delete(t.Context(), []string{row(0).ID, row(1).ID}); err != nil {
		t.Fatal(err)
	}
	other := core.IndexItem{ID: "x", Vector: []float32{1, 2}, ModelDigest: "model-b"}
	if n, err := s.Upsert(t.Context(), func(yield func(core.IndexItem, error) bool) { yield(other, nil) }); n != 1 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	s.Close()
	s = open(t, dir)
	if st, err := s.Stats(t.Context()); err != nil || st.Items != 1 || st.Dimensions != 2 || st.ModelDigest != "model-b" {
		t.Errorf("got %+v, %v", st, err)
	}
}

func TestErrorOfTheSequence(t *testing.T) {
	s := open(t, t.TempDir())
	broken := errors.New("stream broke")
	n, err := s.Upsert(t.Context(), func(yield func(core.IndexItem, error) bool) {
		_ = yield(row(1), nil) && yield(core.IndexItem{}, broken)
	})
	if n != 1 || !errors.Is(err, broken) || !holds(t, s, row(1)) {
		t.Errorf("got %d, %v", n, err)
	}
}

func TestConcurrentWritersAndReaders(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 30 {
				mustUpsert(t, s, w*30+i, w*30+i+1)
				holds(t, s, row(w*30+i))
				if i == 15 {
					if err := s.Compact(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	s.Close()
	if st, _ := open(t, dir).Stats(t.Context()); st.Items != 120 {
		t.Errorf("got %d items, want 120", st.Items)
	}
}

func TestFoldsAndCompactsByItself(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Config{Dir: dir, Graph: hnsw.Config{M: 4, EfConstruction: 10}, SnapshotBytes: 20 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for round := range 3 { // each round replaces the vectors of all rows
		for from := 0; from < 600; from += 100 {
			_, err := s.Upsert(t.Context(), func(yield func(core.IndexItem, error) bool) {
				for i := from; i < from+100; i++ {
					it := row(i)
					it.Vector = vectorOf(uint64(i + 10000*round))
					if !yield(it, nil) {
						return
					}
				}
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Compact(t.Context()); err != nil { // also waits for what goes on
		t.Fatal(err)
	}
	st, err := s.Stats(t.Context())
	if err != nil || st.Items != 600 || st.Deleted != 0 {
		t.Errorf("got %+v, %v, want 600 items, none deleted", st, err)
	}
	if info, err := os.Stat(filepath.Join(dir, logName)); err != nil || info.Size() != int64(len(logMagic)) {
		t.Errorf("log after compaction: got %v, %v, want it empty", info, err)
	}
}

func TestClosedAndCanceled(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := Open(Config{Dir: dir}); !errors.Is(err, core.ErrConflict) {
		t.Errorf("second open: got %v, want ErrConflict", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Query(ctx, core.IndexQuery{Vector: []float32{1}, K: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
	s.Close()
	if _, err := s.Upsert(t.Context(), rows(0, 1)); !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
	if n, err := s.Delete(t.Context(), nil); n != 0 || err != nil {
		t.Errorf("delete nothing: got %d, %v", n, err)
	}
	if _, err := Open(Config{Dir: filepath.Join(dir, "missing")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want not exist", err)
	}
	if _, err := Open(Config{Dir: t.TempDir(), Graph: hnsw.Config{M: 1}}); !errors.Is(err, hnsw.ErrArgument) {
		t.Errorf("got %v, want ErrArgument", err)
	}
}

func TestFailedWriteStopsWriting(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	mustUpsert(t, s, 0, 3)
	if err := s.log.file.Close(); err != nil { // as if the disk had gone
		t.Fatal(err)
	}
	for range 2 {
		if _, err := s.Upsert(t.Context(), rows(3, 4)); !errors.Is(err, core.ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
	}
	if err := s.Compact(t.Context()); !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("compact: got %v, want ErrUnavailable", err)
	}
	if !errors.Is(s.Health(), core.ErrUnavailable) {
		t.Errorf("health: got %v, want ErrUnavailable", s.Health())
	}
	if !holds(t, s, row(1)) {
		t.Error("queries must go on")
	}
}
