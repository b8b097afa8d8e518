package main

import "testing"

func TestShrink(t *testing.T) {
	for _, c := range []struct{ doc, kind, want string }{
		{"{ \"a\" : [ 1, 2 ] }\n", "application/json", `{"a":[1,2]}`},
		{"/* c */\na:hover,\n.b { color: #ff0000; margin: 0px }\n", "text/css", "a:hover,.b{color:red;margin:0}"},
		{"@media print {\n  p { color: black }\n}\n", "text/css", "@media print{p{color:#000}}"},
		{"// c\nfunction add(first, second) {\n  return first + second;\n}\n", "text/javascript", "function add(e,t){return e+t}"},
		{"<!DOCTYPE html>\n<html>\n<body>\n<!-- c -->\n<p>one   two</p>\n<style>p { color : red }</style></body></html>", "text/html", "<!doctype html><p>one two</p><style>p{color:red}</style>"},
		{"<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\">\n  <path d=\"M 0 0 L 10 0\"/>\n</svg>", "image/svg+xml", `<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0H10"/></svg>`},
		{"<?xml version=\"1.0\"?>\n<a>\n  <b/>\n</a>", "text/xml", `<?xml version="1.0"?><a><b/></a>`},
	} {
		kind, got, err := shrink([]byte(c.doc))
		if err != nil || kind != c.kind || string(got) != c.want {
			t.Errorf("%q: got %s %q, %v, want %s %q", c.doc, kind, got, err, c.kind, c.want)
		}
	}
	if _, _, err := shrink([]byte{0xff}); err == nil {
		t.Error("got no error for what is no text")
	}
}
