package canon

import (
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// ParseYAML reads one YAML or JSON document of at most maxBytes bytes into a
// tree. It refuses anchors, aliases, merge keys, tags, a second document,
// duplicate keys, keys that are not scalars, and strings that CheckString
// refuses. Errors are PositionErrors under the given name. JSON may be written
// freely too: white space, escapes and order are up to the writer.
func ParseYAML(data []byte, name string, maxBytes int) (*Node, error) {
	p := &treeParser{name: name}
	if len(data) > maxBytes {
		return nil, p.errorf(0, 0, "more than "+strconv.Itoa(maxBytes)+" bytes")
	}
	if !utf8.Valid(data) {
		return nil, p.errorf(0, 0, "not UTF-8")
	}
	if json.Valid(data) {
		return p.json(data)
	}
	return p.yaml(data)
}

// treeParser reads one text. lines are its lines in YAML, to look up tags.
type treeParser struct {
	name  string
	lines [][]rune
}

func (p *treeParser) errorf(line, col int, problem string) error {
	return &PositionError{Name: p.name, Line: line, Col: col, Problem: problem}
}

// yamlLine finds the line that yaml.v3 names in its error texts.
var yamlLine = regexp.MustCompile(`^yaml: line (\d+): `)

// oneBreak makes every line end as the lines of treeParser do.
var oneBreak = strings.NewReplacer("\ufeff", "", "\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")

func (p *treeParser) yaml(data []byte) (*Node, error) {
	text := oneBreak.Replace(string(data))
	for line := range strings.SplitSeq(text, "\n") {
		p.lines = append(p.lines, []rune(line))
	}
	dec := yaml.NewDecoder(strings.NewReader(text))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err != nil {
		return nil, p.yamlError(err)
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, p.yamlError(err)
		}
		return nil, p.errorf(more.Line, more.Column, "a second document")
	}
	return p.node(doc.Content[0], 1)
}

func (p *treeParser) yamlError(err error) error {
	if errors.Is(err, io.EOF) {
		return p.errorf(1, 1, "an empty document")
	}
	text, line := err.Error(), 0
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1]) // digits only; 0 says "not known"
		text = text[len(m[0]):]
	}
	return p.errorf(line, 1, text)
}

func (p *treeParser) node(y *yaml.Node, depth int) (*Node, error) {
	n := &Node{Line: y.Line, Col: y.Column, name: p.name}
	switch {
	case depth > MaxDepth:
		return nil, n.Errorf("nested deeper than %d", MaxDepth)
	case y.Kind == yaml.AliasNode:
		return nil, n.Errorf("aliases are not allowed")
	case y.Anchor != "":
		return nil, n.Errorf("anchors are not allowed")
	case y.Style&yaml.TaggedStyle != 0 || p.at(n) == '!':
		return nil, n.Errorf("tags are not allowed")
	}
	switch y.Kind {
	case yaml.MappingNode:
		return n, p.mapping(n, y, depth)
	case yaml.SequenceNode:
		n.Kind = Seq
		if len(y.Content) > MaxEntries {
			return nil, n.Errorf("more than %d entries in a list", MaxEntries)
		}
		for _, c := range y.Content {
			item, err := p.node(c, depth+1)
			if err != nil {
				return nil, err
			}
			n.Seq = append(n.Seq, item)
		}
		return n, nil
	default:
		n.Value, n.Plain = y.Value, y.Style == 0
		return n, p.scalar(n)
	}
}

// at returns the character at which a node stands. yaml.v3 drops the tag "!"
// without a word, but the node's position is that of the tag.
func (p *treeParser) at(n *Node) rune {
	if n.Line < 1 || n.Line > len(p.lines) {
		return 0
	}
	line := p.lines[n.Line-1]
	if n.Col < 1 || n.Col > len(line) {
		return 0
	}
	return line[n.Col-1]
}

func (p *treeParser) mapping(n *Node, y *yaml.Node, depth int) error {
	n.Kind = Map
	seen := make(map[string]bool, len(y.Content)/2)
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, err := p.node(y.Content[i], depth+1)
		if err != nil {
			return err
		}
		switch {
		case key.Kind != Scalar:
			return key.Errorf("a key must be a plain word, not %s", key.Kind)
		case key.Plain && key.Value == "<<":
			return key.Errorf("merge keys are not allowed")
		case seen[key.Value]:
			return key.Errorf("duplicate key %q", key.Value)
		}
		seen[key.Value] = true
		value, err := p.node(y.Content[i+1], depth+1)
		if err != nil {
			return err
		}
		n.Map = append(n.Map, Pair{Key: key, Value: value})
	}
	return nil
}

func (p *treeParser) scalar(n *Node) error {
	if err := CheckString(n.Value); err != nil {
		return n.Errorf("%s", trimInvalid(err))
	}
	return nil
}

// trimInvalid returns the text of an error of this package without the
// sentinel's word, which the error around it says again.
func trimInvalid(err error) string {
	return strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": ")
}
