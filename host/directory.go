package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/p2p"
	"github.com/zerostate/zerostate/host/internal/peerpb"
	"github.com/zerostate/zerostate/host/internal/store"
)

const (
	knownPrefix = "known/"
	// freshFor is how long an answer that the DHT confirmed counts as such. It
	// bounds how long a card outlives its revocation on a node that heard no
	// announcement of it.
	freshFor = 3 * time.Second
)

// knownCards is the memory of the highest seq used per did and of tombstones:
// over restarts, and never back (PROTOCOL.md, "Cards, records, revocation").
type knownCards struct {
	store *store.Store
	mu    sync.Mutex // one read-and-raise at a time
}

// Known answers what is remembered of a did; the zero value where nothing is.
func (k *knownCards) Known(did core.DID) (p2p.Known, error) {
	var out p2p.Known
	err := k.store.GetJSON(knownPrefix+string(did), &out)
	if errors.Is(err, core.ErrNotFound) {
		return p2p.Known{}, nil
	}
	return out, err
}

// Remember raises the seq and keeps the first tombstone.
func (k *knownCards) Remember(did core.DID, now p2p.Known) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	old, err := k.Known(did)
	if err != nil {
		return err
	}
	next := old
	next.Seq = max(old.Seq, now.Seq)
	if next.Tombstone == nil {
		next.Tombstone = now.Tombstone
	}
	if next.Seq == old.Seq && (next.Tombstone == nil) == (old.Tombstone == nil) {
		return nil
	}
	return k.store.SetJSON(knownPrefix+string(did), next)
}

// listing is a card that was found, with its record and the evidence for both.
type listing struct {
	record   *core.CardRecord
	raw      []byte // the record's bytes
	card     *core.Card
	cardRaw  []byte
	evidence Evidence
}

// Evidence says how fresh an answer about a card is, and who gave it.
type Evidence struct {
	Basis      string // min-seq, agreement, complete, tombstone
	Holders    int    // distinct DHT nodes that answered this very record
	Asked      int    // DHT nodes that answered at all
	Seq        core.Millis
	Age        time.Duration // since the record was signed
	Confirmed  bool          // by the DHT, in time
	Cached     bool          // confirmed a moment ago
	Latency    time.Duration
	IndexNodes []core.DID // that reported the hit
}

// directory resolves cards over the DHT and keeps the fresh ones for a moment.
type directory struct {
	n *Node

	mu    sync.Mutex
	fresh map[core.DID]freshListing
}

type freshListing struct {
	listing
	until time.Time
}

// resolve answers the newest card of a did, at least as new as minSeq. Errors:
// core.ErrDenied for a revoked one, naming when; core.ErrNotFound.
func (d *directory) resolve(ctx context.Context, did core.DID, minSeq core.Millis, noCache bool) (*listing, error) {
	if !noCache {
		if l, ok := d.cached(did, minSeq); ok {
			return l, nil
		}
	}
	start := time.Now()
	found, err := d.n.net.Resolve(ctx, did, p2p.ResolveOptions{
		MinSeq: int64(minSeq),
		Newer:  func(r p2p.Resolved) { d.heard(r.Record) },
	})
	if err != nil {
		return nil, err
	}
	l, err := d.read(ctx, found.Record, nil)
	if err != nil {
		return nil, err
	}
	e := found.Evidence
	l.evidence = Evidence{
		Basis: string(e.Basis), Holders: e.Holders, Asked: e.Asked, Seq: l.record.Seq,
		Age: e.Age, Confirmed: true, Latency: time.Since(start),
	}
	if l.record.Tombstone() {
		d.forget(did)
		return l, revoked(l.record)
	}
	d.keep(did, l)
	return l, nil
}

// maxFresh is how many confirmed cards are kept before those that have aged are
// dropped.
const maxFresh = 1024

