package sdktest

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/zerostate/zerostate/core"
)

// Signer returns the signer of a name: a fixed key that everybody can make, for
// tests only.
func Signer(name string) core.Signer {
	seed := sha256.Sum256([]byte("zerostate-test-" + name))
	return core.NewSigner(ed25519.NewKeyFromSeed(seed[:]))
}

// sha returns the sha256 of data in hex.
func sha(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// nonce returns 32 bytes made from a name, as documents spell them.
func nonce(name string) string {
	sum := sha256.Sum256([]byte(name))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// place makes a place for a node.
func place(t T, node string) Place {
	t.Helper()
	return Place{Node: Signer(node).DID(), StateDir: t.TempDir(), CacheDir: t.TempDir()}
}

// open opens an implementation at a new place for the rest of the check.
func open[I any](t T, s Subject[I]) I {
	t.Helper()
	return openAt(t, s, place(t, "node"))
}

// openAt opens an implementation at a place for the rest of the check.
func openAt[I any](t T, s Subject[I], at Place) I {
	t.Helper()
	impl, closing := openUntil(t, s, at)
	t.Cleanup(closing)
	return impl
}

// openUntil opens an implementation until closing is called.
func openUntil[I any](t T, s Subject[I], at Place) (impl I, closing func()) {
	t.Helper()
	impl, end, err := s.Open(t.Context(), at)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return impl, sync.OnceFunc(func() {
		if err := end(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

// wantIs checks the identity of an error.
func wantIs(t T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

// must stops the check on an error.
func must(t T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// seq yields items, then err where it is not nil.
func seq[V any](err error, items ...V) iter.Seq2[V, error] {
	return func(yield func(V, error) bool) {
		for _, item := range items {
			if !yield(item, nil) {
				return
			}
		}
		if err != nil {
			var none V
			yield(none, err)
		}
	}
}

// errSequence is an error of a sequence that no implementation knows.
var errSequence = errors.New("the sequence broke")

// ended checks that a call reports a context that has ended.
func ended(t T, call func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantIs(t, "cancelled call", call(ctx), context.Canceled)
	late, release := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer release()
	wantIs(t, "call after its deadline", call(late), context.DeadlineExceeded)
}

// together runs n calls at once and reports every error.
func together(t T, n int, call func(i int) error) {
	t.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = call(i) })
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("concurrent call %d: %v", i, err)
		}
	}
}

// numbered is "name-007".
func numbered(name string, i int) string { return fmt.Sprintf("%s-%03d", name, i) }
