// Package store is the host's own durable memory: a pebble database in the
// node's home whose every write is synced before it returns. Values are opaque
// bytes, or JSON through the typed helpers. Start at Open.
package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/zerostate/zerostate/core"
)

// Store is a synced key-value store. All methods are safe for concurrent use.
type Store struct {
	db *pebble.DB
}

// Open opens or creates the store in dir. fs nil means the disk; tests pass a
// file system that forgets what was not synced.
func Open(dir string, fs vfs.FS) (*Store, error) {
	opts := &pebble.Options{FS: fs, Logger: quiet{}}
	db, err := pebble.Open(dir, opts)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w (another node may be using this home)", dir, err)
	}
	return &Store{db: db}, nil
}

// Close releases the store; later calls fail.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// Get answers the value of key, or core.ErrNotFound. The slice is the caller's.
func (s *Store) Get(key string) ([]byte, error) {
	v, closer, err := s.db.Get([]byte(key))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, fmt.Errorf("%s: %w", key, core.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	out := append([]byte(nil), v...)
	return out, closer.Close()
}

// Set writes value under key and returns when it is on disk.
func (s *Store) Set(key string, value []byte) error {
	if err := s.db.Set([]byte(key), value, pebble.Sync); err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return nil
}

// Delete removes key, synced; a key that is absent is no error.
func (s *Store) Delete(key string) error {
	if err := s.db.Delete([]byte(key), pebble.Sync); err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}

// Pair is one write of a batch; a nil Value deletes the key.
type Pair struct {
	Key   string
	Value []byte
}

// Write applies all pairs or none, synced.
func (s *Store) Write(pairs ...Pair) error {
	b := s.db.NewBatch()
	for _, p := range pairs {
		var err error
		if p.Value == nil {
			err = b.Delete([]byte(p.Key), nil)
		} else {
			err = b.Set([]byte(p.Key), p.Value, nil)
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", p.Key, err)
		}
	}
	if err := b.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("write %d keys: %w", len(pairs), err)
	}
	return nil
}

// Scan yields every pair whose key starts with prefix, in key order.
func (s *Store) Scan(prefix string) iter.Seq2[Pair, error] {
	return func(yield func(Pair, error) bool) {
		it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte(prefix), UpperBound: upper(prefix)})
		if err != nil {
			yield(Pair{}, fmt.Errorf("scan %s: %w", prefix, err))
			return
		}
		for it.First(); it.Valid(); it.Next() {
			p := Pair{Key: string(it.Key()), Value: append([]byte(nil), it.Value()...)}
			if !yield(p, nil) {
				break
			}
		}
		if err := it.Close(); err != nil {
			yield(Pair{}, fmt.Errorf("scan %s: %w", prefix, err))
		}
	}
}

// GetJSON reads key into v, or answers core.ErrNotFound.
func (s *Store) GetJSON(key string, v any) error {
	b, err := s.Get(key)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("decode %s: %w", key, err)
	}
	return nil
}

// SetJSON writes v as JSON under key, synced.
func (s *Store) SetJSON(key string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	return s.Set(key, b)
}

// ScanJSON decodes every value below prefix as a T, in key order.
func ScanJSON[T any](s *Store, prefix string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for p, err := range s.Scan(prefix) {
			var v T
			if err == nil {
				if err = json.Unmarshal(p.Value, &v); err != nil {
					err = fmt.Errorf("decode %s: %w", p.Key, err)
				}
			}
			if !yield(v, err) {
				return
			}
		}
	}
}

// upper is the smallest key above every key that starts with prefix.
func upper(prefix string) []byte {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xff {
			b[i]++
			return b[:i+1]
		}
	}
	return nil
}

// quiet drops pebble's progress lines; its errors come back from the calls.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}

// Fatalf is pebble's last word before it would end the process.
func (quiet) Fatalf(format string, args ...any) { panic(fmt.Sprintf("store: "+format, args...)) }
