package core

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// Bounds of guild documents.
const (
	maxGuildTTLMs  = 24 * 60 * 60 * 1000 // a guild's life, milliseconds
	maxGuildSuites = 8                   // suites a commit may list
	secretBytes    = 32                  // each side's share of a guild's secret
	sealedBytes    = 32 + 32 + 16        // HPKE with SuiteX25519: enc, secret, tag
)

// Role is what a member does in a guild.
type Role string

// The roles of a guild of two.
const (
	RoleRequester Role = "requester" // founds the guild, hires, pays
	RoleWorker    Role = "worker"    // runs the task
)

// Member is one node of a guild.
type Member struct {
	Node DID  `json:"node"`
	Role Role `json:"role"`
}

// Commit founds a guild: who is in it, for how long, and by which algorithms.
// Its hash is the guild's id. In a guild of two it is part of the Offer, whose
// signature covers it, and bears none of its own; standing alone, as more than
// two members will need it, it is signed by the requester's node.
type Commit struct {
	GuildKey   string      `json:"guildKey"` // requester's X25519 key for this guild, unpadded base64url
	Members    []Member    `json:"members"`  // the requester, then the worker
	Network    string      `json:"network"`
	Nonce      string      `json:"nonce"` // 32 random bytes, unpadded base64url
	Signatures []Signature `json:"signatures,omitempty"`
	Suites     []string    `json:"suites"` // what is sealed by, best first: SuiteX25519
	TTLMs      int64       `json:"ttlMs"`  // how long it lives, milliseconds, 1..24 h
}

// Type returns TypeCommit.
func (c *Commit) Type() DocType { return TypeCommit }

// NetworkID returns the network that the guild is on.
func (c *Commit) NetworkID() string { return c.Network }

// Signers returns the requester's node. ErrInvalid where no member is one.
func (c *Commit) Signers() ([]DID, error) {
	d, err := c.Member(RoleRequester)
	if err != nil {
		return nil, err
	}
	return []DID{d}, nil
}

func (c *Commit) sigs() *[]Signature { return &c.Signatures }

// Member returns the node that has the role; ErrInvalid if there is none.
func (c *Commit) Member(role Role) (DID, error) {
	for _, m := range c.Members {
		if m.Role == role {
			return m.Node, nil
		}
	}
	return "", fmt.Errorf("guild commit: has no %s: %w", role, ErrInvalid)
}

func (c *Commit) check() error {
	var f fieldChecks
	c.checkFields(&f, "")
	return f.err()
}

func (c *Commit) checkFields(f *fieldChecks, at string) {
	f.bytes(at+"guildKey", c.GuildKey, 32)
	f.label(at+"network", c.Network)
	f.bytes(at+"nonce", c.Nonce, 32)
	f.between(at+"ttlMs", c.TTLMs, 1, maxGuildTTLMs)
	if len(c.Suites) < 1 || len(c.Suites) > maxGuildSuites {
		f.that(at+"suites", false, fmt.Sprintf("has %d, wants 1 to %d", len(c.Suites), maxGuildSuites))
	} else {
		for i, id := range c.Suites {
			f.suite(fmt.Sprintf("%ssuites[%d]", at, i), SuiteSeals, id)
		}
	}
	if len(c.Members) != 2 || c.Members[0].Role != RoleRequester || c.Members[1].Role != RoleWorker {
		f.that(at+"members", false, "wants one requester, then one worker")
		return
	}
	f.did(at+"members[0].node", c.Members[0].Node)
	f.did(at+"members[1].node", c.Members[1].Node)
	f.that(at+"members[1].node", c.Members[0].Node != c.Members[1].Node, "is the requester")
}

// GuildID is the sha256 of the commit's JCS in hex: its digest.
func GuildID(c *Commit) (string, error) {
	if err := c.check(); err != nil {
		return "", err
	}
	return Digest(c)
}

