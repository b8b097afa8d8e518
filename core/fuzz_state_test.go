package core

import (
	"bytes"
	"testing"
)

// fuzzParse checks of a parser that it never panics, and that what it takes is
// spelled exactly as Encode spells it.
func fuzzParse[T any, P interface {
	*T
	Document
}](f *testing.F) {
	f.Helper()
	for _, doc := range testDocuments(f) {
		data, err := Encode(doc)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := Parse[T, P](data)
		if err != nil {
			return
		}
		again, err := Encode(doc)
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("got %s, %v, want %s", again, err, data)
		}
		if _, err := Digest(doc); err != nil {
			t.Errorf("digest: got %v, want nil", err)
		}
	})
}

func FuzzParseState(f *testing.F)       { fuzzParse[State](f) }
func FuzzParseClaim(f *testing.F)       { fuzzParse[Claim](f) }
func FuzzParseCommit(f *testing.F)      { fuzzParse[Commit](f) }
func FuzzParseOffer(f *testing.F)       { fuzzParse[Offer](f) }
func FuzzParseAccept(f *testing.F)      { fuzzParse[Accept](f) }
func FuzzParseWorkSummary(f *testing.F) { fuzzParse[WorkSummary](f) }
func FuzzParseEvent(f *testing.F)       { fuzzParse[Event](f) }
func FuzzParseAuditEntry(f *testing.F)  { fuzzParse[AuditEntry](f) }
func FuzzParseCheckpoint(f *testing.F)  { fuzzParse[Checkpoint](f) }

func FuzzParseParams(f *testing.F) {
	data, err := testParams().Bytes()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParseParams(data)
		if err != nil {
			return
		}
		if again, err := p.Bytes(); err != nil || !bytes.Equal(again, data) {
			t.Errorf("got %s, %v, want %s", again, err, data)
		}
	})
}
