package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/p2p"
)

// route asks the router for a path to the worker and opens the task's stream
// along it; where that fails the static path is tried: direct, then each relay of
// the backbone in order.
func (t *taskRun) route(ctx context.Context) (string, error) {
	node := t.hired.node()
	d, err := t.n.decide(ctx, node, t.hired.listing.card.Params().Region, core.SLAInteractive, t.inputs)
	if err != nil {
		return "", err
	}
	t.routed = d
	paths := append([]string{d.Path}, t.n.staticPaths()...)
	var errs []error
	tried := map[string]bool{}
	for _, path := range paths {
		if tried[path] {
			continue
		}
		tried[path] = true
		s, err := t.n.openVia(ctx, node, path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		t.stream = s
		t.routed.Path, t.routed.Fallback = s.Path(), d.Fallback || path != d.Path
		t.result.Path, t.result.Route = s.Path(), &t.routed
		return explain(t.routed), nil
	}
	return "", fmt.Errorf("no path to %s: %w", node.Short(), errors.Join(errs...))
}

// pathTime is how long opening a stream along one path may take: a peer that is
// gone without a word must not hold the task for as long as a transport waits.
const pathTime = 5 * time.Second

func (n *Node) openVia(ctx context.Context, node core.DID, path string) (*p2p.Stream, error) {
	short, cancel := context.WithTimeout(ctx, pathTime)
	defer cancel()
	s, err := n.net.OpenVia(short, node, path, p2p.ProtocolTask)
	if err != nil && ctx.Err() == nil && short.Err() != nil {
		// The path's time was up, not the caller's: the peer is gone.
		err = fmt.Errorf("%v within %s: %w", err, pathTime, core.ErrUnavailable) //nolint:errorlint // our own deadline must not look like the caller's
	}
	return s, err
}

// decide asks the router plugin. A router that fails does not stop a task: the
// static path is taken, and the decision says so.
func (n *Node) decide(ctx context.Context, node core.DID, region, sla string, size int64) (core.RouteDecision, error) {
	req := core.RouteRequest{
		ID: string(node), Destination: node, Region: region, SLA: sla, SizeBytes: size, TTL: n.cfg.Policy.GuildTTL,
		Candidates: n.candidates(node, region),
	}
	ds, err := n.router.Decide(ctx, []core.RouteRequest{req})
	if err == nil && len(ds) == 1 && slices.ContainsFunc(req.Candidates, func(c core.RouteCandidate) bool { return c.Path == ds[0].Path }) {
		return ds[0], nil
	}
	if err == nil {
		err = fmt.Errorf("the router answered no path that it was offered: %w", core.ErrInvalid)
	}
	if ctx.Err() != nil {
		return core.RouteDecision{}, err
	}
	n.logger(ctx).Warn("static path taken", "to", node.Short(), "error", err)
	return core.RouteDecision{ID: req.ID, Path: p2p.PathDirect, Fallback: true}, nil
}

// candidates are the paths to a node that policy allows, with what is known of
// each: direct, and every relay of the backbone.
func (n *Node) candidates(node core.DID, region string) []core.RouteCandidate {
	direct := n.net.RTT(node)
	out := []core.RouteCandidate{{
		Path: p2p.PathDirect, RTT: direct.Mean, Jitter: direct.Jitter, LossRatio: direct.Loss, Reputation: 1,
		RegionMatch: region == n.cfg.Node.Region,
	}}
	if !n.cfg.Policy.AllowRelay {
		return out
	}
	for i, relay := range n.backbone {
		if relay == node || relay == n.DID() {
			continue
		}
		r := n.net.RTT(relay)
		out = append(out, core.RouteCandidate{
			Path: string(relay), RTT: r.Mean + direct.Mean, Jitter: r.Jitter + direct.Jitter, LossRatio: r.Loss,
			Reputation: 1, RegionMatch: true, Backbone: i + 1,
		})
	}
	return out
}

// staticPaths is what is tried without a router: direct, then the backbone.
func (n *Node) staticPaths() []string {
	out := []string{p2p.PathDirect}
	if n.cfg.Policy.AllowRelay {
		for _, relay := range n.backbone {
			out = append(out, string(relay))
		}
	}
	return out
}

// explain is a decision in a line.
func explain(d core.RouteDecision) string {
	path := d.Path
	if path != p2p.PathDirect {
		path = "relay " + core.DID(path).Short()
	}
	switch {
	case d.Fallback:
		path += " (static path)"
	case d.Explored:
		path += " (exploring)"
	}
	for _, s := range d.Scores {
		if s.Path == d.Path && s.Reason != "" {
			path += ": " + s.Reason
		}
	}
	return path
}

// observeRoute tells the router how a path did, in the background.
func (n *Node) observeRoute(ctx context.Context, t *taskRun, ok bool) {
	if t.routed.Path == "" {
		return
	}
	o := core.RouteOutcome{
		Destination: t.hired.node(), Path: t.routed.Path, SLA: core.SLAInteractive,
		Region: t.hired.listing.card.Params().Region, OK: ok, Latency: t.answered,
	}
	for _, c := range n.candidates(o.Destination, o.Region) {
		if c.Path == o.Path {
			o.Features = c
		}
	}
	ctx = context.WithoutCancel(ctx)
	n.work.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		one := func(yield func(core.RouteOutcome, error) bool) { yield(o, nil) }
		if _, err := n.router.Observe(ctx, one); err != nil {
			n.log.Debug("outcome not observed", "error", err)
		}
	})
}
