package sdktest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/zerostate/zerostate/core"
)

// Reputation returns the suite of plugins of kind reputation.
func Reputation() Suite[core.Reputation] {
	return Suite[core.Reputation]{
		{Name: "append", Run: repAppend},
		{Name: "refuses", Run: repRefuses},
		{Name: "score", Run: repScore},
		{Name: "history", Run: repHistory},
		{Name: "checkpoint", Run: repCheckpoint},
		{Name: "prove", Run: repProve},
		{Name: "concurrent", Run: repConcurrent},
		{Name: "ended-context", Run: repEnded},
		{Name: "durable", Durable: true, Run: repDurable},
	}
}

// eventTime is when the suite's events happened.
var eventTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// testEvent is an event signed by both: the test's rater rates agent for a task.
func testEvent(t T, agent, task string, outcome core.Outcome) []byte {
	t.Helper()
	const rater = "rater"
	summary := &core.WorkSummary{
		Agent: Signer(agent).DID(), Attempt: 1, Network: Network, Node: Signer(agent + "-node").DID(), Outcome: outcome,
		Requester: Signer(rater).DID(), RequesterNode: Signer(rater).DID(), Task: sha([]byte(task)),
	}
	must(t, "sign summary", core.Sign(summary, Signer(agent)))
	event := &core.Event{
		Agent: summary.Agent, Attempt: 1, Network: Network, Node: summary.Node, Outcome: outcome,
		Rater: Signer(rater).DID(), Receipt: sha([]byte("receipt of " + task)), Summary: summary, Task: summary.Task,
		Time: core.TimeOf(eventTime),
	}
	must(t, "sign event", core.Sign(event, Signer(rater)))
	data, err := core.Encode(event)
	must(t, "encode event", err)
	return data
}

func appendEvents(t T, r core.Reputation, events ...[]byte) {
	t.Helper()
	for i, e := range events {
		got, err := r.Append(t.Context(), e)
		must(t, "append", err)
		if got.Index != int64(i) || got.Duplicate {
			t.Fatalf("append: got %+v, want index %d", got, i)
		}
	}
}

func repAppend(t T, s Subject[core.Reputation]) {
	r := open(t, s)
	first, second := testEvent(t, "agent", "one", core.OutcomeOK), testEvent(t, "agent", "two", core.OutcomeTrap)
	appendEvents(t, r, first, second)
	got, err := r.Append(t.Context(), first)
	if err != nil || got.Index != 0 || !got.Duplicate {
		t.Errorf("append again: got %+v, %v, want index 0, a duplicate", got, err)
	}
}

func repRefuses(t T, s Subject[core.Reputation]) {
	r := open(t, s)
	good := testEvent(t, "agent", "one", core.OutcomeOK)
	_, err := r.Append(t.Context(), []byte("{}"))
	wantIs(t, "not an event", err, core.ErrInvalid)
	_, err = r.Append(t.Context(), append(bytes.Clone(good), '\n'))
	wantIs(t, "another spelling", err, core.ErrInvalid)
	other := sha([]byte("receipt of another"))
	forged := bytes.Replace(good, []byte(sha([]byte("receipt of one"))), []byte(other), 1)
	_, err = r.Append(t.Context(), forged)
	wantIs(t, "changed after it was signed", err, core.ErrDenied)
	_, err = r.Checkpoint(t.Context(), core.CheckpointRequest{Node: Signer("node").DID(), Time: core.TimeOf(eventTime)})
	wantIs(t, "checkpoint without a key", err, core.ErrInvalid)
	_, err = r.Prove(t.Context(), core.ProveRequest{Index: 5})
	wantIs(t, "proof of an event that is not there", err, core.ErrNotFound)
}

func scoreOf(t T, r core.Reputation, agent, node core.DID, raters ...core.RaterWeight) core.Score {
	t.Helper()
	scores, err := r.Score(t.Context(), core.ScoreRequest{Subjects: []core.Subject{{Agent: agent, Node: node}}, Raters: raters})
	must(t, "score", err)
	if len(scores) != 1 || scores[0].Agent != agent || scores[0].Value < 0 || scores[0].Value > 1 {
		t.Fatalf("score: got %+v, want one of %s from 0 to 1", scores, agent.Short())
	}
	return scores[0]
}

