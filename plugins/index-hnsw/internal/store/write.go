package store

import (
	"context"
	"fmt"
	"iter"
	"unicode/utf8"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugins/index-hnsw/hnsw"
)

const (
	maxID         = 512     // bytes of an ID
	maxAttributes = 1 << 20 // bytes of all attributes of a row
	batchItems    = 256     // items of an upsert stream that are acknowledged together
)

// request is what a caller waits for: operations, or a compaction.
type request struct {
	ops     []op
	compact bool
	reply   chan reply // has room for one, so that the writer never waits
}

// reply says how many operations took effect, and what ended the rest.
type reply struct {
	n   int
	err error
}

// Upsert stores items as [core.Index] says. A long sequence is made durable in
// batches.
func (s *Store) Upsert(ctx context.Context, items iter.Seq2[core.IndexItem, error]) (int, error) {
	total := 0
	var batch []op
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		n, err := s.submit(ctx, &request{ops: batch})
		total += n
		batch = nil
		return err
	}
	for it, err := range items {
		if err != nil {
			if stored := flush(); stored != nil {
				return total, stored
			}
			return total, err
		}
		batch = append(batch, op{
			kind:   opUpsert,
			item:   hnsw.Item{ID: it.ID, Vector: it.Vector, Attributes: it.Attributes},
			digest: it.ModelDigest,
		})
		if len(batch) >= batchItems {
			if err := flush(); err != nil {
				return total, err
			}
		}
	}
	return total, flush()
}

// Delete removes rows as [core.Index] says.
func (s *Store) Delete(ctx context.Context, ids []string) (int, error) {
	if len(ids) == 0 {
		return 0, nil
	}
	ops := make([]op, len(ids))
	for i, id := range ids {
		ops[i] = op{kind: opDelete, item: hnsw.Item{ID: id}}
	}
	return s.submit(ctx, &request{ops: ops})
}

// submit hands r to the writer and waits for its reply. When ctx ends first,
// the request may still take effect.
func (s *Store) submit(ctx context.Context, r *request) (int, error) {
	r.reply = make(chan reply, 1)
	select {
	case s.requests <- r:
	case <-s.stop:
		return 0, fmt.Errorf("index is closed: %w", core.ErrUnavailable)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	select {
	case a := <-r.reply:
		return a.n, a.err
	case <-s.stopped:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	select { // answered as the writer ended
	case a := <-r.reply:
		return a.n, a.err
	default:
		return 0, fmt.Errorf("index is closed: %w", core.ErrUnavailable)
	}
}

// write is the one goroutine that changes anything.
func (s *Store) write() {
	defer close(s.stopped)
	for {
		select {
		case <-s.stop:
			return
		case r := <-s.requests:
			if r.compact {
				r.reply <- reply{err: s.compact()}
				continue
			}
			s.tend(s.commit(s.gather(r)))
		}
	}
}

// gather returns first and the requests that wait behind it, up to a bound and
// up to the first compaction, which it does before them.
func (s *Store) gather(first *request) []*request {
	group, ops := []*request{first}, len(first.ops)
	for ops < groupOps {
		select {
		case r := <-s.requests:
			if r.compact {
				r.reply <- reply{err: s.compact()}
				continue
			}
			group, ops = append(group, r), ops+len(r.ops)
		default:
			return group
		}
	}
	return group
}

// commit checks the operations of a group, syncs the good ones as one frame,
// applies them and answers each request. It says whether anything changed.
func (s *Store) commit(group []*request) bool {
	if err := s.Health(); err != nil {
		answerAll(group, err)
		return false
	}
	st := s.newStage()
	errs := make([]error, len(group))
	for i, r := range group {
		r.ops, errs[i] = st.take(r.ops)
	}
	if st.ops > 0 {
		if err := s.log.append(st.payload, st.ops); err != nil {
			answerAll(group, s.fail(err))
			return false
		}
	}
	for i, r := range group {
		n, err := s.applyAll(r.ops)
		if err == nil {
			err = errs[i]
		}
		r.reply <- reply{n, err}
	}
	s.measure()
	return st.ops > 0
}

func answerAll(group []*request, err error) {
	for _, r := range group {
		r.reply <- reply{err: err}
	}
}

// applyAll applies operations that are durable, and counts those that a caller
// counts: a binding is none of his.
func (s *Store) applyAll(ops []op) (int, error) {
	n := 0
	for _, o := range ops {
		did, err := s.apply(o)
		if err != nil {
			return n, fmt.Errorf("apply what was logged: %w", err)
		}
		if did && o.kind != opBind {
			n++
		}
	}
	return n, nil
}

// stage collects the payload of a frame, with the binding as it will be.
type stage struct {
	bound   binding
	rebind  bool // the index is empty and may take another model
	payload []byte
	ops     int
}

func (s *Store) newStage() *stage {
	index, bound := s.current()
	return &stage{bound: bound, rebind: index.Len() == 0}
}

// take adds ops up to the first bad one; it returns those taken, with the
// bindings they need put before them.
func (st *stage) take(ops []op) ([]op, error) {
	taken := make([]op, 0, len(ops))
	for _, o := range ops {
		if o.kind == opUpsert {
			if err := st.check(o); err != nil {
				return taken, err
			}
			if b := (binding{o.digest, len(o.item.Vector)}); st.rebind {
				st.rebind = false
				if b != st.bound {
					st.bound = b
					taken = append(taken, st.add(op{kind: opBind, digest: b.digest, length: b.length}))
				}
			}
		}
		taken = append(taken, st.add(o))
	}
	return taken, nil
}

func (st *stage) add(o op) op {
	st.payload = o.append(st.payload)
	st.ops++
	return o
}

func (st *stage) check(o op) error {
	if o.item.ID == "" || len(o.item.ID) > maxID || !utf8.ValidString(o.item.ID) {
		return fmt.Errorf("item id of %d bytes: not 1..%d bytes of UTF-8: %w", len(o.item.ID), maxID, core.ErrInvalid)
	}
	size := 0
	for name, values := range o.item.Attributes {
		size += len(name)
		for _, v := range values {
			size += len(v)
		}
	}
	if size > maxAttributes {
		return fmt.Errorf("item %s: attributes of %d bytes are over %d: %w", o.item.ID, size, maxAttributes, core.ErrInvalid)
	}
	if !st.rebind {
		if o.digest != st.bound.digest {
			return fmt.Errorf("item %s is of model %q, the index of %q: %w", o.item.ID, o.digest, st.bound.digest, core.ErrConflict)
		}
		if len(o.item.Vector) != st.bound.length {
			return fmt.Errorf("item %s: vector of length %d, the index has %d: %w", o.item.ID, len(o.item.Vector), st.bound.length, core.ErrInvalid)
		}
	}
	if err := hnsw.CheckVector(o.item.Vector); err != nil {
		return fmt.Errorf("item %s: %w: %w", o.item.ID, err, core.ErrInvalid)
	}
	return nil
}
