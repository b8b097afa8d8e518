package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/adler32"
	"hash/crc32"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

func committed(t *testing.T, name string) []byte {
	t.Helper()
	return readFile(t, "..", "agents", "c", name, "agent.wasm")
}

// TestChecksum compares the C agent with the standard library around every edge
// of a SHA-256 block.
func TestChecksum(t *testing.T) {
	m, module := newMachine(t), committed(t, "checksum")
	sizes := []int{0, 1, 55, 56, 57, 63, 64, 65, 119, 120, 128, 70_000}
	for i, size := range sizes {
		data := bytes.Repeat([]byte{0xa5, 'x', 0, 0xff, 7}, size/5+1)[:size]
		got := m.run(t, module, i%2 == 0, map[string][]byte{"file": data})
		sum := sha256.Sum256(data)
		want := fmt.Sprintf("{\"bytes\":%d,\"sha256\":%q,\"crc32\":\"%08x\",\"adler32\":\"%08x\"}\n",
			size, hex.EncodeToString(sum[:]), crc32.ChecksumIEEE(data), adler32.Checksum(data))
		if got.exit != 0 || string(got.outputs["checksums.json"]) != want {
			t.Errorf("%d bytes: got exit %d %s%s, want %s", size, got.exit, got.outputs["checksums.json"], got.stderr, want)
		}
		if !strings.Contains(got.stdout, hex.EncodeToString(sum[:])) {
			t.Errorf("summary: got %q", got.stdout)
		}
	}
	if got := m.run(t, module, true, nil); got.exit != 1 || !strings.Contains(got.stderr, "can not open") {
		t.Errorf("without a file: got exit %d %q, want 1", got.exit, got.stderr)
	}
}

type counts struct {
	Lines, Words, Bytes, Distinct int
	Top                           []struct {
		Word  string
		Count int
	}
}

func TestWordcount(t *testing.T) {
	m, module := newMachine(t), committed(t, "wordcount")
	run := func(text []byte) counts {
		got := m.run(t, module, true, map[string][]byte{"text": text})
		var c counts
		if err := json.Unmarshal(got.outputs["counts.json"], &c); got.exit != 0 || err != nil {
			t.Fatalf("got exit %d, %v, %s", got.exit, err, got.stderr)
		}
		return c
	}
	c := run([]byte("The cat's hat — the Über-cat.\n\tthe end 'quoted' "))
	if c.Lines != 1 || c.Words != 9 || c.Distinct != 7 || c.Top[0].Word != "the" || c.Top[0].Count != 3 || c.Top[1].Word != "cat" || c.Top[6].Word != "Über" {
		t.Errorf("got %+v", c)
	}
	for _, odd := range []string{strings.Repeat("漢字", 50), "x\xe2\x80", "\xff\xfe \xed\xa0\x80 \xf4\x90\x80\x80", strings.Repeat("\x80", 200), strings.Repeat("é", 70)} {
		got := m.run(t, module, true, map[string][]byte{"text": []byte(odd)})
		if !utf8.Valid(got.outputs["counts.json"]) || !json.Valid(got.outputs["counts.json"]) {
			t.Errorf("%q: got %q, want JSON", odd, got.outputs["counts.json"])
		}
	}
	if got := m.run(t, module, false, map[string][]byte{"text": {}}); got.exit != 2 {
		t.Errorf("empty text: got exit %d, want 2", got.exit)
	}
	readme := readFile(t, "..", "README.md")
	c = run(readme)
	if c.Lines != bytes.Count(readme, []byte("\n")) || c.Words != len(strings.Fields(string(readme))) || c.Bytes != len(readme) {
		t.Errorf("README: got %+v, want %d lines, %d words, %d bytes", c, bytes.Count(readme, []byte("\n")), len(strings.Fields(string(readme))), len(readme))
	}
}

// TestWordcountManyWords fills the table of different words.
func TestWordcountManyWords(t *testing.T) {
	m, module := newMachine(t), committed(t, "wordcount")
	var text bytes.Buffer
	for i := range 49152 {
		fmt.Fprintf(&text, "w%d ", i)
	}
	if got := m.run(t, module, true, map[string][]byte{"text": text.Bytes()}); got.exit != 0 || !strings.Contains(string(got.outputs["counts.json"]), `"distinct":49152,`) {
		t.Errorf("full table: got exit %d %s", got.exit, got.outputs["counts.json"])
	}
	text.WriteString("more")
	if got := m.run(t, module, true, map[string][]byte{"text": text.Bytes()}); got.exit != 2 || !strings.Contains(got.stderr, "too many different words") {
		t.Errorf("overfull table: got exit %d %q", got.exit, got.stderr)
	}
}

// TestRebuild holds the committed modules to their sources, byte for byte, where
// the compiler is the one that made them.
func TestRebuild(t *testing.T) {
	version, err := exec.CommandContext(t.Context(), "clang", "--version").CombinedOutput()
	if err != nil || !bytes.Contains(version, []byte("version 14.0.6")) {
		t.Skipf("NOT CHECKED that the committed C agents are what their sources make: wants clang 14.0.6, have %.60q (%v)", version, err)
	}
	out := t.TempDir()
	text, err := exec.CommandContext(t.Context(), "make", "-C", filepath.Join("..", "agents", "c"), "rebuild", "DEST="+out).CombinedOutput()
	if err != nil {
		if bytes.Contains(text, []byte("wasm-ld")) || bytes.Contains(text, []byte("wasi/api.h")) {
			t.Skipf("NOT CHECKED that the committed C agents are what their sources make: no lld or wasi-libc:\n%s", text)
		}
		t.Fatalf("rebuild: %v\n%s", err, text)
	}
	for _, name := range []string{"checksum", "wordcount"} {
		if !bytes.Equal(readFile(t, out, name, "agent.wasm"), committed(t, name)) {
			t.Errorf("%s: the committed module is not what its source makes: make -C agents/c rebuild", name)
		}
	}
}
