package sdk

import (
	"context"
	"iter"

	"google.golang.org/grpc"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk/internal/pluginpb/reputationpb"
)

func registerReputation(s grpc.ServiceRegistrar, impl func() (core.Reputation, error)) {
	reputationpb.RegisterReputationServiceServer(s, &reputationServer{impl: impl})
}

func connectReputation(cc grpc.ClientConnInterface) core.Reputation {
	return &reputationClient{rpc: reputationpb.NewReputationServiceClient(cc)}
}

// reputationServer is the plugin's side: it calls a core.Reputation.
type reputationServer struct {
	reputationpb.UnimplementedReputationServiceServer
	impl func() (core.Reputation, error)
}

func (s *reputationServer) Append(ctx context.Context, req *reputationpb.AppendRequest) (*reputationpb.AppendResponse, error) {
	impl, err := s.impl()
	if err != nil {
		return nil, err
	}
	r, err := impl.Append(ctx, req.GetEvent())
	if err != nil {
		return nil, err
	}
	return &reputationpb.AppendResponse{Index: r.Index, Duplicate: r.Duplicate}, nil
}

func (s *reputationServer) Score(ctx context.Context, req *reputationpb.ScoreRequest) (*reputationpb.ScoreResponse, error) {
	impl, err := s.impl()
	if err != nil {
		return nil, err
	}
	scores, err := impl.Score(ctx, core.ScoreRequest{
		Subjects: mapSlice(req.GetSubjects(), func(p *reputationpb.Subject) core.Subject {
			return core.Subject{Agent: core.DID(p.GetAgent()), Node: core.DID(p.GetNode())}
		}),
		Raters: mapSlice(req.GetRaters(), func(p *reputationpb.RaterWeight) core.RaterWeight {
			return core.RaterWeight{Rater: core.DID(p.GetRater()), PaidMicros: p.GetPaidMicros(), Self: p.GetSelf()}
		}),
	})
	if err != nil {
		return nil, err
	}
	return &reputationpb.ScoreResponse{Scores: mapSlice(scores, func(s core.Score) *reputationpb.Score {
		return &reputationpb.Score{
			Agent: string(s.Agent), Value: s.Value, Events: int64(s.Events), Explanation: s.Explanation, Prior: s.Prior,
		}
	})}, nil
}

func (s *reputationServer) History(req *reputationpb.HistoryRequest, stream grpc.ServerStreamingServer[reputationpb.HistoryResponse]) error {
	impl, err := s.impl()
	if err != nil {
		return err
	}
	for entry, err := range impl.History(stream.Context(), core.DID(req.GetAgent())) {
		if err != nil {
			return err
		}
		if err := stream.Send(&reputationpb.HistoryResponse{Index: entry.Index, Event: entry.Event}); err != nil {
			return streamError(stream.Context(), err)
		}
	}
	return nil
}

func (s *reputationServer) Checkpoint(ctx context.Context, req *reputationpb.CheckpointRequest) (*reputationpb.CheckpointResponse, error) {
	impl, err := s.impl()
	if err != nil {
		return nil, err
	}
	at, err := timeFromPB("time", req.GetTime())
	if err != nil {
		return nil, err
	}
	doc, err := impl.Checkpoint(ctx, core.CheckpointRequest{
		Key: req.GetKey(), Node: core.DID(req.GetNode()), Time: at, Signed: req.GetSigned(),
	})
	if err != nil {
		return nil, err
	}
	return &reputationpb.CheckpointResponse{Document: doc.Document, Committed: doc.Committed}, nil
}

func (s *reputationServer) Prove(ctx context.Context, req *reputationpb.ProveRequest) (*reputationpb.ProveResponse, error) {
	impl, err := s.impl()
	if err != nil {
		return nil, err
	}
	p, err := impl.Prove(ctx, core.ProveRequest{Index: req.GetIndex(), Size: req.GetSize()})
	if err != nil {
		return nil, err
	}
	return &reputationpb.ProveResponse{Index: p.Index, Size: p.Size, LeafHash: p.LeafHash, Root: p.Root, Path: p.Path}, nil
}

// reputationClient is the host's side: a core.Reputation that calls a plugin.
type reputationClient struct {
	rpc reputationpb.ReputationServiceClient
}

func (c *reputationClient) Append(ctx context.Context, event []byte) (core.AppendResult, error) {
	resp, err := c.rpc.Append(ctx, &reputationpb.AppendRequest{Event: event})
	if err != nil {
		return core.AppendResult{}, err
	}
	return core.AppendResult{Index: resp.GetIndex(), Duplicate: resp.GetDuplicate()}, nil
}

func (c *reputationClient) Score(ctx context.Context, req core.ScoreRequest) ([]core.Score, error) {
	resp, err := c.rpc.Score(ctx, &reputationpb.ScoreRequest{
		Subjects: mapSlice(req.Subjects, func(s core.Subject) *reputationpb.Subject {
			return &reputationpb.Subject{Agent: string(s.Agent), Node: string(s.Node)}
		}),
		Raters: mapSlice(req.Raters, func(r core.RaterWeight) *reputationpb.RaterWeight {
			return &reputationpb.RaterWeight{Rater: string(r.Rater), PaidMicros: r.PaidMicros, Self: r.Self}
		}),
	})
	if err != nil {
		return nil, err
	}
	return mapSlice(resp.GetScores(), func(s *reputationpb.Score) core.Score {
		return core.Score{
			Agent: core.DID(s.GetAgent()), Value: s.GetValue(), Events: int(s.GetEvents()),
			Explanation: s.GetExplanation(), Prior: s.GetPrior(),
		}
	}), nil
}

func (c *reputationClient) History(ctx context.Context, agent core.DID) iter.Seq2[core.HistoryEntry, error] {
	return func(yield func(core.HistoryEntry, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := c.rpc.History(ctx, &reputationpb.HistoryRequest{Agent: string(agent)})
		if err != nil {
			yield(core.HistoryEntry{}, err)
			return
		}
		for resp, err := range received(ctx, stream.Recv) {
			if !yield(core.HistoryEntry{Index: resp.GetIndex(), Event: resp.GetEvent()}, err) {
				return
			}
		}
	}
}

func (c *reputationClient) Checkpoint(ctx context.Context, req core.CheckpointRequest) (core.PendingDocument, error) {
	resp, err := c.rpc.Checkpoint(ctx, &reputationpb.CheckpointRequest{
		Key: req.Key, Node: string(req.Node), Time: timeToPB(req.Time), Signed: req.Signed,
	})
	if err != nil {
		return core.PendingDocument{}, err
	}
	return core.PendingDocument{Document: resp.GetDocument(), Committed: resp.GetCommitted()}, nil
}

func (c *reputationClient) Prove(ctx context.Context, req core.ProveRequest) (core.InclusionProof, error) {
	resp, err := c.rpc.Prove(ctx, &reputationpb.ProveRequest{Index: req.Index, Size: req.Size})
	if err != nil {
		return core.InclusionProof{}, err
	}
	return core.InclusionProof{
		Index: resp.GetIndex(), Size: resp.GetSize(), LeafHash: resp.GetLeafHash(), Root: resp.GetRoot(), Path: resp.GetPath(),
	}, nil
}
