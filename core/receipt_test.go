package core

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/zerostate/zerostate/core/internal/canon"
)

const receiptNetwork = "zerostate-test"

// receiptTerms is what an Offer of the task fixes.
func receiptTerms() ReceiptTerms {
	return ReceiptTerms{
		Network:       receiptNetwork,
		RequesterNode: testDID("requester-node"),
		WorkerNode:    testDID("worker-node"),
		Agent:         testDID("agent"),
		CardCID:       canon.CIDRaw([]byte("card")),
		Requester:     testDID("requester-node"),
		Attempt:       1,
		Guild:         canon.SHA256Hex([]byte("guild")),
		Executor:      ReceiptExecutor{Name: "wasm", Version: "0.1.0"},
		MaxMicros:     20_000,
		Channel:       canon.SHA256Hex([]byte("channel")),
		Lock:          canon.SHA256Hex([]byte("lock")),
	}
}

// okResult is a run of testTask that wrote stdout and its page.
func okResult() RunResult {
	return RunResult{
		Outcome: OutcomeOK,
		Outputs: []RunOutputDigest{
			{Name: StdoutName, SHA256: canon.SHA256Hex([]byte("done\n")), SizeBytes: 5},
			{Name: "page", SHA256: canon.SHA256Hex([]byte("<h1>Title</h1>\n")), SizeBytes: 15},
		},
		Metering: Metering{VerifiableMetering{1, 2501, 17}, ObservedMetering{1500, 2000}},
		Engine:   EngineInfo{Name: "wazero-compiler", Version: "1.12.0", Pass: "none"},
	}
}

