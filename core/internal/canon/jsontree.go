package canon

import (
	"bytes"
	"encoding/json"
	"sort"
)

// jsonTree reads JSON text that json.Valid accepted into Nodes.
type jsonTree struct {
	*treeParser
	data   []byte
	dec    *json.Decoder
	starts []int // offsets at which lines start
}

func (p *treeParser) json(data []byte) (*Node, error) {
	t := &jsonTree{treeParser: p, data: data, dec: json.NewDecoder(bytes.NewReader(data)), starts: []int{0}}
	t.dec.UseNumber()
	for i, c := range data {
		if c == '\n' {
			t.starts = append(t.starts, i+1)
		}
	}
	return t.value(1)
}

// start returns a Node at the next token. InputOffset is the end of the last
// token, so white space and separators are skipped.
func (t *jsonTree) start() *Node {
	at := int(t.dec.InputOffset())
	for at < len(t.data)-1 && bytes.IndexByte([]byte(" \t\r\n,:"), t.data[at]) >= 0 {
		at++
	}
	line := sort.SearchInts(t.starts, at+1)
	return &Node{Line: line, Col: at - t.starts[line-1] + 1, name: t.name}
}

func (t *jsonTree) value(depth int) (*Node, error) {
	n := t.start()
	if depth > MaxDepth {
		return nil, n.Errorf("nested deeper than %d", MaxDepth)
	}
	tok, err := t.dec.Token()
	if err != nil {
		return nil, n.Errorf("%s", err)
	}
	switch v := tok.(type) {
	case json.Delim:
		return n, t.container(n, v, depth)
	case string:
		n.Value = v
	case json.Number:
		n.Value, n.Plain = v.String(), true
	case bool:
		n.Value, n.Plain = map[bool]string{true: "true", false: "false"}[v], true
	default:
		n.Value, n.Plain = "null", true
	}
	return n, t.scalar(n)
}

// container reads an object or array up to and with its end.
func (t *jsonTree) container(n *Node, open json.Delim, depth int) error {
	n.Kind = Seq
	if open == '{' {
		n.Kind = Map
	}
	seen := map[string]bool{}
	for t.dec.More() {
		if len(n.Seq) == MaxEntries {
			return n.Errorf("more than %d entries in a list", MaxEntries)
		}
		item, err := t.value(depth + 1)
		if err != nil {
			return err
		}
		if n.Kind == Seq {
			n.Seq = append(n.Seq, item)
			continue
		}
		if seen[item.Value] {
			return item.Errorf("duplicate key %q", item.Value)
		}
		seen[item.Value] = true
		value, err := t.value(depth + 1)
		if err != nil {
			return err
		}
		n.Map = append(n.Map, Pair{Key: item, Value: value})
	}
	if _, err := t.dec.Token(); err != nil {
		return n.Errorf("%s", err)
	}
	return nil
}
