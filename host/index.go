package host

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/p2p"
	"github.com/zerostate/zerostate/host/internal/peerpb"
	"github.com/zerostate/zerostate/host/internal/store"
)

const (
	catalogPrefix = "catalog/"
	indexQueue    = 4096
	indexWorkers  = 4
)

// indexer is the index role: it learns of cards, fetches and verifies them
// itself, embeds their offers' text and keeps the vectors in the index plugin.
// The plugin holds vectors by "<did>#<offer>"; the catalog in the host's store
// holds the papers that every hit carries.
type indexer struct {
	n        *Node
	index    core.Index
	embedder core.Embedder
	regions  []string // indexed; empty: all
	queue    chan indexJob
}

type indexJob struct {
	did  core.DID
	from core.DID // who spoke of it; empty: nobody to ask
}

// catalogEntry is one indexed card.
type catalogEntry struct {
	DID    core.DID    `json:"did"`
	Seq    core.Millis `json:"seq"`
	Record []byte      `json:"record"`
	Card   []byte      `json:"card"`
	Offers int         `json:"offers"`
	Model  string      `json:"model"` // digest of the model that embedded it
}

func newIndexer(n *Node, index core.Index, embedder core.Embedder, regions []string) *indexer {
	return &indexer{n: n, index: index, embedder: embedder, regions: regions, queue: make(chan indexJob, indexQueue)}
}

// enqueue asks for a card to be looked at again. A full queue drops the job: the
// reconciliation finds it.
func (x *indexer) enqueue(did, from core.DID) {
	select {
	case x.queue <- indexJob{did, from}:
	default:
		x.n.log.Warn("index queue is full", "did", did.Short())
	}
}

