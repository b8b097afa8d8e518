package hnsw

import "slices"

// scratch is what one walk needs; walks take it from a pool.
type scratch struct {
	seen  []uint16 // seen[slot] == epoch: visited by this walk
	epoch uint16
	open  nearHeap
	best  farHeap
	batch []uint32
}

func (s *scratch) begin(slots int) {
	if len(s.seen) < slots {
		s.seen = make([]uint16, slots+slots/4)
		s.epoch = 0
	}
	s.epoch++
	if s.epoch == 0 {
		clear(s.seen)
		s.epoch = 1
	}
	s.open, s.best = s.open[:0], s.best[:0]
}

// row returns the links of slot on level: a count and then room for that many
// slots, nil when the node does not reach that level.
func (x *Index) row(slot uint32, level int) []uint32 {
	if level == 0 {
		stride := 1 + 2*x.cfg.M
		at := int(slot) * stride
		return x.base[at : at+stride : at+stride]
	}
	stride := 1 + x.cfg.M
	u := x.upper[slot]
	if len(u) < level*stride {
		return nil
	}
	return u[(level-1)*stride : level*stride]
}

func (x *Index) neighbors(slot uint32, level int) []uint32 {
	row := x.row(slot, level)
	if row == nil {
		return nil
	}
	return row[1 : 1+row[0]]
}

func setRow(row []uint32, links []candidate) {
	row[0] = uint32(len(links)) //nolint:gosec // at most 2*MaxM
	for i, c := range links {
		row[1+i] = c.slot
	}
}

func (x *Index) levelOf(slot uint32) int { return len(x.upper[slot]) / (1 + x.cfg.M) }

// add puts a new node into the graph (algorithm 1).
func (x *Index) add(id string, v []float32, attrs map[string][]string) {
	level := x.drawLevel()
	slot := x.takeSlot(level)
	x.ids[slot], x.attrs[slot], x.state[slot] = id, attrs, slotLive
	copy(x.vector(slot), v)
	x.byID[id] = slot
	x.rows.add(slot, attrs)
	x.insert(slot, level)
}

// takeSlot returns a free slot, or a new one, with empty links up to level.
func (x *Index) takeSlot(level int) uint32 {
	var slot uint32
	if n := len(x.free); n > 0 {
		slot = x.free[n-1]
		x.free = x.free[:n-1]
		x.row(slot, 0)[0] = 0
	} else {
		slot = uint32(len(x.ids)) //nolint:gosec // memory ends long before 2^32 rows
		x.ids = append(x.ids, "")
		x.attrs = append(x.attrs, nil)
		x.state = append(x.state, slotFree)
		x.upper = append(x.upper, nil)
		x.base = append(x.base, make([]uint32, 1+2*x.cfg.M)...)
		if int(slot)%chunkRows == 0 {
			x.chunk = append(x.chunk, make([]float32, chunkRows*x.dim))
		}
	}
	x.upper[slot] = make([]uint32, level*(1+x.cfg.M))
	return slot
}

// insert links slot, which holds its vector and has no links yet, into the
// graph on level and below.
func (x *Index) insert(slot uint32, level int) {
	if x.top < 0 {
		x.entry, x.top = slot, level
		return
	}
	v := x.vector(slot)
	s := x.scratch.Get().(*scratch)
	defer x.scratch.Put(s)
	at := x.descend(v, level, nil)
	if at.slot == slot { // relinked, and met on the way to itself
		at = candidate{dot(v, x.vector(x.entry)), x.entry}
	}
	near := []candidate{at}
	for l := min(level, x.top); l >= 0; l-- {
		s.begin(len(x.ids))
		s.seen[slot] = s.epoch // a node relinked by a repair must not find itself
		x.walk(s, v, near, x.cfg.EfConstruction, l, nil, 0)
		near = slices.Clone(s.best)
		slices.SortFunc(near, compareNearer)
		links := x.selectNeighbors(near, x.cfg.M)
		setRow(x.row(slot, l), links)
		for _, c := range links {
			x.linkBack(c.slot, candidate{c.sim, slot}, l)
		}
		if len(near) == 0 {
			near = []candidate{at}
		}
	}
	if level > x.top {
		x.entry, x.top = slot, level
	}
}