func (d *directory) keep(did core.DID, l *listing) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.n.now()
	if len(d.fresh) >= maxFresh {
		maps.DeleteFunc(d.fresh, func(_ core.DID, f freshListing) bool { return now.After(f.until) })
	}
	d.fresh[did] = freshListing{listing: *l, until: now.Add(freshFor)}
}

func revoked(r *core.CardRecord) error {
	return fmt.Errorf("%s was revoked at %s: %w", r.DID.Short(), r.Signed.Seconds(), core.ErrDenied)
}

func (d *directory) cached(did core.DID, minSeq core.Millis) (*listing, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, ok := d.fresh[did]
	if !ok || d.n.now().After(f.until) || f.record.Seq < minSeq {
		return nil, false
	}
	l := f.listing
	l.evidence.Cached, l.evidence.Latency = true, 0
	return &l, true
}

func (d *directory) forget(did core.DID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.fresh, did)
}

// heard takes a record that arrived unasked: what is newer than what we keep
// ends the cached answer, and a tombstone is final.
func (d *directory) heard(raw []byte) {
	r, err := d.n.papers.Record(raw)
	if err != nil {
		d.n.log.Debug("record refused", "error", err)
		return
	}
	d.forget(r.DID)
	if r.Tombstone() {
		if _, err := d.n.net.NoteTombstone(raw); err != nil {
			d.n.log.Warn("tombstone not kept", "did", r.DID.Short(), "error", err)
		}
	}
}

// read verifies a record and its card; cardRaw may be nil where the record holds
// the card or its content can be fetched by CID.
func (d *directory) read(ctx context.Context, raw, cardRaw []byte) (*listing, error) {
	r, err := d.n.papers.Record(raw)
	if err != nil {
		return nil, err
	}
	l := &listing{record: r, raw: raw}
	if r.Tombstone() {
		return l, nil
	}
	switch {
	case len(r.Card) > 0:
		cardRaw = r.Card
	case len(cardRaw) == 0:
		if cardRaw, err = d.n.readContent(ctx, r.CID, core.MaxCardBytes); err != nil {
			return nil, fmt.Errorf("fetch card of %s: %w", r.DID.Short(), err)
		}
	}
	if core.CardCID(cardRaw) != r.CID {
		return nil, fmt.Errorf("card of %s is not the one its record names: %w", r.DID.Short(), core.ErrDenied)
	}
	if l.card, err = d.n.papers.Card(cardRaw); err != nil {
		return nil, err
	}
	p := l.card.Params()
	if p.DID != r.DID || p.Seq != r.Seq {
		return nil, fmt.Errorf("card of %s does not agree with its record: %w", r.DID.Short(), core.ErrDenied)
	}
	l.cardRaw = cardRaw
	return l, d.n.net.AddAddrs(p.Node, p.Addresses, time.Hour)
}

// putRecord puts a record into the DHT and announces it to the region's index
// nodes and on the topic. It answers how many nodes hold it; alone, that is 0.
func (n *Node) putRecord(ctx context.Context, r *core.CardRecord, raw []byte) (int, error) {
	n.directory.forget(r.DID)
	if r.Tombstone() {
		if _, err := n.net.NoteTombstone(raw); err != nil {
			return 0, err
		}
	}
	ev, err := n.net.PutRecord(ctx, raw)
	if err != nil && !errors.Is(err, core.ErrUnavailable) {
		return 0, err
	}
	if err != nil && n.net.RoutingTableSize() > 0 {
		return 0, err
	}
	msg, err := core.BuildAnnouncement(r, n.keys.signer(), n.now())
	if err != nil {
		return 0, err
	}
	if err := n.cardTopic.Publish(ctx, msg); err != nil {
		n.log.Debug("announcement not published", "error", err)
	}
	n.announceDirect(ctx, r)
	return ev.Holders, nil
}

