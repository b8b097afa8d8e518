package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/grpc"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk/internal/pluginpb/executorpb"
)

// downloads is the plugin's side of an upload: one reader per content over one
// stream of chunks. It receives only when somebody reads, so an executor that
// is slow slows the sender; what arrives for another content meanwhile is kept.
type downloads struct {
	mu    sync.Mutex
	recv  func() (*executorpb.Chunk, error)
	parts []download
	err   error
}

type download struct {
	chunks [][]byte
	done   bool
}

func newDownloads(contents int, recv func() (*executorpb.Chunk, error)) *downloads {
	return &downloads{recv: recv, parts: make([]download, contents)}
}

// reader returns the reader of content i.
func (d *downloads) reader(i int) io.Reader { return &downloadReader{d: d, i: i} }

type downloadReader struct {
	d *downloads
	i int
}

func (r *downloadReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	part := &r.d.parts[r.i]
	for len(part.chunks) == 0 {
		if part.done {
			return 0, io.EOF
		}
		if r.d.err == nil {
			r.d.err = r.d.receive()
		}
		if r.d.err != nil && len(part.chunks) == 0 && !part.done {
			return 0, r.d.err
		}
	}
	n := copy(p, part.chunks[0])
	part.chunks[0] = part.chunks[0][n:]
	if len(part.chunks[0]) == 0 {
		part.chunks = part.chunks[1:]
	}
	return n, nil
}

// receive takes one chunk from the stream to its content.
func (d *downloads) receive() error {
	chunk, err := d.recv()
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	i := chunk.GetContent()
	if i < 0 || i >= int64(len(d.parts)) || d.parts[i].done {
		return fmt.Errorf("content %d of an upload: %w: not announced, or after its end", i, core.ErrInvalid)
	}
	if len(chunk.GetData()) > 0 {
		d.parts[i].chunks = append(d.parts[i].chunks, chunk.GetData())
	}
	d.parts[i].done = chunk.GetLast()
	return nil
}

// content is one thing to upload. A nil reader is skipped.
type content struct {
	index  int64
	name   string
	reader io.Reader
}

// sendContents uploads contents in their order.
func sendContents(contents []content, send func(*executorpb.Chunk) error) error {
	for _, c := range contents {
		if c.reader == nil {
			continue
		}
		if err := sendContent(c, send); err != nil {
			return err
		}
	}
	return nil
}

func sendContent(c content, send func(*executorpb.Chunk) error) error {
	for {
		buf := make([]byte, chunkBytes) // gRPC may keep it until the message is on the wire
		n, err := io.ReadFull(c.reader, buf)
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return fmt.Errorf("read %s: %w", c.name, err)
		}
		if sendErr := send(&executorpb.Chunk{Content: c.index, Data: buf[:n], Last: last}); sendErr != nil || last {
			return sendErr
		}
	}
}

// exchange runs an upload beside the reading of the answers. An error of the
// upload that is not the stream's own cancels the call and is returned. When
// the call is over before a content was read to its end, contents that are
// io.Closers are closed, so that a blocked read ends.
func exchange(ctx context.Context, cancel context.CancelCauseFunc, stream grpc.ClientStream, upload func() error, contents []content, receive func() error) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := ignoreEOF(upload()); err != nil {
			cancel(err)
			return
		}
		if err := stream.CloseSend(); err != nil {
			cancel(err)
		}
	}()
	err := receive()
	cause := context.Cause(ctx)
	select {
	case <-done:
	default:
		cancel(context.Canceled)
		closeContents(contents)
		<-done
	}
	if err != nil && cause != nil && errors.Is(err, context.Canceled) {
		return cause
	}
	return err
}

// closeContents closes what can be closed; the call is over, so an error of
// Close has nothing left to say.
func closeContents(contents []content) {
	for _, c := range contents {
		if closer, ok := c.reader.(io.Closer); ok {
			_ = closer.Close()
		}
	}
}
