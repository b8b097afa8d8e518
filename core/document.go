package core

import (
	"fmt"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// DocType is the type string of a signed document.
type DocType string

// The types of signed documents. Cards and receipts have signatures of their
// own kind and are not among them.
const (
	TypeCardRecord   DocType = "card-record"
	TypeOffer        DocType = "offer"
	TypeAccept       DocType = "accept"
	TypeCommit       DocType = "commit"
	TypeState        DocType = "channel-state"
	TypeClaim        DocType = "dispute-claim"
	TypeSummary      DocType = "work-summary"
	TypeEvent        DocType = "event"
	TypeAuditEntry   DocType = "audit-entry"
	TypeCheckpoint   DocType = "checkpoint"
	TypeAnnouncement DocType = "announcement"
	TypePinRequest   DocType = "pin-request" // reserved
	TypeEnvelope     DocType = "envelope"    // reserved
)

// maxBytes is the size bound of a type.
func (t DocType) maxBytes() int {
	switch t {
	case TypeCardRecord:
		return 12 << 10
	case TypeOffer:
		return 128 << 10
	case TypeState:
		return 256 << 10
	default:
		return maxSmallDocument
	}
}

// Document is a signed document with a `signatures` member. Its implementations
// are the types of this package that DocType names.
type Document interface {
	// Type returns the document's type, which is part of what is signed.
	Type() DocType
	// NetworkID returns the network on which the document holds.
	NetworkID() string
	// Signers returns exactly who signs, in order.
	Signers() ([]DID, error)

	sigs() *[]Signature // the `signatures` member
	check() error       // the rules of the fields, without a clock
}

// Parse reads a signed document of one type:
//
//	state, err := core.Parse[core.State](data)
//
// It refuses with ErrInvalid what is larger than the type allows, spelled in
// any but the canonical way, or breaks a rule of its fields. It does not verify
// signatures: Verify does.
func Parse[T any, P interface {
	*T
	Document
}](data []byte) (P, error) {
	doc := P(new(T))
	if err := canon.Decode(data, doc.Type().maxBytes(), doc); err != nil {
		return nil, fmt.Errorf("%s: %w", doc.Type(), err)
	}
	if err := checkDocument(doc); err != nil {
		return nil, err
	}
	return doc, nil
}

// checkDocument checks the fields and how the signatures are spelled.
func checkDocument(doc Document) error {
	if err := doc.check(); err != nil {
		return fmt.Errorf("%s: %w", doc.Type(), err)
	}
	for i, s := range *doc.sigs() {
		if _, err := s.bytes(); err != nil {
			return fmt.Errorf("%s: signatures[%d]: %w", doc.Type(), i, err)
		}
	}
	return nil
}

// Encode returns the canonical bytes of a document with its signatures, after
// the checks that a reader makes.
func Encode(doc Document) ([]byte, error) {
	if err := checkDocument(doc); err != nil {
		return nil, err
	}
	data, err := canon.Encode(doc)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doc.Type(), err)
	}
	if limit := doc.Type().maxBytes(); len(data) > limit {
		return nil, fmt.Errorf("%s: %w: %d bytes, at most %d are allowed", doc.Type(), ErrInvalid, len(data), limit)
	}
	return data, nil
}

// Digest returns the digest of a document: the sha256, in hex, of its canonical
// bytes without `signatures`.
func Digest(doc Document) (string, error) {
	body, err := unsignedBytes(doc)
	if err != nil {
		return "", err
	}
	return canon.SHA256Hex(body), nil
}

// Sign appends the signature of s, who must be the next signer in the order of
// Signers: else ErrDenied. What breaks a rule of its fields is not signed.
// It changes doc, so nothing else may use doc meanwhile.
func Sign(doc Document, s Signer) error {
	signers, err := doc.Signers()
	if err != nil {
		return fmt.Errorf("%s: %w", doc.Type(), err)
	}
	n := len(*doc.sigs())
	if n >= len(signers) || signers[n] != s.DID() {
		return fmt.Errorf("%s: %w: %s is not its signer number %d", doc.Type(), ErrDenied, s.DID().Short(), n+1)
	}
	body, err := unsignedBytes(doc)
	if err != nil {
		return err
	}
	raw, err := s.Sign(SigningInput(doc.Type(), body))
	if err != nil {
		return fmt.Errorf("sign %s: %w", doc.Type(), err)
	}
	*doc.sigs() = append((*doc.sigs())[:n:n], Signature{Key: s.DID(), Sig: canon.B64(raw)})
	return nil
}

// Verify checks that doc holds on network and bears the valid signatures of
// exactly its signers, in their order. A wrong network, signer or signature is
// ErrDenied, anything malformed ErrInvalid.
func Verify(doc Document, network string) error {
	signers, err := doc.Signers()
	if err != nil {
		return fmt.Errorf("%s: %w", doc.Type(), err)
	}
	return VerifyFirst(doc, network, len(signers))
}

// VerifyFirst is Verify for a document that bears the signatures of exactly
// the first n of its signers, at least one, such as a channel state that its
// payer proposes.
func VerifyFirst(doc Document, network string, n int) error {
	if doc.NetworkID() != network {
		return fmt.Errorf("%s: %w: of network %q, not %q", doc.Type(), ErrDenied, doc.NetworkID(), network)
	}
	signers, err := doc.Signers()
	if err != nil {
		return fmt.Errorf("%s: %w", doc.Type(), err)
	}
	sigs := *doc.sigs()
	if n < 1 || n > len(signers) || len(sigs) != n {
		return fmt.Errorf("%s: %w: %d signatures, want %d", doc.Type(), ErrDenied, len(sigs), n)
	}
	body, err := unsignedBytes(doc)
	if err != nil {
		return err
	}
	input := SigningInput(doc.Type(), body)
	for i, s := range sigs {
		if s.Key != signers[i] {
			return fmt.Errorf("%s: signatures[%d]: %w: by %s, want %s", doc.Type(), i, ErrDenied, s.Key.Short(), signers[i].Short())
		}
		raw, err := s.bytes()
		if err != nil {
			return fmt.Errorf("%s: signatures[%d]: %w", doc.Type(), i, err)
		}
		if err := VerifySignature(s.Key, input, raw); err != nil {
			return fmt.Errorf("%s: signatures[%d]: %w", doc.Type(), i, err)
		}
	}
	return nil
}

// SigningInput returns the bytes that a signature of a document of type t
// covers: DSSE's PAE over the media type of t and the canonical bytes of the
// document without `signatures`.
func SigningInput(t DocType, unsigned []byte) []byte {
	return canon.PAE("application/vnd.zerostate."+string(t)+".v1+json", unsigned)
}

// Digest256 is a sha256 that this protocol does not define itself, in the form
// in which in-toto spells digests.
type Digest256 struct {
	SHA256 string `json:"sha256"` // 64 lower-case hex digits
}
