package replog

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/zerostate/zerostate/core"
)

// The file is a magic, then records: the length of the event (4 bytes, big
// endian), the CRC-32C of these 4 bytes, the chain (32 bytes: sha256 of the chain
// before and the event), the event, the CRC-32C of chain and event.
const (
	magic       = "zsrep\x00\x00\x01"
	headerBytes = 4 + 4 + sha256.Size
	crcBytes    = 4
	// maxEventBytes bounds an event: core refuses a longer one.
	maxEventBytes = 16 << 10
)

// span is where an event lies in the file.
type span struct {
	offset int64
	length int32
}

// file is the log on disk. Its methods are called one at a time, but for read.
type file struct {
	f      *os.File
	end    int64
	chain  [sha256.Size]byte
	broken error // a write failed and could not be taken back
}

func openFile(dir, name string) (*file, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // G304: the plugin's own state directory
	if err != nil {
		return nil, err
	}
	return &file{f: f}, nil
}

func (l *file) close() error { return l.f.Close() }

// scan calls add for every record, and cuts off a last one that is not whole.
func (l *file) scan(add func(data []byte, at span) error) error {
	data, err := io.ReadAll(l.f)
	if err != nil {
		return err
	}
	if len(data) < len(magic) && magic[:len(data)] == string(data) {
		return l.begin()
	}
	if len(data) < len(magic) || string(data[:len(magic)]) != magic {
		return fmt.Errorf("is not a reputation log: %w", core.ErrInvalid)
	}
	at := len(magic)
	for at < len(data) {
		event, n, ok := parseRecord(data[at:])
		if !ok {
			return l.cut(data, at)
		}
		chain := next(l.chain, event)
		if !bytes.Equal(chain[:], data[at+8:at+headerBytes]) {
			return fmt.Errorf("record at byte %d does not follow the one before: the log was changed: %w", at, core.ErrInvalid)
		}
		if err := add(event, span{int64(at + headerBytes), int32(len(event))}); err != nil { //nolint:gosec // at most maxEventBytes
			return fmt.Errorf("record at byte %d: %w", at, err)
		}
		l.chain = chain
		at += n
	}
	l.end = int64(at)
	return nil
}

// begin starts an empty file.
func (l *file) begin() error {
	if _, err := l.f.WriteAt([]byte(magic), 0); err != nil {
		return err
	}
	l.end = int64(len(magic))
	return errors.Join(l.f.Sync(), syncDir(filepath.Dir(l.f.Name())))
}

// cut truncates the file where a record is not whole. Only the last record can
// be: each was synced before the next one was written. So whole records behind
// it mean damage, which is not ours to repair.
func (l *file) cut(data []byte, at int) error {
	for i := at + 1; i < len(data); i++ {
		if _, _, ok := parseRecord(data[i:]); ok {
			return fmt.Errorf("record at byte %d is damaged, and whole ones follow at byte %d: restore the file from a backup: %w", at, i, core.ErrInvalid)
		}
	}
	if err := l.f.Truncate(int64(at)); err != nil {
		return fmt.Errorf("cut torn record at byte %d: %w", at, err)
	}
	l.end = int64(at)
	return l.f.Sync()
}

// parseRecord reads the record that b starts with: its event and its length.
func parseRecord(b []byte) (event []byte, n int, ok bool) {
	if len(b) < headerBytes+crcBytes {
		return nil, 0, false
	}
	length := binary.BigEndian.Uint32(b)
	if length == 0 || length > maxEventBytes || crc(b[:4]) != binary.BigEndian.Uint32(b[4:]) {
		return nil, 0, false
	}
	end := headerBytes + int(length)
	if len(b) < end+crcBytes || crc(b[8:end]) != binary.BigEndian.Uint32(b[end:]) {
		return nil, 0, false
	}
	return b[headerBytes:end], end + crcBytes, true
}

func crc(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// next is the chain after one more event.
func next(chain [sha256.Size]byte, event []byte) [sha256.Size]byte {
	return sha256.Sum256(append(chain[:], event...))
}

// append writes a record and syncs it.
func (l *file) append(event []byte) (span, error) {
	if l.broken != nil {
		return span{}, fmt.Errorf("%w: %w", l.broken, core.ErrUnavailable)
	}
	chain := next(l.chain, event)
	b := binary.BigEndian.AppendUint32(nil, uint32(len(event))) //nolint:gosec // at most maxEventBytes
	b = binary.BigEndian.AppendUint32(b, crc(b))
	b = append(append(b, chain[:]...), event...)
	b = binary.BigEndian.AppendUint32(b, crc(b[8:]))
	_, err := l.f.WriteAt(b, l.end)
	if err == nil {
		err = l.f.Sync()
	}
	if err != nil {
		// What is on disk is not known now: nothing more is promised until the
		// file has been read again.
		l.broken = errors.Join(err, l.f.Truncate(l.end))
		return span{}, fmt.Errorf("%w: %w", l.broken, core.ErrUnavailable)
	}
	at := span{l.end + headerBytes, int32(len(event))} //nolint:gosec // at most maxEventBytes
	l.end += int64(len(b))
	l.chain = chain
	return at, nil
}

func (l *file) read(at span) ([]byte, error) {
	b := make([]byte, at.length)
	_, err := l.f.ReadAt(b, at.offset)
	return b, err
}

// syncDir makes a new name in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // G304: the plugin's own state directory
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
