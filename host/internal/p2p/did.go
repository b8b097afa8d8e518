package p2p

import (
	"crypto/ed25519"
	"fmt"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/zerostate/zerostate/core"
)

// PeerOf returns the peer id of a node did. The error is core.ErrInvalid.
func PeerOf(did core.DID) (peer.ID, error) {
	pub, err := did.PublicKey()
	if err != nil {
		return "", fmt.Errorf("node did %s: %w", did, err)
	}
	key, err := crypto.UnmarshalEd25519PublicKey(pub)
	if err != nil {
		return "", fmt.Errorf("node did %s: %w", did, core.ErrInvalid)
	}
	id, err := peer.IDFromPublicKey(key)
	if err != nil {
		return "", fmt.Errorf("node did %s: %w", did, core.ErrInvalid)
	}
	return id, nil
}

// DIDOfPeer returns the node did of a peer id; only Ed25519 peers have one.
// The error is core.ErrInvalid.
func DIDOfPeer(id peer.ID) (core.DID, error) {
	key, err := id.ExtractPublicKey()
	if err != nil {
		return "", fmt.Errorf("peer id %s holds no key: %w", id, core.ErrInvalid)
	}
	if key.Type() != crypto.Ed25519 {
		return "", fmt.Errorf("peer id %s is not of an Ed25519 key: %w", id, core.ErrInvalid)
	}
	raw, err := key.Raw()
	if err != nil {
		return "", fmt.Errorf("peer id %s: %w", id, core.ErrInvalid)
	}
	return core.ParseDID(string(core.DIDOf(ed25519.PublicKey(raw))))
}
