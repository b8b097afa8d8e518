package canon

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestScanAccepts(t *testing.T) {
	deep := strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth)
	wide := "[" + strings.Repeat("0,", MaxEntries-1) + "0]"
	for _, text := range []string{
		`{}`, `[]`, `null`, `true`, `false`, `"a"`, `0`, `-1`, ` { "a" : [ 1 , {} , [] ] } `,
		`9007199254740991`, `-9007199254740991`, `"\ud83d\ude00 \u00e9 \/ \" \\"`, `"é"`,
		`{"a":{"b":1},"b":{"b":1}}`, deep, wide,
	} {
		if err := Scan([]byte(text), Limit(1<<16)); err != nil {
			t.Errorf("%.60s: got %v, want no error", text, err)
		}
	}
}

func TestScanRefuses(t *testing.T) {
	cases := map[string]string{
		"empty":                    "",
		"space only":               " ",
		"two documents":            `{}{}`,
		"trailing word":            `{} x`,
		"no value":                 `{"a":}`,
		"no colon":                 `{"a" 1}`,
		"no key":                   `{1:1}`,
		"comma at the end":         `[1,]`,
		"comma at the end of map":  `{"a":1,}`,
		"comma first":              `[,1]`,
		"wrong bracket":            `[1}`,
		"wrong brace":              `{"a":1]`,
		"open array":               `[1`,
		"open object":              `{"a":1`,
		"open string":              `"a`,
		"open escape":              `"\`,
		"open escaped string":      `"\n`,
		"open unicode escape":      `"\u00`,
		"bad unicode escape":       `"\u00zz"`,
		"signed unicode escape":    `"\u+041"`,
		"unknown escape":           `"\x"`,
		"word":                     `nul`,
		"fraction":                 `1.0`,
		"exponent":                 `1e3`,
		"capital exponent":         `1E3`,
		"leading zero":             `01`,
		"minus alone":              `-`,
		"plus":                     `+1`,
		"2^53":                     `9007199254740992`,
		"-2^53":                    `-9007199254740992`,
		"longer than an int64":     `99999999999999999999999999`,
		"duplicate key":            `{"a":1,"a":2}`,
		"duplicate key by escape":  `{"a":1,"\u0061":2}`,
		"too deep":                 strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1),
		"bomb of brackets":         strings.Repeat("[", 60000),
		"bomb of objects":          strings.Repeat(`{"a":`, 10000),
		"too many entries":         "[" + strings.Repeat("0,", MaxEntries) + "0]",
		"too large":                `"` + strings.Repeat("a", 1<<16) + `"`,
		"invalid UTF-8":            "\"\xff\"",
		"invalid UTF-8 in a key":   "{\"\xff\":1}",
		"surrogate in UTF-8":       "\"\xed\xa0\x80\"",
		"lone high surrogate":      `"\ud83d"`,
		"lone low surrogate":       `"\ude00"`,
		"two high surrogates":      `"\ud83d\ud83d"`,
		"high, then a letter":      `"\ud83dxxxxxx"`,
		"high, then a bad escape":  `"\ud83d\uzzzz"`,
		"newline":                  "\"a\nb\"",
		"newline after an escape":  "\"\\\\a\nb\"",
		"escaped newline":          `"a\nb"`,
		"escaped tab":              `"a\tb"`,
		"escaped backspace":        `"\b"`,
		"escaped form feed":        `"\f"`,
		"escaped return":           `"\r"`,
		"escaped NUL":              `"\u0000"`,
		"delete":                   "\"\x7f\"",
		"C1":                       `"\u0085"`,
		"soft hyphen":              "\"\u00ad\"",
		"Arabic letter mark":       "\"\u061c\"",
		"zero width space":         "\"\u200b\"",
		"right-to-left mark":       "\"\u200f\"",
		"line separator":           "\"\u2028\"",
		"right-to-left override":   "\"\u202e\"",
		"word joiner":              "\"\u2060\"",
		"pop isolate":              "\"\u2069\"",
		"byte order mark":          "\"\ufeff\"",
		"replacement character":    "\"\ufffd\"",
		"not NFC":                  "\"e\u0301\"",
		"not NFC by escape":        `"e\u0301"`,
		"not NFC in a key":         "{\"e\u0301\":1}",
		"byte order mark at start": "\xef\xbb\xbf{}",
	}
	for name, text := range cases {
		t.Run(name, func(t *testing.T) {
			if err := Scan([]byte(text), Limit(1<<16)); !errors.Is(err, ErrInvalid) {
				t.Errorf("got %v, want ErrInvalid", err)
			}
		})
	}
}

// TestScanEdges checks that the code points beside the forbidden ones pass.
func TestScanEdges(t *testing.T) {
	for _, r := range "\u0020\u007e\u00a0\u00ac\u00ae\u061b\u061d\u200a\u2010\u2027\u202f\u205f\u206a\ufefe\ufffc\ufffe" {
		if err := CheckString(string(r)); err != nil {
			t.Errorf("%U: got %v, want no error", r, err)
		}
	}
}

func FuzzScan(f *testing.F) {
	for _, s := range []string{`{"a":[1,"b",null]}`, `"\ud83d\ude00"`, `[[[]]]`, `{"a":1,"a":2}`, "\"\xff\"", `-0`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if Scan(data, Limit(1<<12)) != nil {
			return
		}
		if !json.Valid(data) {
			t.Fatalf("%q: accepted, but it is not JSON", data)
		}
		once, err := Canonical(data, 1<<12)
		if err != nil {
			t.Fatalf("%q: accepted, but not canonicalised: %v", data, err)
		}
		twice, err := Canonical(once, 1<<16)
		if err != nil || string(once) != string(twice) {
			t.Fatalf("%q: canonical form %q becomes %q (%v)", data, once, twice, err)
		}
	})
}

func BenchmarkScan(b *testing.B) {
	text := []byte(`{"locks":[` + strings.Repeat(`{"agent":"did:key:z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2","maxMicros":20000},`, 999) + `{}]}`)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if err := Scan(text, Limit(1<<20)); err != nil {
			b.Fatal(err)
		}
	}
}
