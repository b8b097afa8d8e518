package p2p

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"

	"github.com/zerostate/zerostate/core"
)

// RTT is what the node has measured to a peer.
type RTT struct {
	Mean, Jitter time.Duration // moving averages
	Samples      int
	Loss         float64 // share of pings without answer, moving average, 0..1
}

// rttTable keeps moving averages of pings.
type rttTable struct {
	mu    sync.Mutex
	peers map[peer.ID]RTT
}

const rttWeight = 0.2

func (t *rttTable) note(id peer.ID, d time.Duration, ok bool) RTT {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.peers == nil {
		t.peers = map[peer.ID]RTT{}
	}
	r := t.peers[id]
	lost := 0.0
	if !ok {
		lost = 1
	}
	r.Loss += rttWeight * (lost - r.Loss)
	if ok {
		r.add(d)
	}
	t.peers[id] = r
	return r
}

func (r *RTT) add(d time.Duration) {
	r.Samples++
	if r.Samples == 1 {
		r.Mean = d
		return
	}
	r.Jitter += time.Duration(rttWeight * float64((d-r.Mean).Abs()-r.Jitter))
	r.Mean += time.Duration(rttWeight * float64(d-r.Mean))
}

// Ping measures the round trip to a node over its best connection and adds it
// to the averages that RTT returns. The error is core.ErrUnavailable.
func (n *Node) Ping(ctx context.Context, node core.DID) (time.Duration, error) {
	id, err := PeerOf(node)
	if err != nil {
		return 0, err
	}
	if err := n.connect(ctx, id); err != nil {
		n.rtts.note(id, 0, false)
		return 0, err
	}
	ctx, cancel := context.WithCancel(network.WithAllowLimitedConn(ctx, "ping"))
	defer cancel()
	select {
	case r := <-ping.Ping(ctx, n.host, id):
		n.rtts.note(id, r.RTT, r.Error == nil)
		if r.Error != nil {
			return 0, unavailable(ctx, fmt.Errorf("ping %s: %w", node, r.Error))
		}
		return r.RTT, nil
	case <-ctx.Done():
		n.rtts.note(id, 0, false)
		return 0, fmt.Errorf("ping %s: %w", node, context.Cause(ctx))
	}
}

// RTT returns the averages of a node's pings, or, where it was never pinged,
// libp2p's own estimate with no samples.
func (n *Node) RTT(node core.DID) RTT {
	id, err := PeerOf(node)
	if err != nil {
		return RTT{}
	}
	n.rtts.mu.Lock()
	defer n.rtts.mu.Unlock()
	if r, ok := n.rtts.peers[id]; ok && r.Samples > 0 {
		return r
	}
	return RTT{Mean: n.host.Peerstore().LatencyEWMA(id)}
}
