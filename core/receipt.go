package core

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// The spellings of a receipt.
const (
	// StatementType is the `_type` of an in-toto Statement v1.
	StatementType = "https://in-toto.io/Statement/v1"
	// ReceiptPredicateType is the `predicateType` of a receipt.
	ReceiptPredicateType = "https://zerostate.dev/receipt/v1"
	// ReceiptPayloadType is the DSSE payload type that a receipt is signed under.
	ReceiptPayloadType = "application/vnd.in-toto+json"
)

// MaxReceiptBytes bounds a receipt, signatures included.
const MaxReceiptBytes = 32 << 10

const (
	maxReasonBytes = 256
	// emptySHA256 is the digest of no bytes: of stdout where nothing ran.
	emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// Names of the first two resolvedDependencies of a receipt; the inputs follow as
// "inputs/<name>", in the manifest's order.
const (
	DependencyManifest    = "manifest" // digest: the task id
	DependencyModule      = "module"
	DependencyInputPrefix = "inputs/"
)

// Receipt is the signed record of one attempt of a task: an in-toto Statement v1
// about what the run wrote. SignReceipt makes the DSSE envelope, VerifyReceipt
// reads it.
type Receipt struct {
	Type          string           `json:"_type"`         // StatementType
	Subject       []ReceiptSubject `json:"subject"`       // StdoutName first, always; then the outputs that exist
	PredicateType string           `json:"predicateType"` // ReceiptPredicateType
	Predicate     ReceiptPredicate `json:"predicate"`
}

// ReceiptSubject is what the run wrote under one name (in-toto
// ResourceDescriptor).
type ReceiptSubject struct {
	Name   string    `json:"name"`
	Digest Digest256 `json:"digest"`
}

// ReceiptDependency is what the run was made from (in-toto ResourceDescriptor).
type ReceiptDependency struct {
	Name   string    `json:"name"`
	URI    string    `json:"uri,omitempty"` // ipfs://CID; absent for the manifest
	Digest Digest256 `json:"digest"`
}

// ReceiptTerms is every field of a receipt that the Offer fixes: a worker
// journals it before Accept, so that it can sign `lost` after a crash.
type ReceiptTerms struct {
	Network       string          `json:"network"`
	RequesterNode DID             `json:"requesterNode"`
	WorkerNode    DID             `json:"workerNode"`
	Agent         DID             `json:"agent"`     // signs first
	CardCID       string          `json:"cardCid"`   // the agent's card
	Requester     DID             `json:"requester"` // countersigns: a node or an agent
	Task          string          `json:"task"`      // task id
	Attempt       int64           `json:"attempt"`   // from 1
	Guild         string          `json:"guild"`     // guild id
	Executor      ReceiptExecutor `json:"executor"`
	Price         Price           `json:"price"`
	MaxMicros     int64           `json:"maxMicros"` // of the lock
	Channel       string          `json:"channel"`   // channel id
	Lock          string          `json:"lock"`      // LockDigest
}

// ReceiptPredicate is what a receipt says about its subjects.
type ReceiptPredicate struct {
	ReceiptTerms
	ResolvedDependencies []ReceiptDependency `json:"resolvedDependencies"`
	Engine               ReceiptEngine       `json:"engine"`
	Outcome              Outcome             `json:"outcome"`
	ExitCode             *int64              `json:"exitCode,omitempty"` // present for ok (0) and exit
	Reason               string              `json:"reason,omitempty"`   // for people; absent for ok
	ChargeMicros         int64               `json:"chargeMicros"`       // Charge(Price, Metering, MaxMicros)
	StartedAt            Time                `json:"startedAt"`
	FinishedAt           Time                `json:"finishedAt"`
	AuditHead            AuditHead           `json:"auditHead"` // of the worker's node
	Metering             Metering            `json:"metering"`
}

// ReceiptExecutor is the plugin that ran the task.
type ReceiptExecutor struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// ReceiptEngine is what the plugin ran the module with: whoever re-runs the task
// with the same versions must get the same. "none" in every field where no
// engine came to run.
type ReceiptEngine struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Pass    string `json:"pass"`
}

// ReceiptTimes is when an attempt started and finished; equal where it never ran.
type ReceiptTimes struct{ Started, Finished Time }

