package core

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zerostate/zerostate/core/internal/canon"
)

const testNetwork = "zerostate-test"

// testNonce returns 32 fixed bytes in base64url.
func testNonce(name string) string {
	return canon.B64URL(testKey(name).Seed())
}

// testParams are the params of a channel with a deposit of a million.
func testParams() *Params {
	return &Params{
		Backend: "mock", ChallengeWindowMs: 600_000, Currency: "TEST", DepositMicros: 1_000_000,
		Network: testNetwork, Nonce: testNonce("channel"), Payee: testDID("worker"), Payer: testDID("requester"),
		Suite: SuiteEd25519,
	}
}

// testPrice is what the locks of tests are priced by.
func testPrice() Price {
	return Price{Currency: "TEST", Unit: UnitRequest, PriceMicros: 100, PerUnits: 1}
}

// testLock is a lock of a task named by a word.
func testLock(tb testing.TB, task string, maxMicros int64) Lock {
	tb.Helper()
	hash, err := PriceHash(testPrice())
	if err != nil {
		tb.Fatal(err)
	}
	return Lock{
		Agent: testDID("agent"), Attempt: 1, Expires: TimeOf(testNow.Add(10 * time.Minute)),
		MaxMicros: maxMicros, PriceHash: hash, Task: canon.SHA256Hex([]byte(task)),
	}
}

func testHead(n int64) AuditHead {
	return AuditHead{Root: canon.SHA256Hex(fmt.Append(nil, n)), Size: n}
}