func repScore(t T, s Subject[core.Reputation]) {
	r := open(t, s)
	var events [][]byte
	for i := range 6 {
		events = append(events,
			testEvent(t, "good", numbered("good", i), core.OutcomeOK),
			testEvent(t, "bad", numbered("bad", i), core.OutcomeTrap))
	}
	appendEvents(t, r, events...)
	self := core.RaterWeight{Rater: Signer("rater").DID(), Self: true}
	good := scoreOf(t, r, Signer("good").DID(), "", self)
	bad := scoreOf(t, r, Signer("bad").DID(), "", self)
	unknown := scoreOf(t, r, Signer("unknown").DID(), "", self)
	if good.Value <= unknown.Value || bad.Value >= unknown.Value {
		t.Errorf("scores: got good %v, unknown %v, bad %v, want them in this order", good.Value, unknown.Value, bad.Value)
	}
	if good.Events != 6 || unknown.Events != 0 || len(good.Explanation) == 0 {
		t.Errorf("scores: got %+v and %+v, want 6 and 0 events, explained", good, unknown)
	}
	stranger := core.RaterWeight{Rater: Signer("stranger").DID(), Self: true}
	if got := scoreOf(t, r, Signer("bad").DID(), "", stranger); got.Events != 0 || got.Value != got.Prior {
		t.Errorf("score in the eyes of others: got %+v, want no events and the prior", got)
	}
	sibling := scoreOf(t, r, Signer("sibling").DID(), Signer("good-node").DID(), self)
	if sibling.Value <= unknown.Value || sibling.Prior != sibling.Value {
		t.Errorf("new agent of a good node: got %+v, want more than %v", sibling, unknown.Value)
	}
	scores, err := r.Score(t.Context(), core.ScoreRequest{
		Subjects: []core.Subject{{Agent: Signer("bad").DID()}, {Agent: Signer("good").DID()}}, Raters: []core.RaterWeight{self},
	})
	must(t, "score", err)
	if len(scores) != 2 || scores[0].Agent != Signer("bad").DID() || scores[1].Agent != Signer("good").DID() {
		t.Errorf("scores: got %+v, want bad, then good", scores)
	}
}

func repHistory(t T, s Subject[core.Reputation]) {
	r := open(t, s)
	events := [][]byte{
		testEvent(t, "a", "one", core.OutcomeOK), testEvent(t, "b", "two", core.OutcomeOK),
		testEvent(t, "a", "three", core.OutcomeExit),
	}
	appendEvents(t, r, events...)
	wantHistory(t, r, "", events, 0, 1, 2)
	wantHistory(t, r, Signer("a").DID(), events, 0, 2)
	wantHistory(t, r, Signer("nobody").DID(), events)
	for entry, err := range r.History(t.Context(), "") { // a reader that stops early
		if err != nil || entry.Index != 0 {
			t.Errorf("first entry: got %d, %v", entry.Index, err)
		}
		break
	}
}

