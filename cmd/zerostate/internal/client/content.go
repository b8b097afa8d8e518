package client

import (
	"context"
	"errors"
	"fmt"
	"io"

	"connectrpc.com/connect"

	"github.com/zerostate/zerostate/api/nodev1"
)

// chunkBytes is how much content one message carries.
const chunkBytes = 256 << 10

// Add sends content to the node's store: private, or public.
func (c *Client) Add(ctx context.Context, r io.Reader, public bool) (*nodev1.ArtifactAddResponse, error) {
	stream := c.Artifact.Add(ctx)
	buf := make([]byte, chunkBytes)
	for first := true; ; first = false {
		n, err := io.ReadFull(r, buf)
		if n > 0 || first {
			if sendErr := stream.Send(&nodev1.ArtifactAddRequest{Data: buf[:n], Public: public}); sendErr != nil {
				if errors.Is(sendErr, io.EOF) {
					break // the node has answered already: its answer says why
				}
				return nil, sendErr
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("read content: %w", err), closeAdd(stream))
		}
	}
	resp, err := stream.CloseAndReceive()
	if err != nil {
		return nil, err
	}
	return resp.Msg, nil
}

// closeAdd ends a stream whose answer does not count.
func closeAdd(s *connect.ClientStreamForClient[nodev1.ArtifactAddRequest, nodev1.ArtifactAddResponse]) error {
	_, err := s.CloseAndReceive()
	return err
}

// Fetch writes content of the node's store, or public content, to w and returns
// its size. maxBytes 0 leaves the bound to the node.
func (c *Client) Fetch(ctx context.Context, cid string, maxBytes int64, w io.Writer) (int64, error) {
	stream, err := c.Artifact.Get(ctx, connect.NewRequest(&nodev1.ArtifactGetRequest{Cid: cid, MaxBytes: maxBytes}))
	if err != nil {
		return 0, err
	}
	var size int64
	for stream.Receive() {
		n, err := w.Write(stream.Msg().GetData())
		size += int64(n)
		if err != nil {
			return size, errors.Join(err, stream.Close())
		}
	}
	return size, errors.Join(stream.Err(), stream.Close())
}
