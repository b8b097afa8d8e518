// Command markdown is an agent that turns a Markdown document into a web page
// of its own: GitHub-flavoured Markdown, heading anchors, a table of contents
// and a small style sheet. Raw HTML of the document is left out.
package main

import (
	"bytes"
	"fmt"
	"html"
	"unicode/utf8"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"

	"github.com/zerostate/zerostate/examples/internal/guest"
)

const maxDocBytes = 4 << 20

func main() { guest.Main(run) }

func run(f guest.Files) (string, error) {
	doc, err := f.Read("doc", maxDocBytes)
	if err != nil {
		return "", err
	}
	p, err := render(doc)
	if err != nil {
		return "", guest.BadInput("doc", err)
	}
	summary := fmt.Sprintf("%q: %d headings, %d bytes of Markdown became %d bytes of HTML", p.title, p.headings, len(doc), len(p.html))
	return summary, f.Write("page.html", p.html)
}

// page is a finished web page.
type page struct {
	title    string
	headings int
	html     []byte
}

// heading is one line of the table of contents.
type heading struct {
	Level    int
	ID, Text string
}

// render makes a whole HTML document of a Markdown one.
func render(doc []byte) (page, error) {
	if !utf8.Valid(doc) {
		return page{}, fmt.Errorf("is not UTF-8 text")
	}
	md := goldmark.New(
		goldmark.WithExtensions(extension.GFM, extension.Footnote),
		goldmark.WithParserOptions(parser.WithAutoHeadingID()),
	)
	root := md.Parser().Parse(text.NewReader(doc))
	headings, err := outline(root, doc)
	if err != nil {
		return page{}, err
	}
	var body bytes.Buffer
	if err := md.Renderer().Render(&body, doc, root); err != nil {
		return page{}, fmt.Errorf("render: %w", err)
	}
	title := "Document"
	if len(headings) > 0 {
		title = headings[0].Text
	}
	return page{title, len(headings), layout(title, headings, body.Bytes())}, nil
}

// outline lists the headings of the document in order.
func outline(root ast.Node, doc []byte) ([]heading, error) {
	var all []heading
	err := ast.Walk(root, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		h, ok := n.(*ast.Heading)
		if !ok || !entering {
			return ast.WalkContinue, nil
		}
		id, _ := h.AttributeString("id")
		name, _ := id.([]byte)
		all = append(all, heading{h.Level, string(name), plainText(h, doc)})
		return ast.WalkSkipChildren, nil
	})
	return all, err
}

// plainText is the text of a node without its marks.
func plainText(n ast.Node, doc []byte) string {
	var b bytes.Buffer
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		switch t := c.(type) {
		case *ast.Text:
			b.Write(t.Segment.Value(doc))
			if t.SoftLineBreak() {
				b.WriteByte(' ')
			}
		case *ast.String:
			b.Write(t.Value)
		default:
			b.WriteString(plainText(c, doc))
		}
	}
	return b.String()
}

// layout puts the rendered body into a page of its own.
func layout(title string, headings []heading, body []byte) []byte {
	var b bytes.Buffer
	b.WriteString(head)
	fmt.Fprintf(&b, "<title>%s</title>\n<style>\n%s</style>\n</head>\n<body>\n", html.EscapeString(title), style)
	if len(headings) > 2 {
		b.WriteString("<nav><ul>\n")
		for _, h := range headings {
			fmt.Fprintf(&b, "<li class=\"l%d\"><a href=\"#%s\">%s</a></li>\n", h.Level, html.EscapeString(h.ID), html.EscapeString(h.Text))
		}
		b.WriteString("</ul></nav>\n")
	}
	b.Write(body)
	b.WriteString("</body>\n</html>\n")
	return b.Bytes()
}

const head = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
`

const style = `body { font: 16px/1.6 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem; color: #1f2328 }
pre { background: #f6f8fa; padding: 1rem; overflow: auto } code { font-family: ui-monospace, monospace; font-size: 90% }
table { border-collapse: collapse } th, td { border: 1px solid #d0d7de; padding: .3rem .7rem }
blockquote { border-left: 4px solid #d0d7de; margin-left: 0; padding-left: 1rem } img { max-width: 100% }
nav { background: #f6f8fa; padding: .5rem 1rem } nav ul { list-style: none; padding-left: 0 } .l3, .l4, .l5, .l6 { padding-left: 1.5rem }
`
