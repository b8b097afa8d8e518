package core

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// ParseManifest reads a task manifest, YAML or JSON, at most MaxManifestBytes
// long; name is the file's, for messages. Every default is filled in. All that
// is wrong comes back in one *ManifestError, with positions and paths; what the
// protocol names and nothing implements yet is ErrUnsupported, never ignored.
func ParseManifest(data []byte, name string) (*Manifest, error) {
	root, err := canon.ParseYAML(data, name, MaxManifestBytes)
	if err != nil {
		return nil, err
	}
	r := &manifestReader{nodes: map[string]*canon.Node{}}
	m := r.manifest(root)
	r.rules(m)
	slices.SortStableFunc(r.problems, func(a, b ManifestProblem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Col - b.Col
	})
	if err := problemsError(name, r.problems); err != nil {
		return nil, err
	}
	return m, nil
}

// manifestReader walks the node tree by the type that the schema gives to each
// place. nodes remembers where each path stands in the text.
type manifestReader struct {
	nodes    map[string]*canon.Node
	problems []ManifestProblem
}

func (r *manifestReader) problem(n *canon.Node, at string, kind error, format string, args ...any) {
	r.problems = append(r.problems, ManifestProblem{
		Path: at, Problem: fmt.Sprintf(format, args...), Line: n.Line, Col: n.Col, Kind: kind,
	})
}

func (r *manifestReader) invalid(n *canon.Node, at, format string, args ...any) {
	r.problem(n, at, ErrInvalid, format, args...)
}

// reader reads the value of one member into where it belongs.
type reader func(n *canon.Node, at string)

// object reads a mapping; required members that are missing are problems.
func (r *manifestReader) object(n *canon.Node, at string, members map[string]reader, required ...string) {
	r.nodes[at] = n
	if n.Kind != canon.Map {
		r.invalid(n, at, "is %s, wants a mapping", n.Kind)
		return
	}
	for _, p := range n.Map {
		read, ok := members[p.Key.Value]
		if !ok {
			r.unknown(p.Key, at, slices.Sorted(maps.Keys(members)))
			continue
		}
		read(p.Value, join(at, p.Key.Value))
	}
	for _, name := range required {
		if n.Get(name) == nil {
			r.invalid(n, join(at, name), "is required")
		}
	}
}

