package core

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"
)

// disputeWorld is a channel with locks a, b and c in version 1, and a receipt of
// a in version 2.
type disputeWorld struct {
	p       *Params
	old     *State
	high    *State
	a, b, c Lock
	ra, rb  []byte // receipts, signed by the worker's agent
	other   []byte // a second receipt for b that differs
}

func newDisputeWorld(t *testing.T) *disputeWorld {
	t.Helper()
	w := &disputeWorld{p: testParams()}
	w.a, w.b, w.c = testLock(t, "a", 1000), testLock(t, "b", 2000), testLock(t, "c", 3000)
	s1 := mustNext(t, w.p, mustOpen(t, w.p), Changes{Add: []Lock{w.a, w.b, w.c}})
	s2 := mustNext(t, w.p, s1, Changes{Settle: []Settlement{{w.a.Task, 1, 100}}})
	w.old, w.high = signAs(t, s1, "requester", "worker"), signAs(t, s2, "requester", "worker")
	w.ra, w.rb = testEnvelope(t, w.p, w.a, OutcomeOK), testEnvelope(t, w.p, w.b, OutcomeOK)
	w.other = testEnvelope(t, w.p, w.b, OutcomeLost)
	return w
}

func TestDisputeOutcome(t *testing.T) {
	w := newDisputeWorld(t)
	filed := testNow.Add(11 * time.Minute) // after the locks' expiry
	over := filed.Add(w.p.ChallengeWindow())
	tests := []struct {
		name          string
		states        []*State
		receipts      [][]byte
		filed, now    time.Time
		payer, payee  int64
		held          int64
		paid, ignored int
		evidence      int
		closed        bool
	}{
		{"nothing but the state, window open", []*State{w.high}, nil, filed, filed, 994_900, 100, 5000, 0, 0, 0, false},
		{"a second before the end", []*State{w.high}, nil, filed, over.Add(-time.Second), 994_900, 100, 5000, 0, 0, 0, false},
		{"window over", []*State{w.high}, nil, filed, over, 999_900, 100, 0, 0, 0, 0, true},
		{"the highest stands", []*State{w.high, w.old}, nil, filed, over, 999_900, 100, 0, 0, 0, 0, true},
		{"only the stale one", []*State{w.old}, nil, filed, over, 1_000_000, 0, 0, 0, 0, 0, true},
		{"a receipt pays its lock", []*State{w.high}, [][]byte{w.rb}, filed, over, 999_800, 200, 0, 1, 0, 0, true},
		{"a receipt pays at once", []*State{w.high}, [][]byte{w.rb}, filed, filed, 996_800, 200, 3000, 1, 0, 0, false},
		{"a receipt pays once", []*State{w.high}, [][]byte{w.rb, w.rb}, filed, over, 999_800, 200, 0, 1, 0, 0, true},
		{"a settled lock is not paid again", []*State{w.old, w.high}, [][]byte{w.ra}, filed, over, 999_900, 100, 0, 0, 1, 0, true},
		{"two receipts pay nothing", []*State{w.high}, [][]byte{w.rb, w.other}, filed, over, 999_900, 100, 0, 0, 0, 1, true},
		{"garbage counts for nothing", []*State{w.high}, [][]byte{[]byte("{}"), w.rb}, filed, over, 999_800, 200, 0, 1, 1, 0, true},
		{"held until the locks expire", []*State{w.high}, nil, testNow.Add(-5 * time.Minute), testNow.Add(6 * time.Minute), 994_900, 100, 5000, 0, 0, 0, false},
		{"closed when they have", []*State{w.high}, nil, testNow.Add(-5 * time.Minute), w.b.Expires.Time(), 999_900, 100, 0, 0, 0, 0, true},
	}
	for _, tt := range tests {
		got, err := DisputeOutcome(w.p, tt.states, tt.receipts, tt.filed, tt.now)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got.PayerMicros != tt.payer || got.PayeeMicros != tt.payee || got.HeldMicros != tt.held || got.Closed != tt.closed {
			t.Errorf("%s: got payer %d payee %d held %d closed %v, want %d %d %d %v", tt.name,
				got.PayerMicros, got.PayeeMicros, got.HeldMicros, got.Closed, tt.payer, tt.payee, tt.held, tt.closed)
		}
		if len(got.Paid) != tt.paid || len(got.Ignored) != tt.ignored || len(got.Evidence) != tt.evidence {
			t.Errorf("%s: got paid %d ignored %d evidence %d, want %d %d %d", tt.name,
				len(got.Paid), len(got.Ignored), len(got.Evidence), tt.paid, tt.ignored, tt.evidence)
		}
		if sum := got.PayerMicros + got.PayeeMicros + got.HeldMicros; sum != w.p.DepositMicros {
			t.Errorf("%s: got a sum of %d, want %d", tt.name, sum, w.p.DepositMicros)
		}
		slices.Reverse(tt.states)
		slices.Reverse(tt.receipts)
		again, err := DisputeOutcome(w.p, tt.states, tt.receipts, tt.filed, tt.now)
		if err != nil || again.PayeeMicros != got.PayeeMicros || !reflect.DeepEqual(again.Paid, got.Paid) {
			t.Errorf("%s, other order: got %+v, %v, want %+v", tt.name, again, err, got)
		}
	}
}

