// Package guild makes the short-lived private group of a requester and a
// worker: the sealed Offer, the Accept, and the frames that follow.
//
// A requester starts at NewOffer, a worker at OpenOffer; both end with a
// Session, which seals and opens frames until it is wiped or its time is over.
// The package neither opens streams nor keeps anything on disk but the node's
// seal key.
//
// Keys are wiped on a best effort: Go may have copied them, and pages may have
// been swapped out. What the Offer itself carries lacks forward secrecy until
// the seal key is deleted; inputs and outputs have it.
package guild

import (
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"

	"github.com/gowebpki/jcs"

	"github.com/zerostate/zerostate/core"
)

// Labels, each for one kind of key: a seal key opens Offers, a guild key the
// secret in an Accept, and none opens the other.
const (
	labelOffer  = "zerostate/offer/1"
	labelAccept = "zerostate/accept/1"
	labelFrame  = "zerostate/frame/1"
)

const (
	keyBytes    = 32
	secretBytes = 32
)

// sealContext is what HPKE binds a sealed message to.
type sealContext struct {
	label     string
	network   string
	guild     string
	sender    core.DID
	recipient core.DID
}

func (c sealContext) info(recipientKey []byte) ([]byte, error) {
	return canonical(map[string]any{
		"guild": c.guild, "keyHash": keyHash(recipientKey), "label": c.label, "network": c.network,
		"recipient": string(c.recipient), "sender": string(c.sender), "suite": core.SuiteX25519,
	})
}

// seal returns enc || ciphertext.
func seal(public []byte, c sealContext, plain []byte) ([]byte, error) {
	info, err := c.info(public)
	if err != nil {
		return nil, err
	}
	key, err := hpke.DHKEM(ecdh.X25519()).NewPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("x25519 key (%w): %w", err, core.ErrInvalid)
	}
	sealed, err := hpke.Seal(key, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info, plain)
	if err != nil {
		return nil, fmt.Errorf("seal (%w): %w", err, core.ErrInvalid)
	}
	return sealed, nil
}

// open is the inverse of seal; the error is core.ErrDenied.
func open(private *ecdh.PrivateKey, c sealContext, sealed []byte) ([]byte, error) {
	info, err := c.info(private.PublicKey().Bytes())
	if err != nil {
		return nil, err
	}
	key, err := hpke.NewDHKEMPrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("x25519 key (%w): %w", err, core.ErrInvalid)
	}
	plain, err := hpke.Open(key, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info, sealed)
	if err != nil {
		return nil, fmt.Errorf("sealed message does not open: %w", core.ErrDenied)
	}
	return plain, nil
}

// canonical returns the JCS of an object of strings and whole numbers.
func canonical(object map[string]any) ([]byte, error) {
	raw, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("canonical form: %w", err)
	}
	out, err := jcs.Transform(raw)
	if err != nil {
		return nil, fmt.Errorf("canonical form: %w", err)
	}
	return out, nil
}

func keyHash(public []byte) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:])
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// unb64 reads unpadded base64url of n bytes, in its one spelling.
func unb64(s string, n int) ([]byte, error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || b64(b) != s || len(b) != n {
		return nil, fmt.Errorf("want %d bytes in unpadded base64url: %w", n, core.ErrInvalid)
	}
	return b, nil
}

// draw answers 32 random bytes: the length of every key, nonce and secret here.
func draw(random io.Reader) ([]byte, error) {
	b := make([]byte, secretBytes)
	if _, err := io.ReadFull(random, b); err != nil {
		return nil, fmt.Errorf("draw random bytes: %w", err)
	}
	return b, nil
}

// drawKey makes an X25519 key.
func drawKey(random io.Reader) (*ecdh.PrivateKey, error) {
	b, err := draw(random)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	key, err := ecdh.X25519().NewPrivateKey(b)
	if err != nil {
		return nil, fmt.Errorf("x25519 key: %w", err)
	}
	return key, nil
}
