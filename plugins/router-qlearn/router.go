package main

import (
	"context"
	"fmt"
	"iter"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugins/router-qlearn/qlearn"
)

// Decide answers each request as core.Router says.
func (r *router) Decide(ctx context.Context, reqs []core.RouteRequest) ([]core.RouteDecision, error) {
	out := make([]core.RouteDecision, len(reqs))
	for i, req := range reqs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		candidates := make([]qlearn.Candidate, len(req.Candidates))
		for j, c := range req.Candidates {
			candidates[j] = qlearn.Candidate(c)
		}
		d, err := r.learner.Decide(qlearn.Request{
			Destination: string(req.Destination), Region: req.Region, SLA: req.SLA,
			SizeBytes: req.SizeBytes, TTL: req.TTL, Candidates: candidates,
		})
		if err != nil {
			return nil, fmt.Errorf("request %d (%s): %w: %w", i, req.ID, err, core.ErrInvalid)
		}
		out[i] = core.RouteDecision{ID: req.ID, Path: d.Path, Explored: d.Explored, Fallback: d.Fallback, Scores: make([]core.RouteScore, len(d.Scores))}
		for j, s := range d.Scores {
			out[i].Scores[j] = core.RouteScore(s)
		}
	}
	return out, nil
}

// Observe learns from each outcome; the table is saved soon after.
func (r *router) Observe(ctx context.Context, outcomes iter.Seq2[core.RouteOutcome, error]) (int, error) {
	n := 0
	defer func() {
		if n > 0 {
			r.changed()
		}
	}()
	for o, err := range outcomes {
		if err != nil {
			return n, err
		}
		if err := ctx.Err(); err != nil {
			return n, err
		}
		err = r.learner.Observe(qlearn.Outcome{
			Destination: string(o.Destination), Region: o.Region, SLA: o.SLA, Path: o.Path, OK: o.OK,
			Latency: o.Latency, PriceMicros: o.PriceMicros, Features: qlearn.Candidate(o.Features),
		})
		if err != nil {
			return n, fmt.Errorf("outcome %d: %w: %w", n, err, core.ErrInvalid)
		}
		n++
	}
	return n, nil
}

// ExportPolicy returns the table as versioned JSON.
func (r *router) ExportPolicy(context.Context) ([]byte, error) { return r.learner.Export() }

// ImportPolicy replaces the table and saves it before it returns.
func (r *router) ImportPolicy(_ context.Context, policy []byte) error {
	if err := r.learner.Import(policy); err != nil {
		return fmt.Errorf("%w: %w", err, core.ErrInvalid)
	}
	return r.save()
}
