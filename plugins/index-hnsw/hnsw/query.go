package hnsw

import (
	"cmp"
	"fmt"
	"slices"
)

// MaxK is the largest number of hits a query may ask for.
const MaxK = 1000

// Query asks for the K rows most similar to Vector among those for which every
// condition of Filter holds. K is 1..1000; Ef is the breadth of the walk, 0
// for the index's own and never taken below K.
type Query struct {
	Vector []float32
	K, Ef  int
	Filter []Condition
}

// Hit is a row found. Score is the cosine, -1..1. The attributes are a copy.
type Hit struct {
	ID         string
	Score      float64
	Attributes map[string][]string
}

// Plan says how a query was answered.
type Plan string

// The plans.
const (
	// PlanWalk searched the graph.
	PlanWalk Plan = "walk"
	// PlanScan compared every passing row, because they are few.
	PlanScan Plan = "scan"
	// PlanWalkScan began with a walk and, when that came up short or cost more
	// than a scan, compared every passing row.
	PlanWalkScan Plan = "walk+scan"
)

// Result is the answer to a query: the hits, best first and ties by ID, and
// the number of vectors compared to find them.
type Result struct {
	Hits    []Hit
	Visited int
	Plan    Plan
}

// Query finds the nearest rows. It always returns min(K, rows that pass) hits:
//
//   - When few rows pass the filter it compares all of them, which is exact and
//     faster than any walk.
//   - Otherwise it walks the graph through every node but collects only those
//     that pass, going on until ef of them are held and nothing nearer is in
//     sight; the rarer the filter, the wider that walk.
//   - A walk that has compared as many vectors as there are passing rows, or
//     that ends with too few hits, gives way to the exact comparison.
//
// Errors: [ErrVector], [ErrDimensions], [ErrArgument]. An empty index answers
// no hits.
func (x *Index) Query(q Query) (Result, error) {
	if q.K < 1 || q.K > MaxK {
		return Result{}, fmt.Errorf("k %d not in 1..%d: %w", q.K, MaxK, ErrArgument)
	}
	if q.Ef < 0 || q.Ef > 4096 {
		return Result{}, fmt.Errorf("ef %d not in 0..4096: %w", q.Ef, ErrArgument)
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	v, err := x.checked(q.Vector)
	if err != nil {
		return Result{}, err
	}
	if len(x.byID) == 0 {
		return Result{Plan: PlanScan}, nil
	}
	if len(q.Filter) > 0 {
		return x.queryFiltered(v, q), nil
	}
	var pass func(uint32) bool
	if x.deleted > 0 {
		pass = func(slot uint32) bool { return x.state[slot] == slotLive }
	}
	found, visited, done := x.search(v, q, pass, 0)
	if done && len(found) >= min(q.K, len(x.byID)) {
		return x.result(v, found, q.K, visited, PlanWalk), nil
	}
	return x.scan(v, x.live(), q.K, visited, PlanWalkScan), nil
}

func (x *Index) queryFiltered(v []float32, q Query) Result {
	rows := x.passing(q.Filter)
	if len(rows) <= max(x.cfg.ScanRows, q.K) {
		return x.scan(v, rows, q.K, 0, PlanScan)
	}
	allowed := make(bitmap, len(x.ids)/64+1)
	for _, slot := range rows {
		allowed.set(slot)
	}
	found, visited, done := x.search(v, q, allowed.has, len(rows))
	if done && len(found) >= q.K {
		return x.result(v, found, q.K, visited, PlanWalk)
	}
	return x.scan(v, rows, q.K, visited, PlanWalkScan)
}

// search goes down the levels and walks level 0 (algorithm 5).
func (x *Index) search(v []float32, q Query, pass func(uint32) bool, budget int) ([]candidate, int, bool) {
	s := x.scratch.Get().(*scratch)
	defer x.scratch.Put(s)
	visited := 0
	start := x.descend(v, 0, &visited)
	s.begin(len(x.ids))
	ef := max(orDefault(q.Ef, x.cfg.EfSearch), q.K)
	n, done := x.walk(s, v, []candidate{start}, ef, 0, pass, budget)
	return slices.Clone(s.best), visited + n, done
}

func (x *Index) live() []uint32 {
	out := make([]uint32, 0, len(x.byID))
	for slot, st := range x.state {
		if st == slotLive {
			out = append(out, uint32(slot)) //nolint:gosec // an index into state
		}
	}
	return out
}

// scan compares every one of rows. More than k are kept, so that rows whose
// similarities differ only by rounding are ordered by score and ID alone.
func (x *Index) scan(v []float32, rows []uint32, k, visited int, plan Plan) Result {
	best := make(farHeap, 0, k+scanSlack)
	for _, slot := range rows {
		best.keep(candidate{dot(v, x.vector(slot)), slot}, k+scanSlack)
	}
	return x.result(v, best, k, visited+len(rows), plan)
}

const scanSlack = 16

func (x *Index) result(v []float32, found []candidate, k, visited int, plan Plan) Result {
	slices.SortFunc(found, compareNearer)
	found = found[:min(k+scanSlack, len(found))]
	hits := make([]Hit, len(found))
	for i, c := range found {
		hits[i] = Hit{ID: x.ids[c.slot], Score: score(v, x.vector(c.slot))}
	}
	slices.SortFunc(hits, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID))
	})
	hits = hits[:min(k, len(hits))]
	for i := range hits {
		hits[i].Attributes = cloneAttributes(x.attrs[x.byID[hits[i].ID]])
	}
	return Result{Hits: hits, Visited: visited, Plan: plan}
}