func join(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

func (r *manifestReader) unknown(key *canon.Node, at string, known []string) {
	text := "is not a field of a task manifest"
	if s := nearest(key.Value, known); s != "" {
		text += fmt.Sprintf(", did you mean %q?", s)
	}
	r.invalid(key, join(at, key.Value), "%s", text)
}

func (r *manifestReader) list(n *canon.Node, at string, read reader) {
	r.nodes[at] = n
	if n.Kind != canon.Seq {
		r.invalid(n, at, "is %s, wants a list", n.Kind)
		return
	}
	for i, e := range n.Seq {
		read(e, fmt.Sprintf("%s[%d]", at, i))
	}
}

// scalar is the text of a single value; ok is false, and a problem noted, where
// it is something else or nothing.
func (r *manifestReader) scalar(n *canon.Node, at string) (string, bool) {
	r.nodes[at] = n
	if n.Kind != canon.Scalar {
		r.invalid(n, at, "is %s, wants a single value", n.Kind)
		return "", false
	}
	if n.Plain {
		switch n.Value {
		case "", "~", "null", "Null", "NULL":
			r.invalid(n, at, "has no value: leave the field out, or write it in quotes")
			return "", false
		}
	}
	return n.Value, true
}

func (r *manifestReader) str(dst *string) reader {
	return func(n *canon.Node, at string) {
		if s, ok := r.scalar(n, at); ok {
			*dst = s
		}
	}
}

func (r *manifestReader) strs(dst *[]string) reader {
	return func(n *canon.Node, at string) {
		r.list(n, at, func(e *canon.Node, at string) {
			s, _ := r.scalar(e, at)
			*dst = append(*dst, s)
		})
	}
}

// constant wants exactly one spelling, because nothing else exists.
func (r *manifestReader) constant(want string) reader {
	return func(n *canon.Node, at string) {
		if s, ok := r.scalar(n, at); ok && s != want {
			r.invalid(n, at, "is %q, wants %s", s, want)
		}
	}
}

func (r *manifestReader) integer(dst *int64) reader {
	return func(n *canon.Node, at string) {
		s, ok := r.scalar(n, at)
		if !ok {
			return
		}
		if v, ok := parseInteger(s); ok && n.Plain {
			*dst = v
			return
		}
		r.invalid(n, at, "is %q, wants a whole number of at most 2^53-1, without quotes", s)
	}
}

// parseInteger reads a decimal number of at most 2^53-1, without a leading zero.
func parseInteger(s string) (int64, bool) {
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil || v > maxSafeInteger || v < -maxSafeInteger || strconv.FormatInt(v, 10) != s {
		return 0, false
	}
	return v, true
}

func (r *manifestReader) size(dst *int64) reader {
	return func(n *canon.Node, at string) {
		s, ok := r.scalar(n, at)
		if !ok {
			return
		}
		v, ok := parseSize(s)
		if !ok {
			r.invalid(n, at, "is %q, wants bytes or a number with KiB, MiB or GiB", s)
			return
		}
		*dst = v
	}
}

// parseSize reads bytes, or a number with one of the suffixes KiB, MiB, GiB.
func parseSize(s string) (int64, bool) {
	shift := 0
	for i, suffix := range []string{"KiB", "MiB", "GiB"} {
		if number, ok := strings.CutSuffix(s, suffix); ok {
			s, shift = number, 10*(i+1)
			break
		}
	}
	v, ok := parseInteger(s)
	if !ok || v < 0 || v > maxSafeInteger>>shift {
		return 0, false
	}
	return v << shift, true
}

// duration reads Go's form into whole milliseconds.
func (r *manifestReader) duration(dst *int64) reader {
	return func(n *canon.Node, at string) {
		s, ok := r.scalar(n, at)
		if !ok {
			return
		}
		d, err := time.ParseDuration(s)
		if err != nil || d%time.Millisecond != 0 {
			r.invalid(n, at, `is %q, wants whole milliseconds in Go's form, as in 500ms, 5s or 1m30s`, s)
			return
		}
		*dst = d.Milliseconds()
	}
}

func (r *manifestReader) ratio(dst *float64) reader {
	return func(n *canon.Node, at string) {
		s, ok := r.scalar(n, at)
		if !ok {
			return
		}
		v, err := strconv.ParseFloat(s, 64)
		if err != nil || !n.Plain || math.IsNaN(v) || v < 0 || v > 1 || strings.Trim(s, digits+".") != "" {
			r.invalid(n, at, "is %q, wants a number from 0 to 1", s)
			return
		}
		*dst = v
	}
}

func (r *manifestReader) time(dst *Time) reader {
	return func(n *canon.Node, at string) {
		s, ok := r.scalar(n, at)
		if !ok {
			return
		}
		t, err := ParseTime(s)
		if err != nil {
			r.invalid(n, at, "is %q, wants a time, YYYY-MM-DDTHH:MM:SSZ", s)
			return
		}
		*dst = t
	}
}

// later is a field that the protocol names and nothing implements yet.
func (r *manifestReader) later(what string) reader {
	return func(n *canon.Node, at string) {
		r.problem(n, at, ErrUnsupported, "%s not supported yet: leave it out", what)
	}
}

// rules adds what breaks a rule of the spec, unless the reading of the same
// place failed already.
func (r *manifestReader) rules(m *Manifest) {
	found := m.Spec.check(stageManifest)
	if m.Name != "" && !isPlainName(m.Name) {
		found = append(found, ManifestProblem{
			Path: "metadata.name", Kind: ErrInvalid,
			Problem: "wants a plain name: letters, digits, '.', '_' and '-', starting with a letter or digit",
		})
	}
	found = append(found, m.Terms.check()...)
	read := len(r.problems)
	for _, p := range found {
		p.Path = writtenPath(p.Path)
		if !slices.ContainsFunc(r.problems[:read], func(q ManifestProblem) bool { return overlaps(p.Path, q.Path) }) {
			p.Line, p.Col = r.position(p.Path)
			r.problems = append(r.problems, p)
		}
	}
}

// overlaps says whether one path is the other, or above it.
func overlaps(a, b string) bool {
	under := func(a, b string) bool {
		return strings.HasPrefix(a, b) && (len(a) == len(b) || b == "" || a[len(b)] == '.' || a[len(b)] == '[')
	}
	return under(a, b) || under(b, a)
}

// writtenPath is the path in the manifest of a member of the resolved manifest,
// which carries its unit in its name.
func writtenPath(p string) string {
	for resolved, written := range map[string]string{
		".memoryBytes": ".memory", ".wallTimeoutMs": ".wallTimeout", ".timeoutMs": ".timeout",
	} {
		if head, ok := strings.CutSuffix(p, resolved); ok {
			return head + written
		}
	}
	return p
}

// position is where a path stands, or the nearest thing above it.
func (r *manifestReader) position(p string) (line, col int) {
	for {
		if n, ok := r.nodes[p]; ok {
			return n.Line, n.Col
		}
		i := strings.LastIndexAny(p, ".[")
		if i < 0 {
			n := r.nodes[""]
			return n.Line, n.Col
		}
		p = p[:i]
	}
}

// nearest is the known name that a wrong one most likely meant, or "".
func nearest(wrong string, known []string) string {
	best, most := "", max(1, len(wrong)/3)
	for _, k := range known {
		if strings.EqualFold(wrong, k) {
			return k
		}
		if d := editDistance(strings.ToLower(wrong), strings.ToLower(k)); d <= most {
			best, most = k, d-1
		}
	}
	return best
}

// editDistance counts the insertions, deletions and replacements between two
// words (Levenshtein, one row at a time). It gives up on words over 64 bytes.
func editDistance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
