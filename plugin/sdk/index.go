package sdk

import (
	"context"
	"iter"

	"google.golang.org/grpc"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk/internal/pluginpb/indexpb"
)

// A message of Upsert holds at most this many items, and is sent as soon as
// its vectors fill half a mebibyte.
const (
	upsertItems  = 512
	upsertFloats = 128 << 10
)

func registerIndex(s grpc.ServiceRegistrar, impl func() (core.Index, error)) {
	indexpb.RegisterIndexServiceServer(s, &indexServer{impl: impl})
}

func connectIndex(cc grpc.ClientConnInterface) core.Index {
	return &indexClient{rpc: indexpb.NewIndexServiceClient(cc)}
}

// indexServer is the plugin's side: it calls a core.Index.
type indexServer struct {
	indexpb.UnimplementedIndexServiceServer
	impl func() (core.Index, error)
}

func (s *indexServer) Upsert(stream grpc.ClientStreamingServer[indexpb.UpsertRequest, indexpb.UpsertResponse]) error {
	impl, err := s.impl()
	if err != nil {
		return err
	}
	n, err := impl.Upsert(stream.Context(), func(yield func(core.IndexItem, error) bool) {
		for req, err := range received(stream.Context(), stream.Recv) {
			if err != nil {
				yield(core.IndexItem{}, err)
				return
			}
			for _, item := range req.GetItems() {
				if !yield(itemFromPB(item), nil) {
					return
				}
			}
		}
	})
	if err != nil {
		return err
	}
	return stream.SendAndClose(&indexpb.UpsertResponse{Acknowledged: int64(n)})
}

func (s *indexServer) Query(ctx context.Context, req *indexpb.QueryRequest) (*indexpb.QueryResponse, error) {
	impl, err := s.impl()
	if err != nil {
		return nil, err
	}
	result, err := impl.Query(ctx, queryFromPB(req))
	if err != nil {
		return nil, err
	}
	return resultToPB(result), nil
}

func (s *indexServer) QueryBatch(ctx context.Context, req *indexpb.QueryBatchRequest) (*indexpb.QueryBatchResponse, error) {
	impl, err := s.impl()
	if err != nil {
		return nil, err
	}
	results, err := impl.QueryBatch(ctx, mapSlice(req.GetQueries(), queryFromPB))
	if err != nil {
		return nil, err
	}
	return &indexpb.QueryBatchResponse{Results: mapSlice(results, resultToPB)}, nil
}

func (s *indexServer) Delete(ctx context.Context, req *indexpb.DeleteRequest) (*indexpb.DeleteResponse, error) {
	impl, err := s.impl()
	if err != nil {
		return nil, err
	}
	n, err := impl.Delete(ctx, req.GetIds())
	if err != nil {
		return nil, err
	}
	return &indexpb.DeleteResponse{Deleted: int64(n)}, nil
}

func (s *indexServer) Stats(ctx context.Context, _ *indexpb.StatsRequest) (*indexpb.StatsResponse, error) {
	impl, err := s.impl()
	if err != nil {
		return nil, err
	}
	st, err := impl.Stats(ctx)
	if err != nil {
		return nil, err
	}
	return &indexpb.StatsResponse{
		Items: int64(st.Items), Deleted: int64(st.Deleted), Dimensions: int64(st.Dimensions),
		ModelDigest: st.ModelDigest, Bytes: st.Bytes,
	}, nil
}

func (s *indexServer) Compact(ctx context.Context, _ *indexpb.CompactRequest) (*indexpb.CompactResponse, error) {
	impl, err := s.impl()
	if err != nil {
		return nil, err
	}
	if err := impl.Compact(ctx); err != nil {
		return nil, err
	}
	return &indexpb.CompactResponse{}, nil
}

// indexClient is the host's side: a core.Index that calls a plugin.
type indexClient struct{ rpc indexpb.IndexServiceClient }

func (c *indexClient) Upsert(ctx context.Context, items iter.Seq2[core.IndexItem, error]) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.rpc.Upsert(ctx)
	if err != nil {
		return 0, err
	}
	seqErr := sendItems(stream.Send, items)
	resp, err := stream.CloseAndRecv()
	if err != nil {
		return 0, err
	}
	return int(resp.GetAcknowledged()), seqErr
}

// sendItems sends items in messages of a bounded size and returns the error of
// the sequence. A send that fails ends it: the answer of the stream says why.
func sendItems(send func(*indexpb.UpsertRequest) error, items iter.Seq2[core.IndexItem, error]) error {
	req, floats := &indexpb.UpsertRequest{}, 0
	for item, err := range items {
		if err != nil {
			if len(req.GetItems()) > 0 {
				return withSendError(err, send(req))
			}
			return err
		}
		req.Items = append(req.Items, itemToPB(item))
		floats += len(item.Vector)
		if len(req.GetItems()) < upsertItems && floats < upsertFloats {
			continue
		}
		if send(req) != nil {
			return nil
		}
		req, floats = &indexpb.UpsertRequest{}, 0
	}
	if len(req.GetItems()) > 0 {
		return ignoreEOF(send(req))
	}
	return nil
}

