package main

import (
	"encoding/json"
	"os"
	"testing"
)

func TestConvert(t *testing.T) {
	for _, c := range []struct{ doc, format, want string }{
		{"a = 1\n[b]\nc = [\"x\", \"y\"]\n[[d]]\ne = 1979-05-27\n", "TOML", `{"a":1,"b":{"c":["x","y"]},"d":[{"e":"1979-05-27"}]}`},
		{"a = 2026-01-02T03:04:05Z\nb = 03:04:05.5\nc = 2026-01-02 03:04:05\n", "TOML", `{"a":"2026-01-02T03:04:05Z","b":"03:04:05.5","c":"2026-01-02T03:04:05"}`},
		{"a: 1\nb: {c: [x, 1.5, null, true]}\n", "YAML", `{"a":1,"b":{"c":["x",1.5,null,true]}}`},
		{"1: a\ntrue: b\n", "YAML", `{"1":"a","true":"b"}`},
		{"a: 1\n---\na: 2\n", "YAML", `[{"a":1},{"a":2}]`},
		{"base: &b {x: 1}\nmore: {<<: *b, y: <2>}\n", "YAML", `{"base":{"x":1},"more":{"x":1,"y":"<2>"}}`},
		{`{"json": "is YAML"}`, "YAML", `{"json":"is YAML"}`},
	} {
		format, out, err := convert([]byte(c.doc))
		if err != nil || format != c.format {
			t.Errorf("%q: got %s, %v, want %s", c.doc, format, err, c.format)
			continue
		}
		var v any
		if err := json.Unmarshal(out, &v); err != nil {
			t.Fatal(err)
		}
		var want any
		if err := json.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if wanted, err := json.Marshal(want); err != nil || string(got) != string(wanted) {
			t.Errorf("%q: got %s, want %s (%v)", c.doc, got, wanted, err)
		}
	}
}

func TestConvertBad(t *testing.T) {
	for _, bad := range []string{"just words", "a: [", "a: .inf", "a = 1\na = 2\n", "1: a\n\"1\": b\n"} {
		if format, out, err := convert([]byte(bad)); err == nil {
			t.Errorf("%q: got %s %s, want an error", bad, format, out)
		}
	}
}

func TestConvertTask(t *testing.T) {
	doc, err := os.ReadFile("task.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, out, err := convert(doc)
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Metadata struct{ Name string } }
	if err := json.Unmarshal(out, &got); err != nil || got.Metadata.Name != "tojson" {
		t.Errorf("got %+v, %v, want the name of the task", got, err)
	}
}
