package core

import (
	"fmt"
	"slices"
	"time"
)

// MaxClaimReceipts and MaxClaimReceiptBytes bound what one call that adds to a
// claim brings; a claim as a whole holds at most one receipt for each lock and
// one more for each that contradicts it.
const (
	MaxClaimReceipts     = 64
	MaxClaimReceiptBytes = 1 << 20
	maxFiledReceipts     = 2 * MaxLocks
)

// Claim opens a dispute: a node files the highest state that both sides signed
// and its receipts, signed by that node. State and receipts are too large for a
// claim (512 receipts' digests alone would be) and travel beside it: the claim
// holds the state's digest, and the number and one hash of the receipts.
type Claim struct {
	Channel      string      `json:"channel"`
	Claimant     DID         `json:"claimant"` // payer or payee: the signer
	Filed        Time        `json:"filed"`    // the challenge window runs from here
	Network      string      `json:"network"`
	Receipts     int64       `json:"receipts"`     // how many, 0..1024
	ReceiptsHash string      `json:"receiptsHash"` // ReceiptsHash of them
	Signatures   []Signature `json:"signatures,omitempty"`
	State        string      `json:"state"` // digest
	Version      int64       `json:"version"`
}

// Type returns TypeClaim.
func (c *Claim) Type() DocType { return TypeClaim }

// NetworkID returns the network of the channel.
func (c *Claim) NetworkID() string { return c.Network }

// Signers returns the claimant.
func (c *Claim) Signers() ([]DID, error) { return []DID{c.Claimant}, nil }

func (c *Claim) sigs() *[]Signature { return &c.Signatures }

func (c *Claim) check() error {
	var f fieldChecks
	f.hash("channel", c.Channel)
	f.did("claimant", c.Claimant)
	f.time("filed", c.Filed)
	f.label("network", c.Network)
	f.between("receipts", c.Receipts, 0, maxFiledReceipts)
	f.hash("receiptsHash", c.ReceiptsHash)
	f.hash("state", c.State)
	f.between("version", c.Version, 0, maxSafeInteger)
	return f.err()
}

// ReceiptsHash is the sha256, in hex, of the JCS of the list of the receipts'
// digests (ReceiptDigest) in ascending order, and how many there are. The order
// of receipts and which of them the requester has countersigned do not change
// it; a receipt that comes twice counts once.
func ReceiptsHash(receipts [][]byte) (hash string, n int64, err error) {
	digests := make([]string, 0, len(receipts))
	for i, r := range receipts {
		d, err := ReceiptDigest(r)
		if err != nil {
			return "", 0, fmt.Errorf("receipt %d: %w", i, err)
		}
		digests = append(digests, d)
	}
	slices.Sort(digests)
	digests = slices.Compact(digests)
	hash, err = jcsDigest(digests)
	return hash, int64(len(digests)), err
}

// NewClaim is the unsigned claim of one side of the channel over its highest
// state, which both signed, and all its receipts. ErrInvalid where state or
// receipts are not of the channel, ErrNotFound for a receipt whose attempt the
// state does not lock, ErrDenied where a signature does not hold.
func NewClaim(p *Params, claimant DID, state *State, receipts [][]byte, filed time.Time) (*Claim, error) {
	if claimant != p.Payer && claimant != p.Payee {
		return nil, fmt.Errorf("claim: %s is no side of the channel: %w", claimant.Short(), ErrDenied)
	}
	if err := checkSigned(p, state); err != nil {
		return nil, err
	}
	for i, r := range receipts {
		if _, err := lockOfReceipt(p, state, r); err != nil {
			return nil, fmt.Errorf("claim: receipt %d: %w", i, err)
		}
	}
	digest, err := Digest(state)
	if err != nil {
		return nil, err
	}
	hash, n, err := ReceiptsHash(receipts)
	if err != nil {
		return nil, err
	}
	c := &Claim{
		Channel: state.Channel, Claimant: claimant, Filed: TimeOf(filed), Network: p.Network,
		Receipts: n, ReceiptsHash: hash, State: digest, Version: state.Version,
	}
	return c, c.check()
}

