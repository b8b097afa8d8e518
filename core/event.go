package core

import (
	"fmt"
	"reflect"
	"time"
)

// WorkSummary is what a worker's agent says of its own work, signed by the
// agent. It goes to the requester with the receipt; the requester may publish it
// inside an Event, and so proves without the receipt that there was work.
type WorkSummary struct {
	Agent         DID         `json:"agent"`
	Attempt       int64       `json:"attempt"`
	ChargeMicros  int64       `json:"chargeMicros"`
	Network       string      `json:"network"`
	Node          DID         `json:"node"` // node did of the worker
	Outcome       Outcome     `json:"outcome"`
	Requester     DID         `json:"requester"`     // who countersigns and may rate: the requester's node, or an agent of it
	RequesterNode DID         `json:"requesterNode"` // node did of the requester
	Signatures    []Signature `json:"signatures,omitempty"`
	Task          string      `json:"task"`
}

// Type returns TypeSummary.
func (w *WorkSummary) Type() DocType { return TypeSummary }

// NetworkID returns the network that the work was done on.
func (w *WorkSummary) NetworkID() string { return w.Network }

// Signers returns the agent.
func (w *WorkSummary) Signers() ([]DID, error) { return []DID{w.Agent}, nil }

func (w *WorkSummary) sigs() *[]Signature { return &w.Signatures }

func (w *WorkSummary) check() error {
	var f fieldChecks
	w.checkFields(&f, "")
	return f.err()
}

func (w *WorkSummary) checkFields(f *fieldChecks, at string) {
	f.did(at+"agent", w.Agent)
	f.between(at+"attempt", w.Attempt, 1, maxSafeInteger)
	f.between(at+"chargeMicros", w.ChargeMicros, 0, maxSafeInteger)
	f.that(at+"chargeMicros", w.Outcome.Ran() || w.ChargeMicros == 0, "must be 0 for this outcome")
	f.label(at+"network", w.Network)
	f.did(at+"node", w.Node)
	f.that(at+"outcome", w.Outcome.Known(), "is not an outcome")
	f.did(at+"requester", w.Requester)
	f.that(at+"requester", w.Requester != w.Agent, "is the agent: no one rates its own work")
	f.did(at+"requesterNode", w.RequesterNode)
	f.hash(at+"task", w.Task)
}

// Event says how a task ended, signed by the rater: what reputation is made of.
// It holds the rated agent's own summary of the same work.
type Event struct {
	Agent      DID          `json:"agent"` // rated
	Attempt    int64        `json:"attempt"`
	Network    string       `json:"network"`
	Node       DID          `json:"node"` // node did of the rated agent
	Outcome    Outcome      `json:"outcome"`
	Rater      DID          `json:"rater"`   // the signer
	Receipt    string       `json:"receipt"` // sha256 of the receipt, hex
	Signatures []Signature  `json:"signatures,omitempty"`
	Summary    *WorkSummary `json:"summary"` // signed
	Task       string       `json:"task"`
	Time       Time         `json:"time"`
}

// Type returns TypeEvent.
func (e *Event) Type() DocType { return TypeEvent }

// NetworkID returns the network that the event was made on.
func (e *Event) NetworkID() string { return e.Network }

// Signers returns the rater.
func (e *Event) Signers() ([]DID, error) { return []DID{e.Rater}, nil }

func (e *Event) sigs() *[]Signature { return &e.Signatures }

func (e *Event) check() error {
	var f fieldChecks
	f.did("agent", e.Agent)
	f.between("attempt", e.Attempt, 1, maxSafeInteger)
	f.label("network", e.Network)
	f.did("node", e.Node)
	f.that("outcome", e.Outcome.Known(), "is not an outcome")
	f.did("rater", e.Rater)
	f.hash("receipt", e.Receipt)
	f.hash("task", e.Task)
	f.time("time", e.Time)
	if e.Summary == nil {
		f.that("summary", false, "must be present")
		return f.err()
	}
	e.Summary.checkFields(&f, "summary.")
	f.that("summary.signatures", len(e.Summary.Signatures) == 1, "wants the agent's signature")
	e.checkAgrees(&f)
	return f.err()
}

// checkAgrees compares what rater and rated say.
func (e *Event) checkAgrees(f *fieldChecks) {
	s := e.Summary
	f.that("agent", e.Agent == s.Agent, "is not the summary's")
	f.that("attempt", e.Attempt == s.Attempt, "is not the summary's")
	f.that("network", e.Network == s.Network, "is not the summary's")
	f.that("node", e.Node == s.Node, "is not the summary's")
	f.that("outcome", e.Outcome == s.Outcome, "is not the summary's")
	f.that("rater", e.Rater == s.Requester, "is not the summary's requester")
	f.that("task", e.Task == s.Task, "is not the summary's")
}

// CheckEvent verifies an event of the network: the rater's signature, the rated
// agent's on the summary, that the two agree, and that its time is at most 2
// minutes ahead of now. ErrDenied for a signature or the time, else ErrInvalid.
func CheckEvent(e *Event, network string, now time.Time) error {
	if err := e.check(); err != nil {
		return err
	}
	if err := Verify(e, network); err != nil {
		return err
	}
	if err := Verify(e.Summary, network); err != nil {
		return fmt.Errorf("event: %w", err)
	}
	if err := notAhead("time", e.Time.Time(), now); err != nil {
		return fmt.Errorf("event: %w", err)
	}
	return nil
}

// SummaryOf is the unsigned work summary of a receipt: what its agent signs
// beside it.
func SummaryOf(r *Receipt) *WorkSummary {
	t := r.Predicate.ReceiptTerms
	return &WorkSummary{
		Agent: t.Agent, Attempt: t.Attempt, ChargeMicros: r.Predicate.ChargeMicros, Network: t.Network,
		Node: t.WorkerNode, Outcome: r.Predicate.Outcome, Requester: t.Requester, RequesterNode: t.RequesterNode,
		Task: t.Task,
	}
}

// CheckSummary verifies that a work summary says what the receipt says and bears
// the agent's signature: what a requester does before it countersigns.
// ErrInvalid where they differ, ErrDenied for the signature.
func CheckSummary(w *WorkSummary, r *Receipt) error {
	bare := *w
	bare.Signatures = nil
	if want := SummaryOf(r); !reflect.DeepEqual(&bare, want) {
		return fmt.Errorf("work summary: is not of the receipt: %w", ErrInvalid)
	}
	return Verify(w, r.Predicate.Network)
}

// EventOf is the unsigned event of a receipt that arrived with its work summary;
// the receipt's requester signs it as the rater. ErrInvalid or ErrDenied as
// CheckSummary.
func EventOf(s *SignedReceipt, w *WorkSummary, now time.Time) (*Event, error) {
	if err := CheckSummary(w, s.Receipt); err != nil {
		return nil, err
	}
	e := &Event{
		Agent: w.Agent, Attempt: w.Attempt, Network: w.Network, Node: w.Node, Outcome: w.Outcome,
		Rater: w.Requester, Receipt: s.Digest(), Summary: w, Task: w.Task, Time: TimeOf(now),
	}
	return e, e.check()
}
