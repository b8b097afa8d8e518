// Package p2p is a node on the network: its libp2p host, the DHT with signed
// card records, framed streams under one table of limits, gossip topics, and
// content by CID over bitswap.
//
// Start at New, which takes a Config and returns a Node. Every protocol id lies
// under /zerostate/<network>/, so nodes of different networks do not speak.
package p2p

import (
	"crypto/ed25519"
	"fmt"
	"regexp"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/libp2p/go-libp2p"

	"github.com/zerostate/zerostate/core"
)

// Config says what a Node is. Network, Key and Records are required; the zero
// value of everything else is an edge node that listens on nothing.
type Config struct {
	// Network is the network's id; it is part of every protocol id.
	Network string
	// Key is the node key, which is the libp2p identity.
	Key ed25519.PrivateKey
	// Listen holds the multiaddrs to listen on (TCP and QUIC v1).
	Listen []string
	// Announce replaces the addresses that others are told, where not empty.
	Announce []string
	// Bootstrap holds multiaddrs with /p2p/<peer id> of the first nodes to ask.
	Bootstrap []string
	// Relays holds multiaddrs with /p2p/<peer id> of the circuit relays that a
	// node behind a NAT reserves a slot with.
	Relays []string
	// Server makes the node a DHT server; a client stores nothing for others.
	Server bool
	// Relay makes the node a circuit relay for others.
	Relay bool
	// RelayLimits bounds one relayed connection; zero fields take defaults.
	RelayLimits RelayLimits
	// Reachability fixes what else is found out: ReachablePublic, ReachablePrivate.
	Reachability Reachability
	// HolePunching tries to replace relayed connections by direct ones.
	HolePunching bool
	// MDNS finds other nodes on the local network.
	MDNS bool
	// AllowPrivate lets private, loopback and link-local addresses be dialled
	// and announced.
	AllowPrivate bool
	// Allow, where not empty, names the only peers (node did, peer id) and
	// address ranges (CIDR) to speak with; Deny names those to refuse.
	Allow, Deny []string
	// MaxConnections bounds connections; 0 is 512.
	MaxConnections int
	// MaxMemoryBytes bounds what libp2p may hold; 0 is 512 MiB.
	MaxMemoryBytes int64
	// Records checks and orders card records.
	Records RecordValidator
	// Memory is what the node keeps over restarts about the cards it has used;
	// nil is a memory that lasts as long as the Node.
	Memory Memory
	// ContentDir is where content lies; empty is a temporary directory that
	// Close removes.
	ContentDir string
	// Limits replaces rows of the table of limits, by protocol name ("task/1").
	Limits map[string]Limits
	// Bare leaves transports, addresses and the resource manager to Options.
	Bare bool
	// Options are appended to the libp2p options (simulated networks).
	Options []libp2p.Option
	// Now is the clock for ages; nil is time.Now.
	Now func() time.Time
	// Log takes what an operator should know; nil discards.
	Log hclog.Logger
}

// Reachability says whether others can dial the node.
type Reachability string

// What an operator may know about the node's address; empty is not known.
const (
	ReachablePublic  Reachability = "public"
	ReachablePrivate Reachability = "private"
)

// RelayLimits bounds one relayed connection through this node.
type RelayLimits struct {
	Duration time.Duration // 0 is 1 h
	Bytes    int64         // each way; 0 is 1 GiB
	Slots    int           // reservations at once; 0 is 256
}

var networkPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$`)

func (c *Config) check() error {
	switch {
	case !networkPattern.MatchString(c.Network):
		return fmt.Errorf("network id %q: %w", c.Network, core.ErrInvalid)
	case len(c.Key) != ed25519.PrivateKeySize:
		return fmt.Errorf("node key of %d bytes: %w", len(c.Key), core.ErrInvalid)
	case c.Records == nil:
		return fmt.Errorf("no record validator: %w", core.ErrInvalid)
	}
	return nil
}

func (c *Config) setDefaults() {
	if c.Memory == nil {
		c.Memory = NewMemory()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = hclog.NewNullLogger()
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = 512
	}
	if c.MaxMemoryBytes == 0 {
		c.MaxMemoryBytes = 512 << 20
	}
	if c.RelayLimits.Duration == 0 {
		c.RelayLimits.Duration = time.Hour
	}
	if c.RelayLimits.Bytes == 0 {
		c.RelayLimits.Bytes = 1 << 30
	}
	if c.RelayLimits.Slots == 0 {
		c.RelayLimits.Slots = 256
	}
}
