// Command index-hnsw is the default index plugin: approximate nearest-neighbour
// search over an HNSW graph, durable. The algorithm is package hnsw beside it,
// the files are internal/store's. "index-hnsw bench" measures it here.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk"
	"github.com/zerostate/zerostate/plugins/index-hnsw/hnsw"
	"github.com/zerostate/zerostate/plugins/index-hnsw/internal/store"
)

// config is the plugin's block in the configuration.
type config struct {
	M              int   `zs:"m" default:"16" range:"2..128" doc:"links per node and level; more costs memory and finds more"`
	EfConstruction int   `zs:"ef_construction" default:"200" range:"8..4096" doc:"breadth of the search that links a new node"`
	EfSearch       int   `zs:"ef_search" default:"64" range:"1..4096" doc:"breadth of a query that names none; more is slower and finds more"`
	ScanRows       int   `zs:"scan_rows" default:"4000" range:"1.." doc:"a filter that at most this many rows pass is answered exactly"`
	Seed           int   `zs:"seed" default:"1" range:"0.." doc:"makes the graph reproducible"`
	SnapshotBytes  int64 `zs:"snapshot_bytes" default:"64MiB" range:"4096.." unit:"bytes" doc:"size of the log that starts a snapshot"`
}

func plugin() sdk.Plugin[core.Index] {
	return sdk.Plugin[core.Index]{
		Name:         "hnsw",
		Version:      "1.0.0",
		Capabilities: []string{"filter", "durable", "approximate"},
		State:        sdk.StateExclusive,
		Config:       &config{},
		New:          newIndex,
	}
}

func newIndex(_ context.Context, env sdk.Env) (core.Index, error) {
	c, ok := env.Config.(*config)
	if !ok {
		return nil, fmt.Errorf("config of type %T: %w", env.Config, core.ErrInvalid)
	}
	if c.EfConstruction < c.M {
		return nil, core.FieldErrors{{Path: "ef_construction", Problem: "below m"}}
	}
	return store.Open(store.Config{
		Dir: env.StateDir, SnapshotBytes: c.SnapshotBytes, Log: env.Log,
		Graph: hnsw.Config{
			M: c.M, EfConstruction: c.EfConstruction, EfSearch: c.EfSearch, ScanRows: c.ScanRows,
			Seed: uint64(c.Seed), //nolint:gosec // the range starts at 0
		},
	})
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "bench" {
		os.Exit(bench(os.Args[2:], os.Stdout, os.Stderr))
	}
	sdk.Index.Serve(plugin())
}