// NewReceipt makes the unsigned receipt of one attempt: dependencies, task id and
// price come from the task, the charge from the metering. For an outcome that
// did not run, the result needs no more than Outcome and Reason. The reason is
// cut and cleaned to what a document may hold. ErrInvalid where anything does
// not fit together.
func NewReceipt(task *Resolved, terms ReceiptTerms, result RunResult, times ReceiptTimes, head AuditHead) (*Receipt, error) {
	id, err := task.TaskID()
	if err != nil {
		return nil, fmt.Errorf("receipt: task: %w", err)
	}
	terms.Task, terms.Price = id, task.Spec.Settlement
	r := &Receipt{Type: StatementType, PredicateType: ReceiptPredicateType}
	r.Subject = subjectsOf(result)
	p := &r.Predicate
	p.ReceiptTerms = terms
	p.ResolvedDependencies = dependenciesOf(id, task)
	p.Engine = engineOf(result)
	p.Outcome, p.Metering = result.Outcome, result.Metering
	if p.Outcome == OutcomeOK || p.Outcome == OutcomeExit {
		code := int64(result.ExitCode)
		p.ExitCode = &code
	}
	if p.Outcome != OutcomeOK {
		p.Reason = cleanReason(result.Reason)
	}
	p.StartedAt, p.FinishedAt, p.AuditHead = times.Started, times.Finished, head
	if p.ChargeMicros, err = Charge(terms.Price, result.Metering, terms.MaxMicros); err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return r, r.CheckTask(task)
}

func subjectsOf(result RunResult) []ReceiptSubject {
	if len(result.Outputs) == 0 {
		return []ReceiptSubject{{Name: StdoutName, Digest: Digest256{SHA256: emptySHA256}}}
	}
	subjects := make([]ReceiptSubject, len(result.Outputs))
	for i, o := range result.Outputs {
		subjects[i] = ReceiptSubject{Name: o.Name, Digest: Digest256{SHA256: o.SHA256}}
	}
	return subjects
}

func engineOf(result RunResult) ReceiptEngine {
	if result.Engine == (EngineInfo{}) && !result.Outcome.Ran() {
		return ReceiptEngine{Name: "none", Version: "none", Pass: "none"}
	}
	return ReceiptEngine(result.Engine)
}

func dependenciesOf(id string, task *Resolved) []ReceiptDependency {
	m := task.Spec.Module
	deps := []ReceiptDependency{
		{Name: DependencyManifest, Digest: Digest256{SHA256: id}},
		{Name: DependencyModule, URI: m.URI, Digest: m.Digest},
	}
	for _, in := range task.Spec.Inputs {
		deps = append(deps, ReceiptDependency{Name: DependencyInputPrefix + in.Name, URI: in.URI, Digest: in.Digest})
	}
	return deps
}

// cleanReason makes a plugin's text fit a document: printable ASCII, cut.
func cleanReason(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return ' '
		}
		return r
	}, s)
	return strings.TrimSpace(s[:min(len(s), maxReasonBytes)])
}

// Stdout is the digest of standard output.
func (r *Receipt) Stdout() Digest256 { return r.Subject[0].Digest }

// Inputs are the dependencies that are inputs of the task, names without prefix.
// The caller owns the list.
func (r *Receipt) Inputs() []ReceiptDependency {
	inputs := slices.Clone(r.Predicate.ResolvedDependencies[2:])
	for i := range inputs {
		inputs[i].Name = strings.TrimPrefix(inputs[i].Name, DependencyInputPrefix)
	}
	return inputs
}

// check says every field that breaks a rule of receipts; it needs no keys.
func (r *Receipt) check() error {
	var f fieldChecks
	f.that("_type", r.Type == StatementType, "wants "+StatementType)
	f.that("predicateType", r.PredicateType == ReceiptPredicateType, "wants "+ReceiptPredicateType)
	p := &r.Predicate
	p.checkFields(&f)
	f.that("predicate.outcome", p.Outcome.Known(), "is not an outcome")
	r.checkSubjects(&f)
	p.checkDependencies(&f)
	p.checkRun(&f)
	p.AuditHead.checkFields(&f, "predicate.auditHead.")
	if err := f.err(); err != nil {
		return fmt.Errorf("receipt: %w", err)
	}
	return p.checkCharge()
}

