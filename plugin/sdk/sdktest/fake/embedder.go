package fake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/zerostate/zerostate/core"
)

// EmbedDimensions is the length of the fake embedder's vectors.
const EmbedDimensions = 128

const embedModel = "fake-hashing-128"

// Embedder hashes words into dimensions: texts that share words are near. It
// does not tell documents from queries.
type Embedder struct{}

// Embed answers one vector per text.
func (Embedder) Embed(ctx context.Context, req core.EmbedRequest) (core.Embeddings, error) {
	if err := ctx.Err(); err != nil {
		return core.Embeddings{}, err
	}
	digest := sha256.Sum256([]byte(embedModel))
	out := core.Embeddings{Model: core.EmbedModel{
		ID: embedModel, Digest: hex.EncodeToString(digest[:]), Dimensions: EmbedDimensions,
	}}
	for i, text := range req.Texts {
		if !utf8.ValidString(text) {
			return core.Embeddings{}, core.FieldError{Path: fmt.Sprintf("texts[%d]", i), Problem: "not valid UTF-8"}
		}
		out.Vectors = append(out.Vectors, embed(text))
	}
	return out, nil
}

// embed adds one signed unit per word; a text without words is the first axis.
func embed(text string) []float32 {
	v := make([]float32, EmbedDimensions)
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	var sum float64
	for _, word := range words {
		h := fnv.New64a()
		_, _ = h.Write([]byte(word)) // a hash never fails
		bits := h.Sum64()
		v[bits%EmbedDimensions] += 1 - 2*float32(bits>>63)
	}
	for _, f := range v {
		sum += float64(f) * float64(f)
	}
	if sum == 0 {
		v[0], sum = 1, 1
	}
	for i := range v {
		v[i] /= float32(math.Sqrt(sum))
	}
	return v
}
