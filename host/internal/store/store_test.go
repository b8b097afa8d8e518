package store

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/zerostate/zerostate/core"
)

func open(t *testing.T, fs vfs.FS) *Store {
	t.Helper()
	s, err := Open("db", fs)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSetGetDelete(t *testing.T) {
	s := open(t, vfs.NewMem())
	defer s.Close()
	if _, err := s.Get("a"); !errors.Is(err, core.ErrNotFound) {
		t.Fatalf("got %v, want ErrNotFound", err)
	}
	if err := s.Set("a", []byte("1")); err != nil {
		t.Fatal(err)
	}
	if v, err := s.Get("a"); err != nil || string(v) != "1" {
		t.Fatalf("got %q, %v, want 1", v, err)
	}
	if err := s.Delete("a"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get("a"); !errors.Is(err, core.ErrNotFound) {
		t.Fatalf("got %v, want ErrNotFound", err)
	}
}

func TestScanStaysUnderItsPrefix(t *testing.T) {
	s := open(t, vfs.NewMem())
	defer s.Close()
	if err := s.Write(Pair{"a/1", []byte(`1`)}, Pair{"a/2", []byte(`2`)}, Pair{"b/1", []byte(`3`)}, Pair{"a/2", nil}); err != nil {
		t.Fatal(err)
	}
	var got []int
	for v, err := range ScanJSON[int](s, "a/") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, v)
	}
	if len(got) != 1 || got[0] != 1 {
		t.Fatalf("got %v, want [1]", got)
	}
}

func TestJSON(t *testing.T) {
	s := open(t, vfs.NewMem())
	defer s.Close()
	type row struct{ N int }
	if err := s.SetJSON("r", row{7}); err != nil {
		t.Fatal(err)
	}
	var r row
	if err := s.GetJSON("r", &r); err != nil || r.N != 7 {
		t.Fatalf("got %v, %v, want 7", r, err)
	}
	if err := s.Set("r", []byte("{")); err != nil {
		t.Fatal(err)
	}
	if err := s.GetJSON("r", &r); err == nil {
		t.Fatal("damaged JSON was read without an error")
	}
}

// TestWritesSurviveACrash drops everything that was not synced, as a power cut does.
func TestWritesSurviveACrash(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := open(t, fs)
	for i := range 50 {
		if err := s.Set(fmt.Sprintf("k%02d", i), []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	after := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 0})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, after)
	defer s.Close()
	for i := range 50 {
		if v, err := s.Get(fmt.Sprintf("k%02d", i)); err != nil || v[0] != byte(i) {
			t.Fatalf("write %d was lost: %v, %v", i, v, err)
		}
	}
}
