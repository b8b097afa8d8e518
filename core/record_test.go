package core

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zerostate/zerostate/core/internal/canon"
)

func testRecordDraft(card []byte, now time.Time) RecordDraft {
	return RecordDraft{Card: card, SealKey: bytes.Repeat([]byte{7}, 32), SealUntil: now.Add(24 * time.Hour)}
}

// testRecord builds the record of testCard, both signed at now.
func testRecord(tb testing.TB, now time.Time) []byte {
	tb.Helper()
	data, err := BuildRecord(testRecordDraft(testCard(tb, nil, now), now), testSigner("agent"), now)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func testTombstone(tb testing.TB, successor Signer, now time.Time) []byte {
	tb.Helper()
	data, err := BuildTombstone("zerostate-test", testSigner("agent"), successor, now)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func mustRecord(tb testing.TB, data []byte) *CardRecord {
	tb.Helper()
	r, err := Parse[CardRecord](data)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func TestBuildRecord(t *testing.T) {
	data := testRecord(t, testNow)
	golden(t, "card-record.json", data)
	r, err := VerifyRecord(data, "zerostate-test", testNow)
	if err != nil {
		t.Fatal(err)
	}
	if r.Tombstone() || r.CID != CardCID(r.Card) || r.Expires != TimeOf(testNow).Add(48*time.Hour) {
		t.Errorf("got %+v", r)
	}
	if _, err := VerifyCard(r.Card, "zerostate-test", testNow); err != nil {
		t.Errorf("inline card: %v", err)
	}
	large := testCard(t, func(d *CardDraft) {
		for i := range 8 {
			s := d.Skills[0]
			s.ID = fmt.Sprintf("s%d", i)
			s.Examples = []string{strings.Repeat("x", 1000)}
			d.Skills = append(d.Skills, s)
		}
	}, testNow)
	data, err = BuildRecord(testRecordDraft(large, testNow), testSigner("agent"), testNow)
	if err != nil || mustRecord(t, data).Card != nil {
		t.Errorf("a card of %d bytes: got it inline (%v)", len(large), err)
	}
}

func TestTombstone(t *testing.T) {
	plain := testTombstone(t, nil, testNow)
	golden(t, "tombstone.json", plain)
	named := testTombstone(t, testSigner("agent-next"), testNow)
	golden(t, "tombstone-successor.json", named)
	for _, data := range [][]byte{plain, named} {
		r, err := VerifyRecord(data, "zerostate-test", testNow.Add(1000*24*time.Hour))
		if err != nil || !r.Tombstone() {
			t.Errorf("years later: got %v, want a tombstone", err)
		}
		if _, err := VerifyRecord(data, "zerostate-test", testNow.Add(-time.Hour)); !errors.Is(err, ErrDenied) {
			t.Errorf("before it was signed: got %v, want ErrDenied", err)
		}
	}
	r := mustRecord(t, named)
	r.Signatures = r.Signatures[:1]
	half, err := Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyRecord(half, "zerostate-test", testNow); !errors.Is(err, ErrDenied) {
		t.Errorf("without the successor's signature: got %v, want ErrDenied", err)
	}
	if err := Sign(r, testSigner("agent-next")); err != nil {
		t.Fatal(err)
	}
	if whole, err := Encode(r); err != nil || !bytes.Equal(whole, named) {
		t.Errorf("countersigned again: got %s (%v)", whole, err)
	}
}

func TestSuccession(t *testing.T) {
	tomb := mustRecord(t, testTombstone(t, testSigner("agent-next"), testNow))
	card, err := ParseCard(testCard(t, nil, testNow))
	if err != nil {
		t.Fatal(err)
	}
	if err := Succeeds(tomb, card); err != nil {
		t.Errorf("the committed key: got %v", err)
	}
	thief := mustRecord(t, testTombstone(t, testSigner("thief"), testNow))
	if err := Succeeds(thief, card); !errors.Is(err, ErrDenied) {
		t.Errorf("a thief's key: got %v, want ErrDenied", err)
	}
	if err := Succeeds(mustRecord(t, testTombstone(t, nil, testNow)), card); !errors.Is(err, ErrInvalid) {
		t.Errorf("no successor: got %v, want ErrInvalid", err)
	}

	d := testDraft()
	next, err := BuildCard(d, testSigner("agent-next"), testSigner("node"), testNow)
	if err != nil {
		t.Fatal(err)
	}
	draft := testRecordDraft(next, testNow)
	draft.Predecessor = tomb
	data, err := BuildRecord(draft, testSigner("agent-next"), testNow)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "card-record-successor.json", data)
	draft.Predecessor = thief
	if _, err := BuildRecord(draft, testSigner("agent-next"), testNow); !errors.Is(err, ErrInvalid) {
		t.Errorf("another's tombstone: got %v, want ErrInvalid", err)
	}
	bare := *tomb
	bare.Signatures = tomb.Signatures[:1]
	draft.Predecessor = &bare
	if _, err := BuildRecord(draft, testSigner("agent-next"), testNow); !errors.Is(err, ErrDenied) {
		t.Errorf("a tombstone without a signature: got %v, want ErrDenied", err)
	}
}

// TestRecordRefuses signs records that break a rule.
func TestRecordRefuses(t *testing.T) {
	cases := map[string]func(*CardRecord){
		"network":               func(r *CardRecord) { r.Network = "" },
		"seq":                   func(r *CardRecord) { r.Seq = 0 },
		"signed":                func(r *CardRecord) { r.Signed = 0 },
		"cid":                   func(r *CardRecord) { r.CID = "x" },
		"expires too late":      func(r *CardRecord) { r.Expires++ },
		"expires at once":       func(r *CardRecord) { r.Expires = r.Signed.Seconds() },
		"no seal key":           func(r *CardRecord) { r.SealKey = "" },
		"short seal key":        func(r *CardRecord) { r.SealKey = canon.B64URL(make([]byte, 31)) },
		"seal key too long":     func(r *CardRecord) { r.SealUntil++ },
		"successor":             func(r *CardRecord) { r.Successor = testDID("other") },
		"other card's CID":      func(r *CardRecord) { r.CID = canon.CIDRaw(nil) },
		"other seq":             func(r *CardRecord) { r.Seq-- },
		"card not canonical":    func(r *CardRecord) { r.Card = []byte(`{"a":1}`) },
		"other network":         func(r *CardRecord) { r.Network = "other" },
		"other did":             func(r *CardRecord) { r.DID = testDID("other") },
		"no card, but its time": func(r *CardRecord) { r.CID = "" },
		"predecessor": func(r *CardRecord) {
			r.Predecessor = &CardRecord{Network: r.Network, DID: testDID("other"), Seq: 1, Signed: 1}
		},
		"own successor": func(r *CardRecord) {
			*r = CardRecord{Network: r.Network, DID: r.DID, Seq: 1, Signed: 1, Successor: r.DID}
		},
		"signature not base64": func(r *CardRecord) { r.Signatures = []Signature{{Key: r.DID, Sig: "x"}} },
		"signature too short":  func(r *CardRecord) { r.Signatures = []Signature{{Key: r.DID, Sig: "AAAA"}} },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			r := mustRecord(t, testRecord(t, testNow))
			change(r)
			if _, err := Encode(r); !errors.Is(err, ErrInvalid) {
				t.Errorf("encode: got %v, want ErrInvalid", err)
			}
			data, err := canon.Encode(r)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := VerifyRecord(data, "zerostate-test", testNow); !errors.Is(err, ErrInvalid) {
				t.Errorf("verify: got %v, want ErrInvalid", err)
			}
		})
	}
}

