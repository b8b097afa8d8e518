package core

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// testNow is the moment at which tests happen.
var testNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// testKey returns the key of a name: its seed is a fixed hash.
func testKey(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("zerostate-test-" + name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// testSigner returns the signer of a name.
func testSigner(name string) Signer { return NewSigner(testKey(name)) }

// testDID returns the did of a name.
func testDID(name string) DID { return testSigner(name).DID() }

// golden compares got with testdata/golden/<name>, which -update rewrites.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}
