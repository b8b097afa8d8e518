package core

import "slices"

// Kind names a capability that an operator may replace. Each kind is one
// interface of this package and one gRPC service of the plugin contract.
type Kind string

// The kinds, in the order in which people read them.
const (
	KindIndex      Kind = "index"      // Index: vector search
	KindEmbedder   Kind = "embedder"   // Embedder: text to vector
	KindRouter     Kind = "router"     // Router: which path to a peer
	KindExecutor   Kind = "executor"   // Executor: runs a task's module
	KindPayment    Kind = "payment"    // Payment: channels
	KindReputation Kind = "reputation" // Reputation: the log of events and scores
)

// Kinds returns every kind. The slice is the caller's.
func Kinds() []Kind {
	return []Kind{KindIndex, KindEmbedder, KindRouter, KindExecutor, KindPayment, KindReputation}
}

// Valid reports whether k is one of Kinds.
func (k Kind) Valid() bool { return slices.Contains(Kinds(), k) }
