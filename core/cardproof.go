package core

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/mr-tron/base58"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// Suites of card proofs.
const (
	// ProofEdDSA is the one suite that this version makes and verifies.
	ProofEdDSA = "eddsa-jcs-2022"

	proofType    = "DataIntegrityProof"
	proofPurpose = "assertionMethod"
)

// proofSuites says of the ids of card proofs which this version verifies; the
// others are reserved for keys that resist quantum computers.
var proofSuites = map[string]bool{
	ProofEdDSA:         true,
	"mldsa44-jcs-2024": false, // FIPS 204, W3C Quantum-Resistant Cryptosuites
	"mldsa65-jcs-2024": false,
}

// Proof is a W3C Data Integrity proof over the whole card without `proof`.
type Proof struct {
	Context            []string `json:"@context"` // the card's
	Type               string   `json:"type"`
	Cryptosuite        string   `json:"cryptosuite"`
	Created            Time     `json:"created"`            // the card's issued
	VerificationMethod string   `json:"verificationMethod"` // did#key
	ProofPurpose       string   `json:"proofPurpose"`
	ProofValue         string   `json:"proofValue,omitempty"` // "z" and base58 of the signature
}

// hash returns what a proof signs: the sha256 of its configuration (itself
// without proofValue) and of the document, both canonical.
// Source: W3C Data Integrity EdDSA Cryptosuites v1.0, section 3.3.4.
func (p Proof) hash(unproven []byte) ([]byte, error) {
	p.ProofValue = ""
	config, err := canon.Encode(p)
	if err != nil {
		return nil, err
	}
	configHash, docHash := sha256.Sum256(config), sha256.Sum256(unproven)
	return append(configHash[:], docHash[:]...), nil
}

// signature decodes proofValue in its one spelling.
func (p Proof) signature() ([]byte, error) {
	if len(p.ProofValue) < 2 || len(p.ProofValue) > 100 || p.ProofValue[0] != 'z' {
		return nil, fmt.Errorf("%w: proofValue wants base58 after a z", ErrInvalid)
	}
	raw, err := base58.Decode(p.ProofValue[1:])
	if err != nil || len(raw) != ed25519.SignatureSize || base58.Encode(raw) != p.ProofValue[1:] {
		return nil, fmt.Errorf("%w: proofValue wants 64 bytes in base58", ErrInvalid)
	}
	return raw, nil
}

// unproven returns the canonical bytes of the card without `proof`.
func (c *Card) unproven() ([]byte, error) {
	bare := *c
	bare.Proof = nil
	return canon.Encode(&bare)
}

// addProofs makes the proofs of the card, last of all.
func (c *Card) addProofs(agent, node Signer) error {
	body, err := c.unproven()
	if err != nil {
		return err
	}
	for range c.params.Proofs { // only ProofEdDSA is made
		for _, s := range []Signer{agent, node} {
			p := Proof{
				Context: c.Context, Type: proofType, Cryptosuite: ProofEdDSA, Created: c.params.Issued,
				VerificationMethod: s.DID().KeyID(), ProofPurpose: proofPurpose,
			}
			hash, err := p.hash(body)
			if err != nil {
				return err
			}
			sig, err := s.Sign(hash)
			if err != nil {
				return fmt.Errorf("sign card proof: %w", err)
			}
			p.ProofValue = "z" + base58.Encode(sig)
			c.Proof = append(c.Proof, p)
		}
	}
	return nil
}

// checkProofs checks that the proofs are exactly those that params.proofs names:
// for each suite the agent's, then the node's.
func (c *Card) checkProofs(f *fieldChecks) {
	if len(c.Proof) != 2*len(c.params.Proofs) {
		f.bad.Add("proof", fmt.Sprintf("wants %d entries, the agent's and the node's for each suite", 2*len(c.params.Proofs)))
		return
	}
	for i, p := range c.Proof {
		path := fmt.Sprintf("proof[%d]", i)
		suite := c.params.Proofs[i/2]
		f.that(path+".cryptosuite", p.Cryptosuite == suite, "wants "+suite)
		f.that(path+".@context", slices.Equal(p.Context, c.Context), "wants the card's")
		f.that(path+".type", p.Type == proofType, "wants "+proofType)
		f.that(path+".created", p.Created == c.params.Issued, "wants the card's issued")
		f.that(path+".proofPurpose", p.ProofPurpose == proofPurpose, "wants "+proofPurpose)
		if suite == ProofEdDSA {
			f.that(path+".verificationMethod", p.VerificationMethod == c.prover(i).KeyID(), "wants the key of "+c.prover(i).Short())
		}
	}
}

// prover returns who makes proof i.
func (c *Card) prover(i int) DID {
	if i%2 == 0 {
		return c.params.DID
	}
	return c.params.Node
}

// verifyProofs verifies the agent's proofs and, if all, the node's too.
func (c *Card) verifyProofs(all bool) error {
	body, err := c.unproven()
	if err != nil {
		return err
	}
	for i, p := range c.Proof {
		if !proofSuites[p.Cryptosuite] {
			return fmt.Errorf("proof[%d]: %w: this version can not verify suite %q, which the card requires", i, ErrUnsupported, p.Cryptosuite)
		}
		if !all && i%2 == 1 {
			continue
		}
		if err := p.verify(c.prover(i), body); err != nil {
			return fmt.Errorf("proof[%d]: %w", i, err)
		}
	}
	return nil
}

// verify checks one eddsa-jcs-2022 proof by did over the document unproven.
func (p Proof) verify(did DID, unproven []byte) error {
	hash, err := p.hash(unproven)
	if err != nil {
		return err
	}
	sig, err := p.signature()
	if err != nil {
		return err
	}
	return VerifySignature(did, hash, sig)
}
