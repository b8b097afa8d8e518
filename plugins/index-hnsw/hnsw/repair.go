package hnsw

import "slices"

// Compact takes the nodes of deleted rows out of the graph and frees their
// places. Every live node that linked to one is linked anew, choosing among its
// live neighbours and those of the nodes that go; when more than half of all
// nodes go, the graph is built from scratch, which is then both cheaper and
// better. It returns the number of nodes removed. Queries wait meanwhile.
func (x *Index) Compact() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	removed := x.deleted
	switch {
	case removed == 0:
	case removed > len(x.byID):
		x.rebuild()
	default:
		x.repair()
	}
	return removed
}

// rebuild adds every live row, in the order of slots, to an empty graph.
func (x *Index) rebuild() {
	old := &Index{dim: x.dim, chunk: x.chunk, ids: x.ids, attrs: x.attrs, state: x.state}
	x.reset()
	for slot, st := range old.state {
		if st == slotLive {
			at := uint32(slot) //nolint:gosec // an index into state
			x.add(old.ids[slot], old.vector(at), old.attrs[slot])
		}
	}
}

func (x *Index) repair() {
	var orphans []uint32
	for slot, st := range x.state {
		if st != slotLive {
			continue
		}
		at := uint32(slot) //nolint:gosec // an index into state
		for l := x.levelOf(at); l >= 0; l-- {
			if !x.relink(at, l) && l == 0 {
				orphans = append(orphans, at)
			}
		}
	}
	x.freeDeleted()
	x.chooseEntry()
	for _, slot := range orphans {
		if slot != x.entry {
			x.insert(slot, x.levelOf(slot))
		}
	}
}

// relink replaces slot's links to deleted nodes on level. It says whether slot
// has a live neighbour left.
func (x *Index) relink(slot uint32, level int) bool {
	old := slices.Clone(x.neighbors(slot, level))
	isDeleted := func(n uint32) bool { return x.state[n] == slotDeleted }
	if !slices.ContainsFunc(old, isDeleted) {
		return len(old) > 0
	}
	near := x.around(slot, level, old)
	row := x.row(slot, level)
	links := x.selectNeighbors(near, len(row)-1)
	setRow(row, links)
	for _, c := range links {
		if !slices.Contains(old, c.slot) {
			x.linkBack(c.slot, candidate{c.sim, slot}, level)
		}
	}
	return len(links) > 0
}

// around collects the live nodes that slot reaches through its links and
// through deleted nodes, nearest first. It goes on through chains of deleted
// nodes until it has a few times as many as a node has links.
func (x *Index) around(slot uint32, level int, links []uint32) []candidate {
	const enough = 8
	limit := enough * x.cfg.M
	v := x.vector(slot)
	seen := map[uint32]bool{slot: true}
	queue := slices.Clone(links)
	var near []candidate
	for len(queue) > 0 && len(near) < limit {
		n := queue[0]
		queue = queue[1:]
		if seen[n] {
			continue
		}
		seen[n] = true
		if x.state[n] == slotLive {
			near = append(near, candidate{dot(v, x.vector(n)), n})
		} else {
			queue = append(queue, x.neighbors(n, level)...)
		}
	}
	slices.SortFunc(near, compareNearer)
	return near
}

// freeDeleted empties the slots of deleted rows. Nothing links to them now.
func (x *Index) freeDeleted() {
	for slot, st := range x.state {
		if st != slotDeleted {
			continue
		}
		at := uint32(slot) //nolint:gosec // an index into state
		x.rows.remove(at, x.attrs[slot])
		x.ids[slot], x.attrs[slot], x.upper[slot] = "", nil, nil
		x.state[slot] = slotFree
		x.row(at, 0)[0] = 0
		x.free = append(x.free, at)
	}
	x.deleted = 0
}

// chooseEntry makes the first live node of the highest level the entry.
func (x *Index) chooseEntry() {
	x.top = -1
	for slot, st := range x.state {
		at := uint32(slot) //nolint:gosec // an index into state
		if st == slotLive && x.levelOf(at) > x.top {
			x.entry, x.top = at, x.levelOf(at)
		}
	}
}
