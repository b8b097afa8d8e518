package store

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/zerostate/zerostate/plugins/index-hnsw/hnsw"
)

// A snapshot is snapshotMagic, a header (length, content, CRC-32C: the number
// of the last frame it includes, the length of vectors, the model digest), and
// then the index as hnsw saves it, with a checksum of its own.
const (
	snapshotMagic = "hnsw-snapshot-1\n"
	maxHeader     = 1 << 16
)

func (s *Store) snapshotHeader() []byte {
	_, bound := s.current()
	content := binary.AppendUvarint(nil, s.log.next-1)
	content = binary.AppendUvarint(content, uint64(bound.length)) //nolint:gosec // a length
	content = append(content, bound.digest...)
	header := append([]byte(snapshotMagic), binary.LittleEndian.AppendUint32(nil, uint32(len(content)))...) //nolint:gosec // short
	header = append(header, content...)
	return binary.LittleEndian.AppendUint32(header, crc32.Checksum(content, castagnoli))
}

// fold writes a snapshot of all that is applied and begins an empty log. A
// crash between the two leaves frames in the log that the snapshot includes;
// their numbers say so, and recover passes over them.
func (s *Store) fold() error {
	index, _ := s.current()
	err := writeAtomically(filepath.Join(s.cfg.Dir, snapshotName), func(w io.Writer) error {
		if _, err := w.Write(s.snapshotHeader()); err != nil {
			return err
		}
		return index.Save(w)
	})
	if err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	fresh, err := createLog(filepath.Join(s.cfg.Dir, logName), s.log.next)
	if err != nil {
		// The old log may be unlinked by now: writing to it would lose data.
		return s.fail(fmt.Errorf("begin a new log: %w", err))
	}
	old := s.log.file
	s.log = fresh
	s.foldAt = s.cfg.SnapshotBytes
	s.measure()
	if err := old.Close(); err != nil {
		return fmt.Errorf("close the old log: %w", err)
	}
	return nil
}

// compact repairs a copy of the graph, so that queries go on, and folds.
func (s *Store) compact() error {
	if err := s.Health(); err != nil {
		return err
	}
	if index, _ := s.current(); index.Stats().Deleted > 0 {
		repaired := index.Clone()
		repaired.Compact()
		s.mu.Lock()
		s.index = repaired
		s.mu.Unlock()
	}
	return s.fold()
}

// tend compacts or folds by itself when a commit made that worth while. What
// was acknowledged is safe in the log, so a failure is a warning, and the next
// attempt waits until the log has doubled.
func (s *Store) tend(changed bool) {
	if !changed {
		return
	}
	index, _ := s.current()
	st := index.Stats()
	var err error
	switch {
	case st.Deleted > compactRows && st.Deleted*4 > st.Items && s.log.size*16 > s.foldAt:
		err = s.compact()
	case s.log.size > s.foldAt:
		err = s.fold()
	}
	if err != nil {
		s.foldAt = 2 * s.log.size
		s.cfg.Log.Warn("could not fold the log into a snapshot", "error", err)
	}
}

// loadSnapshot sets the index and returns the number of the last frame that it
// includes, 0 when there is no snapshot.
func (s *Store) loadSnapshot() (uint64, error) {
	path := filepath.Join(s.cfg.Dir, snapshotName)
	f, err := os.Open(path) //nolint:gosec // a file of our own state directory
	if errors.Is(err, os.ErrNotExist) {
		s.index, err = hnsw.New(s.cfg.Graph)
		return 0, err
	}
	if err != nil {
		return 0, fmt.Errorf("open snapshot: %w", err)
	}
	after, err := s.readSnapshot(f, path)
	return after, errors.Join(err, f.Close())
}

func (s *Store) readSnapshot(f io.Reader, path string) (uint64, error) {
	r := bufio.NewReaderSize(f, 1<<20)
	content, err := readHeader(r)
	if err != nil {
		return 0, damaged(path, 0, err.Error())
	}
	after, n := binary.Uvarint(content)
	length, m := binary.Uvarint(content[max(n, 0):])
	if n <= 0 || m <= 0 || length > hnsw.MaxDimensions {
		return 0, damaged(path, int64(len(snapshotMagic)), "the header does not decode")
	}
	s.bound = binding{digest: string(content[n+m:]), length: int(length)} //nolint:gosec // bounded above
	s.index, err = hnsw.Load(r, s.cfg.Graph)
	if errors.Is(err, hnsw.ErrSnapshot) {
		return 0, damaged(path, int64(len(snapshotMagic)+8+len(content)), err.Error())
	}
	return after, err
}

var errHeader = errors.New("the header does not match its checksum")

func readHeader(r io.Reader) ([]byte, error) {
	fixed := make([]byte, len(snapshotMagic)+4)
	if _, err := io.ReadFull(r, fixed); err != nil {
		return nil, fmt.Errorf("read the header: %w", err)
	}
	length := binary.LittleEndian.Uint32(fixed[len(snapshotMagic):])
	if string(fixed[:len(snapshotMagic)]) != snapshotMagic || length > maxHeader {
		return nil, errHeader
	}
	content := make([]byte, length+4)
	if _, err := io.ReadFull(r, content); err != nil {
		return nil, fmt.Errorf("read the header: %w", err)
	}
	if crc32.Checksum(content[:length], castagnoli) != binary.LittleEndian.Uint32(content[length:]) {
		return nil, errHeader
	}
	return content[:length], nil
}
