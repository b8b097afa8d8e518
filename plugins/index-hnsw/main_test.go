package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk"
)

func start(t *testing.T, dir string, settings map[string]any) (*sdk.Client[core.Index], error) {
	t.Helper()
	client, err := sdk.Index.Builtin(t.Context(), plugin(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	_, err = client.Base().Configure(t.Context(), sdk.Configuration{Config: settings, Node: sdk.NodeContext{StateDir: dir}})
	return client, err
}

func items(n int) func(func(core.IndexItem, error) bool) {
	return func(yield func(core.IndexItem, error) bool) {
		for i := range n {
			it := core.IndexItem{
				ID: fmt.Sprintf("item-%d", i), Vector: []float32{1, float32(i)}, ModelDigest: "m",
				Attributes: map[string][]string{"tags": {fmt.Sprint(i % 3)}},
			}
			if !yield(it, nil) {
				return
			}
		}
	}
}

func TestThroughTheCodec(t *testing.T) {
	dir := t.TempDir()
	for round := range 2 { // the second finds what the first stored
		client, err := start(t, dir, map[string]any{"m": 8, "seed": 3})
		if err != nil {
			t.Fatal(err)
		}
		index := client.Impl()
		if round == 0 {
			if n, err := index.Upsert(t.Context(), items(300)); n != 300 || err != nil {
				t.Fatalf("got %d, %v", n, err)
			}
			if n, err := index.Delete(t.Context(), []string{"item-0"}); n != 1 || err != nil {
				t.Fatalf("got %d, %v", n, err)
			}
		}
		q := core.IndexQuery{
			Vector: []float32{1, 0}, K: 2, ModelDigest: "m",
			Filter: []core.Condition{{Attribute: "tags", AnyOf: []string{"0"}}},
		}
		res, err := index.Query(t.Context(), q)
		if err != nil || len(res.Hits) != 2 || res.Hits[0].ID != "item-3" {
			t.Errorf("round %d: got %+v, %v", round, res, err)
		}
		q.ModelDigest = "other"
		if _, err := index.Query(t.Context(), q); !errors.Is(err, core.ErrConflict) {
			t.Errorf("got %v, want ErrConflict", err)
		}
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBadSettings(t *testing.T) {
	for _, settings := range []map[string]any{{"m": 1}, {"m": 64, "ef_construction": 32}, {"mm": 3}} {
		if _, err := start(t, t.TempDir(), settings); !errors.Is(err, core.ErrInvalid) {
			t.Errorf("%v: got %v, want ErrInvalid", settings, err)
		}
	}
}

func TestBench(t *testing.T) {
	var out, errs bytes.Buffer
	if code := bench([]string{"-n", "300", "-d", "16", "-queries", "20"}, &out, &errs); code != 0 || !strings.Contains(out.String(), "recall@10") {
		t.Errorf("got %d, %q, %q", code, out.String(), errs.String())
	}
	for _, args := range [][]string{{"-n", "0"}, {"-x"}} {
		if code := bench(args, &out, &errs); code != 2 {
			t.Errorf("%v: got %d, want 2", args, code)
		}
	}
	if code := bench([]string{"-n", "5", "-m", "1"}, &out, &errs); code != 1 {
		t.Errorf("bad m: got %d, want 1", code)
	}
}
