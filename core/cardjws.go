package core

import (
	"fmt"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// jwsHeader is the protected header of a card's JWS.
type jwsHeader struct {
	Alg string `json:"alg"` // "EdDSA"
	Kid string `json:"kid"` // the agent's did#key
	Typ string `json:"typ"` // "JOSE"
}

// protected returns the one header that a card of did may have, in base64url.
func protected(did DID) (string, error) {
	header, err := canon.Encode(jwsHeader{Alg: "EdDSA", Kid: did.KeyID(), Typ: "JOSE"})
	if err != nil {
		return "", err
	}
	return canon.B64URL(header), nil
}

// jwsInput returns what the JWS signs: header and payload, which is the
// canonical A2A projection without `signatures`.
// Source: RFC 7515, section 5.1; A2A v1.0, section 8.4.
func (c *Card) jwsInput() (header string, input []byte, err error) {
	projection := c.AgentCard
	projection.Signatures = nil
	payload, err := canon.Encode(&projection)
	if err != nil {
		return "", nil, err
	}
	header, err = protected(c.ID)
	if err != nil {
		return "", nil, err
	}
	return header, []byte(header + "." + canon.B64URL(payload)), nil
}

// addJWS makes the card's one JWS.
func (c *Card) addJWS(agent Signer) error {
	header, input, err := c.jwsInput()
	if err != nil {
		return err
	}
	sig, err := agent.Sign(input)
	if err != nil {
		return fmt.Errorf("sign card JWS: %w", err)
	}
	c.Signatures = []CardSignature{{Protected: header, Signature: canon.B64URL(sig)}}
	return nil
}

// verifyJWS verifies the JWS where the card has one.
func (c *Card) verifyJWS() error {
	for _, s := range c.Signatures {
		header, input, err := c.jwsInput()
		if err != nil {
			return err
		}
		if s.Protected != header {
			return fmt.Errorf("signatures: %w: not the header that names the agent's key", ErrDenied)
		}
		sig, err := canon.FromB64URL(s.Signature)
		if err != nil {
			return fmt.Errorf("signatures: %w", err)
		}
		if err := VerifySignature(c.ID, input, sig); err != nil {
			return fmt.Errorf("signatures: %w", err)
		}
	}
	return nil
}
