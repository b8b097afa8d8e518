package hnsw

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
)

func sample(tb testing.TB) (*Index, [][]float32) {
	tb.Helper()
	vectors := clustered(320, 12, 5)
	x := build(tb, Config{Seed: 3, M: 6}, vectors[:300], func(i int) map[string][]string {
		return map[string][]string{"region": {fmt.Sprint(i % 3)}, "tags": {"a", fmt.Sprint(i % 7)}}
	})
	for i := 0; i < 60; i += 2 {
		x.Delete(name(i))
	}
	x.Compact()
	for i := 61; i < 70; i++ {
		x.Delete(name(i))
	}
	return x, vectors[300:]
}

func TestSnapshotRoundTrip(t *testing.T) {
	x, queries := sample(t)
	image := saved(t, x)
	for _, m := range []int{6, 10} { // as built, and built anew
		y, err := Load(bytes.NewReader(image), Config{Seed: 3, M: m})
		if err != nil {
			t.Fatal(err)
		}
		if m == 6 && !bytes.Equal(saved(t, y), image) {
			t.Error("saved again, the bytes differ")
		}
		if y.Len() != x.Len() {
			t.Errorf("m %d: got %d rows, want %d", m, y.Len(), x.Len())
		}
		for _, q := range queries {
			q := Query{Vector: q, K: 10, Ef: 300, Filter: []Condition{{"region", []string{"1", "2"}}}}
			a, errA := x.Query(q)
			b, errB := y.Query(q)
			if errA != nil || errB != nil || !slices.Equal(hitIDs(a), hitIDs(b)) {
				t.Fatalf("m %d: got %v %v, want %v %v", m, hitIDs(b), errB, hitIDs(a), errA)
			}
		}
		for i := range 50 { // and it goes on growing
			if err := y.Upsert(Item{ID: fmt.Sprint("more", i), Vector: queries[i%len(queries)]}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestCloneIsIndependent(t *testing.T) {
	x, queries := sample(t)
	before := saved(t, x)
	y := x.Clone()
	if !bytes.Equal(saved(t, y), before) {
		t.Fatal("the clone differs")
	}
	y.Compact()
	for i, q := range queries {
		if err := y.Upsert(Item{ID: name(i * 7), Vector: q, Attributes: map[string][]string{"region": {"1"}}}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(saved(t, x), before) {
		t.Error("changing the clone changed the original")
	}
}

func TestSnapshotOfNothing(t *testing.T) {
	x := build(t, Config{}, nil, nil)
	y, err := Load(bytes.NewReader(saved(t, x)), Config{})
	if err != nil || y.Len() != 0 {
		t.Fatalf("got %v, %v", y, err)
	}
	if err := y.Upsert(Item{ID: "a", Vector: []float32{1}}); err != nil {
		t.Error(err)
	}
}

func TestSnapshotDamageIsFound(t *testing.T) {
	x := build(t, Config{M: 4}, clustered(40, 4, 1), func(i int) map[string][]string { return map[string][]string{"r": {"x"}} })
	x.Delete(name(3))
	image := saved(t, x)
	for n := range image {
		if _, err := Load(bytes.NewReader(image[:n]), Config{M: 4}); !errors.Is(err, ErrSnapshot) {
			t.Fatalf("cut to %d bytes: got %v, want ErrSnapshot", n, err)
		}
		bad := slices.Clone(image)
		bad[n] ^= 1 << (n % 8)
		if _, err := Load(bytes.NewReader(bad), Config{M: 4}); !errors.Is(err, ErrSnapshot) {
			t.Fatalf("byte %d changed: got %v, want ErrSnapshot", n, err)
		}
	}
}

type failingWriter struct{ left int }

func (w *failingWriter) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 {
		return 0, errDisk
	}
	return len(b), nil
}

var errDisk = errors.New("disk full")

func TestSnapshotReportsWriteErrors(t *testing.T) {
	x, _ := sample(t)
	size := len(saved(t, x))
	for _, room := range []int{0, size - 1} {
		if err := x.Save(&failingWriter{room}); !errors.Is(err, errDisk) {
			t.Errorf("room %d: got %v, want disk full", room, err)
		}
	}
	if _, err := Load(bytes.NewReader(nil), Config{M: 1}); !errors.Is(err, ErrArgument) {
		t.Errorf("got %v, want ErrArgument", err)
	}
}
