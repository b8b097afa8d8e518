package core

import (
	"fmt"
	"time"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// MaxLocks is how many locks a channel state holds at most.
const MaxLocks = 512

// maxWindowMs bounds a challenge window: 30 days in milliseconds.
const maxWindowMs = 30 * 24 * 60 * 60 * 1000

// Params are what the two ends of a channel agree on once. They are not signed
// themselves: their hash is the channel's id, which every state signs.
type Params struct {
	Backend           string `json:"backend"`           // name of the payment backend, e.g. "mock"
	ChallengeWindowMs int64  `json:"challengeWindowMs"` // how long a dispute stays open, milliseconds, 1..30 days
	Currency          string `json:"currency"`          // 1-12 of A-Z and 0-9
	DepositMicros     int64  `json:"depositMicros"`     // what the payer escrows, micro-units, 1..2^53-1
	Network           string `json:"network"`           // network id
	Nonce             string `json:"nonce"`             // 32 random bytes, unpadded base64url
	Payee             DID    `json:"payee"`             // node did of the worker's side
	Payer             DID    `json:"payer"`             // node did of the requester's side
	Suite             string `json:"suite"`             // SuiteEd25519
}

// ParseParams reads channel params: canonical bytes of at most 16 KiB.
// ErrInvalid for another spelling or a bad field, ErrUnsupported for a suite
// that this version does not have.
func ParseParams(data []byte) (*Params, error) {
	p := new(Params)
	if err := canon.Decode(data, maxSmallDocument, p); err != nil {
		return nil, fmt.Errorf("channel params: %w", err)
	}
	if err := p.Check(); err != nil {
		return nil, err
	}
	return p, nil
}

// Bytes returns the canonical bytes of the params.
func (p *Params) Bytes() ([]byte, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	return canon.Encode(p)
}

// Check says whether every field is in its bounds and the two ends differ;
// ErrInvalid with every bad field at once, ErrUnsupported for the suite.
func (p *Params) Check() error {
	var f fieldChecks
	f.label("backend", p.Backend)
	f.between("challengeWindowMs", p.ChallengeWindowMs, 1, maxWindowMs)
	f.that("currency", isCurrency(p.Currency), "wants 1 to 12 upper-case letters and digits")
	f.between("depositMicros", p.DepositMicros, 1, maxSafeInteger)
	f.label("network", p.Network)
	f.bytes("nonce", p.Nonce, 32)
	f.did("payee", p.Payee)
	f.did("payer", p.Payer)
	f.that("payee", p.Payee != p.Payer, "is the payer")
	f.suite("suite", SuiteSigns, p.Suite)
	if err := f.err(); err != nil {
		return fmt.Errorf("channel params: %w", err)
	}
	return nil
}

// ChallengeWindow is how long a dispute stays open.
func (p *Params) ChallengeWindow() time.Duration {
	return time.Duration(p.ChallengeWindowMs) * time.Millisecond
}

// ChannelID is the sha256 of the params' JCS in hex.
func (p *Params) ChannelID() (string, error) {
	if err := p.Check(); err != nil {
		return "", err
	}
	return jcsDigest(p)
}

// Lock is the part of a deposit that is set aside for one attempt of one task.
// It leaves a channel only by a receipt of that attempt, or by a dispute.
type Lock struct {
	Agent     DID    `json:"agent"`     // who may earn it: signs the receipt
	Attempt   int64  `json:"attempt"`   // from 1
	Expires   Time   `json:"expires"`   // from then on the worker may dispute
	MaxMicros int64  `json:"maxMicros"` // the most the receipt may charge, micro-units
	PriceHash string `json:"priceHash"` // PriceHash of the price agreed on
	Task      string `json:"task"`      // task id
}

// lockKey names what a lock is for; a channel locks each key at most once.
type lockKey struct {
	task    string
	attempt int64
}

func (l Lock) key() lockKey { return lockKey{l.Task, l.Attempt} }

func (l Lock) checkFields(f *fieldChecks, at string) {
	f.did(at+"agent", l.Agent)
	f.between(at+"attempt", l.Attempt, 1, maxSafeInteger)
	f.time(at+"expires", l.Expires)
	f.between(at+"maxMicros", l.MaxMicros, 0, maxSafeInteger)
	f.hash(at+"priceHash", l.PriceHash)
	f.hash(at+"task", l.Task)
}

// LockDigest is the sha256 of the lock's JCS in hex: what Accept and receipt
// name.
func LockDigest(l Lock) (string, error) {
	var f fieldChecks
	l.checkFields(&f, "")
	if err := f.err(); err != nil {
		return "", fmt.Errorf("lock: %w", err)
	}
	return jcsDigest(l)
}

// AuditHead is the head of a node's audit log: how many entries it has and what
// they are. Root is the digest of the last entry, which covers every earlier one
// through prev; of an empty log it is EmptyAuditRoot.
type AuditHead struct {
	Root string `json:"root"` // 64 lower-case hex digits
	Size int64  `json:"size"` // entries, 0..2^53-1
}

// EmptyAuditRoot is the root of a log without entries: the sha256 of nothing.
const EmptyAuditRoot = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func (h AuditHead) checkFields(f *fieldChecks, at string) {
	f.hash(at+"root", h.Root)
	f.between(at+"size", h.Size, 0, maxSafeInteger)
	f.that(at+"root", h.Size != 0 || h.Root == EmptyAuditRoot, "wants the root of an empty log")
}

// State is one version of a channel: who has what, and what is set aside. It is
// signed by the payer, then by the payee. A state names its channel, not its
// signers, so a parsed one has to be bound to the channel's params before
// Signers, Sign or Verify can be used on it: see Bind and Params.ParseState.
type State struct {
	AuditHead   AuditHead   `json:"auditHead"` // of the payer
	Channel     string      `json:"channel"`   // Params.ChannelID
	Final       bool        `json:"final"`     // closes the channel: no locks, nothing follows
	Locks       []Lock      `json:"locks"`     // at most MaxLocks, oldest first; empty, never nil
	Network     string      `json:"network"`
	PayeeMicros int64       `json:"payeeMicros"`
	PayerMicros int64       `json:"payerMicros"`
	Prev        string      `json:"prev,omitempty"` // digest of the version before; absent in version 0
	Signatures  []Signature `json:"signatures,omitempty"`
	Version     int64       `json:"version"`

	payer, payee DID // set by Bind
}

// Type returns TypeState.
func (s *State) Type() DocType { return TypeState }

// NetworkID returns the network that the state is for.
func (s *State) NetworkID() string { return s.Network }

// Signers returns payer and payee. ErrInvalid where the state is not bound.
func (s *State) Signers() ([]DID, error) {
	if s.payer == "" || s.payee == "" {
		return nil, fmt.Errorf("channel state: not bound to the params of its channel: %w", ErrInvalid)
	}
	return []DID{s.payer, s.payee}, nil
}

func (s *State) sigs() *[]Signature { return &s.Signatures }

func (s *State) check() error {
	var f fieldChecks
	s.AuditHead.checkFields(&f, "auditHead.")
	f.hash("channel", s.Channel)
	f.label("network", s.Network)
	f.between("payeeMicros", s.PayeeMicros, 0, maxSafeInteger)
	f.between("payerMicros", s.PayerMicros, 0, maxSafeInteger)
	f.between("version", s.Version, 0, maxSafeInteger)
	if s.Version == 0 {
		f.that("prev", s.Prev == "", "must be absent in version 0")
	} else {
		f.hash("prev", s.Prev)
	}
	f.that("final", !s.Final || len(s.Locks) == 0, "must be false while there are locks")
	s.checkLocks(&f)
	return f.err()
}

func (s *State) checkLocks(f *fieldChecks) {
	f.that("locks", s.Locks != nil, "must be present")
	if len(s.Locks) > MaxLocks {
		f.that("locks", false, fmt.Sprintf("has %d locks, at most %d", len(s.Locks), MaxLocks))
		return
	}
	seen := make(map[lockKey]struct{}, len(s.Locks))
	for i, l := range s.Locks {
		at := fmt.Sprintf("locks[%d].", i)
		l.checkFields(f, at)
		_, twice := seen[l.key()]
		f.that(at+"task", !twice, "this attempt is locked twice")
		seen[l.key()] = struct{}{}
	}
}

// Bind tells the state its channel's params, and so its signers. ErrInvalid
// where channel id or network are not those of the params.
func (s *State) Bind(p *Params) error {
	id, err := p.ChannelID()
	if err != nil {
		return err
	}
	if s.Channel != id || s.Network != p.Network {
		return fmt.Errorf("channel state: is of channel %.8s on %q, not of %.8s on %q: %w",
			s.Channel, s.Network, id, p.Network, ErrInvalid)
	}
	s.payer, s.payee = p.Payer, p.Payee
	return nil
}

// ParseState reads a state of this channel and binds it. It does not verify
// signatures: see Verify and VerifyFirst.
func (p *Params) ParseState(data []byte) (*State, error) {
	s, err := Parse[State](data)
	if err != nil {
		return nil, err
	}
	if err := s.Bind(p); err != nil {
		return nil, err
	}
	return s, nil
}

// LockedMicros is the sum of what is set aside, in micro-units. It can not
// overflow: 512 locks of 2^53-1 are less than 2^63.
func (s *State) LockedMicros() int64 {
	var sum int64
	for _, l := range s.Locks {
		sum += l.MaxMicros
	}
	return sum
}

// Lock returns the lock of an attempt of a task and whether there is one.
func (s *State) Lock(task string, attempt int64) (Lock, bool) {
	for _, l := range s.Locks {
		if l.key() == (lockKey{task, attempt}) {
			return l, true
		}
	}
	return Lock{}, false
}
