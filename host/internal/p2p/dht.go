package p2p

import (
	"context"
	"fmt"
	"sync"
	"time"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	dhtpb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-msgio"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"google.golang.org/protobuf/proto"

	"github.com/zerostate/zerostate/core"
)

const (
	bucketSize  = 20
	concurrency = 3
	// recordNamespace is the first part of a card record's key in the DHT.
	recordNamespace = "zerostate-card"
)

func (n *Node) startDHT() error {
	mode := dht.ModeClient
	if n.cfg.Server {
		mode = dht.ModeServer
	}
	var err error
	n.dht, err = dht.New(n.host,
		dht.ProtocolPrefix(protocol.ID(n.prefix())),
		dht.Mode(mode),
		dht.BucketSize(bucketSize),
		dht.Concurrency(concurrency),
		dht.NamespacedValidator(recordNamespace, n.cfg.Records),
		dht.BootstrapPeersFunc(func() []peer.AddrInfo { return n.boot }),
		dht.RoutingTablePeerDiversityFilter(nil),
		dht.AddressFilter(n.shareable),
		dht.WithCustomMessageSender(func(h host.Host, protos []protocol.ID) dhtpb.MessageSenderWithDisconnect {
			n.witness = &witnessSender{host: h, protos: protos}
			return n.witness
		}),
	)
	if err != nil {
		return fmt.Errorf("dht: %w", err)
	}
	return nil
}

// shareable drops the private addresses of peers before they are passed on.
func (n *Node) shareable(addrs []ma.Multiaddr) []ma.Multiaddr {
	if n.cfg.AllowPrivate {
		return addrs
	}
	return ma.FilterAddrs(addrs, func(a ma.Multiaddr) bool {
		_, err := manet.ToIP(a)
		return err != nil || manet.IsPublicAddr(a)
	})
}

// witness collects who answered a lookup with which value.
type witness struct {
	mu     sync.Mutex
	asked  int
	values chan testimony
}

type testimony struct {
	peer  peer.ID
	value []byte
}

type witnessKey struct{}

func withWitness(ctx context.Context, w *witness) context.Context {
	return context.WithValue(ctx, witnessKey{}, w)
}

// see notes an answer. The channel has room for every peer that a lookup can
// ask; more is dropped, so that no lookup waits for its reader.
func (w *witness) see(from peer.ID, value []byte) {
	w.mu.Lock()
	w.asked++
	w.mu.Unlock()
	if value == nil {
		return
	}
	select {
	case w.values <- testimony{peer: from, value: value}:
	default:
	}
}

func (w *witness) askedPeers() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked
}

// witnessSender sends DHT messages, each on a stream of its own, and shows the
// answers to the witness of the call.
type witnessSender struct {
	host   host.Host
	protos []protocol.ID
}

const dhtRequestTimeout = 10 * time.Second

// OnDisconnect does nothing: no stream is kept.
func (s *witnessSender) OnDisconnect(context.Context, peer.ID) {}

// SendMessage sends a message that has no answer.
func (s *witnessSender) SendMessage(ctx context.Context, p peer.ID, msg *dhtpb.Message) error {
	stream, err := s.open(ctx, p, msg)
	if err != nil {
		return err
	}
	return stream.Close()
}

// SendRequest sends a message and waits for its answer.
func (s *witnessSender) SendRequest(ctx context.Context, p peer.ID, msg *dhtpb.Message) (*dhtpb.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, dhtRequestTimeout)
	defer cancel()
	start := time.Now()
	stream, err := s.open(ctx, p, msg)
	if err != nil {
		return nil, err
	}
	defer stream.Close() //nolint:errcheck // the answer has been read
	stop := context.AfterFunc(ctx, func() { _ = stream.Reset() })
	defer stop()
	if err := stream.CloseWrite(); err != nil {
		return nil, fmt.Errorf("ask %s: %w", p, err)
	}
	r := msgio.NewVarintReaderSize(stream, network.MessageSizeMax)
	raw, err := r.ReadMsg()
	if err != nil {
		_ = stream.Reset()
		return nil, fmt.Errorf("answer of %s: %w", p, err)
	}
	defer r.ReleaseMsg(raw)
	var answer dhtpb.Message
	if err := proto.Unmarshal(raw, &answer); err != nil {
		return nil, fmt.Errorf("answer of %s (%w): %w", p, err, core.ErrInvalid)
	}
	s.host.Peerstore().RecordLatency(p, time.Since(start))
	if w, ok := ctx.Value(witnessKey{}).(*witness); ok && msg.GetType() == dhtpb.Message_GET_VALUE {
		w.see(p, answer.GetRecord().GetValue())
	}
	return &answer, nil
}

func (s *witnessSender) open(ctx context.Context, p peer.ID, msg *dhtpb.Message) (network.Stream, error) {
	raw, err := proto.Marshal(msg)
	if err != nil {
		return nil, fmt.Errorf("message to %s: %w", p, err)
	}
	stream, err := s.host.NewStream(network.WithAllowLimitedConn(ctx, "dht"), p, s.protos...)
	if err != nil {
		return nil, fmt.Errorf("open stream to %s: %w", p, err)
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(dhtRequestTimeout)
	}
	if err := stream.SetDeadline(deadline); err != nil {
		_ = stream.Reset()
		return nil, fmt.Errorf("stream to %s: %w", p, err)
	}
	if err := msgio.NewVarintWriter(stream).WriteMsg(raw); err != nil {
		_ = stream.Reset()
		return nil, fmt.Errorf("send to %s: %w", p, err)
	}
	return stream, nil
}
