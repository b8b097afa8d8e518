package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/guild"
	"github.com/zerostate/zerostate/host/internal/p2p"
	"github.com/zerostate/zerostate/host/internal/peerpb"
)

// chunkSize is how much content one frame carries (PROTOCOL.md, "Between nodes").
const chunkSize = 64 << 10

// ringStream is the name of a task's stream inside its guild.
const ringStream = "task"

// ring carries the sealed messages of one guild over one task stream.
type ring struct {
	frames  frames
	session *guild.Session
	rand    io.Reader
	sending sync.Mutex // generation order is the order on the wire
}

// messages is the table of what a guild of two says: each type, which is
// authenticated with the message, and an empty message of it.
func messages() map[guild.FrameType]func() proto.Message {
	return map[guild.FrameType]func() proto.Message{
		guild.FrameInput:   func() proto.Message { return new(peerpb.Input) },
		guild.FrameOutput:  func() proto.Message { return new(peerpb.Output) },
		guild.FrameEvent:   func() proto.Message { return new(peerpb.Event) },
		guild.FrameReceipt: func() proto.Message { return new(peerpb.Receipt) },
		guild.FrameSettle:  func() proto.Message { return new(peerpb.Settle) },
		guild.FrameCancel:  func() proto.Message { return new(peerpb.Cancel) },
		guild.FrameError:   func() proto.Message { return new(peerpb.Error) },
	}
}

// send seals a message for the other member.
func (r *ring) send(m proto.Message) error {
	var kind guild.FrameType
	for k, empty := range messages() {
		if empty().ProtoReflect().Descriptor() == m.ProtoReflect().Descriptor() {
			kind = k
		}
	}
	plain, err := proto.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode %s: %w", kind, err)
	}
	r.sending.Lock()
	defer r.sending.Unlock()
	f, err := r.session.Seal(ringStream, kind, plain, r.rand)
	if err != nil {
		return err
	}
	return r.frames.WriteFrame(&peerpb.Frame{Body: &peerpb.Frame_Sealed{Sealed: &peerpb.Sealed{
		Type: string(f.Type), Generation: f.Generation, Stream: f.Stream, Sealed: f.Sealed,
	}}})
}

// recv opens the next message of the other member. An Error in clear, as a node
// sends before the guild is formed, comes back as an error.
func (r *ring) recv() (proto.Message, error) {
	f, err := r.frames.ReadFrame()
	if err != nil {
		return nil, err
	}
	if e := f.GetError(); e != nil {
		return nil, p2p.DecodeError(e)
	}
	s := f.GetSealed()
	if s == nil || s.GetStream() != ringStream {
		return nil, fmt.Errorf("want a sealed frame of the task's stream: %w", core.ErrInvalid)
	}
	kind := guild.FrameType(s.GetType())
	empty, ok := messages()[kind]
	if !ok {
		return nil, fmt.Errorf("sealed frame of unknown type %.32q: %w", s.GetType(), core.ErrInvalid)
	}
	plain, err := r.session.Open(guild.Frame{Stream: s.GetStream(), Type: kind, Generation: s.GetGeneration(), Sealed: s.GetSealed()})
	if err != nil {
		return nil, err
	}
	m := empty()
	if err := proto.Unmarshal(plain, m); err != nil {
		return nil, fmt.Errorf("%s frame (%w): %w", kind, err, core.ErrInvalid)
	}
	return m, nil
}

// pushInput sends an input's content in chunks.
func (r *ring) pushInput(name, cid string, content io.Reader) error {
	return chunks(content, func(offset int64, data []byte, last bool) error {
		return r.send(&peerpb.Input{Name: name, Cid: cid, Offset: offset, Bytes: data, Last: last})
	})
}

// pushOutput sends an output's content in chunks.
func (r *ring) pushOutput(name, cid string, content io.Reader) error {
	return chunks(content, func(offset int64, data []byte, last bool) error {
		return r.send(&peerpb.Output{Name: name, Cid: cid, Offset: offset, Bytes: data, Last: last})
	})
}

// chunks cuts content into pieces of chunkSize; the last one, which may be
// empty, says so.
func chunks(content io.Reader, send func(offset int64, data []byte, last bool) error) error {
	var offset int64
	buf := make([]byte, chunkSize)
	for {
		n, err := io.ReadFull(content, buf)
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return fmt.Errorf("read content: %w", err)
		}
		if err := send(offset, buf[:n], last); err != nil {
			return err
		}
		if last {
			return nil
		}
		offset += int64(n)
	}
}

// intake takes the chunks of one piece of content as they come and stores it as
// private content.
type intake struct {
	pipe *io.PipeWriter
	next int64 // offset of the next chunk
	last bool  // the last chunk was taken
	done chan struct{}
	ref  contentRef
	err  error
}

// contentRef is content in the node's store.
type contentRef struct {
	CID       string
	SHA256    string
	SizeBytes int64
}

// newIntake starts storing; at most limit bytes are taken.
func (n *Node) newIntake(ctx context.Context, limit int64) *intake {
	r, w := io.Pipe()
	in := &intake{pipe: w, done: make(chan struct{})}
	n.work.Go(func() {
		defer close(in.done)
		info, err := n.net.Content().Add(ctx, io.LimitReader(r, limit+1), false)
		if err == nil && info.SizeBytes > limit {
			err = fmt.Errorf("content is larger than %d bytes: %w", limit, core.ErrExhausted)
		}
		in.ref, in.err = contentRef(info), err
		_ = r.CloseWithError(err) // the writer learns why; closing a pipe never fails
	})
	return in
}

// take stores one chunk and reports whether it was the last.
func (in *intake) take(offset int64, data []byte, last bool) error {
	if offset != in.next || len(data) > chunkSize {
		return fmt.Errorf("chunk of %d bytes at %d, want at %d: %w", len(data), offset, in.next, core.ErrInvalid)
	}
	in.next += int64(len(data))
	if _, err := in.pipe.Write(data); err != nil {
		return fmt.Errorf("store content: %w", err)
	}
	if last {
		in.last = true
		return in.pipe.Close()
	}
	return nil
}

// wait answers what was stored.
func (in *intake) wait(ctx context.Context) (contentRef, error) {
	select {
	case <-in.done:
		return in.ref, in.err
	case <-ctx.Done():
		in.abort(context.Cause(ctx))
		return contentRef{}, context.Cause(ctx)
	}
}

// abort ends the storing of content that will not be complete.
func (in *intake) abort(err error) { _ = in.pipe.CloseWithError(err) } // never fails