// announceDirect tells the region's index nodes themselves, ours included.
func (n *Node) announceDirect(ctx context.Context, r *core.CardRecord) {
	if n.index != nil {
		n.index.enqueue(r.DID, "")
	}
	nodes, err := n.indexNodes(ctx)
	if err != nil {
		n.log.Debug("index nodes not found", "error", err)
	}
	f := &peerpb.Frame{Body: &peerpb.Frame_Announce{Announce: &peerpb.Announce{Did: string(r.DID), Seq: int64(r.Seq), Cid: r.CID}}}
	for _, did := range nodes {
		n.work.Go(func() {
			ctx, cancel := context.WithTimeout(n.ctx, 5*time.Second)
			defer cancel()
			if _, err := n.net.Ask(ctx, did, p2p.ProtocolIndex, f); err != nil {
				n.log.Debug("index node not told", "node", did.Short(), "error", err)
			}
		})
	}
}

// checkAnnouncement is the validator of the topic cards/1.
func (n *Node) checkAnnouncement(_ context.Context, m p2p.Message) p2p.Verdict {
	if _, err := core.VerifyAnnouncement(m.Data, n.cfg.Network.ID, n.now()); err != nil {
		return p2p.Reject
	}
	return p2p.Pass
}

// hearAnnouncement ends what we kept of the did and learns of the new record
// from the DHT, where it concerns a card that we index or have used.
func (n *Node) hearAnnouncement(ctx context.Context, m p2p.Message) {
	a, err := core.VerifyAnnouncement(m.Data, n.cfg.Network.ID, n.now())
	if err != nil || a.Node == n.DID() {
		return
	}
	n.directory.forget(a.DID)
	if n.index != nil {
		n.index.enqueue(a.DID, m.Origin)
		return
	}
	known, err := n.known.Known(a.DID)
	if err != nil || known.Seq == 0 || known.Tombstone != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := n.directory.resolve(ctx, a.DID, a.Seq, true); err != nil {
		n.log.Debug("announced card not resolved", "did", a.DID.Short(), "error", err)
	}
}

// serveCard answers card/1: the record, card and templates of our own agents.
func (n *Node) serveCard(_ context.Context, s *p2p.Stream) error {
	f, err := s.ReadFrame()
	if err != nil {
		return err
	}
	fetch := f.GetFetch()
	if fetch == nil {
		return fmt.Errorf("want a Fetch: %w", core.ErrInvalid)
	}
	a, err := n.cards.byNameOrDID(fetch.GetDid())
	if err != nil {
		return fmt.Errorf("no such agent here: %w", core.ErrNotFound)
	}
	out := &peerpb.Card{Record: a.record}
	if !a.tombstone {
		out.Card = a.cardBytes
		if fetch.GetManifests() {
			if out.Manifests, err = a.manifests(); err != nil {
				return err
			}
		}
	}
	return s.WriteFrame(&peerpb.Frame{Body: &peerpb.Frame_Card{Card: out}})
}

// manifests are the agent's templates, by the CID that its card names.
func (a *agent) manifests() ([]*peerpb.Manifest, error) {
	var out []*peerpb.Manifest
	for _, t := range a.templates {
		b, err := t.Bytes()
		if err != nil {
			return nil, err
		}
		out = append(out, &peerpb.Manifest{Cid: core.RefOf(b).CID, Document: b})
	}
	return out, nil
}

// fetchFrom asks a node itself for the record of a did.
func (n *Node) fetchFrom(ctx context.Context, node, did core.DID) (*listing, error) {
	f := &peerpb.Frame{Body: &peerpb.Frame_Fetch{Fetch: &peerpb.Fetch{Did: string(did)}}}
	answer, err := n.net.Ask(ctx, node, p2p.ProtocolCard, f)
	if err != nil {
		return nil, err
	}
	c := answer.GetCard()
	if c == nil {
		return nil, fmt.Errorf("%s answered no Card: %w", node.Short(), core.ErrInvalid)
	}
	l, err := n.directory.read(ctx, c.GetRecord(), c.GetCard())
	if err != nil {
		return nil, err
	}
	if l.record.DID != did {
		return nil, fmt.Errorf("%s answered the card of another did: %w", node.Short(), core.ErrDenied)
	}
	return l, nil
}
