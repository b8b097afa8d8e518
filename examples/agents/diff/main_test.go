package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	long := strings.Repeat("x\n", 5000) + "old\n" + strings.Repeat("x\n", 5000)
	if got, err := compare(long, strings.Replace(long, "old", "new", 1)); err != nil || !strings.Contains(got, "@@ -4998,7 +4998,7 @@\n x\n x\n x\n-old\n+new\n x\n") {
		t.Errorf("long texts: got %.200q, %v", got, err)
	}
	const before = "one\ntwo\nthree\nfour\nfive\nsix\n"
	got, err := compare(before, strings.Replace(before, "three\n", "3\n--\n", 1))
	want := "--- old\n+++ new\n@@ -1,6 +1,7 @@\n one\n two\n-three\n+3\n+--\n four\n five\n six\n"
	if err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if added, removed := count(got); added != 2 || removed != 1 {
		t.Errorf("got %d added and %d removed, want 2 and 1", added, removed)
	}
	if got, err := compare(before, before); err != nil || got != "" {
		t.Errorf("equal texts: got %q, %v, want nothing", got, err)
	}
}

// TestPatch lets patch turn one file of this directory into another.
func TestPatch(t *testing.T) {
	tool, err := exec.LookPath("patch")
	if err != nil {
		t.Skip("NOT CHECKED with patch: there is none")
	}
	before, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	after := strings.TrimSuffix(strings.ReplaceAll(string(before), "text", "words"), "\n")
	patch, err := compare(string(before), after)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "old")
	if err := os.WriteFile(file, before, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), tool, file)
	cmd.Stdin = strings.NewReader(patch)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("patch: %v\n%s", err, text)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != after {
		t.Errorf("got %q, %v, want %q", got, err, after)
	}
}