func (c *indexClient) Query(ctx context.Context, q core.IndexQuery) (core.IndexResult, error) {
	resp, err := c.rpc.Query(ctx, queryToPB(q))
	if err != nil {
		return core.IndexResult{}, err
	}
	return resultFromPB(resp), nil
}

func (c *indexClient) QueryBatch(ctx context.Context, qs []core.IndexQuery) ([]core.IndexResult, error) {
	resp, err := c.rpc.QueryBatch(ctx, &indexpb.QueryBatchRequest{Queries: mapSlice(qs, queryToPB)})
	if err != nil {
		return nil, err
	}
	return mapSlice(resp.GetResults(), resultFromPB), nil
}

func (c *indexClient) Delete(ctx context.Context, ids []string) (int, error) {
	resp, err := c.rpc.Delete(ctx, &indexpb.DeleteRequest{Ids: ids})
	return int(resp.GetDeleted()), err
}

func (c *indexClient) Stats(ctx context.Context) (core.IndexStats, error) {
	resp, err := c.rpc.Stats(ctx, &indexpb.StatsRequest{})
	if err != nil {
		return core.IndexStats{}, err
	}
	return core.IndexStats{
		Items: int(resp.GetItems()), Deleted: int(resp.GetDeleted()), Dimensions: int(resp.GetDimensions()),
		ModelDigest: resp.GetModelDigest(), Bytes: resp.GetBytes(),
	}, nil
}

func (c *indexClient) Compact(ctx context.Context) error {
	_, err := c.rpc.Compact(ctx, &indexpb.CompactRequest{})
	return err
}

func itemToPB(i core.IndexItem) *indexpb.Item {
	return &indexpb.Item{Id: i.ID, Vector: i.Vector, Attributes: attributesToPB(i.Attributes), ModelDigest: i.ModelDigest}
}

func itemFromPB(i *indexpb.Item) core.IndexItem {
	return core.IndexItem{
		ID: i.GetId(), Vector: i.GetVector(), Attributes: attributesFromPB(i.GetAttributes()), ModelDigest: i.GetModelDigest(),
	}
}

func attributesToPB(attributes map[string][]string) map[string]*indexpb.Values {
	if attributes == nil {
		return nil
	}
	out := make(map[string]*indexpb.Values, len(attributes))
	for name, values := range attributes {
		out[name] = &indexpb.Values{Values: values}
	}
	return out
}

func attributesFromPB(attributes map[string]*indexpb.Values) map[string][]string {
	if len(attributes) == 0 {
		return nil
	}
	out := make(map[string][]string, len(attributes))
	for name, values := range attributes {
		out[name] = values.GetValues()
	}
	return out
}

func queryToPB(q core.IndexQuery) *indexpb.QueryRequest {
	return &indexpb.QueryRequest{
		Vector: q.Vector, K: int64(q.K), Ef: int64(q.Ef), ModelDigest: q.ModelDigest,
		Filter: mapSlice(q.Filter, func(c core.Condition) *indexpb.Condition {
			return &indexpb.Condition{Attribute: c.Attribute, AnyOf: c.AnyOf}
		}),
	}
}

func queryFromPB(q *indexpb.QueryRequest) core.IndexQuery {
	return core.IndexQuery{
		Vector: q.GetVector(), K: int(q.GetK()), Ef: int(q.GetEf()), ModelDigest: q.GetModelDigest(),
		Filter: mapSlice(q.GetFilter(), func(c *indexpb.Condition) core.Condition {
			return core.Condition{Attribute: c.GetAttribute(), AnyOf: c.GetAnyOf()}
		}),
	}
}

func resultToPB(r core.IndexResult) *indexpb.QueryResponse {
	return &indexpb.QueryResponse{
		Visited: int64(r.Visited),
		Hits: mapSlice(r.Hits, func(h core.IndexHit) *indexpb.Hit {
			return &indexpb.Hit{Id: h.ID, Score: h.Score, Attributes: attributesToPB(h.Attributes)}
		}),
	}
}

func resultFromPB(r *indexpb.QueryResponse) core.IndexResult {
	return core.IndexResult{
		Visited: int(r.GetVisited()),
		Hits: mapSlice(r.GetHits(), func(h *indexpb.Hit) core.IndexHit {
			return core.IndexHit{ID: h.GetId(), Score: h.GetScore(), Attributes: attributesFromPB(h.GetAttributes())}
		}),
	}
}
