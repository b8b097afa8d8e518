package sdktest_test

import (
	"context"
	"iter"

	"github.com/zerostate/zerostate/core"
)

// forgetful is an index that loses every row and takes everything.
type forgetful struct{ core.Index }

func (forgetful) Upsert(_ context.Context, items iter.Seq2[core.IndexItem, error]) (int, error) {
	n := 0
	for range items {
		n++
	}
	return n, nil
}