// Offer asks a worker to run a task in a guild of two. The requester's node
// signs it and seals it to the recipient's seal key; what it holds is for the
// recipient alone.
type Offer struct {
	Agent      DID             `json:"agent"`    // who is hired
	CardCID    string          `json:"cardCid"`  // the card that the requester read
	Channel    string          `json:"channel"`  // channel id
	Commit     *Commit         `json:"commit"`   // without signatures
	ID         string          `json:"id"`       // 32 random bytes, unpadded base64url; taken once until NotAfter
	Lock       Lock            `json:"lock"`     // as it will stand in the channel
	Manifest   json.RawMessage `json:"manifest"` // resolved, byte for byte; its sha256 is the task id
	Network    string          `json:"network"`
	NotAfter   Time            `json:"notAfter"`  // void from then on; before the lock expires
	Recipient  DID             `json:"recipient"` // node did of the worker
	Requester  DID             `json:"requester"` // whose key will countersign and rate: the node's, or an agent's
	Secret     string          `json:"secret"`    // the requester's 32 bytes, unpadded base64url
	Signatures []Signature     `json:"signatures,omitempty"`
}

// Type returns TypeOffer.
func (o *Offer) Type() DocType { return TypeOffer }

// NetworkID returns the network that the offer is made on.
func (o *Offer) NetworkID() string { return o.Network }

// Signers returns the requester's node, which the commit names.
func (o *Offer) Signers() ([]DID, error) {
	if o.Commit == nil {
		return nil, fmt.Errorf("offer: has no commit: %w", ErrInvalid)
	}
	return o.Commit.Signers()
}

func (o *Offer) sigs() *[]Signature { return &o.Signatures }

func (o *Offer) check() error {
	var f fieldChecks
	f.did("agent", o.Agent)
	f.that("cardCid", canon.CheckCID(o.CardCID) == nil && strings.HasPrefix(o.CardCID, rawCIDPrefix),
		"wants the CID of a card: version 1, raw, sha2-256, base32")
	f.hash("channel", o.Channel)
	f.bytes("id", o.ID, 32)
	o.Lock.checkFields(&f, "lock.")
	f.label("network", o.Network)
	f.time("notAfter", o.NotAfter)
	f.did("recipient", o.Recipient)
	f.did("requester", o.Requester)
	f.that("requester", o.Requester != o.Agent, "is the agent: a receipt wants two signers")
	f.bytes("secret", o.Secret, secretBytes)
	if o.Commit == nil {
		f.that("commit", false, "must be present")
		return f.err()
	}
	o.Commit.checkFields(&f, "commit.")
	f.that("commit.signatures", len(o.Commit.Signatures) == 0, "must be absent: the offer's covers it")
	if err := f.err(); err != nil {
		return err
	}
	return o.checkAgrees()
}

// checkAgrees compares what the offer says twice.
func (o *Offer) checkAgrees() error {
	var f fieldChecks
	f.that("commit.network", o.Commit.Network == o.Network, "is not the offer's network")
	f.that("recipient", o.Commit.Members[1].Node == o.Recipient, "is not the worker of the commit")
	f.that("lock.agent", o.Lock.Agent == o.Agent, "is not the agent of the offer")
	f.that("lock.task", canon.SHA256Hex(o.Manifest) == o.Lock.Task, "is not the sha256 of the manifest")
	f.that("notAfter", o.NotAfter.Before(o.Lock.Expires), "wants a time before the lock expires")
	return f.err()
}

// Resolved reads the offer's manifest and says whether its price is the one
// that the lock names. ErrInvalid or ErrUnsupported, as ParseResolved.
func (o *Offer) Resolved() (*Resolved, error) {
	r, err := ParseResolved(o.Manifest)
	if err != nil {
		return nil, fmt.Errorf("offer: %w", err)
	}
	hash, err := PriceHash(r.Spec.Settlement)
	if err != nil {
		return nil, fmt.Errorf("offer: %w", err)
	}
	if hash != o.Lock.PriceHash {
		return nil, fmt.Errorf("offer: lock.priceHash is not of the manifest's price: %w", ErrInvalid)
	}
	return r, nil
}

// CheckOffer is what a worker's node checks of an opened offer before anything
// else: the requester's signature, that it is meant for recipient and still holds
// at now, that its lock leaves room for work (see CheckLock), and its manifest,
// which it returns. ErrDenied for a signature, network or recipient, ErrConflict
// for one that is void by now, else as Resolved and CheckLock.
func CheckOffer(o *Offer, network string, recipient DID, work time.Duration, batch bool, now time.Time) (*Resolved, error) {
	if err := Verify(o, network); err != nil {
		return nil, err
	}
	if o.Recipient != recipient {
		return nil, fmt.Errorf("offer: is for %s: %w", o.Recipient.Short(), ErrDenied)
	}
	if !now.Before(o.NotAfter.Time()) {
		return nil, fmt.Errorf("offer: is void since %s: %w", o.NotAfter, ErrConflict)
	}
	if err := CheckLock(o.Lock, work, now, batch); err != nil {
		return nil, fmt.Errorf("offer: %w", err)
	}
	return o.Resolved()
}

