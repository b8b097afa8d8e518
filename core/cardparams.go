package core

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// CardStatus says whether an agent takes work.
type CardStatus string

// The states of a card.
const (
	CardActive  CardStatus = "active"
	CardPaused  CardStatus = "paused"
	CardRevoked CardStatus = "revoked"
)

// CardParams are the params of our extension: all of a card that trust depends
// on, covered by proofs and JWS alike.
type CardParams struct {
	Network        string      `json:"network"`
	DID            DID         `json:"did"`                 // the agent
	Node           DID         `json:"node"`                // where it runs
	Peer           string      `json:"peer"`                // libp2p peer ID of the node
	Addresses      []string    `json:"addresses,omitempty"` // multiaddrs, at most 8
	Seq            Millis      `json:"seq"`                 // when the card was signed
	Issued         Time        `json:"issued"`              // seq cut to the second
	Expires        Time        `json:"expires"`             // at most 30 days after issued
	Status         CardStatus  `json:"status"`
	Prev           string      `json:"prev,omitempty"` // CardDigest of the agent's last card
	Next           string      `json:"next"`           // NextHash of the key that may succeed
	Proofs         []string    `json:"proofs"`         // suites of the proofs, in order
	Region         string      `json:"region,omitempty"`
	Limits         *CardLimits `json:"limits,omitempty"`
	EmbeddingModel *CardModel  `json:"embeddingModel,omitempty"`
	Offers         []Offering  `json:"offers,omitempty"` // at most 8
}

// CardLimits say what an agent takes at most; an absent one is not limited by
// the card.
type CardLimits struct {
	InputBytes  int64 `json:"inputBytes,omitempty"`  // all inputs of a task
	OutputBytes int64 `json:"outputBytes,omitempty"` // all outputs of a task
	Parallel    int64 `json:"parallel,omitempty"`    // tasks at one time
}

// CardModel names the embedding model that the agent's owner described it for.
type CardModel struct {
	ID     string `json:"id"`
	Digest string `json:"digest"` // 64 lower-case hex digits
}

// Offering is a skill at a price, by a template that callers fill.
type Offering struct {
	Skill    string      `json:"skill"` // id of one of the card's skills
	Manifest ManifestRef `json:"manifest"`
	Price    Price       `json:"price"`
}

// ManifestRef names a template by its CID and by its sha256, which are of the
// same bytes.
type ManifestRef struct {
	CID    string `json:"cid"`
	SHA256 string `json:"sha256"`
}

// RefOf returns the reference to a template's canonical bytes.
func RefOf(template []byte) ManifestRef {
	return ManifestRef{CID: canon.CIDRaw(template), SHA256: canon.SHA256Hex(template)}
}

func (p *CardParams) check(f *fieldChecks, skills map[string]bool) {
	f.label("params.network", p.Network)
	f.did("params.did", p.DID)
	f.did("params.node", p.Node)
	if peer, err := p.Node.PeerID(); err == nil {
		f.that("params.peer", p.Peer == peer, "wants the peer ID of the node's key")
	}
	f.that("params.addresses", len(p.Addresses) <= maxAddressCount, "wants at most 8")
	for i, a := range p.Addresses {
		f.that(fmt.Sprintf("params.addresses[%d]", i), isAddress(a), "wants a multiaddr of at most 256 bytes")
	}
	f.that("params.seq", p.Seq > 0, "wants Unix milliseconds")
	f.that("params.issued", p.Issued > 0 && p.Issued == p.Seq.Seconds(), "wants seq cut to the second")
	f.that("params.expires", p.Expires > p.Issued && p.Expires <= p.Issued.Add(MaxCardLife), "wants at most 30 days after issued")
	status := p.Status == CardActive || p.Status == CardPaused || p.Status == CardRevoked
	f.that("params.status", status, "wants active, paused or revoked")
	if p.Prev != "" {
		f.hash("params.prev", p.Prev)
	}
	f.hash("params.next", p.Next)
	f.texts("params.proofs", p.Proofs, 1, maxCardName)
	f.that("params.proofs", len(slices.Compact(slices.Sorted(slices.Values(p.Proofs)))) == len(p.Proofs), "names a suite twice")
	if p.Region != "" {
		f.label("params.region", p.Region)
	}
	if l := p.Limits; l != nil {
		f.that("params.limits", *l != (CardLimits{}) && min(l.InputBytes, l.OutputBytes, l.Parallel) >= 0, "wants positive numbers")
	}
	if m := p.EmbeddingModel; m != nil {
		f.text("params.embeddingModel.id", m.ID, maxCardName)
		f.hash("params.embeddingModel.digest", m.Digest)
	}
	f.that("params.offers", len(p.Offers) <= maxCardOffers, "wants at most 8")
	for i, o := range p.Offers {
		o.check(f, fmt.Sprintf("params.offers[%d]", i), skills)
	}
}

// check lets a unit pass that this version does not charge yet: such a card is
// valid, and who hires by the offer finds out.
func (o Offering) check(f *fieldChecks, path string, skills map[string]bool) {
	f.that(path+".skill", skills[o.Skill], "wants the id of a skill of the card")
	f.hash(path+".manifest.sha256", o.Manifest.SHA256)
	same := canon.IsRawCID(o.Manifest.CID) && canon.CIDHas(o.Manifest.CID, o.Manifest.SHA256)
	f.that(path+".manifest.cid", same, "wants the raw CID of the same sha256")
	if err := o.Price.Check(); err != nil && !errors.Is(err, ErrUnsupported) {
		f.that(path+".price", false, err.Error())
	}
}

// isAddress says whether s looks like a multiaddr; libp2p reads it before it is
// dialled.
func isAddress(s string) bool {
	if len(s) > maxCardAddress || !strings.HasPrefix(s, "/") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
