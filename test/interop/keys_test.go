package interop

import (
	"crypto/ed25519"
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/zerostate/zerostate/core"
)

const network = "zerostate-test"

// signed is when the documents of these tests, golden ones too, were signed.
var signed = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// signer returns the signer of a name, whose seed is a fixed hash: the same key
// as in core's own tests.
func signer(name string) core.Signer {
	seed := sha256.Sum256([]byte("zerostate-test-" + name))
	return core.NewSigner(ed25519.NewKeyFromSeed(seed[:]))
}

// golden reads one of core's golden documents.
func golden(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "core", "testdata", "golden", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
