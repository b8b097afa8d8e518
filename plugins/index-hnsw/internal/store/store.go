// Package store makes an hnsw index durable: an upsert or delete is
// acknowledged only after it is synced to a log, and the log is folded into a
// snapshot from time to time. Start at [Open]; wal.go says what is on disk and
// what survives a crash.
//
// One goroutine writes. It takes all requests that wait, syncs them as one
// frame (group commit), and only then applies and acknowledges them. Queries
// never wait for the disk.
package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugins/index-hnsw/hnsw"
)

const (
	snapshotName = "index.snapshot"
	logName      = "index.log"
	lockName     = "index.lock"

	// closeOps is how many operations a log may hold before Close folds it
	// into a snapshot: adding a row anew takes about a millisecond.
	closeOps = 1000
	// compactRows is the number of deleted rows below which the graph is left
	// alone; above it, it is repaired when they are a quarter of the live ones.
	compactRows = 1000
	// groupOps bounds the operations of one group commit.
	groupOps = 4096
)

// Config says where the index lies and how it is built.
type Config struct {
	Dir           string      // an existing directory, of this store alone
	Graph         hnsw.Config // zero fields mean hnsw's defaults
	SnapshotBytes int64       // size of the log that starts a snapshot; 0 is 64 MiB
	Log           hclog.Logger
}

// Store is a durable [core.Index]. It is safe for concurrent use.
type Store struct {
	cfg      Config
	requests chan *request
	stop     chan struct{} // closed by Close
	stopped  chan struct{} // closed when the writer has ended
	closing  sync.Once
	closeErr error

	mu       sync.RWMutex // guards the fields below
	index    *hnsw.Index
	bound    binding
	diskSize int64
	broken   error // why nothing can be written any more

	// Owned by the writer.
	lock   *os.File
	log    *wal
	foldAt int64 // size of the log at which it is folded into a snapshot
}

var _ core.Index = (*Store)(nil)

// Open reads the index in cfg.Dir, or begins an empty one, and locks the
// directory: a second Open of it, from any process, is ErrConflict. Damage to
// acknowledged bytes is a [DamageError]; what a crash cut off is dropped.
func Open(cfg Config) (*Store, error) {
	if cfg.SnapshotBytes == 0 {
		cfg.SnapshotBytes = 64 << 20
	}
	if cfg.Log == nil {
		cfg.Log = hclog.NewNullLogger()
	}
	lock, err := lockFile(filepath.Join(cfg.Dir, lockName))
	if err != nil {
		return nil, err
	}
	s := &Store{
		cfg: cfg, lock: lock, foldAt: cfg.SnapshotBytes,
		requests: make(chan *request, 64), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	if err := s.recover(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	go s.write()
	return s, nil
}

// recover loads the snapshot and does the log again.
func (s *Store) recover() error {
	for _, name := range []string{snapshotName, logName} {
		if err := os.Remove(filepath.Join(s.cfg.Dir, name+".tmp")); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove a leftover: %w", err)
		}
	}
	after, err := s.loadSnapshot()
	if err != nil {
		return err
	}
	path := filepath.Join(s.cfg.Dir, logName)
	log, cut, err := openLog(path, after, func(payload []byte) (int, error) {
		ops, err := decodeOps(payload)
		if err != nil {
			return 0, err
		}
		return len(ops), s.redo(ops)
	})
	switch {
	case errors.Is(err, os.ErrNotExist):
		if after > 0 {
			s.cfg.Log.Warn("the log is missing beside the snapshot, going on with the snapshot alone", "path", path)
		}
		log, err = createLog(path, after+1)
	case err == nil && cut > 0:
		s.cfg.Log.Warn("cut an unfinished write off the log", "path", path, "bytes", cut)
	}
	if err != nil {
		return err
	}
	s.log = log
	s.measure()
	s.cfg.Log.Info("index opened", "items", s.index.Len(), "replayed", log.ops)
	return nil
}

func (s *Store) redo(ops []op) error {
	for _, o := range ops {
		if _, err := s.apply(o); err != nil {
			return err
		}
	}
	return nil
}

// apply changes the index in memory. It says whether a deleted row existed.
func (s *Store) apply(o op) (bool, error) {
	switch o.kind {
	case opUpsert:
		return true, s.index.Upsert(o.item)
	case opDelete:
		return s.index.Delete(o.item.ID), nil
	case opBind:
		fresh, err := hnsw.New(s.cfg.Graph)
		if err != nil {
			return false, err
		}
		s.mu.Lock()
		s.index, s.bound = fresh, binding{o.digest, o.length}
		s.mu.Unlock()
	}
	return true, nil
}

// Health is nil while the index can write, else what broke it: a failed write
// or sync leaves unknown bytes on the disk, and only a new process, which reads
// the truth from the log, may go on.
func (s *Store) Health() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.broken
}

func (s *Store) fail(err error) error {
	s.cfg.Log.Error("index can not write any more", "error", err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = fmt.Errorf("%w: %w", err, core.ErrUnavailable)
	return s.broken
}

// measure notes the size of what is on disk, for Stats.
func (s *Store) measure() {
	size := s.log.size
	if info, err := os.Stat(filepath.Join(s.cfg.Dir, snapshotName)); err == nil {
		size += info.Size()
	}
	s.mu.Lock()
	s.diskSize = size
	s.mu.Unlock()
}

// current returns the index and its binding as they are now.
func (s *Store) current() (*hnsw.Index, binding) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.index, s.bound
}

// Close waits for the request being written, folds a long log into a snapshot,
// and releases the directory. Requests that wait are ErrUnavailable. It may be
// called again.
func (s *Store) Close() error {
	s.closing.Do(func() {
		close(s.stop)
		<-s.stopped
		if s.Health() == nil && s.log.ops >= closeOps {
			s.closeErr = s.fold()
		}
		s.closeErr = errors.Join(s.closeErr, s.log.file.Close(), s.lock.Close())
	})
	return s.closeErr
}

// Compact takes deleted rows out of the graph and folds the log into a
// snapshot. Queries go on meanwhile, on the old graph; writes wait.
func (s *Store) Compact(ctx context.Context) error {
	_, err := s.submit(ctx, &request{compact: true})
	return err
}

// Stats describes the index; Bytes is what it takes on disk.
func (s *Store) Stats(context.Context) (core.IndexStats, error) {
	index, bound := s.current()
	st := index.Stats()
	s.mu.RLock()
	defer s.mu.RUnlock()
	return core.IndexStats{
		Items: st.Items, Deleted: st.Deleted, Dimensions: bound.length, ModelDigest: bound.digest, Bytes: s.diskSize,
	}, nil
}
