package store

import (
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"

	"github.com/zerostate/zerostate/plugins/index-hnsw/hnsw"
)

// opKind is the first byte of an operation in a frame.
type opKind byte

const (
	opUpsert opKind = 1 // the item
	opDelete opKind = 2 // the ID
	opBind   opKind = 3 // begin anew, empty, with this model and length
)

// op is one change of the index.
type op struct {
	kind   opKind
	item   hnsw.Item
	digest string // upsert: what the caller names; bind: the new binding
	length int    // bind: the length of vectors
}

// binding is what the first upsert decides.
type binding struct {
	digest string
	length int
}

func (o op) append(buf []byte) []byte {
	buf = append(buf, byte(o.kind))
	switch o.kind {
	case opDelete:
		return appendString(buf, o.item.ID)
	case opBind:
		return binary.AppendUvarint(appendString(buf, o.digest), uint64(o.length)) //nolint:gosec // a length
	case opUpsert:
	}
	buf = appendString(buf, o.item.ID)
	buf = binary.AppendUvarint(buf, uint64(len(o.item.Attributes)))
	for _, name := range slices.Sorted(maps.Keys(o.item.Attributes)) {
		buf = appendString(buf, name)
		buf = binary.AppendUvarint(buf, uint64(len(o.item.Attributes[name])))
		for _, v := range o.item.Attributes[name] {
			buf = appendString(buf, v)
		}
	}
	buf = binary.AppendUvarint(buf, uint64(len(o.item.Vector)))
	for _, f := range o.item.Vector {
		buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(f))
	}
	return buf
}

func appendString(buf []byte, s string) []byte {
	return append(binary.AppendUvarint(buf, uint64(len(s))), s...)
}

var errOp = errors.New("an operation does not decode")

// decodeOps reads the operations of one frame.
func decodeOps(payload []byte) ([]op, error) {
	r := &reader{rest: payload}
	var ops []op
	for len(r.rest) > 0 && !r.bad {
		o := op{kind: opKind(r.rest[0])}
		r.rest = r.rest[1:]
		switch o.kind {
		case opDelete:
			o.item.ID = r.string()
		case opBind:
			o.digest, o.length = r.string(), r.count(hnsw.MaxDimensions)
		case opUpsert:
			o.item = r.item()
		default:
			r.bad = true
		}
		ops = append(ops, o)
	}
	if r.bad {
		return nil, errOp
	}
	return ops, nil
}

type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) item() hnsw.Item {
	it := hnsw.Item{ID: r.string(), Attributes: map[string][]string{}}
	for range r.count(len(r.rest)) {
		name := r.string()
		values := []string{}
		for range r.count(len(r.rest)) {
			values = append(values, r.string())
		}
		it.Attributes[name] = values
	}
	n := r.count(len(r.rest) / 4)
	it.Vector = make([]float32, n)
	for i := range it.Vector {
		if len(r.rest) < 4 {
			r.bad = true
			return it
		}
		it.Vector[i] = math.Float32frombits(binary.LittleEndian.Uint32(r.rest))
		r.rest = r.rest[4:]
	}
	return it
}

func (r *reader) count(limit int) int {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || v > uint64(max(0, limit)) {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return int(v) //nolint:gosec // at most limit
}

func (r *reader) string() string {
	n := r.count(len(r.rest))
	if n > len(r.rest) {
		r.bad, r.rest = true, nil
		return ""
	}
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}
