package canon

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds are the limits of one document.
type Bounds struct {
	MaxBytes   int // size of the whole text
	MaxDepth   int // levels of objects and arrays
	MaxEntries int // entries of one array
}

// Limit returns the bounds of every document with the size of its type.
func Limit(maxBytes int) Bounds {
	return Bounds{MaxBytes: maxBytes, MaxDepth: MaxDepth, MaxEntries: MaxEntries}
}

// Scan checks JSON text before any other code reads it: size, grammar, depth,
// entries per array, duplicate keys, integers within +-(2^53-1) without
// fraction or exponent, and CheckString for every string and key. It is one
// pass without recursion, linear in the size of the text.
func Scan(data []byte, b Bounds) error {
	if len(data) > b.MaxBytes {
		return fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrInvalid, len(data), b.MaxBytes)
	}
	s := scanner{data: data, bounds: b}
	if err := s.run(); err != nil {
		return fmt.Errorf("%w at byte %d", err, s.pos)
	}
	return nil
}

// frame is an object or array that is open. keys is nil for an array.
type frame struct {
	keys    map[string]struct{}
	entries int
}

type scanner struct {
	data   []byte
	pos    int
	bounds Bounds
	open   []frame
}

func (s *scanner) run() error {
	for {
		s.space()
		opened, err := s.value()
		if err != nil {
			return err
		}
		if opened {
			continue
		}
		done, err := s.closeAll()
		if err != nil || done {
			return err
		}
	}
}

// value reads one scalar, or opens an object or array; opened says that a
// value must follow at once.
func (s *scanner) value() (opened bool, err error) {
	switch c := s.peek(); {
	case c == '{':
		return s.openObject()
	case c == '[':
		return s.openArray()
	case c == '"':
		_, err = s.str()
	case c == '-' || (c >= '0' && c <= '9'):
		err = s.number()
	default:
		err = s.literal()
	}
	return false, err
}

// closeAll reads what may follow a value: a comma and the next key, or the end
// of containers; done says that the text is over.
func (s *scanner) closeAll() (done bool, err error) {
	for {
		s.space()
		if len(s.open) == 0 {
			if s.pos != len(s.data) {
				return false, invalid("bytes after the document")
			}
			return true, nil
		}
		f := &s.open[len(s.open)-1]
		end := byte(']')
		if f.keys != nil {
			end = '}'
		}
		switch s.peek() {
		case end:
			s.pos++
			s.open = s.open[:len(s.open)-1]
		case ',':
			s.pos++
			s.space()
			if f.keys != nil {
				return false, s.key(f)
			}
			f.entries++
			if f.entries > s.bounds.MaxEntries {
				return false, invalid("more than %d entries in an array", s.bounds.MaxEntries)
			}
			return false, nil
		default:
			return false, invalid("want a comma or %q", string(end))
		}
	}
}

func (s *scanner) push(f frame) error {
	if len(s.open) >= s.bounds.MaxDepth {
		return invalid("nested deeper than %d", s.bounds.MaxDepth)
	}
	s.open = append(s.open, f)
	s.pos++
	s.space()
	return nil
}

func (s *scanner) openObject() (bool, error) {
	if err := s.push(frame{keys: map[string]struct{}{}}); err != nil {
		return false, err
	}
	if s.peek() == '}' {
		return false, nil
	}
	return true, s.key(&s.open[len(s.open)-1])
}

func (s *scanner) openArray() (bool, error) {
	if err := s.push(frame{entries: 1}); err != nil {
		return false, err
	}
	return s.peek() != ']', nil
}

// key reads `"name":` of an object's member.
func (s *scanner) key(f *frame) error {
	if s.peek() != '"' {
		return invalid("want a key")
	}
	k, err := s.str()
	if err != nil {
		return err
	}
	if _, dup := f.keys[k]; dup {
		return invalid("duplicate key %q", k)
	}
	f.keys[k] = struct{}{}
	s.space()
	if s.peek() != ':' {
		return invalid("want a colon")
	}
	s.pos++
	s.space()
	return nil
}

func (s *scanner) literal() error {
	for _, word := range []string{"true", "false", "null"} {
		if len(s.data)-s.pos >= len(word) && string(s.data[s.pos:s.pos+len(word)]) == word {
			s.pos += len(word)
			return nil
		}
	}
	return invalid("want a value")
}

func (s *scanner) number() error {
	start := s.pos
	if s.peek() == '-' {
		s.pos++
	}
	digits := s.pos
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.pos++
	}
	switch c := s.peek(); {
	case s.pos == digits:
		return invalid("want a digit")
	case s.data[digits] == '0' && s.pos-digits > 1:
		return invalid("a number with a leading zero")
	case c == '.' || c == 'e' || c == 'E':
		return invalid("a number with a fraction or exponent")
	case s.pos-digits > 16:
		return invalid("a number outside +-(2^53-1)")
	}
	n, err := strconv.ParseInt(string(s.data[start:s.pos]), 10, 64)
	if err != nil || n > MaxInteger || n < -MaxInteger {
		return invalid("a number outside +-(2^53-1)")
	}
	return nil
}

// str reads a string, checks it and returns what it means.
func (s *scanner) str() (string, error) {
	s.pos++
	start := s.pos
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; {
		case c == '"':
			text := string(s.data[start:s.pos])
			s.pos++
			return text, CheckString(text)
		case c == '\\':
			return s.escaped(append([]byte(nil), s.data[start:s.pos]...))
		case c < 0x20:
			return "", invalid("a control character in a string")
		}
		s.pos++
	}
	return "", invalid("unexpected end")
}

// escaped is str from the first backslash on; text is what came before it.
func (s *scanner) escaped(text []byte) (string, error) {
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			return string(text), CheckString(string(text))
		case c == '\\':
			r, err := s.escape()
			if err != nil {
				return "", err
			}
			text = utf8.AppendRune(text, r)
		case c < 0x20:
			return "", invalid("a control character in a string")
		default:
			text = append(text, c)
			s.pos++
		}
	}
	return "", invalid("unexpected end")
}

// escape reads one escape sequence; pos is at its backslash.
func (s *scanner) escape() (rune, error) {
	s.pos++
	c := s.peek()
	s.pos++
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		return s.unicodeEscape()
	default:
		return 0, invalid("an unknown escape")
	}
}

// unicodeEscape reads the four hex digits after \u, and the second half where
// they are the first half of a surrogate pair.
func (s *scanner) unicodeEscape() (rune, error) {
	hi, err := s.hex4()
	if err != nil || !utf16.IsSurrogate(hi) {
		return hi, err
	}
	if s.pos+1 >= len(s.data) || s.data[s.pos] != '\\' || s.data[s.pos+1] != 'u' {
		return 0, invalid("a lone surrogate")
	}
	s.pos += 2
	lo, err := s.hex4()
	if err != nil {
		return 0, err
	}
	r := utf16.DecodeRune(hi, lo)
	if r == utf8.RuneError {
		return 0, invalid("a lone surrogate")
	}
	return r, nil
}

func (s *scanner) hex4() (rune, error) {
	if s.pos+4 > len(s.data) {
		return 0, invalid("unexpected end")
	}
	var b [2]byte
	if _, err := hex.Decode(b[:], s.data[s.pos:s.pos+4]); err != nil {
		return 0, invalid("an escape without four hex digits")
	}
	s.pos += 4
	return rune(b[0])<<8 | rune(b[1]), nil
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// peek returns the byte at pos, or 0 at the end, which no grammar rule wants.
func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}
