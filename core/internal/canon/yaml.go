package canon

import "fmt"

// NodeKind is what a Node is.
type NodeKind int

// The kinds of nodes.
const (
	Scalar NodeKind = iota
	Map
	Seq
)

// String returns the word that an error message uses.
func (k NodeKind) String() string {
	switch k {
	case Map:
		return "a mapping"
	case Seq:
		return "a list"
	default:
		return "a single value"
	}
}

// Node is one value of a YAML or JSON text, with its position. Scalars are kept
// as the text that stands there: the reader's schema says what they mean, so
// that 010, dates and all-digit digests never change.
type Node struct {
	Kind      NodeKind
	Value     string  // of a Scalar
	Plain     bool    // the Scalar stands without quotes
	Line, Col int     // from 1
	Map       []Pair  // in the order of the text, keys unique
	Seq       []*Node // in the order of the text
	name      string
}

// Pair is one member of a mapping.
type Pair struct{ Key, Value *Node }

// Get returns the member with the given key, or nil.
func (n *Node) Get(key string) *Node {
	for _, p := range n.Map {
		if p.Key.Value == key {
			return p.Value
		}
	}
	return nil
}

// Errorf returns a PositionError at the node.
func (n *Node) Errorf(format string, args ...any) error {
	return &PositionError{Name: n.name, Line: n.Line, Col: n.Col, Problem: fmt.Sprintf(format, args...)}
}

// PositionError says what is wrong where in a text that a person wrote.
type PositionError struct {
	Name      string // of the file
	Line, Col int    // from 1; 0 where not known
	Problem   string
}

// Error returns "name:line:col: problem".
func (e *PositionError) Error() string {
	if e.Line == 0 {
		return e.Name + ": " + e.Problem
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.Name, e.Line, e.Col, e.Problem)
}

// Unwrap returns ErrInvalid.
func (e *PositionError) Unwrap() error { return ErrInvalid }
