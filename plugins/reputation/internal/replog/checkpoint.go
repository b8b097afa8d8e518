package replog

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/zerostate/zerostate/core"
)

// marks is the checkpoint that waits for its signature and the last signed one.
type marks struct {
	Pending *mark `json:"pending,omitempty"`
	Signed  *mark `json:"signed,omitempty"`
}

// mark is a checkpoint under its idempotency key.
type mark struct {
	Key      string `json:"key"`
	Document []byte `json:"document"`
}

const marksName = "checkpoint.json"

// Checkpoint implements core.Reputation.
func (l *Log) Checkpoint(_ context.Context, req core.CheckpointRequest) (core.PendingDocument, error) {
	if req.Key == "" {
		return core.PendingDocument{}, &core.FieldError{Path: "key", Problem: "must not be empty"}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return core.PendingDocument{}, errClosed
	}
	signed, pending := l.marks.Signed, l.marks.Pending
	switch {
	case signed != nil && signed.Key == req.Key:
		return repeatedMark(signed, req)
	case pending != nil && pending.Key != req.Key:
		return core.PendingDocument{}, &core.PendingError{Key: pending.Key, Document: pending.Document}
	case len(req.Signed) > 0:
		return l.commit(req)
	case pending != nil:
		return core.PendingDocument{Document: pending.Document}, nil
	}
	return l.propose(req)
}

// repeatedMark answers a call under the key of the last signed checkpoint.
func repeatedMark(signed *mark, req core.CheckpointRequest) (core.PendingDocument, error) {
	if len(req.Signed) > 0 && string(req.Signed) != string(signed.Document) {
		return core.PendingDocument{}, fmt.Errorf("checkpoint: key %q stands for another one: %w", req.Key, core.ErrConflict)
	}
	return core.PendingDocument{Document: signed.Document, Committed: true}, nil
}

// propose is the first call: the head of the log, unsigned, stored.
func (l *Log) propose(req core.CheckpointRequest) (core.PendingDocument, error) {
	size := int64(len(l.entries))
	c := &core.Checkpoint{
		Log: core.LogReputation, Network: l.cfg.Network, Node: req.Node,
		Root: hex.EncodeToString(l.tree.root(size)), Size: size, Time: req.Time,
	}
	doc, err := core.Encode(c)
	if err != nil {
		return core.PendingDocument{}, err
	}
	m := marks{Pending: &mark{req.Key, doc}, Signed: l.marks.Signed}
	if err := l.writeMarks(m); err != nil {
		return core.PendingDocument{}, err
	}
	return core.PendingDocument{Document: doc}, nil
}

// commit is the second call.
func (l *Log) commit(req core.CheckpointRequest) (core.PendingDocument, error) {
	if l.marks.Pending == nil {
		return core.PendingDocument{}, fmt.Errorf("checkpoint: nothing is pending under key %q: %w", req.Key, core.ErrConflict)
	}
	signed, err := core.Parse[core.Checkpoint](req.Signed)
	if err != nil {
		return core.PendingDocument{}, err
	}
	if err := core.Verify(signed, l.cfg.Network); err != nil {
		return core.PendingDocument{}, err
	}
	pending, err := core.Parse[core.Checkpoint](l.marks.Pending.Document)
	if err != nil {
		return core.PendingDocument{}, err
	}
	got, err := core.Digest(signed)
	if err != nil {
		return core.PendingDocument{}, err
	}
	want, err := core.Digest(pending)
	if err != nil {
		return core.PendingDocument{}, err
	}
	if got != want {
		return core.PendingDocument{}, fmt.Errorf("checkpoint: is not what pends under key %q: %w", req.Key, core.ErrConflict)
	}
	if err := l.writeMarks(marks{Signed: &mark{req.Key, req.Signed}}); err != nil {
		return core.PendingDocument{}, err
	}
	return core.PendingDocument{Document: req.Signed, Committed: true}, nil
}

func readMarks(dir string) (marks, error) {
	var m marks
	b, err := os.ReadFile(filepath.Join(dir, marksName)) //nolint:gosec // G304: the plugin's own state directory
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("%s: %w: %w", marksName, err, core.ErrInvalid)
	}
	return m, nil
}

// checkMarks says whether the log still is what the last signed checkpoint says.
func (l *Log) checkMarks() error {
	if l.marks.Signed == nil {
		return nil
	}
	c, err := core.Parse[core.Checkpoint](l.marks.Signed.Document)
	if err != nil {
		return fmt.Errorf("%s: %w", marksName, err)
	}
	if have := int64(len(l.entries)); c.Size > have {
		return fmt.Errorf("has %d events, the last signed checkpoint %d: the end of the log is missing, restore it from a backup: %w", have, c.Size, core.ErrInvalid)
	}
	if root := hex.EncodeToString(l.tree.root(c.Size)); root != c.Root {
		return fmt.Errorf("first %d events are not those of the last signed checkpoint: the log was changed: %w", c.Size, core.ErrInvalid)
	}
	return nil
}

// writeMarks replaces the file in one step, synced.
func (l *Log) writeMarks(m marks) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(l.cfg.Dir, marksName+".*")
	if err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(l.cfg.Dir, marksName))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write checkpoint: %w", err), os.Remove(f.Name()))
	}
	if err := syncDir(l.cfg.Dir); err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	l.marks = m
	return nil
}
