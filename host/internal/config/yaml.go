package config

import (
	"bytes"
	"errors"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The spellings of numbers that YAML and HCL read alike. 010, 0x1f, 1_000, .inf
// and the like are refused rather than guessed at.
var (
	yamlInt   = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
	yamlFloat = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)
	yamlLine  = regexp.MustCompile(`^yaml: (?:[a-z ]+: )*line ([0-9]+): `)
)

// parseYAML walks the nodes of one YAML document: no second document, no
// anchors, aliases, tags or merge keys, no duplicate keys.
func (d *document) parseYAML(data []byte) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return
	}
	if err != nil {
		d.yamlSyntax(err)
		return
	}
	if err := dec.Decode(&second); err == nil {
		d.problem(second.Line, max(second.Column, 1), "", "a second YAML document; write one file per document")
	} else if !errors.Is(err, io.EOF) {
		d.yamlSyntax(err)
		return
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" {
		return
	}
	if root.Kind != yaml.MappingNode {
		d.problem(root.Line, root.Column, "", "want blocks at the top, got %s", yamlKind(root))
		return
	}
	if tree, ok := d.yamlValue("", root, 0).(map[string]any); ok {
		d.tree = tree
	}
}

// yamlSyntax notes a syntax error at its line.
func (d *document) yamlSyntax(err error) {
	text, line := err.Error(), 1
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = strings.TrimPrefix(text, m[0])
	}
	d.problem(line, 1, "", "%s", strings.TrimPrefix(text, "yaml: "))
}

// yamlValue turns a node into its plain value; nil where it was refused.
func (d *document) yamlValue(path string, n *yaml.Node, depth int) any {
	if path != "" {
		if _, set := d.positions[path]; !set {
			d.positions[path] = Position{File: d.file, Line: n.Line, Column: n.Column}
		}
	}
	switch {
	case depth > maxDepth:
		d.problem(n.Line, n.Column, path, "nested deeper than %d", maxDepth)
		return nil
	case n.Kind == yaml.AliasNode:
		d.problem(n.Line, n.Column, path, "aliases are not allowed; write the value out")
		return nil
	case n.Anchor != "":
		d.problem(n.Line, n.Column, path, "anchors are not allowed; write the value out")
		return nil
	case n.Style&yaml.TaggedStyle != 0:
		d.problem(n.Line, n.Column, path, "tags are not allowed")
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		return d.yamlMap(path, n, depth)
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for i, item := range n.Content {
			list = append(list, d.yamlValue(element(path, i), item, depth+1))
		}
		return list
	default:
		return d.yamlScalar(path, n)
	}
}

// yamlMap walks a mapping; the position of a setting is that of its name.
func (d *document) yamlMap(path string, n *yaml.Node, depth int) map[string]any {
	tree := make(map[string]any, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Anchor != "" || key.Style&yaml.TaggedStyle != 0 || key.ShortTag() == "!!merge" {
			d.problem(key.Line, key.Column, path, "want a plain name, got %s", yamlKind(key))
			continue
		}
		at := join(path, key.Value)
		if !d.checkName(key.Line, key.Column, path, key.Value) {
			continue
		}
		if _, twice := tree[key.Value]; twice {
			d.problem(key.Line, key.Column, at, "set twice; first at %s", d.positions[at])
			continue
		}
		d.positions[at] = Position{File: d.file, Line: key.Line, Column: key.Column}
		tree[key.Value] = d.yamlValue(at, value, depth+1)
	}
	return tree
}

// yamlScalar reads a scalar as HCL would.
func (d *document) yamlScalar(path string, n *yaml.Node) any {
	plain := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
	if !plain {
		return n.Value
	}
	switch n.ShortTag() {
	case "!!null":
		d.problem(n.Line, n.Column, path, "no value; write {} for an empty block")
		return nil
	case "!!bool":
		if n.Value == "true" || n.Value == "false" {
			return n.Value == "true"
		}
	case "!!int":
		if yamlInt.MatchString(n.Value) {
			if v, err := strconv.ParseInt(n.Value, 10, 64); err == nil {
				return v
			}
			if f, err := strconv.ParseFloat(n.Value, 64); err == nil && math.Abs(f) <= maxNumber {
				return number(f)
			}
		}
	case "!!float":
		if f, err := strconv.ParseFloat(n.Value, 64); err == nil && math.Abs(f) <= maxNumber && yamlFloat.MatchString(n.Value) {
			return number(f)
		}
	default: // strings; dates and the like are text here
		return n.Value
	}
	d.problem(n.Line, n.Column, path, "ambiguous value %s; quote it, or write true, false or a plain decimal number", n.Value)
	return nil
}

// yamlKind names a node's kind for a message.
func yamlKind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a block"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	default:
		if n.ShortTag() == "!!merge" {
			return "a merge key"
		}
		return strconv.Quote(n.Value)
	}
}
