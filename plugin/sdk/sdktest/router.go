package sdktest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/zerostate/zerostate/core"
)

// Router returns the suite of plugins of kind router.
func Router() Suite[core.Router] {
	return Suite[core.Router]{
		{Name: "decide", Run: routerDecide},
		{Name: "observe", Run: routerObserve},
		{Name: "refuses", Run: routerRefuses},
		{Name: "policy", Run: routerPolicy},
		{Name: "concurrent", Run: routerConcurrent},
		{Name: "ended-context", Run: routerEnded},
	}
}

func routeRequest(id string) core.RouteRequest {
	return core.RouteRequest{
		ID: id, Destination: Signer("destination").DID(), Region: "eu-west", SLA: "interactive", SizeBytes: 1024, TTL: time.Second,
		Candidates: []core.RouteCandidate{
			{Path: core.PathDirect, RTT: 80 * time.Millisecond, Jitter: 5 * time.Millisecond, LossRatio: 0.01, Reputation: 0.9, RegionMatch: true},
			{Path: string(Signer("relay-1").DID()), RTT: 40 * time.Millisecond, PriceMicros: 5, Reputation: 0.8, RegionMatch: true, Backbone: 1},
			{Path: string(Signer("relay-2").DID()), RTT: 60 * time.Millisecond, PriceMicros: 2, Reputation: 0.7, Backbone: 2},
		},
	}
}

func routeOutcomes(n int) []core.RouteOutcome {
	req := routeRequest("")
	outcomes := make([]core.RouteOutcome, n)
	for i := range outcomes {
		c := req.Candidates[i%len(req.Candidates)]
		outcomes[i] = core.RouteOutcome{
			Destination: req.Destination, Path: c.Path, SLA: req.SLA, Region: req.Region, OK: i%5 != 0, Latency: c.RTT, Features: c,
		}
	}
	return outcomes
}

// wantDecision checks that a decision answers its request.
func wantDecision(t T, req core.RouteRequest, d core.RouteDecision) {
	t.Helper()
	paths := map[string]bool{}
	for _, c := range req.Candidates {
		paths[c.Path] = true
	}
	if d.ID != req.ID || !paths[d.Path] {
		t.Errorf("decision: got id %q, path %q, want %q and one of the candidates", d.ID, d.Path, req.ID)
	}
	scored := map[string]bool{}
	for _, s := range d.Scores {
		scored[s.Path] = true
	}
	if len(scored) != len(paths) {
		t.Errorf("decision: got scores of %d paths, want %d: %+v", len(scored), len(paths), d.Scores)
	}
}

func routerDecide(t T, s Subject[core.Router]) {
	r := open(t, s)
	reqs := []core.RouteRequest{routeRequest("b"), routeRequest("a")}
	reqs[1].Candidates = reqs[1].Candidates[1:2] // only one way
	decisions, err := r.Decide(t.Context(), reqs)
	must(t, "decide", err)
	if len(decisions) != 2 {
		t.Fatalf("decide: got %d decisions, want 2", len(decisions))
	}
	for i, d := range decisions {
		wantDecision(t, reqs[i], d)
	}
	decisions, err = r.Decide(t.Context(), nil)
	if len(decisions) != 0 || err != nil {
		t.Errorf("decide nothing: got %v, %v", decisions, err)
	}
}

func routerObserve(t T, s Subject[core.Router]) {
	r := open(t, s)
	n, err := r.Observe(t.Context(), seq(nil, routeOutcomes(1000)...))
	if n != 1000 || err != nil {
		t.Errorf("observe: got %d, %v, want 1000, nil", n, err)
	}
	_, err = r.Observe(t.Context(), seq(errSequence, routeOutcomes(3)...))
	wantIs(t, "observe", err, errSequence)
	decisions, err := r.Decide(t.Context(), []core.RouteRequest{routeRequest("x")})
	must(t, "decide", err)
	wantDecision(t, routeRequest("x"), decisions[0])
	if !slices.ContainsFunc(decisions[0].Scores, func(s core.RouteScore) bool { return s.Visits > 0 }) {
		t.Errorf("scores after 1003 outcomes: no path has visits: %+v", decisions[0].Scores)
	}
}

func routerRefuses(t T, s Subject[core.Router]) {
	r := open(t, s)
	_, err := r.Decide(t.Context(), []core.RouteRequest{{ID: "x"}})
	wantIs(t, "no candidates", err, core.ErrInvalid)
	wantIs(t, "policy of another", r.ImportPolicy(t.Context(), []byte("\x00nonsense")), core.ErrInvalid)
	wantIs(t, "empty policy", r.ImportPolicy(t.Context(), nil), core.ErrInvalid)
}

func routerPolicy(t T, s Subject[core.Router]) {
	r := open(t, s)
	_, err := r.Observe(t.Context(), seq(nil, routeOutcomes(300)...))
	must(t, "observe", err)
	policy, err := r.ExportPolicy(t.Context())
	must(t, "export", err)
	other := open(t, s)
	must(t, "import", other.ImportPolicy(t.Context(), policy))
	visits := func(r core.Router) map[string]int {
		decisions, err := r.Decide(t.Context(), []core.RouteRequest{routeRequest("x")})
		must(t, "decide", err)
		out := map[string]int{}
		for _, s := range decisions[0].Scores {
			out[s.Path] = s.Visits
		}
		return out
	}
	if got, want := fmt.Sprint(visits(other)), fmt.Sprint(visits(r)); got != want {
		t.Errorf("visits after import: got %s, want %s", got, want)
	}
	wantIs(t, "bad policy", other.ImportPolicy(t.Context(), []byte("{}")), core.ErrInvalid)
	if got, want := fmt.Sprint(visits(other)), fmt.Sprint(visits(r)); got != want {
		t.Errorf("visits after a bad policy: got %s, want %s", got, want)
	}
}

func routerConcurrent(t T, s Subject[core.Router]) {
	r := open(t, s)
	together(t, 16, func(i int) error {
		if i%2 == 0 {
			_, err := r.Observe(t.Context(), seq(nil, routeOutcomes(20)...))
			return err
		}
		decisions, err := r.Decide(t.Context(), []core.RouteRequest{routeRequest(numbered("r", i))})
		if err == nil && decisions[0].ID != numbered("r", i) {
			return fmt.Errorf("got the decision of %s", decisions[0].ID)
		}
		return err
	})
}

func routerEnded(t T, s Subject[core.Router]) {
	r := open(t, s)
	ended(t, func(ctx context.Context) error {
		_, err := r.Decide(ctx, []core.RouteRequest{routeRequest("x")})
		return err
	})
}
