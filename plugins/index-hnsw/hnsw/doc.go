// Package hnsw is an in-memory approximate nearest-neighbour index for cosine
// similarity: a hierarchical navigable small world graph with metadata
// filters, deletes that can be repaired, and snapshots.
//
// It imports nothing of zerostate, so it can be used as a library on its own.
// Start at [Index]; [Index.Query] explains how a query is planned.
//
// Sources. The graph, its search and the neighbour selection with "keep pruned
// connections" (algorithms 1-5) are Yu. A. Malkov and D. A. Yashunin,
// "Efficient and robust approximate nearest neighbor search using Hierarchical
// Navigable Small World graphs", IEEE TPAMI 2018, arXiv 1603.09320. The repair
// of the neighbours of deleted nodes follows the delete consolidation of
// FreshDiskANN (arXiv 2105.09613). Choosing between an exact scan of the
// passing rows and a filtered walk by cardinality is what Qdrant and Weaviate
// do.
//
// Everything is deterministic: the same configuration and the same calls in
// the same order build the same graph and give the same answers.
package hnsw
