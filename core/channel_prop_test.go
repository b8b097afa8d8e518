package core

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestChannelKeepsMoney runs random updates: whatever NextState makes follows by
// CheckFollows, and no micro is lost or made, until all is closed.
func TestChannelKeepsMoney(t *testing.T) {
	p := testParams()
	rapid.Check(t, func(rt *rapid.T) {
		cur, err := OpeningState(p, EmptyAuditHead())
		if err != nil {
			rt.Fatal(err)
		}
		var earned int64
		for step := range rapid.IntRange(1, 12).Draw(rt, "steps") {
			ch, receipts := drawChanges(t, rt, p, cur, step)
			next, err := NextState(p, cur, ch)
			if err != nil {
				rt.Fatalf("step %d: %v", step, err)
			}
			if err := CheckFollows(p, cur, next, receipts); err != nil {
				rt.Fatalf("step %d: %v", step, err)
			}
			for _, s := range ch.Settle {
				earned += s.ChargeMicros
			}
			if sum := next.PayerMicros + next.PayeeMicros + next.LockedMicros(); sum != p.DepositMicros || next.PayeeMicros != earned {
				rt.Fatalf("step %d: got sum %d and payee %d, want %d and %d", step, sum, next.PayeeMicros, p.DepositMicros, earned)
			}
			if err := CheckFollows(p, next, cur, nil); err == nil {
				rt.Fatalf("step %d: the state before follows the state after", step)
			}
			cur = next
		}
	})
}

// drawChanges draws an update: some locks end by receipts, some are added.
func drawChanges(t *testing.T, rt *rapid.T, p *Params, cur *State, step int) (Changes, []*Receipt) {
	t.Helper()
	ch := Changes{AuditHead: testHead(int64(step) + 1)}
	var receipts []*Receipt
	for _, l := range cur.Locks {
		if !rapid.Bool().Draw(rt, "settle") {
			continue
		}
		o := rapid.SampledFrom(Outcomes()).Draw(rt, "outcome")
		r := testReceipt(t, p, l, o)
		receipts = append(receipts, r)
		ch.Settle = append(ch.Settle, Settlement{l.Task, l.Attempt, receiptCharge(r)})
	}
	left := cur.PayerMicros
	for i := range rapid.IntRange(0, 4).Draw(rt, "add") {
		l := testLock(t, fmt.Sprintf("%d/%d", step, i), rapid.Int64Range(0, left).Draw(rt, "max"))
		left -= l.MaxMicros
		ch.Add = append(ch.Add, l)
	}
	slices.Reverse(ch.Settle) // their order does not matter
	return ch, receipts
}

// TestChannelRefusesAnyChange changes one number of a state that follows.
func TestChannelRefusesAnyChange(t *testing.T) {
	p := testParams()
	a, b := testLock(t, "a", 1000), testLock(t, "b", 2000)
	prev := mustNext(t, p, mustOpen(t, p), Changes{Add: []Lock{a, b}})
	good := mustNext(t, p, prev, Changes{Settle: []Settlement{{a.Task, 1, 100}}})
	receipts := []*Receipt{testReceipt(t, p, a, OutcomeOK)}
	rapid.Check(t, func(rt *rapid.T) {
		next := *good
		next.Locks = slices.Clone(good.Locks)
		delta := rapid.Int64Range(-2000, 2000).Filter(func(v int64) bool { return v != 0 }).Draw(rt, "delta")
		other := rapid.Int64Range(-2000, 2000).Draw(rt, "other")
		switch rapid.IntRange(0, 3).Draw(rt, "what") {
		case 0:
			next.Version += delta
		case 1:
			next.PayerMicros, next.PayeeMicros = next.PayerMicros-delta, next.PayeeMicros+delta
		case 2:
			next.Locks[0].MaxMicros += delta
			next.PayerMicros -= delta
		case 3:
			next.PayerMicros, next.PayeeMicros = next.PayerMicros+other, next.PayeeMicros+delta
		}
		if err := CheckFollows(p, prev, &next, receipts); err == nil {
			rt.Fatalf("got nil for %+v, want an error", next)
		}
	})
}
