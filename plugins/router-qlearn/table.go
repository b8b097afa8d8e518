package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugins/router-qlearn/qlearn"
)

// tableName is the file that holds the exported policy.
const tableName = "policy.json"

// router is a core.Router over a learner whose table is kept in a file. What
// was learned in the last moments before a crash may be lost: it is experience,
// which comes again, and a sync per message would cost more than it is worth.
type router struct {
	learner *qlearn.Learner
	path    string // empty: nothing is kept
	every   time.Duration
	log     hclog.Logger

	saving  sync.Mutex    // one writer of the file at a time
	dirty   chan struct{} // has room for one: something is to be saved
	stop    chan struct{}
	stopped chan struct{}
	once    sync.Once
	err     error // of closing
}

var _ core.Router = (*router)(nil)

// openRouter loads the table in dir, if there is one, and starts to keep it. A
// table that can not be read is refused rather than dropped in silence.
func openRouter(learner *qlearn.Learner, dir string, every time.Duration, log hclog.Logger) (*router, error) {
	r := &router{
		learner: learner, every: every, log: log,
		dirty: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	if dir != "" {
		r.path = filepath.Join(dir, tableName)
		policy, err := os.ReadFile(r.path)
		switch {
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			return nil, fmt.Errorf("read table: %w", err)
		default:
			if err := learner.Import(policy); err != nil {
				return nil, fmt.Errorf("table %s can not be read, delete it to begin afresh or restore it from a backup: %w", r.path, err)
			}
		}
	}
	go r.keep()
	return r, nil
}

// keep saves the table some time after each change, until Close.
func (r *router) keep() {
	defer close(r.stopped)
	for {
		select {
		case <-r.stop:
			return
		case <-r.dirty:
		}
		select {
		case <-r.stop:
			r.changed() // Close saves it
			return
		case <-time.After(r.every):
		}
		if err := r.save(); err != nil {
			r.log.Warn("could not save the routing table, will try again", "error", err)
			r.changed()
		}
	}
}

func (r *router) changed() {
	select {
	case r.dirty <- struct{}{}:
	default: // known already
	}
}

// save puts the table into its file: whole and synced, or not at all.
func (r *router) save() error {
	if r.path == "" {
		return nil
	}
	r.saving.Lock()
	defer r.saving.Unlock()
	policy, err := r.learner.Export()
	if err != nil {
		return err
	}
	return writeAtomically(r.path, policy)
}

// Drain saves what is not saved yet.
func (r *router) Drain(context.Context) error { return r.save() }

// Close stops keeping the table and saves it a last time. It may be called
// again.
func (r *router) Close() error {
	r.once.Do(func() {
		close(r.stop)
		<-r.stopped
		select {
		case <-r.dirty:
			r.err = r.save()
		default:
		}
	})
	return r.err
}

func writeAtomically(path string, content []byte) (err error) {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // a file of our own state directory
	if err != nil {
		return fmt.Errorf("create table: %w", err)
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("write table: %w", err), os.Remove(tmp))
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("put table in place: %w", err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("open state directory: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("sync state directory: %w", err)
	}
	return nil
}
