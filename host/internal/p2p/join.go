package p2p

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
)

const (
	joinBackoffMin = 200 * time.Millisecond
	joinBackoffMax = 30 * time.Second
)

// Join connects with the bootstrap nodes, again and again with growing pauses,
// until the routing table holds a peer. A node with no bootstrap nodes is alone
// by its configuration and has joined at once. The error is the context's.
func (n *Node) Join(ctx context.Context) error {
	if len(n.boot) == 0 {
		return nil
	}
	pause := joinBackoffMin
	for attempt := 1; ; attempt++ {
		err := n.dialBootstrap(ctx)
		if n.dht.RoutingTable().Size() > 0 {
			return n.refresh(ctx)
		}
		n.log.Warn("no bootstrap node answers", "attempt", attempt, "again_in", pause, "error", err)
		jittered := pause/2 + rand.N(pause/2) //nolint:gosec // spreads load, keeps no secret
		select {
		case <-ctx.Done():
			return fmt.Errorf("join %s: %w", n.cfg.Network, context.Cause(ctx))
		case <-n.ctx.Done():
			return fmt.Errorf("join %s: %w", n.cfg.Network, context.Cause(n.ctx))
		case <-time.After(jittered):
		}
		pause = min(2*pause, joinBackoffMax)
	}
}

// dialBootstrap connects with all bootstrap nodes at once and returns the last
// error where none answered.
func (n *Node) dialBootstrap(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, len(n.boot))
	for i, info := range n.boot {
		if info.ID == n.host.ID() {
			continue
		}
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
			defer cancel()
			if errs[i] = n.host.Connect(ctx, info); errs[i] != nil {
				return
			}
			n.awaitRoutingTable(ctx, info.ID)
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// awaitRoutingTable lets the DHT take a peer in that has just been identified.
func (n *Node) awaitRoutingTable(ctx context.Context, id peer.ID) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for n.dht.RoutingTable().Find(id) == "" {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// refresh asks for the node's own neighbourhood, so that it finds others and
// they find it.
func (n *Node) refresh(ctx context.Context) error {
	select {
	case err := <-n.dht.RefreshRoutingTable():
		if err != nil {
			n.log.Debug("refresh of the routing table", "error", err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("join %s: %w", n.cfg.Network, context.Cause(ctx))
	}
}

func (n *Node) startMDNS() error {
	if !n.cfg.MDNS {
		return nil
	}
	n.mdns = mdns.NewMdnsService(n.host, "_zerostate-"+n.cfg.Network+"._udp", (*mdnsFound)(n))
	if err := n.mdns.Start(); err != nil {
		return fmt.Errorf("mdns: %w", err)
	}
	return nil
}

// mdnsFound is a Node as the receiver of what mDNS finds.
type mdnsFound Node

// HandlePeerFound connects with a peer on the local network.
func (m *mdnsFound) HandlePeerFound(info peer.AddrInfo) {
	n := (*Node)(m)
	if info.ID == n.host.ID() {
		return
	}
	n.gater.trust(info)
	n.wg.Go(func() {
		ctx, cancel := context.WithTimeout(n.ctx, 10*time.Second)
		defer cancel()
		if err := n.host.Connect(ctx, info); err != nil {
			n.log.Debug("connect with a node on the local network", "peer", info.ID, "error", err)
		}
	})
}
