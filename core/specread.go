package core

import (
	"maps"
	"slices"
	"strings"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// readMap reads a mapping: each member by the reader under its key. Unknown and
// missing keys are errors with a position.
func readMap(n *canon.Node, readers map[string]func(*canon.Node) error, required ...string) error {
	if n.Kind != canon.Map {
		return n.Errorf("want a mapping, got %s", n.Kind)
	}
	for _, p := range n.Map {
		read, ok := readers[p.Key.Value]
		if !ok {
			known := slices.Sorted(maps.Keys(readers))
			return p.Key.Errorf("unknown key %q, want one of %s", p.Key.Value, strings.Join(known, ", "))
		}
		if err := read(p.Value); err != nil {
			return err
		}
	}
	for _, key := range required {
		if n.Get(key) == nil {
			return n.Errorf("want the key %q", key)
		}
	}
	return nil
}

// text reads a string of 1 to 2048 bytes. A number is taken as it is written.
func text(to *string) func(*canon.Node) error {
	return func(n *canon.Node) error {
		switch {
		case n.Kind != canon.Scalar:
			return n.Errorf("want a text, got %s", n.Kind)
		case n.Value == "" || n.Plain && (n.Value == "null" || n.Value == "~"):
			return n.Errorf("want a text that is not empty")
		case len(n.Value) > maxCardText:
			return n.Errorf("longer than %d bytes", maxCardText)
		}
		*to = n.Value
		return nil
	}
}

// label is text of a-z, 0-9, '-', '.' and '_', at most 64 bytes.
func label(to *string) func(*canon.Node) error {
	return func(n *canon.Node) error {
		if err := text(to)(n); err != nil {
			return err
		}
		if !isLabel(*to) {
			return n.Errorf("want 1 to 64 of a-z, 0-9, '-', '.' and '_'")
		}
		return nil
	}
}

// texts reads a list of 1 to 16 texts.
func texts(to *[]string) func(*canon.Node) error {
	return func(n *canon.Node) error {
		if len(n.Seq) > maxCardList {
			return n.Errorf("more than %d entries", maxCardList)
		}
		return each(func(item *canon.Node) error {
			*to = append(*to, "")
			return text(&(*to)[len(*to)-1])(item)
		})(n)
	}
}

// each reads a list that is not empty, entry by entry.
func each(read func(*canon.Node) error) func(*canon.Node) error {
	return func(n *canon.Node) error {
		if n.Kind != canon.Seq || len(n.Seq) == 0 {
			return n.Errorf("want a list that is not empty")
		}
		for _, item := range n.Seq {
			if err := read(item); err != nil {
				return err
			}
		}
		return nil
	}
}
