// Command langstats is an agent that says which programming languages a source
// tree is written in: files, lines of code, comments and blank lines of each.
// The tree comes as an archive (tar, tar.gz, tar.bz2, zip).
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/zerostate/zerostate/examples/internal/guest"
	"github.com/zerostate/zerostate/examples/internal/pack"
)

const (
	maxArchiveBytes = 64 << 20
	maxLineBytes    = 1 << 20
)

func main() { guest.Main(run) }

func run(f guest.Files) (string, error) {
	data, err := f.Read("archive", maxArchiveBytes)
	if err != nil {
		return "", err
	}
	r, err := measure(data)
	if err != nil {
		return "", guest.BadInput("archive", err)
	}
	out, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", err
	}
	first := r.Languages[0]
	summary := fmt.Sprintf("%d languages, %d lines of code, %.0f%% of it %s", len(r.Languages), r.Total.Code, first.Share*100, first.Name)
	return summary, f.Write("languages.json", append(out, '\n'))
}

// lines counts lines by what they hold.
type lines struct {
	Files    int `json:"files"`
	Code     int `json:"code"`
	Comments int `json:"comments"`
	Blank    int `json:"blank"`
}

func (l *lines) add(o lines) {
	l.Files += o.Files
	l.Code += o.Code
	l.Comments += o.Comments
	l.Blank += o.Blank
}

// report is what the agent writes: the most code first.
type report struct {
	Total     lines      `json:"total"`
	Skipped   int        `json:"skipped"` // files of no known language
	Languages []language `json:"languages"`
}

type language struct {
	Name  string  `json:"language"`
	Share float64 `json:"share"` // of all code, 0..1
	lines
}

// measure counts the lines of each file that has a known name.
func measure(data []byte) (report, error) {
	var r report
	byName := map[string]*lines{}
	_, err := pack.Walk(data, func(e pack.Entry, content io.Reader) error {
		if !e.Mode.IsRegular() {
			return nil
		}
		kind := kindOf(e.Name)
		if kind == nil || isVendored(e.Name) {
			r.Skipped++
			return nil
		}
		counted, err := count(content, kind)
		if err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
		if byName[kind.name] == nil {
			byName[kind.name] = &lines{}
		}
		byName[kind.name].add(counted)
		r.Total.add(counted)
		return nil
	})
	if err != nil {
		return r, err
	}
	if len(byName) == 0 {
		return r, errors.New("holds no file of a language that is known")
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		share := float64(byName[name].Code) / float64(max(r.Total.Code, 1))
		r.Languages = append(r.Languages, language{name, share, *byName[name]})
	}
	slices.SortStableFunc(r.Languages, func(a, b language) int { return cmp.Compare(b.Code, a.Code) })
	return r, nil
}

// isVendored says whether the file is somebody else's, or the version control's.
func isVendored(name string) bool {
	for part := range strings.SplitSeq(path.Dir(name), "/") {
		switch part {
		case "vendor", "node_modules", ".git", "third_party":
			return true
		}
	}
	return false
}

// count counts the lines of one file.
func count(content io.Reader, k *kind) (lines, error) {
	l := lines{Files: 1}
	in := bufio.NewScanner(content)
	in.Buffer(make([]byte, 0, 64<<10), maxLineBytes)
	open := false // within a block comment
	for in.Scan() {
		line := strings.TrimSpace(in.Text())
		if line == "" {
			l.Blank++
			continue
		}
		var code bool
		if code, open = k.hasCode(line, open); code {
			l.Code++
		} else {
			l.Comments++
		}
	}
	return l, in.Err()
}

// hasCode says whether a line holds anything but comments, and whether a block
// comment is open at its end. Comment marks inside of strings are told apart by
// simple quotes on the same line.
func (k *kind) hasCode(line string, open bool) (code, stillOpen bool) {
	var quote byte
	for line != "" {
		switch {
		case open && k.end != "" && strings.HasPrefix(line, k.end):
			open, line = false, line[len(k.end):]
			continue
		case open:
		case quote != 0:
			if line[0] == '\\' && len(line) > 1 {
				line = line[1:]
			} else if line[0] == quote {
				quote = 0
			}
		case k.start != "" && strings.HasPrefix(line, k.start):
			open, line = true, line[len(k.start):]
			continue
		case slices.ContainsFunc(k.line, func(mark string) bool { return strings.HasPrefix(line, mark) }):
			return code, false
		default:
			code = code || line[0] != ' ' && line[0] != '\t'
			if line[0] == '"' || line[0] == '`' {
				quote = line[0]
			}
		}
		line = line[1:]
	}
	return code, open
}
