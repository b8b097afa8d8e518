package hnsw

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"sync"
)

// MaxDimensions is the longest vector an index takes.
const MaxDimensions = 4096

// MaxM is the largest number of links a node may be given on one level.
const MaxM = 128

var (
	// ErrVector reports a vector without direction (all zeros, NaN or
	// infinite) or longer than [MaxDimensions].
	ErrVector = errors.New("vector has no direction or a bad length")
	// ErrDimensions reports a vector whose length is not the index's.
	ErrDimensions = errors.New("vector length differs from the index's")
	// ErrArgument reports a configuration or query outside its range.
	ErrArgument = errors.New("argument out of range")
	// ErrSnapshot reports snapshot bytes that are damaged or of another format.
	ErrSnapshot = errors.New("snapshot is damaged")
)

// Config holds the build parameters. The zero value of a field means its
// default.
type Config struct {
	// M is the number of links of a new node on every level, 2..128; level 0
	// holds up to 2*M. Default 16.
	M int
	// EfConstruction is the breadth of the search that finds a new node's
	// neighbours, M..4096. Default 200.
	EfConstruction int
	// EfSearch is the breadth of a query that names none, 1..4096. Default 64.
	EfSearch int
	// ScanRows is the number of rows below which a filtered query scans all
	// passing rows instead of walking the graph. Default 4000.
	ScanRows int
	// Seed makes the levels of the nodes reproducible. Any value; default 0.
	Seed uint64
}

func (c Config) withDefaults() (Config, error) {
	c.M = orDefault(c.M, 16)
	c.EfConstruction = orDefault(c.EfConstruction, max(200, c.M))
	c.EfSearch = orDefault(c.EfSearch, 64)
	c.ScanRows = orDefault(c.ScanRows, 4000)
	switch {
	case c.M < 2 || c.M > MaxM:
		return c, fmt.Errorf("m %d not in 2..%d: %w", c.M, MaxM, ErrArgument)
	case c.EfConstruction < c.M || c.EfConstruction > 4096:
		return c, fmt.Errorf("ef_construction %d not in %d..4096: %w", c.EfConstruction, c.M, ErrArgument)
	case c.EfSearch < 1 || c.EfSearch > 4096:
		return c, fmt.Errorf("ef_search %d not in 1..4096: %w", c.EfSearch, ErrArgument)
	case c.ScanRows < 1:
		return c, fmt.Errorf("scan_rows %d below 1: %w", c.ScanRows, ErrArgument)
	}
	return c, nil
}

func orDefault(v, d int) int {
	if v == 0 {
		return d
	}
	return v
}

// Item is a row: an identifier, a vector of any length but zero, and the
// attributes that filters look at.
type Item struct {
	ID         string
	Vector     []float32
	Attributes map[string][]string
}

// Stats describes an index: live rows, deleted rows that still hold a place in
// the graph, the length of vectors (0 before the first), and the memory that
// vectors and links take.
type Stats struct {
	Items, Deleted, Dimensions int
	Bytes                      int64
}

const (
	chunkRows = 1024 // rows of vectors allocated at once, so that growing copies nothing
	maxLevel  = 30
)

// Index is a set of rows searchable by cosine similarity. It is safe for
// concurrent use: queries run side by side, writes one at a time.
type Index struct {
	mu  sync.RWMutex
	cfg Config
	dim int

	// Per slot, all of the same length. A slot is a row's place in the graph.
	ids   []string
	attrs []map[string][]string
	state []slotState
	upper [][]uint32 // links above level 0: per level a count and cfg.M slots
	base  []uint32   // links of level 0: per slot a count and 2*cfg.M slots
	chunk [][]float32

	byID    map[string]uint32
	free    []uint32 // slots that nothing links to any more
	deleted int
	rows    postings
	entry   uint32
	top     int    // level of the entry, -1 when the graph is empty
	seq     uint64 // nodes ever added: what the next node's level is drawn from
	scratch sync.Pool
}

type slotState uint8

const (
	slotLive    slotState = iota
	slotDeleted           // never returned, still a waypoint
	slotFree              // linked from nowhere, may be taken again
)

// New returns an empty index. The first item decides the length of vectors.
func New(cfg Config) (*Index, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	x := &Index{cfg: cfg}
	x.scratch.New = func() any { return new(scratch) }
	x.reset()
	return x, nil
}

func (x *Index) reset() {
	x.ids, x.attrs, x.state, x.upper, x.base, x.chunk = nil, nil, nil, nil, nil, nil
	x.byID, x.free, x.deleted = map[string]uint32{}, nil, 0
	x.rows = postings{}
	x.entry, x.top = 0, -1
}

// CheckVector says whether v has a direction and at most [MaxDimensions]
// components; otherwise it returns [ErrVector].
func CheckVector(v []float32) error {
	_, err := normalized(v)
	return err
}

func normalized(v []float32) ([]float32, error) {
	if len(v) > MaxDimensions {
		return nil, fmt.Errorf("length %d over %d: %w", len(v), MaxDimensions, ErrVector)
	}
	u, ok := unit(v)
	if !ok {
		return nil, ErrVector
	}
	return u, nil
}