func wantHistory(t T, r core.Reputation, agent core.DID, events [][]byte, want ...int64) {
	t.Helper()
	var got []int64
	for entry, err := range r.History(t.Context(), agent) {
		must(t, "history", err)
		got = append(got, entry.Index)
		if !bytes.Equal(entry.Event, events[entry.Index]) {
			t.Errorf("history: entry %d is not the event that was appended", entry.Index)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("history of %q: got %v, want %v", agent.Short(), got, want)
	}
}

func repCheckpoint(t T, s Subject[core.Reputation]) {
	r := open(t, s)
	appendEvents(t, r, testEvent(t, "a", "one", core.OutcomeOK), testEvent(t, "a", "two", core.OutcomeOK))
	req := core.CheckpointRequest{Key: "first", Node: Signer("node").DID(), Time: core.TimeOf(eventTime)}
	unsigned, err := r.Checkpoint(t.Context(), req)
	must(t, "checkpoint", err)
	checkpoint, err := core.Parse[core.Checkpoint](unsigned.Document)
	must(t, "parse checkpoint", err)
	if unsigned.Committed || checkpoint.Size != 2 || checkpoint.Log != core.LogReputation || checkpoint.Network != Network || checkpoint.Time != req.Time {
		t.Errorf("checkpoint: got %+v, want the head of 2 entries, not committed", checkpoint)
	}
	again, err := r.Checkpoint(t.Context(), req)
	if err != nil || !bytes.Equal(again.Document, unsigned.Document) {
		t.Errorf("same key: got other bytes, or %v", err)
	}
	other := req
	other.Key = "second"
	_, err = r.Checkpoint(t.Context(), other)
	wantPending(t, err, "first", unsigned.Document)
	must(t, "sign", core.Sign(checkpoint, Signer("node")))
	req.Signed, err = core.Encode(checkpoint)
	must(t, "encode", err)
	done, err := r.Checkpoint(t.Context(), req)
	if err != nil || !done.Committed {
		t.Errorf("signed checkpoint: got %+v, %v, want committed", done, err)
	}
	_, err = r.Checkpoint(t.Context(), other)
	must(t, "next checkpoint", err)
}

// wantPending checks the error of a change that waits for another.
func wantPending(t T, err error, key string, document []byte) {
	t.Helper()
	wantIs(t, "another key while one is pending", err, core.ErrConflict)
	var pending *core.PendingError
	if !errors.As(err, &pending) || pending.Key != key || !bytes.Equal(pending.Document, document) {
		t.Errorf("another key while one is pending: got %v, want a PendingError of %s with its document", err, key)
	}
}

func repProve(t T, s Subject[core.Reputation]) {
	r := open(t, s)
	var events [][]byte
	for i := range 7 {
		events = append(events, testEvent(t, "a", numbered("task", i), core.OutcomeOK))
	}
	appendEvents(t, r, events...)
	for size := int64(1); size <= 7; size++ {
		for index := range size {
			proof, err := r.Prove(t.Context(), core.ProveRequest{Index: index, Size: size})
			must(t, "prove", err)
			if root := rootOf(proof); proof.Index != index || proof.Size != size || root != proof.Root {
				t.Errorf("proof of %d in %d: its path leads to %s, not to its root %s", index, size, root, proof.Root)
			}
		}
	}
	whole, err := r.Prove(t.Context(), core.ProveRequest{Index: 3})
	if err != nil || whole.Size != 7 {
		t.Errorf("proof in the whole log: got size %d, %v, want 7", whole.Size, err)
	}
	_, err = r.Prove(t.Context(), core.ProveRequest{Index: 3, Size: 8})
	wantIs(t, "proof in a tree beyond the log", err, core.ErrNotFound)
	_, err = r.Prove(t.Context(), core.ProveRequest{Index: 3, Size: 3})
	wantIs(t, "proof of an event beyond the tree", err, core.ErrInvalid)
}

// rootOf follows an inclusion proof to the root.
// Source: RFC 9162, section 2.1.3.2.
func rootOf(p core.InclusionProof) string {
	node, err := hex.DecodeString(p.LeafHash)
	if err != nil {
		return err.Error()
	}
	index, last := p.Index, p.Size-1
	for _, h := range p.Path {
		sibling, err := hex.DecodeString(h)
		if err != nil {
			return err.Error()
		}
		left, right := node, sibling
		if index%2 == 1 || index == last {
			left, right = sibling, node
			for index%2 == 0 && index != 0 {
				index, last = index/2, last/2
			}
		}
		sum := sha256.Sum256(bytes.Join([][]byte{{1}, left, right}, nil))
		node, index, last = sum[:], index/2, last/2
	}
	return hex.EncodeToString(node)
}

func repConcurrent(t T, s Subject[core.Reputation]) {
	r := open(t, s)
	events := make([][]byte, 12)
	for i := range events {
		events[i] = testEvent(t, "a", numbered("task", i/2), core.OutcomeOK) // each twice
	}
	together(t, len(events), func(i int) error {
		_, err := r.Append(t.Context(), events[i])
		return err
	})
	n := 0
	for _, err := range r.History(t.Context(), "") {
		must(t, "history", err)
		n++
	}
	if n != len(events)/2 {
		t.Errorf("history: got %d events, want %d", n, len(events)/2)
	}
}

func repEnded(t T, s Subject[core.Reputation]) {
	r := open(t, s)
	event := testEvent(t, "a", "one", core.OutcomeOK)
	ended(t, func(ctx context.Context) error {
		_, err := r.Append(ctx, event)
		return err
	})
	appendEvents(t, r, event)
	ended(t, func(ctx context.Context) error {
		for _, err := range r.History(ctx, "") {
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func repDurable(t T, s Subject[core.Reputation]) {
	at := place(t, "node")
	r, closing := openUntil(t, s, at)
	events := [][]byte{testEvent(t, "a", "one", core.OutcomeOK), testEvent(t, "b", "two", core.OutcomeOK)}
	appendEvents(t, r, events...)
	req := core.CheckpointRequest{Key: "key", Node: at.Node, Time: core.TimeOf(eventTime)}
	pending, err := r.Checkpoint(t.Context(), req)
	must(t, "checkpoint", err)
	closing()
	r = openAt(t, s, at)
	wantHistory(t, r, "", events, 0, 1)
	got, err := r.Append(t.Context(), events[1])
	if err != nil || got.Index != 1 || !got.Duplicate {
		t.Errorf("append after reopen: got %+v, %v, want index 1, a duplicate", got, err)
	}
	again, err := r.Checkpoint(t.Context(), req)
	if err != nil || !bytes.Equal(again.Document, pending.Document) {
		t.Errorf("pending checkpoint after reopen: got other bytes, or %v", err)
	}
}
