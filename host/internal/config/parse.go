package config

import (
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/zerostate/zerostate/core"
)

// sep joins the elements of an inner path. It can not occur in a file, so names
// with dots or slashes stay one element.
const sep = "\x1f"

// Bounds of one file.
const (
	maxFileBytes = 1 << 20
	maxDepth     = 16
	maxNumber    = 1e300
)

// document is one parsed file: a plain tree of map[string]any, []any, string,
// bool, int64 and float64, and where each path of it was written.
type document struct {
	tree      map[string]any
	positions positions
	problems  Problems
	file      string
}

// parse reads one file by its name's ending: .hcl, .yaml or .yml.
func parse(name string, data []byte) (*document, error) {
	if len(data) > maxFileBytes {
		return nil, fmt.Errorf("%s: %d bytes, more than %d: %w", name, len(data), maxFileBytes, core.ErrInvalid)
	}
	d := &document{tree: map[string]any{}, positions: positions{}, file: name}
	switch strings.ToLower(filepath.Ext(name)) {
	case ".hcl":
		d.parseHCL(data)
	case ".yaml", ".yml":
		d.parseYAML(data)
	default:
		return nil, fmt.Errorf("%s: want a name ending in .hcl, .yaml or .yml: %w", name, core.ErrInvalid)
	}
	return d, nil
}

// problem notes what is wrong at an inner path.
func (d *document) problem(line, column int, path, format string, args ...any) {
	d.problems = append(d.problems, Problem{
		Position: Position{File: d.file, Line: line, Column: column},
		Path:     show(path),
		Text:     fmt.Sprintf(format, args...),
	})
}

// checkName refuses names that no setting can have.
func (d *document) checkName(line, column int, path, name string) bool {
	if name == "" || len(name) > 256 || strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		d.problem(line, column, path, "bad name %s", strconv.Quote(name))
		return false
	}
	return true
}

// join appends an element to an inner path.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + sep + name
}

// element is the path of a list's i-th element.
func element(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// show writes an inner path for people.
func show(path string) string { return strings.ReplaceAll(path, sep, ".") }

// number gives a decimal number's one form in the tree: int64 where it is whole
// and fits, else float64. So 1.0 and 1 are the same setting in both formats.
func number(f float64) any {
	if f > -(1<<63) && f < 1<<63 && f == math.Trunc(f) {
		return int64(f)
	}
	return f
}