func TestDisputeClosesAt(t *testing.T) {
	w := newDisputeWorld(t)
	got, err := DisputeOutcome(w.p, []*State{w.high}, nil, testNow.Add(-5*time.Minute), testNow)
	if err != nil || !got.ClosesAt.Equal(w.b.Expires.Time()) || !got.WindowEndsAt.Equal(testNow.Add(5*time.Minute)) {
		t.Errorf("got %+v, %v, want it to close with the last lock", got, err)
	}
}

func TestDisputeRefuses(t *testing.T) {
	w := newDisputeWorld(t)
	half := mustOpen(t, w.p)
	if err := Sign(half, testSigner("requester")); err != nil {
		t.Fatal(err)
	}
	broken := *w.high
	broken.PayerMicros++
	tests := []struct {
		name   string
		states []*State
		want   error
	}{
		{"no state", nil, ErrInvalid},
		{"one signature", []*State{half}, ErrDenied},
		{"money made", []*State{&broken}, ErrInvalid},
	}
	for _, tt := range tests {
		if _, err := DisputeOutcome(w.p, tt.states, nil, testNow, testNow); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
}

// TestDisputeOfTwoLiars files two states of one version, which both signed.
func TestDisputeOfTwoLiars(t *testing.T) {
	w := newDisputeWorld(t)
	twin := mustNext(t, w.p, mustOpen(t, w.p), Changes{Add: []Lock{w.a}})
	twin = signAs(t, twin, "requester", "worker")
	var want *DisputeResult
	for _, states := range [][]*State{{w.old, twin}, {twin, w.old}} {
		got, err := DisputeOutcome(w.p, states, [][]byte{w.ra, w.rb}, testNow, testNow)
		if err != nil {
			t.Fatal(err)
		}
		if want != nil && got.HeldMicros != want.HeldMicros {
			t.Errorf("got %d held, want %d in any order", got.HeldMicros, want.HeldMicros)
		}
		want = got
	}
}

func TestClaim(t *testing.T) {
	w := newDisputeWorld(t)
	c, err := NewClaim(w.p, w.p.Payee, w.high, [][]byte{w.rb}, testNow)
	if err != nil {
		t.Fatal(err)
	}
	signed := signAs(t, c, "worker")
	if err := CheckClaim(w.p, signed, w.high, [][]byte{w.rb, w.rb}, testNow); err != nil {
		t.Errorf("got %v, want nil", err)
	}
	tests := []struct {
		name     string
		claim    *Claim
		state    *State
		receipts [][]byte
		now      time.Time
		want     error
	}{
		{"unsigned", c, w.high, [][]byte{w.rb}, testNow, ErrDenied},
		{"other state", signed, w.old, [][]byte{w.rb}, testNow, ErrInvalid},
		{"no receipts", signed, w.high, nil, testNow, ErrInvalid},
		{"other receipt", signed, w.high, [][]byte{w.other}, testNow, ErrInvalid},
		{"receipt of no lock", signed, w.high, [][]byte{w.ra}, testNow, ErrNotFound},
		{"from the future", signed, w.high, [][]byte{w.rb}, testNow.Add(-3 * time.Minute), ErrDenied},
	}
	for _, tt := range tests {
		if err := CheckClaim(w.p, tt.claim, tt.state, tt.receipts, tt.now); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
	if _, err := NewClaim(w.p, testDID("other"), w.high, nil, testNow); !errors.Is(err, ErrDenied) {
		t.Errorf("a stranger: got %v, want ErrDenied", err)
	}
	if _, err := NewClaim(w.p, w.p.Payer, &State{}, nil, testNow); !errors.Is(err, ErrInvalid) {
		t.Errorf("no state: got %v, want ErrInvalid", err)
	}
	if _, _, err := ReceiptsHash([][]byte{[]byte("x")}); !errors.Is(err, ErrInvalid) {
		t.Errorf("garbage: got %v, want ErrInvalid", err)
	}
	h1, n1, _ := ReceiptsHash([][]byte{w.ra, w.rb})
	if h2, n2, err := ReceiptsHash([][]byte{w.rb, w.ra, w.rb}); h1 != h2 || n1 != 2 || n2 != 2 || err != nil {
		t.Errorf("order: got %s %d, %v, want %s %d", h2, n2, err, h1, n1)
	}
}

func TestCheckDisputeTime(t *testing.T) {
	p, l := testParams(), testLock(t, "a", 1)
	end := l.Expires.Time()
	for _, tt := range []struct {
		name string
		now  time.Time
		ok   bool
	}{
		{"before expiry", end.Add(-time.Second), false},
		{"at expiry", end, true},
		{"a window later", end.Add(p.ChallengeWindow()), true},
		{"later still", end.Add(p.ChallengeWindow() + time.Second), false},
	} {
		err := CheckDisputeTime(p, l, tt.now)
		if tt.ok != (err == nil) || err != nil && !errors.Is(err, ErrConflict) {
			t.Errorf("%s: got %v, want ok %v", tt.name, err, tt.ok)
		}
	}
}
