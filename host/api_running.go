package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/zerostate/zerostate/core"
)

// errCancelled is the cause of a context that `task cancel` ended.
var errCancelled = errors.New("cancelled by the caller")

// runningTasks holds the tasks that this node requests now. What has ended is in
// the taskBook.
type runningTasks struct {
	mu   sync.Mutex
	runs map[*runningTask]struct{}
}

// runningTask is one of them, as its steps have shown it so far.
type runningTask struct {
	book   *runningTasks
	cancel context.CancelCauseFunc
	so     TaskResult // under book.mu
}

func newRunningTasks() *runningTasks { return &runningTasks{runs: map[*runningTask]struct{}{}} }

// add keeps a task until end is called.
func (b *runningTasks) add(so TaskResult, cancel context.CancelCauseFunc) *runningTask {
	r := &runningTask{book: b, cancel: cancel, so: so}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.runs[r] = struct{}{}
	return r
}

func (r *runningTask) end() {
	r.book.mu.Lock()
	defer r.book.mu.Unlock()
	delete(r.book.runs, r)
}

// step notes a step that ended; the task's id is known from escrow on.
func (r *runningTask) step(s Step) {
	r.book.mu.Lock()
	defer r.book.mu.Unlock()
	r.so.Task = s.Task
	r.so.Steps = append(r.so.Steps, s)
}

// list answers the running tasks, the newest first.
func (b *runningTasks) list() []*TaskResult {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]*TaskResult, 0, len(b.runs))
	for r := range b.runs {
		so := r.so
		so.Steps = slices.Clone(so.Steps)
		out = append(out, &so)
	}
	slices.SortFunc(out, func(x, y *TaskResult) int { return cmp.Or(y.Started.Compare(x.Started), cmp.Compare(x.Task, y.Task)) })
	return out
}

// find answers the running task whose id, or nonce, starts with prefix.
func (b *runningTasks) find(prefix string) (*TaskResult, error) {
	r, err := b.one(prefix)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	so := r.so
	so.Steps = slices.Clone(so.Steps)
	return &so, nil
}

// stop cancels the task whose id starts with prefix. What was metered until then
// is settled by its own pipeline.
func (b *runningTasks) stop(prefix string) error {
	r, err := b.one(prefix)
	if err != nil {
		return err
	}
	r.cancel(errCancelled)
	return nil
}

func (b *runningTasks) one(prefix string) (*runningTask, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var found *runningTask
	for r := range b.runs {
		if prefix == "" || !strings.HasPrefix(r.so.Task, prefix) && !strings.HasPrefix(r.so.Run, prefix) {
			continue
		}
		if found != nil {
			return nil, &core.FieldError{Path: "task", Problem: fmt.Sprintf("%q is the start of more than one running task", prefix)}
		}
		found = r
	}
	if found == nil {
		return nil, fmt.Errorf("no running task %.16s: %w", prefix, core.ErrNotFound)
	}
	return found, nil
}
