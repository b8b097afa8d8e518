package core

import (
	"fmt"
	"strings"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// maxSmallDocument bounds every document that has no bound of its own, bytes.
const maxSmallDocument = 16 << 10

// fieldChecks gathers what is wrong with the fields of a document, so that one
// answer names all of it.
type fieldChecks struct {
	bad         FieldErrors
	unsupported error
	known       map[DID]bool // dids that were checked: a state names few, often
}

// err is nil if every check held. An unsupported suite counts only where
// nothing is invalid.
func (f *fieldChecks) err() error {
	if err := f.bad.Err(); err != nil {
		return err
	}
	return f.unsupported
}

func (f *fieldChecks) that(path string, holds bool, problem string) {
	if !holds {
		f.bad.Add(path, problem)
	}
}

func (f *fieldChecks) between(path string, v, least, most int64) {
	if v < least || v > most {
		f.bad.Add(path, fmt.Sprintf("got %d, wants %d to %d", v, least, most))
	}
}

func (f *fieldChecks) did(path string, d DID) {
	if f.known[d] {
		return
	}
	if _, err := ParseDID(string(d)); err != nil {
		f.bad.Add(path, "wants the did:key of an Ed25519 key")
		return
	}
	if f.known == nil {
		f.known = make(map[DID]bool)
	}
	f.known[d] = true
}

func (f *fieldChecks) hash(path, s string) {
	f.that(path, canon.CheckHex64(s) == nil, "wants 64 lower-case hex digits")
}

func (f *fieldChecks) bytes(path, s string, n int) {
	b, err := canon.FromB64URL(s)
	f.that(path, err == nil && len(b) == n, fmt.Sprintf("wants %d bytes in unpadded base64url", n))
}

func (f *fieldChecks) time(path string, t Time) {
	f.that(path, !t.IsZero(), "wants a time")
}

func (f *fieldChecks) label(path, s string) {
	f.that(path, isLabel(s), "wants 1 to 64 of a-z, 0-9, '-', '.' and '_'")
}

func isLabel(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-._") == ""
}

func (f *fieldChecks) suite(path string, purpose SuitePurpose, id string) {
	if err := CheckSuite(purpose, id); err != nil && f.unsupported == nil {
		f.unsupported = fmt.Errorf("%s: %w", path, err)
	}
}
