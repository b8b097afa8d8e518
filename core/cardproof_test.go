package core

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/mr-tron/base58"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// The vector of W3C's Data Integrity EdDSA Cryptosuites v1.0, appendix B.3.
const (
	w3cSecretKey = "z3u2en7t5LR2WtQH5PfFqMqwVHBeXouLzo6haApm8XHqvjxq"
	w3cUnsigned  = `{"@context": ["https://www.w3.org/ns/credentials/v2", "https://www.w3.org/ns/credentials/examples/v2"],
		"id": "urn:uuid:58172aac-d8ba-11ed-83dd-0b3aef56cc33", "type": ["VerifiableCredential", "AlumniCredential"],
		"name": "Alumni Credential", "description": "A minimum viable example of an Alumni Credential.",
		"issuer": "https://vc.example/issuers/5678", "validFrom": "2023-01-01T00:00:00Z",
		"credentialSubject": {"id": "did:example:abcdefgh", "alumniOf": "The School of Examples"}}`
	w3cCanonical  = `{"@context":["https://www.w3.org/ns/credentials/v2","https://www.w3.org/ns/credentials/examples/v2"],"credentialSubject":{"alumniOf":"The School of Examples","id":"did:example:abcdefgh"},"description":"A minimum viable example of an Alumni Credential.","id":"urn:uuid:58172aac-d8ba-11ed-83dd-0b3aef56cc33","issuer":"https://vc.example/issuers/5678","name":"Alumni Credential","type":["VerifiableCredential","AlumniCredential"],"validFrom":"2023-01-01T00:00:00Z"}`
	w3cDocHash    = "59b7cb6251b8991add1ce0bc83107e3db9dbbab5bd2c28f687db1a03abc92f19"
	w3cProofHash  = "66ab154f5c2890a140cb8388a22a160454f80575f6eae09e5a097cabe539a1db"
	w3cSignature  = "407cd12654b33d718ecbb99179a1506daaa849450bf3fc523cce3e1c96f8b80351da3f253d725c6f00b07c9e5448d50b3ef78012b9ab54255116d069c6dd2808"
	w3cProofValue = "z2HnFSSPPBzR36zdDgK8PbEHeXbR56YF24jwMpt3R1eHXQzJDMWS93FCzpvJpwTWd3GAVFuUfjoJdcnTMuVor51aX"
)

func w3cProof(t *testing.T) Proof {
	t.Helper()
	created, err := ParseTime("2023-02-24T23:36:38Z")
	if err != nil {
		t.Fatal(err)
	}
	return Proof{
		Context: []string{"https://www.w3.org/ns/credentials/v2", "https://www.w3.org/ns/credentials/examples/v2"},
		Type:    proofType, Cryptosuite: ProofEdDSA, Created: created,
		VerificationMethod: DID(w3cDID).KeyID(), ProofPurpose: proofPurpose,
	}
}

func TestW3CVector(t *testing.T) {
	body, err := canon.Canonical([]byte(w3cUnsigned), MaxCardBytes)
	if err != nil || string(body) != w3cCanonical {
		t.Fatalf("canonical document: got %s (%v)", body, err)
	}
	if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != w3cDocHash {
		t.Errorf("document hash: got %x", sum)
	}
	p := w3cProof(t)
	hash, err := p.hash(body)
	if err != nil || hex.EncodeToString(hash) != w3cProofHash+w3cDocHash {
		t.Fatalf("combined hash: got %x (%v)", hash, err)
	}
	raw, err := base58.Decode(w3cSecretKey[1:])
	if err != nil {
		t.Fatal(err)
	}
	signer := NewSigner(ed25519.NewKeyFromSeed(raw[2:])) // after the multicodec of a secret key
	if signer.DID() != w3cDID {
		t.Fatalf("did: got %s", signer.DID())
	}
	sig, err := signer.Sign(hash)
	if err != nil || hex.EncodeToString(sig) != w3cSignature || "z"+base58.Encode(sig) != w3cProofValue {
		t.Errorf("signature: got %x (%v)", sig, err)
	}
	p.ProofValue = w3cProofValue
	if err := p.verify(w3cDID, body); err != nil {
		t.Errorf("verify: got %v", err)
	}
	if err := p.verify(w3cDID, append(body, ' ')); !errors.Is(err, ErrDenied) {
		t.Errorf("verify another document: got %v, want ErrDenied", err)
	}
}

// TestW3CFiles runs the published files where they lie beside the repository.
func TestW3CFiles(t *testing.T) {
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join("..", "..", "shared", "vectors", "eddsa-jcs-2022", name))
		if errors.Is(err, os.ErrNotExist) {
			t.Skip("the W3C test files are not beside the repository")
		}
		if err != nil {
			t.Fatal(err)
		}
		return bytes.TrimSpace(data)
	}
	body, err := canon.Canonical(read("unsigned.json"), MaxCardBytes)
	if err != nil || !bytes.Equal(body, read("canonDocJCS.txt")) {
		t.Errorf("canonDocJCS: got %s (%v)", body, err)
	}
	config, err := canon.Canonical(read("proofConfigJCS.json"), MaxCardBytes)
	if err != nil || !bytes.Equal(config, read("proofCanonJCS.txt")) {
		t.Errorf("proofCanonJCS: got %s (%v)", config, err)
	}
	var p Proof
	if err := json.Unmarshal(read("proofConfigJCS.json"), &p); err != nil {
		t.Fatal(err)
	}
	own, err := canon.Encode(p)
	if err != nil || !bytes.Equal(own, config) {
		t.Errorf("our proof configuration: got %s (%v)", own, err)
	}
	hash, err := p.hash(body)
	if err != nil || hex.EncodeToString(hash) != string(read("combinedHashJCS.txt")) {
		t.Errorf("combinedHashJCS: got %x (%v)", hash, err)
	}
	if want := string(read("proofHashJCS.txt")) + string(read("docHashJCS.txt")); hex.EncodeToString(hash) != want {
		t.Errorf("proofHashJCS, docHashJCS: got %x", hash)
	}
	p.ProofValue = string(read("sigBTC58JCS.txt"))
	sig, err := p.signature()
	if err != nil || hex.EncodeToString(sig) != string(read("sigHexJCS.txt")) {
		t.Errorf("sigHexJCS: got %x (%v)", sig, err)
	}
	var signed struct{ Proof Proof }
	if err := json.Unmarshal(read("signedJCS.json"), &signed); err != nil {
		t.Fatal(err)
	}
	if err := signed.Proof.verify(w3cDID, body); err != nil {
		t.Errorf("signedJCS: %v", err)
	}
}

func TestProofValue(t *testing.T) {
	for name, value := range map[string]string{
		"empty":      "",
		"z alone":    "z",
		"hex":        "f" + w3cSignature,
		"not base58": w3cProofValue[:20] + "0" + w3cProofValue[21:],
		"short":      w3cProofValue[:40],
		"long":       w3cProofValue + w3cProofValue,
		"zero first": "z1" + w3cProofValue[1:],
	} {
		p := w3cProof(t)
		p.ProofValue = value
		if err := p.verify(w3cDID, []byte(w3cCanonical)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
}
