package core

import "context"

// Embedder turns texts into vectors whose cosine similarity is a measure of
// common meaning. It is safe for concurrent use.
type Embedder interface {
	// Embed answers one vector of unit length per text, in order. Without
	// texts it answers the model only. A text that is not valid UTF-8 is
	// ErrInvalid. The same text and purpose give the same vector.
	Embed(ctx context.Context, req EmbedRequest) (Embeddings, error)
}

// EmbedPurpose says what a text is for; many models embed a question
// differently from what answers it.
type EmbedPurpose int

// The purposes.
const (
	EmbedDocument EmbedPurpose = iota // a text that is to be found
	EmbedQuery                        // a text to find others by
)

// EmbedRequest is a batch of texts of one purpose.
type EmbedRequest struct {
	Texts   []string
	Purpose EmbedPurpose
}

// Embeddings is the answer to an EmbedRequest.
type Embeddings struct {
	Model   EmbedModel
	Vectors [][]float32 // unit length, one per text, Model.Dimensions long
}

// EmbedModel identifies a model: vectors compare only within one Digest.
type EmbedModel struct {
	ID         string // for people, e.g. "hashing-512"
	Digest     string // 64 lower-case hex digits, sha256 of what defines the model
	Dimensions int
}
