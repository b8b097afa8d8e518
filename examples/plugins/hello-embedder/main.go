// Command hello-embedder is the smallest plugin: an embedder that counts words
// and groups of three letters. Put its binary beside zerostate, and name it:
//
//	use { embedder = "hello" }
//	plugin "embedder" "hello" { path = "hello-embedder" }
package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash/fnv"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk"
)

func main() { sdk.Embedder.Serve(plugin()) }

func plugin() sdk.Plugin[core.Embedder] {
	return sdk.Plugin[core.Embedder]{
		Name: "hello", Version: "1.0.0", State: sdk.StateNone,
		New: func(context.Context, sdk.Env) (core.Embedder, error) { return hello{}, nil },
	}
}

// dimensions is prime, so that neighbours in the hash spread; another value is
// another model, whose digest says so.
const dimensions = 1021

// hello is a core.Embedder.
type hello struct{}

// Embed answers one vector a text; queries and documents are embedded alike.
func (hello) Embed(ctx context.Context, req core.EmbedRequest) (core.Embeddings, error) {
	id := fmt.Sprintf("hello-%d", dimensions)
	out := core.Embeddings{Model: core.EmbedModel{ID: id, Digest: fmt.Sprintf("%x", sha256.Sum256([]byte(id))), Dimensions: dimensions}}
	for i, text := range req.Texts {
		if !utf8.ValidString(text) {
			return core.Embeddings{}, fmt.Errorf("text %d is not UTF-8: %w", i, core.ErrInvalid)
		}
		out.Vectors = append(out.Vectors, vector(text))
	}
	return out, ctx.Err()
}

// vector counts each different word of the text, and the groups of three letters
// in it, which make "documents" close to "document". Short words say little.
func vector(text string) []float32 {
	v := make([]float32, dimensions)
	v[0] = 1e-3 // so that a text without words has a direction
	known := map[string]bool{}
	for _, word := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		if len(word) < 3 || common[word] || known[word] {
			continue
		}
		known[word] = true
		add(v, word, 1)
		for i, letters := 0, []rune("^"+word+"$"); i+3 <= len(letters); i++ {
			add(v, string(letters[i:i+3]), 0.3)
		}
	}
	return unit(v)
}

// common are words that every request has.
var common = map[string]bool{
	"the": true, "this": true, "that": true, "these": true, "those": true, "and": true, "for": true, "from": true, "into": true,
	"with": true, "what": true, "which": true, "how": true, "does": true, "have": true, "has": true, "here": true, "are": true,
	"can": true, "its": true, "make": true, "file": true, "files": true,
}

// add hashes a feature to a place and a sign.
func add(v []float32, feature string, weight float32) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(feature)) // a hash takes everything
	sum := h.Sum64()
	if sum>>63 == 1 {
		weight = -weight
	}
	v[sum%dimensions] += weight
}

func unit(v []float32) []float32 {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	for i := range v {
		v[i] /= float32(math.Sqrt(sum))
	}
	return v
}
