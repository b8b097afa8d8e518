// Package replog is the reputation log: signed events in one append-only file,
// a Merkle tree over them (RFC 6962) for checkpoints and inclusion proofs, and
// scores computed from the events of chosen raters.
//
// Start at Log; file.go is the format on disk, tree.go the tree, score.go how
// events become a score, checkpoint.go the two calls of a checkpoint.
package replog

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"sync"
	"time"

	"github.com/zerostate/zerostate/core"
)

// Config is what a Log is made from.
type Config struct {
	Dir     string // made where it is missing
	Network string
	Now     func() time.Time
	Scoring Scoring
}

// Log implements core.Reputation.
type Log struct {
	cfg Config

	mu       sync.RWMutex
	file     *file
	tree     tree
	entries  []entry
	byDigest map[string]int64
	byAgent  map[core.DID][]int64
	byNode   map[core.DID][]int64
	counted  map[once]bool
	marks    marks
	closed   bool
}

var _ core.Reputation = (*Log)(nil)

// once is what a rater may say one thing about.
type once struct {
	rater   core.DID
	task    string
	attempt int64
}

// entry is what is kept in memory of one event.
type entry struct {
	at      span
	rater   core.DID
	agent   core.DID
	node    core.DID
	outcome core.Outcome
	counts  bool // the first of its rater, task and attempt
}

// Open reads the log in cfg.Dir and checks it: every record by its checksum and
// the chain, and the whole by the last signed checkpoint. A last record that was
// not written to its end, so never acknowledged, is cut off; anything else that
// does not fit is an error that says where.
func Open(cfg Config) (*Log, error) {
	if err := cfg.Scoring.check(); err != nil {
		return nil, err
	}
	f, err := openFile(cfg.Dir, "events.log")
	if err != nil {
		return nil, fmt.Errorf("open reputation log: %w", err)
	}
	l := &Log{
		cfg: cfg, file: f, byDigest: make(map[string]int64), byAgent: make(map[core.DID][]int64),
		byNode: make(map[core.DID][]int64), counted: make(map[once]bool),
	}
	if err := l.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("read reputation log %s: %w", filepath.Join(cfg.Dir, "events.log"), err), f.close())
	}
	return l, nil
}

func (l *Log) load() error {
	err := l.file.scan(func(data []byte, at span) error {
		e, err := core.Parse[core.Event](data)
		if err != nil {
			return err
		}
		return l.remember(e, data, at)
	})
	if err != nil {
		return err
	}
	if l.marks, err = readMarks(l.cfg.Dir); err != nil {
		return err
	}
	return l.checkMarks()
}

// remember adds a record that is on disk to what is in memory.
func (l *Log) remember(e *core.Event, data []byte, at span) error {
	digest, err := core.Digest(e)
	if err != nil {
		return err
	}
	index := int64(len(l.entries))
	key := once{e.Rater, e.Task, e.Attempt}
	l.entries = append(l.entries, entry{
		at: at, rater: e.Rater, agent: e.Agent, node: e.Node, outcome: e.Outcome, counts: !l.counted[key],
	})
	l.counted[key] = true
	l.byDigest[digest] = index
	l.byAgent[e.Agent] = append(l.byAgent[e.Agent], index)
	l.byNode[e.Node] = append(l.byNode[e.Node], index)
	l.tree.add(data)
	return nil
}

// Close closes the file; what was answered is synced already.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	return l.file.close()
}

var errClosed = fmt.Errorf("reputation log is closed: %w", core.ErrUnavailable)

// Append implements core.Reputation.
func (l *Log) Append(_ context.Context, data []byte) (core.AppendResult, error) {
	e, err := core.Parse[core.Event](data)
	if err != nil {
		return core.AppendResult{}, err
	}
	if err := core.CheckEvent(e, l.cfg.Network, l.cfg.Now()); err != nil {
		return core.AppendResult{}, err
	}
	digest, err := core.Digest(e)
	if err != nil {
		return core.AppendResult{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return core.AppendResult{}, errClosed
	}
	if index, known := l.byDigest[digest]; known {
		return core.AppendResult{Index: index, Duplicate: true}, nil
	}
	at, err := l.file.append(data)
	if err != nil {
		return core.AppendResult{}, fmt.Errorf("append event: %w", err)
	}
	if err := l.remember(e, data, at); err != nil {
		return core.AppendResult{}, err
	}
	return core.AppendResult{Index: int64(len(l.entries)) - 1}, nil
}

// History implements core.Reputation. What is appended while it runs may be
// missing.
func (l *Log) History(ctx context.Context, agent core.DID) iter.Seq2[core.HistoryEntry, error] {
	return func(yield func(core.HistoryEntry, error) bool) {
		for _, index := range l.indices(agent) {
			entry, err := l.read(ctx, index)
			if !yield(entry, err) || err != nil {
				return
			}
		}
	}
}

// indices are the places of an agent's events, of all where it is empty.
func (l *Log) indices(agent core.DID) []int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if agent != "" {
		return append([]int64(nil), l.byAgent[agent]...)
	}
	all := make([]int64, len(l.entries))
	for i := range all {
		all[i] = int64(i)
	}
	return all
}

func (l *Log) read(ctx context.Context, index int64) (core.HistoryEntry, error) {
	if err := ctx.Err(); err != nil {
		return core.HistoryEntry{}, err
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return core.HistoryEntry{}, errClosed
	}
	data, err := l.file.read(l.entries[index].at)
	if err != nil {
		return core.HistoryEntry{}, fmt.Errorf("read event %d: %w", index, err)
	}
	return core.HistoryEntry{Index: index, Event: data}, nil
}

// Prove implements core.Reputation.
func (l *Log) Prove(_ context.Context, req core.ProveRequest) (core.InclusionProof, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	size, have := req.Size, int64(len(l.entries))
	if size == 0 {
		size = have
	}
	switch {
	case req.Index < 0 || size < 0:
		return core.InclusionProof{}, fmt.Errorf("prove event %d of %d: %w", req.Index, size, core.ErrInvalid)
	case size > have || req.Index >= have:
		return core.InclusionProof{}, fmt.Errorf("prove event %d of %d, the log has %d: %w", req.Index, size, have, core.ErrNotFound)
	case req.Index >= size:
		return core.InclusionProof{}, fmt.Errorf("prove event %d of %d: %w", req.Index, size, core.ErrInvalid)
	}
	path, err := l.tree.inclusion(req.Index, size)
	if err != nil {
		return core.InclusionProof{}, err
	}
	return core.InclusionProof{
		Index: req.Index, Size: size, Path: path,
		LeafHash: hex.EncodeToString(l.tree.leaf(req.Index)), Root: hex.EncodeToString(l.tree.root(size)),
	}, nil
}
