package core

import (
	"errors"
	"strings"
	"testing"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// testReceipt is the receipt of a lock: one request for what testPrice asks, at
// most what the lock holds.
func testReceipt(tb testing.TB, p *Params, l Lock, o Outcome) *Receipt {
	tb.Helper()
	id, err := p.ChannelID()
	if err != nil {
		tb.Fatal(err)
	}
	digest, err := LockDigest(l)
	if err != nil {
		tb.Fatal(err)
	}
	module := Digest256{SHA256: canon.SHA256Hex([]byte("module"))}
	r := &Receipt{
		Type: StatementType, PredicateType: ReceiptPredicateType,
		Subject: []ReceiptSubject{{Name: StdoutName, Digest: Digest256{SHA256: emptySHA256}}},
		Predicate: ReceiptPredicate{
			ReceiptTerms: ReceiptTerms{
				Network: p.Network, RequesterNode: p.Payer, WorkerNode: p.Payee, Agent: l.Agent,
				CardCID: canon.CIDRaw([]byte("card")), Requester: p.Payer, Task: l.Task, Attempt: l.Attempt,
				Guild: canon.SHA256Hex([]byte("guild")), Executor: ReceiptExecutor{Name: "wasm", Version: "0.1.0"},
				Price: testPrice(), MaxMicros: l.MaxMicros, Channel: id, Lock: digest,
			},
			ResolvedDependencies: []ReceiptDependency{
				{Name: DependencyManifest, Digest: Digest256{SHA256: l.Task}},
				{Name: DependencyModule, URI: "ipfs://" + canon.CIDRaw([]byte("module")), Digest: module},
			},
			Engine: ReceiptEngine{Name: "none", Version: "none", Pass: "none"}, Outcome: o,
			StartedAt: TimeOf(testNow), FinishedAt: TimeOf(testNow), AuditHead: EmptyAuditHead(),
		},
	}
	if o.Ran() {
		r.Predicate.Metering.Verifiable.Req = 1
	}
	switch o {
	case OutcomeOK:
		r.Predicate.ExitCode = new(int64)
	case OutcomeExit:
		code := int64(3)
		r.Predicate.ExitCode = &code
	default: // nothing else has an exit code
	}
	if r.Predicate.ChargeMicros, err = Charge(testPrice(), r.Predicate.Metering, l.MaxMicros); err != nil {
		tb.Fatal(err)
	}
	return r
}

// testEnvelope is testReceipt, signed by the agent.
func testEnvelope(tb testing.TB, p *Params, l Lock, o Outcome) []byte {
	tb.Helper()
	data, err := SignReceipt(testReceipt(tb, p, l, o), testSigner("agent"))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func TestReceiptOfLock(t *testing.T) {
	p, l := testParams(), testLock(t, "a", 1000)
	r := testReceipt(t, p, l, OutcomeOK)
	if err := ReceiptOfLock(p, l, r); err != nil {
		t.Fatal(err)
	}
	if got, want := SettlementOf(r), (Settlement{l.Task, 1, 100}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	other := canon.SHA256Hex([]byte("other"))
	for field, change := range map[string]func(*ReceiptPredicate){
		"network":        func(p *ReceiptPredicate) { p.Network = "other" },
		"channel":        func(p *ReceiptPredicate) { p.Channel = other },
		"requesterNode":  func(p *ReceiptPredicate) { p.RequesterNode = testDID("other") },
		"workerNode":     func(p *ReceiptPredicate) { p.WorkerNode = testDID("other") },
		"task":           func(p *ReceiptPredicate) { p.Attempt++ },
		"agent":          func(p *ReceiptPredicate) { p.Agent = testDID("other") },
		"lock":           func(p *ReceiptPredicate) { p.Lock = other },
		"price:":         func(p *ReceiptPredicate) { p.Price.PriceMicros++ },
		"price.currency": func(p *ReceiptPredicate) { p.Price.Currency = "EUR" },
		"maxMicros":      func(p *ReceiptPredicate) { p.MaxMicros++ },
		"chargeMicros":   func(p *ReceiptPredicate) { p.ChargeMicros = 1001 },
		"price":          func(p *ReceiptPredicate) { p.Price.PerUnits = 0 },
	} {
		r := testReceipt(t, p, l, OutcomeOK)
		change(&r.Predicate)
		if err := ReceiptOfLock(p, l, r); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: got %v, want ErrInvalid that names it", field, err)
		}
	}
	if err := ReceiptOfLock(&Params{}, l, r); !errors.Is(err, ErrInvalid) {
		t.Errorf("no params: got %v, want ErrInvalid", err)
	}
	if err := ReceiptOfLock(p, Lock{}, r); !errors.Is(err, ErrInvalid) {
		t.Errorf("no lock: got %v, want ErrInvalid", err)
	}
}
