package hnsw

import "slices"

// Condition holds for a row whose attribute has at least one of the values.
type Condition struct {
	Attribute string
	AnyOf     []string
}

// postings lists, for every attribute and value, the slots that have it, in
// rising order. Slots of deleted rows stay listed until a compaction; readers
// skip them by their state.
type postings map[string]map[string][]uint32

func (p postings) add(slot uint32, attrs map[string][]string) {
	for name, values := range attrs {
		byValue := p[name]
		if byValue == nil {
			byValue = map[string][]uint32{}
			p[name] = byValue
		}
		for _, v := range values {
			list := byValue[v]
			at, found := slices.BinarySearch(list, slot)
			if !found { // a value given twice is listed once
				byValue[v] = slices.Insert(list, at, slot)
			}
		}
	}
}

func (p postings) remove(slot uint32, attrs map[string][]string) {
	for name, values := range attrs {
		for _, v := range values {
			list := p[name][v]
			if at, found := slices.BinarySearch(list, slot); found {
				p[name][v] = slices.Delete(list, at, at+1)
			}
			if len(p[name][v]) == 0 {
				delete(p[name], v)
			}
		}
	}
}

// bitmap is a set of slots.
type bitmap []uint64

func (b bitmap) set(slot uint32)      { b[slot/64] |= 1 << (slot % 64) }
func (b bitmap) has(slot uint32) bool { return b[slot/64]&(1<<(slot%64)) != 0 }

// passing returns the live slots for which all conditions hold. The rarest
// condition is read from its postings; the others are looked up per row.
func (x *Index) passing(filter []Condition) []uint32 {
	rarest, size := 0, -1
	for i, c := range filter {
		n := 0
		for _, v := range c.AnyOf {
			n += len(x.rows[c.Attribute][v])
		}
		if size < 0 || n < size {
			rarest, size = i, n
		}
	}
	seen := make(bitmap, len(x.ids)/64+1)
	out := make([]uint32, 0, size)
	for _, v := range filter[rarest].AnyOf {
		for _, slot := range x.rows[filter[rarest].Attribute][v] {
			if x.state[slot] != slotLive || seen.has(slot) {
				continue
			}
			seen.set(slot)
			if x.holds(slot, filter, rarest) {
				out = append(out, slot)
			}
		}
	}
	return out
}

// holds says whether all conditions but the one at index except hold for slot.
func (x *Index) holds(slot uint32, filter []Condition, except int) bool {
	for i, c := range filter {
		if i == except {
			continue
		}
		if !slices.ContainsFunc(x.attrs[slot][c.Attribute], func(v string) bool { return slices.Contains(c.AnyOf, v) }) {
			return false
		}
	}
	return true
}
