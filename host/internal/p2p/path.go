package p2p

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multistream"

	"github.com/zerostate/zerostate/core"
)

// PathDirect is the path that uses no relay; every other path is a relay's did.
const PathDirect = "direct"

// relayOf returns the relay of a circuit address.
func relayOf(a ma.Multiaddr) (peer.ID, bool) {
	var last, via peer.ID
	circuit := false
	ma.ForEach(a, func(c ma.Component) bool {
		switch c.Protocol().Code {
		case ma.P_P2P:
			if id, err := peer.IDFromBytes(c.RawValue()); err == nil {
				last = id
			}
		case ma.P_CIRCUIT:
			via, circuit = last, true
			return false
		}
		return true
	})
	return via, circuit
}

func pathOf(a ma.Multiaddr) string {
	via, circuit := relayOf(a)
	if !circuit {
		return PathDirect
	}
	did, err := DIDOfPeer(via)
	if err != nil {
		return via.String()
	}
	return string(did)
}

// Reserve takes a slot at a relay, so that others reach this node through it;
// it returns when the slot ends. Config.Relays does so by itself.
func (n *Node) Reserve(ctx context.Context, relay core.DID) (time.Time, error) {
	id, err := PeerOf(relay)
	if err != nil {
		return time.Time{}, err
	}
	if err := n.connect(ctx, id); err != nil {
		return time.Time{}, err
	}
	slot, err := client.Reserve(ctx, n.host, peer.AddrInfo{ID: id})
	if err != nil {
		return time.Time{}, unavailable(ctx, fmt.Errorf("reserve at %s: %w", relay, err))
	}
	return slot.Expiration, nil
}

// OpenVia opens a stream of a protocol along the path that the router chose:
// PathDirect or a relay's node did. It does not fall back to another path.
// Errors: core.ErrUnavailable where the path does not work, core.ErrUnsupported
// where the node does not speak the protocol, core.ErrInvalid for no path.
func (n *Node) OpenVia(ctx context.Context, node core.DID, path, name string) (*Stream, error) {
	id, err := PeerOf(node)
	if err != nil {
		return nil, err
	}
	var via peer.ID
	if path != PathDirect {
		if via, err = PeerOf(core.DID(path)); err != nil {
			return nil, fmt.Errorf("path %q: %w", path, err)
		}
	}
	open, err := n.opener(ctx, id, via)
	if err != nil {
		return nil, err
	}
	raw, err := open(ctx)
	if err != nil {
		return nil, openError(ctx, node, name, err)
	}
	if err := negotiate(ctx, raw, n.protocolID(name)); err != nil {
		_ = raw.Reset()
		return nil, openError(ctx, node, name, err)
	}
	return n.opened(raw, path, node, name), nil
}

// openFunc opens a stream on one connection.
type openFunc func(context.Context) (network.MuxedStream, error)

// opener returns what opens streams to id through via, or directly where via is
// empty; it dials where there is no such connection.
func (n *Node) opener(ctx context.Context, id, via peer.ID) (openFunc, error) {
	if open := n.findConn(id, via); open != nil {
		return open, nil
	}
	unlock := n.paths.lock(id, via)
	defer unlock()
	if open := n.findConn(id, via); open != nil {
		return open, nil
	}
	var err error
	if via == "" {
		err = n.dialDirect(ctx, id)
	} else {
		err = n.dialRelayed(ctx, id, via)
	}
	if err != nil {
		return nil, unavailable(ctx, fmt.Errorf("connect with %s via %s: %w", id, pathName(via), err))
	}
	if open := n.findConn(id, via); open != nil {
		return open, nil
	}
	return nil, fmt.Errorf("connection with %s via %s is gone: %w", id, pathName(via), core.ErrUnavailable)
}

func pathName(via peer.ID) string {
	if via == "" {
		return PathDirect
	}
	return via.String()
}

func (n *Node) findConn(id, via peer.ID) openFunc {
	for _, c := range n.host.Network().ConnsToPeer(id) {
		r, circuit := relayOf(c.RemoteMultiaddr())
		if c.IsClosed() || circuit != (via != "") || r != via {
			continue
		}
		return func(ctx context.Context) (network.MuxedStream, error) {
			return c.NewStream(network.WithAllowLimitedConn(ctx, "path"))
		}
	}
	if c := n.paths.circuit(id, via); c != nil {
		return func(ctx context.Context) (network.MuxedStream, error) { return c.OpenStream(ctx) }
	}
	return nil
}

func (n *Node) dialDirect(ctx context.Context, id peer.ID) error {
	ctx = network.WithForceDirectDial(ctx, "path")
	_, err := n.host.Network().DialPeer(ctx, id)
	if err == nil {
		return nil
	}
	info, findErr := n.dht.FindPeer(ctx, id)
	if findErr != nil {
		return errors.Join(err, findErr)
	}
	n.host.Peerstore().AddAddrs(id, info.Addrs, 10*time.Minute)
	_, err = n.host.Network().DialPeer(ctx, id)
	return err
}

