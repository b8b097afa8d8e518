package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/p2p"
	"github.com/zerostate/zerostate/host/internal/peerpb"
)

const (
	defaultHits = 5
	maxHits     = 100
	// indexNodesAsked is how many index nodes a find asks side by side.
	indexNodesAsked = 2
	// confirmBudget is how long a find waits for the DHT. What is not confirmed
	// by then is shown as unconfirmed, neither trusted nor dropped in silence.
	confirmBudget = 250 * time.Millisecond
	indexBudget   = 3 * time.Second
)

// FindQuery asks for agents by meaning.
type FindQuery struct {
	Text    string
	K       int      // hits wanted, 1..100; 0 is 5
	Regions []string // any of these; empty: all
	Skills  []string
	Tags    []string
	NoCache bool // resolve each card anew
}

// Hit is one agent that Find kept.
type Hit struct {
	listing
	Offer      int     // which offer of the card
	Similarity float64 // cosine of the query and the offer's text, -1..1, as the index nodes report it (their median)
	Score      float64 // reputation, 0..1
	Rank       float64 // what the order is by
	Reason     string  // why it was kept
}

// Card is the hit's verified card.
func (h *Hit) Card() *core.Card { return h.card }

// Record is the hit's signed record, canonical bytes.
func (h *Hit) Record() []byte { return h.raw }

// CardBytes is the hit's card, canonical bytes.
func (h *Hit) CardBytes() []byte { return h.cardRaw }

// Evidence says how fresh the hit's card is.
func (h *Hit) Evidence() Evidence { return h.evidence }

// Drop is one agent that Find did not keep, and why.
type Drop struct {
	DID       core.DID
	IndexNode core.DID
	Reason    string
}

// Found is the answer to a FindQuery, best hit first.
type Found struct {
	Hits       []Hit
	Dropped    []Drop
	IndexNodes []core.DID
	Latency    time.Duration
}

// report is what one index node says of one offer.
type report struct {
	node  core.DID
	hit   *peerpb.Hit
	score float64
}

// Find asks two of the region's index nodes, verifies each hit here, asks the
// DHT side by side for anything newer, drops what does not verify, is expired,
// revoked, older than known or below the reputation gate, and ranks the rest. An
// index node reads the query's text. Errors: core.ErrInvalid, and
// core.ErrUnavailable where no index node answers.
func (n *Node) Find(ctx context.Context, q FindQuery) (found *Found, err error) {
	ctx, span := n.tel.start(ctx, "find")
	defer func() { span.end(err) }()
	if q.K == 0 {
		q.K = defaultHits
	}
	if q.Text == "" || len(q.Text) > 1024 || q.K < 1 || q.K > maxHits {
		return nil, fmt.Errorf("find wants a text of 1 to 1024 bytes and k of 1 to %d: %w", maxHits, core.ErrInvalid)
	}
	start := time.Now()
	reports, nodes, err := n.askIndexes(ctx, q)
	if err != nil {
		return nil, err
	}
	found = &Found{IndexNodes: nodes}
	hits := n.confirmAll(ctx, q, reports, found)
	if hits, err = n.gate(ctx, hits, found); err != nil {
		return nil, err
	}
	rank(hits)
	found.Hits = firstN(hits, q.K)
	found.Latency = time.Since(start)
	return found, nil
}

// askIndexes collects reports, by did and offer, from the index nodes.
func (n *Node) askIndexes(ctx context.Context, q FindQuery) (map[string][]report, []core.DID, error) {
	others, err := n.indexNodes(ctx)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, indexBudget)
	defer cancel()
	want := &peerpb.Query{
		Text: q.Text, K: int64(min(2*q.K+5, 2*maxHits)),
		Filter: &peerpb.Filter{Regions: q.Regions, Skills: q.Skills, Tags: q.Tags},
	}
	var mu sync.Mutex
	var nodes []core.DID
	var errs []error
	reports := map[string][]report{}
	take := func(node core.DID, hits []*peerpb.Hit, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			errs = append(errs, fmt.Errorf("index node %s: %w", node.Short(), err))
			return
		}
		nodes = append(nodes, node)
		for _, h := range firstN(hits, int(want.GetK())) {
			key := n.offerKey(h)
			if !slices.ContainsFunc(reports[key], func(r report) bool { return r.node == node }) { // one voice each
				reports[key] = append(reports[key], report{node: node, hit: h, score: cosine(h.GetScore())})
			}
		}
	}
	var wg sync.WaitGroup
	asked := 0
	if n.index != nil {
		asked++
		wg.Go(func() { hits, err := n.index.query(ctx, want); take(n.DID(), hits.GetHits(), err) })
	}
	for _, did := range firstN(others, indexNodesAsked-asked) {
		wg.Go(func() { hits, err := n.askIndex(ctx, did, want); take(did, hits, err) })
	}
	wg.Wait()
	if len(nodes) == 0 {
		err := errors.Join(errs...)
		if err == nil {
			err = errors.New("none is known yet; is a node with the index role up?")
		}
		return nil, nil, fmt.Errorf("no index node of region %s answered (%w): %w", n.cfg.Node.Region, err, core.ErrUnavailable)
	}
	slices.Sort(nodes)
	return reports, nodes, nil
}

