package p2p

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/marcopolo/simnet"
	"github.com/quic-go/quic-go"
	"go.uber.org/fx"
)

// The node runs on a simulated network in virtual time: links of 20 ms one way,
// and a resolver that neither holds nor caches.
func TestSimulatedNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := &simnet.Simnet{
			LatencyFunc: simnet.StaticLatency(20 * time.Millisecond),
			Logger:      slog.New(slog.NewTextHandler(io.Discard, nil)),
		}
		link := simnet.NodeBiDiLinkSettings{
			Downlink: simnet.LinkSettings{BitsPerSecond: 100 << 20},
			Uplink:   simnet.LinkSettings{BitsPerSecond: 100 << 20},
		}
		options := func(i int) []libp2p.Option {
			return []libp2p.Option{
				quicOn(sim, link),
				libp2p.ListenAddrStrings(fmt.Sprintf("/ip4/1.0.0.%d/udp/8000/quic-v1", i+1)),
				libp2p.DisableIdentifyAddressDiscovery(),
				libp2p.ResourceManager(&network.NullResourceManager{}),
			}
		}
		sim.Start()
		t.Cleanup(sim.Close)
		nodes := startNetwork(t, 8, func(i int, c *Config) {
			c.Bare, c.Server, c.AllowPrivate = true, i != 7, false
			c.Options = options(i)
		})
		did := didOf("agent")
		put(t, nodes[1], testRecord{DID: did, Seq: 100})
		r, err := nodes[7].Resolve(t.Context(), did, ResolveOptions{})
		if err != nil || r.Evidence.Basis != BasisAgreement || r.Evidence.Holders < 3 {
			t.Errorf("got %+v, %v", r.Evidence, err)
		}
		// Virtual time: a round trip of 40 ms to each known holder, three at once.
		if r.Evidence.FirstValid > 300*time.Millisecond {
			t.Errorf("the first valid answer took %s", r.Evidence.FirstValid)
		}
		t.Logf("first valid %s, agreed %s", r.Evidence.FirstValid, r.Evidence.Elapsed)
	})
}

// simSource is the address that a simulated node sends from.
type simSource struct{ ip net.IP }

func (s *simSource) PreferredSourceIPForDestination(*net.UDPAddr) (net.IP, error) { return s.ip, nil }

// quicOn runs QUIC over a simulated network.
func quicOn(sim *simnet.Simnet, link simnet.NodeBiDiLinkSettings) libp2p.Option {
	source := &simSource{}
	return libp2p.QUICReuse(
		func(l fx.Lifecycle, reset quic.StatelessResetKey, token quic.TokenGeneratorKey, opts ...quicreuse.Option) (*quicreuse.ConnManager, error) {
			m, err := quicreuse.NewConnManager(reset, token, opts...)
			if err != nil {
				return nil, err
			}
			l.Append(fx.StopHook(m.Close))
			return m, nil
		},
		quicreuse.OverrideSourceIPSelector(func() (quicreuse.SourceIPSelector, error) { return source, nil }),
		quicreuse.OverrideListenUDP(func(_ string, addr *net.UDPAddr) (net.PacketConn, error) {
			source.ip = addr.IP
			return sim.NewEndpoint(addr, link), nil
		}),
	)
}
