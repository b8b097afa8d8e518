package main

import (
	"archive/tar"
	"bytes"
	"os"
	"testing"
	"time"
)

func TestList(t *testing.T) {
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, h := range []tar.Header{
		{Name: "src/", Typeflag: tar.TypeDir, Mode: 0o755, ModTime: at},
		{Name: "src/main.go", Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(source)), ModTime: at},
		{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "src/main.go", Mode: 0o777},
	} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write(source); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := list(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if l.Format != "tar" || l.Files != 1 || l.Directories != 1 || l.Bytes != int64(len(source)) || len(l.Entries) != 3 {
		t.Fatalf("got %+v", l)
	}
	want := entry{Name: "src/main.go", Type: "file", Bytes: int64(len(source)), Mode: "-rw-r--r--", Modified: "2026-01-02T03:04:05Z"}
	if l.Entries[1] != want {
		t.Errorf("got %+v, want %+v", l.Entries[1], want)
	}
	if l.Entries[2].Type != "link" || l.Entries[2].Link != "src/main.go" {
		t.Errorf("got %+v, want the link", l.Entries[2])
	}
	if _, err := list(source); err == nil {
		t.Error("got no error for Go source")
	}
}
