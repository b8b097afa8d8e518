package pack

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
)

var content = map[string]string{"a.txt": "hello", "dir/b.go": "package b\n", "empty": ""}

func tarOf(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipOf(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipOf(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWalk(t *testing.T) {
	plain := tarOf(t, content)
	for format, data := range map[string][]byte{"tar": plain, "tar.gz": gzipOf(t, plain), "zip": zipOf(t, content)} {
		got := map[string]string{}
		gotFormat, err := Walk(data, func(e Entry, r io.Reader) error {
			text, err := io.ReadAll(r)
			got[e.Name] = string(text)
			if e.Size != int64(len(text)) {
				t.Errorf("%s %s: got size %d, want %d", format, e.Name, e.Size, len(text))
			}
			return err
		})
		if err != nil || gotFormat != format || !maps.Equal(got, content) {
			t.Errorf("%s: got %s, %v, %q, want %q", format, gotFormat, err, got, content)
		}
	}
}

func TestWalkBroken(t *testing.T) {
	ignore := func(_ Entry, r io.Reader) error { _, err := io.Copy(io.Discard, r); return err }
	plain := tarOf(t, content)
	for name, data := range map[string][]byte{
		"text": []byte("hello"), "empty": nil, "gzip of text": gzipOf(t, []byte(strings.Repeat("x", 2000))),
	} {
		if _, err := Walk(data, ignore); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: got %v, want %v", name, err, ErrFormat)
		}
	}
	for name, data := range map[string][]byte{"cut tar": plain[:515], "cut gzip": gzipOf(t, plain)[:80], "cut zip": zipOf(t, content)[:60]} {
		if _, err := Walk(data, ignore); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

func TestWalkBounds(t *testing.T) {
	w := &walker{visit: func(_ Entry, r io.Reader) error { _, err := io.Copy(io.Discard, r); return err }, left: 2000}
	if err := w.tar(bytes.NewReader(tarOf(t, content))); !errors.Is(err, errTooLarge) {
		t.Errorf("got %v, want %v", err, errTooLarge)
	}
	w = &walker{visit: func(Entry, io.Reader) error { return nil }, left: MaxBytes, entries: MaxEntries}
	if err := w.tar(bytes.NewReader(tarOf(t, content))); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("got %v, want too many entries", err)
	}
}
