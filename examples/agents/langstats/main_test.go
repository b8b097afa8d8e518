package main

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCount(t *testing.T) {
	for _, c := range []struct {
		file, text string
		want       lines
	}{
		{"a.go", "// Package a.\npackage a\n\n/* one\n two */ var x = 1 // y\nvar s = \"// no\" /* c */\n", lines{1, 3, 2, 1}},
		{"a.py", "# c\nx = 1\n\n\n", lines{1, 1, 1, 2}},
		{"a.html", "<!-- c\n-->\n<p>x</p>\n", lines{1, 1, 2, 0}},
		{"Makefile", "all:\n\techo # no comment of make's\n# c\n", lines{1, 2, 1, 0}},
		{"a.css", "a{} /* c\n*/\n", lines{1, 1, 1, 0}},
	} {
		got, err := count(strings.NewReader(c.text), kindOf(c.file))
		if err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v, want %+v", c.file, got, err, c.want)
		}
	}
	if _, err := count(strings.NewReader(strings.Repeat("x", maxLineBytes+1)), kindOf("a.go")); err == nil {
		t.Error("got no error for a line that is too long")
	}
}

// tarOf packs files of the directory.
func tarOf(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, data := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestMeasure measures this directory.
func TestMeasure(t *testing.T) {
	files := map[string][]byte{"vendor/x/x.go": []byte("package x\n"), "logo.png": {1}}
	names, err := filepath.Glob("*")
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files["src/"+name] = data
		total += bytes.Count(data, []byte("\n"))
	}
	r, err := measure(tarOf(t, files))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Languages) != 2 || r.Languages[0].Name != "Go" || r.Languages[1].Name != "YAML" || r.Skipped != 2 {
		t.Errorf("got %+v, want Go, then YAML, two files skipped", r)
	}
	if got := r.Total.Code + r.Total.Comments + r.Total.Blank; got != total || r.Total.Files != len(names) {
		t.Errorf("got %d lines in %d files, want %d in %d", got, r.Total.Files, total, len(names))
	}
	if _, err := measure(tarOf(t, map[string][]byte{"logo.png": {1}})); err == nil {
		t.Error("got no error for a tree without sources")
	}
}
