package core

import (
	"fmt"
	"time"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// Announcement says on a topic, and to the index nodes of a region, that an
// agent has a new card. It is a hint: who gets it fetches and verifies the
// record. Signed by the node that says so.
type Announcement struct {
	Network    string      `json:"network"`
	DID        DID         `json:"did"` // the agent
	Seq        Millis      `json:"seq"`
	CID        string      `json:"cid,omitempty"` // of the card; absent for a tombstone
	Node       DID         `json:"node"`
	Time       Time        `json:"time"`
	Signatures []Signature `json:"signatures,omitempty"`
}

// Type returns TypeAnnouncement.
func (a *Announcement) Type() DocType { return TypeAnnouncement }

// NetworkID returns the announcement's network.
func (a *Announcement) NetworkID() string { return a.Network }

// Signers returns the node.
func (a *Announcement) Signers() ([]DID, error) { return []DID{a.Node}, nil }

func (a *Announcement) sigs() *[]Signature { return &a.Signatures }

func (a *Announcement) check() error {
	var f fieldChecks
	f.label("network", a.Network)
	f.did("did", a.DID)
	f.that("seq", a.Seq > 0, "wants Unix milliseconds")
	f.that("cid", a.CID == "" || canon.IsRawCID(a.CID), "wants the raw CID of the card")
	f.did("node", a.Node)
	f.time("time", a.Time)
	return f.err()
}

// BuildAnnouncement makes and signs the announcement of a record, in canonical
// bytes.
func BuildAnnouncement(r *CardRecord, node Signer, now time.Time) ([]byte, error) {
	a := &Announcement{
		Network: r.Network, DID: r.DID, Seq: r.Seq, CID: r.CID,
		Node: node.DID(), Time: TimeOf(now),
	}
	if err := Sign(a, node); err != nil {
		return nil, err
	}
	return Encode(a)
}

// VerifyAnnouncement reads an announcement and checks its fields, network,
// signature, and that neither seq nor time is more than 2 minutes ahead of now.
func VerifyAnnouncement(data []byte, network string, now time.Time) (*Announcement, error) {
	a, err := Parse[Announcement](data)
	if err != nil {
		return nil, err
	}
	if err := Verify(a, network); err != nil {
		return nil, err
	}
	if err := notAhead("seq", a.Seq.Time(), now); err != nil {
		return nil, fmt.Errorf("announcement: %w", err)
	}
	if err := notAhead("time", a.Time.Time(), now); err != nil {
		return nil, fmt.Errorf("announcement: %w", err)
	}
	return a, nil
}
