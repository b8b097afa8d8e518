package core

import (
	"fmt"
	"slices"
	"time"
)

// How long before its expiry a lock is added: what the work and its transfers
// take plus LockMargin, at most MaxLockTime, or MaxBatchLockTime for batches.
const (
	LockMargin       = time.Minute
	MaxLockTime      = 15 * time.Minute
	MaxBatchLockTime = 24 * time.Hour
)

// Changes are what the payer wants the next state of a channel to differ by.
type Changes struct {
	Add       []Lock       // new locks, in order
	Settle    []Settlement // locks that end, each by a receipt
	Final     bool         // close the channel: no lock may remain
	AuditHead AuditHead    // the payer's, now
}

// Settlement ends the lock of an attempt of a task at what its receipt charges.
type Settlement struct {
	Task         string
	Attempt      int64
	ChargeMicros int64 // 0..the lock's MaxMicros; the rest returns to the payer
}

// CheckLock says whether a lock may be added now for a task that takes at most
// work: its wall timeout and the transfers of its inputs and outputs. ErrInvalid
// where it expires sooner than work + LockMargin or later than MaxLockTime (for
// a batch: MaxBatchLockTime) from now.
func CheckLock(l Lock, work time.Duration, now time.Time, batch bool) error {
	most := MaxLockTime
	if batch {
		most = MaxBatchLockTime
	}
	if work < 0 || work > most {
		return fmt.Errorf("lock: work of %s does not fit into %s: %w", work, most, ErrInvalid)
	}
	left := l.Expires.Sub(now)
	if left < work+LockMargin || left > most {
		return fmt.Errorf("lock: expires in %s, wants %s to %s: %w", left, work+LockMargin, most, ErrInvalid)
	}
	return nil
}

// OpeningState is version 0 of a channel: everything at the payer. The payer's
// audit head is head. It is unsigned, and bound.
func OpeningState(p *Params, head AuditHead) (*State, error) {
	id, err := p.ChannelID()
	if err != nil {
		return nil, err
	}
	s := &State{
		AuditHead: head, Channel: id, Network: p.Network, PayerMicros: p.DepositMicros,
		Locks: []Lock{}, payer: p.Payer, payee: p.Payee,
	}
	return s, s.check()
}

// CheckOpening says whether s may open the channel: version 0, everything at the
// payer, no locks, not final. It does not verify signatures. ErrInvalid.
func CheckOpening(p *Params, s *State) error {
	if err := checkWhole(p, s); err != nil {
		return err
	}
	switch {
	case s.Version != 0:
		return fmt.Errorf("opening state: has version %d: %w", s.Version, ErrInvalid)
	case s.PayerMicros != p.DepositMicros:
		return fmt.Errorf("opening state: payer has %d of %d: %w", s.PayerMicros, p.DepositMicros, ErrInvalid)
	case s.Final:
		return fmt.Errorf("opening state: is final: %w", ErrInvalid)
	}
	return nil
}

// NextState is what follows cur by the changes: unsigned, bound, and such that
// CheckFollows holds for it with the receipts that the settlements come from.
// ErrConflict where cur is final, ErrNotFound for a settlement without a lock,
// ErrExists for a lock that cur holds or settles now, ErrExhausted where the
// payer has too little or there would be more than MaxLocks, else ErrInvalid.
// It can not see attempts that were locked before cur: the payment plugin keeps
// the set of them.
func NextState(p *Params, cur *State, ch Changes) (*State, error) {
	if err := checkWhole(p, cur); err != nil {
		return nil, err
	}
	if cur.Final {
		return nil, fmt.Errorf("channel %.8s: is closed: %w", cur.Channel, ErrConflict)
	}
	prev, err := Digest(cur)
	if err != nil {
		return nil, err
	}
	s := &State{
		AuditHead: ch.AuditHead, Channel: cur.Channel, Network: cur.Network, Version: cur.Version + 1,
		PayerMicros: cur.PayerMicros, PayeeMicros: cur.PayeeMicros, Final: ch.Final,
		Prev: prev, payer: p.Payer, payee: p.Payee,
	}
	if err := s.settle(cur.Locks, ch.Settle); err != nil {
		return nil, err
	}
	if err := s.add(cur.Locks, ch.Add); err != nil {
		return nil, err
	}
	return s, checkWhole(p, s)
}

