package main

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// block is a run of statements as a coverage profile names it.
type block struct {
	file       string // import path and file name
	span       string // "line.column,line.column"
	statements int
}

func (b block) pkg() string { return path.Dir(b.file) }

func (b block) generated() bool {
	return strings.HasSuffix(b.file, ".pb.go") || strings.HasSuffix(b.file, ".connect.go")
}

// profile says how often each block ran. Where several test binaries reached
// a package, its blocks are in the file several times and their counts add up.
type profile map[block]int

func (p profile) merge(other profile) {
	for b, count := range other {
		p[b] += count
	}
}

// parse reads the text form of a profile: a mode line, then per block
// "file:line.col,line.col statements count".
func parse(data []byte) (profile, error) {
	p := profile{}
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "mode: ") {
			continue
		}
		b, count, err := parseBlock(line)
		if err != nil {
			return nil, fmt.Errorf("profile line %d: %w", n, err)
		}
		p[b] += count
	}
	return p, nil
}

func parseBlock(line string) (block, int, error) {
	colon := strings.LastIndexByte(line, ':')
	if colon < 0 {
		return block{}, 0, fmt.Errorf("no file in %q", line)
	}
	fields := strings.Fields(line[colon+1:])
	if len(fields) != 3 {
		return block{}, 0, fmt.Errorf("%d fields in %q, want 3", len(fields), line)
	}
	statements, err := strconv.Atoi(fields[1])
	if err != nil {
		return block{}, 0, err
	}
	count, err := strconv.Atoi(fields[2])
	if err != nil {
		return block{}, 0, err
	}
	return block{file: line[:colon], span: fields[0], statements: statements}, count, nil
}

// bytes is the profile's text form.
func (p profile) bytes() []byte {
	var out bytes.Buffer
	out.WriteString("mode: count\n")
	sorted := slices.SortedFunc(maps.Keys(p), func(a, b block) int {
		return strings.Compare(a.file+":"+a.span, b.file+":"+b.span)
	})
	for _, b := range sorted {
		fmt.Fprintf(&out, "%s:%s %d %d\n", b.file, b.span, b.statements, p[b])
	}
	return out.Bytes()
}
