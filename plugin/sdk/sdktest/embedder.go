package sdktest

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/zerostate/zerostate/core"
)

// Embedder returns the suite of plugins of kind embedder.
func Embedder() Suite[core.Embedder] {
	return Suite[core.Embedder]{
		{Name: "model", Run: embedModel},
		{Name: "unit-vectors", Run: embedUnit},
		{Name: "deterministic", Run: embedDeterministic},
		{Name: "meaning", Run: embedMeaning},
		{Name: "refuses", Run: embedRefuses},
		{Name: "concurrent", Run: embedConcurrent},
		{Name: "ended-context", Run: embedEnded},
	}
}

func embedTexts(t T, e core.Embedder, purpose core.EmbedPurpose, texts ...string) core.Embeddings {
	t.Helper()
	out, err := e.Embed(t.Context(), core.EmbedRequest{Texts: texts, Purpose: purpose})
	must(t, "embed", err)
	if len(out.Vectors) != len(texts) {
		t.Fatalf("embed: got %d vectors, want %d", len(out.Vectors), len(texts))
	}
	return out
}

func embedModel(t T, s Subject[core.Embedder]) {
	e := open(t, s)
	model := embedTexts(t, e, core.EmbedDocument).Model
	if model.ID == "" || len(model.Digest) != 64 || model.Dimensions < 1 {
		t.Errorf("model: got %+v, want an id, a sha256 and dimensions", model)
	}
	if again := embedTexts(t, e, core.EmbedQuery, "text").Model; again != model {
		t.Errorf("model of a query: got %+v, want %+v", again, model)
	}
}

func embedUnit(t T, s Subject[core.Embedder]) {
	e := open(t, s)
	for _, purpose := range []core.EmbedPurpose{core.EmbedDocument, core.EmbedQuery} {
		out := embedTexts(t, e, purpose, "convert markdown to html", "", "Übersetze das", "!?", "a a a a")
		for i, v := range out.Vectors {
			if len(v) != out.Model.Dimensions {
				t.Fatalf("vector %d: got %d dimensions, want %d", i, len(v), out.Model.Dimensions)
			}
			if n := math.Sqrt(dot(v, v)); math.Abs(n-1) > 1e-3 {
				t.Errorf("vector %d: got length %v, want 1", i, n)
			}
		}
	}
}

func dot(a, b []float32) float64 {
	var sum float64
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

func embedDeterministic(t T, s Subject[core.Embedder]) {
	e := open(t, s)
	both := embedTexts(t, e, core.EmbedDocument, "first text", "second text")
	again := embedTexts(t, open(t, s), core.EmbedDocument, "second text", "first text")
	if !slices.Equal(both.Vectors[0], again.Vectors[1]) || !slices.Equal(both.Vectors[1], again.Vectors[0]) {
		t.Errorf("the same texts in another order and process have other vectors")
	}
}

func embedMeaning(t T, s Subject[core.Embedder]) {
	e := open(t, s)
	docs := embedTexts(t, e, core.EmbedDocument, "convert markdown documents to html pages", "resize and crop photos").Vectors
	query := embedTexts(t, e, core.EmbedQuery, "markdown to html").Vectors[0]
	if near, far := dot(query, docs[0]), dot(query, docs[1]); near <= far {
		t.Errorf("similarity: got %v for the matching text, %v for the other", near, far)
	}
}

func embedRefuses(t T, s Subject[core.Embedder]) {
	_, err := open(t, s).Embed(t.Context(), core.EmbedRequest{Texts: []string{"fine", "not \xff UTF-8"}})
	wantIs(t, "invalid UTF-8", err, core.ErrInvalid)
}

func embedConcurrent(t T, s Subject[core.Embedder]) {
	e := open(t, s)
	want := embedTexts(t, e, core.EmbedDocument, "the same text").Vectors[0]
	together(t, 16, func(int) error {
		out, err := e.Embed(t.Context(), core.EmbedRequest{Texts: []string{"the same text"}})
		if err == nil && !slices.Equal(out.Vectors[0], want) {
			return fmt.Errorf("another vector")
		}
		return err
	})
}

func embedEnded(t T, s Subject[core.Embedder]) {
	e := open(t, s)
	ended(t, func(ctx context.Context) error {
		_, err := e.Embed(ctx, core.EmbedRequest{Texts: []string{"text"}})
		return err
	})
}