// mustNext is NextState for changes that hold.
func mustNext(tb testing.TB, p *Params, cur *State, ch Changes) *State {
	tb.Helper()
	if ch.AuditHead == (AuditHead{}) {
		ch.AuditHead = cur.AuditHead
	}
	s, err := NextState(p, cur, ch)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func mustOpen(tb testing.TB, p *Params) *State {
	tb.Helper()
	s, err := OpeningState(p, EmptyAuditHead())
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// signAs signs a copy of doc by its signers, in order.
func signAs[T any, P interface {
	*T
	Document
}](tb testing.TB, doc P, names ...string) P {
	tb.Helper()
	c := *doc
	signed := P(&c)
	for _, n := range names {
		if err := Sign(signed, testSigner(n)); err != nil {
			tb.Fatal(err)
		}
	}
	return signed
}

func TestOpeningState(t *testing.T) {
	p := testParams()
	s := mustOpen(t, p)
	if s.PayerMicros != p.DepositMicros || s.PayeeMicros != 0 || s.Version != 0 || s.Prev != "" {
		t.Errorf("got %+v, want all %d at the payer in version 0", s, p.DepositMicros)
	}
	if err := CheckOpening(p, s); err != nil {
		t.Errorf("CheckOpening: got %v, want nil", err)
	}
	for name, change := range map[string]func(*State){
		"version":       func(s *State) { s.Version, s.Prev = 1, s.Channel },
		"payee has":     func(s *State) { s.PayerMicros--; s.PayeeMicros++ },
		"final":         func(s *State) { s.Final = true },
		"too little":    func(s *State) { s.PayerMicros-- },
		"other network": func(s *State) { s.Network = "other" },
		"other channel": func(s *State) { s.Channel = strings.Repeat("0", 64) },
		"prev":          func(s *State) { s.Prev = s.Channel },
	} {
		bad := *s
		change(&bad)
		if err := CheckOpening(p, &bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
	if _, err := OpeningState(&Params{}, EmptyAuditHead()); !errors.Is(err, ErrInvalid) {
		t.Errorf("no params: got %v, want ErrInvalid", err)
	}
	if _, err := OpeningState(p, AuditHead{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("no head: got %v, want ErrInvalid", err)
	}
}

func TestNextStateMovesMoney(t *testing.T) {
	p := testParams()
	a, b, c := testLock(t, "a", 1000), testLock(t, "b", 2000), testLock(t, "c", 3000)
	s1 := mustNext(t, p, mustOpen(t, p), Changes{Add: []Lock{a, b}, AuditHead: testHead(3)})
	if s1.PayerMicros != 997_000 || s1.LockedMicros() != 3000 || s1.Version != 1 || s1.AuditHead != testHead(3) {
		t.Fatalf("got %+v, want 3000 locked in version 1", s1)
	}
	s2 := mustNext(t, p, s1, Changes{Add: []Lock{c}, Settle: []Settlement{{a.Task, 1, 100}}})
	if s2.PayerMicros != 994_900 || s2.PayeeMicros != 100 || !slices.Equal(s2.Locks, []Lock{b, c}) {
		t.Fatalf("got %+v, want b and c locked and 100 paid", s2)
	}
	if l, ok := s2.Lock(c.Task, 1); !ok || l != c {
		t.Errorf("Lock(c): got %v %v, want c", l, ok)
	}
	if _, ok := s2.Lock(c.Task, 2); ok {
		t.Error("Lock(c, attempt 2): got one, want none")
	}
	if d, _ := Digest(s1); s2.Prev != d {
		t.Errorf("prev: got %s, want %s", s2.Prev, d)
	}
	end := mustNext(t, p, s2, Changes{Settle: []Settlement{{c.Task, 1, 0}, {b.Task, 1, 2000}}, Final: true})
	if end.PayerMicros != 997_900 || end.PayeeMicros != 2100 || len(end.Locks) != 0 || !end.Final {
		t.Fatalf("got %+v, want it closed with 2100 paid", end)
	}
	if _, err := NextState(p, end, Changes{AuditHead: testHead(4)}); !errors.Is(err, ErrConflict) {
		t.Errorf("after final: got %v, want ErrConflict", err)
	}
}

func TestNextStateRefuses(t *testing.T) {
	p := testParams()
	a := testLock(t, "a", 1000)
	cur := mustNext(t, p, mustOpen(t, p), Changes{Add: []Lock{a}})
	many := make([]Lock, MaxLocks)
	for i := range many {
		many[i] = testLock(t, fmt.Sprint(i), 1)
	}
	negative := testLock(t, "n", -1)
	tests := []struct {
		name string
		ch   Changes
		want error
	}{
		{"lock held", Changes{Add: []Lock{a}}, ErrExists},
		{"lock twice", Changes{Add: []Lock{testLock(t, "b", 1), testLock(t, "b", 2)}}, ErrExists},
		{"lock again as it ends", Changes{Add: []Lock{a}, Settle: []Settlement{{a.Task, 1, 0}}}, ErrExists},
		{"no money", Changes{Add: []Lock{testLock(t, "b", 999_001)}}, ErrExhausted},
		{"too many locks", Changes{Add: many}, ErrExhausted},
		{"negative lock", Changes{Add: []Lock{negative}}, ErrInvalid},
		{"settle nothing", Changes{Settle: []Settlement{{a.Task, 2, 0}}}, ErrNotFound},
		{"settle twice", Changes{Settle: []Settlement{{a.Task, 1, 0}, {a.Task, 1, 0}}}, ErrInvalid},
		{"charge above the lock", Changes{Settle: []Settlement{{a.Task, 1, 1001}}}, ErrInvalid},
		{"charge below zero", Changes{Settle: []Settlement{{a.Task, 1, -1}}}, ErrInvalid},
		{"final with locks", Changes{Final: true}, ErrInvalid},
	}
	for _, tt := range tests {
		tt.ch.AuditHead = cur.AuditHead
		if _, err := NextState(p, cur, tt.ch); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
	if _, err := NextState(p, cur, Changes{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("no audit head: got %v, want ErrInvalid", err)
	}
	other := testParams()
	other.DepositMicros = 5
	if _, err := NextState(other, cur, Changes{AuditHead: cur.AuditHead}); !errors.Is(err, ErrInvalid) {
		t.Errorf("other params: got %v, want ErrInvalid", err)
	}
}

// TestCheckFollowsRules has a row for each rule: a step that keeps every rule,
// with one broken.
func TestCheckFollowsRules(t *testing.T) {
	p := testParams()
	a, b, c, d := testLock(t, "a", 1000), testLock(t, "b", 2000), testLock(t, "c", 3000), testLock(t, "d", 4000)
	prev := mustNext(t, p, mustOpen(t, p), Changes{Add: []Lock{a, b, c}})
	good := mustNext(t, p, prev, Changes{Add: []Lock{d}, Settle: []Settlement{{b.Task, 1, 100}}})
	receipts := []*Receipt{testReceipt(t, p, b, OutcomeOK)}
	if err := CheckFollows(p, prev, good, receipts); err != nil {
		t.Fatalf("the whole step: got %v, want nil", err)
	}
	tests := []struct {
		name   string
		want   error
		change func(prev, next *State, r *[]*Receipt)
	}{
		{"version skips", ErrConflict, func(_, n *State, _ *[]*Receipt) { n.Version++ }},
		{"version repeats", ErrConflict, func(_, n *State, _ *[]*Receipt) { n.Version-- }},
		{"prev is another state", ErrConflict, func(_, n *State, _ *[]*Receipt) { n.Prev = a.Task }},
		{"prev is absent", ErrInvalid, func(_, n *State, _ *[]*Receipt) { n.Prev = "" }},
		{"final with locks", ErrInvalid, func(_, n *State, _ *[]*Receipt) { n.Final = true }},
		{"money appears", ErrInvalid, func(_, n *State, _ *[]*Receipt) { n.PayerMicros++ }},
		{"money vanishes", ErrInvalid, func(_, n *State, _ *[]*Receipt) { n.PayerMicros-- }},
		{"payee takes more", ErrInvalid, func(_, n *State, _ *[]*Receipt) { n.PayerMicros--; n.PayeeMicros++ }},
		{"payee gets less", ErrInvalid, func(_, n *State, _ *[]*Receipt) { n.PayerMicros++; n.PayeeMicros-- }},
		{"negative balance", ErrInvalid, func(_, n *State, _ *[]*Receipt) { n.PayerMicros, n.PayeeMicros = -1, n.PayerMicros+n.PayeeMicros+1 }},
		{"locks swapped", ErrInvalid, func(_, n *State, _ *[]*Receipt) { n.Locks[0], n.Locks[1] = n.Locks[1], n.Locks[0] }},
		{"new lock first", ErrInvalid, func(_, n *State, _ *[]*Receipt) { n.Locks = []Lock{d, a, c} }},
		{"kept lock changed", ErrInvalid, func(_, n *State, _ *[]*Receipt) { n.Locks[0].Expires++ }},
		{"kept lock grows", ErrInvalid, func(_, n *State, _ *[]*Receipt) { n.Locks[0].MaxMicros++; n.PayerMicros-- }},
		{"lock twice", ErrInvalid, func(_, n *State, _ *[]*Receipt) { n.Locks = append(n.Locks, d); n.PayerMicros -= d.MaxMicros }},
		{"settled lock again", ErrInvalid, func(_, n *State, _ *[]*Receipt) { n.Locks = append(n.Locks, b); n.PayerMicros -= b.MaxMicros }},
		{"no receipt", ErrInvalid, func(_, _ *State, r *[]*Receipt) { *r = nil }},
		{"receipt of another lock", ErrInvalid, func(_, _ *State, r *[]*Receipt) { *r = []*Receipt{testReceipt(t, p, a, OutcomeOK)} }},
		{"receipt too many", ErrInvalid, func(_, _ *State, r *[]*Receipt) { *r = append(*r, testReceipt(t, p, a, OutcomeOK)) }},
		{"same receipt for two", ErrInvalid, func(_, n *State, r *[]*Receipt) {
			n.Locks = slices.Delete(n.Locks, 0, 1)
			n.PayerMicros += a.MaxMicros
			*r = append(*r, (*r)[0])
		}},
		{"lock leaves without a receipt", ErrInvalid, func(_, n *State, _ *[]*Receipt) {
			n.Locks = slices.Delete(n.Locks, 0, 1)
			n.PayerMicros += a.MaxMicros
		}},
		{"nothing settled, receipt given", ErrInvalid, func(_, n *State, _ *[]*Receipt) {
			n.Locks = []Lock{a, b, c}
			n.PayerMicros, n.PayeeMicros = prev.PayerMicros, 0
		}},
		{"other channel", ErrInvalid, func(_, n *State, _ *[]*Receipt) { n.Channel = a.Task }},
		{"other network", ErrInvalid, func(_, n *State, _ *[]*Receipt) { n.Network = "other" }},
		{"no lock list", ErrInvalid, func(_, n *State, _ *[]*Receipt) { n.Locks = nil }},
		{"no audit head", ErrInvalid, func(_, n *State, _ *[]*Receipt) { n.AuditHead = AuditHead{} }},
		{"state before is broken", ErrInvalid, func(pr, _ *State, _ *[]*Receipt) { pr.PayerMicros++ }},
	}
	for _, tt := range tests {
		before, next, rs := *prev, *good, slices.Clone(receipts)
		before.Locks, next.Locks = slices.Clone(prev.Locks), slices.Clone(good.Locks)
		tt.change(&before, &next, &rs)
		if err := CheckFollows(p, &before, &next, rs); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestStateCheck(t *testing.T) {
	p := testParams()
	good := mustNext(t, p, mustOpen(t, p), Changes{Add: []Lock{testLock(t, "a", 1000)}})
	tests := map[string]func(*State){
		"auditHead.root":     func(s *State) { s.AuditHead.Root = "x" },
		"auditHead.size":     func(s *State) { s.AuditHead.Size = -1 },
		"channel":            func(s *State) { s.Channel = strings.ToUpper(s.Channel) },
		"payeeMicros":        func(s *State) { s.PayeeMicros = -1 },
		"payerMicros":        func(s *State) { s.PayerMicros = 1 << 53 },
		"version":            func(s *State) { s.Version = -1 },
		"prev":               func(s *State) { s.Prev = "" },
		"locks:":             func(s *State) { s.Locks = make([]Lock, MaxLocks+1) },
		"locks[0].agent":     func(s *State) { s.Locks[0].Agent = "did:key:z6Mk" },
		"locks[0].attempt":   func(s *State) { s.Locks[0].Attempt = 0 },
		"locks[0].expires":   func(s *State) { s.Locks[0].Expires = 0 },
		"locks[0].maxMicros": func(s *State) { s.Locks[0].MaxMicros = -1 },
		"locks[0].priceHash": func(s *State) { s.Locks[0].PriceHash = "" },
		"locks[0].task":      func(s *State) { s.Locks[0].Task = "task" },
		"network":            func(s *State) { s.Network = "A B" },
	}
	for field, change := range tests {
		s := *good
		s.Locks = slices.Clone(good.Locks)
		change(&s)
		_, err := Encode(&s)
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: got %v, want ErrInvalid that names it", field, err)
		}
	}
}

func TestParamsCheck(t *testing.T) {
	tests := []struct {
		field  string
		want   error
		change func(*Params)
	}{
		{"backend", ErrInvalid, func(p *Params) { p.Backend = "" }},
		{"challengeWindowMs", ErrInvalid, func(p *Params) { p.ChallengeWindowMs = 0 }},
		{"currency", ErrInvalid, func(p *Params) { p.Currency = "test" }},
		{"depositMicros", ErrInvalid, func(p *Params) { p.DepositMicros = 0 }},
		{"network", ErrInvalid, func(p *Params) { p.Network = strings.Repeat("n", 65) }},
		{"nonce", ErrInvalid, func(p *Params) { p.Nonce += "A" }},
		{"payee", ErrInvalid, func(p *Params) { p.Payee = p.Payer }},
		{"payer", ErrInvalid, func(p *Params) { p.Payer = "" }},
		{"suite", ErrUnsupported, func(p *Params) { p.Suite = "rsa" }},
		{"suite", ErrUnsupported, func(p *Params) { p.Suite = "ed25519+ml-dsa-65" }},
		{"suite", ErrUnsupported, func(p *Params) { p.Suite = SuiteX25519 }},
	}
	for _, tt := range tests {
		p := testParams()
		tt.change(p)
		if err := p.Check(); !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.field) {
			t.Errorf("%s: got %v, want %v that names it", tt.field, err, tt.want)
		}
		if _, err := p.Bytes(); !errors.Is(err, tt.want) {
			t.Errorf("%s: Bytes: got %v, want %v", tt.field, err, tt.want)
		}
		if _, err := p.ChannelID(); !errors.Is(err, tt.want) {
			t.Errorf("%s: ChannelID: got %v, want %v", tt.field, err, tt.want)
		}
		data, err := canon.Encode(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseParams(data); err == nil {
			t.Errorf("%s: ParseParams: got nil, want an error", tt.field)
		}
	}
}

func TestParamsRoundTrip(t *testing.T) {
	p := testParams()
	data, err := p.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "channel-params.json", data)
	got, err := ParseParams(data)
	if err != nil || *got != *p {
		t.Errorf("got %+v, %v, want %+v", got, err, p)
	}
	id, err := p.ChannelID()
	if err != nil || id != canon.SHA256Hex(data) {
		t.Errorf("id: got %s, %v, want the sha256 of the bytes", id, err)
	}
	if _, err := ParseParams(append(data, '\n')); !errors.Is(err, ErrInvalid) {
		t.Errorf("trailing newline: got %v, want ErrInvalid", err)
	}
	if got := p.ChallengeWindow(); got != 10*time.Minute {
		t.Errorf("window: got %s, want 10m", got)
	}
}

func TestStateSigning(t *testing.T) {
	p := testParams()
	s := mustOpen(t, p)
	if err := Sign(s, testSigner("worker")); !errors.Is(err, ErrDenied) {
		t.Errorf("payee first: got %v, want ErrDenied", err)
	}
	half := signAs(t, s, "requester")
	if err := VerifyFirst(half, testNetwork, 1); err != nil {
		t.Errorf("payer's signature: got %v, want nil", err)
	}
	if err := Verify(half, testNetwork); !errors.Is(err, ErrDenied) {
		t.Errorf("payer only: got %v, want ErrDenied", err)
	}
	both := signAs(t, half, "worker")
	data, err := Encode(both)
	if err != nil {
		t.Fatal(err)
	}
	loose, err := Parse[State](data)
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(loose, testNetwork); !errors.Is(err, ErrInvalid) {
		t.Errorf("not bound: got %v, want ErrInvalid", err)
	}
	bound, err := p.ParseState(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(bound, testNetwork); err != nil {
		t.Errorf("both: got %v, want nil", err)
	}
	other := testParams()
	other.Nonce = testNonce("other")
	if _, err := other.ParseState(data); !errors.Is(err, ErrInvalid) {
		t.Errorf("other channel: got %v, want ErrInvalid", err)
	}
	if _, err := p.ParseState(data[1:]); !errors.Is(err, ErrInvalid) {
		t.Errorf("cut: got %v, want ErrInvalid", err)
	}
	if err := bound.Bind(&Params{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("Bind to nothing: got %v, want ErrInvalid", err)
	}
}

func TestCheckLock(t *testing.T) {
	tests := []struct {
		name    string
		expires time.Duration
		work    time.Duration
		batch   bool
		ok      bool
	}{
		{"work and a minute", 65 * time.Second, 5 * time.Second, false, true},
		{"a second less", 64 * time.Second, 5 * time.Second, false, false},
		{"15 minutes", 15 * time.Minute, time.Second, false, true},
		{"a second more", 15*time.Minute + time.Second, time.Second, false, false},
		{"batch, 24 h", 24 * time.Hour, time.Hour, true, true},
		{"batch, a second more", 24*time.Hour + time.Second, time.Hour, true, false},
		{"past", -time.Second, 0, false, false},
		{"work does not fit", 15 * time.Minute, 16 * time.Minute, false, false},
		{"negative work", 2 * time.Minute, -time.Minute, false, false},
	}
	for _, tt := range tests {
		l := testLock(t, "a", 1)
		l.Expires = TimeOf(testNow.Add(tt.expires))
		err := CheckLock(l, tt.work, testNow, tt.batch)
		if tt.ok != (err == nil) || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want ok %v", tt.name, err, tt.ok)
		}
	}
}

func TestLockDigest(t *testing.T) {
	l := testLock(t, "a", 5)
	got, err := LockDigest(l)
	if err != nil {
		t.Fatal(err)
	}
	l.MaxMicros++
	if again, err := LockDigest(l); err != nil || again == got {
		t.Errorf("changed lock: got %s, %v, want another digest", again, err)
	}
	if _, err := LockDigest(Lock{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("empty lock: got %v, want ErrInvalid", err)
	}
}

func TestAddMicros(t *testing.T) {
	if got, err := addMicros(maxSafeInteger-1, 1); err != nil || got != maxSafeInteger {
		t.Errorf("got %d, %v, want 2^53-1", got, err)
	}
	for _, bad := range [][]int64{{maxSafeInteger, 1}, {-1}, {1 << 62, 1 << 62, 1 << 62}} {
		if _, err := addMicros(bad...); !errors.Is(err, ErrInvalid) {
			t.Errorf("%v: got %v, want ErrInvalid", bad, err)
		}
	}
}

// TestNothingFollowsFinal makes a state that keeps every other rule.
func TestNothingFollowsFinal(t *testing.T) {
	p := testParams()
	end := mustNext(t, p, mustOpen(t, p), Changes{Final: true})
	next := *end
	next.Version++
	var err error
	if next.Prev, err = Digest(end); err != nil {
		t.Fatal(err)
	}
	if err := CheckFollows(p, end, &next, nil); !errors.Is(err, ErrConflict) {
		t.Errorf("got %v, want ErrConflict", err)
	}
}
