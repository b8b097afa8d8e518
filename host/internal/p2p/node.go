package p2p

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/zerostate/zerostate/core"
)

// Node is a running node. Its methods are safe for concurrent use.
type Node struct {
	cfg     Config
	log     hclog.Logger
	did     core.DID
	host    host.Host
	dht     *dht.IpfsDHT
	pubsub  *pubsub.PubSub
	gater   *gater
	content *Content
	limits  map[string]Limits
	boot    []peer.AddrInfo
	mdns    mdns.Service
	rtts    rttTable
	paths   pathTable
	witness *witnessSender

	ctx    context.Context // of everything that outlives a call; ended by Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
	topics topicTable
}

// New starts a node: it listens and answers when New returns, and is not yet
// part of the network until Join. The context bounds starting only.
func New(ctx context.Context, cfg Config) (*Node, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	n := &Node{cfg: cfg, log: cfg.Log, limits: LimitsTable()}
	maps.Copy(n.limits, cfg.Limits)
	n.ctx, n.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := n.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start node: %w", err), n.Close())
	}
	return n, nil
}

func (n *Node) start() error {
	for _, step := range []func() error{n.startHost, n.startDHT, n.startGossip, n.startContent, n.startMDNS} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) startHost() error {
	key, err := crypto.UnmarshalEd25519PrivateKey(n.cfg.Key)
	if err != nil {
		return fmt.Errorf("node key: %w", core.ErrInvalid)
	}
	if n.boot, err = addrInfos(n.cfg.Bootstrap); err != nil {
		return err
	}
	relays, err := addrInfos(n.cfg.Relays)
	if err != nil {
		return err
	}
	if n.gater, err = newGater(n.cfg.Allow, n.cfg.Deny, n.cfg.AllowPrivate); err != nil {
		return err
	}
	n.gater.trust(n.boot...)
	n.gater.trust(relays...)
	opts, err := n.cfg.libp2pOptions(key, n.gater, relays)
	if err != nil {
		return err
	}
	if n.host, err = libp2p.New(append(opts, n.cfg.Options...)...); err != nil {
		return fmt.Errorf("libp2p: %w", err)
	}
	n.did, err = DIDOfPeer(n.host.ID())
	return err
}

// Close ends every stream and connection. It returns when nothing of the node
// runs any more.
func (n *Node) Close() error {
	n.cancel()
	var errs []error
	if n.mdns != nil {
		errs = append(errs, n.mdns.Close())
	}
	n.topics.close()
	n.paths.close()
	if n.content != nil {
		errs = append(errs, n.content.close())
	}
	if n.dht != nil {
		errs = append(errs, n.dht.Close())
	}
	if n.host != nil {
		errs = append(errs, n.host.Close())
	}
	n.wg.Wait()
	return errors.Join(errs...)
}

// DID returns the node's did.
func (n *Node) DID() core.DID { return n.did }

// Network returns the network's id.
func (n *Node) Network() string { return n.cfg.Network }

// PeerID returns the node's peer id.
func (n *Node) PeerID() peer.ID { return n.host.ID() }

// Host returns the libp2p host, for what this package does not offer.
func (n *Node) Host() host.Host { return n.host }

// Content returns the node's content by CID.
func (n *Node) Content() *Content { return n.content }

// Addrs returns the multiaddrs to reach the node at, each with its peer id.
func (n *Node) Addrs() []string {
	info := peer.AddrInfo{ID: n.host.ID(), Addrs: n.host.Addrs()}
	addrs, err := peer.AddrInfoToP2pAddrs(&info)
	if err != nil {
		return nil
	}
	out := make([]string, len(addrs))
	for i, a := range addrs {
		out[i] = a.String()
	}
	return out
}

// Peers returns the node dids of the peers that are connected.
func (n *Node) Peers() []core.DID {
	var dids []core.DID
	for _, id := range n.host.Network().Peers() {
		if did, err := DIDOfPeer(id); err == nil {
			dids = append(dids, did)
		}
	}
	return dids
}

// RoutingTableSize returns how many peers the DHT's routing table holds.
func (n *Node) RoutingTableSize() int { return n.dht.RoutingTable().Size() }

// AddAddrs keeps addresses of a peer, from its card for example, for ttl.
// Addresses that do not parse, or are private where that is not allowed, are
// left out. The error is core.ErrInvalid for a did without a peer id.
func (n *Node) AddAddrs(node core.DID, addrs []string, ttl time.Duration) error {
	id, err := PeerOf(node)
	if err != nil {
		return err
	}
	var usable []ma.Multiaddr
	for _, s := range addrs {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			continue
		}
		a, of := peer.SplitAddr(a)
		if a == nil || (of != "" && of != id) || !n.gater.dialable(id, a) {
			continue
		}
		usable = append(usable, a)
	}
	n.host.Peerstore().AddAddrs(id, usable, ttl)
	return nil
}

// Connect makes sure there is a connection with a node, looking up its
// addresses in the DHT where none are known. The error is core.ErrUnavailable.
func (n *Node) Connect(ctx context.Context, node core.DID) error {
	id, err := PeerOf(node)
	if err != nil {
		return err
	}
	return n.connect(ctx, id)
}

func (n *Node) connect(ctx context.Context, id peer.ID) error {
	ctx = network.WithAllowLimitedConn(ctx, "zerostate")
	if c := n.host.Network().Connectedness(id); c == network.Connected || c == network.Limited {
		return nil
	}
	if err := n.host.Connect(ctx, peer.AddrInfo{ID: id}); err == nil {
		return nil
	}
	info, err := n.dht.FindPeer(ctx, id)
	if err == nil {
		err = n.host.Connect(ctx, info)
	}
	if err != nil {
		return unavailable(ctx, fmt.Errorf("connect with %s: %w", id, err))
	}
	return nil
}

func (n *Node) protocolID(name string) protocol.ID {
	return protocol.ID(n.prefix() + "/" + name)
}

func (n *Node) prefix() string { return "/zerostate/" + n.cfg.Network }

// addrInfos parses multiaddrs that end in /p2p/<peer id>.
func addrInfos(addrs []string) ([]peer.AddrInfo, error) {
	parsed := make([]ma.Multiaddr, 0, len(addrs))
	for _, s := range addrs {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			return nil, fmt.Errorf("address %q (%w): %w", s, err, core.ErrInvalid)
		}
		parsed = append(parsed, a)
	}
	infos, err := peer.AddrInfosFromP2pAddrs(parsed...)
	if err != nil {
		return nil, fmt.Errorf("addresses need /p2p/<peer id> (%w): %w", err, core.ErrInvalid)
	}
	return infos, nil
}

// unavailable adds the sentinel to an error of the network, unless the caller's
// own context ended.
func unavailable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", err, context.Cause(ctx))
	}
	return fmt.Errorf("%w: %w", err, core.ErrUnavailable)
}
