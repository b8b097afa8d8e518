package core

import (
	"crypto/ed25519"
	"fmt"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// Signer signs with one Ed25519 key that it does not show. Only the host has
// signers; it is safe for concurrent use.
type Signer interface {
	// DID names the key.
	DID() DID
	// Sign returns the 64 bytes of the signature over message.
	Sign(message []byte) ([]byte, error)
}

// NewSigner returns a Signer with the key in memory.
func NewSigner(key ed25519.PrivateKey) Signer {
	return memorySigner{key: key, did: DIDOf(key.Public().(ed25519.PublicKey))}
}

type memorySigner struct {
	key ed25519.PrivateKey
	did DID
}

func (s memorySigner) DID() DID { return s.did }

func (s memorySigner) Sign(message []byte) ([]byte, error) {
	return ed25519.Sign(s.key, message), nil
}

// VerifySignature checks a signature of 64 bytes by did over message: ErrDenied
// where it does not hold, ErrInvalid where did is not one.
func VerifySignature(did DID, message, sig []byte) error {
	pub, err := did.PublicKey()
	if err != nil {
		return err
	}
	if len(sig) != ed25519.SignatureSize || !ed25519.Verify(pub, message, sig) {
		return fmt.Errorf("signature of %s: %w: does not verify", did.Short(), ErrDenied)
	}
	return nil
}

// Signature is one entry of a document's `signatures`.
type Signature struct {
	Key DID    `json:"key"`
	Sig string `json:"sig"` // 64 bytes in padded base64
}

// bytes decodes the signature.
func (s Signature) bytes() ([]byte, error) {
	raw, err := canon.FromB64(s.Sig)
	if err != nil {
		return nil, err
	}
	if len(raw) != ed25519.SignatureSize {
		return nil, fmt.Errorf("%w: want a signature of %d bytes, got %d", ErrInvalid, ed25519.SignatureSize, len(raw))
	}
	return raw, nil
}
