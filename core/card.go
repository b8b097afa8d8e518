package core

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// Constants of agent cards.
const (
	// CardExtension is the URI of our A2A extension, whose params hold all that
	// trust depends on.
	CardExtension = "https://zerostate.dev/ext/agent/v1"
	// MaxCardBytes bounds an agent card.
	MaxCardBytes = 16 << 10
	// MaxCardLife is the longest time from a card's issued to its expires.
	MaxCardLife = 30 * 24 * time.Hour

	cardType        = "AgentCard"
	a2aURL          = "https://zerostate.dev/a2a/"
	a2aBinding      = "https://zerostate.dev/binding/task/v1"
	a2aVersion      = "1.0"
	maxCardOffers   = 8
	maxCardSkills   = 16
	maxCardList     = 16 // tags, examples, modes, extensions, interfaces
	maxCardText     = 2048
	maxCardName     = 128
	maxCardURL      = 512
	maxOfferText    = 1 << 10
	maxCardAddress  = 256
	maxAddressCount = 8
)

// cardContext is the JSON-LD context of every card. It is never fetched.
func cardContext() []string {
	return []string{"https://w3id.org/security/data-integrity/v2", "https://zerostate.dev/ns/agent/v1"}
}

// Card is a signed agent card: an A2A v1.0 AgentCard with the members that
// JSON-LD and W3C Data Integrity add. One that ParseCard returned follows every
// rule but those of signatures and clock: VerifyCard checks these too.
type Card struct {
	Context []string `json:"@context"` // our fixed list
	ID      DID      `json:"id"`       // the agent's did
	Type    string   `json:"type"`     // "AgentCard"
	AgentCard
	// Proof is, for each suite of params.proofs, the agent's and the node's.
	Proof []Proof `json:"proof,omitempty"`

	params *CardParams
}

// AgentCard is the A2A projection of a card: what an A2A endpoint serves, and,
// without Signatures, what the JWS covers.
type AgentCard struct {
	Name                string           `json:"name"`        // at most 128 bytes
	Description         string           `json:"description"` // at most 2048 bytes
	Version             string           `json:"version"`     // of the agent, at most 128 bytes
	SupportedInterfaces []AgentInterface `json:"supportedInterfaces"`
	Provider            *AgentProvider   `json:"provider,omitempty"`
	DocumentationURL    string           `json:"documentationUrl,omitempty"`
	IconURL             string           `json:"iconUrl,omitempty"`
	Capabilities        Capabilities     `json:"capabilities"`
	DefaultInputModes   []string         `json:"defaultInputModes"`  // media types
	DefaultOutputModes  []string         `json:"defaultOutputModes"` // media types
	Skills              []Skill          `json:"skills"`             // 1 to 16
	Signatures          []CardSignature  `json:"signatures,omitempty"`
}

// AgentInterface is where and how an agent is spoken to.
type AgentInterface struct {
	URL             string `json:"url"`
	ProtocolBinding string `json:"protocolBinding"`
	ProtocolVersion string `json:"protocolVersion"`
}

// AgentProvider is who offers the agent.
type AgentProvider struct {
	Organization string `json:"organization"`
	URL          string `json:"url"`
}

// Capabilities holds the extensions of a card, ours among them.
type Capabilities struct {
	Extensions []AgentExtension `json:"extensions"`
}

// AgentExtension is one A2A extension. Params of any but ours are kept byte for
// byte, covered by the signatures, and never interpreted.
type AgentExtension struct {
	URI         string          `json:"uri"`
	Description string          `json:"description,omitempty"`
	Required    bool            `json:"required,omitempty"`
	Params      json.RawMessage `json:"params,omitempty"` // an object with members
}

// Skill is one thing that an agent can do.
type Skill struct {
	ID          string   `json:"id"` // a-z, 0-9, '-', '.', '_': part of DHT keys
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Tags        []string `json:"tags"` // 1 to 16
	Examples    []string `json:"examples,omitempty"`
	InputModes  []string `json:"inputModes,omitempty"`
	OutputModes []string `json:"outputModes,omitempty"`
}

// CardSignature is a JWS in A2A's form (section 8.4), without a payload.
type CardSignature struct {
	Protected string `json:"protected"` // base64url of the header
	Signature string `json:"signature"` // base64url of 64 bytes
}

// Params returns the params of our extension. The caller does not change them.
func (c *Card) Params() *CardParams { return c.params }

// Skill returns the skill with the given id, or nil.
func (c *Card) Skill(id string) *Skill {
	for i := range c.Skills {
		if c.Skills[i].ID == id {
			return &c.Skills[i]
		}
	}
	return nil
}

