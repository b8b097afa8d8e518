package main

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/zerostate/zerostate/core"
)

func reopen(t *testing.T, dir string) *exact {
	t.Helper()
	x, err := open(dir, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	return x
}

func item(i int) core.IndexItem {
	return core.IndexItem{
		ID: fmt.Sprintf("item-%03d", i), Vector: []float32{1, float32(i) / 10}, ModelDigest: "m",
		Attributes: map[string][]string{"region": {[]string{"eu", "us"}[i%2]}},
	}
}

func items(its ...core.IndexItem) iter.Seq2[core.IndexItem, error] {
	return func(yield func(core.IndexItem, error) bool) {
		for _, it := range its {
			if !yield(it, nil) {
				return
			}
		}
	}
}

func upsert(t *testing.T, x *exact, from, to int) {
	t.Helper()
	var all []core.IndexItem
	for i := from; i < to; i++ {
		all = append(all, item(i))
	}
	if n, err := x.Upsert(t.Context(), items(all...)); n != to-from || err != nil {
		t.Fatalf("upsert: got %d, %v, want %d", n, err, to-from)
	}
}

func query(t *testing.T, x *exact, k int, filter ...core.Condition) []string {
	t.Helper()
	res, err := x.QueryBatch(t.Context(), []core.IndexQuery{{Vector: []float32{2, 0}, K: k, Filter: filter, ModelDigest: "m"}})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, h := range res[0].Hits {
		ids = append(ids, h.ID)
	}
	return ids
}

func TestQueryIsExact(t *testing.T) {
	x := reopen(t, t.TempDir())
	if got := query(t, x, 3); len(got) != 0 {
		t.Errorf("empty index: got %v", got)
	}
	upsert(t, x, 0, 600) // more than two batches
	if got, want := query(t, x, 3), []string{"item-000", "item-001", "item-002"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	us := core.Condition{Attribute: "region", AnyOf: []string{"us", "mars"}}
	if got, want := query(t, x, 2, us), []string{"item-001", "item-003"}; !slices.Equal(got, want) {
		t.Errorf("filtered: got %v, want %v", got, want)
	}
	if got := query(t, x, 2, us, core.Condition{Attribute: "region", AnyOf: []string{"eu"}}); len(got) != 0 {
		t.Errorf("both regions: got %v, want none", got)
	}
	twin := item(0)
	twin.ID = "a-twin"
	if _, err := x.Upsert(t.Context(), items(twin)); err != nil {
		t.Fatal(err)
	}
	if got, want := query(t, x, 2), []string{"a-twin", "item-000"}; !slices.Equal(got, want) {
		t.Errorf("a tie: got %v, want %v", got, want)
	}
}

func TestSurvivesWithoutClose(t *testing.T) {
	dir := t.TempDir()
	x := reopen(t, dir)
	upsert(t, x, 0, 20)
	moved := item(3)
	moved.Vector = []float32{5, 0}
	if _, err := x.Upsert(t.Context(), items(moved)); err != nil {
		t.Fatal(err)
	}
	if n, err := x.Delete(t.Context(), []string{"item-000", "item-001", "nobody"}); n != 2 || err != nil {
		t.Fatalf("delete: got %d, %v, want 2", n, err)
	}
	copied := t.TempDir() // what a crash leaves: the files as they are now
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	for _, state := range []string{copied, dir} {
		if state == dir {
			if err := errors.Join(x.Compact(t.Context()), x.Close(), x.Close()); err != nil {
				t.Fatal(err)
			}
		}
		y := reopen(t, state)
		if got, want := query(t, y, 2), []string{"item-003", "item-002"}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if st, err := y.Stats(t.Context()); err != nil || st.Items != 18 || st.Dimensions != 2 || st.ModelDigest != "m" || st.Bytes == 0 {
			t.Errorf("got %+v, %v", st, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	x := reopen(t, t.TempDir())
	upsert(t, x, 0, 2)
	for name, c := range map[string]struct {
		change func(*core.IndexItem)
		want   error
	}{
		"model":  {func(it *core.IndexItem) { it.ModelDigest = "other" }, core.ErrConflict},
		"length": {func(it *core.IndexItem) { it.Vector = []float32{1} }, core.ErrInvalid},
		"zero":   {func(it *core.IndexItem) { it.Vector = []float32{0, 0} }, core.ErrInvalid},
		"no id":  {func(it *core.IndexItem) { it.ID = "" }, core.ErrInvalid},
	} {
		bad := item(9)
		c.change(&bad)
		if n, err := x.Upsert(t.Context(), items(item(5), bad, item(6))); n != 1 || !errors.Is(err, c.want) {
			t.Errorf("upsert %s: got %d, %v, want 1, %v", name, n, err, c.want)
		}
		if name != "no id" {
			q := core.IndexQuery{Vector: bad.Vector, K: 1, ModelDigest: bad.ModelDigest}
			if _, err := x.QueryBatch(t.Context(), []core.IndexQuery{q}); !errors.Is(err, c.want) {
				t.Errorf("query %s: got %v, want %v", name, err, c.want)
			}
		}
	}
	for _, k := range []int{0, 1001} {
		if _, err := x.Query(t.Context(), core.IndexQuery{Vector: []float32{1, 1}, K: k, ModelDigest: "m"}); !errors.Is(err, core.ErrInvalid) {
			t.Errorf("k %d: got %v, want ErrInvalid", k, err)
		}
	}
	broken := errors.New("broken stream")
	n, err := x.Upsert(t.Context(), func(yield func(core.IndexItem, error) bool) {
		_ = yield(item(7), nil) && yield(core.IndexItem{}, broken)
	})
	if n != 1 || !errors.Is(err, broken) {
		t.Errorf("broken stream: got %d, %v", n, err)
	}
	if st, _ := x.Stats(t.Context()); st.Items != 4 {
		t.Errorf("got %d items, want 4", st.Items)
	}
}

func TestConcurrentUse(t *testing.T) {
	x := reopen(t, t.TempDir())
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 10 {
				upsert(t, x, w*10+i, w*10+i+1)
				query(t, x, 3)
			}
		})
	}
	wg.Wait()
	if st, _ := x.Stats(t.Context()); st.Items != 40 {
		t.Errorf("got %d items, want 40", st.Items)
	}
}

func TestOpenRefusesDamageAndASecondProcess(t *testing.T) {
	dir := t.TempDir()
	reopen(t, dir)
	if _, err := open(dir, hclog.NewNullLogger()); err == nil {
		t.Error("opened twice")
	}
	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, "CURRENT"), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(broken, hclog.NewNullLogger()); err == nil {
		t.Error("opened nonsense")
	}
}
