package p2p

import (
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/zerostate/zerostate/core"
)

func (c *Config) libp2pOptions(key crypto.PrivKey, g *gater, relays []peer.AddrInfo) ([]libp2p.Option, error) {
	opts := []libp2p.Option{
		libp2p.Identity(key),
		libp2p.UserAgent("zerostate"),
		libp2p.ProtocolVersion("zerostate/" + c.Network),
		libp2p.ConnectionGater(g),
		libp2p.Ping(true),
		libp2p.EnableRelay(),
		libp2p.DisableMetrics(),
	}
	opts = append(opts, c.relayOptions(relays)...)
	if c.HolePunching {
		opts = append(opts, libp2p.EnableHolePunching())
	}
	factory, err := c.addrsFactory()
	if err != nil {
		return nil, err
	}
	opts = append(opts, libp2p.AddrsFactory(factory))
	if c.Bare {
		return opts, nil
	}
	resources, err := c.resourceManager()
	if err != nil {
		return nil, err
	}
	conns, err := connmgr.NewConnManager(c.MaxConnections*3/4, c.MaxConnections, connmgr.WithGracePeriod(time.Minute))
	if err != nil {
		return nil, fmt.Errorf("connection manager: %w", err)
	}
	opts = append(opts,
		libp2p.Transport(tcp.NewTCPTransport),
		libp2p.Transport(libp2pquic.NewTransport),
		libp2p.ResourceManager(resources),
		libp2p.ConnectionManager(conns),
	)
	if len(c.Listen) == 0 {
		return append(opts, libp2p.NoListenAddrs, libp2p.EnableRelay()), nil
	}
	return append(opts, libp2p.ListenAddrStrings(c.Listen...)), nil
}

func (c *Config) relayOptions(relays []peer.AddrInfo) []libp2p.Option {
	var opts []libp2p.Option
	reach := c.Reachability
	if c.Relay {
		res := relay.DefaultResources()
		res.Limit = &relay.RelayLimit{Duration: c.RelayLimits.Duration, Data: c.RelayLimits.Bytes}
		res.MaxReservations = c.RelayLimits.Slots
		res.MaxReservationsPerIP = c.RelayLimits.Slots
		res.MaxReservationsPerASN = c.RelayLimits.Slots
		res.MaxCircuits = 64
		opts = append(opts, libp2p.EnableRelayService(relay.WithResources(res)), libp2p.EnableNATService())
		if reach == "" {
			reach = ReachablePublic
		}
	}
	if len(relays) > 0 {
		opts = append(opts, libp2p.EnableAutoRelayWithStaticRelays(relays, autorelay.WithBootDelay(0), autorelay.WithNumRelays(min(len(relays), 2))))
	}
	switch reach {
	case ReachablePublic:
		opts = append(opts, libp2p.ForceReachabilityPublic())
	case ReachablePrivate:
		opts = append(opts, libp2p.ForceReachabilityPrivate())
	}
	return opts
}

// addrsFactory tells others the configured addresses, or those found without
// private ones where these are not allowed.
func (c *Config) addrsFactory() (func([]ma.Multiaddr) []ma.Multiaddr, error) {
	announced := make([]ma.Multiaddr, 0, len(c.Announce))
	for _, s := range c.Announce {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			return nil, fmt.Errorf("announced address %q (%w): %w", s, err, core.ErrInvalid)
		}
		announced = append(announced, a)
	}
	return func(found []ma.Multiaddr) []ma.Multiaddr {
		if len(announced) > 0 {
			return announced
		}
		return found
	}, nil
}

func (c *Config) resourceManager() (network.ResourceManager, error) {
	scaling := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&scaling)
	auto := scaling.Scale(c.MaxMemoryBytes, c.MaxConnections*2)
	limits := rcmgr.PartialLimitConfig{
		System: rcmgr.ResourceLimits{
			Conns: rcmgr.LimitVal(c.MaxConnections), ConnsInbound: rcmgr.LimitVal(c.MaxConnections),
			ConnsOutbound: rcmgr.LimitVal(c.MaxConnections), Memory: rcmgr.LimitVal64(c.MaxMemoryBytes),
			Streams: rcmgr.Unlimited, StreamsInbound: rcmgr.Unlimited, StreamsOutbound: rcmgr.Unlimited,
		},
		// The table of limits bounds streams by protocol and peer.
		PeerDefault: rcmgr.ResourceLimits{
			Streams: 8192, StreamsInbound: 4096, StreamsOutbound: 4096,
		},
		ProtocolDefault: rcmgr.ResourceLimits{
			Streams: rcmgr.Unlimited, StreamsInbound: rcmgr.Unlimited, StreamsOutbound: rcmgr.Unlimited,
		},
		ProtocolPeerDefault: rcmgr.ResourceLimits{
			Streams: 4096, StreamsInbound: 2048, StreamsOutbound: 2048,
		},
	}.Build(auto)
	m, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits), rcmgr.WithMetricsDisabled())
	if err != nil {
		return nil, fmt.Errorf("resource manager: %w", err)
	}
	return m, nil
}