func TestBuildRecordRefuses(t *testing.T) {
	revoked := testCard(t, func(d *CardDraft) { d.Status = CardRevoked }, testNow)
	if _, err := BuildRecord(testRecordDraft(revoked, testNow), testSigner("agent"), testNow); !errors.Is(err, ErrInvalid) {
		t.Errorf("a revoked card: got %v, want ErrInvalid", err)
	}
	if _, err := BuildRecord(testRecordDraft([]byte("{}"), testNow), testSigner("agent"), testNow); !errors.Is(err, ErrInvalid) {
		t.Errorf("no card: got %v, want ErrInvalid", err)
	}
	if _, err := BuildRecord(testRecordDraft(testCard(t, nil, testNow), testNow), testSigner("thief"), testNow); !errors.Is(err, ErrDenied) {
		t.Errorf("another signer: got %v, want ErrDenied", err)
	}
	r := mustRecord(t, testRecord(t, testNow))
	r.Card, r.CID = revoked, CardCID(revoked)
	if err := r.check(); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "tombstone") {
		t.Errorf("a revoked card in a record: got %v, want ErrInvalid", err)
	}
	r.Card = bytes.Repeat([]byte{' '}, MaxInlineCard+1)
	if err := r.check(); !errors.Is(err, ErrInvalid) {
		t.Errorf("a large inline card: got %v, want ErrInvalid", err)
	}
}

