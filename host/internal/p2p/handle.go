package p2p

import (
	"bufio"
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/peerpb"
)

// Handler serves one stream. Its context ends with the node, with the stream's
// total time, and when the handler returns, which closes the stream; an error
// is sent to the peer as an Error frame first (see EncodeError).
type Handler func(ctx context.Context, s *Stream) error

// Handle answers a protocol (ProtocolIndex, ...) under the limits that the table
// has for it. What exceeds them is refused with core.ErrExhausted.
func (n *Node) Handle(name string, h Handler) error {
	l, ok := n.limits[name]
	if !ok {
		return fmt.Errorf("protocol %s is not in the table of limits: %w", name, core.ErrInvalid)
	}
	all := &budgets{limits: l, now: time.Now, peers: map[peer.ID]*budget{}}
	n.host.SetStreamHandler(n.protocolID(name), func(raw network.Stream) {
		n.wg.Go(func() { n.serve(name, raw, all, h) })
	})
	return nil
}

func (n *Node) serve(name string, raw network.Stream, all *budgets, h Handler) {
	id := raw.Conn().RemotePeer()
	did, err := DIDOfPeer(id)
	if err != nil || n.ctx.Err() != nil {
		_ = raw.Reset()
		return
	}
	b := all.of(id)
	s := newStream(raw, pathOf(raw.Conn().RemoteMultiaddr()), did, all.limits, b)
	if err := b.open(); err != nil {
		n.refuse(name, s, err)
		return
	}
	s.onClose = func() { s.release(); b.close() }
	ctx := n.ctx
	if all.limits.Total > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, s.end)
		defer cancel()
	}
	stop := s.ResetOn(ctx)
	defer stop()
	if err := h(ctx, s); err != nil {
		n.log.Debug("stream ended", "protocol", name, "peer", did, "error", err)
		if s.WriteError(err) != nil {
			s.Reset()
			return
		}
	}
	if err := s.Close(); err != nil {
		n.log.Debug("close stream", "protocol", name, "peer", did, "error", err)
	}
}

// refuse tells a peer why its stream is not served.
func (n *Node) refuse(name string, s *Stream, err error) {
	n.log.Warn("stream refused", "protocol", name, "peer", s.remote, "error", err)
	s.limits.Idle = time.Second
	if s.WriteError(&core.RetryError{Err: err, After: time.Second}) != nil || s.Close() != nil {
		s.Reset()
	}
}

// Open opens a stream of a protocol to a node by whichever connection is best,
// and finds the node in the DHT where its addresses are not known. Errors:
// core.ErrUnsupported where the node does not speak the protocol on this
// network, core.ErrUnavailable.
func (n *Node) Open(ctx context.Context, node core.DID, name string) (*Stream, error) {
	id, err := PeerOf(node)
	if err != nil {
		return nil, err
	}
	if err := n.connect(ctx, id); err != nil {
		return nil, err
	}
	raw, err := n.host.NewStream(network.WithAllowLimitedConn(ctx, name), id, n.protocolID(name))
	if err != nil {
		return nil, openError(ctx, node, name, err)
	}
	return n.opened(raw, pathOf(raw.Conn().RemoteMultiaddr()), node, name), nil
}

func (n *Node) opened(raw network.MuxedStream, path string, node core.DID, name string) *Stream {
	l := n.limits[name]
	l.FirstFrame = max(l.FirstFrame, l.Idle) // the answer may take as long as the work
	return newStream(raw, path, node, l, newBudget(Limits{BytesInFlight: l.BytesInFlight}, time.Now))
}

func newStream(raw network.MuxedStream, path string, did core.DID, l Limits, b *budget) *Stream {
	s := &Stream{
		raw: raw, r: bufio.NewReaderSize(raw, 16<<10), remote: did, limits: l, budget: b,
		now: time.Now, path: path,
	}
	total := l.Total
	if total == 0 {
		total = 24 * time.Hour
	}
	s.end = time.Now().Add(total)
	return s
}

// Ask opens a stream, sends one frame, reads one answer and closes the stream.
func (n *Node) Ask(ctx context.Context, node core.DID, name string, f *peerpb.Frame) (*peerpb.Frame, error) {
	s, err := n.Open(ctx, node, name)
	if err != nil {
		return nil, err
	}
	stop := s.ResetOn(ctx)
	defer stop()
	answer, err := s.Call(f)
	if err != nil {
		s.Reset()
		if ctx.Err() != nil {
			return nil, fmt.Errorf("ask %s: %w", node, context.Cause(ctx))
		}
		return nil, err
	}
	if err := s.Close(); err != nil {
		n.log.Debug("close stream", "protocol", name, "peer", node, "error", err)
	}
	return answer, nil
}

func openError(ctx context.Context, node core.DID, name string, err error) error {
	err = fmt.Errorf("open %s to %s: %w", name, node, err)
	if isNotSupported(err) {
		return fmt.Errorf("%w: %w", err, core.ErrUnsupported)
	}
	return unavailable(ctx, err)
}