func (t *ReceiptTerms) checkFields(f *fieldChecks) {
	const at = "predicate."
	f.that(at+"network", isLabel(t.Network), "wants 1 to 64 of a-z, 0-9, '-', '.' and '_'")
	f.did(at+"requesterNode", t.RequesterNode)
	f.did(at+"workerNode", t.WorkerNode)
	f.did(at+"agent", t.Agent)
	f.did(at+"requester", t.Requester)
	f.that(at+"requester", t.Requester != t.Agent, "is the agent")
	f.that(at+"cardCid", canon.CheckCID(t.CardCID) == nil && strings.HasPrefix(t.CardCID, rawCIDPrefix),
		"wants the CID of a card: version 1, raw, sha2-256, base32")
	f.hash(at+"task", t.Task)
	f.between(at+"attempt", t.Attempt, 1, maxSafeInteger)
	f.hash(at+"guild", t.Guild)
	checkVersionText(f, at+"executor.name", t.Executor.Name)
	checkVersionText(f, at+"executor.version", t.Executor.Version)
	f.between(at+"maxMicros", t.MaxMicros, 0, maxSafeInteger)
	f.hash(at+"channel", t.Channel)
	f.hash(at+"lock", t.Lock)
}

// checkVersionText wants a short name or version.
func checkVersionText(f *fieldChecks, at, s string) {
	f.that(at, s != "" && len(s) <= maxTaskNameBytes, "wants 1 to 64 bytes")
}

func (r *Receipt) checkSubjects(f *fieldChecks) {
	f.between("subject", int64(len(r.Subject)), 1, 1+maxTaskOutputs)
	taken := map[string]bool{}
	for i, s := range r.Subject {
		at := fmt.Sprintf("subject[%d]", i)
		f.hash(at+".digest.sha256", s.Digest.SHA256)
		f.that(at+".name", (s.Name == StdoutName) == (i == 0), "wants stdout first, and nowhere else")
		f.that(at+".name", isPlainName(s.Name) && !taken[s.Name], "wants a plain name, used once")
		taken[s.Name] = true
	}
	if !r.Predicate.Outcome.Ran() && len(r.Subject) > 0 {
		f.that("subject", len(r.Subject) == 1 && r.Subject[0].Digest.SHA256 == emptySHA256,
			"must be empty standard output alone where nothing ran")
	}
}

func (p *ReceiptPredicate) checkDependencies(f *fieldChecks) {
	const list = "predicate.resolvedDependencies"
	deps := p.ResolvedDependencies
	f.between(list, int64(len(deps)), 2, 2+maxTaskInputs)
	taken := map[string]bool{}
	for i, d := range deps {
		at := fmt.Sprintf("%s[%d]", list, i)
		f.hash(at+".digest.sha256", d.Digest.SHA256)
		f.that(at+".name", isDependencyName(i, d.Name) && !taken[d.Name],
			"wants manifest, then module, then inputs/ and a plain name, used once")
		taken[d.Name] = true
		if i == 0 {
			f.that(at+".uri", d.URI == "", "must be absent")
			f.that(at+".digest.sha256", d.Digest.SHA256 == p.Task, "is not the task id")
			continue
		}
		cid, ok := strings.CutPrefix(d.URI, "ipfs://")
		f.that(at+".uri", ok && canon.CheckCID(cid) == nil && !contradicts(cid, d.Digest),
			"wants ipfs:// and a CID that agrees with the digest")
	}
}

func isDependencyName(i int, name string) bool {
	switch i {
	case 0:
		return name == DependencyManifest
	case 1:
		return name == DependencyModule
	}
	plain, ok := strings.CutPrefix(name, DependencyInputPrefix)
	return ok && isPlainName(plain)
}

// checkRun checks engine, exit code, reason and times against the outcome.
func (p *ReceiptPredicate) checkRun(f *fieldChecks) {
	const at = "predicate."
	checkVersionText(f, at+"engine.name", p.Engine.Name)
	checkVersionText(f, at+"engine.version", p.Engine.Version)
	checkVersionText(f, at+"engine.pass", p.Engine.Pass)
	switch p.Outcome {
	case OutcomeOK:
		f.that(at+"exitCode", p.ExitCode != nil && *p.ExitCode == 0, "must be 0 for the outcome ok")
		f.that(at+"reason", p.Reason == "", "must be absent for the outcome ok")
	case OutcomeExit:
		f.that(at+"exitCode", p.ExitCode != nil && *p.ExitCode >= 1 && *p.ExitCode < 1<<32,
			"wants 1 to 2^32-1 for the outcome exit")
	default:
		f.that(at+"exitCode", p.ExitCode == nil, "must be absent for this outcome")
	}
	f.that(at+"reason", len(p.Reason) <= maxReasonBytes, "has more than 256 bytes")
	f.time(at+"startedAt", p.StartedAt)
	f.time(at+"finishedAt", p.FinishedAt)
	f.that(at+"finishedAt", !p.FinishedAt.Before(p.StartedAt), "is before startedAt")
}

