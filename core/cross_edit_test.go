package core

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// editMember are changes that a lenient JSON reader would not notice, or take
// for the same: of the member key of an object, after which the whole is spelled
// canonically again.
var editMember = map[string]func(object map[string]any, key string){
	"removed":    func(o map[string]any, key string) { delete(o, key) },
	"null":       func(o map[string]any, key string) { o[key] = nil },
	"empty text": func(o map[string]any, key string) { o[key] = "" },
	"empty list": func(o map[string]any, key string) { o[key] = []any{} },
	"upper case": func(o map[string]any, key string) { o[strings.ToUpper(key)] = o[key]; delete(o, key) },
	"and its upper case": func(o map[string]any, key string) {
		if upper := strings.ToUpper(key); upper != key {
			o[upper] = o[key]
			return
		}
		delete(o, key)
	},
	"twice over":  func(o map[string]any, key string) { o[key] = []any{o[key], o[key]} },
	"and another": func(o map[string]any, key string) { o[key+"2"] = o[key] },
}

// tree reads JSON as it is, numbers too.
func tree(t *testing.T, data []byte) map[string]any {
	t.Helper()
	var root map[string]any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&root); err != nil {
		t.Fatal(err)
	}
	return root
}

// objects are the members of root that are objects, and root itself, by path.
func objects(root map[string]any) map[string]func(map[string]any) map[string]any {
	all := map[string]func(map[string]any) map[string]any{
		"": func(r map[string]any) map[string]any { return r },
	}
	for key, value := range root {
		if _, ok := value.(map[string]any); ok {
			all[key] = func(r map[string]any) map[string]any { return r[key].(map[string]any) }
		}
	}
	return all
}

// TestGoldenEdited makes every edit to every member of every signed document, and
// of a receipt's payload: none verifies, and every error is one of ours.
func TestGoldenEdited(t *testing.T) {
	for name, data := range signedGolden(t) {
		verify := allReaders()[readerOf[name]].verify
		editAll(t, name, data, verify)
		if readerOf[name] != "receipt" {
			continue
		}
		payload := allGolden(t)["receipt-payload.json"]
		editAll(t, name+" payload", payload, func(changed []byte, network string) error {
			old, edited := []byte(canon.B64(payload)), []byte(canon.B64(changed))
			return verify(bytes.Replace(data, old, edited, 1), network)
		})
	}
}

func editAll(t *testing.T, name string, data []byte, verify func([]byte, string) error) {
	t.Helper()
	if err := verify(data, testNetwork); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for path, at := range objects(tree(t, data)) {
		for key := range at(tree(t, data)) {
			for edit, change := range editMember {
				root := tree(t, data)
				change(at(root), key)
				changed, err := canon.Encode(root)
				if err != nil {
					t.Fatal(err)
				}
				if bytes.Equal(changed, data) {
					continue // it was like that before
				}
				err = verify(changed, testNetwork)
				if err == nil {
					t.Errorf("%s: %s.%s %s: accepted", name, path, key, edit)
				} else if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrDenied) && !errors.Is(err, ErrUnsupported) {
					t.Errorf("%s: %s.%s %s: got %v, want one of our errors", name, path, key, edit, err)
				}
			}
		}
	}
}

// TestGoldenRespelled writes every document, signed or not, in other ways that
// mean the same to a lenient reader.
func TestGoldenRespelled(t *testing.T) {
	for name, data := range allGolden(t) {
		if readerOf[name] == "" {
			continue
		}
		read := allReaders()[readerOf[name]].read
		var indented bytes.Buffer
		if err := json.Indent(&indented, data, "", " "); err != nil {
			t.Fatal(err)
		}
		first := data[:bytes.IndexByte(data, ',')+1]
		spellings := map[string][]byte{
			"indented":       indented.Bytes(),
			"byte order":     append([]byte("\ufeff"), data...),
			"newline":        append(bytes.Clone(data), '\n'),
			"two of them":    append(bytes.Clone(data), data...),
			"space before":   append([]byte(" "), data...),
			"a space":        bytes.Replace(data, []byte(`":`), []byte(`": `), 1),
			"an escape":      fmt.Appendf(nil, `{"\u%04x%s`, data[2], data[3:]),
			"member twice":   append(bytes.Clone(first), data[1:]...),
			"in a list":      append(append([]byte("["), data...), ']'),
			"cut":            data[:len(data)-1],
			"nothing":        nil,
			"null":           []byte("null"),
			"an empty one":   []byte("{}"),
			"deeply nothing": []byte(strings.Repeat("[", 1<<14)),
		}
		for how, changed := range spellings {
			if err := read(changed); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s, %s: got %v, want ErrInvalid", name, how, err)
			}
		}
	}
}
