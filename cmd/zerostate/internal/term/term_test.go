package term_test

import (
	"strings"
	"testing"

	"github.com/zerostate/zerostate/cmd/zerostate/internal/term"
)

func TestEscape(t *testing.T) {
	for name, tc := range map[string]struct{ in, want string }{
		"plain":          {"README.md", "README.md"},
		"umlaut":         {"Zürich 東京", "Zürich 東京"},
		"colour":         {"\x1b[31mred", `\x1b[31mred`},
		"newline":        {"a\nb\tc\r", `a\nb\tc\x0d`},
		"delete":         {"a\x7fb", `a\x7fb`},
		"c1":             {"a\u009b31m", `a\x9b31m`},
		"bidi override":  {"file\u202egnp.exe", `file\u202egnp.exe`},
		"bidi isolate":   {"a\u2066b\u2069", `a\u2066b\u2069`},
		"zero width":     {"ad\u200bmin", `ad\u200bmin`},
		"line separator": {"a\u2028b", `a\u2028b`},
		"tag":            {"a\U000e0041", `a\U000e0041`},
		"not utf-8":      {"a\xffb", `a\xffb`},
		"replacement":    {"a\ufffdb", "a\ufffdb"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := term.Escape(tc.in); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	if got, want := term.EscapeLines("a\nb\tc\x1b"), "a\nb\tc\\x1b"; got != want {
		t.Errorf("lines: got %q, want %q", got, want)
	}
}

func TestTableEscapesAndAligns(t *testing.T) {
	var table term.Table
	table.Row("NAME", "NOTE")
	table.Row("a\x1b", 12)
	table.Row("longer name", "")
	var b strings.Builder
	if err := table.Write(&b); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), "NAME         NOTE\na\\x1b        12\nlonger name\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMicrosAndSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0.000000", 1: "0.000001", 12_345_678: "12.345678", -5: "-0.000005"} {
		if got := term.Micros(n); got != want {
			t.Errorf("Micros(%d): got %s, want %s", n, got, want)
		}
	}
	for n, want := range map[int64]string{12: "12 B", 1536: "1.5 KiB", 3 << 20: "3.0 MiB", 5 << 40: "5.0 TiB", 5 << 50: "5120.0 TiB"} {
		if got := term.Size(n); got != want {
			t.Errorf("Size(%d): got %s, want %s", n, got, want)
		}
	}
}

func TestStyleIsPlainWhenOff(t *testing.T) {
	if got := term.Style(false).Good("ok"); got != "ok" {
		t.Errorf("got %q", got)
	}
	if got := term.Style(true).Good("ok"); got == "ok" {
		t.Errorf("got %q, want a sequence", got)
	}
}
