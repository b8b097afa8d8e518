package sdk

import (
	"context"

	"google.golang.org/grpc"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk/internal/pluginpb/embedderpb"
)

func registerEmbedder(s grpc.ServiceRegistrar, impl func() (core.Embedder, error)) {
	embedderpb.RegisterEmbedderServiceServer(s, &embedderServer{impl: impl})
}

func connectEmbedder(cc grpc.ClientConnInterface) core.Embedder {
	return &embedderClient{rpc: embedderpb.NewEmbedderServiceClient(cc)}
}

// embedderServer is the plugin's side: it calls a core.Embedder.
type embedderServer struct {
	embedderpb.UnimplementedEmbedderServiceServer
	impl func() (core.Embedder, error)
}

func (s *embedderServer) Embed(ctx context.Context, req *embedderpb.EmbedRequest) (*embedderpb.EmbedResponse, error) {
	impl, err := s.impl()
	if err != nil {
		return nil, err
	}
	purpose := core.EmbedDocument
	if req.GetPurpose() == embedderpb.Purpose_PURPOSE_QUERY {
		purpose = core.EmbedQuery
	}
	out, err := impl.Embed(ctx, core.EmbedRequest{Texts: req.GetTexts(), Purpose: purpose})
	if err != nil {
		return nil, err
	}
	return &embedderpb.EmbedResponse{
		ModelId: out.Model.ID, ModelDigest: out.Model.Digest, Dimensions: int64(out.Model.Dimensions),
		Vectors: mapSlice(out.Vectors, func(v []float32) *embedderpb.Vector { return &embedderpb.Vector{Values: v} }),
	}, nil
}

// embedderClient is the host's side: a core.Embedder that calls a plugin.
type embedderClient struct {
	rpc embedderpb.EmbedderServiceClient
}

func (c *embedderClient) Embed(ctx context.Context, req core.EmbedRequest) (core.Embeddings, error) {
	if err := checkTexts(req.Texts); err != nil {
		return core.Embeddings{}, err
	}
	purpose := embedderpb.Purpose_PURPOSE_DOCUMENT
	if req.Purpose == core.EmbedQuery {
		purpose = embedderpb.Purpose_PURPOSE_QUERY
	}
	resp, err := c.rpc.Embed(ctx, &embedderpb.EmbedRequest{Texts: req.Texts, Purpose: purpose})
	if err != nil {
		return core.Embeddings{}, err
	}
	return core.Embeddings{
		Model: core.EmbedModel{
			ID: resp.GetModelId(), Digest: resp.GetModelDigest(), Dimensions: int(resp.GetDimensions()),
		},
		Vectors: mapSlice(resp.GetVectors(), (*embedderpb.Vector).GetValues),
	}, nil
}
