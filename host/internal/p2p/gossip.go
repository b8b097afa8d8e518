package p2p

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/zerostate/zerostate/core"
)

// Topic names, each under /zerostate/<network>/.
const (
	TopicCards      = "cards/1"
	TopicReputation = "reputation/1"
)

// MaxMessageBytes bounds a message on a topic.
const MaxMessageBytes = 16 << 10

// Verdict is what a topic's validator says of a message.
type Verdict int

// What may become of a message.
const (
	Pass   Verdict = iota // deliver it and send it on
	Ignore                // neither, without blame: old, or of no interest
	Reject                // it breaks the rules, and counts against who sent it
)

// Message is what arrives on a topic.
type Message struct {
	Origin core.DID // who signed the envelope, proved
	Sender core.DID // who passed it on
	Data   []byte   // at most MaxMessageBytes
}

// Topic is a subscription and the right to publish. Close ends both.
type Topic struct {
	n     *Node
	name  string
	topic *pubsub.Topic
	sub   *pubsub.Subscription
	done  chan struct{}
	once  sync.Once
	err   error
}

type topicTable struct {
	mu     sync.Mutex
	closed bool
	topics []*Topic
}

func (t *topicTable) close() {
	t.mu.Lock()
	t.closed = true
	topics := slices.Clone(t.topics)
	t.mu.Unlock()
	for _, topic := range topics {
		_ = topic.Close() // its error stays with the topic
	}
}

func (n *Node) startGossip() error {
	versions := []protocol.ID{pubsub.GossipSubID_v12, pubsub.GossipSubID_v11}
	ids := make([]protocol.ID, len(versions))
	for i, v := range versions {
		ids[i] = protocol.ID(n.prefix()) + v
	}
	features := func(f pubsub.GossipSubFeature, id protocol.ID) bool {
		return pubsub.GossipSubDefaultFeatures(f, protocol.ID(strings.TrimPrefix(string(id), n.prefix())))
	}
	score, thresholds := peerScore()
	var err error
	n.pubsub, err = pubsub.NewGossipSub(n.ctx, n.host,
		pubsub.WithGossipSubProtocols(ids, features),
		pubsub.WithMaxMessageSize(MaxMessageBytes+4096),
		pubsub.WithPeerScore(score, thresholds),
		pubsub.WithFloodPublish(true),
		pubsub.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))),
	)
	if err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	return nil
}

// peerScore makes peers that send what breaks the rules lose their place.
func peerScore() (*pubsub.PeerScoreParams, *pubsub.PeerScoreThresholds) {
	score := &pubsub.PeerScoreParams{
		AppSpecificScore:            func(peer.ID) float64 { return 0 },
		AppSpecificWeight:           1,
		BehaviourPenaltyWeight:      -10,
		BehaviourPenaltyThreshold:   6,
		BehaviourPenaltyDecay:       pubsub.ScoreParameterDecay(10 * time.Minute),
		DecayInterval:               time.Second,
		DecayToZero:                 0.01,
		RetainScore:                 time.Hour,
		Topics:                      map[string]*pubsub.TopicScoreParams{},
		IPColocationFactorWeight:    0,
		IPColocationFactorThreshold: 100,
	}
	thresholds := &pubsub.PeerScoreThresholds{
		GossipThreshold: -100, PublishThreshold: -200, GraylistThreshold: -300,
		AcceptPXThreshold: 1000, OpportunisticGraftThreshold: 1,
	}
	return score, thresholds
}

func topicScore() *pubsub.TopicScoreParams {
	return &pubsub.TopicScoreParams{
		SkipAtomicValidation:           true,
		TopicWeight:                    1,
		InvalidMessageDeliveriesWeight: -20,
		InvalidMessageDeliveriesDecay:  pubsub.ScoreParameterDecay(30 * time.Minute),
		TimeInMeshQuantum:              time.Second,
	}
}

