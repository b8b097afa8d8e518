package replog

import (
	"encoding/hex"
	"fmt"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// tree is the Merkle tree of RFC 6962 over the events, as the hashes of all its
// complete subtrees: levels[0] are the leaves, 64 bytes an event altogether.
type tree struct {
	levels [][][]byte
}

// add appends a leaf and completes the subtrees that it ends.
func (t *tree) add(data []byte) {
	hash := rfc6962.DefaultHasher.HashLeaf(data)
	for level := 0; ; level++ {
		if level == len(t.levels) {
			t.levels = append(t.levels, nil)
		}
		t.levels[level] = append(t.levels[level], hash)
		row := t.levels[level]
		if len(row)%2 == 1 {
			return
		}
		hash = rfc6962.DefaultHasher.HashChildren(row[len(row)-2], row[len(row)-1])
	}
}

func (t *tree) leaf(index int64) []byte { return t.levels[0][index] }

// at is the hash of a complete subtree.
func (t *tree) at(id compact.NodeID) []byte { return t.levels[id.Level][id.Index] }

// root is the hash of the tree of the first size leaves. size is at most what
// the tree has.
func (t *tree) root(size int64) []byte {
	if size == 0 {
		return rfc6962.DefaultHasher.EmptyRoot()
	}
	ids := compact.RangeNodes(0, uint64(size), nil) //nolint:gosec // not negative
	hash := t.at(ids[len(ids)-1])
	for i := len(ids) - 2; i >= 0; i-- {
		hash = rfc6962.DefaultHasher.HashChildren(t.at(ids[i]), hash)
	}
	return hash
}

// inclusion is the audit path of a leaf in the tree of the first size leaves, in
// hex, from the leaf upward. Source: RFC 6962, section 2.1.1.
func (t *tree) inclusion(index, size int64) ([]string, error) {
	nodes, err := proof.Inclusion(uint64(index), uint64(size)) //nolint:gosec // not negative
	if err != nil {
		return nil, fmt.Errorf("inclusion of %d in %d: %w", index, size, err)
	}
	hashes := make([][]byte, len(nodes.IDs))
	for i, id := range nodes.IDs {
		hashes[i] = t.at(id)
	}
	if hashes, err = nodes.Rehash(hashes, rfc6962.DefaultHasher.HashChildren); err != nil {
		return nil, fmt.Errorf("inclusion of %d in %d: %w", index, size, err)
	}
	path := make([]string, len(hashes))
	for i, h := range hashes {
		path[i] = hex.EncodeToString(h)
	}
	return path, nil
}
