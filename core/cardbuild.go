package core

import (
	"fmt"
	"time"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// CardDraft is what a card is built from: what its owner wrote, and what the
// node knows.
type CardDraft struct {
	CardSpec

	Network        string
	Status         CardStatus       // empty: active
	Prev           string           // CardDigest of the last card; empty: none
	Next           string           // NextHash of the key that may succeed
	Addresses      []string         // multiaddrs of the node, at most 8
	Life           time.Duration    // until it expires; 0: MaxCardLife
	Offerings      []Offering       // from the spec's offers, their templates resolved
	Limits         *CardLimits      // nil: none
	EmbeddingModel *CardModel       // nil: none
	Extensions     []AgentExtension // others than ours
}

// BuildCard makes an agent's card, with JWS and proofs, in canonical bytes. seq
// and issued are now. The card follows every rule that a reader checks, else the
// answer is ErrInvalid; a price in a unit that nobody charges yet is
// ErrUnsupported.
func BuildCard(d CardDraft, agent, node Signer, now time.Time) ([]byte, error) {
	c, err := d.card(agent.DID(), node.DID(), now)
	if err != nil {
		return nil, fmt.Errorf("build card: %w", err)
	}
	if err := c.addJWS(agent); err != nil {
		return nil, fmt.Errorf("build card: %w", err)
	}
	if err := c.addProofs(agent, node); err != nil {
		return nil, fmt.Errorf("build card: %w", err)
	}
	data, err := canon.Encode(c)
	if err != nil {
		return nil, fmt.Errorf("build card: %w", err)
	}
	if _, err := VerifyCard(data, d.Network, now); err != nil {
		return nil, fmt.Errorf("build card: %w", err)
	}
	return data, nil
}

// card returns the card without JWS and proofs.
func (d CardDraft) card(agent, node DID, now time.Time) (*Card, error) {
	for i, o := range d.Offerings {
		if err := o.Price.Check(); err != nil {
			return nil, fmt.Errorf("offers[%d].price: %w", i, err)
		}
	}
	params, err := d.params(agent, node, now)
	if err != nil {
		return nil, err
	}
	raw, err := canon.Encode(params)
	if err != nil {
		return nil, err
	}
	extensions := append([]AgentExtension{{URI: CardExtension, Params: raw}}, d.Extensions...)
	return &Card{
		Context: cardContext(), ID: agent, Type: cardType, params: params,
		AgentCard: AgentCard{
			Name: d.Name, Description: d.Description, Version: d.Version, Skills: d.Skills,
			Provider: d.Provider, DocumentationURL: d.DocumentationURL, IconURL: d.IconURL,
			DefaultInputModes: d.DefaultInputModes, DefaultOutputModes: d.DefaultOutputModes,
			Capabilities: Capabilities{Extensions: extensions},
			SupportedInterfaces: []AgentInterface{
				{URL: a2aURL + string(agent), ProtocolBinding: a2aBinding, ProtocolVersion: a2aVersion},
			},
		},
	}, nil
}

func (d CardDraft) params(agent, node DID, now time.Time) (*CardParams, error) {
	peer, err := node.PeerID()
	if err != nil {
		return nil, err
	}
	p := &CardParams{
		Network: d.Network, DID: agent, Node: node, Peer: peer, Addresses: d.Addresses,
		Seq: MillisOf(now), Issued: MillisOf(now).Seconds(), Status: d.Status, Prev: d.Prev, Next: d.Next,
		Proofs: []string{ProofEdDSA}, Region: d.Region, Limits: d.Limits,
		EmbeddingModel: d.EmbeddingModel, Offers: d.Offerings,
	}
	if p.Status == "" {
		p.Status = CardActive
	}
	life := d.Life
	if life == 0 {
		life = MaxCardLife
	}
	p.Expires = p.Issued.Add(life)
	return p, nil
}
