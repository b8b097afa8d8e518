package wasmrun

import (
	"bytes"
	"errors"
	"testing"

	"github.com/zerostate/zerostate/core"
)

const preamble = "\x00asm\x01\x00\x00\x00"

func testLimits() moduleLimits {
	return moduleLimits{moduleBytes: 1 << 20, functions: 10, functionBytes: 10, tableElements: 100}
}

func TestScanModule(t *testing.T) {
	cases := []struct {
		name, module, want string
		err                error
	}{
		{"empty", preamble, preamble, nil},
		{"custom section", preamble + "\x00\x02\x01x", preamble + "\x00\x02\x01x", nil},
		{"table gets a maximum", preamble + "\x04\x04\x01\x70\x00\x05", preamble + "\x04\x05\x01\x70\x01\x05\x64", nil},
		{"table keeps its maximum", preamble + "\x04\x05\x01\x70\x01\x05\x06", preamble + "\x04\x05\x01\x70\x01\x05\x06", nil},
		{"two tables share", preamble + "\x04\x07\x02\x70\x00\x05\x70\x00\x05", preamble + "\x04\x09\x02\x70\x01\x05\x32\x70\x01\x05\x32", nil},
		{"no tables", preamble + "\x04\x01\x00", preamble + "\x04\x01\x00", nil},
		{"not wasm", "MZ......", "", core.ErrInvalid},
		{"short", "\x00asm", "", core.ErrInvalid},
		{"component", "\x00asm\x0d\x00\x01\x00", "", core.ErrUnsupported},
		{"other version", "\x00asm\x02\x00\x00\x00", "", core.ErrUnsupported},
		{"cut section", preamble + "\x01\x05\x00", "", core.ErrInvalid},
		{"cut size", preamble + "\x01\x80", "", core.ErrInvalid},
		{"malformed section", preamble + "\x04\x01\x01", "", core.ErrInvalid},
		{"large table", preamble + "\x04\x04\x01\x70\x00\x7f", "", core.ErrInvalid},
		{"shared table", preamble + "\x04\x04\x01\x70\x03\x01", "", core.ErrUnsupported},
		{"shared memory", preamble + "\x05\x04\x01\x03\x01\x02", "", core.ErrUnsupported},
		{"64-bit memory", preamble + "\x05\x03\x01\x04\x01", "", core.ErrUnsupported},
		{"many functions", preamble + "\x03\x01\x0b", "", core.ErrInvalid},
		{"large function", preamble + "\x0a\x02\x01\x0b", "", core.ErrInvalid},
		{"cut function", preamble + "\x0a\x02\x01\x05", "", core.ErrInvalid},
		{"imports a memory", preamble + "\x02\x08\x01\x01e\x01m\x02\x00\x01", "", core.ErrUnsupported},
		{"imports of another module", preamble + "\x02\x07\x01\x01e\x01f\x00\x00", "", core.ErrUnsupported},
		{"cut import", preamble + "\x02\x02\x01\x05", "", core.ErrInvalid},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := scanModule([]byte(c.module), testLimits())
			if !errors.Is(err, c.err) || err == nil && string(got.module) != c.want {
				t.Errorf("got %x, %v, want %x, %v", got.module, err, c.want, c.err)
			}
		})
	}
	got, err := scanModule([]byte(preamble+"\x05\x04\x01\x01\x03\x09"), testLimits())
	if err != nil || got.memoryBytes != 3*wasmPageBytes {
		t.Errorf("memory: got %d, %v, want 3 pages", got.memoryBytes, err)
	}
}

func TestBadModules(t *testing.T) {
	e := open(t, EngineInterpreter, func(c *Config) { c.MaxModuleBytes = 64 << 10 })
	start := "\x01\x04\x01\x60\x00\x00" + "\x03\x02\x01\x00" + "\x07\x0a\x01\x06_start\x00\x00" + "\x0a\x04\x01\x02\x00\x0b"
	cases := []struct {
		name, module string
		want         error
	}{
		{"smallest", preamble + start, nil},
		{"no start", preamble, core.ErrInvalid},
		{"does not validate", preamble + "\x01\x04\x01\x60\x00\x00" + "\x03\x02\x01\x00" + "\x0a\x04\x01\x02\x00\x6a", core.ErrInvalid},
		{"unknown import", preamble + "\x01\x04\x01\x60\x00\x00" + "\x02\x20\x01\x16wasi_snapshot_preview1\x05spawn\x00\x00", core.ErrUnsupported},
		{"too large", preamble + string(make([]byte, 64<<10)), core.ErrInvalid},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := e.Prepare(t.Context(), core.PrepareRequest{Manifest: task(t, []byte(c.module), nil, nil), Module: bytes.NewReader([]byte(c.module))})
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func FuzzScanModule(f *testing.F) {
	f.Add([]byte(preamble + "\x04\x04\x01\x70\x00\x05"))
	f.Add(guestModule)
	f.Fuzz(func(t *testing.T, module []byte) {
		got, err := scanModule(module, testLimits())
		if err != nil {
			return
		}
		again, err := scanModule(got.module, testLimits())
		if err != nil || !bytes.Equal(again.module, got.module) {
			t.Errorf("scanning %x again: got %x, %v", got.module, again.module, err)
		}
	})
}
