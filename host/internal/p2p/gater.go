package p2p

import (
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/zerostate/zerostate/core"
)

// gater decides with whom the node speaks, and which addresses it dials.
type gater struct {
	allow, deny  gateList
	allowPrivate bool

	mu      sync.Mutex
	trusted map[peer.ID]bool // named by the operator or seen on the local network
}

type gateList struct {
	peers map[peer.ID]bool
	nets  []*net.IPNet
}

func newGater(allow, deny []string, allowPrivate bool) (*gater, error) {
	g := &gater{allowPrivate: allowPrivate, trusted: map[peer.ID]bool{}}
	var err error
	if g.allow, err = parseGateList(allow); err != nil {
		return nil, fmt.Errorf("allow: %w", err)
	}
	if g.deny, err = parseGateList(deny); err != nil {
		return nil, fmt.Errorf("deny: %w", err)
	}
	return g, nil
}

func parseGateList(entries []string) (gateList, error) {
	l := gateList{peers: map[peer.ID]bool{}}
	for _, e := range entries {
		switch {
		case strings.HasPrefix(e, "did:"):
			did, err := core.ParseDID(e)
			if err != nil {
				return l, err
			}
			id, err := PeerOf(did)
			if err != nil {
				return l, err
			}
			l.peers[id] = true
		case strings.ContainsAny(e, "/:."):
			_, n, err := net.ParseCIDR(e)
			if err != nil {
				return l, fmt.Errorf("%q is no address range (10.0.0.0/8): %w", e, core.ErrInvalid)
			}
			l.nets = append(l.nets, n)
		default:
			id, err := peer.Decode(e)
			if err != nil {
				return l, fmt.Errorf("%q is neither a node did, a peer id nor an address range: %w", e, core.ErrInvalid)
			}
			l.peers[id] = true
		}
	}
	return l, nil
}

func (l gateList) empty() bool { return len(l.peers) == 0 && len(l.nets) == 0 }

func (l gateList) hasAddr(a ma.Multiaddr) bool {
	ip, err := manet.ToIP(a)
	if err != nil {
		return false
	}
	for _, n := range l.nets {
		if n.Contains(ip) {
			return true
		}
	}
	return false
}

// trust lets private addresses of these peers be dialled.
func (g *gater) trust(infos ...peer.AddrInfo) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, info := range infos {
		g.trusted[info.ID] = true
	}
}

func (g *gater) trusts(id peer.ID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.trusted[id]
}

func (g *gater) peerOK(id peer.ID) bool {
	if g.deny.peers[id] {
		return false
	}
	return g.allow.empty() || len(g.allow.nets) > 0 || g.allow.peers[id]
}

// dialable says whether an address of a peer may be dialled.
func (g *gater) dialable(id peer.ID, a ma.Multiaddr) bool {
	if !g.peerOK(id) || g.deny.hasAddr(a) {
		return false
	}
	if g.allowPrivate || g.trusts(id) {
		return true
	}
	if _, err := manet.ToIP(a); err != nil {
		return true // a name or a circuit; what it resolves to is asked about again
	}
	return manet.IsPublicAddr(a)
}

// InterceptPeerDial refuses denied peers.
func (g *gater) InterceptPeerDial(id peer.ID) bool { return g.peerOK(id) }

// InterceptAddrDial refuses denied ranges, and private addresses unless allowed.
func (g *gater) InterceptAddrDial(id peer.ID, a ma.Multiaddr) bool {
	if via, ok := relayOf(a); ok {
		return g.peerOK(via) && g.peerOK(id)
	}
	return g.dialable(id, a)
}

// InterceptAccept refuses denied ranges.
func (g *gater) InterceptAccept(c network.ConnMultiaddrs) bool {
	return !g.deny.hasAddr(c.RemoteMultiaddr())
}

// InterceptSecured refuses denied peers, and those that are not allowed.
func (g *gater) InterceptSecured(_ network.Direction, id peer.ID, c network.ConnMultiaddrs) bool {
	if !g.peerOK(id) {
		return false
	}
	return g.allow.empty() || g.allow.peers[id] || g.allow.hasAddr(c.RemoteMultiaddr())
}

// InterceptUpgraded lets through what InterceptSecured did.
func (g *gater) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
