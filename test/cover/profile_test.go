package main

import (
	"bytes"
	"strings"
	"testing"
)

const sample = `mode: set
example.org/m/core/a.go:3.10,5.2 4 0
example.org/m/core/a.go:6.10,9.2 5 1
example.org/m/core/a.go:3.10,5.2 4 1
example.org/m/core/x.pb.go:1.1,2.2 100 0
example.org/m/core/b/b.go:1.1,2.2 1 0
example.org/m/core/cmd/main.go:1.1,2.2 50 0
`

func TestReport(t *testing.T) {
	p, err := parse([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	r := room{name: "core", floor: 90, each: 80}.report(p, map[string]string{"example.org/m/core/cmd": "main"})
	if got, want := r.total, (tally{"core", 9, 10}); got != want {
		t.Errorf("got total %v, want %v: counts add up, generated code and package main do not count", got, want)
	}
	var out bytes.Buffer
	err = print(&out, []report{r})
	if err == nil || !strings.Contains(err.Error(), "core/b: 0.0%") || strings.Contains(err.Error(), "core: ") {
		t.Errorf("got %v, want the package under its floor and nothing else", err)
	}
	if want := "core/b  0 of 1   0.0%"; !strings.Contains(out.String(), want) {
		t.Errorf("got\n%swant a line with %q", out.String(), want)
	}
	r.room.floor = 90.1
	if err := print(&out, []report{r}); err == nil || !strings.Contains(err.Error(), "core: 90.0%") {
		t.Errorf("got %v, want the room under its floor", err)
	}
	if err := print(&out, []report{{room: room{name: "empty"}}}); err == nil {
		t.Error("a room without statements passes")
	}
}

func TestProfileRoundTrip(t *testing.T) {
	p, err := parse([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	again, err := parse(p.bytes())
	if err != nil {
		t.Fatal(err)
	}
	if len(again) != len(p) || len(p) != 5 {
		t.Fatalf("got %d blocks, then %d, want 5", len(p), len(again))
	}
	for b, count := range p {
		if again[b] != count {
			t.Errorf("%v: got count %d, want %d", b, again[b], count)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, line := range []string{"no colon", "a.go:1.1,2.2 1", "a.go:1.1,2.2 x 1", "a.go:1.1,2.2 1 x"} {
		if _, err := parse([]byte(line)); err == nil {
			t.Errorf("%q is taken for a profile", line)
		}
	}
}
