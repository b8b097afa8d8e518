package p2p

import (
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/zerostate/zerostate/core"
)

// startRelay starts a relay and a node that has a slot there.
func startRelay(t *testing.T) (relay, hidden *Node) {
	t.Helper()
	relay = startNode(t, "relay", func(c *Config) { c.Relay = true })
	hidden = startNode(t, "hidden", func(c *Config) {
		c.Bootstrap = relay.Addrs()
		c.Server = false
		c.Reachability = ReachablePrivate
	})
	if err := hidden.Handle(ProtocolIndex, echo); err != nil {
		t.Fatal(err)
	}
	if err := hidden.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	until, err := hidden.Reserve(t.Context(), relay.DID())
	if err != nil || !until.After(time.Now()) {
		t.Fatalf("slot until %s, %v", until, err)
	}
	return relay, hidden
}

func callOn(t *testing.T, from, to *Node, path string) {
	t.Helper()
	s, err := from.OpenVia(t.Context(), to.DID(), path, ProtocolIndex)
	if err != nil {
		t.Fatalf("open via %s: %v", path, err)
	}
	defer s.Reset()
	if s.Path() != path {
		t.Errorf("got path %s, want %s", s.Path(), path)
	}
	if f, err := s.Call(query("hello")); err != nil || f.GetQuery().GetText() != "hello" {
		t.Errorf("via %s: got %v, %v", path, f, err)
	}
}

func TestOpenViaRelayOnly(t *testing.T) {
	relay, hidden := startRelay(t)
	caller := startNode(t, "caller", func(c *Config) { c.Bootstrap = relay.Addrs() })
	if err := caller.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	path := string(relay.DID())
	callOn(t, caller, hidden, path)
	callOn(t, caller, hidden, path)
	if got := caller.host.Network().Connectedness(hidden.PeerID()); got != network.Limited {
		t.Errorf("got %s, want a connection through the relay alone", got)
	}
	// The best connection there is, is the relayed one.
	s, err := caller.Open(t.Context(), hidden.DID(), ProtocolIndex)
	if err != nil || s.Path() != path {
		t.Fatalf("got %v, want a stream via the relay", err)
	}
	s.Reset()
	_, err = caller.OpenVia(t.Context(), hidden.DID(), path, ProtocolTask)
	wantErr(t, "a protocol that is not spoken", err, core.ErrUnsupported)
}

// The router may choose a relay though a direct connection exists.
func TestOpenViaBesideDirect(t *testing.T) {
	relay, hidden := startRelay(t)
	caller := startNode(t, "caller", func(c *Config) { c.Bootstrap = relay.Addrs() })
	if err := caller.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := caller.AddAddrs(hidden.DID(), directAddrs(hidden), time.Hour); err != nil {
		t.Fatal(err)
	}
	path := string(relay.DID())
	callOn(t, caller, hidden, PathDirect)
	callOn(t, caller, hidden, path)
	callOn(t, caller, hidden, path)
	callOn(t, caller, hidden, PathDirect)
	if n := len(caller.paths.circuits); n != 1 {
		t.Errorf("got %d circuits, want one that is used again", n)
	}
	// Once the direct connection is gone, the peer's next stream ends the circuit.
	for _, c := range caller.host.Network().ConnsToPeer(hidden.PeerID()) {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	circuit := caller.paths.circuit(hidden.PeerID(), relay.PeerID())
	if circuit == nil {
		t.Fatal("no circuit")
	}
	if err := circuit.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, "the circuit is dropped", func() bool {
		return caller.paths.circuit(hidden.PeerID(), relay.PeerID()) == nil
	})
	callOn(t, caller, hidden, path)
}

func directAddrs(n *Node) []string {
	var out []string
	for _, a := range n.host.Network().ListenAddresses() {
		if s := a.String(); !strings.Contains(s, "p2p-circuit") {
			out = append(out, s)
		}
	}
	return out
}

func TestOpenViaFails(t *testing.T) {
	relay, hidden := startRelay(t)
	caller := startNode(t, "caller", func(c *Config) {
		c.Bootstrap = relay.Addrs()
		c.Deny = []string{string(didOf("denied"))}
	})
	if err := caller.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := caller.OpenVia(t.Context(), hidden.DID(), "nowhere", ProtocolIndex)
	wantErr(t, "no path", err, core.ErrInvalid)
	_, err = caller.OpenVia(t.Context(), "did:x", PathDirect, ProtocolIndex)
	wantErr(t, "no did", err, core.ErrInvalid)
	_, err = caller.OpenVia(t.Context(), didOf("nobody"), string(relay.DID()), ProtocolIndex)
	wantErr(t, "a node without a slot", err, core.ErrUnavailable)
	_, err = caller.OpenVia(t.Context(), didOf("nobody"), PathDirect, ProtocolIndex)
	wantErr(t, "a node that nobody knows", err, core.ErrUnavailable)
	_, err = caller.OpenVia(t.Context(), didOf("denied"), string(relay.DID()), ProtocolIndex)
	wantErr(t, "a denied node", err, core.ErrDenied)
	_, err = caller.Reserve(t.Context(), hidden.DID())
	if err == nil {
		t.Error("reserve at a node that is no relay: got no error")
	}
	_, err = caller.Reserve(t.Context(), "did:x")
	wantErr(t, "reserve at no did", err, core.ErrInvalid)
}

func TestStaticRelays(t *testing.T) {
	relay := startNode(t, "relay", func(c *Config) { c.Relay = true })
	hidden := startNode(t, "hidden", func(c *Config) {
		c.Relays, c.Bootstrap = relay.Addrs(), relay.Addrs()
		c.Reachability, c.HolePunching = ReachablePrivate, true
	})
	if err := hidden.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	// On the loopback libp2p announces no circuit address, but takes the slot.
	await(t, "a slot at the relay", func() bool {
		return hidden.host.ConnManager().IsProtected(relay.PeerID(), "autorelay")
	})
}

func TestNodeThatOnlyDials(t *testing.T) {
	server := startNode(t, "server", nil)
	if err := server.Handle(ProtocolIndex, echo); err != nil {
		t.Fatal(err)
	}
	n := startNode(t, "dialler", func(c *Config) { c.Listen, c.Server, c.Bootstrap = nil, false, server.Addrs() })
	if err := n.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f, err := n.Ask(t.Context(), server.DID(), ProtocolIndex, query("x")); err != nil || f.GetQuery().GetText() != "x" {
		t.Errorf("got %v, %v", f, err)
	}
}

func TestAnnounceAndLocalPeers(t *testing.T) {
	n := startNode(t, "a", func(c *Config) {
		c.Announce = []string{"/dns4/node.example/udp/4001/quic-v1"}
	})
	await(t, "the announced address alone", func() bool {
		a := n.Addrs()
		return len(a) == 1 && strings.HasPrefix(a[0], "/dns4/node.example/")
	})
	b := startNode(t, "b", func(c *Config) { c.AllowPrivate = false })
	info := n.host.Peerstore().PeerInfo(n.PeerID())
	info.Addrs = n.host.Network().ListenAddresses()
	(*mdnsFound)(b).HandlePeerFound(info)
	await(t, "what mDNS finds is dialled, private or not", func() bool {
		return b.host.Network().Connectedness(n.PeerID()) == network.Connected
	})
	(*mdnsFound)(n).HandlePeerFound(info) // itself: nothing
}
