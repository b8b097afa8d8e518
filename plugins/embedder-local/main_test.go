package main

import (
	"errors"
	"slices"
	"testing"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk"
)

func start(t *testing.T, settings map[string]any) (core.Embedder, error) {
	t.Helper()
	client, err := sdk.Embedder.Builtin(t.Context(), plugin(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	_, err = client.Base().Configure(t.Context(), sdk.Configuration{Config: settings})
	return client.Impl(), err
}

func TestEmbedThroughTheCodec(t *testing.T) {
	e, err := start(t, map[string]any{"dimensions": 128})
	if err != nil {
		t.Fatal(err)
	}
	none, err := e.Embed(t.Context(), core.EmbedRequest{})
	if err != nil || none.Model.Dimensions != 128 || none.Model.ID != "ngram-128" || len(none.Vectors) != 0 {
		t.Errorf("no texts: got %+v, %v", none, err)
	}
	req := core.EmbedRequest{Texts: []string{"a web page", "", "a web page"}}
	doc, err := e.Embed(t.Context(), req)
	if err != nil || len(doc.Vectors) != 3 || len(doc.Vectors[1]) != 128 || !slices.Equal(doc.Vectors[0], doc.Vectors[2]) {
		t.Fatalf("got %+v, %v", doc, err)
	}
	req.Purpose = core.EmbedQuery
	query, err := e.Embed(t.Context(), req)
	if err != nil || slices.Equal(query.Vectors[0], doc.Vectors[0]) {
		t.Errorf("a query is embedded as a document: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	for _, settings := range []map[string]any{
		{"min_gram": 5, "max_gram": 3}, {"word_weight": 0, "gram_weight": 0}, {"dimensions": 10}, {"dimension": 128},
	} {
		if _, err := start(t, settings); !errors.Is(err, core.ErrInvalid) {
			t.Errorf("%v: got %v, want ErrInvalid", settings, err)
		}
	}
	impl, err := newEmbedder(t.Context(), sdk.Env{Config: &config{Dimensions: 64, MinGram: 3, MaxGram: 4, WordWeight: 1}})
	if err != nil {
		t.Fatal(err)
	}
	for _, req := range []core.EmbedRequest{{Texts: []string{"\xff"}}, {Purpose: 7}} {
		if _, err := impl.Embed(t.Context(), req); !errors.Is(err, core.ErrInvalid) {
			t.Errorf("%+v: got %v, want ErrInvalid", req, err)
		}
	}
}