// run serves the queue and reconciles index and DHT until ctx ends.
func (x *indexer) run(ctx context.Context, every time.Duration) {
	for range indexWorkers {
		x.n.work.Go(func() { x.work(ctx) })
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		x.reconcile(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (x *indexer) work(ctx context.Context) {
	for {
		select {
		case j := <-x.queue:
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			if err := x.refresh(ctx, j.did, j.from); err != nil && ctx.Err() == nil {
				x.n.log.Info("card not indexed", "did", j.did.Short(), "error", err)
			}
			cancel()
		case <-ctx.Done():
			return
		}
	}
}

// refresh brings the index in line with what the DHT, or the node that spoke of
// it, says of a did now.
func (x *indexer) refresh(ctx context.Context, did, from core.DID) (err error) {
	ctx, span := x.n.tel.start(ctx, "index")
	defer func() { span.end(err) }()
	l, err := x.n.directory.resolve(ctx, did, 0, true)
	if errors.Is(err, core.ErrDenied) {
		return x.remove(ctx, did)
	}
	if err != nil && from != "" && from != x.n.DID() {
		l, err = x.n.fetchFrom(ctx, from, did)
	}
	if err != nil {
		return err
	}
	if l.record.Tombstone() {
		return x.remove(ctx, did)
	}
	return x.upsert(ctx, l)
}

// upsert embeds and stores every offer of a verified card.
func (x *indexer) upsert(ctx context.Context, l *listing) error {
	p := l.card.Params()
	if len(x.regions) > 0 && !slices.Contains(x.regions, p.Region) {
		return fmt.Errorf("region %q is not indexed here: %w", p.Region, core.ErrUnsupported)
	}
	old, err := x.entry(l.record.DID)
	if err == nil && old.Seq > l.record.Seq {
		return fmt.Errorf("seq %d is older than the indexed %d: %w", l.record.Seq, old.Seq, core.ErrConflict)
	}
	model, err := x.store(ctx, l)
	if err != nil {
		return err
	}
	if old != nil && old.Offers > len(p.Offers) {
		if _, err := x.index.Delete(ctx, offerIDs(l.record.DID, len(p.Offers), old.Offers)); err != nil {
			return fmt.Errorf("delete old offers: %w", err)
		}
	}
	e := catalogEntry{DID: l.record.DID, Seq: l.record.Seq, Record: l.raw, Card: l.cardRaw, Offers: len(p.Offers), Model: model}
	if err := x.n.store.SetJSON(catalogPrefix+string(e.DID), e); err != nil {
		return err
	}
	x.n.log.Debug("card indexed", "did", e.DID.Short(), "seq", int64(e.Seq), "offers", e.Offers)
	return nil
}

func (x *indexer) store(ctx context.Context, l *listing) (model string, err error) {
	p := l.card.Params()
	if len(p.Offers) == 0 {
		return "", nil
	}
	texts := make([]string, len(p.Offers))
	for i := range p.Offers {
		texts[i] = l.card.OfferText(i)
	}
	emb, err := x.embedder.Embed(ctx, core.EmbedRequest{Texts: texts, Purpose: core.EmbedDocument})
	if err != nil {
		return "", fmt.Errorf("embed: %w", err)
	}
	if len(emb.Vectors) != len(texts) {
		return "", fmt.Errorf("embedder answered %d vectors for %d texts: %w", len(emb.Vectors), len(texts), core.ErrInvalid)
	}
	items := func(yield func(core.IndexItem, error) bool) {
		for i, v := range emb.Vectors {
			item := core.IndexItem{ID: offerID(p.DID, i), Vector: v, Attributes: attributesOf(l.card, i), ModelDigest: emb.Model.Digest}
			if !yield(item, nil) {
				return
			}
		}
	}
	if _, err := x.index.Upsert(ctx, iter.Seq2[core.IndexItem, error](items)); err != nil {
		return "", fmt.Errorf("upsert: %w", err)
	}
	return emb.Model.Digest, nil
}

// attributesOf is what queries can filter by.
func attributesOf(c *core.Card, offer int) map[string][]string {
	p := c.Params()
	skill := c.Skill(p.Offers[offer].Skill)
	return map[string][]string{"region": {p.Region}, "skill": {skill.ID}, "tag": skill.Tags}
}

// remove takes a did out of the index.
func (x *indexer) remove(ctx context.Context, did core.DID) error {
	e, err := x.entry(did)
	if errors.Is(err, core.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := x.index.Delete(ctx, offerIDs(did, 0, e.Offers)); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	x.n.log.Debug("card removed from the index", "did", did.Short())
	return x.n.store.Delete(catalogPrefix + string(did))
}

// query answers the k offers nearest in meaning, with their papers.
func (x *indexer) query(ctx context.Context, q *peerpb.Query) (*peerpb.Hits, error) {
	if q.GetText() == "" || len(q.GetText()) > 1024 || q.GetK() < 1 || q.GetK() > 2*maxHits {
		return nil, fmt.Errorf("query wants a text of 1 to 1024 bytes and k of 1 to %d: %w", 2*maxHits, core.ErrInvalid)
	}
	emb, err := x.embedder.Embed(ctx, core.EmbedRequest{Texts: []string{q.GetText()}, Purpose: core.EmbedQuery})
	if err != nil {
		return nil, fmt.Errorf("embed: %w", err)
	}
	res, err := x.index.Query(ctx, core.IndexQuery{
		Vector: emb.Vectors[0], K: int(q.GetK()), Filter: conditions(q.GetFilter()), ModelDigest: emb.Model.Digest,
	})
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	out := &peerpb.Hits{ModelDigest: emb.Model.Digest, IndexNode: string(x.n.DID())}
	for _, h := range res.Hits {
		did, offer, ok := parseOfferID(h.ID)
		if !ok {
			continue
		}
		e, err := x.entry(did)
		if err != nil || offer >= e.Offers {
			continue // removed meanwhile
		}
		hit := &peerpb.Hit{Record: e.Record, Score: h.Score, Offer: int64(offer)}
		if r, err := x.n.papers.Record(e.Record); err != nil {
			continue // expired meanwhile
		} else if len(r.Card) == 0 {
			hit.Card = e.Card
		}
		out.Hits = append(out.Hits, hit)
	}
	return out, nil
}

func conditions(f *peerpb.Filter) []core.Condition {
	var out []core.Condition
	for _, c := range []core.Condition{
		{Attribute: "region", AnyOf: f.GetRegions()}, {Attribute: "skill", AnyOf: f.GetSkills()}, {Attribute: "tag", AnyOf: f.GetTags()},
	} {
		if len(c.AnyOf) > 0 {
			out = append(out, c)
		}
	}
	return out
}

// reconcile compares every indexed card with the DHT, and the index with the
// catalog: what is gone or expired leaves, what is newer or was embedded by
// another model comes in again.
func (x *indexer) reconcile(ctx context.Context) {
	rebuild, err := x.mustRebuild(ctx)
	if err != nil {
		x.n.log.Warn("index not reconciled", "error", err)
		return
	}
	checked := 0
	for e, err := range store.ScanJSON[catalogEntry](x.n.store, catalogPrefix) {
		if err != nil || ctx.Err() != nil {
			break
		}
		if err := x.reconcileOne(ctx, e, rebuild); err != nil {
			x.n.log.Debug("card not reconciled", "did", e.DID.Short(), "error", err)
		}
		checked++
	}
	for _, a := range x.n.cards.list() { // our own, in case nobody told us
		if !a.tombstone {
			if e, err := x.entry(a.signer.DID()); err != nil || e.Seq < a.card.Params().Seq {
				x.enqueue(a.signer.DID(), x.n.DID())
			}
		}
	}
	x.n.log.Debug("index reconciled", "cards", checked, "rebuilt", rebuild)
}

// mustRebuild says whether the index plugin lacks what the catalog has: another
// plugin, another model, or a lost state.
func (x *indexer) mustRebuild(ctx context.Context) (bool, error) {
	stats, err := x.index.Stats(ctx)
	if err != nil {
		return false, fmt.Errorf("index stats: %w", err)
	}
	want := 0
	for e, err := range store.ScanJSON[catalogEntry](x.n.store, catalogPrefix) {
		if err != nil {
			return false, err
		}
		want += e.Offers
	}
	emb, err := x.embedder.Embed(ctx, core.EmbedRequest{})
	if err != nil {
		return false, fmt.Errorf("embedder: %w", err)
	}
	if stats.Items > 0 && stats.ModelDigest != emb.Model.Digest {
		return true, x.clear(ctx)
	}
	return stats.Items < want, nil
}

// clear empties the index of vectors that another model made.
func (x *indexer) clear(ctx context.Context) error {
	for e, err := range store.ScanJSON[catalogEntry](x.n.store, catalogPrefix) {
		if err != nil {
			return err
		}
		if _, err := x.index.Delete(ctx, offerIDs(e.DID, 0, e.Offers)); err != nil {
			return fmt.Errorf("clear index: %w", err)
		}
	}
	return x.index.Compact(ctx)
}

func (x *indexer) reconcileOne(ctx context.Context, e catalogEntry, rebuild bool) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	l, err := x.n.directory.resolve(ctx, e.DID, e.Seq, true)
	switch {
	case errors.Is(err, core.ErrDenied):
		return x.remove(ctx, e.DID)
	case err != nil:
		if l, err = x.n.directory.read(ctx, e.Record, e.Card); err != nil {
			return errors.Join(err, x.remove(ctx, e.DID)) // expired, and nothing newer is known
		}
	}
	if !rebuild && l.record.Seq == e.Seq && l.record.Signed == x.n.signedOf(e.Record) {
		return nil
	}
	return x.upsert(ctx, l)
}

func (n *Node) signedOf(raw []byte) core.Millis {
	r, err := n.readRecord(raw)
	if err != nil {
		return 0
	}
	return r.Signed
}

// serve answers index/1.
func (x *indexer) serve(ctx context.Context, s *p2p.Stream) error {
	f, err := s.ReadFrame()
	if err != nil {
		return err
	}
	switch {
	case f.GetQuery() != nil:
		return x.serveQuery(extractTrace(ctx, f), s, f.GetQuery())
	case f.GetAnnounce() != nil:
		did, err := core.ParseDID(f.GetAnnounce().GetDid())
		if err != nil {
			return err
		}
		x.enqueue(did, s.Remote())
		return s.WriteFrame(&peerpb.Frame{Body: &peerpb.Frame_Ack{Ack: &peerpb.Ack{}}})
	default:
		return fmt.Errorf("want a Query or an Announce: %w", core.ErrInvalid)
	}
}

func (x *indexer) serveQuery(ctx context.Context, s *p2p.Stream, q *peerpb.Query) (err error) {
	ctx, span := x.n.tel.start(ctx, "index.query")
	defer func() { span.end(err) }()
	hits, err := x.query(ctx, q)
	if err != nil {
		return err
	}
	return s.WriteFrame(&peerpb.Frame{Body: &peerpb.Frame_Hits{Hits: hits}})
}

func (x *indexer) entry(did core.DID) (*catalogEntry, error) {
	e := new(catalogEntry)
	return e, x.n.store.GetJSON(catalogPrefix+string(did), e)
}

func offerID(did core.DID, offer int) string { return string(did) + "#" + strconv.Itoa(offer) }

func offerIDs(did core.DID, from, to int) []string {
	var ids []string
	for i := from; i < to; i++ {
		ids = append(ids, offerID(did, i))
	}
	return ids
}

func parseOfferID(id string) (core.DID, int, bool) {
	did, n, ok := strings.Cut(id, "#")
	offer, err := strconv.Atoi(n)
	return core.DID(did), offer, ok && err == nil && offer >= 0
}
