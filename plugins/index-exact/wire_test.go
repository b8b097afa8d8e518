package main

import (
	"testing"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk"
)

// Through the codec that the host uses.
func TestThroughTheCodec(t *testing.T) {
	client, err := sdk.Index.Builtin(t.Context(), plugin(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	diagnostics, err := client.Base().Configure(t.Context(), sdk.Configuration{Node: sdk.NodeContext{StateDir: t.TempDir()}})
	if err != nil {
		t.Fatal(diagnostics, err)
	}
	if n, err := client.Impl().Upsert(t.Context(), items(item(1), item(2))); n != 2 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	res, err := client.Impl().Query(t.Context(), core.IndexQuery{Vector: []float32{1, 0}, K: 1, ModelDigest: "m"})
	if err != nil || len(res.Hits) != 1 || res.Hits[0].ID != "item-001" {
		t.Errorf("got %+v, %v", res, err)
	}
}
