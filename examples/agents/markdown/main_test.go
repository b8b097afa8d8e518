package main

import (
	"os"
	"strings"
	"testing"
)

func TestRender(t *testing.T) {
	doc := "# The *title* & more\n\n## One\n\n| a | b |\n|---|---|\n| 1 | ~~2~~ |\n\n## Two `x`\n\n- [x] done\n\n<script>alert(1)</script>\n\nhttps://example.org\n"
	p, err := render([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	if p.title != "The title & more" || p.headings != 3 {
		t.Errorf("got %q with %d headings, want the title and 3", p.title, p.headings)
	}
	page := string(p.html)
	for _, want := range []string{
		"<title>The title &amp; more</title>", `<h2 id="one">One</h2>`, `<a href="#two-x">Two x</a>`,
		"<td><del>2</del></td>", `type="checkbox"`, `<a href="https://example.org">`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s in\n%s", want, page)
		}
	}
	if strings.Contains(page, "<script>") {
		t.Error("raw HTML of the document is in the page")
	}
}

func TestRenderReadme(t *testing.T) {
	doc, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	p, err := render(doc)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Count(string(doc), "\n## ") + strings.Count(string(doc), "\n### "); p.headings < want {
		t.Errorf("got %d headings, want at least %d", p.headings, want)
	}
}

func TestRenderBinary(t *testing.T) {
	if _, err := render([]byte{0xff, 0xfe, 0}); err == nil {
		t.Error("got no error for what is no text")
	}
}
