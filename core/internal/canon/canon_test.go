package canon

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Samples of RFC 8785: the example of section 3.2.2 (with fractions, which our
// documents do not have), and the sorting of section 3.2.3.
func TestRFC8785(t *testing.T) {
	cases := map[string]struct{ in, want string }{
		"section 3.2.2": {
			"{\"numbers\": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001], \"string\": \"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\", \"literals\": [null, true, false]}",
			"{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}",
		},
		"section 3.2.3": {
			"{\"\\u20ac\": \"Euro Sign\", \"\\r\": \"Carriage Return\", \"\\ufb33\": \"Hebrew Letter Dalet With Dagesh\", \"1\": \"One\", \"\\ud83d\\ude00\": \"Emoji: Grinning Face\", \"\\u0080\": \"Control\", \"\\u00f6\": \"Latin Small Letter O With Diaeresis\"}",
			"{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u0080\":\"Control\",\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\"\U0001f600\":\"Emoji: Grinning Face\",\"\ufb33\":\"Hebrew Letter Dalet With Dagesh\"}",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := transform([]byte(c.in))
			if err != nil || string(got) != c.want {
				t.Errorf("got %s (%v), want %s", got, err, c.want)
			}
		})
	}
}

// TestRFC8785Files runs the published test files where they lie beside the
// repository.
func TestRFC8785Files(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "..", "shared", "vectors", "jcs")
	files, err := filepath.Glob(filepath.Join(dir, "input", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("the RFC 8785 test files are not beside the repository")
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			in, errIn := os.ReadFile(file)
			want, errOut := os.ReadFile(filepath.Join(dir, "output", name))
			got, err := transform(in)
			if err := errors.Join(errIn, errOut, err); err != nil {
				t.Fatal(err)
			}
			if want = bytes.TrimSuffix(want, []byte("\n")); !bytes.Equal(got, want) {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

type sample struct {
	Name  string          `json:"name"`
	Count int64           `json:"count,omitempty"`
	Raw   json.RawMessage `json:"raw,omitempty"`
	List  []string        `json:"list,omitempty"`
}

func TestDecode(t *testing.T) {
	var got sample
	if err := Decode([]byte(`{"count":3,"name":"<&é>","raw":{"a":[1,null],"b":"\"/"}}`), 100, &got); err != nil {
		t.Fatal(err)
	}
	if got.Name != "<&é>" || got.Count != 3 || string(got.Raw) != `{"a":[1,null],"b":"\"/"}` {
		t.Errorf("got %+v", got)
	}
	for name, text := range map[string]string{
		"order":            `{"name":"a","count":3}`,
		"space":            `{"name": "a"}`,
		"newline":          "{\"name\":\"a\"}\n",
		"unknown field":    `{"name":"a","other":1}`,
		"case of a key":    `{"Name":"a"}`,
		"null":             `{"count":null,"name":"a"}`,
		"zero":             `{"count":0,"name":"a"}`,
		"minus zero":       `{"count":-0,"name":"a"}`,
		"empty list":       `{"list":[],"name":"a"}`,
		"missing":          `{}`,
		"escape":           `{"name":"\u0061"}`,
		"wrong type":       `{"name":1}`,
		"raw with space":   `{"name":"a","raw":{"a": 1}}`,
		"raw out of order": `{"name":"a","raw":{"b":1,"a":1}}`,
		"raw fraction":     `{"name":"a","raw":1.5}`,
		"two documents":    `{"name":"a"}{"name":"a"}`,
		"not an object":    `"a"`,
		"too long":         `{"name":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}`,
	} {
		t.Run(name, func(t *testing.T) {
			if err := Decode([]byte(text), 100, new(sample)); !errors.Is(err, ErrInvalid) {
				t.Errorf("got %v, want ErrInvalid", err)
			}
		})
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, v := range map[string]any{
		"channel":       make(chan int),
		"fraction":      1.5,
		"large integer": int64(1 << 53),
		"invalid UTF-8": "\xff",
		"control":       "a\nb",
		"not NFC":       "e\u0301",
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := Encode(v); !errors.Is(err, ErrInvalid) {
				t.Errorf("got %s, %v, want ErrInvalid", got, err)
			}
		})
	}
}

func TestTransformRefuses(t *testing.T) {
	if _, err := transform([]byte(`{`)); !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

func TestEncodeScalars(t *testing.T) {
	for want, v := range map[string]any{"1": 1, "true": true, "null": nil, `"a"`: "a", "-9007199254740991": -MaxInteger} {
		if got, err := Encode(v); err != nil || string(got) != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
}
