package ngram

import (
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// words splits text into its words, in NFC, case folded: runs of letters,
// marks and digits, apostrophes dropped. A change from lower to upper case
// begins a new word, so that "readFile" is two.
func words(text string) []string {
	var out []string
	var word strings.Builder
	flush := func() {
		if word.Len() > 0 {
			out = append(out, cases.Fold().String(word.String()))
			word.Reset()
		}
	}
	previous := ' '
	for _, r := range norm.NFC.String(text) {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r):
			if unicode.IsUpper(r) && unicode.IsLower(previous) {
				flush()
			}
			word.WriteRune(r)
		case r == '\'' || r == '’':
		default:
			flush()
		}
		previous = r
	}
	flush()
	return out
}

// suffixes are taken off the end of a word in this order, once each, where at
// least three letters of other text remain.
var suffixes = [...]struct{ suffix, instead string }{
	{"ies", "y"},
	{"sses", "ss"},
	{"xes", "x"},
	{"ches", "ch"},
	{"shes", "sh"},
	{"s", ""},
	{"izing", "ize"},
	{"ization", "ize"},
	{"ising", "ize"},
	{"isation", "ize"},
	{"ise", "ize"},
	{"ation", "ate"},
	{"ating", "ate"},
	{"ing", ""},
	{"ed", ""},
	{"er", ""},
	{"or", ""},
	{"ion", ""},
	{"ly", ""},
}

// stem brings the forms of an English word together. It is light: it may leave
// two forms apart, and what it leaves need not be a word.
func stem(word string) string {
	if len(word) < 4 || strings.HasSuffix(word, "ss") || strings.HasSuffix(word, "us") {
		return word
	}
	for _, s := range suffixes {
		if base, ok := strings.CutSuffix(word, s.suffix); ok && len(base)+len(s.instead) >= 3 && len(base) >= 2 {
			word = base + s.instead
			if s.suffix != "s" && s.suffix != "ies" {
				break
			}
		}
	}
	if n := len(word); n > 3 && word[n-1] == word[n-2] && !strings.ContainsRune("lsz", rune(word[n-1])) {
		word = word[:n-1] // "planned" -> "plan"
	}
	if len(word) > 3 {
		word = strings.TrimSuffix(word, "e")
	}
	return word
}

// grams calls use with every character n-gram of word with its ends marked.
func grams(word string, shortest, longest int, use func(string)) {
	runes := []rune("<" + word + ">")
	for n := shortest; n <= longest; n++ {
		for i := 0; i+n <= len(runes); i++ {
			use(string(runes[i : i+n]))
		}
	}
}
