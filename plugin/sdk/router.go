package sdk

import (
	"context"
	"iter"

	"google.golang.org/grpc"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk/internal/pluginpb/routerpb"
)

// observeOutcomes is how many outcomes one message of Observe holds at most.
const observeOutcomes = 512

func registerRouter(s grpc.ServiceRegistrar, impl func() (core.Router, error)) {
	routerpb.RegisterRouterServiceServer(s, &routerServer{impl: impl})
}

func connectRouter(cc grpc.ClientConnInterface) core.Router {
	return &routerClient{rpc: routerpb.NewRouterServiceClient(cc)}
}

// routerServer is the plugin's side: it calls a core.Router.
type routerServer struct {
	routerpb.UnimplementedRouterServiceServer
	impl func() (core.Router, error)
}

func (s *routerServer) Decide(ctx context.Context, req *routerpb.DecideRequest) (*routerpb.DecideResponse, error) {
	impl, err := s.impl()
	if err != nil {
		return nil, err
	}
	decisions, err := impl.Decide(ctx, mapSlice(req.GetRequests(), routeRequestFromPB))
	if err != nil {
		return nil, err
	}
	return &routerpb.DecideResponse{Decisions: mapSlice(decisions, decisionToPB)}, nil
}

func (s *routerServer) Observe(stream grpc.ClientStreamingServer[routerpb.ObserveRequest, routerpb.ObserveResponse]) error {
	impl, err := s.impl()
	if err != nil {
		return err
	}
	n, err := impl.Observe(stream.Context(), func(yield func(core.RouteOutcome, error) bool) {
		for req, err := range received(stream.Context(), stream.Recv) {
			if err != nil {
				yield(core.RouteOutcome{}, err)
				return
			}
			for _, o := range req.GetOutcomes() {
				if !yield(outcomeFromPB(o), nil) {
					return
				}
			}
		}
	})
	if err != nil {
		return err
	}
	return stream.SendAndClose(&routerpb.ObserveResponse{Observed: int64(n)})
}

func (s *routerServer) ExportPolicy(ctx context.Context, _ *routerpb.ExportPolicyRequest) (*routerpb.ExportPolicyResponse, error) {
	impl, err := s.impl()
	if err != nil {
		return nil, err
	}
	policy, err := impl.ExportPolicy(ctx)
	if err != nil {
		return nil, err
	}
	return &routerpb.ExportPolicyResponse{Policy: policy}, nil
}

func (s *routerServer) ImportPolicy(ctx context.Context, req *routerpb.ImportPolicyRequest) (*routerpb.ImportPolicyResponse, error) {
	impl, err := s.impl()
	if err != nil {
		return nil, err
	}
	if err := impl.ImportPolicy(ctx, req.GetPolicy()); err != nil {
		return nil, err
	}
	return &routerpb.ImportPolicyResponse{}, nil
}

// routerClient is the host's side: a core.Router that calls a plugin.
type routerClient struct{ rpc routerpb.RouterServiceClient }

func (c *routerClient) Decide(ctx context.Context, reqs []core.RouteRequest) ([]core.RouteDecision, error) {
	resp, err := c.rpc.Decide(ctx, &routerpb.DecideRequest{Requests: mapSlice(reqs, routeRequestToPB)})
	if err != nil {
		return nil, err
	}
	return mapSlice(resp.GetDecisions(), decisionFromPB), nil
}

func (c *routerClient) Observe(ctx context.Context, outcomes iter.Seq2[core.RouteOutcome, error]) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.rpc.Observe(ctx)
	if err != nil {
		return 0, err
	}
	seqErr := sendOutcomes(stream.Send, outcomes)
	resp, err := stream.CloseAndRecv()
	if err != nil {
		return 0, err
	}
	return int(resp.GetObserved()), seqErr
}

// sendOutcomes is to Observe what sendItems is to Upsert.
func sendOutcomes(send func(*routerpb.ObserveRequest) error, outcomes iter.Seq2[core.RouteOutcome, error]) error {
	req := &routerpb.ObserveRequest{}
	for o, err := range outcomes {
		if err != nil {
			if len(req.GetOutcomes()) > 0 {
				return withSendError(err, send(req))
			}
			return err
		}
		req.Outcomes = append(req.Outcomes, outcomeToPB(o))
		if len(req.GetOutcomes()) < observeOutcomes {
			continue
		}
		if send(req) != nil {
			return nil
		}
		req = &routerpb.ObserveRequest{}
	}
	if len(req.GetOutcomes()) > 0 {
		return ignoreEOF(send(req))
	}
	return nil
}

