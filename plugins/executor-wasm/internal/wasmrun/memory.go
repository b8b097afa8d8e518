package wasmrun

import (
	"fmt"

	"github.com/tetratelabs/wazero/experimental"

	"github.com/zerostate/zerostate/core"
)

// memory is the linear memory of one run. Its whole limit is reserved as address
// space, so growing never copies and never needs more than the limit; pages
// become resident when the guest touches them.
type memory struct {
	reserved []byte
	size     int64
	denied   bool // the guest asked for more than the limit
}

// newMemory reserves limit bytes. ErrExhausted where the machine can not.
func newMemory(limit int64) (*memory, error) {
	b, err := reserve(int(limit))
	if err != nil {
		return nil, fmt.Errorf("reserve %d bytes of guest memory: %w: %w", limit, err, core.ErrExhausted)
	}
	return &memory{reserved: b}, nil
}

// Allocate implements experimental.MemoryAllocator.
func (m *memory) Allocate(_, _ uint64) experimental.LinearMemory { return m }

// Reallocate implements experimental.LinearMemory; nil makes memory.grow fail.
func (m *memory) Reallocate(size uint64) []byte {
	if size > uint64(len(m.reserved)) {
		m.denied = true
		return nil
	}
	m.size = max(m.size, int64(size)) //nolint:gosec // at most len(reserved)
	return m.reserved[:size]
}

// Free implements experimental.LinearMemory. The run releases the memory itself,
// when the guest is surely gone.
func (m *memory) Free() {}

// peakPages is the most the guest had, in pages of 64 KiB. Linear memory never
// shrinks, so it is also what it has now.
func (m *memory) peakPages() int64 { return m.size / wasmPageBytes }

func (m *memory) close() error {
	b := m.reserved
	m.reserved = nil
	return release(b)
}
