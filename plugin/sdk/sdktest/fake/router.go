package fake

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/zerostate/zerostate/core"
)

// Router is static: direct where that is possible, else the first relay of the
// backbone, else the cheapest path. It counts what it observes and learns
// nothing from it.
type Router struct {
	mu     sync.Mutex
	visits map[string]int // by path
}

// NewRouter returns a router that has observed nothing.
func NewRouter() *Router { return &Router{visits: map[string]int{}} }

// Decide answers every request.
func (r *Router) Decide(ctx context.Context, reqs []core.RouteRequest) ([]core.RouteDecision, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	decisions := make([]core.RouteDecision, len(reqs))
	for i, req := range reqs {
		if len(req.Candidates) == 0 {
			return nil, core.FieldError{Path: fmt.Sprintf("requests[%d].candidates", i), Problem: "at least one is needed"}
		}
		decisions[i] = r.decide(req)
	}
	return decisions, nil
}

func (r *Router) decide(req core.RouteRequest) core.RouteDecision {
	best := slices.MinFunc(req.Candidates, func(a, b core.RouteCandidate) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Backbone, b.Backbone),
			cmp.Compare(pathCost(a), pathCost(b)), cmp.Compare(a.Path, b.Path))
	})
	d := core.RouteDecision{ID: req.ID, Path: best.Path, Fallback: best.Path != core.PathDirect && best.Backbone > 0}
	for _, c := range req.Candidates {
		reason := [...]string{"direct", "on the backbone", "by cost"}[rank(c)]
		d.Scores = append(d.Scores, core.RouteScore{Path: c.Path, Cost: pathCost(c), Visits: r.visits[c.Path], Reason: reason})
	}
	return d
}

// rank orders the three sorts of paths.
func rank(c core.RouteCandidate) int {
	switch {
	case c.Path == core.PathDirect:
		return 0
	case c.Backbone > 0:
		return 1
	default:
		return 2
	}
}

// pathCost is the round trip in milliseconds, repeated as often as packets are lost.
func pathCost(c core.RouteCandidate) float64 {
	return float64(c.RTT) / float64(time.Millisecond) * (1 + c.LossRatio)
}

// Observe counts outcomes.
func (r *Router) Observe(ctx context.Context, outcomes iter.Seq2[core.RouteOutcome, error]) (int, error) {
	n := 0
	for o, err := range outcomes {
		if err != nil {
			return n, err
		}
		if err := ctx.Err(); err != nil {
			return n, err
		}
		if o.Path == "" {
			return n, core.FieldError{Path: fmt.Sprintf("outcomes[%d].path", n), Problem: "must not be empty"}
		}
		r.mu.Lock()
		r.visits[o.Path]++
		r.mu.Unlock()
		n++
	}
	return n, nil
}

// ExportPolicy returns the counts in JSON.
func (r *Router) ExportPolicy(context.Context) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return json.Marshal(policy{Router: Name, Visits: r.visits})
}

type policy struct {
	Router string         `json:"router"`
	Visits map[string]int `json:"visits"`
}

// ImportPolicy replaces the counts.
func (r *Router) ImportPolicy(_ context.Context, data []byte) error {
	var p policy
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil || p.Router != Name {
		return fmt.Errorf("policy: %w: not one of the fake router", core.ErrInvalid)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.visits = map[string]int{}
	maps.Copy(r.visits, p.Visits)
	return nil
}