func (x *Index) checked(v []float32) ([]float32, error) {
	if x.dim != 0 && len(v) != x.dim {
		return nil, fmt.Errorf("length %d, index has %d: %w", len(v), x.dim, ErrDimensions)
	}
	return normalized(v)
}

// Upsert adds it, or replaces the row of the same ID. Vector and attributes
// are copied. Errors: [ErrVector], [ErrDimensions].
func (x *Index) Upsert(it Item) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	v, err := x.checked(it.Vector)
	if err != nil {
		return err
	}
	x.dim = len(v)
	attrs := cloneAttributes(it.Attributes)
	if old, ok := x.byID[it.ID]; ok {
		if slices.Equal(x.vector(old), v) {
			x.rows.remove(old, x.attrs[old])
			x.attrs[old] = attrs
			x.rows.add(old, attrs)
			return nil
		}
		x.drop(it.ID, old)
	}
	x.add(it.ID, v, attrs)
	return nil
}

func cloneAttributes(in map[string][]string) map[string][]string {
	out := make(map[string][]string, len(in))
	for k, vs := range in {
		out[k] = slices.Clone(vs)
	}
	return out
}

// Delete removes the row with that ID from every answer and says whether there
// was one. Its node stays a waypoint of the graph until [Index.Compact].
func (x *Index) Delete(id string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	slot, ok := x.byID[id]
	if ok {
		x.drop(id, slot)
	}
	return ok
}

func (x *Index) drop(id string, slot uint32) {
	delete(x.byID, id)
	x.state[slot] = slotDeleted
	x.deleted++
	if len(x.byID) == 0 { // nothing left to find a way to
		dim := x.dim
		x.reset()
		x.dim = dim
	}
}

// Has says whether a row with that ID exists.
func (x *Index) Has(id string) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	_, ok := x.byID[id]
	return ok
}

// Len is the number of rows.
func (x *Index) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.byID)
}

// Stats describes the index as it is now.
func (x *Index) Stats() Stats {
	x.mu.RLock()
	defer x.mu.RUnlock()
	bytes := int64(len(x.base)+len(x.chunk)*chunkRows*x.dim) * 4
	for _, u := range x.upper {
		bytes += int64(len(u)) * 4
	}
	return Stats{Items: len(x.byID), Deleted: x.deleted, Dimensions: x.dim, Bytes: bytes}
}

// All yields every row in the order of IDs, with its vector at length one. The
// rows are copies; the index may change while they are read.
func (x *Index) All() iter.Seq[Item] {
	return func(yield func(Item) bool) {
		x.mu.RLock()
		ids := slices.Sorted(maps.Keys(x.byID))
		x.mu.RUnlock()
		for _, id := range ids {
			it, ok := x.item(id)
			if ok && !yield(it) {
				return
			}
		}
	}
}

// Clone returns an index of its own with the same rows and the same graph.
func (x *Index) Clone() *Index {
	x.mu.RLock()
	defer x.mu.RUnlock()
	y := &Index{
		cfg: x.cfg, dim: x.dim, deleted: x.deleted, entry: x.entry, top: x.top, seq: x.seq,
		ids: slices.Clone(x.ids), state: slices.Clone(x.state), base: slices.Clone(x.base), free: slices.Clone(x.free),
		attrs: make([]map[string][]string, len(x.attrs)), upper: make([][]uint32, len(x.upper)),
		chunk: make([][]float32, len(x.chunk)), byID: maps.Clone(x.byID), rows: make(postings, len(x.rows)),
	}
	y.scratch.New = func() any { return new(scratch) }
	for i, attrs := range x.attrs {
		y.attrs[i], y.upper[i] = attrs, slices.Clone(x.upper[i]) // attributes are replaced, never changed
	}
	for i, c := range x.chunk {
		y.chunk[i] = slices.Clone(c)
	}
	for name, byValue := range x.rows {
		y.rows[name] = make(map[string][]uint32, len(byValue))
		for v, list := range byValue {
			y.rows[name][v] = slices.Clone(list)
		}
	}
	return y
}

func (x *Index) item(id string) (Item, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	slot, ok := x.byID[id]
	if !ok {
		return Item{}, false
	}
	return Item{ID: id, Vector: slices.Clone(x.vector(slot)), Attributes: cloneAttributes(x.attrs[slot])}, true
}

func (x *Index) vector(slot uint32) []float32 {
	at := int(slot%chunkRows) * x.dim
	return x.chunk[slot/chunkRows][at : at+x.dim : at+x.dim]
}

// drawLevel gives the n-th node its level: exponentially distributed with mean
// 1/ln(M), from a counter hashed with the seed (SplitMix64), so that it is the
// same after a restart.
func (x *Index) drawLevel() int {
	x.seq++
	z := x.cfg.Seed + x.seq*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	u := (float64(z>>11) + 1) / (1 << 53) // 0 < u <= 1
	return min(maxLevel, int(-math.Log(u)/math.Log(float64(x.cfg.M))))
}
