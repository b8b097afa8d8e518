package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/go-hclog"

	"github.com/zerostate/zerostate/core"
)

// disk keeps rows in a pebble store: the key is the ID, the value the row as
// JSON. Every change is one batch, synced before it is acknowledged; pebble
// checksums and replays its own log after a crash.
type disk struct {
	db     *pebble.DB
	closed sync.Once
	err    error // of closing
}

// open reads all rows of dir, or begins an empty index there.
func open(dir string, log hclog.Logger) (*exact, error) {
	db, err := pebble.Open(dir, &pebble.Options{Logger: pebbleLog{log}})
	if err != nil {
		return nil, fmt.Errorf("open the rows in %s: %w; if they are damaged, move the directory away and let the index be filled again", dir, err)
	}
	x := &exact{disk: &disk{db: db}, rows: map[string]row{}}
	if err := x.disk.each(func(id string, r row) { x.rows[id] = r }); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	log.Info("index opened", "items", len(x.rows))
	return x, nil
}

func (d *disk) put(rows map[string]row) error {
	batch := d.db.NewBatch()
	for id, r := range rows {
		value, err := json.Marshal(r)
		if err != nil {
			return errors.Join(fmt.Errorf("encode row %s: %w", id, err), batch.Close())
		}
		if err := batch.Set([]byte(id), value, nil); err != nil {
			return errors.Join(fmt.Errorf("write row %s: %w", id, err), batch.Close())
		}
	}
	return commit(batch)
}

func (d *disk) remove(ids []string) error {
	batch := d.db.NewBatch()
	for _, id := range ids {
		if err := batch.Delete([]byte(id), nil); err != nil {
			return errors.Join(fmt.Errorf("delete row %s: %w", id, err), batch.Close())
		}
	}
	return commit(batch)
}

func commit(batch *pebble.Batch) error {
	if err := batch.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("sync rows: %w: %w", err, core.ErrUnavailable)
	}
	return nil
}

func (d *disk) each(use func(string, row)) (err error) {
	it, err := d.db.NewIter(nil)
	if err != nil {
		return fmt.Errorf("read rows: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for it.First(); it.Valid(); it.Next() {
		var r row
		if err := json.Unmarshal(it.Value(), &r); err != nil {
			return fmt.Errorf("row %q: %w", it.Key(), err)
		}
		use(string(it.Key()), r)
	}
	return nil
}

func (d *disk) compact(ctx context.Context) error {
	if err := d.db.Flush(); err != nil {
		return fmt.Errorf("flush rows: %w", err)
	}
	if err := d.db.Compact(ctx, []byte{0}, bytes.Repeat([]byte{0xff}, 513), false); err != nil {
		return fmt.Errorf("compact rows: %w", err)
	}
	return nil
}

func (d *disk) size() int64 {
	return int64(d.db.Metrics().DiskSpaceUsage()) //nolint:gosec // no disk is that large
}

func (d *disk) close() error {
	d.closed.Do(func() { d.err = d.db.Close() })
	return d.err
}

// unit returns v at length one, nil when it has no direction (empty, all zeros,
// or a component that is not a finite number).
func unit(v []float32) []float32 {
	length := math.Sqrt(dot(v, v))
	if length == 0 || math.IsNaN(length) || math.IsInf(length, 0) {
		return nil
	}
	out := slices.Clone(v)
	for i := range out {
		out[i] = float32(float64(out[i]) / length)
	}
	return out
}

func dot(a, b []float32) float64 {
	var sum float64
	for i, x := range a {
		sum += float64(x) * float64(b[i])
	}
	return sum
}

func cloneAttributes(in map[string][]string) map[string][]string {
	out := make(map[string][]string, len(in))
	for name, values := range in {
		out[name] = slices.Clone(values)
	}
	return out
}

// pebbleLog passes pebble's messages on; what it does every day is not news.
type pebbleLog struct{ log hclog.Logger }

func (l pebbleLog) Infof(format string, args ...any) {
	l.log.Trace("pebble", "message", fmt.Sprintf(format, args...))
}

func (l pebbleLog) Errorf(format string, args ...any) {
	l.log.Error("pebble", "message", fmt.Sprintf(format, args...))
}

// Fatalf must not return: pebble calls it when going on would lose data.
func (l pebbleLog) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}
