package wasmrun

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/zerostate/zerostate/core"
)

// Section ids. Source: WebAssembly core specification 2.0, section 5.5.2.
const (
	sectionImport   = 2
	sectionFunction = 3
	sectionTable    = 4
	sectionMemory   = 5
	sectionCode     = 10
)

const wasmPageBytes = 64 << 10

// moduleLimits is what a module may hold so that compiling and instantiating it
// stays bounded: a single function of 364 KB was seen to take 18 s to compile.
type moduleLimits struct {
	moduleBytes   int64
	functions     uint32
	functionBytes uint32
	tableElements int64
}

// scanned is a module that may be compiled.
type scanned struct {
	module      []byte
	memoryBytes int64 // what it starts with
}

// scanModule checks what can be checked before compiling and returns the module
// with its tables bounded to limits.tableElements together (the engine bounds no
// table by itself). ErrInvalid for what is no module or breaks a limit,
// ErrUnsupported for components, threads, 64-bit memories and imports other than
// WASI functions.
func scanModule(module []byte, limits moduleLimits) (scanned, error) {
	var found scanned
	if err := checkPreamble(module); err != nil {
		return found, err
	}
	out := bytes.NewBuffer(make([]byte, 0, len(module)+16))
	out.Write(module[:8])
	r := &reader{data: module, at: 8}
	for r.at < len(module) {
		start := r.at
		id := r.byte()
		size := r.u32()
		body := r.take(int(size))
		if r.bad {
			return found, fmt.Errorf("module: section %d at byte %d is cut off: %w", id, start, core.ErrInvalid)
		}
		replaced, err := scanSection(id, body, limits, &found)
		if err != nil {
			return found, fmt.Errorf("module: %w", err)
		}
		if replaced == nil {
			out.Write(module[start:r.at])
			continue
		}
		out.WriteByte(id)
		out.Write(binary.AppendUvarint(nil, uint64(len(replaced))))
		out.Write(replaced)
	}
	found.module = out.Bytes()
	return found, nil
}

func checkPreamble(module []byte) error {
	switch {
	case len(module) < 8 || string(module[:4]) != "\x00asm":
		return fmt.Errorf("module: is not WebAssembly: %w", core.ErrInvalid)
	case string(module[4:8]) == "\x0d\x00\x01\x00":
		return fmt.Errorf("module: is a component, only core modules of WASI preview 1 run here: %w", core.ErrUnsupported)
	case string(module[4:8]) != "\x01\x00\x00\x00":
		return fmt.Errorf("module: WebAssembly version % x: %w", module[4:8], core.ErrUnsupported)
	}
	return nil
}

// scanSection checks one section; it returns a replacement for the table section
// and nil for every other.
func scanSection(id byte, body []byte, limits moduleLimits, found *scanned) ([]byte, error) {
	r := &reader{data: body}
	var replaced []byte
	var err error
	switch id {
	case sectionImport:
		err = scanImports(r)
	case sectionFunction:
		if n := r.u32(); n > limits.functions {
			err = fmt.Errorf("has %d functions, at most %d are allowed: %w", n, limits.functions, core.ErrInvalid)
		}
	case sectionTable:
		replaced, err = boundTables(r, limits.tableElements)
	case sectionMemory:
		found.memoryBytes, err = scanMemories(r)
	case sectionCode:
		err = scanCode(r, limits.functionBytes)
	}
	if err == nil && r.bad {
		err = fmt.Errorf("section %d is malformed: %w", id, core.ErrInvalid)
	}
	return replaced, err
}

func scanImports(r *reader) error {
	for n := r.u32(); n > 0 && !r.bad; n-- {
		module, name, kind := r.name(), r.name(), r.byte()
		if r.bad {
			break
		}
		if kind != 0 {
			return fmt.Errorf("imports %q.%q, which is not a function: %w", module, name, core.ErrUnsupported)
		}
		if module != core.ABIWASIPreview1 {
			return fmt.Errorf("imports %q.%q, only %s is there: %w", module, name, core.ABIWASIPreview1, core.ErrUnsupported)
		}
		r.u32()
	}
	return nil
}

// scanMemories answers how many bytes the memories start with.
func scanMemories(r *reader) (int64, error) {
	var low int64
	for n := r.u32(); n > 0 && !r.bad; n-- {
		flag := r.byte()
		if flag > 1 {
			return 0, fmt.Errorf("has a shared or 64-bit memory: %w", core.ErrUnsupported)
		}
		low += int64(r.u32()) * wasmPageBytes
		if flag == 1 {
			r.u32()
		}
	}
	return low, nil
}

func scanCode(r *reader, most uint32) error {
	for i, n := uint32(0), r.u32(); i < n && !r.bad; i++ {
		size := r.u32()
		if size > most {
			return fmt.Errorf("function %d has %d bytes, at most %d are allowed: %w", i, size, most, core.ErrInvalid)
		}
		r.take(int(size))
	}
	return nil
}

// table is one entry of the table section.
type table struct {
	kind      byte
	low, high uint32
}

// boundTables writes the section again with a maximum for every table: what they
// start with, and an equal share of what is left of the limit.
func boundTables(r *reader, most int64) ([]byte, error) {
	var tables []table
	var start int64
	for n := r.u32(); n > 0 && !r.bad; n-- {
		t := table{kind: r.byte(), high: ^uint32(0)}
		flag := r.byte()
		if flag > 1 {
			return nil, fmt.Errorf("has a shared or 64-bit table: %w", core.ErrUnsupported)
		}
		t.low = r.u32()
		if flag == 1 {
			t.high = r.u32()
		}
		start += int64(t.low)
		tables = append(tables, t)
	}
	if start > most {
		return nil, fmt.Errorf("starts with %d table elements, the manifest allows %d: %w", start, most, core.ErrInvalid)
	}
	if r.bad || len(tables) == 0 {
		return nil, nil
	}
	share := uint64(most-start) / uint64(len(tables)) //nolint:gosec // checked: start <= most
	out := binary.AppendUvarint(nil, uint64(len(tables)))
	for _, t := range tables {
		out = append(out, t.kind, 1)
		out = binary.AppendUvarint(out, uint64(t.low))
		out = binary.AppendUvarint(out, min(uint64(t.high), uint64(t.low)+share))
	}
	return out, nil
}

// reader reads the binary format; bad is set once anything is cut off.
type reader struct {
	data []byte
	at   int
	bad  bool
}

func (r *reader) byte() byte {
	b := r.take(1)
	if r.bad {
		return 0
	}
	return b[0]
}

func (r *reader) u32() uint32 {
	if r.bad {
		return 0
	}
	v, n := binary.Uvarint(r.data[r.at:])
	if n <= 0 || n > 5 || v > 1<<32-1 {
		r.bad = true
		return 0
	}
	r.at += n
	return uint32(v)
}

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.data)-r.at {
		r.bad = true
		return nil
	}
	r.at += n
	return r.data[r.at-n : r.at]
}

func (r *reader) name() string { return string(r.take(int(r.u32()))) }
