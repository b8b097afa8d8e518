package host

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/store"
)

const (
	taskPrefix    = "task/"
	attemptPrefix = "attempt/"
)

// taskBook keeps the tasks that this node requested.
type taskBook struct {
	store *store.Store
	mu    sync.Mutex // one attempt is numbered at a time
}

func taskKey(task string, attempt int64) string {
	return fmt.Sprintf("%s%s/%d", taskPrefix, task, attempt)
}

func (b *taskBook) put(r *TaskResult) error { return b.store.SetJSON(taskKey(r.Task, r.Attempt), r) }

// nextAttempt numbers an attempt of a task, on disk before its Offer exists.
func (b *taskBook) nextAttempt(task string) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var last int64
	if err := b.store.GetJSON(attemptPrefix+task, &last); err != nil && !absent(err) {
		return 0, err
	}
	return last + 1, b.store.SetJSON(attemptPrefix+task, last+1)
}

// find answers the last attempt of the task whose id starts with prefix.
func (b *taskBook) find(prefix string) (*TaskResult, error) {
	if strings.ContainsAny(prefix, "/") || prefix == "" {
		return nil, fmt.Errorf("%q is no task id: %w", prefix, core.ErrInvalid)
	}
	var found *TaskResult
	for r, err := range store.ScanJSON[*TaskResult](b.store, taskPrefix+prefix) {
		switch {
		case err != nil:
			return nil, err
		case found != nil && found.Task != r.Task:
			return nil, fmt.Errorf("%q is the start of more than one task id: %w", prefix, core.ErrInvalid)
		case found == nil || found.Attempt < r.Attempt:
			found = r
		}
	}
	if found == nil {
		return nil, fmt.Errorf("task %.16s: %w", prefix, core.ErrNotFound)
	}
	return found, nil
}

// list answers up to limit tasks, the newest first; run, where not empty, keeps
// those of one run (nonce).
func (b *taskBook) list(limit int, run string) ([]*TaskResult, error) {
	var out []*TaskResult
	for r, err := range store.ScanJSON[*TaskResult](b.store, taskPrefix) {
		if err != nil {
			return nil, err
		}
		if run == "" || r.Run == run {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, c *TaskResult) int {
		return cmp.Or(c.Started.Compare(a.Started), cmp.Compare(a.Task, c.Task))
	})
	return firstN(out, limit), nil
}