// settle takes over the locks that stay and pays those that end.
func (s *State) settle(locks []Lock, ends []Settlement) error {
	charges := make(map[lockKey]int64, len(ends))
	for _, e := range ends {
		k := lockKey{e.Task, e.Attempt}
		if _, twice := charges[k]; twice {
			return fmt.Errorf("settle %.8s attempt %d: twice: %w", e.Task, e.Attempt, ErrInvalid)
		}
		charges[k] = e.ChargeMicros
	}
	s.Locks = make([]Lock, 0, len(locks))
	for _, l := range locks {
		charge, ends := charges[l.key()]
		if !ends {
			s.Locks = append(s.Locks, l)
			continue
		}
		if charge < 0 || charge > l.MaxMicros {
			return fmt.Errorf("settle %.8s attempt %d: charge %d is not 0 to %d: %w",
				l.Task, l.Attempt, charge, l.MaxMicros, ErrInvalid)
		}
		s.PayeeMicros += charge
		s.PayerMicros += l.MaxMicros - charge
		delete(charges, l.key())
	}
	for k := range charges {
		return fmt.Errorf("settle %.8s attempt %d: no such lock: %w", k.task, k.attempt, ErrNotFound)
	}
	return nil
}

// add puts new locks after those that stay.
func (s *State) add(before, locks []Lock) error {
	known := make(map[lockKey]struct{}, len(before)+len(locks))
	for _, l := range before {
		known[l.key()] = struct{}{}
	}
	if len(s.Locks)+len(locks) > MaxLocks {
		return fmt.Errorf("channel %.8s: %d locks, at most %d: %w", s.Channel, len(s.Locks)+len(locks), MaxLocks, ErrExhausted)
	}
	for _, l := range locks {
		if _, twice := known[l.key()]; twice {
			return fmt.Errorf("lock %.8s attempt %d: %w", l.Task, l.Attempt, ErrExists)
		}
		if l.MaxMicros < 0 {
			return fmt.Errorf("lock %.8s attempt %d: %d micros: %w", l.Task, l.Attempt, l.MaxMicros, ErrInvalid)
		}
		if l.MaxMicros > s.PayerMicros {
			return fmt.Errorf("lock %.8s attempt %d: wants %d micros, the payer has %d: %w",
				l.Task, l.Attempt, l.MaxMicros, s.PayerMicros, ErrExhausted)
		}
		known[l.key()] = struct{}{}
		s.PayerMicros -= l.MaxMicros
		s.Locks = append(s.Locks, l)
	}
	return nil
}

// CheckFollows says whether next may follow prev, the last state that both
// signed, given the receipts of the locks that leave. It is pure: the caller has
// verified the signatures of both states (Verify, VerifyFirst) and of the
// receipts (VerifyReceipt). ErrConflict where next is not the version after prev
// or prev is final: read again, Sync. Everything else is ErrInvalid.
//
// Of "an attempt is locked at most once per channel" it sees what the two states
// show; the attempts settled before prev are kept by the payment plugin, which
// refuses them.
func CheckFollows(p *Params, prev, next *State, receipts []*Receipt) error {
	if err := checkWhole(p, prev); err != nil {
		return fmt.Errorf("state before: %w", err)
	}
	if err := checkWhole(p, next); err != nil {
		return err
	}
	if prev.Final {
		return fmt.Errorf("channel %.8s: is closed: %w", prev.Channel, ErrConflict)
	}
	if next.Version != prev.Version+1 {
		return fmt.Errorf("channel state: version %d does not follow %d: %w", next.Version, prev.Version, ErrConflict)
	}
	digest, err := Digest(prev)
	if err != nil {
		return err
	}
	if next.Prev != digest {
		return fmt.Errorf("channel state: prev is not version %d of this side: %w", prev.Version, ErrConflict)
	}
	left, err := leftLocks(prev.Locks, next.Locks)
	if err != nil {
		return err
	}
	paid, err := chargesOf(p, left, receipts)
	if err != nil {
		return err
	}
	if next.PayeeMicros-prev.PayeeMicros != paid {
		return fmt.Errorf("channel state: payee gets %d micros, the receipts charge %d: %w",
			next.PayeeMicros-prev.PayeeMicros, paid, ErrInvalid)
	}
	return nil
}

