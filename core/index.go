package core

import (
	"context"
	"iter"
)

// MaxQueryK is the largest IndexQuery.K.
const MaxQueryK = 1000

// Index is vector search over unit-free vectors by cosine similarity. The
// first upsert binds the number of dimensions and the model digest; vectors of
// another model or length are refused, because their scores would mean
// nothing. All methods are safe for concurrent use.
type Index interface {
	// Upsert stores items and returns how many are acknowledged, which means
	// durable: they survive a crash that happens after the return. An item
	// replaces the one of the same ID. The vectors are copied. It stops at the
	// first bad item: a zero vector, one with NaN or infinity, or one of the
	// wrong length is ErrInvalid, another model digest ErrConflict; an error
	// of the sequence is returned as it is. Items before it stay stored. With an
	// error the count is a lower bound.
	Upsert(ctx context.Context, items iter.Seq2[IndexItem, error]) (int, error)
	// Query returns the K nearest items that hold the filter. An empty index
	// has no hits. A K outside 1..MaxQueryK, a zero or NaN vector, or a wrong
	// length is ErrInvalid, another model digest ErrConflict.
	Query(ctx context.Context, q IndexQuery) (IndexResult, error)
	// QueryBatch answers qs in their order; one bad query fails the batch.
	QueryBatch(ctx context.Context, qs []IndexQuery) ([]IndexResult, error)
	// Delete removes items and returns how many existed, durably.
	Delete(ctx context.Context, ids []string) (int, error)
	// Stats describes the index as it is now.
	Stats(ctx context.Context) (IndexStats, error)
	// Compact reclaims the space of deleted and replaced items. Queries go on.
	Compact(ctx context.Context) error
}

// IndexItem is one row: a vector with attributes to filter by.
type IndexItem struct {
	ID          string              // not empty, at most 512 bytes
	Vector      []float32           // any length but zero; need not be normalised
	Attributes  map[string][]string // filterable, e.g. "region": ["eu-west"]
	ModelDigest string              // EmbedModel.Digest of what made Vector
}

// Condition holds where the row's attribute has at least one of the values.
type Condition struct {
	Attribute string
	AnyOf     []string
}

// IndexQuery asks for the nearest items to a vector.
type IndexQuery struct {
	Vector      []float32
	K           int         // how many hits at most, 1..MaxQueryK
	Ef          int         // breadth of an approximate search; 0 is the plugin's default
	Filter      []Condition // all must hold; none keeps every row
	ModelDigest string      // EmbedModel.Digest of what made Vector
}

// IndexHit is one found item.
type IndexHit struct {
	ID         string
	Score      float64 // cosine similarity, -1..1
	Attributes map[string][]string
}

// IndexResult is the answer to one query.
type IndexResult struct {
	Hits    []IndexHit // best first, ties by ID
	Visited int        // how many vectors were compared
}

// IndexStats describes an index.
type IndexStats struct {
	Items       int // live rows
	Deleted     int // dead rows that Compact would reclaim
	Dimensions  int // 0 before the first upsert
	ModelDigest string
	Bytes       int64 // on disk, or in memory where there is no disk
}
