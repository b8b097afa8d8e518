// Command diff is an agent that compares two versions of a text and writes a
// unified diff, as git apply and patch take it. Equal texts give an empty one.
package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aymanbagabas/go-udiff"
	"github.com/aymanbagabas/go-udiff/lcs"

	"github.com/zerostate/zerostate/examples/internal/guest"
)

const (
	maxTextBytes = 4 << 20
	contextLines = 3
)

func main() { guest.Main(run) }

func run(f guest.Files) (string, error) {
	var texts [2]string
	for i, name := range []string{"old", "new"} {
		data, err := f.Read(name, maxTextBytes)
		if err != nil {
			return "", err
		}
		if !utf8.Valid(data) {
			return "", guest.BadInput(name, errors.New("is not UTF-8 text"))
		}
		texts[i] = string(data)
	}
	patch, err := compare(texts[0], texts[1])
	if err != nil {
		return "", err
	}
	added, removed := count(patch)
	return fmt.Sprintf("%d lines added, %d removed", added, removed), f.Write("changes.patch", []byte(patch))
}

// compare makes the patch that turns before into after.
func compare(before, after string) (string, error) {
	return udiff.ToUnified("old", "new", before, edits(before, after), contextLines)
}

// edits finds the lines that differ: each different line stands as one symbol in
// the longest common subsequence.
func edits(before, after string) []udiff.Edit {
	symbols := map[string]rune{}
	oldLines, newLines := slices.Collect(strings.Lines(before)), slices.Collect(strings.Lines(after))
	diffs := lcs.DiffRunes(symbolsOf(oldLines, symbols), symbolsOf(newLines, symbols))
	starts := make([]int, len(oldLines)+1) // of each line, bytes
	for i, line := range oldLines {
		starts[i+1] = starts[i] + len(line)
	}
	all := make([]udiff.Edit, len(diffs))
	for i, d := range diffs {
		all[i] = udiff.Edit{Start: starts[d.Start], End: starts[d.End], New: strings.Join(newLines[d.ReplStart:d.ReplEnd], "")}
	}
	return all
}

// symbolsOf answers one symbol a line, the same for equal lines.
func symbolsOf(lines []string, known map[string]rune) []rune {
	out := make([]rune, len(lines))
	for i, line := range lines {
		if _, ok := known[line]; !ok {
			known[line] = rune(len(known)) //nolint:gosec // at most maxTextBytes lines a text
		}
		out[i] = known[line]
	}
	return out
}

// count counts the lines that a patch adds and removes.
func count(patch string) (added, removed int) {
	_, body, _ := strings.Cut(patch, "\n@@")
	for line := range strings.Lines(body) {
		switch line[0] {
		case '+':
			added++
		case '-':
			removed++
		}
	}
	return added, removed
}
