package core

import (
	"context"
	"iter"
)

// Reputation keeps a log of signed events that can not be rewritten unseen,
// and scores agents from it. All methods are safe for concurrent use.
type Reputation interface {
	// Append adds a signed event and returns its place in the log, synced. The
	// same event (by its digest) gets the same index. One that does not verify
	// is ErrDenied, one that breaks a field rule ErrInvalid.
	Append(ctx context.Context, event []byte) (AppendResult, error)
	// Score answers the subjects in order. An agent without events has its
	// prior.
	Score(ctx context.Context, req ScoreRequest) ([]Score, error)
	// History yields the events about an agent in the order of the log; an
	// empty did yields all of them.
	History(ctx context.Context, agent DID) iter.Seq2[HistoryEntry, error]
	// Checkpoint signs the head of the log in two calls: without Signed it
	// answers the unsigned checkpoint (the same key, the same bytes; another
	// key while one is pending is ErrConflict with a *PendingError), with it
	// the checkpoint is stored and synced.
	Checkpoint(ctx context.Context, req CheckpointRequest) (PendingDocument, error)
	// Prove answers that the event at Index is in the log of Size entries.
	// An index or size beyond the log is ErrNotFound, index >= size ErrInvalid.
	Prove(ctx context.Context, req ProveRequest) (InclusionProof, error)
}

// AppendResult is the answer of Append.
type AppendResult struct {
	Index     int64 // place in the log, from 0
	Duplicate bool  // it was there before
}

// Subject is whom a score is about.
type Subject struct {
	Agent DID
	Node  DID // the agent's node, for the prior of a new agent; may be empty
}

// RaterWeight says how far to believe one rater.
type RaterWeight struct {
	Rater      DID
	PaidMicros int64 // what one has paid this peer: its weight, before the cap
	Self       bool  // oneself: not capped
}

// ScoreRequest asks for the scores of subjects in the eyes of raters.
type ScoreRequest struct {
	Subjects []Subject
	// Raters is whom to believe. Each counts with at most 10% of the total,
	// but oneself is not capped. Events of others do not count.
	Raters []RaterWeight
}

// Score is what is known of one agent.
type Score struct {
	Agent       DID
	Value       float64  // 0 (bad) .. 1 (good)
	Events      int      // how many counted
	Explanation []string // for people, one line each
	Prior       float64  // what Value would be without its own events
}

// HistoryEntry is one event of the log.
type HistoryEntry struct {
	Index int64
	Event []byte // canonical bytes, with signatures
}

// CheckpointRequest asks for a checkpoint, or commits a signed one.
type CheckpointRequest struct {
	Key    string // idempotency key, not empty
	Node   DID    // who will sign it
	Time   Time
	Signed []byte // the signed checkpoint; empty in the first call
}

// ProveRequest asks for an inclusion proof.
type ProveRequest struct {
	Index int64 // of the event, from 0
	Size  int64 // of the tree, e.g. that of a checkpoint; 0 is the whole log
}

// InclusionProof shows that a leaf is in a tree. Source: RFC 6962, section
// 2.1.1. Hashes are 64 lower-case hex digits.
type InclusionProof struct {
	Index    int64
	Size     int64
	LeafHash string
	Root     string
	Path     []string // sibling hashes from the leaf upward
}
