package wasmrun

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/zerostate/zerostate/core"
)

// stream sends what a guest writes to one place, counts and hashes it. The
// guest's goroutine alone uses it.
type stream struct {
	kind core.RunStream
	name string // of the output, "stdout" or "stderr"
	most int64
	size int64
	hash hash.Hash
	emit func(core.RunEvent) error
}

func newStream(kind core.RunStream, name string, most int64, emit func(core.RunEvent) error) *stream {
	return &stream{kind: kind, name: name, most: most, hash: sha256.New(), emit: emit}
}

// Write implements io.Writer for wazero. It stops the guest by a panic where the
// limit is reached or nobody takes the output; wazero gives that back as an error.
func (s *stream) Write(p []byte) (int, error) {
	fits := int(min(int64(len(p)), s.most-s.size))
	if err := s.send(p[:fits]); err != nil {
		panic(&emitError{err})
	}
	if fits < len(p) {
		panic(&limitError{reason: fmt.Sprintf("%s: more than %d bytes", s.name, s.most)})
	}
	return len(p), nil
}

// send emits p in chunks.
func (s *stream) send(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), chunkBytes)
		s.hash.Write(p[:n]) //nolint:errcheck,gosec // a hash never fails
		s.size += int64(n)
		if err := s.emit(s.event(p[:n], false)); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// copyFrom sends everything that r has.
func (s *stream) copyFrom(r io.Reader) error {
	buf := make([]byte, chunkBytes)
	for {
		n, err := r.Read(buf)
		if sendErr := s.send(buf[:n]); sendErr != nil {
			return sendErr
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// end says that nothing more follows.
func (s *stream) end() error { return s.emit(s.event(nil, true)) }

func (s *stream) event(data []byte, last bool) core.RunEvent {
	e := core.RunEvent{Stream: s.kind, Data: data, Last: last}
	if s.kind == core.RunOutput {
		e.Name = s.name
	}
	return e
}

func (s *stream) digest() core.RunOutputDigest {
	return core.RunOutputDigest{Name: s.name, SHA256: hex.EncodeToString(s.hash.Sum(nil)), SizeBytes: s.size}
}
