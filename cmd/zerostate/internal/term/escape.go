// Package term prints for people: what is not ours is escaped, so that no name,
// error or guest output can move the cursor, change colours or reorder a line.
// Start at Escape, then Table.
package term

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Escape makes s safe on one line of a terminal: control characters, line and
// paragraph separators, characters that reorder or hide text, and bytes that are
// not UTF-8 are shown as \n, \t, \xNN or \uNNNN.
func Escape(s string) string { return escape(s, "") }

// EscapeLines is Escape, but lets newlines and tabs through.
func EscapeLines(s string) string { return escape(s, "\n\t") }

func escape(s, keep string) string {
	if isPlain(s) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && isBroken(s[i:]):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case !isHostile(r) || strings.ContainsRune(keep, r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// isBroken says whether s starts with a byte that is not UTF-8; U+FFFD itself is.
func isBroken(s string) bool {
	_, n := utf8.DecodeRuneInString(s)
	return n == 1
}

// isPlain says whether s is printable ASCII throughout.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// isHostile says whether r does something to a terminal or to a reader beside
// showing a character: controls (C0, C1, DEL), separators, and format characters
// (bidirectional controls, zero-width ones, tags).
func isHostile(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs)
}
