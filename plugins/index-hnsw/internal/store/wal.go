package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

// The log is logMagic and then frames. A frame is everything that one group
// commit made durable:
//
//	length of the payload  uint32   little endian, as all numbers here
//	frame number           uint64   one more than the frame before
//	CRC-32C of the payload uint32
//	CRC-32C of the above   uint32
//	payload
//
// A frame is written only after the one before it was synced. So damage with a
// whole frame behind it happened to acknowledged bytes and is an error; damage
// with nothing whole behind it is a write that a crash cut short, never
// acknowledged, and is cut off.
const (
	logMagic    = "hnsw-log-1\n"
	headerBytes = 20
	maxFrame    = 256 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// wal is the open log, positioned at its end.
type wal struct {
	file *os.File
	path string
	next uint64 // number of the next frame
	size int64
	ops  int // operations held: what a restart has to do again
}

func appendFrame(buf []byte, number uint64, payload []byte) []byte {
	start := len(buf)
	buf = binary.LittleEndian.AppendUint32(buf, uint32(len(payload))) //nolint:gosec // at most maxFrame
	buf = binary.LittleEndian.AppendUint64(buf, number)
	buf = binary.LittleEndian.AppendUint32(buf, crc32.Checksum(payload, castagnoli))
	buf = binary.LittleEndian.AppendUint32(buf, crc32.Checksum(buf[start:], castagnoli))
	return append(buf, payload...)
}

// frameAt reads the frame at the start of data. It returns nil, false when
// there is no whole, sound frame.
func frameAt(data []byte) (payload []byte, number uint64, ok bool) {
	if len(data) < headerBytes ||
		crc32.Checksum(data[:headerBytes-4], castagnoli) != binary.LittleEndian.Uint32(data[headerBytes-4:]) {
		return nil, 0, false
	}
	length := uint64(binary.LittleEndian.Uint32(data))
	number = binary.LittleEndian.Uint64(data[4:])
	if uint64(len(data)-headerBytes) < length { //nolint:gosec // G115: data holds a header, see above
		return nil, number, false
	}
	payload = data[headerBytes : headerBytes+length]
	return payload, number, crc32.Checksum(payload, castagnoli) == binary.LittleEndian.Uint32(data[12:])
}

// wholeFrameIn says whether a sound frame begins anywhere in data.
func wholeFrameIn(data []byte) bool {
	for i := range data {
		if _, _, ok := frameAt(data[i:]); ok {
			return true
		}
	}
	return false
}

// append makes payload durable as the next frame.
func (w *wal) append(payload []byte, ops int) error {
	if len(payload) > maxFrame {
		return fmt.Errorf("frame of %d bytes is over %d", len(payload), maxFrame)
	}
	frame := appendFrame(nil, w.next, payload)
	if _, err := w.file.Write(frame); err != nil {
		return fmt.Errorf("append to %s: %w", w.path, err)
	}
	if err := w.file.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", w.path, err)
	}
	w.next++
	w.size += int64(len(frame))
	w.ops += ops
	return nil
}

// createLog puts an empty log in place of the one at path, whose first frame
// will be number next.
func createLog(path string, next uint64) (*wal, error) {
	err := writeAtomically(path, func(f io.Writer) error {
		_, err := io.WriteString(f, logMagic)
		return err
	})
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0o600) //nolint:gosec // a file of our own state directory
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return &wal{file: f, path: path, next: next, size: int64(len(logMagic))}, nil
}

// openLog reads the log at path, hands every payload numbered after the
// snapshot's frame to apply, which returns the number of its operations, and
// cuts a torn end. It returns the bytes it cut.
func openLog(path string, after uint64, apply func([]byte) (int, error)) (w *wal, cut int64, err error) {
	data, err := os.ReadFile(path) //nolint:gosec // a file of our own state directory
	if err != nil {
		return nil, 0, fmt.Errorf("read log: %w", err)
	}
	if !bytes.HasPrefix(data, []byte(logMagic)) {
		return nil, 0, damaged(path, 0, "it does not begin as a log of this format")
	}
	w = &wal{path: path, next: after + 1}
	at := int64(len(logMagic))
	for first := true; at < int64(len(data)); first = false {
		payload, number, ok := frameAt(data[at:])
		if !ok {
			if wholeFrameIn(data[at+1:]) {
				return nil, 0, damaged(path, at, "a frame does not match its checksum and sound ones follow it")
			}
			break
		}
		if (first && number > after+1) || (!first && number != w.next) {
			return nil, 0, damaged(path, at, fmt.Sprintf("frame %d where %d was due", number, w.next))
		}
		w.next = number + 1
		if number > after {
			n, err := apply(payload)
			if err != nil {
				return nil, 0, damaged(path, at, err.Error())
			}
			w.ops += n
		}
		at += headerBytes + int64(len(payload))
	}
	w.next = max(w.next, after+1)
	w.size, cut = at, int64(len(data))-at
	w.file, err = os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0o600) //nolint:gosec // a file of our own state directory
	if err != nil {
		return nil, 0, fmt.Errorf("open log: %w", err)
	}
	if cut > 0 {
		if err := truncate(w.file, at); err != nil {
			return nil, 0, errors.Join(fmt.Errorf("cut the torn end of %s: %w", path, err), w.file.Close())
		}
	}
	return w, cut, nil
}

func truncate(f *os.File, size int64) error {
	if err := f.Truncate(size); err != nil {
		return err
	}
	return f.Sync()
}

// DamageError says which file of the state directory is damaged and where.
type DamageError struct {
	Path    string
	Offset  int64
	Problem string
}

// Error says what is wrong and what to do about it.
func (e *DamageError) Error() string {
	return fmt.Sprintf("%s is damaged at byte %d: %s; restore %s from a backup, or move that directory away and let the index be filled again from the cards",
		e.Path, e.Offset, e.Problem, filepath.Dir(e.Path))
}

func damaged(path string, offset int64, problem string) error {
	return &DamageError{Path: path, Offset: offset, Problem: problem}
}

// writeAtomically replaces the file at path: after a crash it holds the old
// content or the new, whole. The new content is durable when it returns.
func writeAtomically(path string, write func(io.Writer) error) (err error) {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // a file of our own state directory
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	if err := errors.Join(writeAndSync(f, write), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", tmp, err), os.Remove(tmp))
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("put in place: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

func writeAndSync(f *os.File, write func(io.Writer) error) error {
	if err := write(f); err != nil {
		return err
	}
	return f.Sync()
}

func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // our own state directory
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}
