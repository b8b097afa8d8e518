package host

import (
	"cmp"
	"context"
	"fmt"

	"connectrpc.com/connect"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/peerpb"
)

// maxFilter bounds each list of a filter, maxFilterText each word of one, bytes.
const (
	maxFilter     = 32
	maxFilterText = 256
)

// checkFilter holds the lists of a filter to their bounds.
func checkFilter(regions, skills, tags []string) error {
	var f core.FieldErrors
	for _, l := range []struct {
		name  string
		words []string
	}{{"regions", regions}, {"skills", skills}, {"tags", tags}} {
		if len(l.words) > maxFilter {
			f.Add(l.name, fmt.Sprintf("%d words, at most %d", len(l.words), maxFilter))
		}
		for i, w := range l.words {
			if w == "" || len(w) > maxFilterText {
				f.Add(fmt.Sprintf("%s[%d]", l.name, i), fmt.Sprintf("a word has 1 to %d bytes", maxFilterText))
			}
		}
	}
	return f.Err()
}

func peerQuery(q *nodev1.IndexQueryRequest) *peerpb.Query {
	return &peerpb.Query{
		Text: q.GetText(), K: cmp.Or(q.GetK(), defaultHits),
		Filter: &peerpb.Filter{Regions: q.GetRegions(), Skills: q.GetSkills(), Tags: q.GetTags()},
	}
}

// findService finds agents by meaning.
type findService struct{ n *Node }

// Find answers ranked hits with their evidence, and what was dropped and why.
func (s findService) Find(ctx context.Context, req *connect.Request[nodev1.FindRequest]) (_ *connect.Response[nodev1.FindResponse], err error) {
	q := req.Msg
	if q.GetK() < 0 || q.GetK() > maxHits {
		return nil, &core.FieldError{Path: "k", Problem: fmt.Sprintf("1 to %d hits", maxHits)}
	}
	if err := checkFilter(q.GetRegions(), q.GetSkills(), q.GetTags()); err != nil {
		return nil, err
	}
	ctx, span := s.n.tel.start(ctx, "api.find")
	defer func() { span.end(err) }()
	found, err := s.n.Find(ctx, FindQuery{
		Text: q.GetText(), K: int(q.GetK()), Regions: q.GetRegions(), Skills: q.GetSkills(), Tags: q.GetTags(), NoCache: q.GetNoCache(),
	})
	if err != nil {
		return nil, err
	}
	out := &nodev1.FindResponse{LatencyMs: found.Latency.Milliseconds(), TraceId: span.traceID()}
	for i := range found.Hits {
		out.Hits = append(out.Hits, findHit(&found.Hits[i]))
	}
	for _, d := range found.Dropped {
		out.Dropped = append(out.Dropped, &nodev1.FindDrop{Did: string(d.DID), IndexNode: string(d.IndexNode), Reason: d.Reason})
	}
	for _, did := range found.IndexNodes {
		out.IndexNodes = append(out.IndexNodes, string(did))
	}
	return connect.NewResponse(out), nil
}

func findHit(h *Hit) *nodev1.FindHit {
	p := h.card.Params()
	o := p.Offers[h.Offer]
	return &nodev1.FindHit{
		Did: string(p.DID), Node: string(p.Node), Name: h.card.Name, Description: h.card.Description, Skill: o.Skill,
		Offer: int64(h.Offer), Similarity: h.Similarity, Score: h.Score, Rank: h.Rank,
		PriceMicros: o.Price.PriceMicros, PerUnits: o.Price.PerUnits, Unit: o.Price.Unit, Currency: o.Price.Currency,
		Region: p.Region, Evidence: evidenceOf(h.evidence), Record: h.raw, Card: h.cardRaw, Reason: h.Reason,
	}
}
