package hnsw

// candidate is a node seen by a walk and its similarity to the query.
type candidate struct {
	sim  float32
	slot uint32
}

// nearer orders candidates: the more similar first, ties by slot.
func nearer(a, b candidate) bool {
	return a.sim > b.sim || (a.sim == b.sim && a.slot < b.slot)
}

func compareNearer(a, b candidate) int {
	switch {
	case nearer(a, b):
		return -1
	case nearer(b, a):
		return 1
	}
	return 0
}

// nearHeap keeps its nearest candidate on top; farHeap its farthest. They are
// written out by hand: container/heap's interface calls cost a third of a walk.
type (
	nearHeap []candidate
	farHeap  []candidate
)

func (h *nearHeap) push(c candidate) {
	*h = append(*h, c)
	s := *h
	i := len(s) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !nearer(c, s[parent]) {
			break
		}
		s[i] = s[parent]
		i = parent
	}
	s[i] = c
}

func (h *nearHeap) pop() candidate {
	s := *h
	top, last := s[0], s[len(s)-1]
	s = s[:len(s)-1]
	*h = s
	i := 0
	for {
		child := 2*i + 1
		if child >= len(s) {
			break
		}
		if child+1 < len(s) && nearer(s[child+1], s[child]) {
			child++
		}
		if !nearer(s[child], last) {
			break
		}
		s[i] = s[child]
		i = child
	}
	if len(s) > 0 {
		s[i] = last
	}
	return top
}

func (h *farHeap) push(c candidate) {
	*h = append(*h, c)
	s := *h
	i := len(s) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !nearer(s[parent], c) {
			break
		}
		s[i] = s[parent]
		i = parent
	}
	s[i] = c
}

// replaceTop drops the farthest candidate and takes c in.
func (h *farHeap) replaceTop(c candidate) {
	s := *h
	i := 0
	for {
		child := 2*i + 1
		if child >= len(s) {
			break
		}
		if child+1 < len(s) && nearer(s[child], s[child+1]) {
			child++
		}
		if !nearer(c, s[child]) {
			break
		}
		s[i] = s[child]
		i = child
	}
	s[i] = c
}

// keep pushes c while fewer than limit are held, else takes it in when it is
// nearer than the farthest.
func (h *farHeap) keep(c candidate, limit int) {
	switch {
	case len(*h) < limit:
		h.push(c)
	case nearer(c, (*h)[0]):
		h.replaceTop(c)
	}
}
