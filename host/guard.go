package host

import (
	"errors"
	"fmt"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/store"
)

// guard is the signing guard of PROTOCOL.md ("Agreement"; EIP-3076 does the same
// for validators): per channel the highest version that this node signed and its
// digest, synced before the signature leaves. A home never signs two documents
// of one version, nor an older version again.
type guard struct {
	store *store.Store
}

type guardEntry struct {
	Version int64  `json:"version"`
	Digest  string `json:"digest"`
}

// signedLast answers what was signed last of a channel; the zero value where
// nothing was.
func (g *guard) signedLast(channel string) (guardEntry, error) {
	var last guardEntry
	err := g.store.GetJSON("guard/"+channel, &last)
	if errors.Is(err, core.ErrNotFound) {
		return guardEntry{}, nil
	}
	return last, err
}

// sign signs state once the guard holds it. The same document may be signed
// again: Ed25519 gives the same bytes. Another one of its version, or an older
// version, is core.ErrConflict.
func (g *guard) sign(state *core.State, s core.Signer) error {
	digest, err := core.Digest(state)
	if err != nil {
		return err
	}
	key := "guard/" + state.Channel
	var last guardEntry
	err = g.store.GetJSON(key, &last)
	switch {
	case errors.Is(err, core.ErrNotFound):
	case err != nil:
		return err
	case last.Version == state.Version && last.Digest == digest:
		return core.Sign(state, s)
	case last.Version >= state.Version:
		return fmt.Errorf("channel %.8s: version %d was signed before, version %d of another content is refused: %w",
			state.Channel, last.Version, state.Version, core.ErrConflict)
	}
	if err := g.store.SetJSON(key, guardEntry{state.Version, digest}); err != nil {
		return err
	}
	return core.Sign(state, s)
}