// Accept is the worker's promise to run what an Offer asks for, signed by its
// node, then by the agent. If no receipt follows it is evidence of no delivery.
type Accept struct {
	Agent      DID         `json:"agent"`
	Attempt    int64       `json:"attempt"`
	Deadline   Time        `json:"deadline"`   // the receipt comes before; not after the lock expires
	Guild      string      `json:"guild"`      // GuildID
	GuildKey   string      `json:"guildKey"`   // worker's X25519 key for this guild, unpadded base64url
	LockDigest string      `json:"lockDigest"` // LockDigest of the offer's lock
	Network    string      `json:"network"`
	Node       DID         `json:"node"`   // node did of the worker
	OfferHash  string      `json:"offer"`  // digest of the Offer
	Sealed     string      `json:"sealed"` // the worker's 32 bytes, sealed to the requester's guild key: 80 bytes, unpadded base64url
	Signatures []Signature `json:"signatures,omitempty"`
	Task       string      `json:"task"` // task id
}

// Type returns TypeAccept.
func (a *Accept) Type() DocType { return TypeAccept }

// NetworkID returns the network that the accept is made on.
func (a *Accept) NetworkID() string { return a.Network }

// Signers returns the worker's node and the agent.
func (a *Accept) Signers() ([]DID, error) { return []DID{a.Node, a.Agent}, nil }

func (a *Accept) sigs() *[]Signature { return &a.Signatures }

func (a *Accept) check() error {
	var f fieldChecks
	f.did("agent", a.Agent)
	f.between("attempt", a.Attempt, 1, maxSafeInteger)
	f.time("deadline", a.Deadline)
	f.hash("guild", a.Guild)
	f.bytes("guildKey", a.GuildKey, 32)
	f.hash("lockDigest", a.LockDigest)
	f.label("network", a.Network)
	f.did("node", a.Node)
	f.that("agent", a.Agent != a.Node, "is the node: an agent has a key of its own")
	f.hash("offer", a.OfferHash)
	f.bytes("sealed", a.Sealed, sealedBytes)
	f.hash("task", a.Task)
	return f.err()
}

// AcceptFor is the unsigned Accept of an offer. key is the worker's public guild
// key and sealed its sealed secret, both in unpadded base64url.
func AcceptFor(o *Offer, deadline Time, key, sealed string) (*Accept, error) {
	guild, err := GuildID(o.Commit)
	if err != nil {
		return nil, err
	}
	hash, err := Digest(o)
	if err != nil {
		return nil, err
	}
	lock, err := LockDigest(o.Lock)
	if err != nil {
		return nil, err
	}
	a := &Accept{
		Agent: o.Agent, Attempt: o.Lock.Attempt, Deadline: deadline, Guild: guild, GuildKey: key,
		LockDigest: lock, Network: o.Network, Node: o.Recipient, OfferHash: hash, Sealed: sealed, Task: o.Lock.Task,
	}
	if deadline.After(o.Lock.Expires) {
		return nil, fmt.Errorf("accept: deadline is after the lock expires: %w", ErrInvalid)
	}
	return a, a.check()
}

// CheckAccept says whether a answers exactly this offer. It does not verify
// signatures: see Verify. ErrInvalid.
func CheckAccept(o *Offer, a *Accept) error {
	want, err := AcceptFor(o, a.Deadline, a.GuildKey, a.Sealed)
	if err != nil {
		return err
	}
	var f fieldChecks
	for _, m := range []struct{ path, got, want string }{
		{"agent", string(a.Agent), string(want.Agent)},
		{"guild", a.Guild, want.Guild},
		{"lockDigest", a.LockDigest, want.LockDigest},
		{"network", a.Network, want.Network},
		{"node", string(a.Node), string(want.Node)},
		{"offer", a.OfferHash, want.OfferHash},
		{"task", a.Task, want.Task},
	} {
		f.that(m.path, m.got == m.want, "is not what the offer says")
	}
	f.that("attempt", a.Attempt == want.Attempt, "is not what the offer says")
	return f.err()
}
