package canon

import (
	"fmt"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// CheckString refuses a string that no signed document may hold: invalid
// UTF-8, not NFC, or with a code point that is invisible, reorders text, or
// controls a terminal.
func CheckString(s string) error {
	ascii := true
	for i := 0; i < len(s); {
		r, size := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			ascii = false
			r, size = utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				return fmt.Errorf("%w: not UTF-8 at byte %d of a string", ErrInvalid, i)
			}
		}
		if forbidden(r) {
			return fmt.Errorf("%w: code point %U is not allowed in a string", ErrInvalid, r)
		}
		i += size
	}
	if !ascii && !norm.NFC.IsNormalString(s) {
		return fmt.Errorf("%w: a string is not in normal form NFC", ErrInvalid)
	}
	return nil
}

// forbidden is the list of PROTOCOL.md: Cc, soft hyphen, Arabic letter mark,
// zero-width and direction marks, separators and overrides, the byte order
// mark, and the replacement character.
func forbidden(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r <= 0x9f:
		return true
	case r == 0xad, r == 0x61c, r == 0xfeff, r == 0xfffd:
		return true
	case r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x2069:
		return true
	default:
		return false
	}
}
