package fake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/zerostate/zerostate/core"
)

// neutral is the score of an agent of which nothing is known.
const neutral = 0.5

// Reputation is a log in memory. Its score is the weighted share of events
// with the outcome ok among those of the raters, with one neutral event added.
type Reputation struct {
	network string
	now     func() time.Time

	mu         sync.Mutex
	events     []logged
	byDigest   map[string]int64
	pending    *checkpointCall
	checkpoint []byte // the last one that was signed
	committed  string // its key
}

type logged struct {
	bytes []byte
	event *core.Event
	leaf  [32]byte
}

type checkpointCall struct {
	key      string
	document []byte
}

// NewReputation returns an empty log of a network; now may be nil.
func NewReputation(network string, now func() time.Time) *Reputation {
	if now == nil {
		now = time.Now
	}
	return &Reputation{network: network, now: now, byDigest: map[string]int64{}}
}

// Append adds an event.
func (r *Reputation) Append(ctx context.Context, data []byte) (core.AppendResult, error) {
	if err := ctx.Err(); err != nil {
		return core.AppendResult{}, err
	}
	event, err := core.Parse[core.Event](data)
	if err != nil {
		return core.AppendResult{}, err
	}
	if err := core.CheckEvent(event, r.network, r.now()); err != nil {
		return core.AppendResult{}, err
	}
	digest, err := core.Digest(event)
	if err != nil {
		return core.AppendResult{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if at, ok := r.byDigest[digest]; ok {
		return core.AppendResult{Index: at, Duplicate: true}, nil
	}
	at := int64(len(r.events))
	r.events = append(r.events, logged{bytes: slices.Clone(data), event: event, leaf: leafHash(data)})
	r.byDigest[digest] = at
	return core.AppendResult{Index: at}, nil
}

// Score answers the subjects in order.
func (r *Reputation) Score(ctx context.Context, req core.ScoreRequest) ([]core.Score, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	weights := raterWeights(req.Raters)
	r.mu.Lock()
	defer r.mu.Unlock()
	scores := make([]core.Score, len(req.Subjects))
	for i, s := range req.Subjects {
		prior := neutral
		if s.Node != "" {
			prior, _ = r.share(weights, neutral, func(e *core.Event) bool { return e.Node == s.Node && e.Agent != s.Agent })
		}
		value, n := r.share(weights, prior, func(e *core.Event) bool { return e.Agent == s.Agent })
		scores[i] = core.Score{
			Agent: s.Agent, Value: value, Events: n, Prior: prior,
			Explanation: []string{fmt.Sprintf("%d events of %d raters count", n, len(weights))},
		}
	}
	return scores, nil
}

// raterWeights caps each rater at 10% of the total that all were paid; oneself
// is not capped, and weighs as much as the rest together.
func raterWeights(raters []core.RaterWeight) map[core.DID]float64 {
	var total int64
	for _, r := range raters {
		total += max(r.PaidMicros, 0)
	}
	weights := map[core.DID]float64{}
	for _, r := range raters {
		switch {
		case r.Self:
			weights[r.Rater] = 1
		case total > 0 && r.PaidMicros > 0:
			weights[r.Rater] = min(0.1, float64(r.PaidMicros)/float64(total))
		}
	}
	return weights
}

// share is the weighted share of ok outcomes, with one event of the prior.
func (r *Reputation) share(weights map[core.DID]float64, prior float64, counts func(*core.Event) bool) (float64, int) {
	type once struct {
		rater   core.DID
		task    string
		attempt int64
	}
	seen := map[once]bool{}
	good, all, n := prior, 1.0, 0
	for _, l := range r.events {
		key := once{l.event.Rater, l.event.Task, l.event.Attempt}
		weight := weights[l.event.Rater]
		if weight == 0 || seen[key] || !counts(l.event) {
			continue
		}
		seen[key] = true
		n++
		all += weight
		if l.event.Outcome == core.OutcomeOK {
			good += weight
		}
	}
	return good / all, n
}

// History yields the events of the log as it was at the call.
func (r *Reputation) History(ctx context.Context, agent core.DID) iter.Seq2[core.HistoryEntry, error] {
	return func(yield func(core.HistoryEntry, error) bool) {
		r.mu.Lock()
		events := slices.Clone(r.events)
		r.mu.Unlock()
		for i, l := range events {
			if err := ctx.Err(); err != nil {
				yield(core.HistoryEntry{}, err)
				return
			}
			if agent != "" && l.event.Agent != agent {
				continue
			}
			if !yield(core.HistoryEntry{Index: int64(i), Event: slices.Clone(l.bytes)}, nil) {
				return
			}
		}
	}
}

// Checkpoint answers the unsigned checkpoint, then stores the signed one.
func (r *Reputation) Checkpoint(_ context.Context, req core.CheckpointRequest) (core.PendingDocument, error) {
	if req.Key == "" {
		return core.PendingDocument{}, core.FieldError{Path: "key", Problem: "must not be empty"}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.committed == req.Key {
		return core.PendingDocument{Document: r.checkpoint, Committed: true}, nil
	}
	if r.pending != nil && r.pending.key != req.Key {
		return core.PendingDocument{}, &core.PendingError{Key: r.pending.key, Document: r.pending.document}
	}
	if len(req.Signed) > 0 {
		return r.commitCheckpoint(req)
	}
	if r.pending == nil {
		doc, err := core.Encode(&core.Checkpoint{
			Log: core.LogReputation, Network: r.network, Node: req.Node, Time: req.Time,
			Size: int64(len(r.events)), Root: hexHash(treeHash(r.leaves(len(r.events)))),
		})
		if err != nil {
			return core.PendingDocument{}, err
		}
		r.pending = &checkpointCall{key: req.Key, document: doc}
	}
	return core.PendingDocument{Document: r.pending.document}, nil
}

func (r *Reputation) commitCheckpoint(req core.CheckpointRequest) (core.PendingDocument, error) {
	if r.pending == nil {
		return core.PendingDocument{}, fmt.Errorf("checkpoint: %w: nothing is pending under this key", core.ErrNotFound)
	}
	signed, err := core.Parse[core.Checkpoint](req.Signed)
	if err != nil {
		return core.PendingDocument{}, err
	}
	if err := core.Verify(signed, r.network); err != nil {
		return core.PendingDocument{}, err
	}
	unsigned := *signed
	unsigned.Signatures = nil
	if doc, err := core.Encode(&unsigned); err != nil || string(doc) != string(r.pending.document) {
		return core.PendingDocument{}, fmt.Errorf("checkpoint: %w: not the pending one", core.ErrInvalid)
	}
	r.checkpoint, r.committed, r.pending = slices.Clone(req.Signed), req.Key, nil
	return core.PendingDocument{Document: r.checkpoint, Committed: true}, nil
}

func (r *Reputation) leaves(size int) [][32]byte {
	leaves := make([][32]byte, size)
	for i := range leaves {
		leaves[i] = r.events[i].leaf
	}
	return leaves
}

// Prove answers the RFC 6962 inclusion proof of an event.
func (r *Reputation) Prove(_ context.Context, req core.ProveRequest) (core.InclusionProof, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	size := req.Size
	if size == 0 {
		size = int64(len(r.events))
	}
	if size < 0 || req.Index < 0 || (size <= int64(len(r.events)) && req.Index >= size && req.Size != 0) {
		return core.InclusionProof{}, core.FieldError{Path: "index", Problem: "must be 0 to size - 1"}
	}
	if size > int64(len(r.events)) || req.Index >= size {
		return core.InclusionProof{}, fmt.Errorf("event %d of %d: %w", req.Index, size, core.ErrNotFound)
	}
	leaves := r.leaves(int(size))
	proof := core.InclusionProof{
		Index: req.Index, Size: size, LeafHash: hexHash(leaves[req.Index]), Root: hexHash(treeHash(leaves)),
	}
	for _, h := range auditPath(int(req.Index), leaves) {
		proof.Path = append(proof.Path, hexHash(h))
	}
	return proof, nil
}

func hexHash(h [32]byte) string { return hex.EncodeToString(h[:]) }

// leafHash and the two functions below are RFC 6962, section 2.1.
func leafHash(data []byte) [32]byte { return sha256.Sum256(append([]byte{0}, data...)) }

func nodeHash(left, right [32]byte) [32]byte {
	return sha256.Sum256(slices.Concat([]byte{1}, left[:], right[:]))
}

func treeHash(leaves [][32]byte) [32]byte {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaves[0]
	}
	k := split(len(leaves))
	return nodeHash(treeHash(leaves[:k]), treeHash(leaves[k:]))
}

func auditPath(m int, leaves [][32]byte) [][32]byte {
	if len(leaves) <= 1 {
		return nil
	}
	k := split(len(leaves))
	if m < k {
		return append(auditPath(m, leaves[:k]), treeHash(leaves[k:]))
	}
	return append(auditPath(m-k, leaves[k:]), treeHash(leaves[:k]))
}

// split is the largest power of two below n.
func split(n int) int {
	k := 1
	for k*2 < n {
		k *= 2
	}
	return k
}