// JoinTopic subscribes to a topic. check judges every message before it is
// delivered or passed on, and must be quick and safe for concurrent use; deliver
// gets those that pass, one at a time, the node's own not.
func (n *Node) JoinTopic(name string, check func(context.Context, Message) Verdict, deliver func(context.Context, Message)) (*Topic, error) {
	full := n.prefix() + "/" + name
	err := n.pubsub.RegisterTopicValidator(full, func(ctx context.Context, from peer.ID, m *pubsub.Message) pubsub.ValidationResult {
		return n.judge(ctx, from, m, check)
	})
	if err != nil {
		return nil, fmt.Errorf("topic %s (%w): %w", name, err, core.ErrExists)
	}
	topic, err := n.pubsub.Join(full)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("topic %s: %w", name, err), n.pubsub.UnregisterTopicValidator(full))
	}
	t := &Topic{n: n, name: full, topic: topic, done: make(chan struct{})}
	if err := topic.SetScoreParams(topicScore()); err != nil {
		return nil, errors.Join(fmt.Errorf("topic %s: %w", name, err), topic.Close())
	}
	if t.sub, err = topic.Subscribe(pubsub.WithBufferSize(1024)); err != nil {
		return nil, errors.Join(fmt.Errorf("topic %s: %w", name, err), topic.Close())
	}
	n.topics.mu.Lock()
	n.topics.topics = append(n.topics.topics, t)
	closed := n.topics.closed
	n.topics.mu.Unlock()
	n.wg.Go(func() { t.run(deliver) })
	if closed {
		return nil, errors.Join(t.Close(), core.ErrUnavailable)
	}
	return t, nil
}

func (n *Node) judge(ctx context.Context, from peer.ID, m *pubsub.Message, check func(context.Context, Message) Verdict) pubsub.ValidationResult {
	if from == n.host.ID() {
		return pubsub.ValidationAccept
	}
	if len(m.Data) > MaxMessageBytes {
		return pubsub.ValidationReject
	}
	msg, err := messageOf(m)
	if err != nil {
		return pubsub.ValidationReject
	}
	switch check(ctx, msg) {
	case Pass:
		return pubsub.ValidationAccept
	case Ignore:
		return pubsub.ValidationIgnore
	default:
		n.log.Debug("message on a topic rejected", "topic", m.GetTopic(), "origin", msg.Origin, "sender", msg.Sender)
		return pubsub.ValidationReject
	}
}

func messageOf(m *pubsub.Message) (Message, error) {
	origin, err := DIDOfPeer(m.GetFrom())
	if err != nil {
		return Message{}, err
	}
	sender, err := DIDOfPeer(m.ReceivedFrom)
	if err != nil {
		return Message{}, err
	}
	return Message{Origin: origin, Sender: sender, Data: m.Data}, nil
}

func (t *Topic) run(deliver func(context.Context, Message)) {
	defer close(t.done)
	for {
		m, err := t.sub.Next(t.n.ctx)
		if err != nil {
			return
		}
		if m.ReceivedFrom == t.n.host.ID() {
			continue
		}
		msg, err := messageOf(m)
		if err != nil {
			continue // judged before it got here
		}
		deliver(t.n.ctx, msg)
	}
}

// Publish sends data, at most MaxMessageBytes, to every node on the topic.
// A node that is alone publishes to nobody, which is no error.
func (t *Topic) Publish(ctx context.Context, data []byte) error {
	if len(data) > MaxMessageBytes {
		return fmt.Errorf("publish %d bytes on %s: %w", len(data), t.name, core.ErrInvalid)
	}
	if err := t.topic.Publish(ctx, data); err != nil {
		return unavailable(ctx, fmt.Errorf("publish on %s: %w", t.name, err))
	}
	return nil
}

// Peers returns the nodes that this node knows to be on the topic.
func (t *Topic) Peers() []core.DID {
	var dids []core.DID
	for _, id := range t.topic.ListPeers() {
		if did, err := DIDOfPeer(id); err == nil {
			dids = append(dids, did)
		}
	}
	return dids
}

// Close leaves the topic and waits for the last delivery.
func (t *Topic) Close() error {
	t.once.Do(func() {
		t.sub.Cancel()
		<-t.done
		if t.n.ctx.Err() == nil {
			t.err = errors.Join(t.topic.Close(), t.n.pubsub.UnregisterTopicValidator(t.name))
		}
	})
	return t.err
}