// CheckClaim verifies a claim with the state and receipts that travel beside it:
// the claimant's signature, that the claim is over exactly these, and that it was
// not filed more than 2 minutes ahead of now. ErrDenied for a signature or the
// time, ErrNotFound for a receipt whose attempt the state does not lock, else
// ErrInvalid.
func CheckClaim(p *Params, c *Claim, state *State, receipts [][]byte, now time.Time) error {
	if err := Verify(c, p.Network); err != nil {
		return err
	}
	if err := notAhead("filed", c.Filed.Time(), now); err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	want, err := NewClaim(p, c.Claimant, state, receipts, c.Filed.Time())
	if err != nil {
		return err
	}
	var f fieldChecks
	f.that("channel", c.Channel == want.Channel, "is another channel")
	f.that("state", c.State == want.State && c.Version == want.Version, "is another state")
	f.that("receipts", c.Receipts == want.Receipts && c.ReceiptsHash == want.ReceiptsHash, "are other receipts")
	if err := f.err(); err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	return nil
}

// CheckDisputeTime says whether claimant may dispute now over a lock of the
// state: from the lock's expiry on, and no later than one challenge window after
// it. ErrConflict for too early or too late.
func CheckDisputeTime(p *Params, l Lock, now time.Time) error {
	past := now.Sub(l.Expires.Time())
	if past < 0 {
		return fmt.Errorf("dispute: the lock expires in %s, not before: %w", -past, ErrConflict)
	}
	if past > p.ChallengeWindow() {
		return fmt.Errorf("dispute: the lock expired %s ago, at most %s: %w", past, p.ChallengeWindow(), ErrConflict)
	}
	return nil
}

// DisputeResult is how a dispute stands: what each side has if nothing more is
// filed. It is final once Closed.
type DisputeResult struct {
	Version      int64        // of the state that stands
	PayerMicros  int64        // micro-units; payer, payee and Held are the deposit
	PayeeMicros  int64        // micro-units
	HeldMicros   int64        // still set aside: locks that may yet be paid
	Paid         []Settlement // locks that a receipt pays, in the state's order
	Returned     []Lock       // locks that went back to the payer
	Held         []Lock       // locks that wait for a receipt
	Evidence     []Evidence   // locks with two receipts that differ
	Ignored      []Ignored    // receipts that count for nothing, and why
	Closed       bool         // the window is over and nothing is held
	ClosesAt     time.Time    // when it closes, if nothing more is filed
	WindowEndsAt time.Time    // nothing may be filed from then on
}

// Evidence is that an agent signed two different receipts for one lock. The
// indices count in the receipts that were given to DisputeOutcome.
type Evidence struct {
	Lock          Lock
	First, Second int
}

// Ignored is a filed receipt that does not count.
type Ignored struct {
	Index int   // in the receipts that were given to DisputeOutcome
	Err   error // why: ErrInvalid, ErrDenied, ErrNotFound
}

// DisputeOutcome says how a dispute over a channel stands at now. states are all
// that were filed by either side, receipts (envelopes with at least the worker's
// signature) all that were filed with them, filed is when the first claim was
// filed. It is pure, and the order of states and receipts does not matter:
//
// The highest version stands. Each of its locks with a receipt by the agent it
// names pays that receipt's charge, once; two receipts that differ pay nothing
// and are evidence; the other locks go back when the window is over and they
// have expired, and then the channel is closed. Errors are of params and states
// only: ErrInvalid, or ErrDenied where a state does not bear both signatures.
func DisputeOutcome(p *Params, states []*State, receipts [][]byte, filed, now time.Time) (*DisputeResult, error) {
	for _, s := range states {
		if err := checkSigned(p, s); err != nil {
			return nil, fmt.Errorf("dispute: %w", err)
		}
	}
	best, err := bestState(states)
	if err != nil {
		return nil, err
	}
	res := &DisputeResult{
		Version: best.Version, PayerMicros: best.PayerMicros, PayeeMicros: best.PayeeMicros,
		WindowEndsAt: filed.Add(p.ChallengeWindow()),
	}
	res.ClosesAt = res.WindowEndsAt
	claims := res.sortReceipts(p, best, receipts)
	over := !now.Before(res.WindowEndsAt)
	for _, l := range best.Locks {
		res.endLock(l, claims[l.key()], over, now)
	}
	res.Closed = over && len(res.Held) == 0
	return res, nil
}

