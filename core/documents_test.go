package core

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// testResolved is a resolved manifest and its canonical bytes.
func testResolved(tb testing.TB) []byte {
	tb.Helper()
	m, err := ParseManifest([]byte(`apiVersion: zerostate.dev/v1alpha1
kind: Task
metadata: {name: shout}
spec:
  module: {uri: "file:shout.wasm"}
  settlement: {currency: TEST, unit: req, priceMicros: 100, perUnits: 1, maxChargeMicros: 1000}
`), "task.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	r, err := m.Resolve(Contents{
		Module: InputRef{CID: canon.CIDRaw([]byte("module")), SHA256: canon.SHA256Hex([]byte("module"))},
		Nonce:  testNonce("task"), Seed: canon.SHA256Hex([]byte("seed")),
	})
	if err != nil {
		tb.Fatal(err)
	}
	data, err := r.Bytes()
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func testCommit() *Commit {
	return &Commit{
		GuildKey: testNonce("guild-requester"), Network: testNetwork, Nonce: testNonce("guild"),
		Members: []Member{{testDID("requester"), RoleRequester}, {testDID("worker"), RoleWorker}},
		Suites:  []string{SuiteX25519}, TTLMs: 600_000,
	}
}

func testOffer(tb testing.TB) *Offer {
	tb.Helper()
	id, err := testParams().ChannelID()
	if err != nil {
		tb.Fatal(err)
	}
	manifest := testResolved(tb)
	l := testLock(tb, "", 1000)
	l.Task = canon.SHA256Hex(manifest)
	return &Offer{
		Agent: testDID("agent"), CardCID: canon.CIDRaw([]byte("card")), Channel: id, Commit: testCommit(),
		ID: testNonce("offer"), Lock: l, Manifest: manifest, Network: testNetwork,
		NotAfter: TimeOf(testNow.Add(time.Minute)), Recipient: testDID("worker"), Requester: testDID("requester"),
		Secret: testNonce("secret"),
	}
}

