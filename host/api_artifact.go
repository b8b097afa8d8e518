package host

import (
	"context"
	"errors"
	"fmt"
	"io"

	"connectrpc.com/connect"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/core"
)

// artifactChunk is how much content one message of a stream carries, bytes.
const artifactChunk = 256 << 10

// artifactService stores and fetches content by CID.
type artifactService struct{ n *Node }

// Add stores content: private, or public (provided and served over bitswap).
func (s artifactService) Add(ctx context.Context, stream *connect.ClientStream[nodev1.ArtifactAddRequest]) (*connect.Response[nodev1.ArtifactAddResponse], error) {
	r := &chunkReader{stream: stream}
	if stream.Receive() {
		r.left = stream.Msg().GetData()
	} else if err := stream.Err(); err != nil {
		return nil, err
	}
	c, err := s.n.AddContent(ctx, r, stream.Msg().GetPublic())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&nodev1.ArtifactAddResponse{Cid: c.CID, Sha256: c.SHA256, SizeBytes: c.SizeBytes}), nil
}

// chunkReader reads the bytes of a stream of chunks.
type chunkReader struct {
	stream *connect.ClientStream[nodev1.ArtifactAddRequest]
	left   []byte
}

// Read answers what is left of a chunk, else of the next that is not empty.
func (r *chunkReader) Read(p []byte) (int, error) {
	for len(r.left) == 0 {
		if !r.stream.Receive() {
			if err := r.stream.Err(); err != nil {
				return 0, err
			}
			return 0, io.EOF
		}
		r.left = r.stream.Msg().GetData()
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

// Get streams content that this node holds or, if public, can fetch.
func (s artifactService) Get(ctx context.Context, req *connect.Request[nodev1.ArtifactGetRequest], stream *connect.ServerStream[nodev1.ArtifactGetResponse]) error {
	if req.Msg.GetMaxBytes() < 0 {
		return &core.FieldError{Path: "max_bytes", Problem: "not negative"}
	}
	r, err := s.n.OpenContent(ctx, req.Msg.GetCid(), req.Msg.GetMaxBytes())
	if err != nil {
		return err
	}
	return errors.Join(sendAll(r, stream), r.Close())
}

func sendAll(r io.Reader, stream *connect.ServerStream[nodev1.ArtifactGetResponse]) error {
	buf := make([]byte, artifactChunk)
	for {
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			if serr := stream.Send(&nodev1.ArtifactGetResponse{Data: buf[:n]}); serr != nil {
				return serr
			}
		}
		switch {
		case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF): //nolint:errorlint // io.ReadFull answers a bare EOF
			return nil
		case err != nil:
			return fmt.Errorf("read content: %w", err)
		}
	}
}
