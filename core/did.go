package core

import (
	"crypto/ed25519"
	"fmt"
	"math/big"

	"github.com/mr-tron/base58"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// DID names an Ed25519 key: "did:key:z6Mk…", 56 characters. A DID that was
// read from a document or came from ParseDID or DIDOf is well formed.
type DID string

const (
	didPrefix = "did:key:z"
	didLength = 56 // of the did:key of every Ed25519 key
)

// multicodec of an Ed25519 public key, as an unsigned varint.
var ed25519Codec = [2]byte{0xed, 0x01}

// DIDOf returns the did:key of a public key of 32 bytes.
// Source: the did:key method, "Format".
func DIDOf(pub ed25519.PublicKey) DID {
	return DID(didPrefix + base58.Encode(append(ed25519Codec[:], pub...)))
}

// ParseDID returns s as a DID. It refuses with ErrInvalid every spelling but
// one, other kinds of keys, and points that are not on the curve, not canonical
// or of small order: ed25519.Verify accepts one signature over any message
// under some of them.
func ParseDID(s string) (DID, error) {
	if _, err := DID(s).PublicKey(); err != nil {
		return "", err
	}
	return DID(s), nil
}

// PublicKey returns the key that the DID names, after the checks of ParseDID.
func (d DID) PublicKey() (ed25519.PublicKey, error) {
	if len(d) != didLength || d[:len(didPrefix)] != didPrefix {
		return nil, fmt.Errorf("did %.64q: %w: want did:key:z6Mk… with an Ed25519 key", string(d), ErrInvalid)
	}
	raw, err := base58.Decode(string(d[len(didPrefix):]))
	if err != nil {
		return nil, fmt.Errorf("did %q: %w: %w", string(d), ErrInvalid, err)
	}
	if len(raw) != 34 || [2]byte(raw) != ed25519Codec || base58.Encode(raw) != string(d[len(didPrefix):]) {
		return nil, fmt.Errorf("did %q: %w: not an Ed25519 key", string(d), ErrInvalid)
	}
	if problem := badPoint([32]byte(raw[2:])); problem != "" {
		return nil, fmt.Errorf("did %q: %w: %s", string(d), ErrInvalid, problem)
	}
	return ed25519.PublicKey(raw[2:]), nil
}

// Short returns the did as people are shown it: z6Mk…, and the last six
// characters.
func (d DID) Short() string {
	if len(d) != didLength {
		return string(d)
	}
	return string(d[len("did:key:"):len("did:key:")+4]) + "…" + string(d[didLength-6:])
}

// KeyID is the did with its one key as a fragment, which proofs and JWS name.
func (d DID) KeyID() string {
	if len(d) < len("did:key:") {
		return string(d)
	}
	return string(d) + "#" + string(d[len("did:key:"):])
}

// UnmarshalText reads a did inside a document, with the checks of ParseDID.
func (d *DID) UnmarshalText(text []byte) error {
	parsed, err := ParseDID(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

// NextHash is what a card's `next` commits to: the sha256, in hex, of the 32
// bytes of the public key that may succeed this did.
func (d DID) NextHash() (string, error) {
	pub, err := d.PublicKey()
	if err != nil {
		return "", err
	}
	return canon.SHA256Hex(pub), nil
}

// PeerID is the libp2p peer ID of the same key: the identity multihash of its
// protobuf, in base58. Source: libp2p specs, peer-ids.
func (d DID) PeerID() (string, error) {
	pub, err := d.PublicKey()
	if err != nil {
		return "", err
	}
	return base58.Encode(append([]byte{0x00, 0x24, 0x08, 0x01, 0x12, 0x20}, pub...)), nil
}

// Constants of the curve: the field's prime, and d of -x²+y² = 1+d·x²·y².
// Source: RFC 8032, section 5.1.
var (
	curveP = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	curveD = new(big.Int).Mod(new(big.Int).Mul(big.NewInt(-121665), new(big.Int).ModInverse(big.NewInt(121666), curveP)), curveP)
)

// smallOrderY are the y coordinates, little-endian, of the eight points of
// small order: orders 4, 1, 2, and two times 8 (each of the others twice, for
// both signs of x).
var smallOrderY = [5][32]byte{
	{},
	{1},
	{
		0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
	},
	{
		0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
		0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
	},
	{
		0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
		0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
	},
}

// badPoint says what is wrong with an encoded point, "" if nothing.
func badPoint(enc [32]byte) string {
	enc[31] &= 0x7f // the sign of x does not matter here
	for _, y := range smallOrderY {
		if enc == y {
			return "a point of small order"
		}
	}
	var be [32]byte
	for i, b := range enc {
		be[31-i] = b
	}
	y := new(big.Int).SetBytes(be[:])
	if y.Cmp(curveP) >= 0 {
		return "a point in a spelling that is not canonical"
	}
	// x² = (y²-1)/(d·y²+1) has a root exactly where the product of both has.
	y2 := new(big.Int).Mul(y, y)
	u := new(big.Int).Sub(y2, big.NewInt(1))
	v := new(big.Int).Add(new(big.Int).Mul(curveD, y2), big.NewInt(1))
	uv := u.Mul(u, v)
	if big.Jacobi(uv.Mod(uv, curveP), curveP) != 1 {
		return "not a point of the curve"
	}
	return ""
}
