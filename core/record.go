package core

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// Bounds of card records.
const (
	// MaxRecordLife is the longest time from a record's signed to its expires.
	MaxRecordLife = 48 * time.Hour
	// MaxSealLife is the longest time for which a seal key is offered.
	MaxSealLife = 24 * time.Hour
	// MaxInlineCard is the size up to which a record holds the card itself.
	MaxInlineCard = 8 << 10
)

// CardRecord is what the DHT holds of an agent: which card is the newest and
// the key that Offers are sealed to. A tombstone has no card, end or seal key;
// it is final, and may name a successor. Signed by the did; a tombstone also by
// the successor it names.
type CardRecord struct {
	Network     string          `json:"network"`
	DID         DID             `json:"did"`
	Seq         Millis          `json:"seq"` // the card's
	CID         string          `json:"cid,omitempty"`
	Signed      Millis          `json:"signed"`
	Expires     Time            `json:"expires,omitempty"`   // at most 48 h after signed
	SealKey     string          `json:"sealKey,omitempty"`   // X25519, 32 bytes in base64url
	SealUntil   Time            `json:"sealUntil,omitempty"` // at most 24 h after signed
	Card        json.RawMessage `json:"card,omitempty"`      // the card inline, up to 8 KiB
	Successor   DID             `json:"successor,omitempty"` // of a tombstone
	Predecessor *CardRecord     `json:"predecessor,omitempty"`
	Signatures  []Signature     `json:"signatures,omitempty"`
}

// Type returns TypeCardRecord.
func (r *CardRecord) Type() DocType { return TypeCardRecord }

// NetworkID returns the record's network.
func (r *CardRecord) NetworkID() string { return r.Network }

// Signers returns the did, and the successor that a tombstone names.
func (r *CardRecord) Signers() ([]DID, error) {
	if r.Successor != "" {
		return []DID{r.DID, r.Successor}, nil
	}
	return []DID{r.DID}, nil
}

func (r *CardRecord) sigs() *[]Signature { return &r.Signatures }

// Tombstone reports whether the record ends its did for good.
func (r *CardRecord) Tombstone() bool { return r.CID == "" }

func (r *CardRecord) check() error {
	var f fieldChecks
	f.label("network", r.Network)
	f.did("did", r.DID)
	f.that("seq", r.Seq > 0, "wants Unix milliseconds")
	f.that("signed", r.Signed > 0, "wants Unix milliseconds")
	if r.Tombstone() {
		r.checkTombstone(&f)
	} else {
		r.checkLive(&f)
	}
	return f.err()
}

func (r *CardRecord) checkTombstone(f *fieldChecks) {
	bare := r.Expires == 0 && r.SealKey == "" && r.SealUntil == 0 && len(r.Card) == 0 && r.Predecessor == nil
	f.that("cid", bare, "a record without one is a tombstone, which has no expires, sealKey, sealUntil, card or predecessor")
	if r.Successor != "" {
		f.did("successor", r.Successor)
		f.that("successor", r.Successor != r.DID, "wants another did")
	}
}

func (r *CardRecord) checkLive(f *fieldChecks) {
	f.that("cid", canon.IsRawCID(r.CID), "wants the raw CID of the card")
	signed := r.Signed.Seconds()
	f.that("expires", r.Expires > signed && r.Expires <= signed.Add(MaxRecordLife), "wants at most 48 h after signed")
	f.bytes("sealKey", r.SealKey, 32)
	f.that("sealUntil", r.SealUntil > signed && r.SealUntil <= signed.Add(MaxSealLife), "wants at most 24 h after signed")
	f.that("successor", r.Successor == "", "only a tombstone names one")
	if len(r.Card) > 0 {
		if problem := r.disagrees(); problem != "" {
			f.bad.Add("card", problem)
		}
	}
	if p := r.Predecessor; p != nil {
		ok := p.Tombstone() && p.Successor == r.DID && p.Network == r.Network && p.check() == nil
		f.that("predecessor", ok, "wants the tombstone that names this did as successor")
	}
}

// disagrees says in what the inline card and the record do not agree, "" if in
// nothing. A revoked card has no live record: revocation is a tombstone.
func (r *CardRecord) disagrees() string {
	if len(r.Card) > MaxInlineCard {
		return "larger than 8 KiB"
	}
	c, err := ParseCard(r.Card)
	if err != nil {
		return err.Error()
	}
	switch p := c.Params(); {
	case CardCID(r.Card) != r.CID:
		return "not the card of the CID"
	case p.DID != r.DID:
		return "of another did"
	case p.Network != r.Network:
		return "of another network"
	case p.Seq != r.Seq:
		return "of another seq"
	case p.Status == CardRevoked:
		return "revoked, which wants a tombstone"
	}
	return ""
}

