package hnsw

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"slices"
)

// snapshotMagic opens a snapshot and names its format.
const snapshotMagic = "hnsw-f32-1\n"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Save writes the whole index, graph included, ending with a CRC-32C of
// everything before it. Queries go on meanwhile, writes wait.
func (x *Index) Save(w io.Writer) error {
	x.mu.RLock()
	defer x.mu.RUnlock()
	sum := crc32.New(castagnoli)
	buffered := bufio.NewWriterSize(io.MultiWriter(w, sum), 1<<20)
	e := &encoder{w: buffered}
	e.bytes([]byte(snapshotMagic))
	for _, v := range []int{x.cfg.M, x.dim, len(x.ids), x.top} {
		e.uint(uint64(v + 1)) //nolint:gosec // the top of an empty graph is -1
	}
	e.uint(uint64(x.entry))
	e.uint(x.seq)
	for slot := range x.ids {
		x.saveSlot(e, uint32(slot)) //nolint:gosec // an index into ids
	}
	if e.err != nil {
		return fmt.Errorf("write snapshot: %w", e.err)
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	if _, err := w.Write(binary.LittleEndian.AppendUint32(nil, sum.Sum32())); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

func (x *Index) saveSlot(e *encoder, slot uint32) {
	e.uint(uint64(x.state[slot]))
	if x.state[slot] == slotFree {
		return
	}
	e.string(x.ids[slot])
	e.uint(uint64(len(x.attrs[slot])))
	for _, name := range slices.Sorted(maps.Keys(x.attrs[slot])) {
		e.string(name)
		e.uint(uint64(len(x.attrs[slot][name])))
		for _, v := range x.attrs[slot][name] {
			e.string(v)
		}
	}
	e.uint(uint64(x.levelOf(slot))) //nolint:gosec // 0..maxLevel
	for l := x.levelOf(slot); l >= 0; l-- {
		links := x.neighbors(slot, l)
		e.uint(uint64(len(links)))
		for _, n := range links {
			e.uint(uint64(n))
		}
	}
	e.vector(x.vector(slot))
}

// Load reads what [Index.Save] wrote. The graph is taken as it is when cfg has
// the M it was built with, else it is built anew; the other parameters may
// change freely. Error: [ErrSnapshot] when a byte is wrong or missing.
func Load(r io.Reader, cfg Config) (*Index, error) {
	x, err := New(cfg)
	if err != nil {
		return nil, err
	}
	sum := crc32.New(castagnoli)
	d := &decoder{r: bufio.NewReaderSize(r, 1<<20), sum: sum}
	want := x.cfg.M
	x.load(d)
	if d.err == nil {
		got := sum.Sum32()
		var trailer [4]byte
		d.full(trailer[:])
		if d.err == nil && binary.LittleEndian.Uint32(trailer[:]) != got {
			d.fail("checksum does not match")
		}
	}
	if d.err != nil {
		return nil, fmt.Errorf("read snapshot: %w", d.err)
	}
	if x.cfg.M != want {
		x.changeM(want)
	}
	return x, nil
}

// changeM builds the graph anew with another number of links.
func (x *Index) changeM(m int) {
	x.cfg.M = m
	x.rebuild()
}

func (x *Index) load(d *decoder) {
	magic := make([]byte, len(snapshotMagic))
	d.full(magic)
	if d.err == nil && string(magic) != snapshotMagic {
		d.fail("not a snapshot of this format")
	}
	x.cfg.M = d.count(MaxM+1) - 1
	x.dim = d.count(MaxDimensions+1) - 1
	slots := d.count(math.MaxUint32) - 1
	x.top = d.count(maxLevel+1) - 1
	x.entry = uint32(d.count(math.MaxUint32)) //nolint:gosec // bounded by count
	x.seq = d.uint()
	if d.err == nil && (x.cfg.M < 2 || x.dim < 0 || slots < 0) {
		d.fail("header out of range")
	}
	for slot := 0; slot < slots && d.err == nil; slot++ {
		x.loadSlot(d, slots)
	}
	if d.err == nil {
		x.checkGraph(d)
	}
}

func (x *Index) loadSlot(d *decoder, slots int) {
	state := slotState(d.count(int(slotFree))) //nolint:gosec // bounded by count
	id, attrs, level := "", map[string][]string(nil), 0
	if state != slotFree {
		id, attrs = d.string(), map[string][]string{}
		for range d.count(maxCount) {
			name := d.string()
			values := make([]string, 0, 1)
			for range d.count(maxCount) {
				values = append(values, d.string())
			}
			if d.err != nil {
				return
			}
			attrs[name] = values
		}
		level = d.count(maxLevel)
	}
	if d.err != nil {
		return
	}
	x.free = nil // a new slot at the end, also while free ones wait
	slot := x.takeSlot(level)
	x.ids[slot], x.attrs[slot], x.state[slot] = id, attrs, state
	if state == slotFree {
		return
	}
	for l := level; l >= 0; l-- {
		row := x.row(slot, l)
		row[0] = uint32(d.count(len(row) - 1)) //nolint:gosec // bounded by count
		for i := range row[0] {
			row[1+i] = uint32(d.count(slots - 1)) //nolint:gosec // bounded by count
		}
	}
	d.vector(x.vector(slot))
	if state == slotLive {
		x.byID[id] = slot
	} else {
		x.deleted++
	}
	x.rows.add(slot, attrs)
}

// checkGraph refuses what a walk could trip over, and collects the free slots.
func (x *Index) checkGraph(d *decoder) {
	for slot, st := range x.state {
		at := uint32(slot) //nolint:gosec // an index into state
		if st == slotFree {
			x.free = append(x.free, at)
			continue
		}
		for l := x.levelOf(at); l >= 0; l-- {
			for _, n := range x.neighbors(at, l) {
				if x.state[n] == slotFree || x.levelOf(n) < l {
					d.fail("a link leads nowhere")
				}
			}
		}
	}
	n := len(x.byID) + x.deleted
	if (n == 0) != (x.top < 0) || (n > 0 && (int(x.entry) >= len(x.ids) || x.levelOf(x.entry) < x.top || x.state[x.entry] == slotFree)) {
		d.fail("the entry is not in the graph")
	}
}

// maxCount bounds the strings of a row; a card has a few dozen.
const maxCount = 1 << 20

type encoder struct {
	w   *bufio.Writer
	buf []byte
	err error
}

func (e *encoder) bytes(b []byte) {
	if e.err == nil {
		_, e.err = e.w.Write(b)
	}
}

func (e *encoder) uint(v uint64) {
	e.buf = binary.AppendUvarint(e.buf[:0], v)
	e.bytes(e.buf)
}

func (e *encoder) string(s string) {
	e.uint(uint64(len(s)))
	e.bytes([]byte(s))
}

func (e *encoder) vector(v []float32) {
	e.buf = e.buf[:0]
	for _, f := range v {
		e.buf = binary.LittleEndian.AppendUint32(e.buf, math.Float32bits(f))
	}
	e.bytes(e.buf)
}

type decoder struct {
	r   *bufio.Reader
	sum io.Writer
	buf []byte
	err error
}

func (d *decoder) fail(problem string) {
	if d.err == nil {
		d.err = fmt.Errorf("%s: %w", problem, ErrSnapshot)
	}
}

// full reads len(b) bytes and adds them to the checksum.
func (d *decoder) full(b []byte) {
	if d.err != nil {
		return
	}
	if _, err := io.ReadFull(d.r, b); err != nil {
		d.short(err)
		return
	}
	_, d.err = d.sum.Write(b)
}

func (d *decoder) short(err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		d.fail("it ends too early")
		return
	}
	d.err = err
}

// ReadByte makes the decoder a source for binary.ReadUvarint.
func (d *decoder) ReadByte() (byte, error) {
	var b [1]byte
	d.full(b[:])
	return b[0], d.err
}

func (d *decoder) uint() uint64 {
	if d.err != nil {
		return 0
	}
	v, err := binary.ReadUvarint(d)
	if err != nil && d.err == nil {
		d.fail("a number is too long")
	}
	return v
}

// count reads a number from 0 to limit.
func (d *decoder) count(limit int) int {
	v := d.uint()
	if limit < 0 || v > uint64(limit) {
		d.fail("a number is out of range")
		return 0
	}
	return int(v) //nolint:gosec // at most limit
}

func (d *decoder) string() string {
	n := d.count(1 << 24)
	if d.err != nil {
		return ""
	}
	b := make([]byte, n)
	d.full(b)
	return string(b)
}

func (d *decoder) vector(v []float32) {
	d.buf = slices.Grow(d.buf[:0], len(v)*4)[:len(v)*4]
	d.full(d.buf)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(d.buf[i*4:]))
	}
}
