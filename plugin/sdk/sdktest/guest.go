package sdktest

import (
	"fmt"
	"slices"

	"github.com/zerostate/zerostate/core"
)

// The guests of the executor's suite: WASM modules of a hundred bytes.
var (
	guestHello = guest(opWrite, opDrop)                           // writes greeting to stdout, exits 0
	guestExit3 = guest([]byte{0x41, 3}, opExit)                   // proc_exit(3)
	guestTrap  = guest([]byte{0x00})                              // unreachable
	guestLoop  = guest([]byte{0x03, 0x40, 0x0c, 0, 0x0b})         // loop br 0 end
	guestNoise = guest([]byte{0x03, 0x40}, opWrite, opDrop, opBr) // writes for ever
)

// greeting is what guestHello writes.
const greeting = "hello, zerostate\n"

var (
	// fd_write(1, iov at 0, 1 of them, written at 8)
	opWrite = []byte{0x41, 1, 0x41, 0, 0x41, 1, 0x41, 8, 0x10, 0}
	opDrop  = []byte{0x1a}
	opExit  = []byte{0x10, 1} // proc_exit
	opBr    = []byte{0x0c, 0, 0x0b}
)

// size is a length in LEB128, of one byte: nothing here is longer.
func size(n int) byte {
	if n < 0 || n > 127 {
		panic("a part of the guest is longer than 127 bytes")
	}
	return byte(n)
}

// guest builds a WASI command with the instructions of its _start.
// Source: WebAssembly core specification 1.0, section 5.5 (modules).
func guest(code ...[]byte) []byte {
	section := func(id byte, body ...[]byte) []byte {
		all := slices.Concat(body...)
		return append([]byte{id, size(len(all))}, all...)
	}
	name := func(s string) []byte { return append([]byte{size(len(s))}, s...) }
	const wasi = "wasi_snapshot_preview1"
	body := append(slices.Concat(append([][]byte{{0}}, code...)...), 0x0b) // no locals, code, end
	iov := []byte{16, 0, 0, 0, size(len(greeting)), 0, 0, 0}
	return slices.Concat(
		[]byte("\x00asm\x01\x00\x00\x00"),
		// types: fd_write (i32 x4) -> i32, proc_exit (i32), _start ()
		section(1, []byte{3, 0x60, 4, 0x7f, 0x7f, 0x7f, 0x7f, 1, 0x7f, 0x60, 1, 0x7f, 0, 0x60, 0, 0}),
		section(2, []byte{2}, name(wasi), name("fd_write"), []byte{0, 0}, name(wasi), name("proc_exit"), []byte{0, 1}),
		section(3, []byte{1, 2}),    // one function of type 2
		section(5, []byte{1, 0, 1}), // one page of memory
		section(7, []byte{2}, name("memory"), []byte{2, 0}, name("_start"), []byte{0, 2}),                      // exports
		section(10, []byte{1}, []byte{size(len(body))}, body),                                                  // code
		section(11, []byte{2, 0, 0x41, 0, 0x0b}, name(string(iov)), []byte{0, 0x41, 16, 0x0b}, name(greeting)), // data
	)
}

// newTask resolves a small manifest over a module and one input, "doc". The
// price is 10 micros a request.
func newTask(t T, module, doc []byte, nonceName string) *core.Resolved {
	t.Helper()
	manifest, err := core.ParseManifest(fmt.Appendf(nil, `
apiVersion: zerostate.dev/v1alpha1
kind: Task
spec:
  module: {uri: "file:m.wasm"}
  inputs:
    - {name: doc, uri: "file:doc.txt", mount: /in/doc.txt}
  outputs:
    - {name: page, path: /out/page.txt, maxBytes: 1MiB}
  limits: {wallTimeout: 300ms, stdoutBytes: 1000}
  settlement: {currency: TEST, unit: req, priceMicros: 10, perUnits: 1}
`), "task.yaml")
	must(t, "manifest", err)
	ref := func(data []byte) core.InputRef { return core.InputRef{CID: core.CardCID(data), SHA256: sha(data)} }
	task, err := manifest.Resolve(core.Contents{
		Module: ref(module), Inputs: map[string]core.InputRef{"doc": ref(doc)},
		Nonce: nonce(nonceName), Seed: sha([]byte("seed")),
	})
	must(t, "resolve", err)
	return task
}

// manifestOf returns the canonical bytes of a task.
func manifestOf(t T, task *core.Resolved) []byte {
	t.Helper()
	data, err := task.Bytes()
	must(t, "manifest bytes", err)
	return data
}
