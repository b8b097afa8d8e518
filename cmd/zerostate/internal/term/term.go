package term

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// IsTerminal says whether w is a terminal that shows colours and moves its
// cursor: a TTY, TERM is not dumb, and NO_COLOR is not set.
func IsTerminal(w io.Writer, getenv func(string) string) bool {
	return IsTTY(w) && getenv("TERM") != "dumb" && getenv("NO_COLOR") == ""
}

// IsTTY says whether w is a TTY.
func IsTTY(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) //nolint:gosec // a file descriptor fits an int
}

// Style writes SGR sequences where it is on.
type Style bool

// Bold makes s bold.
func (c Style) Bold(s string) string { return c.sgr("1", s) }

// Dim makes s faint.
func (c Style) Dim(s string) string { return c.sgr("2", s) }

// Good makes s green.
func (c Style) Good(s string) string { return c.sgr("32", s) }

// Bad makes s red.
func (c Style) Bad(s string) string { return c.sgr("31", s) }

func (c Style) sgr(code, s string) string {
	if !c {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// Table is rows of cells in aligned columns. Cells are escaped when they are
// added.
type Table struct{ rows [][]string }

// Row adds a row; each cell is written with fmt.Sprint and escaped.
func (t *Table) Row(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = Escape(fmt.Sprint(c))
	}
	t.rows = append(t.rows, row)
}

// Write writes the table; the last column is not padded.
func (t *Table) Write(w io.Writer) error {
	var widths []int
	for _, row := range t.rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	for _, row := range t.rows {
		var b strings.Builder
		for i, c := range row {
			b.WriteString(c)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c)+2))
			}
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(b.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

// Micros writes micro-units of a currency: 1234567 is "1.234567".
func Micros(n int64) string {
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	return fmt.Sprintf("%s%d.%06d", sign, n/1_000_000, n%1_000_000)
}

// Size writes a number of bytes with a binary unit.
func Size(n int64) string {
	const step = 1024
	if n < step {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n), 0
	for value >= step && unit < len("KMGT") {
		value /= step
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGT"[unit-1])
}

// Millis writes a duration in milliseconds.
func Millis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}
