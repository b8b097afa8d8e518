package canon

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// show writes a tree so that a test can compare it.
func show(n *Node) string {
	switch n.Kind {
	case Map:
		parts := make([]string, len(n.Map))
		for i, p := range n.Map {
			parts[i] = show(p.Key) + "=" + show(p.Value)
		}
		return "{" + strings.Join(parts, " ") + "}"
	case Seq:
		parts := make([]string, len(n.Seq))
		for i, s := range n.Seq {
			parts[i] = show(s)
		}
		return "[" + strings.Join(parts, " ") + "]"
	default:
		quote := "'"
		if n.Plain {
			quote = ""
		}
		return fmt.Sprintf("%s%s%s@%d:%d", quote, n.Value, quote, n.Line, n.Col)
	}
}

func TestParseYAML(t *testing.T) {
	cases := map[string]struct{ in, want string }{
		"scalars are text": {"a: 010\nb: 2026-01-01\nc: 603e72\nd: yes", "{a@1:1=010@1:4 b@2:1=2026-01-01@2:4 c@3:1=603e72@3:4 d@4:1=yes@4:4}"},
		"quotes":           {"a: \"1\"\nb: 'x'", "{a@1:1='1'@1:4 b@2:1='x'@2:4}"},
		"lists":            {"- a\n- [b, {c: d}]", "[a@1:3 [b@2:4 {c@2:8=d@2:11}]]"},
		"comments":         {"# first\na: b # last", "{a@2:1=b@2:4}"},
		"folded":           {"a: >-\n  one\n  two", "{a@1:1='one two'@1:4}"},
		"JSON":             {"{\n\t\"a\": [1, \"b\", true, false, null],\n\t\"c\": {}\n}", "{'a'@2:2=[1@2:8 'b'@2:11 true@2:16 false@2:22 null@2:29] 'c'@3:2={}}"},
		"JSON escapes":     {`{"\u0061":"\ud83d\ude00\/"}`, "{'a'@1:2='😀/'@1:11}"},
		"JSON scalar":      {`12`, "12@1:1"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			n, err := ParseYAML([]byte(c.in), "f", 1000)
			if err != nil {
				t.Fatal(err)
			}
			if got := show(n); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestParseYAMLRefuses(t *testing.T) {
	cases := map[string]struct{ in, want string }{
		"empty":              {"", "f:1:1: an empty document"},
		"comment only":       {"# a", "f:1:1: an empty document"},
		"anchor":             {"a: &x 1", "f:1:4: anchors are not allowed"},
		"alias":              {"a: &x 1\nb: *x", "anchors are not allowed"},
		"anchored key":       {"&x a: 1", "anchors are not allowed"},
		"merge key":          {"a:\n  <<: {b: 1}", "f:2:3: merge keys are not allowed"},
		"tag":                {"a: !!int 1", "f:1:4: tags are not allowed"},
		"own tag":            {"a: !mine 1", "f:1:4: tags are not allowed"},
		"bare tag":           {"a: ! 1", "f:1:4: tags are not allowed"},
		"bare tag after é":   {"é: ! 1", "f:1:4: tags are not allowed"},
		"tagged map":         {"!!map {a: 1}", "tags are not allowed"},
		"second document":    {"a: 1\n---\nb: 1", "f:2:1: a second document"},
		"bad second":         {"a: 1\n---\nb: [", "f:3:"},
		"duplicate key":      {"a: 1\na: 2", `f:2:1: duplicate key "a"`},
		"key is a list":      {"[a]: 1", "f:1:1: a key must be a plain word, not a list"},
		"key is a map":       {"{a: 1}: 1", "a key must be a plain word, not a mapping"},
		"syntax":             {"a: [1", "f:"},
		"control character":  {"a: \"x\\ny\"", "f:1:4: code point U+000A is not allowed in a string"},
		"newline at the end": {"a: |\n  x\n", "f:1:4: code point U+000A"},
		"override":           {"a: x\u202ey", "U+202E"},
		"not UTF-8":          {"a: \xff", "f: not UTF-8"},
		"too large":          {strings.Repeat("a", 1001), "f: more than 1000 bytes"},
		"too deep":           {strings.Repeat("[", 40) + strings.Repeat("]", 40) + " # no JSON", "nested deeper than 32"},
		"too deep JSON":      {strings.Repeat("[", 40) + strings.Repeat("]", 40), "f:1:33: nested deeper than 32"},
		"JSON duplicate key": {"{\"a\": 1,\n \"a\": 2}", `f:2:2: duplicate key "a"`},
		"JSON control":       {`{"a": "x\ty"}`, "f:1:7: code point U+0009"},
		"JSON bad key":       {`{"a\n": 1}`, "f:1:2: code point U+000A"},
		"JSON bad in a list": {`["a\n"]`, "f:1:2: code point U+000A"},
		"bad in a list":      {"- \"a\\n\"", "f:1:3: code point U+000A"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := ParseYAML([]byte(c.in), "f", 1000)
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want ErrInvalid with %q", err, c.want)
			}
			if _, ok := errors.AsType[*PositionError](err); !ok {
				t.Errorf("got %T, want a PositionError", err)
			}
		})
	}
}

func TestParseYAMLEntries(t *testing.T) {
	list := strings.Repeat("a,", MaxEntries) + "a"
	for _, text := range []string{"[" + list + "]", "[" + strings.ReplaceAll(list, "a", "1") + "]"} {
		if _, err := ParseYAML([]byte(text), "f", 1<<16); !errors.Is(err, ErrInvalid) {
			t.Errorf("%.5s: got %v, want ErrInvalid", text, err)
		}
	}
}

func TestNode(t *testing.T) {
	n, err := ParseYAML([]byte("a: 1"), "f", 1000)
	if err != nil {
		t.Fatal(err)
	}
	if n.Get("a").Value != "1" || n.Get("b") != nil {
		t.Error("Get does not find members")
	}
	if got := n.Get("a").Errorf("wants %d", 2).Error(); got != "f:1:4: wants 2" {
		t.Errorf("got %q", got)
	}
	for kind, want := range map[NodeKind]string{Scalar: "a single value", Map: "a mapping", Seq: "a list"} {
		if kind.String() != want {
			t.Errorf("got %q, want %q", kind, want)
		}
	}
}

func FuzzParseYAML(f *testing.F) {
	for _, s := range []string{"a: 1\nb: [x, 'y']", `{"a": [1, "b"]}`, "a: &x 1\nb: *x", "? a\n: b", "a: |\n  x", "---\n...", "{a: 1, <<: b}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := ParseYAML(data, "f", 1<<12)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("%q: got %v, want ErrInvalid", data, err)
			}
			return
		}
		if n.Line < 1 || n.Col < 1 {
			t.Fatalf("%q: got position %d:%d", data, n.Line, n.Col)
		}
	})
}