func makeReceipt(tb testing.TB, result RunResult) *Receipt {
	tb.Helper()
	times := ReceiptTimes{Started: TimeOf(testNow), Finished: TimeOf(testNow) + 1}
	r, err := NewReceipt(testTask(tb), receiptTerms(), result, times, EmptyAuditHead())
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// signedReceipt is makeReceipt with the worker's and, if both, the requester's
// signature.
func signedReceipt(tb testing.TB, both bool) []byte {
	tb.Helper()
	data, err := SignReceipt(makeReceipt(tb, okResult()), testSigner("agent"))
	if err == nil && both {
		data, err = Countersign(data, testSigner("requester-node"))
	}
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func TestReceiptGolden(t *testing.T) {
	data := signedReceipt(t, true)
	golden(t, "receipt.json", data)
	s, err := ParseReceipt(data)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "receipt-payload.json", s.Payload)
	r, err := VerifyReceipt(data, receiptNetwork, false)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.Predicate.ChargeMicros, int64(6); got != want { // 2501 bytes at 2 per 1000, rounded up
		t.Errorf("charge: got %d, want %d", got, want)
	}
	if !s.Countersigned() || s.Digest() != canon.SHA256Hex(s.Payload) || r.Stdout().SHA256 != okResult().Outputs[0].SHA256 {
		t.Errorf("got %+v", s)
	}
	if in := r.Inputs(); len(in) != 1 || in[0].Name != "doc" || r.Predicate.ResolvedDependencies[2].Name != "inputs/doc" {
		t.Errorf("inputs: got %+v", in)
	}
	one, err1 := ReceiptDigest(signedReceipt(t, false))
	two, err2 := ReceiptDigest(data)
	if one != two || one == "" || err1 != nil || err2 != nil {
		t.Errorf("digest: got %s, %v and %s, %v, want the same", one, err1, two, err2)
	}
}

// TestReceiptEveryBit flips every bit of a signed receipt's file: none of the
// results verifies. Under the race detector, which makes parsing ten times
// slower and has nothing to find in it, it flips one bit of each byte.
func TestReceiptEveryBit(t *testing.T) {
	data := signedReceipt(t, true)
	var wg sync.WaitGroup
	for bit := range 8 {
		wg.Go(func() {
			data := slices.Clone(data)
			for i := range data {
				if raceSkips(i, bit) {
					continue
				}
				data[i] ^= 1 << bit
				if _, err := VerifyReceipt(data, receiptNetwork, false); err == nil {
					t.Errorf("byte %d, bit %d: accepted", i, bit)
				}
				data[i] ^= 1 << bit
			}
		})
	}
	wg.Wait()
	for name, changed := range map[string][]byte{"newline": append(slices.Clone(data), '\n'), "cut": data[:len(data)-1], "empty": nil} {
		if _, err := VerifyReceipt(changed, receiptNetwork, false); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
}

// didVerifier lets the stock DSSE library verify by did.
type didVerifier struct{ did DID }

func (v didVerifier) KeyID() (string, error) { return string(v.did), nil }

func (v didVerifier) Public() crypto.PublicKey {
	pub, err := v.did.PublicKey()
	if err != nil {
		panic(err)
	}
	return pub
}

func (v didVerifier) Verify(_ context.Context, data, sig []byte) error {
	if !ed25519.Verify(v.Public().(ed25519.PublicKey), data, sig) {
		return errors.New("does not verify")
	}
	return nil
}

func TestReceiptStockDSSE(t *testing.T) {
	var e dsse.Envelope
	if err := json.Unmarshal(signedReceipt(t, true), &e); err != nil {
		t.Fatal(err)
	}
	agent, requester := testDID("agent"), testDID("requester-node")
	v, err := dsse.NewMultiEnvelopeVerifier(2, didVerifier{agent}, didVerifier{requester})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := v.Verify(t.Context(), &e)
	if err != nil || len(keys) != 2 || keys[0].KeyID != string(agent) || keys[1].KeyID != string(requester) {
		t.Fatalf("got %+v, %v, want both keys accepted", keys, err)
	}
	stranger, err := dsse.NewEnvelopeVerifier(didVerifier{testDID("stranger")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Verify(t.Context(), &e); err == nil {
		t.Error("a stranger's key verifies")
	}
	if !bytes.Equal(dsse.PAE(e.PayloadType, []byte("x")), canon.PAE(ReceiptPayloadType, []byte("x"))) {
		t.Error("our PAE is another")
	}
}

func TestReceiptInToto(t *testing.T) {
	for _, both := range []bool{false, true} {
		s, err := ParseReceipt(signedReceipt(t, both))
		if err != nil {
			t.Fatal(err)
		}
		var st intoto.Statement
		if err := protojson.Unmarshal(s.Payload, &st); err != nil {
			t.Fatal(err)
		}
		if err := st.Validate(); err != nil {
			t.Error(err)
		}
		if st.GetSubject()[0].GetName() != StdoutName || st.GetPredicateType() != ReceiptPredicateType {
			t.Errorf("got %v", &st)
		}
		deps := st.GetPredicate().GetFields()["resolvedDependencies"].GetListValue().GetValues()
		for _, d := range deps {
			b, err := d.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			var rd intoto.ResourceDescriptor
			if err := protojson.Unmarshal(b, &rd); err != nil {
				t.Fatal(err)
			}
			if err := rd.Validate(); err != nil || len(rd.GetDigest()["sha256"]) != 64 {
				t.Errorf("dependency %s: %v", b, err)
			}
		}
	}
}

func TestNewReceiptOutcomes(t *testing.T) {
	for _, o := range Outcomes() {
		result := RunResult{Outcome: o, Reason: "because\n\x1b[31mof \u202ethis" + strings.Repeat(".", 300)}
		if o.Ran() {
			result = okResult()
			result.Outcome, result.Reason = o, "because"
		}
		if o == OutcomeExit {
			result.ExitCode = 3
		}
		data, err := SignReceipt(makeReceipt(t, result), testSigner("agent"))
		if err != nil {
			t.Fatalf("%s: %v", o, err)
		}
		r, err := VerifyReceipt(data, receiptNetwork, true)
		if err != nil {
			t.Fatalf("%s: %v", o, err)
		}
		p := r.Predicate
		if o.Ran() != (p.ChargeMicros > 0) || (p.ExitCode != nil) != (o == OutcomeOK || o == OutcomeExit) || (p.Reason == "") != (o == OutcomeOK) {
			t.Errorf("%s: got charge %d, exit code %v, reason %q", o, p.ChargeMicros, p.ExitCode, p.Reason)
		}
		if !o.Ran() && (len(r.Subject) != 1 || p.Engine.Name != "none" || len(p.Reason) > maxReasonBytes) {
			t.Errorf("%s: got %+v", o, r)
		}
	}
}

func TestNewReceiptRefuses(t *testing.T) {
	times := ReceiptTimes{Started: TimeOf(testNow), Finished: TimeOf(testNow)}
	for name, change := range map[string]func(*Resolved, *ReceiptTerms, *RunResult){
		"task":       func(r *Resolved, _ *ReceiptTerms, _ *RunResult) { r.Metadata.Nonce = "" },
		"terms":      func(_ *Resolved, t *ReceiptTerms, _ *RunResult) { t.Guild = "" },
		"lock":       func(_ *Resolved, t *ReceiptTerms, _ *RunResult) { t.MaxMicros = -1 },
		"metering":   func(_ *Resolved, _ *ReceiptTerms, r *RunResult) { r.Metering.Verifiable.Req = 2 },
		"output":     func(_ *Resolved, _ *ReceiptTerms, r *RunResult) { r.Outputs[1].Name = "other" },
		"no outcome": func(_ *Resolved, _ *ReceiptTerms, r *RunResult) { r.Outcome = "" },
	} {
		task, terms, result := testTask(t), receiptTerms(), okResult()
		change(task, &terms, &result)
		if _, err := NewReceipt(task, terms, result, times, EmptyAuditHead()); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
}

func TestReceiptFields(t *testing.T) {
	code := int64(1)
	for _, c := range []struct {
		path   string
		change func(r *Receipt, p *ReceiptPredicate)
	}{
		{"_type", func(r *Receipt, _ *ReceiptPredicate) { r.Type = "https://in-toto.io/Statement/v0.1" }},
		{"predicateType", func(r *Receipt, _ *ReceiptPredicate) { r.PredicateType = "x" }},
		{"subject", func(r *Receipt, _ *ReceiptPredicate) { r.Subject = nil }},
		{"subject[0].name", func(r *Receipt, _ *ReceiptPredicate) { r.Subject = r.Subject[1:] }},
		{"subject[1].name", func(r *Receipt, _ *ReceiptPredicate) { r.Subject[1].Name = StdoutName }},
		{"subject[1].name", func(r *Receipt, _ *ReceiptPredicate) { r.Subject[1].Name = "../x" }},
		{"subject[2].name", func(r *Receipt, _ *ReceiptPredicate) { r.Subject = append(r.Subject, r.Subject[1]) }},
		{"subject[0].digest.sha256", func(r *Receipt, _ *ReceiptPredicate) { r.Subject[0].Digest.SHA256 = "AB" }},
		{"predicate.network", func(_ *Receipt, p *ReceiptPredicate) { p.Network = "" }},
		{"predicate.requesterNode", func(_ *Receipt, p *ReceiptPredicate) { p.RequesterNode = "did:web:x" }},
		{"predicate.workerNode", func(_ *Receipt, p *ReceiptPredicate) { p.WorkerNode = "" }},
		{"predicate.agent", func(_ *Receipt, p *ReceiptPredicate) { p.Agent = "x" }},
		{"predicate.requester", func(_ *Receipt, p *ReceiptPredicate) { p.Requester = p.Agent }},
		{"predicate.cardCid", func(_ *Receipt, p *ReceiptPredicate) { p.CardCID = "bafy" }},
		{"predicate.task", func(_ *Receipt, p *ReceiptPredicate) { p.Task = "" }},
		{"predicate.attempt", func(_ *Receipt, p *ReceiptPredicate) { p.Attempt = 0 }},
		{"predicate.guild", func(_ *Receipt, p *ReceiptPredicate) { p.Guild = "x" }},
		{"predicate.executor.name", func(_ *Receipt, p *ReceiptPredicate) { p.Executor.Name = "" }},
		{"predicate.executor.version", func(_ *Receipt, p *ReceiptPredicate) { p.Executor.Version = strings.Repeat("1", 65) }},
		{"predicate.maxMicros", func(_ *Receipt, p *ReceiptPredicate) { p.MaxMicros = -1 }},
		{"predicate.channel", func(_ *Receipt, p *ReceiptPredicate) { p.Channel = "x" }},
		{"predicate.lock", func(_ *Receipt, p *ReceiptPredicate) { p.Lock = "x" }},
		{"predicate.resolvedDependencies", func(_ *Receipt, p *ReceiptPredicate) { p.ResolvedDependencies = p.ResolvedDependencies[:1] }},
		{"predicate.resolvedDependencies[0].name", func(_ *Receipt, p *ReceiptPredicate) { p.ResolvedDependencies[0].Name = "x" }},
		{"predicate.resolvedDependencies[0].uri", func(_ *Receipt, p *ReceiptPredicate) { p.ResolvedDependencies[0].URI = "x" }},
		{"predicate.resolvedDependencies[0].digest.sha256", func(_ *Receipt, p *ReceiptPredicate) {
			p.ResolvedDependencies[0].Digest.SHA256 = emptySHA256
		}},
		{"predicate.resolvedDependencies[1].name", func(_ *Receipt, p *ReceiptPredicate) { p.ResolvedDependencies[1].Name = "x" }},
		{"predicate.resolvedDependencies[1].uri", func(_ *Receipt, p *ReceiptPredicate) { p.ResolvedDependencies[1].URI = "file:x" }},
		{"predicate.resolvedDependencies[1].uri", func(_ *Receipt, p *ReceiptPredicate) {
			p.ResolvedDependencies[1].Digest.SHA256 = emptySHA256
		}},
		{"predicate.resolvedDependencies[2].name", func(_ *Receipt, p *ReceiptPredicate) { p.ResolvedDependencies[2].Name = "doc" }},
		{"predicate.resolvedDependencies[3].name", func(_ *Receipt, p *ReceiptPredicate) {
			p.ResolvedDependencies = append(p.ResolvedDependencies, p.ResolvedDependencies[2])
		}},
		{"predicate.engine.name", func(_ *Receipt, p *ReceiptPredicate) { p.Engine.Name = "" }},
		{"predicate.engine.version", func(_ *Receipt, p *ReceiptPredicate) { p.Engine.Version = "" }},
		{"predicate.engine.pass", func(_ *Receipt, p *ReceiptPredicate) { p.Engine.Pass = "" }},
		{"predicate.outcome", func(_ *Receipt, p *ReceiptPredicate) { p.Outcome = "won" }},
		{"predicate.exitCode", func(_ *Receipt, p *ReceiptPredicate) { p.ExitCode = &code }},
		{"predicate.exitCode", func(_ *Receipt, p *ReceiptPredicate) { p.ExitCode = nil }},
		{"predicate.exitCode", func(_ *Receipt, p *ReceiptPredicate) { p.Outcome = OutcomeExit }},
		{"predicate.exitCode", func(_ *Receipt, p *ReceiptPredicate) { p.Outcome = OutcomeTrap }},
		{"predicate.reason", func(_ *Receipt, p *ReceiptPredicate) { p.Reason = "x" }},
		{"predicate.reason", func(_ *Receipt, p *ReceiptPredicate) { p.Reason = strings.Repeat("x", 257) }},
		{"predicate.startedAt", func(_ *Receipt, p *ReceiptPredicate) { p.StartedAt = 0 }},
		{"predicate.finishedAt", func(_ *Receipt, p *ReceiptPredicate) { p.FinishedAt = p.StartedAt - 1 }},
		{"predicate.auditHead.root", func(_ *Receipt, p *ReceiptPredicate) { p.AuditHead.Root = "" }},
		{"subject", func(_ *Receipt, p *ReceiptPredicate) { p.Outcome = OutcomeLost }},
		{"predicate.metering: verifiable.byte", func(_ *Receipt, p *ReceiptPredicate) { p.Metering.Verifiable.Byte = -1 }},
		{"predicate.chargeMicros", func(_ *Receipt, p *ReceiptPredicate) { p.ChargeMicros++ }},
		{"predicate.chargeMicros", func(_ *Receipt, p *ReceiptPredicate) { p.ChargeMicros-- }},
		{"perUnits", func(_ *Receipt, p *ReceiptPredicate) { p.Price.PerUnits = 0 }},
	} {
		r := makeReceipt(t, okResult())
		c.change(r, &r.Predicate)
		_, err := SignReceipt(r, testSigner("agent"))
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.path) {
			t.Errorf("%s: got %v, want ErrInvalid naming it", c.path, err)
		}
	}
}

func TestReceiptSigners(t *testing.T) {
	r := makeReceipt(t, okResult())
	if _, err := SignReceipt(r, testSigner("stranger")); !errors.Is(err, ErrDenied) {
		t.Errorf("a stranger signs as worker: got %v, want ErrDenied", err)
	}
	one, both := signedReceipt(t, false), signedReceipt(t, true)
	if _, err := Countersign(one, testSigner("stranger")); !errors.Is(err, ErrDenied) {
		t.Errorf("a stranger countersigns: got %v, want ErrDenied", err)
	}
	if _, err := Countersign(both, testSigner("requester-node")); !errors.Is(err, ErrExists) {
		t.Errorf("countersigned twice: got %v, want ErrExists", err)
	}
	if _, err := Countersign(nil, testSigner("requester-node")); !errors.Is(err, ErrInvalid) {
		t.Errorf("nothing: got %v, want ErrInvalid", err)
	}
	if _, err := SignReceipt(r, failingSigner{testDID("agent")}); !errors.Is(err, errFailing) {
		t.Errorf("broken signer: got %v", err)
	}
	if _, err := VerifyReceipt(one, receiptNetwork, true); err != nil {
		t.Errorf("worker only: %v", err)
	}
	if _, err := VerifyReceipt(one, receiptNetwork, false); !errors.Is(err, ErrDenied) {
		t.Errorf("not countersigned: got %v, want ErrDenied", err)
	}
	if _, err := VerifyReceipt(both, "other", false); !errors.Is(err, ErrDenied) {
		t.Errorf("another network: got %v, want ErrDenied", err)
	}
	if _, err := ReceiptDigest(nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("digest of nothing: got %v, want ErrInvalid", err)
	}
}

var errFailing = errors.New("broken")

type failingSigner struct{ did DID }

func (s failingSigner) DID() DID                    { return s.did }
func (s failingSigner) Sign([]byte) ([]byte, error) { return nil, errFailing }

// TestReceiptForged takes envelopes that are spelled well and say the wrong
// thing.
func TestReceiptForged(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(e *envelope)
		want   error
	}{
		{"payload type", func(e *envelope) { e.PayloadType = "application/json" }, ErrInvalid},
		{"payload's base64", func(e *envelope) { e.Payload = "*" + e.Payload[1:] }, ErrInvalid},
		{"no receipt", func(e *envelope) { e.Payload = canon.B64([]byte("{}")) }, ErrInvalid},
		{"not JSON", func(e *envelope) { e.Payload = canon.B64([]byte("x")) }, ErrInvalid},
		{"no signature", func(e *envelope) { e.Signatures = []ReceiptSignature{} }, ErrInvalid},
		{"three signatures", func(e *envelope) { e.Signatures = append(e.Signatures, e.Signatures[1]) }, ErrInvalid},
		{"other order", func(e *envelope) { slices.Reverse(e.Signatures) }, ErrInvalid},
		{"keyid", func(e *envelope) { e.Signatures[1].KeyID = testDID("stranger") }, ErrInvalid},
		{"short signature", func(e *envelope) { e.Signatures[1].Sig = "AAAA" }, ErrInvalid},
		{"the worker's twice", func(e *envelope) { e.Signatures[1].Sig = e.Signatures[0].Sig }, ErrDenied},
		{"the requester's twice", func(e *envelope) { e.Signatures[0].Sig = e.Signatures[1].Sig }, ErrDenied},
	} {
		var e envelope
		if err := json.Unmarshal(signedReceipt(t, true), &e); err != nil {
			t.Fatal(err)
		}
		c.change(&e)
		data, err := canon.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		for _, workerOnly := range []bool{false, true} {
			if _, err := VerifyReceipt(data, receiptNetwork, workerOnly); !errors.Is(err, c.want) {
				t.Errorf("%s: got %v, want %v", c.name, err, c.want)
			}
		}
		if _, err := Countersign(data, testSigner("requester-node")); err == nil {
			t.Errorf("%s: countersigned", c.name)
		}
	}
	var e envelope
	if err := json.Unmarshal(signedReceipt(t, false), &e); err != nil {
		t.Fatal(err)
	}
	e.Signatures[0].Sig = canon.B64(make([]byte, ed25519.SignatureSize))
	data, err := canon.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Countersign(data, testSigner("requester-node")); !errors.Is(err, ErrDenied) {
		t.Errorf("countersign a bad signature: got %v, want ErrDenied", err)
	}
}

// TestReceiptLargest fills every list: the largest receipt has to fit.
func TestReceiptLargest(t *testing.T) {
	m, err := ParseManifest([]byte(agentManifest), "task.yaml")
	if err != nil {
		t.Fatal(err)
	}
	m.Spec.Inputs, m.Spec.Outputs = nil, nil
	c := Contents{Module: testRef("module"), Inputs: map[string]InputRef{}, Nonce: taskNonce, Seed: taskSeed}
	result := okResult()
	result.Outcome, result.Reason = OutcomeTrap, strings.Repeat(`"`, maxReasonBytes)
	result.Outputs = result.Outputs[:1]
	for i := range maxTaskInputs {
		name := fmt.Sprintf("%064d", i)
		m.Spec.Inputs = append(m.Spec.Inputs, TaskInput{Name: name, Mount: "/in/" + name, TimeoutMs: 1})
		c.Inputs[name] = testRef(name)
	}
	for i := range maxTaskOutputs {
		name := fmt.Sprintf("%064d", i)
		m.Spec.Outputs = append(m.Spec.Outputs, TaskOutput{Name: name, Path: "/out/" + name, MaxBytes: 1})
		result.Outputs = append(result.Outputs, RunOutputDigest{Name: name, SHA256: emptySHA256})
	}
	task, err := m.Resolve(c)
	if err != nil {
		t.Fatal(err)
	}
	terms := receiptTerms()
	terms.Network, terms.Executor.Name, terms.Executor.Version = strings.Repeat("n", 64), strings.Repeat("e", 64), strings.Repeat("v", 64)
	result.Engine = EngineInfo{strings.Repeat("e", 64), strings.Repeat("v", 64), strings.Repeat("p", 64)}
	r, err := NewReceipt(task, terms, result, ReceiptTimes{1, 1}, EmptyAuditHead())
	if err != nil {
		t.Fatal(err)
	}
	data, err := SignReceipt(r, testSigner("agent"))
	if err == nil {
		data, err = Countersign(data, testSigner("requester-node"))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the largest receipt has %d bytes", len(data))
}

func TestReceiptCheckTask(t *testing.T) {
	r := makeReceipt(t, okResult())
	if err := r.CheckTask(testTask(t)); err != nil {
		t.Fatal(err)
	}
	other := testTask(t)
	other.Spec.Outputs = nil
	other.Spec.Settlement.PriceMicros = 1
	err := r.CheckTask(other)
	for _, path := range []string{"predicate.task", "predicate.price", "predicate.resolvedDependencies", "subject[1].name"} {
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v, want ErrInvalid naming %s", err, path)
		}
	}
	other.Kind = ""
	if err := r.CheckTask(other); !errors.Is(err, ErrInvalid) {
		t.Errorf("a bad task: got %v, want ErrInvalid", err)
	}
}

func TestReceiptCheckTerms(t *testing.T) {
	r := makeReceipt(t, okResult())
	if err := r.CheckTerms(r.Predicate.ReceiptTerms); err != nil {
		t.Fatal(err)
	}
	err := r.CheckTerms(ReceiptTerms{})
	for _, name := range []string{
		"network", "requesterNode", "workerNode", "agent", "cardCid", "requester", "task",
		"attempt", "guild", "price", "maxMicros", "channel", "lock",
	} {
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "predicate."+name+":") {
			t.Errorf("got %v, want ErrInvalid naming %s", err, name)
		}
	}
}

func TestReceiptCheckOutputs(t *testing.T) {
	r, got := makeReceipt(t, okResult()), okResult().Outputs
	if err := r.CheckOutputs(got); err != nil {
		t.Fatal(err)
	}
	if err := r.CheckOutputs(got[:1]); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "subject: has 2 entries") {
		t.Errorf("one is missing: got %v", err)
	}
	got[0].Name, got[1].SHA256 = "x", emptySHA256
	err := r.CheckOutputs(got)
	for _, path := range []string{"subject[0].name", "subject[1].digest.sha256"} {
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v, want ErrInvalid naming %s", err, path)
		}
	}
}

func FuzzParseReceipt(f *testing.F) {
	f.Add(signedReceipt(f, false))
	f.Add(signedReceipt(f, true))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseReceipt(data)
		if err != nil {
			return
		}
		again, err := canon.Encode(envelope{canon.B64(s.Payload), ReceiptPayloadType, s.Signatures})
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("two spellings: %s and %s (%v)", data, again, err)
		}
	})
}
