package hnsw_test

import (
	"fmt"

	"github.com/zerostate/zerostate/plugins/index-hnsw/hnsw"
)

func Example() {
	index, err := hnsw.New(hnsw.Config{Seed: 1})
	if err != nil {
		panic(err)
	}
	for _, it := range []hnsw.Item{
		{ID: "east", Vector: []float32{1, 0}, Attributes: map[string][]string{"region": {"eu"}}},
		{ID: "north-east", Vector: []float32{1, 1}, Attributes: map[string][]string{"region": {"us"}}},
		{ID: "north", Vector: []float32{0, 1}, Attributes: map[string][]string{"region": {"eu"}}},
	} {
		if err := index.Upsert(it); err != nil {
			panic(err)
		}
	}
	res, err := index.Query(hnsw.Query{
		Vector: []float32{1, 0.5},
		K:      2,
		Filter: []hnsw.Condition{{Attribute: "region", AnyOf: []string{"eu"}}},
	})
	if err != nil {
		panic(err)
	}
	for _, h := range res.Hits {
		fmt.Printf("%s %.3f\n", h.ID, h.Score)
	}
	// Output:
	// east 0.894
	// north 0.447
}
