package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/zerostate/zerostate/core"
)

// row is what is kept of an item. Its vector has length one, so that the
// cosine of two is their inner product.
type row struct {
	Vector     []float32           `json:"vector"`
	Attributes map[string][]string `json:"attributes"`
	Model      string              `json:"model"`
}

// store makes items durable up to the first bad one, and then visible. The
// first row of all binds the model and the length of vectors; an index that was
// emptied may be bound anew.
func (x *exact) store(items []core.IndexItem) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	bound := x.anyRow()
	good := map[string]row{}
	n := 0
	var bad error
	for _, it := range items {
		if bad = check(it, bound); bad != nil {
			break
		}
		good[it.ID] = row{unit(it.Vector), cloneAttributes(it.Attributes), it.ModelDigest}
		bound = good[it.ID]
		n++
	}
	if n > 0 {
		if err := x.disk.put(good); err != nil {
			return 0, err
		}
	}
	maps.Copy(x.rows, good)
	return n, bad
}

// anyRow returns one of the rows, which are all of one model and length, or an
// empty one where there is none.
func (x *exact) anyRow() row {
	for _, r := range x.rows {
		return r
	}
	return row{}
}

// check refuses what the contract refuses. bound is any row of the index.
func check(it core.IndexItem, bound row) error {
	switch {
	case it.ID == "" || len(it.ID) > 512:
		return fmt.Errorf("item id of %d bytes, not 1..512: %w", len(it.ID), core.ErrInvalid)
	case unit(it.Vector) == nil:
		return fmt.Errorf("item %s has no direction: %w", it.ID, core.ErrInvalid)
	case bound.Vector != nil && it.ModelDigest != bound.Model:
		return fmt.Errorf("item %s is of model %q, the index of %q: %w", it.ID, it.ModelDigest, bound.Model, core.ErrConflict)
	case bound.Vector != nil && len(it.Vector) != len(bound.Vector):
		return fmt.Errorf("item %s has length %d, the index %d: %w", it.ID, len(it.Vector), len(bound.Vector), core.ErrInvalid)
	}
	return nil
}

// passes says whether every condition holds: the row's attribute has at least
// one of the values.
func passes(r row, filter []core.Condition) bool {
	for _, c := range filter {
		if !slices.ContainsFunc(c.AnyOf, func(v string) bool { return slices.Contains(r.Attributes[c.Attribute], v) }) {
			return false
		}
	}
	return true
}
