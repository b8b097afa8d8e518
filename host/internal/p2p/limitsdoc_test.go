package p2p

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// docRow is a protocol's row in docs/limits.md.
func docRow(name string, l Limits) string {
	frames := "-"
	if l.FrameRate > 0 {
		frames = fmt.Sprintf("%.0f", l.FrameRate)
	}
	return fmt.Sprintf("| `%s` | %d | %s | %s | %s | %d MiB | %.0f | %s |",
		name, l.Streams, plain(l.FirstFrame), plain(l.Idle), plain(l.Total), l.BytesInFlight>>20, l.StreamRate, frames)
}

// plain is a duration without its zero parts: 2m, not 2m0s.
func plain(d time.Duration) string {
	s := strings.TrimSuffix(d.String(), "0s")
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	if s == "" || s[len(s)-1] >= '0' && s[len(s)-1] <= '9' {
		return d.String()
	}
	return s
}

// The page that operators read says what a node does, row by row.
func TestLimitsPage(t *testing.T) {
	page, err := os.ReadFile("../../../docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(page), "\n")
	table := LimitsTable()
	for _, name := range slices.Sorted(maps.Keys(table)) {
		t.Run(name, func(t *testing.T) {
			if row := docRow(name, table[name]); !slices.Contains(lines, row) {
				t.Errorf("docs/limits.md has no row\n%s", row)
			}
		})
	}
	rows := 0
	for _, line := range lines {
		if strings.HasPrefix(line, "| `") && strings.Contains(line, "/1`") {
			rows++
		}
	}
	if rows != len(table) {
		t.Errorf("docs/limits.md has %d protocols, the table %d", rows, len(table))
	}
}
