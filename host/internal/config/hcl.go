package config

import (
	"cmp"
	"math"
	"math/big"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// parseHCL walks an HCL2 syntax tree: blocks and their labels become nested
// names, values are literals. There are no variables and no functions.
func (d *document) parseHCL(data []byte) {
	file, diags := hclsyntax.ParseConfig(data, d.file, hcl.InitialPos)
	for _, diag := range diags {
		at := hcl.InitialPos
		if diag.Subject != nil {
			at = diag.Subject.Start
		}
		d.problem(at.Line, at.Column, "", "%s: %s", diag.Summary, diag.Detail)
	}
	if diags.HasErrors() || file == nil {
		return
	}
	if body, ok := file.Body.(*hclsyntax.Body); ok {
		d.hclBody("", body, d.tree, 0)
	}
}

// hclBody adds a body's arguments and blocks to tree, in the order of the file.
func (d *document) hclBody(path string, body *hclsyntax.Body, tree map[string]any, depth int) {
	attributes := make([]*hclsyntax.Attribute, 0, len(body.Attributes))
	for _, a := range body.Attributes {
		attributes = append(attributes, a)
	}
	slices.SortFunc(attributes, func(a, b *hclsyntax.Attribute) int {
		return cmp.Compare(a.NameRange.Start.Byte, b.NameRange.Start.Byte)
	})
	for _, a := range attributes {
		at := join(path, a.Name)
		if d.hclClaim(tree, at, a.Name, a.NameRange) {
			tree[a.Name] = d.hclValue(at, a.Expr, depth+1)
		}
	}
	for _, b := range body.Blocks {
		d.hclBlock(path, b, tree, depth)
	}
}

// hclBlock adds a block under its type and labels. Blocks may share leading
// labels (two plugin "index" blocks), never all of them.
func (d *document) hclBlock(path string, b *hclsyntax.Block, tree map[string]any, depth int) {
	names := append([]string{b.Type}, b.Labels...)
	ranges := append([]hcl.Range{b.TypeRange}, b.LabelRanges...)
	if depth+len(names) > maxDepth {
		d.problem(b.TypeRange.Start.Line, b.TypeRange.Start.Column, path, "nested deeper than %d", maxDepth)
		return
	}
	for i, name := range names[:len(names)-1] {
		path = join(path, name)
		if below, exists := tree[name].(map[string]any); exists {
			tree = below
			continue
		}
		if !d.hclClaim(tree, path, name, ranges[i]) {
			return
		}
		below := map[string]any{}
		tree[name] = below
		tree = below
	}
	last := len(names) - 1
	at := join(path, names[last])
	if !d.hclClaim(tree, at, names[last], ranges[last]) {
		return
	}
	below := map[string]any{}
	tree[names[last]] = below
	d.hclBody(at, b.Body, below, depth+len(names))
}

// hclClaim records where a name is set and refuses a second time.
func (d *document) hclClaim(tree map[string]any, path, name string, at hcl.Range) bool {
	line, column := at.Start.Line, at.Start.Column
	if !d.checkName(line, column, path, name) {
		return false
	}
	if _, twice := tree[name]; twice {
		d.problem(line, column, path, "set twice; first at %s", d.positions[path])
		return false
	}
	d.positions[path] = Position{File: d.file, Line: line, Column: column}
	return true
}

// hclValue turns a literal expression into its plain value; nil where refused.
func (d *document) hclValue(path string, e hclsyntax.Expression, depth int) any {
	start := e.Range().Start
	if _, set := d.positions[path]; !set {
		d.positions[path] = Position{File: d.file, Line: start.Line, Column: start.Column}
	}
	if depth > maxDepth {
		d.problem(start.Line, start.Column, path, "nested deeper than %d", maxDepth)
		return nil
	}
	switch x := e.(type) {
	case *hclsyntax.TupleConsExpr:
		list := make([]any, 0, len(x.Exprs))
		for i, item := range x.Exprs {
			list = append(list, d.hclValue(element(path, i), item, depth+1))
		}
		return list
	case *hclsyntax.ObjectConsExpr:
		return d.hclObject(path, x, depth)
	}
	if len(e.Variables()) > 0 {
		d.problem(start.Line, start.Column, path, "want a literal value; put text in quotes (there are no variables)")
		return nil
	}
	value, diags := e.Value(nil)
	if diags.HasErrors() {
		d.problem(start.Line, start.Column, path, "want a literal value: %s", diags[0].Summary)
		return nil
	}
	return d.hclScalar(path, value, start)
}

// hclObject walks { name = value }.
func (d *document) hclObject(path string, x *hclsyntax.ObjectConsExpr, depth int) map[string]any {
	tree := make(map[string]any, len(x.Items))
	for _, item := range x.Items {
		at := item.KeyExpr.Range()
		key, diags := item.KeyExpr.Value(nil)
		if diags.HasErrors() || key.IsNull() || !key.IsKnown() || key.Type() != cty.String {
			d.problem(at.Start.Line, at.Start.Column, path, "want a plain name")
			continue
		}
		name := key.AsString()
		below := join(path, name)
		if d.hclClaim(tree, below, name, at) {
			tree[name] = d.hclValue(below, item.ValueExpr, depth+1)
		}
	}
	return tree
}

// hclScalar reads a string, number or bool.
func (d *document) hclScalar(path string, value cty.Value, at hcl.Pos) any {
	switch {
	case value.IsNull():
		d.problem(at.Line, at.Column, path, "no value; write {} for an empty block")
	case !value.IsWhollyKnown():
		d.problem(at.Line, at.Column, path, "want a literal value")
	case value.Type() == cty.String:
		return value.AsString()
	case value.Type() == cty.Bool:
		return value.True()
	case value.Type() == cty.Number:
		f := value.AsBigFloat()
		if i, acc := f.Int64(); acc == big.Exact {
			return i
		}
		x, _ := f.Float64()
		if math.Abs(x) > maxNumber {
			d.problem(at.Line, at.Column, path, "number out of range")
			return nil
		}
		return number(x)
	default:
		d.problem(at.Line, at.Column, path, "want a string, number, bool, list or block")
	}
	return nil
}
