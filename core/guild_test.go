package core

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/zerostate/zerostate/core/internal/canon"
)

func TestGuildID(t *testing.T) {
	c := testCommit()
	id, err := GuildID(c)
	if err != nil {
		t.Fatal(err)
	}
	data, err := canon.Encode(c)
	if err != nil {
		t.Fatal(err)
	}
	if want := canon.SHA256Hex(data); id != want {
		t.Errorf("got %s, want the sha256 of the JCS, %s", id, want)
	}
	if signed, err := GuildID(signAs(t, c, "requester")); err != nil || signed != id {
		t.Errorf("signed: got %s, %v, want %s", signed, err, id)
	}
	if _, err := GuildID(&Commit{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("empty: got %v, want ErrInvalid", err)
	}
}

func TestSignersOfNothing(t *testing.T) {
	if _, err := (&Commit{}).Signers(); !errors.Is(err, ErrInvalid) {
		t.Errorf("commit: got %v, want ErrInvalid", err)
	}
	if _, err := (&Offer{}).Signers(); !errors.Is(err, ErrInvalid) {
		t.Errorf("offer: got %v, want ErrInvalid", err)
	}
}

func TestOfferResolved(t *testing.T) {
	o := testOffer(t)
	r, err := o.Resolved()
	if err != nil {
		t.Fatal(err)
	}
	if id, err := r.TaskID(); err != nil || id != o.Lock.Task {
		t.Errorf("task id: got %s, %v, want %s", id, err, o.Lock.Task)
	}
	o.Lock.PriceHash = o.Lock.Task
	if _, err := o.Resolved(); !errors.Is(err, ErrInvalid) {
		t.Errorf("other price: got %v, want ErrInvalid", err)
	}
	o.Manifest = []byte(`{}`)
	if _, err := o.Resolved(); err == nil {
		t.Error("no manifest: got nil, want an error")
	}
}

// TestOfferKeepsManifest says that the manifest stays byte for byte through a
// reading, and that the largest one fits.
func TestOfferKeepsManifest(t *testing.T) {
	o := signAs(t, testOffer(t), "requester")
	data, err := Encode(o)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse[Offer](data)
	if err != nil || string(got.Manifest) != string(o.Manifest) {
		t.Errorf("got %s, %v, want %s", got.Manifest, err, o.Manifest)
	}
	big := testOffer(t)
	big.Manifest = []byte(`{"a":"` + strings.Repeat("x", 64<<10) + `"}`)
	big.Lock.Task = canon.SHA256Hex(big.Manifest)
	if data, err = Encode(big); err != nil {
		t.Fatal(err)
	}
	if _, err := Parse[Offer](data); err != nil {
		t.Errorf("64 KiB of manifest: got %v, want nil", err)
	}
	big.Manifest = []byte(`{"a":"` + strings.Repeat("x", 128<<10) + `"}`)
	big.Lock.Task = canon.SHA256Hex(big.Manifest)
	if _, err := Encode(big); !errors.Is(err, ErrInvalid) {
		t.Errorf("128 KiB of manifest: got %v, want ErrInvalid", err)
	}
}

func TestCheckOffer(t *testing.T) {
	o := signAs(t, testOffer(t), "requester")
	if _, err := CheckOffer(o, testNetwork, o.Recipient, time.Minute, false, testNow); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name      string
		offer     *Offer
		network   string
		recipient DID
		work      time.Duration
		now       time.Time
		want      error
	}{
		{"unsigned", testOffer(t), testNetwork, o.Recipient, 0, testNow, ErrDenied},
		{"other network", o, "other", o.Recipient, 0, testNow, ErrDenied},
		{"for another", o, testNetwork, testDID("other"), 0, testNow, ErrDenied},
		{"void", o, testNetwork, o.Recipient, 0, o.NotAfter.Time(), ErrConflict},
		{"too much work", o, testNetwork, o.Recipient, 9*time.Minute + time.Second, testNow, ErrInvalid},
	}
	for _, tt := range tests {
		if _, err := CheckOffer(tt.offer, tt.network, tt.recipient, tt.work, false, tt.now); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestSummaryAndEventOfReceipt(t *testing.T) {
	p, l := testParams(), testLock(t, "a", 1000)
	s, err := ParseReceipt(testEnvelope(t, p, l, OutcomeOK))
	if err != nil {
		t.Fatal(err)
	}
	w := signAs(t, SummaryOf(s.Receipt), "agent")
	e, err := EventOf(s, w, testNow)
	if err != nil {
		t.Fatal(err)
	}
	if e.Receipt != s.Digest() || e.Rater != testDID("requester") {
		t.Errorf("got %+v, want the receipt's digest and requester", e)
	}
	if err := CheckEvent(signAs(t, e, "requester"), testNetwork, testNow); err != nil {
		t.Errorf("CheckEvent: got %v, want nil", err)
	}
	if err := CheckSummary(SummaryOf(s.Receipt), s.Receipt); !errors.Is(err, ErrDenied) {
		t.Errorf("unsigned: got %v, want ErrDenied", err)
	}
	lied := SummaryOf(s.Receipt)
	lied.ChargeMicros--
	if _, err := EventOf(s, signAs(t, lied, "agent"), testNow); !errors.Is(err, ErrInvalid) {
		t.Errorf("other charge: got %v, want ErrInvalid", err)
	}
}

func TestCheckAccept(t *testing.T) {
	o := testOffer(t)
	if err := CheckAccept(o, testAccept(t, o)); err != nil {
		t.Fatal(err)
	}
	other := canon.SHA256Hex([]byte("other"))
	for field, change := range map[string]func(*Accept){
		"agent":      func(a *Accept) { a.Agent = testDID("other") },
		"attempt":    func(a *Accept) { a.Attempt++ },
		"deadline":   func(a *Accept) { a.Deadline = o.Lock.Expires + 1 },
		"guild":      func(a *Accept) { a.Guild = other },
		"guildKey":   func(a *Accept) { a.GuildKey = "" },
		"lockDigest": func(a *Accept) { a.LockDigest = other },
		"network":    func(a *Accept) { a.Network = "other" },
		"node":       func(a *Accept) { a.Node = testDID("other") },
		"offer":      func(a *Accept) { a.OfferHash = other },
		"sealed":     func(a *Accept) { a.Sealed = "" },
		"task":       func(a *Accept) { a.Task = other },
	} {
		a := testAccept(t, o)
		change(a)
		if err := CheckAccept(o, a); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: got %v, want ErrInvalid that names it", field, err)
		}
	}
	for name, bad := range map[string]*Offer{"no commit": {Commit: &Commit{}}, "no lock": {Commit: testCommit()}} {
		if _, err := AcceptFor(bad, 1, "", ""); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
}

func TestCheckEvent(t *testing.T) {
	e := signAs(t, testEvent(t), "requester")
	if err := CheckEvent(e, testNetwork, testNow); err != nil {
		t.Fatal(err)
	}
	if err := CheckEvent(e, testNetwork, testNow.Add(-2*time.Minute)); err != nil {
		t.Errorf("2 minutes ahead: got %v, want nil", err)
	}
	if err := CheckEvent(e, testNetwork, testNow.Add(-2*time.Minute-time.Second)); !errors.Is(err, ErrDenied) {
		t.Errorf("more than 2 minutes ahead: got %v, want ErrDenied", err)
	}
	if err := CheckEvent(e, "other", testNow); !errors.Is(err, ErrDenied) {
		t.Errorf("other network: got %v, want ErrDenied", err)
	}
	if err := CheckEvent(testEvent(t), testNetwork, testNow); !errors.Is(err, ErrDenied) {
		t.Errorf("unsigned: got %v, want ErrDenied", err)
	}
	if err := CheckEvent(&Event{}, testNetwork, testNow); !errors.Is(err, ErrInvalid) {
		t.Errorf("empty: got %v, want ErrInvalid", err)
	}
	stolen := testEvent(t)
	stolen.Rater = testDID("sybil")
	if _, err := Encode(stolen); !errors.Is(err, ErrInvalid) {
		t.Errorf("a summary made for another rater: got %v, want ErrInvalid", err)
	}
	forged := testEvent(t)
	forged.Summary.ChargeMicros++
	if err := CheckEvent(signAs(t, forged, "requester"), testNetwork, testNow); !errors.Is(err, ErrDenied) {
		t.Errorf("forged summary: got %v, want ErrDenied", err)
	}
}

func TestCheckChain(t *testing.T) {
	first := testEntry(t)
	if err := CheckChain(nil, first); err != nil {
		t.Fatal(err)
	}
	head, err := first.Head()
	if err != nil || head.Size != 1 {
		t.Fatalf("head: got %+v, %v, want size 1", head, err)
	}
	next := func() *AuditEntry {
		e := testEntry(t)
		e.Index, e.Prev, e.Kind, e.Digest = head.Size, head.Root, AuditNodeStop, ""
		return e
	}
	if err := CheckChain(first, next()); err != nil {
		t.Errorf("second entry: got %v, want nil", err)
	}
	if err := CheckChain(nil, next()); !errors.Is(err, ErrInvalid) {
		t.Errorf("second entry first: got %v, want ErrInvalid", err)
	}
	if err := CheckChain(first, first); !errors.Is(err, ErrInvalid) {
		t.Errorf("first entry twice: got %v, want ErrInvalid", err)
	}
	if err := CheckChain(&AuditEntry{}, next()); !errors.Is(err, ErrInvalid) {
		t.Errorf("after nothing: got %v, want ErrInvalid", err)
	}
	for name, change := range map[string]func(*AuditEntry){
		"index skips":   func(e *AuditEntry) { e.Index++ },
		"prev":          func(e *AuditEntry) { e.Prev = EmptyAuditRoot },
		"older":         func(e *AuditEntry) { e.Time-- },
		"other node":    func(e *AuditEntry) { e.Node = testDID("other") },
		"other network": func(e *AuditEntry) { e.Network = "other" },
		"bad field":     func(e *AuditEntry) { e.Kind = "" },
	} {
		e := next()
		change(e)
		if err := CheckChain(first, e); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
	if h := EmptyAuditHead(); h.Root != canon.SHA256Hex(nil) || h.Size != 0 {
		t.Errorf("empty head: got %+v, want the sha256 of nothing", h)
	}
}

// TestFullState says that a state with all its locks is read, and in what time.
func TestFullState(t *testing.T) {
	p := testParams()
	s, data := fullState(t, p)
	got, err := p.ParseState(data)
	if err != nil || len(got.Locks) != MaxLocks {
		t.Fatalf("got %v, want %d locks", err, MaxLocks)
	}
	if len(data) > TypeState.maxBytes() {
		t.Errorf("got %d bytes, at most %d", len(data), TypeState.maxBytes())
	}
	if err := CheckFollows(p, mustOpen(t, p), s, nil); err != nil {
		t.Errorf("CheckFollows: got %v, want nil", err)
	}
}

func fullState(tb testing.TB, p *Params) (*State, []byte) {
	tb.Helper()
	var ch Changes
	for i := range MaxLocks {
		ch.Add = append(ch.Add, testLock(tb, string(rune('A'+i)), 1000))
	}
	s := mustNext(tb, p, mustOpen(tb, p), ch)
	data, err := Encode(signAs(tb, s, "requester", "worker"))
	if err != nil {
		tb.Fatal(err)
	}
	return s, data
}

func BenchmarkParseFullState(b *testing.B) {
	p := testParams()
	_, data := fullState(b, p)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := p.ParseState(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyFullState(b *testing.B) {
	p := testParams()
	_, data := fullState(b, p)
	s, err := p.ParseState(data)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := Verify(s, testNetwork); err != nil {
			b.Fatal(err)
		}
	}
}
