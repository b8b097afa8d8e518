package core

import (
	"fmt"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// envelope is DSSE's JSON (DSSE v1, envelope.md).
type envelope struct {
	Payload     string             `json:"payload"` // padded base64
	PayloadType string             `json:"payloadType"`
	Signatures  []ReceiptSignature `json:"signatures"`
}

// ReceiptSignature is one signature of a receipt's envelope.
type ReceiptSignature struct {
	KeyID DID    `json:"keyid"` // the signer's did
	Sig   string `json:"sig"`   // 64 bytes, padded base64
}

// SignedReceipt is a receipt with its signatures. ParseReceipt checks their
// spelling and order, not that they hold: VerifyReceipt does.
type SignedReceipt struct {
	Receipt    *Receipt
	Payload    []byte             // canonical bytes of Receipt, what is signed
	Signatures []ReceiptSignature // the agent's, then, where there, the requester's
}

// Countersigned says whether the requester has signed too: delivered, charge
// accepted.
func (s *SignedReceipt) Countersigned() bool { return len(s.Signatures) == 2 }

// Digest is the sha256 of the payload in hex. The countersignature does not
// change it.
func (s *SignedReceipt) Digest() string { return canon.SHA256Hex(s.Payload) }

// ReceiptDigest parses a receipt and returns its Digest.
func ReceiptDigest(data []byte) (string, error) {
	s, err := ParseReceipt(data)
	if err != nil {
		return "", err
	}
	return s.Digest(), nil
}

// SignReceipt makes the envelope of a receipt, signed by the agent that it names.
// ErrDenied where worker is somebody else, ErrInvalid where the receipt breaks a
// rule or the envelope would pass MaxReceiptBytes.
func SignReceipt(r *Receipt, worker Signer) ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	payload, err := canon.Encode(r)
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	return appendSignature(&SignedReceipt{Receipt: r, Payload: payload}, worker)
}

// Countersign adds the requester's signature to a receipt that bears the
// worker's, which it verifies first. A receipt that is countersigned already is
// ErrExists.
func Countersign(data []byte, requester Signer) ([]byte, error) {
	s, err := ParseReceipt(data)
	if err != nil {
		return nil, err
	}
	if s.Countersigned() {
		return nil, fmt.Errorf("receipt: countersigned: %w", ErrExists)
	}
	if err := s.verify(); err != nil {
		return nil, err
	}
	return appendSignature(s, requester)
}

// appendSignature signs as the next signer in order and encodes.
func appendSignature(s *SignedReceipt, signer Signer) ([]byte, error) {
	if want := s.signers()[len(s.Signatures)]; signer.DID() != want {
		return nil, fmt.Errorf("receipt: signer is %s, wants %s: %w", signer.DID().Short(), want.Short(), ErrDenied)
	}
	sig, err := signer.Sign(canon.PAE(ReceiptPayloadType, s.Payload))
	if err != nil {
		return nil, fmt.Errorf("receipt: sign: %w", err)
	}
	s.Signatures = append(s.Signatures, ReceiptSignature{KeyID: signer.DID(), Sig: canon.B64(sig)})
	data, err := canon.Encode(envelope{
		Payload: canon.B64(s.Payload), PayloadType: ReceiptPayloadType, Signatures: s.Signatures,
	})
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	if len(data) > MaxReceiptBytes {
		return nil, fmt.Errorf("receipt: %d bytes, at most %d are allowed: %w", len(data), MaxReceiptBytes, ErrInvalid)
	}
	return data, nil
}

// signers are who signs a receipt, in order.
func (s *SignedReceipt) signers() [2]DID {
	p := &s.Receipt.Predicate
	return [2]DID{p.Agent, p.Requester}
}

// ParseReceipt reads an envelope strictly and in its one spelling, base64 and
// keyids included, and checks every rule of the receipt but its signatures.
// Everything wrong is ErrInvalid (ErrUnsupported for a unit nobody counts yet).
func ParseReceipt(data []byte) (*SignedReceipt, error) {
	var e envelope
	if err := canon.Decode(data, MaxReceiptBytes, &e); err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	if e.PayloadType != ReceiptPayloadType {
		return nil, fmt.Errorf("receipt: payloadType wants %s: %w", ReceiptPayloadType, ErrInvalid)
	}
	payload, err := canon.FromB64(e.Payload)
	if err != nil {
		return nil, fmt.Errorf("receipt: payload: %w", err)
	}
	r := &Receipt{}
	if err := canon.Decode(payload, MaxReceiptBytes, r); err != nil {
		return nil, fmt.Errorf("receipt: payload: %w", err)
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	s := &SignedReceipt{Receipt: r, Payload: payload, Signatures: e.Signatures}
	return s, s.checkSignatures()
}

// checkSignatures wants the agent's signature, then perhaps the requester's.
func (s *SignedReceipt) checkSignatures() error {
	if n := len(s.Signatures); n != 1 && n != 2 {
		return fmt.Errorf("receipt: %d signatures, wants the agent's and the requester's: %w", n, ErrInvalid)
	}
	for i, sig := range s.Signatures {
		if want := s.signers()[i]; sig.KeyID != want {
			return fmt.Errorf("receipt: signatures[%d].keyid wants %s: %w", i, want, ErrInvalid)
		}
		if b, err := canon.FromB64(sig.Sig); err != nil || len(b) != 64 {
			return fmt.Errorf("receipt: signatures[%d].sig wants 64 bytes in padded base64: %w", i, ErrInvalid)
		}
	}
	return nil
}

// verify checks every signature that is there.
func (s *SignedReceipt) verify() error {
	input := canon.PAE(ReceiptPayloadType, s.Payload)
	for _, sig := range s.Signatures {
		raw, err := canon.FromB64(sig.Sig)
		if err != nil {
			return fmt.Errorf("receipt: %w", err)
		}
		if err := VerifySignature(sig.KeyID, input, raw); err != nil {
			return fmt.Errorf("receipt: %w", err)
		}
	}
	return nil
}

// VerifyReceipt reads an envelope and says whether it is a receipt of the
// network with the signatures of agent and requester; with workerOnly the
// agent's is enough, but one of the requester that is there must hold too. The
// charge is the function of price, metering and lock that Charge is. ErrDenied
// where a signature is missing or does not hold or the network is another;
// everything else as ParseReceipt.
func VerifyReceipt(data []byte, network string, workerOnly bool) (*Receipt, error) {
	s, err := ParseReceipt(data)
	if err != nil {
		return nil, err
	}
	if got := s.Receipt.Predicate.Network; got != network {
		return nil, fmt.Errorf("receipt: is of the network %q, not %q: %w", got, network, ErrDenied)
	}
	if !workerOnly && !s.Countersigned() {
		return nil, fmt.Errorf("receipt: the requester has not countersigned: %w", ErrDenied)
	}
	if err := s.verify(); err != nil {
		return nil, err
	}
	return s.Receipt, nil
}