// OfferText is what an index node embeds for offer i of the params: at most
// 1 KiB of the name, description and tags of the card and the offered skill.
func (c *Card) OfferText(i int) string {
	s := c.Skill(c.params.Offers[i].Skill)
	parts := []string{c.Name, s.Name, s.Description, strings.Join(s.Tags, " "), c.Description}
	text := strings.Join(parts, "\n")
	if len(text) <= maxOfferText {
		return text
	}
	cut := maxOfferText
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut]
}

// CardCID is the CID of a card's canonical bytes.
func CardCID(data []byte) string { return canon.CIDRaw(data) }

// CardDigest is what the next card of the agent names in its `prev`: the sha256,
// in hex, of the card's canonical bytes without `signatures`.
func CardDigest(data []byte) (string, error) {
	c, err := ParseCard(data)
	if err != nil {
		return "", err
	}
	bare := *c
	bare.Signatures = nil
	body, err := canon.Encode(&bare)
	if err != nil {
		return "", fmt.Errorf("agent card: %w", err)
	}
	return canon.SHA256Hex(body), nil
}

// ParseCard reads an agent card in its one spelling and checks every rule that
// needs neither key nor clock; else ErrInvalid. VerifyCard checks the rest.
func ParseCard(data []byte) (*Card, error) {
	c := new(Card)
	if err := canon.Decode(data, MaxCardBytes, c); err != nil {
		return nil, fmt.Errorf("agent card: %w", err)
	}
	if err := c.readParams(); err != nil {
		return nil, fmt.Errorf("agent card: %w", err)
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	return c, nil
}

// readParams decodes the params of our one extension.
func (c *Card) readParams() error {
	for _, e := range c.Capabilities.Extensions {
		if e.URI != CardExtension {
			continue
		}
		if c.params != nil {
			return FieldError{Path: "capabilities.extensions", Problem: "names our extension twice"}
		}
		p := new(CardParams)
		if err := canon.Decode(e.Params, MaxCardBytes, p); err != nil {
			return fmt.Errorf("params: %w", err)
		}
		c.params = p
	}
	if c.params == nil {
		return FieldError{Path: "capabilities.extensions", Problem: "wants " + CardExtension}
	}
	return nil
}

func (c *Card) check() error {
	var f fieldChecks
	f.that("@context", slices.Equal(c.Context, cardContext()), "wants our fixed list")
	f.that("type", c.Type == cardType, "wants "+cardType)
	f.that("id", c.ID == c.params.DID, "wants the did of the params")
	c.checkTexts(&f)
	c.checkExtensions(&f)
	seen := map[string]bool{}
	f.that("skills", len(c.Skills) >= 1 && len(c.Skills) <= maxCardSkills, "wants 1 to 16")
	for i, s := range c.Skills {
		f.that(fmt.Sprintf("skills[%d].id", i), !seen[s.ID], "named twice")
		seen[s.ID] = true
		s.check(&f, fmt.Sprintf("skills[%d]", i))
	}
	c.params.check(&f, seen)
	c.checkProofs(&f)
	return in("agent card", f.err())
}

// in wraps an error with what it is about; nil stays nil.
func in(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

func (c *Card) checkTexts(f *fieldChecks) {
	f.text("name", c.Name, maxCardName)
	f.text("description", c.Description, maxCardText)
	f.text("version", c.Version, maxCardName)
	f.texts("defaultInputModes", c.DefaultInputModes, 1, maxCardName)
	f.texts("defaultOutputModes", c.DefaultOutputModes, 1, maxCardName)
	if c.Provider != nil {
		f.text("provider.organization", c.Provider.Organization, maxCardName)
		f.text("provider.url", c.Provider.URL, maxCardURL)
	}
	f.that("documentationUrl", len(c.DocumentationURL) <= maxCardURL, "too long")
	f.that("iconUrl", len(c.IconURL) <= maxCardURL, "too long")
	n := len(c.SupportedInterfaces)
	f.that("supportedInterfaces", n >= 1 && n <= maxCardList, "wants 1 to 16")
	for i, in := range c.SupportedInterfaces {
		path := fmt.Sprintf("supportedInterfaces[%d]", i)
		f.text(path+".url", in.URL, maxCardURL)
		f.text(path+".protocolBinding", in.ProtocolBinding, maxCardName)
		f.text(path+".protocolVersion", in.ProtocolVersion, maxCardName)
	}
	f.that("signatures", len(c.Signatures) <= 1, "wants at most one")
}

func (c *Card) checkExtensions(f *fieldChecks) {
	f.that("capabilities.extensions", len(c.Capabilities.Extensions) <= maxCardList, "wants at most 16")
	for i, e := range c.Capabilities.Extensions {
		path := fmt.Sprintf("capabilities.extensions[%d]", i)
		f.text(path+".uri", e.URI, maxCardURL)
		f.that(path+".description", len(e.Description) <= maxCardText, "too long")
		// Other SDKs drop an empty object, which would break the JWS.
		f.that(path+".params", len(e.Params) == 0 || e.Params[0] == '{' && len(e.Params) > len("{}"), "wants an object with members")
	}
}

func (s Skill) check(f *fieldChecks, path string) {
	f.label(path+".id", s.ID)
	f.text(path+".name", s.Name, maxCardName)
	f.text(path+".description", s.Description, maxCardText)
	f.texts(path+".tags", s.Tags, 1, maxCardName)
	f.texts(path+".examples", s.Examples, 0, maxCardText)
	f.texts(path+".inputModes", s.InputModes, 0, maxCardName)
	f.texts(path+".outputModes", s.OutputModes, 0, maxCardName)
}

// text wants a string of 1 to most bytes.
func (f *fieldChecks) text(path, s string, most int) {
	f.that(path, s != "" && len(s) <= most, fmt.Sprintf("wants 1 to %d bytes", most))
}

// texts wants least to 16 strings of 1 to most bytes.
func (f *fieldChecks) texts(path string, list []string, least, most int) {
	f.that(path, len(list) >= least && len(list) <= maxCardList, fmt.Sprintf("wants %d to %d", least, maxCardList))
	for i, s := range list {
		f.text(fmt.Sprintf("%s[%d]", path, i), s, most)
	}
}

// VerifyCard reads an agent card and checks everything: ParseCard's rules, that
// it holds on network and at now, every proof it lists, and its JWS where it
// has one. A card that does not verify is ErrDenied, one that lists a suite that
// this version does not know ErrUnsupported. A paused or revoked card verifies:
// the caller looks at its status.
func VerifyCard(data []byte, network string, now time.Time) (*Card, error) {
	c, err := ParseCard(data)
	if err != nil {
		return nil, err
	}
	p := c.params
	if p.Network != network {
		return nil, fmt.Errorf("agent card: %w: of network %q, not %q", ErrDenied, p.Network, network)
	}
	if err := errors.Join(notAhead("seq", p.Seq.Time(), now), notAhead("issued", p.Issued.Time(), now)); err != nil {
		return nil, fmt.Errorf("agent card: %w", err)
	}
	if !now.Before(p.Expires.Time()) {
		return nil, fmt.Errorf("agent card: %w: expired at %s", ErrDenied, p.Expires)
	}
	if err := c.verifyProofs(true); err != nil {
		return nil, fmt.Errorf("agent card: %w", err)
	}
	if err := c.verifyJWS(); err != nil {
		return nil, fmt.Errorf("agent card: %w", err)
	}
	return c, nil
}

// CheckCardFollows says whether the agent's card next may replace its verified
// card prev: same did and network, a higher seq, the same `next` (it is fixed
// for the life of a did). A lower or equal seq is ErrConflict.
func CheckCardFollows(prev, next *Card) error {
	a, b := prev.params, next.params
	switch {
	case a.DID != b.DID || a.Network != b.Network:
		return fmt.Errorf("agent card: %w: of another agent or network", ErrDenied)
	case a.Next != b.Next:
		return fmt.Errorf("agent card: %w: its next key is not the one that was fixed before", ErrDenied)
	case b.Seq <= a.Seq:
		return fmt.Errorf("agent card: %w: seq %d is not above %d", ErrConflict, b.Seq, a.Seq)
	}
	return nil
}

// DoubleSigned reports whether two cards are evidence that their agent signed
// twice: one network, did and seq, each with the agent's valid proof, and
// different canonical bytes without `proof`. Whether they hold now is not asked.
func DoubleSigned(cardA, cardB []byte) bool {
	a, errA := ParseCard(cardA)
	b, errB := ParseCard(cardB)
	if errA != nil || errB != nil {
		return false
	}
	if a.params.Network != b.params.Network || a.ID != b.ID || a.params.Seq != b.params.Seq {
		return false
	}
	if a.verifyProofs(false) != nil || b.verifyProofs(false) != nil {
		return false
	}
	bytesA, errA := a.unproven()
	bytesB, errB := b.unproven()
	return errA == nil && errB == nil && string(bytesA) != string(bytesB)
}
