package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/zerostate/zerostate/core"
)

// Position is where a setting was written. Source names what is not a file:
// "environment ZEROSTATE_NODE__NAME", "flag --region", "default".
type Position struct {
	File         string
	Line, Column int
	Source       string
}

// String writes file:line:column, or the source.
func (p Position) String() string {
	if p.File == "" {
		return p.Source
	}
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// positions maps an inner path (joined by sep) to where it was written.
type positions map[string]Position

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	Position Position
	Path     string // plugin.index.hnsw.pth; empty: the whole file
	Text     string
	Suggest  string // the name that was probably meant, or empty
}

// String writes position: path: problem; did you mean "x"?
func (p Problem) String() string {
	var b strings.Builder
	if at := p.Position.String(); at != "" {
		b.WriteString(at + ": ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Text)
	if p.Suggest != "" {
		fmt.Fprintf(&b, "; did you mean %q?", p.Suggest)
	}
	return b.String()
}

// Problems is every problem of a configuration, in the order of the files. As
// an error it unwraps to core.ErrInvalid.
type Problems []Problem //nolint:errname // it is read as a list as often as returned as an error

// Error lists the problems, one a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns core.ErrInvalid.
func (p Problems) Unwrap() error { return core.ErrInvalid }

// orNil returns the sorted problems as an error, or nil when there are none.
func (p Problems) orNil() error {
	if len(p) == 0 {
		return nil
	}
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.Position.File, b.Position.File),
			cmp.Compare(a.Position.Line, b.Position.Line),
			cmp.Compare(a.Position.Column, b.Position.Column),
			cmp.Compare(a.Path, b.Path),
		)
	})
	return p
}

// suggest returns the candidate nearest to name by edit distance, or "" when
// none is near enough to have been meant.
func suggest(name string, candidates []string) string {
	best, bestDistance := "", max(1, len(name)/2)+1
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), c); d < bestDistance || (d == bestDistance && best != "" && c < best) {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is the optimal string alignment distance: insertions, deletions,
// substitutions and swaps of neighbours cost one each.
func distance(a, b string) int {
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}
