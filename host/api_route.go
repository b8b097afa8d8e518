package host

import (
	"cmp"
	"context"

	"connectrpc.com/connect"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/core"
)

// routeService explains the router.
type routeService struct{ n *Node }

// Explain decides a path to a node now and says why, without using it.
func (s routeService) Explain(ctx context.Context, req *connect.Request[nodev1.RouteExplainRequest]) (*connect.Response[nodev1.RouteExplainResponse], error) {
	m := req.Msg
	if m.GetSizeBytes() < 0 {
		return nil, &core.FieldError{Path: "size_bytes", Problem: "not negative"}
	}
	node, err := parseDID("node", m.GetNode())
	if err != nil {
		return nil, err
	}
	d, err := s.n.decide(ctx, node, s.n.cfg.Node.Region, cmp.Or(m.GetSla(), core.SLAInteractive), m.GetSizeBytes())
	return reply(&nodev1.RouteExplainResponse{Decision: routeDecision(d)}, err)
}

// Show answers the learned policy as JSON.
func (s routeService) Show(ctx context.Context, _ *connect.Request[nodev1.RouteShowRequest]) (*connect.Response[nodev1.RouteShowResponse], error) {
	policy, err := s.n.router.ExportPolicy(ctx)
	return reply(&nodev1.RouteShowResponse{Policy: policy}, err)
}

func routeDecision(d core.RouteDecision) *nodev1.RouteDecision {
	out := &nodev1.RouteDecision{Path: d.Path, Explored: d.Explored, Fallback: d.Fallback}
	for _, s := range d.Scores {
		out.Scores = append(out.Scores, &nodev1.RouteScore{Path: s.Path, CostMs: s.Cost, Visits: int64(s.Visits), Reason: s.Reason})
	}
	return out
}