// checkCharge holds the charge to the function of price, metering and lock.
func (p *ReceiptPredicate) checkCharge() error {
	if err := p.Metering.Check(p.Outcome); err != nil {
		return fmt.Errorf("receipt: predicate.metering: %w", err)
	}
	want, err := Charge(p.Price, p.Metering, p.MaxMicros)
	if err != nil {
		return fmt.Errorf("receipt: predicate: %w", err)
	}
	if p.ChargeMicros != want {
		return fmt.Errorf("receipt: %w", FieldError{
			Path:    "predicate.chargeMicros",
			Problem: fmt.Sprintf("is %d, the metering comes to %d", p.ChargeMicros, want),
		})
	}
	return nil
}

// CheckTask says whether the receipt is one of this task: its id, its price, its
// module and inputs, and no output that the task does not declare. ErrInvalid,
// naming each field that differs.
func (r *Receipt) CheckTask(task *Resolved) error {
	id, err := task.TaskID()
	if err != nil {
		return fmt.Errorf("receipt: task: %w", err)
	}
	var f fieldChecks
	p := &r.Predicate
	f.that("predicate.task", p.Task == id, "is another task")
	f.that("predicate.price", p.Price == task.Spec.Settlement, "is not the price of the task")
	f.that("predicate.resolvedDependencies", slices.Equal(p.ResolvedDependencies, dependenciesOf(id, task)),
		"are not those of the task")
	for i, s := range r.Subject[min(1, len(r.Subject)):] {
		declared := slices.ContainsFunc(task.Spec.Outputs, func(o TaskOutput) bool { return o.Name == s.Name })
		f.that(fmt.Sprintf("subject[%d].name", i+1), declared, "is not an output of the task")
	}
	if err := f.err(); err != nil {
		return fmt.Errorf("receipt: %w", err)
	}
	return nil
}

// CheckTerms says whether the receipt keeps what the Offer fixed. ErrInvalid,
// naming each field that differs.
func (r *Receipt) CheckTerms(want ReceiptTerms) error {
	var f fieldChecks
	got := r.Predicate.ReceiptTerms
	for _, c := range []struct {
		path string
		same bool
	}{
		{"network", got.Network == want.Network},
		{"requesterNode", got.RequesterNode == want.RequesterNode},
		{"workerNode", got.WorkerNode == want.WorkerNode},
		{"agent", got.Agent == want.Agent},
		{"cardCid", got.CardCID == want.CardCID},
		{"requester", got.Requester == want.Requester},
		{"task", got.Task == want.Task},
		{"attempt", got.Attempt == want.Attempt},
		{"guild", got.Guild == want.Guild},
		{"price", got.Price == want.Price},
		{"maxMicros", got.MaxMicros == want.MaxMicros},
		{"channel", got.Channel == want.Channel},
		{"lock", got.Lock == want.Lock},
	} {
		f.that("predicate."+c.path, c.same, "is not what was agreed")
	}
	if err := f.err(); err != nil {
		return fmt.Errorf("receipt: %w", err)
	}
	return nil
}

// CheckOutputs says whether what came back is exactly what the receipt names:
// the same names, in the same order, with the same digests. ErrInvalid, naming
// each that differs.
func (r *Receipt) CheckOutputs(got []RunOutputDigest) error {
	var f fieldChecks
	f.that("subject", len(got) == len(r.Subject), fmt.Sprintf("has %d entries, %d outputs came back", len(r.Subject), len(got)))
	for i := range min(len(got), len(r.Subject)) {
		s := r.Subject[i]
		f.that(fmt.Sprintf("subject[%d].name", i), s.Name == got[i].Name, fmt.Sprintf("is %q, %.70q came back", s.Name, got[i].Name))
		f.that(fmt.Sprintf("subject[%d].digest.sha256", i), s.Digest.SHA256 == got[i].SHA256, "is not the digest of what came back")
	}
	if err := f.err(); err != nil {
		return fmt.Errorf("receipt: %w", err)
	}
	return nil
}