// lockClaim is what the receipts say of one lock.
type lockClaim struct {
	digest string
	index  int
	charge int64
	second int // index of a receipt that differs, -1 if there is none
}

// sortReceipts finds each receipt's lock and notes the receipts without one.
func (d *DisputeResult) sortReceipts(p *Params, s *State, receipts [][]byte) map[lockKey]*lockClaim {
	claims := make(map[lockKey]*lockClaim, len(s.Locks))
	for i, envelope := range receipts {
		r, err := lockOfReceipt(p, s, envelope)
		if err != nil {
			d.Ignored = append(d.Ignored, Ignored{Index: i, Err: err})
			continue
		}
		c := claims[r.key]
		switch {
		case c == nil:
			claims[r.key] = &lockClaim{digest: r.digest, index: i, charge: r.charge, second: -1}
		case c.digest != r.digest && c.second < 0:
			c.second = i
		}
	}
	return claims
}

// endLock pays a lock, gives it back, or holds it.
func (d *DisputeResult) endLock(l Lock, c *lockClaim, over bool, now time.Time) {
	if c != nil && c.second < 0 {
		d.PayeeMicros += c.charge
		d.PayerMicros += l.MaxMicros - c.charge
		d.Paid = append(d.Paid, Settlement{Task: l.Task, Attempt: l.Attempt, ChargeMicros: c.charge})
		return
	}
	if c != nil {
		d.Evidence = append(d.Evidence, Evidence{Lock: l, First: c.index, Second: c.second})
	}
	if end := l.Expires.Time(); end.After(d.ClosesAt) {
		d.ClosesAt = end
	}
	if over && !now.Before(l.Expires.Time()) {
		d.PayerMicros += l.MaxMicros
		d.Returned = append(d.Returned, l)
		return
	}
	d.HeldMicros += l.MaxMicros
	d.Held = append(d.Held, l)
}

// checkSigned says whether s is a possible state of the channel that both sides
// signed.
func checkSigned(p *Params, s *State) error {
	if err := checkWhole(p, s); err != nil {
		return err
	}
	bound := *s
	if err := bound.Bind(p); err != nil {
		return err
	}
	return Verify(&bound, p.Network)
}

// filedReceipt is what a dispute wants to know of a receipt.
type filedReceipt struct {
	key    lockKey
	digest string
	charge int64
}

// lockOfReceipt verifies a receipt, at least by its worker, for a lock of the
// state. ErrNotFound where the state does not hold the attempt it is of.
func lockOfReceipt(p *Params, s *State, envelope []byte) (filedReceipt, error) {
	r, err := VerifyReceipt(envelope, p.Network, true)
	if err != nil {
		return filedReceipt{}, err
	}
	k := receiptKey(r)
	l, ok := s.Lock(k.task, k.attempt)
	if !ok {
		return filedReceipt{}, fmt.Errorf("receipt of %.8s attempt %d: no such lock: %w", k.task, k.attempt, ErrNotFound)
	}
	if err := ReceiptOfLock(p, l, r); err != nil {
		return filedReceipt{}, err
	}
	digest, err := ReceiptDigest(envelope)
	if err != nil {
		return filedReceipt{}, err
	}
	return filedReceipt{key: k, digest: digest, charge: receiptCharge(r)}, nil
}