func TestVerifyRecordTimes(t *testing.T) {
	data := testRecord(t, testNow)
	for name, c := range map[string]struct {
		now  time.Time
		want error
	}{
		"2 minutes ahead": {testNow.Add(-2 * time.Minute), nil},
		"further ahead":   {testNow.Add(-2*time.Minute - time.Second), ErrDenied},
		"last second":     {testNow.Add(48*time.Hour - time.Second), nil},
		"expired":         {testNow.Add(48 * time.Hour), ErrDenied},
	} {
		if _, err := VerifyRecord(data, "zerostate-test", c.now); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	// The card is older than the record: only signed is ahead.
	card := testCard(t, nil, testNow.Add(-time.Hour))
	data, err := BuildRecord(testRecordDraft(card, testNow), testSigner("agent"), testNow)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyRecord(data, "zerostate-test", testNow.Add(-30*time.Minute)); !errors.Is(err, ErrDenied) {
		t.Errorf("signed ahead: got %v, want ErrDenied", err)
	}
	if _, err := VerifyRecord(data, "other", testNow); !errors.Is(err, ErrDenied) {
		t.Errorf("another network: got %v, want ErrDenied", err)
	}
}

func TestRecordEveryByte(t *testing.T) {
	data := testTombstone(t, testSigner("agent-next"), testNow)
	for i := range data {
		for bit := range 8 {
			if raceSkips(i, bit) {
				continue
			}
			flipped := bytes.Clone(data)
			flipped[i] ^= 1 << bit
			if _, err := VerifyRecord(flipped, "zerostate-test", testNow); err == nil {
				t.Fatalf("bit %d of byte %d flipped: the tombstone still verifies", bit, i)
			}
		}
	}
}

func TestSelectRecord(t *testing.T) {
	old := testRecord(t, testNow.Add(-time.Hour))
	now := testRecord(t, testNow)
	card := testCard(t, nil, testNow.Add(-time.Hour))
	renewed, err := BuildRecord(testRecordDraft(card, testNow), testSigner("agent"), testNow)
	if err != nil {
		t.Fatal(err)
	}
	tomb := testTombstone(t, nil, testNow.Add(-2*time.Hour))
	draft := testRecordDraft(card, testNow)
	draft.SealKey = bytes.Repeat([]byte{8}, 32)
	twin, err := BuildRecord(draft, testSigner("agent"), testNow)
	if err != nil {
		t.Fatal(err)
	}
	smaller := renewed
	if canon.SHA256Hex(twin) < canon.SHA256Hex(renewed) {
		smaller = twin
	}
	for name, c := range map[string]struct {
		values [][]byte
		want   []byte
	}{
		"higher seq":      {[][]byte{old, now, renewed}, now},
		"later signed":    {[][]byte{old, renewed}, renewed},
		"tombstone first": {[][]byte{now, tomb, old}, tomb},
		"smaller sha256":  {[][]byte{renewed, twin}, smaller},
		"other order":     {[][]byte{twin, renewed}, smaller},
		"passes over":     {[][]byte{nil, []byte("{}"), old}, old},
	} {
		i, err := SelectRecord(c.values)
		if err != nil || !bytes.Equal(c.values[i], c.want) {
			t.Errorf("%s: got number %d (%v)", name, i, err)
		}
	}
	if _, err := SelectRecord([][]byte{nil}); !errors.Is(err, ErrNotFound) {
		t.Errorf("none: got %v, want ErrNotFound", err)
	}
	if BetterRecord(mustRecord(t, now), mustRecord(t, now)) {
		t.Error("a record is not better than itself")
	}
	if got := recordHash(&CardRecord{}); got != "~" {
		t.Errorf("a record that can not be encoded: got %q", got)
	}
}

func TestRecordKey(t *testing.T) {
	for n := range 3 {
		key := RecordKey(n, w3cDID)
		if got, err := ParseRecordKey(key); err != nil || got != w3cDID || !strings.HasPrefix(key, "/zerostate-card/") {
			t.Errorf("%s: got %s, %v", key, got, err)
		}
	}
	for _, key := range []string{"", "/zerostate-card/3/" + w3cDID, "/zerostate-card/0/x", "/other/0/" + w3cDID} {
		if _, err := ParseRecordKey(key); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: got %v, want ErrInvalid", key, err)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add(testRecord(f, testNow))
	f.Add(testTombstone(f, testSigner("agent-next"), testNow))
	f.Add([]byte(`{"predecessor":{"predecessor":{}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Parse[CardRecord](data)
		if err != nil {
			return
		}
		again, err := Encode(r)
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("accepted\n%s\nbut encoded\n%s\n(%v)", data, again, err)
		}
	})
}

func ExampleSelectRecord() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	agent := testSigner("agent")
	first, errFirst := BuildTombstone("zerostate-test", agent, nil, now)
	later, errLater := BuildTombstone("zerostate-test", agent, nil, now.Add(time.Second))
	best, err := SelectRecord([][]byte{first, later})
	fmt.Println(best, errors.Join(errFirst, errLater, err))
	// Output: 1 <nil>
}

func ExampleBuildRecord() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	agent, node := testSigner("agent"), testSigner("node")
	card, errCard := BuildCard(testDraft(), agent, node, now)
	data, errRecord := BuildRecord(RecordDraft{
		Card: card, SealKey: make([]byte, 32), SealUntil: now.Add(24 * time.Hour),
	}, agent, now)
	record, err := VerifyRecord(data, "zerostate-test", now.Add(time.Hour))
	fmt.Println(record.DID.Short(), record.Expires, errors.Join(errCard, errRecord, err))
	// Output: z6Mk…jY2JRc 2026-03-03T12:00:00Z <nil>
}

func ExampleBuildTombstone() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	data, errBuild := BuildTombstone("zerostate-test", testSigner("agent"), testSigner("agent-next"), now)
	record, err := VerifyRecord(data, "zerostate-test", now.AddDate(10, 0, 0))
	fmt.Println(record.Tombstone(), record.Successor == testDID("agent-next"), errors.Join(errBuild, err))
	// Output: true true <nil>
}