// cosine is a reported similarity within its bounds; no number is the least.
func cosine(score float64) float64 {
	if math.IsNaN(score) {
		return -1
	}
	return min(max(score, -1), 1)
}

func (n *Node) askIndex(ctx context.Context, node core.DID, q *peerpb.Query) ([]*peerpb.Hit, error) {
	answer, err := n.net.Ask(ctx, node, p2p.ProtocolIndex, injectTrace(ctx, &peerpb.Frame{Body: &peerpb.Frame_Query{Query: q}}))
	if err != nil {
		n.forgetIndexNodes()
		return nil, err
	}
	hits := answer.GetHits()
	if hits == nil {
		return nil, fmt.Errorf("answered no Hits: %w", core.ErrInvalid)
	}
	return hits.GetHits(), nil
}

// offerKey names what a hit is about by what its record claims; the claim is
// verified later.
func (n *Node) offerKey(h *peerpb.Hit) string {
	r, err := n.readRecord(h.GetRecord())
	if err != nil {
		return fmt.Sprintf("unreadable/%p", h)
	}
	return fmt.Sprintf("%s#%d", r.DID, h.GetOffer())
}

// confirmAll verifies every reported card and asks the DHT for newer ones, side
// by side and within the budget.
func (n *Node) confirmAll(ctx context.Context, q FindQuery, reports map[string][]report, found *Found) []Hit {
	ctx, cancel := context.WithTimeout(ctx, confirmBudget)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	var hits []Hit
	for _, rs := range reports {
		wg.Go(func() {
			h, err := n.confirm(ctx, q, rs)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				found.Dropped = append(found.Dropped, Drop{DID: n.didOf(rs[0]), IndexNode: rs[0].node, Reason: err.Error()})
				return
			}
			hits = append(hits, *h)
		})
	}
	wg.Wait()
	slices.SortFunc(found.Dropped, func(a, b Drop) int { return cmp.Compare(a.DID, b.DID) })
	return hits
}

// readRecord reads a record that may not verify; one that does is not read twice.
func (n *Node) readRecord(raw []byte) (*core.CardRecord, error) {
	if r, err := n.papers.Record(raw); err == nil {
		return r, nil
	}
	return core.Parse[core.CardRecord](raw)
}

func (n *Node) didOf(r report) core.DID {
	if rec, err := n.readRecord(r.hit.GetRecord()); err == nil {
		return rec.DID
	}
	return ""
}

// confirm verifies what the index nodes say of one offer and looks for anything
// newer. The record with the highest seq among the reports counts.
func (n *Node) confirm(ctx context.Context, q FindQuery, rs []report) (*Hit, error) {
	var best *listing
	var bad error
	var heard []report // whose papers verify; the others' scores do not count
	for _, r := range rs {
		l, err := n.directory.read(ctx, r.hit.GetRecord(), r.hit.GetCard())
		if err != nil {
			bad = err
			continue
		}
		if l.record.Tombstone() {
			return nil, revoked(l.record)
		}
		heard = append(heard, r)
		if best == nil || best.record.Seq < l.record.Seq {
			best = l
		}
	}
	if best == nil {
		return nil, bad
	}
	known, err := n.known.Known(best.record.DID)
	if err != nil {
		return nil, err
	}
	if known.Tombstone == nil && known.Seq > int64(best.record.Seq) {
		best.evidence.Seq = core.Millis(known.Seq)
	}
	fresh, err := n.directory.resolve(ctx, best.record.DID, max(best.record.Seq, core.Millis(known.Seq)), q.NoCache)
	switch {
	case err == nil:
		best = fresh
	case errors.Is(err, core.ErrDenied), errors.Is(err, core.ErrInvalid):
		return nil, err
	case known.Seq > int64(best.record.Seq):
		return nil, fmt.Errorf("seq %d is older than seq %d, which was used here: %w", best.record.Seq, known.Seq, core.ErrConflict)
	default:
		best.evidence = Evidence{Seq: best.record.Seq, Age: n.now().Sub(best.record.Signed.Time())}
	}
	return n.hit(best, heard)
}

