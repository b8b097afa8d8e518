// Command embedder-local is the default embedder plugin: deterministic vectors
// from words, character n-grams and a table of concepts, without a trained
// model or a network. The algorithm is package ngram beside it.
package main

import (
	"context"
	"fmt"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk"
	"github.com/zerostate/zerostate/plugins/embedder-local/ngram"
)

func main() { sdk.Embedder.Serve(plugin()) }

// config is the plugin's block in the configuration. Every setting changes the
// model digest, so an index has to be filled again after a change.
type config struct {
	Dimensions    int     `zs:"dimensions" default:"384" range:"64..4096" doc:"length of vectors; more keeps features apart better and makes the index larger"`
	MinGram       int     `zs:"min_gram" default:"3" range:"1..8" doc:"shortest character n-gram"`
	MaxGram       int     `zs:"max_gram" default:"5" range:"1..8" doc:"longest character n-gram"`
	WordWeight    float64 `zs:"word_weight" default:"1" range:"0..10" doc:"weight of words and pairs of words"`
	GramWeight    float64 `zs:"gram_weight" default:"0.8" range:"0..10" doc:"weight of character n-grams"`
	ConceptWeight float64 `zs:"concept_weight" default:"1" range:"0..10" doc:"weight of the table of synonyms"`
}

func plugin() sdk.Plugin[core.Embedder] {
	return sdk.Plugin[core.Embedder]{
		Name:         "local",
		Version:      "1.0.0",
		Capabilities: []string{"deterministic", "offline"},
		State:        sdk.StateNone,
		Config:       &config{},
		New:          newEmbedder,
	}
}

func newEmbedder(_ context.Context, env sdk.Env) (core.Embedder, error) {
	c, ok := env.Config.(*config)
	if !ok {
		return nil, fmt.Errorf("config of type %T: %w", env.Config, core.ErrInvalid)
	}
	if c.MaxGram < c.MinGram {
		return nil, core.FieldErrors{{Path: "max_gram", Problem: "below min_gram"}}
	}
	if c.WordWeight+c.GramWeight == 0 {
		return nil, core.FieldErrors{{Path: "word_weight", Problem: "0, and gram_weight is 0 too"}}
	}
	model, err := ngram.New(ngram.Config{
		Dimensions: c.Dimensions, MinGram: c.MinGram, MaxGram: c.MaxGram,
		Word: c.WordWeight, Gram: c.GramWeight, Concept: c.ConceptWeight,
	})
	if err != nil {
		return nil, fmt.Errorf("make model: %w: %w", err, core.ErrInvalid)
	}
	return embedder{model}, nil
}

// embedder is a core.Embedder over a model.
type embedder struct{ model *ngram.Model }

// Embed answers as core.Embedder says. It looks at ctx between two texts.
func (e embedder) Embed(ctx context.Context, req core.EmbedRequest) (core.Embeddings, error) {
	out := core.Embeddings{
		Model:   core.EmbedModel{ID: e.model.ID(), Digest: e.model.Digest(), Dimensions: e.model.Dimensions()},
		Vectors: make([][]float32, len(req.Texts)),
	}
	var purpose ngram.Purpose
	switch req.Purpose {
	case core.EmbedDocument:
		purpose = ngram.Document
	case core.EmbedQuery:
		purpose = ngram.Query
	default:
		return core.Embeddings{}, fmt.Errorf("embed purpose %d: %w", req.Purpose, core.ErrInvalid)
	}
	for i, text := range req.Texts {
		if err := ctx.Err(); err != nil {
			return core.Embeddings{}, err
		}
		v, err := e.model.Embed(text, purpose)
		if err != nil {
			return core.Embeddings{}, fmt.Errorf("text %d: %w: %w", i, err, core.ErrInvalid)
		}
		out.Vectors[i] = v
	}
	return out, nil
}
