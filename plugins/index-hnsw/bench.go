package main

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/zerostate/zerostate/plugins/index-hnsw/hnsw"
)

// bench builds an index of clustered vectors from a seeded generator and
// prints recall against an exact scan, throughput and latency by ef. It
// returns the exit code.
func bench(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("index-hnsw bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	n := flags.Int("n", 10000, "vectors")
	dim := flags.Int("d", 384, "dimensions")
	queries := flags.Int("queries", 500, "queries per row of the table")
	m := flags.Int("m", 16, "links per node")
	efc := flags.Int("ef-construction", 200, "breadth of the build")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if *n < 1 || *dim < 1 || *dim > hnsw.MaxDimensions || *queries < 1 {
		_, _ = fmt.Fprintln(stderr, "index-hnsw bench: -n, -d and -queries must be positive")
		return 2
	}
	if err := runBench(stdout, *n, *dim, *queries, hnsw.Config{M: *m, EfConstruction: *efc, Seed: 1}); err != nil {
		_, _ = fmt.Fprintln(stderr, "index-hnsw bench:", err)
		return 1
	}
	return 0
}

func runBench(out io.Writer, n, dim, queries int, cfg hnsw.Config) error {
	draw := clusters(n, dim)
	cfg.ScanRows = n
	index, err := hnsw.New(cfg)
	if err != nil {
		return err
	}
	start := time.Now()
	for i := range n {
		it := hnsw.Item{ID: fmt.Sprintf("%08d", i), Vector: draw(), Attributes: map[string][]string{"all": {"yes"}}}
		if err := index.Upsert(it); err != nil {
			return err
		}
	}
	built := time.Since(start)
	asked := make([][]float32, queries)
	for i := range asked {
		asked[i] = draw()
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintf(table, "built %d x %d in %v (%.0f/s), %d MB\n", n, dim, built.Round(time.Millisecond),
		float64(n)/built.Seconds(), index.Stats().Bytes>>20)
	_, _ = fmt.Fprintln(table, "ef\trecall@10\tQPS\tP50\tP95\tP99\t")
	truth, err := exactTruth(index, asked)
	if err != nil {
		return err
	}
	for _, ef := range []int{16, 32, 64, 128, 256} {
		took, recall, err := measure(index, asked, truth, ef)
		if err != nil {
			return err
		}
		var sum time.Duration
		for _, d := range took {
			sum += d
		}
		at := func(p int) time.Duration { return took[(len(took)-1)*p/100].Round(time.Microsecond) }
		_, _ = fmt.Fprintf(table, "%d\t%.4f\t%.0f\t%v\t%v\t%v\t\n", ef, recall, float64(len(took))/sum.Seconds(), at(50), at(95), at(99))
	}
	return table.Flush()
}

// clusters draws vectors around n/50 centres.
func clusters(n, dim int) func() []float32 {
	r := rand.New(rand.NewPCG(7, 1)) //nolint:gosec // data that anyone can make again
	gaussian := func(around []float32, spread float64) []float32 {
		v := make([]float32, dim)
		for i := range v {
			v[i] = float32(r.NormFloat64() * spread)
			if around != nil {
				v[i] += around[i]
			}
		}
		return v
	}
	centers := make([][]float32, n/50+1)
	for i := range centers {
		centers[i] = gaussian(nil, 1)
	}
	return func() []float32 { return gaussian(centers[r.IntN(len(centers))], 0.5) }
}

// exactTruth answers the queries exactly: the index scans the rows that pass a
// filter when they are no more than ScanRows, and this filter all rows pass.
func exactTruth(index *hnsw.Index, asked [][]float32) ([][]string, error) {
	truth := make([][]string, len(asked))
	for i, q := range asked {
		res, err := index.Query(hnsw.Query{Vector: q, K: 10, Filter: []hnsw.Condition{{Attribute: "all", AnyOf: []string{"yes"}}}})
		if err != nil {
			return nil, err
		}
		truth[i] = ids(res)
	}
	return truth, nil
}

func ids(res hnsw.Result) []string {
	out := make([]string, len(res.Hits))
	for i, h := range res.Hits {
		out[i] = h.ID
	}
	return out
}

// measure returns the sorted latencies and the mean recall at one ef.
func measure(index *hnsw.Index, asked [][]float32, truth [][]string, ef int) ([]time.Duration, float64, error) {
	took := make([]time.Duration, 0, len(asked))
	found, wanted := 0, 0
	for i, q := range asked {
		start := time.Now()
		res, err := index.Query(hnsw.Query{Vector: q, K: 10, Ef: ef})
		if err != nil {
			return nil, 0, err
		}
		took = append(took, time.Since(start))
		for _, id := range ids(res) {
			if slices.Contains(truth[i], id) {
				found++
			}
		}
		wanted += len(truth[i])
	}
	slices.Sort(took)
	return took, float64(found) / float64(wanted), nil
}
