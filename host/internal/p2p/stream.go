package p2p

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"google.golang.org/protobuf/proto"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/peerpb"
)

// Stream carries frames between two nodes. One goroutine may read while others
// write; reads do not overlap.
type Stream struct {
	raw    network.MuxedStream
	r      *bufio.Reader
	remote core.DID
	path   string
	limits Limits
	budget *budget
	end    time.Time
	now    func() time.Time

	held  int64 // bytes of the last frame, not yet consumed
	reads int

	writing sync.Mutex
	once    sync.Once
	onClose func()
}

// Remote returns the other node's did, as its key proved it.
func (s *Stream) Remote() core.DID { return s.remote }

// Path returns which way the stream takes: "direct", or the relay's node did.
func (s *Stream) Path() string { return s.path }

// ReadFrame reads the next frame. Errors: io.EOF where the other side has
// finished, context.DeadlineExceeded after the protocol's times, core.ErrInvalid
// for a frame that is too large or no Frame, core.ErrExhausted where the peer
// has more bytes in flight than it may, core.ErrUnavailable otherwise. A frame's
// bytes count as in flight until the next ReadFrame or Close.
func (s *Stream) ReadFrame() (*peerpb.Frame, error) {
	s.release()
	deadline := s.readDeadline()
	if err := s.raw.SetReadDeadline(deadline); err != nil {
		return nil, s.failure("read", err)
	}
	if err := s.budget.frame(deadline); err != nil {
		return nil, fmt.Errorf("frame from %s: %w", s.remote, err)
	}
	size, err := binary.ReadUvarint(s.r)
	if err != nil {
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		return nil, s.failure("read", err)
	}
	if size > MaxFrameBytes {
		s.Reset()
		return nil, fmt.Errorf("frame of %d bytes from %s: %w", size, s.remote, core.ErrInvalid)
	}
	if err := s.budget.acquire(int64(size), deadline); err != nil { //nolint:gosec // at most 1 MiB
		return nil, fmt.Errorf("frame of %d bytes from %s: %w", size, s.remote, err)
	}
	s.held = int64(size) //nolint:gosec // at most 1 MiB
	buf := make([]byte, size)
	if _, err := io.ReadFull(s.r, buf); err != nil {
		return nil, s.failure("read", err)
	}
	var f peerpb.Frame
	if err := proto.Unmarshal(buf, &f); err != nil || f.Body == nil {
		return nil, fmt.Errorf("frame from %s is no known message: %w", s.remote, core.ErrInvalid)
	}
	s.reads++
	return &f, nil
}

func (s *Stream) readDeadline() time.Time {
	wait := s.limits.Idle
	if s.reads == 0 {
		wait = s.limits.FirstFrame
	}
	if s.end.IsZero() || wait == 0 {
		return s.end
	}
	if d := s.now().Add(wait); d.Before(s.end) {
		return d
	}
	return s.end
}

// WriteFrame writes a frame; calls may overlap. Errors: core.ErrInvalid for a
// frame over 1 MiB, context.DeadlineExceeded, core.ErrUnavailable.
func (s *Stream) WriteFrame(f *peerpb.Frame) error {
	size := proto.Size(f)
	if size > MaxFrameBytes {
		return fmt.Errorf("frame of %d bytes: %w", size, core.ErrInvalid)
	}
	buf := binary.AppendUvarint(make([]byte, 0, size+binary.MaxVarintLen32), uint64(size)) //nolint:gosec // not negative
	buf, err := proto.MarshalOptions{}.MarshalAppend(buf, f)
	if err != nil {
		return fmt.Errorf("frame (%w): %w", err, core.ErrInvalid)
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	deadline := s.end
	if s.limits.Idle > 0 {
		if d := s.now().Add(s.limits.Idle); d.Before(s.end) {
			deadline = d
		}
	}
	if err := s.raw.SetWriteDeadline(deadline); err != nil {
		return s.failure("write", err)
	}
	if _, err := s.raw.Write(buf); err != nil {
		return s.failure("write", err)
	}
	return nil
}

// WriteError answers with an error: its sentinel and reason, nothing else.
func (s *Stream) WriteError(err error) error {
	return s.WriteFrame(&peerpb.Frame{Body: &peerpb.Frame_Error{Error: EncodeError(err)}})
}

// Call writes a frame and reads the answer; an Error frame becomes an error
// that wraps its sentinel.
func (s *Stream) Call(f *peerpb.Frame) (*peerpb.Frame, error) {
	if err := s.WriteFrame(f); err != nil {
		return nil, err
	}
	answer, err := s.ReadFrame()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s ended the stream without an answer: %w", s.remote, core.ErrUnavailable)
	}
	if err != nil {
		return nil, err
	}
	if e := answer.GetError(); e != nil {
		return nil, fmt.Errorf("%s answers: %w", s.remote, DecodeError(e))
	}
	return answer, nil
}

// CloseWrite says that nothing more will be written.
func (s *Stream) CloseWrite() error {
	if err := s.raw.CloseWrite(); err != nil {
		return s.failure("close", err)
	}
	return nil
}

// Close ends the stream; what was written still arrives.
func (s *Stream) Close() error {
	err := s.raw.Close()
	s.ended()
	if err != nil {
		return s.failure("close", err)
	}
	return nil
}

// Reset ends the stream at once, and what waits on it.
func (s *Stream) Reset() {
	_ = s.raw.Reset()
	s.ended()
}

// ResetOn resets the stream when ctx ends; call the function it returns when
// that is no longer wanted.
func (s *Stream) ResetOn(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = s.raw.Reset() })
}

func (s *Stream) ended() {
	s.once.Do(func() {
		if s.onClose != nil {
			s.onClose()
		}
	})
}

func (s *Stream) release() {
	s.budget.release(s.held)
	s.held = 0
}

func (s *Stream) failure(what string, err error) error {
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("%s stream with %s: %w", what, s.remote, context.DeadlineExceeded)
	}
	return fmt.Errorf("%s stream with %s (%w): %w", what, s.remote, err, core.ErrUnavailable)
}