// leftLocks answers which locks of prev are gone in next. Those that are kept
// must be the same, in the same order, before every new one.
func leftLocks(prev, next []Lock) ([]Lock, error) {
	before := make(map[lockKey]struct{}, len(prev))
	for _, l := range prev {
		before[l.key()] = struct{}{}
	}
	var left []Lock
	kept := 0
	for _, l := range prev {
		if kept < len(next) && next[kept] == l {
			kept++
			continue
		}
		left = append(left, l)
	}
	for _, l := range next[kept:] {
		if _, known := before[l.key()]; known {
			return nil, fmt.Errorf("channel state: lock %.8s attempt %d is changed, moved or locked again: %w",
				l.Task, l.Attempt, ErrInvalid)
		}
	}
	return left, nil
}

// chargesOf adds up what the receipts of the locks charge. Each lock wants
// exactly one receipt, and each receipt a lock.
func chargesOf(p *Params, locks []Lock, receipts []*Receipt) (int64, error) {
	if len(locks) != len(receipts) {
		return 0, fmt.Errorf("channel state: %d locks leave, %d receipts: %w", len(locks), len(receipts), ErrInvalid)
	}
	byKey := make(map[lockKey]*Receipt, len(receipts))
	for _, r := range receipts {
		byKey[receiptKey(r)] = r
	}
	var sum int64
	for _, l := range locks {
		r := byKey[l.key()]
		if r == nil {
			return 0, fmt.Errorf("channel state: lock %.8s attempt %d leaves without a receipt: %w", l.Task, l.Attempt, ErrInvalid)
		}
		if err := ReceiptOfLock(p, l, r); err != nil {
			return 0, err
		}
		sum += receiptCharge(r)
	}
	return sum, nil
}

// checkWhole says whether a state alone is a possible state of the channel: its
// fields, its channel, and that nothing is lost or made.
func checkWhole(p *Params, s *State) error {
	if err := s.check(); err != nil {
		return err
	}
	bound := *s
	if err := bound.Bind(p); err != nil {
		return err
	}
	sum := []int64{s.PayerMicros, s.PayeeMicros}
	for _, l := range s.Locks {
		sum = append(sum, l.MaxMicros)
	}
	total, err := addMicros(sum...)
	if err != nil {
		return fmt.Errorf("channel state: %w", err)
	}
	if total != p.DepositMicros {
		return fmt.Errorf("channel state: payer, payee and locks are %d micros, the deposit is %d: %w",
			total, p.DepositMicros, ErrInvalid)
	}
	return nil
}

// addMicros adds amounts of money and refuses a sum beyond 2^53-1.
func addMicros(amounts ...int64) (int64, error) {
	var sum int64
	for _, a := range amounts {
		if a < 0 || a > maxSafeInteger-sum {
			return 0, fmt.Errorf("micros do not add up within 2^53-1: %w", ErrInvalid)
		}
		sum += a
	}
	return sum, nil
}

// bestState is the highest of states that both sides signed; of two of one
// version, which only two liars sign, the one of the smaller digest.
func bestState(states []*State) (*State, error) {
	if len(states) == 0 {
		return nil, fmt.Errorf("dispute: no state is filed: %w", ErrInvalid)
	}
	digests := make(map[*State]string, len(states))
	for _, s := range states {
		d, err := Digest(s)
		if err != nil {
			return nil, err
		}
		digests[s] = d
	}
	return slices.MaxFunc(states, func(a, b *State) int {
		switch {
		case a.Version != b.Version && a.Version > b.Version:
			return 1
		case a.Version != b.Version:
			return -1
		case digests[a] < digests[b]:
			return 1
		case digests[a] > digests[b]:
			return -1
		}
		return 0
	}), nil
}