// VerifyRecord is the validator of the DHT: it reads a record of at most 12 KiB
// and checks fields, network, signatures (of its predecessor too), times at now,
// and agreement with an inline card. The card itself is not verified: VerifyCard
// does. What is malformed is ErrInvalid; what does not verify, is signed more
// than 2 minutes ahead, or has expired is ErrDenied. A tombstone never expires.
func VerifyRecord(data []byte, network string, now time.Time) (*CardRecord, error) {
	r, err := Parse[CardRecord](data)
	if err != nil {
		return nil, err
	}
	if err := r.verify(network, now); err != nil {
		return nil, err
	}
	if r.Predecessor != nil {
		if err := r.Predecessor.verify(network, now); err != nil {
			return nil, fmt.Errorf("predecessor: %w", err)
		}
	}
	return r, nil
}

func (r *CardRecord) verify(network string, now time.Time) error {
	if err := Verify(r, network); err != nil {
		return err
	}
	if err := notAhead("seq", r.Seq.Time(), now); err != nil {
		return in("card-record", err)
	}
	if err := notAhead("signed", r.Signed.Time(), now); err != nil {
		return in("card-record", err)
	}
	if !r.Tombstone() && !now.Before(r.Expires.Time()) {
		return fmt.Errorf("card-record: %w: expired at %s", ErrDenied, r.Expires)
	}
	return nil
}

// BetterRecord reports whether a is to be preferred to b, both verified records
// of one did: a tombstone first, then the higher seq, then the later signed,
// then the smaller sha256 of the canonical bytes.
func BetterRecord(a, b *CardRecord) bool {
	switch {
	case a.Tombstone() != b.Tombstone():
		return a.Tombstone()
	case a.Seq != b.Seq:
		return a.Seq > b.Seq
	case a.Signed != b.Signed:
		return a.Signed > b.Signed
	}
	return recordHash(a) < recordHash(b)
}

// recordHash is the sha256 of a record's bytes; one that cannot be encoded,
// which no verified record is, comes last.
func recordHash(r *CardRecord) string {
	data, err := Encode(r)
	if err != nil {
		return "~"
	}
	return canon.SHA256Hex(data)
}

// SelectRecord returns the index of the best of several verified records, as
// BetterRecord orders them. Values that can not be read are passed over;
// ErrNotFound if none can.
func SelectRecord(values [][]byte) (int, error) {
	best, at := (*CardRecord)(nil), -1
	for i, data := range values {
		r, err := Parse[CardRecord](data)
		if err != nil {
			continue
		}
		if best == nil || BetterRecord(r, best) {
			best, at = r, i
		}
	}
	if best == nil {
		return 0, fmt.Errorf("select card record: %w: none of %d can be read", ErrNotFound, len(values))
	}
	return at, nil
}

// Succeeds says whether reputation may move along a verified tombstone: the
// sha256 of its successor's key equals the `next` of card, which the caller
// itself saw before and verified. Else ErrDenied.
func Succeeds(tombstone *CardRecord, card *Card) error {
	hash, err := tombstone.Successor.NextHash()
	if err != nil {
		return fmt.Errorf("successor: %w", err)
	}
	p := card.Params()
	if !tombstone.Tombstone() || p.DID != tombstone.DID || p.Network != tombstone.Network || p.Next != hash {
		return fmt.Errorf("successor: %w: not the key that the card committed to", ErrDenied)
	}
	return nil
}

// recordKeys is how many DHT keys an agent's record may have: 0 is written
// today, and validators take the others from the start.
const recordKeys = 3

const recordPrefix = "/zerostate-card/"

// RecordKey returns the DHT key number n, 0 to 2, of a did's card record.
func RecordKey(n int, did DID) string { return fmt.Sprintf("%s%d/%s", recordPrefix, n, did) }

// ParseRecordKey returns the did of a DHT key that RecordKey made.
func ParseRecordKey(key string) (DID, error) {
	for n := range recordKeys {
		if rest, ok := strings.CutPrefix(key, RecordKey(n, "")); ok {
			return ParseDID(rest)
		}
	}
	return "", fmt.Errorf("record key %.100q: %w: want %s<0..2>/<did>", key, ErrInvalid, recordPrefix)
}