func (n *Node) hit(l *listing, rs []report) (*Hit, error) {
	p := l.card.Params()
	offer := int(rs[0].hit.GetOffer())
	switch {
	case p.Status != core.CardActive:
		return nil, fmt.Errorf("the agent is %s: %w", p.Status, core.ErrUnavailable)
	case offer < 0 || offer >= len(p.Offers):
		return nil, fmt.Errorf("the card has no offer %d: %w", offer, core.ErrInvalid)
	}
	h := &Hit{listing: *l, Offer: offer}
	scores := make([]float64, 0, len(rs))
	for _, r := range rs {
		scores = append(scores, r.score)
		h.evidence.IndexNodes = append(h.evidence.IndexNodes, r.node)
	}
	slices.Sort(scores)
	slices.Sort(h.evidence.IndexNodes)
	h.Similarity = scores[(len(scores)-1)/2] // the lower median: one reporter alone can not raise it
	return h, nil
}

// gate asks the reputation plugin for every agent's score and drops those below
// the policy's.
func (n *Node) gate(ctx context.Context, hits []Hit, found *Found) ([]Hit, error) {
	if len(hits) == 0 {
		return nil, nil
	}
	subjects := make([]core.Subject, len(hits))
	for i, h := range hits {
		subjects[i] = core.Subject{Agent: h.record.DID, Node: h.card.Params().Node}
	}
	scores, err := n.scores(ctx, subjects)
	if err != nil {
		return nil, err
	}
	kept := hits[:0]
	for i, h := range hits {
		h.Score = scores[i].Value
		if h.Score < n.cfg.Policy.MinReputation {
			reason := fmt.Sprintf("reputation %.2f is below policy.min_reputation %.2f", h.Score, n.cfg.Policy.MinReputation)
			found.Dropped = append(found.Dropped, Drop{DID: h.record.DID, Reason: reason})
			continue
		}
		kept = append(kept, h)
	}
	return kept, nil
}

// rank orders hits: meaning first, weighed by reputation; between equals the
// cheaper one, then the did, so that the order is always the same.
func rank(hits []Hit) {
	for i := range hits {
		h := &hits[i]
		h.Rank = h.Similarity * (0.75 + 0.25*h.Score)
		confirmed := "not confirmed by the DHT in time"
		if h.evidence.Confirmed {
			confirmed = fmt.Sprintf("confirmed by the DHT (%s, %d holders)", h.evidence.Basis, h.evidence.Holders)
		}
		h.Reason = fmt.Sprintf("similarity %.3f from %d index nodes, reputation %.2f, %s", h.Similarity, len(h.evidence.IndexNodes), h.Score, confirmed)
	}
	price := func(h Hit) float64 {
		p := h.card.Params().Offers[h.Offer].Price
		return float64(p.PriceMicros) / float64(p.PerUnits)
	}
	slices.SortFunc(hits, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(b.Rank, a.Rank), cmp.Compare(price(a), price(b)), cmp.Compare(a.record.DID, b.record.DID),
			cmp.Compare(a.Offer, b.Offer))
	})
}

// indexNodes answers the other nodes that serve the region's index; the answer
// is kept for a minute.
func (n *Node) indexNodes(ctx context.Context) ([]core.DID, error) {
	n.indexes.Lock()
	defer n.indexes.Unlock()
	if len(n.indexes.nodes) > 0 && n.now().Before(n.indexes.until) {
		return n.indexes.nodes, nil
	}
	id, err := p2p.CapabilityCID("index", n.cfg.Node.Region)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	nodes, err := n.net.FindProviders(ctx, id, 8)
	if err != nil {
		return nil, err
	}
	n.indexes.nodes, n.indexes.until = nodes, n.now().Add(time.Minute)
	return nodes, nil
}

func (n *Node) forgetIndexNodes() {
	n.indexes.Lock()
	defer n.indexes.Unlock()
	n.indexes.nodes = nil
}

// indexNodeCache is what indexNodes found last.
type indexNodeCache struct {
	sync.Mutex
	nodes []core.DID
	until time.Time
}

// provideEvery is how often capabilities are provided again: well within the
// life of a provider record.
const provideEvery = 6 * time.Hour

// provideCapability tells the DHT what this node offers, in the background: as
// soon as there is somebody to tell, and again and again.
func (n *Node) provideCapability(skill, region string) {
	id, err := p2p.CapabilityCID(skill, region)
	if err != nil {
		n.log.Warn("capability not provided", "skill", skill, "error", err)
		return
	}
	if _, known := n.provided.LoadOrStore(id, true); known {
		return
	}
	n.work.Go(func() {
		for {
			wait := provideEvery
			if err := n.provideOnce(id); err != nil {
				n.log.Debug("capability not provided yet", "skill", skill, "error", err)
				wait = time.Second
			}
			select {
			case <-time.After(wait):
			case <-n.ctx.Done():
				return
			}
		}
	})
}

func (n *Node) provideOnce(id string) error {
	if n.net.RoutingTableSize() == 0 {
		return fmt.Errorf("no peer to tell: %w", core.ErrUnavailable)
	}
	ctx, cancel := context.WithTimeout(n.ctx, 10*time.Second)
	defer cancel()
	return n.net.Provide(ctx, id)
}
