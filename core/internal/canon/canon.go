// Package canon holds the mechanics of signed documents: one spelling for
// every document (RFC 8785, JCS), the bounds that are checked before any other
// code sees the bytes, the encodings of keys and digests, and a strict loader
// for the YAML and JSON that people write.
//
// Start at Decode: it is the only way in for what a peer sends.
package canon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/gowebpki/jcs"
)

// ErrInvalid is core.ErrInvalid; it is declared here because this package
// cannot import core.
var ErrInvalid = errors.New("invalid")

// ErrDenied is core.ErrDenied; it is declared here because this package cannot
// import core.
var ErrDenied = errors.New("denied")

// Bounds of every document, whatever its type.
const (
	MaxDepth   = 32        // levels of objects and arrays
	MaxEntries = 1024      // entries of one array
	MaxInteger = 1<<53 - 1 // largest absolute value of a number
)

// maxEncodedBytes bounds what Encode makes; the bound of the document's type,
// which is smaller, is checked where it is read.
const maxEncodedBytes = 1 << 20

// Encode returns the canonical bytes (RFC 8785) of v, which encoding/json must
// be able to marshal. It refuses with ErrInvalid what Scan refuses.
func Encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode: %w: %w", ErrInvalid, err)
	}
	return Canonical(buf.Bytes(), maxEncodedBytes)
}

// Canonical returns the canonical bytes of JSON text of at most maxBytes bytes,
// after Scan.
func Canonical(data []byte, maxBytes int) ([]byte, error) {
	if err := Scan(data, Limit(maxBytes)); err != nil {
		return nil, err
	}
	return transform(data)
}

// transform is RFC 8785 without the rules of our own documents. White space is
// cut off because jcs takes none around a text that is a single number or word.
func transform(data []byte) ([]byte, error) {
	out, err := jcs.Transform(bytes.Trim(data, " \t\r\n"))
	if err != nil {
		return nil, fmt.Errorf("canonicalise: %w: %w", ErrInvalid, err)
	}
	return out, nil
}

// Decode reads one signed document of at most maxBytes bytes into v, a pointer.
// It refuses with ErrInvalid whatever breaks a bound or a string rule, fields
// that v does not have, and every spelling but the canonical one: it encodes v
// again and compares the bytes. Members that v keeps as json.RawMessage are
// under the same rules.
func Decode(data []byte, maxBytes int, v any) error {
	if err := Scan(data, Limit(maxBytes)); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: bytes after the document", ErrInvalid)
	}
	again, err := Encode(v)
	if err != nil {
		return err
	}
	if i := firstDifference(data, again); i >= 0 {
		return fmt.Errorf("%w: not the canonical spelling (RFC 8785) from byte %d on", ErrInvalid, i)
	}
	return nil
}

// firstDifference returns the first index at which a and b differ, or -1.
func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	if len(a) != len(b) {
		return min(len(a), len(b))
	}
	return -1
}
