// Command cover measures how much of the libraries the tests reach, and fails
// where a floor is not kept. `make cover` runs it; it takes no arguments.
//
// It tests each room of the house with the coverage of the whole room, leaves
// out generated code and package main, prints a line per package, and leaves
// the merged profile in cover.out (go tool cover -html=cover.out). It runs
// without the race detector, so that the tests that flip every bit of a
// document flip them all.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

// room is a part of the tree with a floor under its coverage.
type room struct {
	name     string
	patterns []string // of its packages
	driven   []string // packages whose tests reach it too
	floor    float64  // percent of the room's statements
	each     float64  // percent of any one package's statements
}

// rooms lists what is measured.
func rooms() []room {
	return []room{
		{name: "core", patterns: []string{"./core/..."}, floor: 90, each: 80},
		{name: "plugin/sdk", patterns: []string{"./plugin/sdk/..."}, floor: 90, each: 80},
		{name: "host/internal/p2p", patterns: []string{"./host/internal/p2p"}, floor: 80, each: 80},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cover:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, stdout, stderr io.Writer) error {
	dir, err := os.MkdirTemp("", "zerostate-cover-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory that stays behind is no failure
	all := profile{}
	var reports []report
	for i, r := range rooms() {
		blocks, names, err := measure(ctx, r, filepath.Join(dir, fmt.Sprint(i)), stderr)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		all.merge(blocks)
		reports = append(reports, r.report(blocks, names))
	}
	if err := os.WriteFile("cover.out", all.bytes(), 0o600); err != nil {
		return err
	}
	return print(stdout, reports)
}

// measure tests a room and answers its blocks, and the name of each of its
// packages by import path.
func measure(ctx context.Context, r room, file string, stderr io.Writer) (profile, map[string]string, error) {
	list, err := command(ctx, stderr, append([]string{"list", "-f", "{{.ImportPath}} {{.Name}}"}, r.patterns...)...)
	if err != nil {
		return nil, nil, err
	}
	names := map[string]string{}
	for line := range strings.Lines(list) {
		if path, name, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			names[path] = name
		}
	}
	args := []string{"test", "-count=1", "-timeout=14m", "-coverprofile=" + file, "-coverpkg=" + strings.Join(r.patterns, ",")}
	args = append(append(args, r.patterns...), r.driven...)
	if out, err := command(ctx, stderr, args...); err != nil {
		return nil, nil, fmt.Errorf("%w\n%s", err, failures(out))
	}
	data, err := os.ReadFile(file) //nolint:gosec // G304: the profile that was just written
	if err != nil {
		return nil, nil, err
	}
	blocks, err := parse(data)
	return blocks, names, err
}

// command runs the go tool and answers what it prints.
func command(ctx context.Context, stderr io.Writer, args ...string) (string, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // G204: the arguments are the constants of rooms
	cmd.Stdout, cmd.Stderr = &out, stderr
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("go %s: %w", args[0], err)
	}
	return out.String(), nil
}

// failures leaves out the lines of go test that say a package is fine.
func failures(out string) string {
	var bad []string
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "ok ") && !strings.Contains(line, "coverage: ") {
			bad = append(bad, line)
		}
	}
	return strings.Join(bad, "")
}

// tally counts the statements of one package.
type tally struct {
	path             string
	covered, counted int
}

// percent is 100 for a package without statements: nothing in it is untested.
func (t tally) percent() float64 {
	if t.counted == 0 {
		return 100
	}
	return 100 * float64(t.covered) / float64(t.counted)
}

// report is what is known of a room.
type report struct {
	room     room
	total    tally
	packages []tally // with statements, by path
}

// report counts the blocks of a room's packages but for generated code and
// package main.
func (r room) report(blocks profile, names map[string]string) report {
	byPackage := map[string]*tally{}
	rep := report{room: r, total: tally{path: r.name}}
	for b, count := range blocks {
		if names[b.pkg()] == "main" || b.generated() {
			continue
		}
		t := byPackage[b.pkg()]
		if t == nil {
			t = &tally{path: b.pkg()}
			byPackage[b.pkg()] = t
		}
		for _, t := range []*tally{t, &rep.total} {
			t.counted += b.statements
			if count > 0 {
				t.covered += b.statements
			}
		}
	}
	for _, t := range byPackage {
		rep.packages = append(rep.packages, *t)
	}
	slices.SortFunc(rep.packages, func(a, b tally) int { return strings.Compare(a.path, b.path) })
	return rep
}

// print writes the table, and answers every floor that is not kept.
func print(w io.Writer, reports []report) error {
	var errs []error
	var rows strings.Builder
	for _, r := range reports {
		fmt.Fprintf(&rows, "%s\t%d of %d\t%.1f%%\tfloor %.0f%%\n", r.room.name, r.total.covered, r.total.counted, r.total.percent(), r.room.floor)
		if r.total.counted == 0 {
			errs = append(errs, fmt.Errorf("%s: no statements found", r.room.name))
		}
		if p := r.total.percent(); p < r.room.floor {
			errs = append(errs, fmt.Errorf("%s: %.1f%% of the statements, want %.0f%%", r.room.name, p, r.room.floor))
		}
		for _, t := range r.packages {
			name := t.path[strings.Index(t.path, r.room.name):]
			fmt.Fprintf(&rows, "  %s\t%d of %d\t%.1f%%\t\n", name, t.covered, t.counted, t.percent())
			if p := t.percent(); p < r.room.each {
				errs = append(errs, fmt.Errorf("%s: %.1f%% of the statements, want %.0f%%", name, p, r.room.each))
			}
		}
	}
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if _, err := io.WriteString(tab, rows.String()); err != nil {
		return err
	}
	return errors.Join(append(errs, tab.Flush())...)
}
