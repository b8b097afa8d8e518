package core

import (
	"fmt"
	"slices"
)

// AuditKind says what an audit entry records.
type AuditKind string

// The kinds of audit entries: a closed list that only grows at the end.
const (
	AuditNodeStart       AuditKind = "node.start"
	AuditNodeStop        AuditKind = "node.stop"
	AuditConfig          AuditKind = "config.load"
	AuditPluginStart     AuditKind = "plugin.start"
	AuditPluginExit      AuditKind = "plugin.exit"
	AuditCardPublish     AuditKind = "card.publish"
	AuditCardRevoke      AuditKind = "card.revoke"
	AuditCardRotate      AuditKind = "card.rotate"
	AuditChannelOpen     AuditKind = "channel.open"
	AuditChannelUpdate   AuditKind = "channel.update"
	AuditChannelClose    AuditKind = "channel.close"
	AuditChannelDispute  AuditKind = "channel.dispute"
	AuditGuildForm       AuditKind = "guild.form"
	AuditGuildDissolve   AuditKind = "guild.dissolve"
	AuditTaskOffer       AuditKind = "task.offer"
	AuditTaskAccept      AuditKind = "task.accept"
	AuditTaskRefuse      AuditKind = "task.refuse"
	AuditTaskReceipt     AuditKind = "task.receipt"
	AuditTaskSettle      AuditKind = "task.settle"
	AuditReputationEvent AuditKind = "reputation.event"
	AuditEvidence        AuditKind = "evidence"
	AuditArtifactPublic  AuditKind = "artifact.public"
	AuditAnchor          AuditKind = "audit.anchor"
	AuditPolicyDeny      AuditKind = "policy.deny"
)

// AuditKinds lists every kind.
func AuditKinds() []AuditKind {
	return []AuditKind{
		AuditNodeStart, AuditNodeStop, AuditConfig, AuditPluginStart, AuditPluginExit,
		AuditCardPublish, AuditCardRevoke, AuditCardRotate,
		AuditChannelOpen, AuditChannelUpdate, AuditChannelClose, AuditChannelDispute,
		AuditGuildForm, AuditGuildDissolve,
		AuditTaskOffer, AuditTaskAccept, AuditTaskRefuse, AuditTaskReceipt, AuditTaskSettle,
		AuditReputationEvent, AuditEvidence, AuditArtifactPublic, AuditAnchor, AuditPolicyDeny,
	}
}

// AuditEntry is one line of a node's audit log, signed by the node. It holds no
// private content: what happened, to what (an id), and the digest of the paper
// that shows it. Each entry names the digest of the one before, so the last
// digest and the count (AuditHead) stand for the whole log.
type AuditEntry struct {
	Digest     string      `json:"digest,omitempty"` // sha256 of the document concerned, hex; absent where there is none
	Index      int64       `json:"index"`            // from 0
	Kind       AuditKind   `json:"kind"`
	Network    string      `json:"network"`
	Node       DID         `json:"node"`           // whose log it is, and the signer
	Prev       string      `json:"prev,omitempty"` // digest of entry Index-1; absent in entry 0
	Signatures []Signature `json:"signatures,omitempty"`
	Subject    string      `json:"subject"` // an id: did, cid, channel, guild, task, plugin; 1-128 of A-Z a-z 0-9 - . _ : / #
	Time       Time        `json:"time"`
}

// Type returns TypeAuditEntry.
func (e *AuditEntry) Type() DocType { return TypeAuditEntry }

// NetworkID returns the network that the entry was made on.
func (e *AuditEntry) NetworkID() string { return e.Network }

// Signers returns the node.
func (e *AuditEntry) Signers() ([]DID, error) { return []DID{e.Node}, nil }

func (e *AuditEntry) sigs() *[]Signature { return &e.Signatures }

func (e *AuditEntry) check() error {
	var f fieldChecks
	if e.Digest != "" {
		f.hash("digest", e.Digest)
	}
	f.between("index", e.Index, 0, maxSafeInteger)
	f.that("kind", slices.Contains(AuditKinds(), e.Kind), "is not a kind of audit entry")
	f.label("network", e.Network)
	f.did("node", e.Node)
	if e.Index == 0 {
		f.that("prev", e.Prev == "", "must be absent in entry 0")
	} else {
		f.hash("prev", e.Prev)
	}
	f.that("subject", isSubject(e.Subject), "wants 1 to 128 of A-Z, a-z, 0-9 and -._:/#")
	f.time("time", e.Time)
	return f.err()
}

func isSubject(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case c == '-', c == '.', c == '_', c == ':', c == '/', c == '#':
		default:
			return false
		}
	}
	return true
}

// Head is the head of the log whose last entry is e.
func (e *AuditEntry) Head() (AuditHead, error) {
	root, err := Digest(e)
	if err != nil {
		return AuditHead{}, err
	}
	return AuditHead{Root: root, Size: e.Index + 1}, nil
}

// EmptyAuditHead is the head of a log without entries.
func EmptyAuditHead() AuditHead { return AuditHead{Root: EmptyAuditRoot} }

// CheckChain says whether next may stand after prev in one log; a nil prev says
// that next is its first entry. It does not verify signatures: see Verify.
// ErrInvalid, saying where the chain breaks.
func CheckChain(prev, next *AuditEntry) error {
	if err := next.check(); err != nil {
		return err
	}
	if prev == nil {
		if next.Index != 0 {
			return fmt.Errorf("audit entry %d: the entries before it are missing: %w", next.Index, ErrInvalid)
		}
		return nil
	}
	head, err := prev.Head()
	if err != nil {
		return err
	}
	switch {
	case next.Network != prev.Network || next.Node != prev.Node:
		return fmt.Errorf("audit entry %d: is of another node or network than the one before: %w", next.Index, ErrInvalid)
	case next.Index != head.Size:
		return fmt.Errorf("audit entry %d: does not follow entry %d: %w", next.Index, prev.Index, ErrInvalid)
	case next.Prev != head.Root:
		return fmt.Errorf("audit entry %d: prev is not the digest of entry %d: %w", next.Index, prev.Index, ErrInvalid)
	case next.Time.Before(prev.Time):
		return fmt.Errorf("audit entry %d: is older than entry %d: %w", next.Index, prev.Index, ErrInvalid)
	}
	return nil
}
