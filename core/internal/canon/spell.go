package canon

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
)

// PAE is DSSE's pre-authentication encoding of a payload and its type.
// Source: DSSE v1, protocol.md, "Signature Definition".
func PAE(payloadType string, body []byte) []byte {
	out := make([]byte, 0, len(payloadType)+len(body)+48)
	out = append(out, "DSSEv1 "...)
	out = strconv.AppendInt(out, int64(len(payloadType)), 10)
	out = append(out, ' ')
	out = append(out, payloadType...)
	out = append(out, ' ')
	out = strconv.AppendInt(out, int64(len(body)), 10)
	out = append(out, ' ')
	return append(out, body...)
}

// SHA256Hex is the sha256 of b in 64 lower-case hex digits.
func SHA256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// CheckHex64 refuses what is not 64 lower-case hex digits.
func CheckHex64(s string) error {
	if len(s) != 64 {
		return fmt.Errorf("%w: want 64 lower-case hex digits, got %d bytes", ErrInvalid, len(s))
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return fmt.Errorf("%w: want 64 lower-case hex digits", ErrInvalid)
		}
	}
	return nil
}

// B64 encodes in padded base64: signatures.
func B64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// FromB64 decodes padded base64 and refuses every other spelling of the bytes.
func FromB64(s string) ([]byte, error) {
	return oneSpelling(base64.StdEncoding, s)
}

// B64URL encodes in unpadded base64url: X25519 keys, nonces, sealed bytes.
func B64URL(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// FromB64URL decodes unpadded base64url and refuses every other spelling.
func FromB64URL(s string) ([]byte, error) {
	return oneSpelling(base64.RawURLEncoding, s)
}

func oneSpelling(enc *base64.Encoding, s string) ([]byte, error) {
	b, err := enc.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if enc.EncodeToString(b) != s {
		return nil, fmt.Errorf("%w: not the one spelling in base64", ErrInvalid)
	}
	return b, nil
}

// Codecs that a CID of ours may have.
const (
	codecRaw   = 0x55 // one of our documents, or content of one chunk
	codecDagPB = 0x70 // content of several chunks (UnixFS)
)

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// CIDRaw is the CID of one block: version 1, raw, sha2-256, base32.
func CIDRaw(b []byte) string {
	sum := sha256.Sum256(b)
	return "b" + base32Lower.EncodeToString(append([]byte{1, codecRaw, 0x12, 32}, sum[:]...))
}

// CheckCID refuses what is not a CID as our documents spell them: version 1,
// raw or dag-pb, sha2-256, base32.
func CheckCID(s string) error {
	if len(s) != 59 || s[0] != 'b' {
		return fmt.Errorf("%w: want a CID version 1 in base32", ErrInvalid)
	}
	b, err := base32Lower.DecodeString(s[1:])
	if err != nil || "b"+base32Lower.EncodeToString(b) != s {
		return fmt.Errorf("%w: not the one spelling of a CID in base32", ErrInvalid)
	}
	if b[0] != 1 || (b[1] != codecRaw && b[1] != codecDagPB) || b[2] != 0x12 || b[3] != 32 {
		return fmt.Errorf("%w: want a CID of raw or dag-pb, sha2-256", ErrInvalid)
	}
	return nil
}

// IsRawCID reports whether s is a CID that CheckCID accepts, of one raw block.
func IsRawCID(s string) bool {
	return CheckCID(s) == nil && s[:4] == "bafk"
}

// CIDHas reports whether the CID s names a block with this sha256 in hex.
func CIDHas(s, sha256Hex string) bool {
	if CheckCID(s) != nil {
		return false
	}
	b, err := base32Lower.DecodeString(s[1:])
	return err == nil && hex.EncodeToString(b[4:]) == sha256Hex
}