func testAccept(tb testing.TB, o *Offer) *Accept {
	tb.Helper()
	sealed := canon.B64URL(bytes.Repeat([]byte{7}, sealedBytes))
	a, err := AcceptFor(o, TimeOf(testNow.Add(5*time.Minute)), testNonce("guild-worker"), sealed)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

func testSummary(tb testing.TB) *WorkSummary {
	tb.Helper()
	return signAs(tb, &WorkSummary{
		Agent: testDID("agent"), Attempt: 1, ChargeMicros: 100, Network: testNetwork, Node: testDID("worker"),
		Outcome: OutcomeOK, Requester: testDID("requester"), RequesterNode: testDID("requester"),
		Task: canon.SHA256Hex([]byte("a")),
	}, "agent")
}

func testEvent(tb testing.TB) *Event {
	tb.Helper()
	s := testSummary(tb)
	return &Event{
		Agent: s.Agent, Attempt: s.Attempt, Network: s.Network, Node: s.Node, Outcome: s.Outcome, Rater: s.Requester,
		Receipt: canon.SHA256Hex([]byte("receipt")), Summary: s, Task: s.Task, Time: TimeOf(testNow),
	}
}

func testEntry(tb testing.TB) *AuditEntry {
	tb.Helper()
	return &AuditEntry{
		Digest: canon.SHA256Hex([]byte("card")), Index: 0, Kind: AuditCardPublish, Network: testNetwork,
		Node: testDID("worker"), Subject: string(testDID("agent")), Time: TimeOf(testNow),
	}
}

func testCheckpoint() *Checkpoint {
	return &Checkpoint{
		Log: LogReputation, Network: testNetwork, Node: testDID("worker"), Root: canon.SHA256Hex([]byte("root")),
		Size: 7, Time: TimeOf(testNow),
	}
}

// testStates are an opening state and one with a lock, which both signed.
func testStates(tb testing.TB) (open, locked *State) {
	tb.Helper()
	p := testParams()
	open = mustOpen(tb, p)
	locked = mustNext(tb, p, open, Changes{Add: []Lock{testLock(tb, "a", 1000), testLock(tb, "b", 2000)}})
	return signAs(tb, open, "requester", "worker"), signAs(tb, locked, "requester", "worker")
}

func testClaim(tb testing.TB) *Claim {
	tb.Helper()
	_, locked := testStates(tb)
	c, err := NewClaim(testParams(), testDID("worker"), locked, [][]byte{testEnvelope(tb, testParams(), locked.Locks[0], OutcomeOK)}, testNow)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// testDocuments is one signed document of each type of this half of the package,
// by its golden file.
func testDocuments(tb testing.TB) map[string]Document {
	tb.Helper()
	open, locked := testStates(tb)
	o := testOffer(tb)
	return map[string]Document{
		"channel-state-0.json": open,
		"channel-state-1.json": locked,
		"dispute-claim.json":   signAs(tb, testClaim(tb), "worker"),
		"commit.json":          signAs(tb, testCommit(), "requester"),
		"offer.json":           signAs(tb, o, "requester"),
		"accept.json":          signAs(tb, testAccept(tb, o), "worker", "agent"),
		"work-summary.json":    testSummary(tb),
		"event.json":           signAs(tb, testEvent(tb), "requester"),
		"audit-entry.json":     signAs(tb, testEntry(tb), "worker"),
		"checkpoint.json":      signAs(tb, testCheckpoint(), "worker"),
	}
}

// testParsers reads bytes as a document of one type; states are bound to testParams.
func testParsers() map[DocType]func([]byte) (Document, error) {
	return map[DocType]func([]byte) (Document, error){
		TypeState:      func(b []byte) (Document, error) { return testParams().ParseState(b) },
		TypeClaim:      func(b []byte) (Document, error) { return Parse[Claim](b) },
		TypeCommit:     func(b []byte) (Document, error) { return Parse[Commit](b) },
		TypeOffer:      func(b []byte) (Document, error) { return Parse[Offer](b) },
		TypeAccept:     func(b []byte) (Document, error) { return Parse[Accept](b) },
		TypeSummary:    func(b []byte) (Document, error) { return Parse[WorkSummary](b) },
		TypeEvent:      func(b []byte) (Document, error) { return Parse[Event](b) },
		TypeAuditEntry: func(b []byte) (Document, error) { return Parse[AuditEntry](b) },
		TypeCheckpoint: func(b []byte) (Document, error) { return Parse[Checkpoint](b) },
		TypeCardRecord: func(b []byte) (Document, error) { return Parse[CardRecord](b) },

		TypeAnnouncement: func(b []byte) (Document, error) { return Parse[Announcement](b) },
	}
}

func TestGoldenDocuments(t *testing.T) {
	for name, doc := range testDocuments(t) {
		data, err := Encode(doc)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		golden(t, name, data)
		got, err := testParsers()[doc.Type()](data)
		if err != nil {
			t.Errorf("%s: parse: %v", name, err)
			continue
		}
		if err := Verify(got, testNetwork); err != nil {
			t.Errorf("%s: verify: %v", name, err)
		}
		if err := Verify(got, "another"); !errors.Is(err, ErrDenied) {
			t.Errorf("%s: on another network: got %v, want ErrDenied", name, err)
		}
		a, errA := Digest(doc)
		b, errB := Digest(got)
		if a != b || errA != nil || errB != nil {
			t.Errorf("%s: digest: got %s, want %s", name, b, a)
		}
	}
}

// TestNoTypeIsAnother reads every document as every other type, and holds every
// signature against every other type's document.
func TestNoTypeIsAnother(t *testing.T) {
	docs := testDocuments(t)
	for name, doc := range docs {
		data, err := Encode(doc)
		if err != nil {
			t.Fatal(err)
		}
		for as, parse := range testParsers() {
			if as == doc.Type() {
				continue
			}
			if _, err := parse(data); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s as %s: got %v, want ErrInvalid", name, as, err)
			}
		}
		body, err := unsignedBytes(doc)
		if err != nil {
			t.Fatal(err)
		}
		sig := (*doc.sigs())[0]
		raw, err := sig.bytes()
		if err != nil {
			t.Fatal(err)
		}
		for as := range testParsers() {
			err := VerifySignature(sig.Key, SigningInput(as, body), raw)
			if (err == nil) != (as == doc.Type()) {
				t.Errorf("%s, signature as %s: got %v", name, as, err)
			}
		}
	}
}

// TestSignedOnOneNetworkOnly moves a signed document to another network.
func TestSignedOnOneNetworkOnly(t *testing.T) {
	for name, doc := range testDocuments(t) {
		data, err := Encode(doc)
		if err != nil {
			t.Fatal(err)
		}
		moved := bytes.ReplaceAll(data, []byte(`"`+testNetwork+`"`), []byte(`"another-test"`))
		got, err := testParsers()[doc.Type()](moved)
		if doc.Type() == TypeState {
			if err == nil {
				t.Errorf("%s: a state of another network is bound", name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := Verify(got, "another-test"); !errors.Is(err, ErrDenied) {
			t.Errorf("%s: got %v, want ErrDenied", name, err)
		}
	}
}

// TestFieldsAreNamed breaks one field of each document and wants it named.
func TestFieldsAreNamed(t *testing.T) {
	offer := func(change func(*Offer)) func(testing.TB) Document {
		return func(tb testing.TB) Document { tb.Helper(); o := testOffer(tb); change(o); return o }
	}
	accept := func(change func(*Accept)) func(testing.TB) Document {
		return func(tb testing.TB) Document { tb.Helper(); a := testAccept(tb, testOffer(tb)); change(a); return a }
	}
	commit := func(change func(*Commit)) func(testing.TB) Document {
		return func(testing.TB) Document { c := testCommit(); change(c); return c }
	}
	event := func(change func(*Event)) func(testing.TB) Document {
		return func(tb testing.TB) Document { tb.Helper(); e := testEvent(tb); change(e); return e }
	}
	summary := func(change func(*WorkSummary)) func(testing.TB) Document {
		return func(tb testing.TB) Document { tb.Helper(); s := testSummary(tb); change(s); return s }
	}
	entry := func(change func(*AuditEntry)) func(testing.TB) Document {
		return func(tb testing.TB) Document { tb.Helper(); e := testEntry(tb); change(e); return e }
	}
	checkpoint := func(change func(*Checkpoint)) func(testing.TB) Document {
		return func(testing.TB) Document { c := testCheckpoint(); change(c); return c }
	}
	claim := func(change func(*Claim)) func(testing.TB) Document {
		return func(tb testing.TB) Document { tb.Helper(); c := testClaim(tb); change(c); return c }
	}
	tests := []struct {
		field string
		make  func(testing.TB) Document
	}{
		{"agent", offer(func(o *Offer) { o.Agent = "" })},
		{"lock.agent", offer(func(o *Offer) { o.Agent = testDID("other") })},
		{"cardCid", offer(func(o *Offer) { o.CardCID = "Qm" })},
		{"channel", offer(func(o *Offer) { o.Channel = "" })},
		{"commit", offer(func(o *Offer) { o.Commit = nil })},
		{"commit.signatures", offer(func(o *Offer) { o.Commit.Signatures = []Signature{{}} })},
		{"commit.network", offer(func(o *Offer) { o.Commit.Network = "other" })},
		{"commit.nonce", offer(func(o *Offer) { o.Commit.Nonce = "" })},
		{"id", offer(func(o *Offer) { o.ID = "1" })},
		{"lock.task", offer(func(o *Offer) { o.Lock.Task = o.Channel })},
		{"lock.attempt", offer(func(o *Offer) { o.Lock.Attempt = 0 })},
		{"network", offer(func(o *Offer) { o.Network = "" })},
		{"notAfter", offer(func(o *Offer) { o.NotAfter = o.Lock.Expires })},
		{"notAfter", offer(func(o *Offer) { o.NotAfter = 0 })},
		{"recipient", offer(func(o *Offer) { o.Recipient = testDID("other") })},
		{"requester", offer(func(o *Offer) { o.Requester = "x" })},
		{"requester", offer(func(o *Offer) { o.Requester = o.Agent })},
		{"secret", offer(func(o *Offer) { o.Secret += "AA" })},

		{"agent", accept(func(a *Accept) { a.Agent = a.Node })},
		{"attempt", accept(func(a *Accept) { a.Attempt = 0 })},
		{"deadline", accept(func(a *Accept) { a.Deadline = 0 })},
		{"guild", accept(func(a *Accept) { a.Guild = "" })},
		{"guildKey", accept(func(a *Accept) { a.GuildKey = "" })},
		{"lockDigest", accept(func(a *Accept) { a.LockDigest = "" })},
		{"network", accept(func(a *Accept) { a.Network = "" })},
		{"node", accept(func(a *Accept) { a.Node = "" })},
		{"offer", accept(func(a *Accept) { a.OfferHash = "" })},
		{"sealed", accept(func(a *Accept) { a.Sealed = a.GuildKey })},
		{"task", accept(func(a *Accept) { a.Task = "" })},

		{"guildKey", commit(func(c *Commit) { c.GuildKey = "=" })},
		{"members", commit(func(c *Commit) { c.Members = c.Members[:1] })},
		{"members", commit(func(c *Commit) { c.Members[1].Role = "observer" })},
		{"members[0].node", commit(func(c *Commit) { c.Members[0].Node = "" })},
		{"members[1].node", commit(func(c *Commit) { c.Members[1].Node = c.Members[0].Node })},
		{"suites", commit(func(c *Commit) { c.Suites = nil })},
		{"suites", commit(func(c *Commit) { c.Suites = make([]string, 9) })},
		{"ttlMs", commit(func(c *Commit) { c.TTLMs = 0 })},

		{"agent", event(func(e *Event) { e.Agent = testDID("other") })},
		{"attempt", event(func(e *Event) { e.Attempt = 2 })},
		{"node", event(func(e *Event) { e.Node = testDID("other") })},
		{"network", event(func(e *Event) { e.Network = "other" })},
		{"outcome", event(func(e *Event) { e.Outcome = OutcomeLost })},
		{"outcome", event(func(e *Event) { e.Outcome = "good" })},
		{"rater", event(func(e *Event) { e.Rater = testDID("other") })},
		{"receipt", event(func(e *Event) { e.Receipt = "" })},
		{"summary", event(func(e *Event) { e.Summary = nil })},
		{"summary.signatures", event(func(e *Event) { e.Summary.Signatures = nil })},
		{"task", event(func(e *Event) { e.Task = e.Receipt })},
		{"time", event(func(e *Event) { e.Time = 0 })},

		{"agent", summary(func(s *WorkSummary) { s.Agent = "" })},
		{"attempt", summary(func(s *WorkSummary) { s.Attempt = 0 })},
		{"chargeMicros", summary(func(s *WorkSummary) { s.ChargeMicros = -1 })},
		{"chargeMicros", summary(func(s *WorkSummary) { s.Outcome = OutcomeLost })},
		{"outcome", summary(func(s *WorkSummary) { s.Outcome = "" })},
		{"requester", summary(func(s *WorkSummary) { s.Requester = "" })},
		{"requester", summary(func(s *WorkSummary) { s.Requester = s.Agent })},
		{"requesterNode", summary(func(s *WorkSummary) { s.RequesterNode = "" })},
		{"task", summary(func(s *WorkSummary) { s.Task = "" })},

		{"digest", entry(func(e *AuditEntry) { e.Digest = "x" })},
		{"index", entry(func(e *AuditEntry) { e.Index = -1 })},
		{"kind", entry(func(e *AuditEntry) { e.Kind = "note" })},
		{"node", entry(func(e *AuditEntry) { e.Node = "" })},
		{"prev", entry(func(e *AuditEntry) { e.Prev = e.Digest })},
		{"prev", entry(func(e *AuditEntry) { e.Index = 1 })},
		{"subject", entry(func(e *AuditEntry) { e.Subject = "" })},
		{"subject", entry(func(e *AuditEntry) { e.Subject = "the name of my document" })},
		{"subject", entry(func(e *AuditEntry) { e.Subject = strings.Repeat("a", 129) })},
		{"time", entry(func(e *AuditEntry) { e.Time = 0 })},

		{"log", checkpoint(func(c *Checkpoint) { c.Log = "" })},
		{"node", checkpoint(func(c *Checkpoint) { c.Node = "" })},
		{"root", checkpoint(func(c *Checkpoint) { c.Root = "" })},
		{"root", checkpoint(func(c *Checkpoint) { c.Size = 0 })},
		{"size", checkpoint(func(c *Checkpoint) { c.Size = -1 })},
		{"time", checkpoint(func(c *Checkpoint) { c.Time = 0 })},

		{"channel", claim(func(c *Claim) { c.Channel = "" })},
		{"claimant", claim(func(c *Claim) { c.Claimant = "" })},
		{"filed", claim(func(c *Claim) { c.Filed = 0 })},
		{"receipts", claim(func(c *Claim) { c.Receipts = -1 })},
		{"receiptsHash", claim(func(c *Claim) { c.ReceiptsHash = "" })},
		{"state", claim(func(c *Claim) { c.State = "" })},
		{"version", claim(func(c *Claim) { c.Version = -1 })},
	}
	for _, tt := range tests {
		doc := tt.make(t)
		_, err := Encode(doc)
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.field+": ") {
			t.Errorf("%s: %s: got %v, want ErrInvalid that names it", doc.Type(), tt.field, err)
		}
	}
}

func TestCheckSuite(t *testing.T) {
	for id, purpose := range map[string]SuitePurpose{SuiteEd25519: SuiteSigns, SuiteX25519: SuiteSeals} {
		if err := CheckSuite(purpose, id); err != nil {
			t.Errorf("%s: got %v, want nil", id, err)
		}
	}
	for id, purpose := range map[string]SuitePurpose{
		SuiteEd25519: SuiteSeals, "x-wing-hkdf-sha256-chacha20poly1305": SuiteSeals, "rot13": SuiteSigns, "": SuiteSigns,
	} {
		if err := CheckSuite(purpose, id); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%q: got %v, want ErrUnsupported", id, err)
		}
	}
	c := testCommit()
	c.Suites = append(c.Suites, "rot13")
	data, err := canon.Encode(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse[Commit](data); !errors.Is(err, ErrUnsupported) {
		t.Errorf("commit with an unknown suite: got %v, want ErrUnsupported", err)
	}
	c.Nonce = ""
	if _, err := Encode(c); !errors.Is(err, ErrInvalid) {
		t.Errorf("and a bad nonce: got %v, want ErrInvalid", err)
	}
}