func (c *routerClient) ExportPolicy(ctx context.Context) ([]byte, error) {
	resp, err := c.rpc.ExportPolicy(ctx, &routerpb.ExportPolicyRequest{})
	return resp.GetPolicy(), err
}

func (c *routerClient) ImportPolicy(ctx context.Context, policy []byte) error {
	_, err := c.rpc.ImportPolicy(ctx, &routerpb.ImportPolicyRequest{Policy: policy})
	return err
}

func candidateToPB(c core.RouteCandidate) *routerpb.Candidate {
	return &routerpb.Candidate{
		Path: c.Path, Rtt: duration(c.RTT), Jitter: duration(c.Jitter), LossRatio: c.LossRatio,
		PriceMicros: c.PriceMicros, Reputation: c.Reputation, RegionMatch: c.RegionMatch, Backbone: int64(c.Backbone),
	}
}

func candidateFromPB(c *routerpb.Candidate) core.RouteCandidate {
	return core.RouteCandidate{
		Path: c.GetPath(), RTT: c.GetRtt().AsDuration(), Jitter: c.GetJitter().AsDuration(), LossRatio: c.GetLossRatio(),
		PriceMicros: c.GetPriceMicros(), Reputation: c.GetReputation(), RegionMatch: c.GetRegionMatch(), Backbone: int(c.GetBackbone()),
	}
}

func routeRequestToPB(r core.RouteRequest) *routerpb.Request {
	return &routerpb.Request{
		Id: r.ID, Destination: string(r.Destination), Region: r.Region, Sla: r.SLA, SizeBytes: r.SizeBytes,
		Ttl: duration(r.TTL), Candidates: mapSlice(r.Candidates, candidateToPB),
	}
}

func routeRequestFromPB(r *routerpb.Request) core.RouteRequest {
	return core.RouteRequest{
		ID: r.GetId(), Destination: core.DID(r.GetDestination()), Region: r.GetRegion(), SLA: r.GetSla(), SizeBytes: r.GetSizeBytes(),
		TTL: r.GetTtl().AsDuration(), Candidates: mapSlice(r.GetCandidates(), candidateFromPB),
	}
}

func decisionToPB(d core.RouteDecision) *routerpb.Decision {
	return &routerpb.Decision{
		Id: d.ID, Path: d.Path, Explored: d.Explored, Fallback: d.Fallback,
		Scores: mapSlice(d.Scores, func(s core.RouteScore) *routerpb.Score {
			return &routerpb.Score{Path: s.Path, Cost: s.Cost, Visits: int64(s.Visits), Reason: s.Reason}
		}),
	}
}

func decisionFromPB(d *routerpb.Decision) core.RouteDecision {
	return core.RouteDecision{
		ID: d.GetId(), Path: d.GetPath(), Explored: d.GetExplored(), Fallback: d.GetFallback(),
		Scores: mapSlice(d.GetScores(), func(s *routerpb.Score) core.RouteScore {
			return core.RouteScore{Path: s.GetPath(), Cost: s.GetCost(), Visits: int(s.GetVisits()), Reason: s.GetReason()}
		}),
	}
}

func outcomeToPB(o core.RouteOutcome) *routerpb.Outcome {
	return &routerpb.Outcome{
		Destination: string(o.Destination), Path: o.Path, Sla: o.SLA, Region: o.Region, Ok: o.OK,
		Latency: duration(o.Latency), PriceMicros: o.PriceMicros, Features: candidateToPB(o.Features),
	}
}

func outcomeFromPB(o *routerpb.Outcome) core.RouteOutcome {
	return core.RouteOutcome{
		Destination: core.DID(o.GetDestination()), Path: o.GetPath(), SLA: o.GetSla(), Region: o.GetRegion(), OK: o.GetOk(),
		Latency: o.GetLatency().AsDuration(), PriceMicros: o.GetPriceMicros(), Features: candidateFromPB(o.GetFeatures()),
	}
}
