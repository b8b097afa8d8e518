package core

import (
	"context"
	"iter"
	"time"
)

// PathDirect is the path without a relay.
const PathDirect = "direct"

// Router picks the path to a peer and learns from what came of it. It is safe
// for concurrent use.
type Router interface {
	// Decide answers every request, in order, with the path to take and why.
	// A request without candidates is ErrInvalid.
	Decide(ctx context.Context, reqs []RouteRequest) ([]RouteDecision, error)
	// Observe feeds outcomes back and returns how many were taken in. An error
	// of the sequence is returned as it is.
	Observe(ctx context.Context, outcomes iter.Seq2[RouteOutcome, error]) (int, error)
	// ExportPolicy returns what was learned, in a form of the plugin's own.
	ExportPolicy(ctx context.Context) ([]byte, error)
	// ImportPolicy replaces what was learned. Bytes that this plugin did not
	// export are ErrInvalid and change nothing.
	ImportPolicy(ctx context.Context, policy []byte) error
}

// RouteRequest asks for the path of one message or stream.
type RouteRequest struct {
	ID          string // echoed in the decision
	Destination DID    // the node to reach
	Region      string // the destination's region
	SLA         string // service class, e.g. "interactive" or "batch"
	SizeBytes   int64  // what will be sent; 0 where unknown
	TTL         time.Duration
	Candidates  []RouteCandidate
}

// RouteCandidate is one possible path with what is known about it.
type RouteCandidate struct {
	Path        string // PathDirect, or the did of the relay's node
	RTT         time.Duration
	Jitter      time.Duration
	LossRatio   float64 // 0..1
	PriceMicros int64
	Reputation  float64 // 0..1
	RegionMatch bool    // the path stays in the destination's region
	Backbone    int     // 0: not on the backbone, else its place on it, from 1
}

// RouteDecision is the path to take and its explanation.
type RouteDecision struct {
	ID       string
	Path     string // the Path of one of the candidates
	Explored bool   // taken to learn, not because it looked best
	Fallback bool   // the static backbone path, because the router was not sure
	Scores   []RouteScore
}

// RouteScore explains one candidate of a decision.
type RouteScore struct {
	Path   string
	Cost   float64 // milliseconds, lower is better
	Visits int     // how often it was observed
	Reason string  // for people
}

// RouteOutcome is what came of a path that was taken.
type RouteOutcome struct {
	Destination DID
	Path        string
	SLA         string
	Region      string
	OK          bool
	Latency     time.Duration
	PriceMicros int64
	Features    RouteCandidate // as they were when it was chosen
}