// dialRelayed connects through a relay. Where a direct connection exists the
// swarm would not dial again, so the circuit is kept beside it.
func (n *Node) dialRelayed(ctx context.Context, id, via peer.ID) error {
	if err := n.connect(ctx, via); err != nil {
		return err
	}
	addr, err := ma.NewMultiaddr("/p2p/" + via.String() + "/p2p-circuit/p2p/" + id.String())
	if err != nil {
		return fmt.Errorf("circuit address: %w", err)
	}
	if !n.gater.InterceptPeerDial(id) || !n.gater.InterceptAddrDial(id, addr) {
		return fmt.Errorf("policy: %w", core.ErrDenied)
	}
	if n.host.Network().Connectedness(id) == network.NotConnected {
		ctx := network.WithAllowLimitedConn(ctx, "path")
		if err := n.host.Connect(ctx, peer.AddrInfo{ID: id, Addrs: []ma.Multiaddr{addr}}); err != nil {
			return err
		}
		if n.findConn(id, via) != nil {
			return nil
		}
	}
	return n.dialCircuit(ctx, id, via, addr)
}

func (n *Node) dialCircuit(ctx context.Context, id, via peer.ID, addr ma.Multiaddr) error {
	dialer, ok := n.host.Network().(interface {
		TransportForDialing(ma.Multiaddr) transport.Transport
	})
	if !ok {
		return fmt.Errorf("no circuits beside a connection: %w", core.ErrUnsupported)
	}
	t := dialer.TransportForDialing(addr)
	if t == nil {
		return fmt.Errorf("no circuit transport: %w", core.ErrUnsupported)
	}
	c, err := n.dialWithin(ctx, t, addr, id)
	if err != nil {
		return err
	}
	if err := n.paths.keep(id, via, c); err != nil {
		return errors.Join(err, c.Close())
	}
	n.wg.Go(func() {
		defer n.paths.drop(id, via)
		for {
			s, err := c.AcceptStream()
			if err != nil {
				return
			}
			// The peer uses the direct connection for what it begins; where that
			// is gone it must not mistake this one for a whole connection.
			_ = s.Reset()
			if n.host.Network().Connectedness(id) != network.Connected {
				return
			}
		}
	})
	return nil
}

// dialWithin dials and returns when ctx ends: the circuit transport waits for the
// relay's answer for as long as it likes. A connection that comes too late is
// closed.
func (n *Node) dialWithin(ctx context.Context, t transport.Transport, addr ma.Multiaddr, id peer.ID) (transport.CapableConn, error) {
	type answer struct {
		conn transport.CapableConn
		err  error
	}
	dialed := make(chan answer, 1)
	n.wg.Go(func() {
		c, err := t.Dial(ctx, addr, id)
		dialed <- answer{c, err}
	})
	select {
	case a := <-dialed:
		return a.conn, a.err
	case <-ctx.Done():
	}
	n.wg.Go(func() {
		if a := <-dialed; a.err == nil {
			_ = a.conn.Close() // nobody waits for it
		}
	})
	return nil, ctx.Err()
}

func negotiate(ctx context.Context, raw network.MuxedStream, id protocol.ID) error {
	stop := context.AfterFunc(ctx, func() { _ = raw.Reset() })
	defer stop()
	if _, err := multistream.SelectOneOf([]protocol.ID{id}, raw); err != nil {
		return err
	}
	if s, ok := raw.(network.Stream); ok {
		return s.SetProtocol(id)
	}
	return nil
}

func isNotSupported(err error) bool {
	var one multistream.ErrNotSupported[protocol.ID]
	return errors.As(err, &one)
}

// pathTable holds circuits beside direct connections and serialises dials, per
// (peer, relay).
type pathTable struct {
	mu       sync.Mutex
	locks    map[[2]peer.ID]*sync.Mutex
	circuits map[[2]peer.ID]transport.CapableConn
	closed   bool
}

func (t *pathTable) circuit(id, via peer.ID) transport.CapableConn {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.circuits[[2]peer.ID{id, via}]
	if c == nil || c.IsClosed() {
		return nil
	}
	return c
}

func (t *pathTable) keep(id, via peer.ID, c transport.CapableConn) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return fmt.Errorf("node is closed: %w", core.ErrUnavailable)
	}
	if t.circuits == nil {
		t.circuits = map[[2]peer.ID]transport.CapableConn{}
	}
	t.circuits[[2]peer.ID{id, via}] = c
	return nil
}

func (t *pathTable) drop(id, via peer.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := [2]peer.ID{id, via}
	if c := t.circuits[key]; c != nil {
		_ = c.Close()
		delete(t.circuits, key)
	}
}

func (t *pathTable) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, c := range t.circuits {
		_ = c.Close()
	}
}

func (t *pathTable) lock(id, via peer.ID) (unlock func()) {
	t.mu.Lock()
	if t.locks == nil {
		t.locks = map[[2]peer.ID]*sync.Mutex{}
	}
	key := [2]peer.ID{id, via}
	l, ok := t.locks[key]
	if !ok {
		l = &sync.Mutex{}
		t.locks[key] = l
	}
	t.mu.Unlock()
	l.Lock()
	return l.Unlock
}
