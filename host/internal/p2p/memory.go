package p2p

import (
	"sync"

	"github.com/zerostate/zerostate/core"
)

// Known is what a node remembers of a did whose card it has used.
type Known struct {
	Seq       int64  // highest seq used, ms
	Tombstone []byte // the canonical tombstone, once one was seen
}

// Memory keeps, over restarts, the highest seq per did that the node has used,
// and tombstones. Its methods are safe for concurrent use.
type Memory interface {
	// Known returns what is remembered; the zero value where nothing is.
	Known(did core.DID) (Known, error)
	// Remember raises the seq and keeps a tombstone; it never goes back.
	Remember(did core.DID, known Known) error
}

// NewMemory returns a Memory that forgets when the process ends.
func NewMemory() Memory { return &volatileMemory{known: map[core.DID]Known{}} }

type volatileMemory struct {
	mu    sync.Mutex
	known map[core.DID]Known
}

func (m *volatileMemory) Known(did core.DID) (Known, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known[did], nil
}

func (m *volatileMemory) Remember(did core.DID, k Known) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.known[did]
	old.Seq = max(old.Seq, k.Seq)
	if old.Tombstone == nil {
		old.Tombstone = k.Tombstone
	}
	m.known[did] = old
	return nil
}
