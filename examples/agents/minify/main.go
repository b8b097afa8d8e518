// Command minify is an agent that makes HTML, CSS, JavaScript, JSON, SVG and XML
// smaller without changing what they mean. It tells the kind by the content.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/tdewolff/minify/v2"
	"github.com/tdewolff/minify/v2/css"
	"github.com/tdewolff/minify/v2/html"
	"github.com/tdewolff/minify/v2/js"
	jsonmin "github.com/tdewolff/minify/v2/json"
	"github.com/tdewolff/minify/v2/svg"
	"github.com/tdewolff/minify/v2/xml"

	"github.com/zerostate/zerostate/examples/internal/guest"
)

const maxDocBytes = 8 << 20

func main() { guest.Main(run) }

func run(f guest.Files) (string, error) {
	doc, err := f.Read("doc", maxDocBytes)
	if err != nil {
		return "", err
	}
	kind, small, err := shrink(doc)
	if err != nil {
		return "", guest.BadInput("doc", err)
	}
	saved := 100 * (1 - float64(len(small))/float64(len(doc)))
	summary := fmt.Sprintf("%s: %d bytes became %d, %.0f%% less", kind, len(doc), len(small), saved)
	return summary, f.Write("minified", small)
}

// shrink tells the media type of the document and makes it smaller.
func shrink(doc []byte) (kind string, small []byte, err error) {
	if !utf8.Valid(doc) {
		return "", nil, errors.New("is not UTF-8 text")
	}
	m := minify.New()
	m.AddFunc("text/html", html.Minify)
	m.AddFunc("text/css", css.Minify)
	m.AddFunc("text/javascript", js.Minify)
	m.AddFunc("application/javascript", js.Minify)
	m.AddFunc("application/json", jsonmin.Minify)
	m.AddFunc("image/svg+xml", svg.Minify)
	m.AddFunc("text/xml", xml.Minify)
	kind = kindOf(m, doc)
	small, err = m.Bytes(kind, doc)
	if err != nil {
		return kind, nil, fmt.Errorf("read as %s: %w", kind, err)
	}
	return kind, small, nil
}

// kindOf tells the media type. What is neither JSON nor mark-up is JavaScript
// where that parses, otherwise CSS: no rule of a style sheet is a statement.
func kindOf(m *minify.M, doc []byte) string {
	text := bytes.TrimSpace(bytes.TrimPrefix(doc, []byte("\xef\xbb\xbf")))
	start := bytes.ToLower(text[:min(len(text), 1024)])
	switch {
	case json.Valid(text):
		return "application/json"
	case !bytes.HasPrefix(text, []byte("<")):
		if m.Minify("text/javascript", io.Discard, bytes.NewReader(doc)) == nil {
			return "text/javascript"
		}
		return "text/css"
	case bytes.Contains(start, []byte("<svg")) && !bytes.Contains(start, []byte("<html")) && !bytes.HasPrefix(start, []byte("<!doctype html")):
		return "image/svg+xml"
	case bytes.HasPrefix(start, []byte("<?xml")):
		return "text/xml"
	}
	return "text/html"
}
