package core

import (
	"fmt"
	"time"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// RecordDraft is what a card record is built from.
type RecordDraft struct {
	Card        []byte        // canonical bytes; inline where they fit
	SealKey     []byte        // the node's X25519 public key, 32 bytes
	SealUntil   time.Time     // at most 24 h from now
	Life        time.Duration // until it expires; 0: MaxRecordLife
	Predecessor *CardRecord   // the tombstone of the did that this one succeeds; nil: none
}

// BuildRecord makes and signs the record of an agent's card, in canonical bytes.
func BuildRecord(d RecordDraft, agent Signer, now time.Time) ([]byte, error) {
	card, err := ParseCard(d.Card)
	if err != nil {
		return nil, fmt.Errorf("build card record: %w", err)
	}
	life := d.Life
	if life == 0 {
		life = MaxRecordLife
	}
	p, signed := card.Params(), MillisOf(now)
	if p.Status == CardRevoked {
		return nil, fmt.Errorf("build card record: %w: a revoked card wants a tombstone", ErrInvalid)
	}
	r := &CardRecord{
		Network: p.Network, DID: p.DID, Seq: p.Seq, CID: CardCID(d.Card), Signed: signed,
		Expires: signed.Seconds().Add(life), SealKey: canon.B64URL(d.SealKey), SealUntil: TimeOf(d.SealUntil),
		Predecessor: d.Predecessor,
	}
	if len(d.Card) <= MaxInlineCard {
		r.Card = d.Card
	}
	return signRecord(r, now, agent)
}

// BuildTombstone makes and signs the tombstone of a did: of an agent, or of a
// node. successor may be nil; otherwise it countersigns.
func BuildTombstone(network string, did, successor Signer, now time.Time) ([]byte, error) {
	r := &CardRecord{Network: network, DID: did.DID(), Seq: MillisOf(now), Signed: MillisOf(now)}
	if successor == nil {
		return signRecord(r, now, did)
	}
	r.Successor = successor.DID()
	return signRecord(r, now, did, successor)
}

func signRecord(r *CardRecord, now time.Time, signers ...Signer) ([]byte, error) {
	for _, s := range signers {
		if err := Sign(r, s); err != nil {
			return nil, fmt.Errorf("build card record: %w", err)
		}
	}
	data, err := Encode(r)
	if err != nil {
		return nil, fmt.Errorf("build card record: %w", err)
	}
	if _, err := VerifyRecord(data, r.Network, now); err != nil {
		return nil, fmt.Errorf("build card record: %w", err)
	}
	return data, nil
}