// descend walks greedily from the entry to the level above the given one and
// returns the nearest node met (algorithm 5, lines 4-6). visited, if not nil,
// counts the vectors compared.
func (x *Index) descend(v []float32, level int, visited *int) candidate {
	best := candidate{dot(v, x.vector(x.entry)), x.entry}
	count := 1
	for l := x.top; l > level; l-- {
		for moved := true; moved; {
			moved = false
			for _, n := range x.neighbors(best.slot, l) {
				count++
				if c := (candidate{dot(v, x.vector(n)), n}); nearer(c, best) {
					best, moved = c, true
				}
			}
		}
	}
	if visited != nil {
		*visited += count
	}
	return best
}

// walk is the search of one level (algorithm 2). It leaves in s.best the ef
// nearest nodes it met that pass (nil: all do); nodes that do not pass are
// waypoints only. It stops when the next node to look at is farther than all
// ef held, or after budget vectors when budget is not 0; it returns how many
// vectors it compared and whether it came to its own end.
func (x *Index) walk(s *scratch, v []float32, from []candidate, ef, level int, pass func(uint32) bool, budget int) (int, bool) {
	visited := 0
	for _, c := range from {
		if s.seen[c.slot] == s.epoch {
			continue
		}
		s.seen[c.slot] = s.epoch
		s.open.push(c)
		if pass == nil || pass(c.slot) {
			s.best.keep(c, ef)
		}
	}
	for len(s.open) > 0 {
		c := s.open.pop()
		if len(s.best) >= ef && nearer(s.best[0], c) {
			return visited, true
		}
		s.batch = s.batch[:0]
		for _, n := range x.neighbors(c.slot, level) {
			if s.seen[n] != s.epoch {
				s.seen[n] = s.epoch
				s.batch = append(s.batch, n)
			}
		}
		visited += len(s.batch)
		for _, n := range s.batch {
			next := candidate{dot(v, x.vector(n)), n}
			if len(s.best) >= ef && !nearer(next, s.best[0]) {
				continue
			}
			s.open.push(next)
			if pass == nil || pass(n) {
				s.best.keep(next, ef)
			}
		}
		if budget > 0 && visited > budget {
			return visited, false
		}
	}
	return visited, true
}

// selectNeighbors is the heuristic of algorithm 4: going from the nearest
// outwards it takes a candidate only when it is nearer to the base than to all
// taken before, so that links point in different directions; places left over
// go to the nearest of those passed over ("keep pruned connections"). sorted
// runs nearest first and is not changed.
func (x *Index) selectNeighbors(sorted []candidate, m int) []candidate {
	if len(sorted) <= m {
		return slices.Clone(sorted)
	}
	taken := make([]candidate, 0, m)
	pruned := make([]candidate, 0, m)
	for _, c := range sorted {
		if len(taken) == m {
			break
		}
		if x.diverse(c, taken) {
			taken = append(taken, c)
		} else if len(pruned) < m {
			pruned = append(pruned, c)
		}
	}
	return append(taken, pruned[:min(len(pruned), m-len(taken))]...)
}

func (x *Index) diverse(c candidate, taken []candidate) bool {
	v := x.vector(c.slot)
	for _, t := range taken {
		if dot(v, x.vector(t.slot)) > c.sim {
			return false
		}
	}
	return true
}

// linkBack adds a link from slot to c on level, choosing anew among all of
// slot's links when it has no room for one more.
func (x *Index) linkBack(slot uint32, c candidate, level int) {
	row := x.row(slot, level)
	n := int(row[0])
	if slices.Contains(row[1:1+n], c.slot) {
		return
	}
	if 1+n < len(row) {
		row[1+n] = c.slot
		row[0]++
		return
	}
	v := x.vector(slot)
	all := make([]candidate, 0, n+1)
	all = append(all, c)
	for _, o := range row[1:] {
		all = append(all, candidate{dot(v, x.vector(o)), o})
	}
	slices.SortFunc(all, compareNearer)
	setRow(row, x.selectNeighbors(all, len(row)-1))
}
