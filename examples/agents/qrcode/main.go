// Command qrcode is an agent that makes a QR code of a text or link, as PNG and
// as SVG. White space at the end of the text is dropped.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"rsc.io/qr"

	"github.com/zerostate/zerostate/examples/internal/guest"
)

const (
	maxTextBytes = 2331 // what fits at error correction level M
	scale        = 8    // pixels of the PNG a module
	quiet        = 4    // modules of white around the code
)

func main() { guest.Main(run) }

func run(f guest.Files) (string, error) {
	data, err := f.Read("text", 1<<20)
	if err != nil {
		return "", err
	}
	code, err := encode(data)
	if err != nil {
		return "", guest.BadInput("text", err)
	}
	if err := f.Write("qr.png", code.PNG()); err != nil {
		return "", err
	}
	summary := fmt.Sprintf("a QR code of %d by %d modules", code.Size, code.Size)
	return summary, f.Write("qr.svg", svg(code))
}

// encode makes the code with 15% error correction.
func encode(data []byte) (*qr.Code, error) {
	text := strings.TrimRight(string(data), " \t\r\n")
	switch {
	case text == "":
		return nil, errors.New("is only white space")
	case !utf8.ValidString(text):
		return nil, errors.New("is not UTF-8 text")
	case len(text) > maxTextBytes:
		return nil, fmt.Errorf("has %d bytes, a QR code holds at most %d", len(text), maxTextBytes)
	}
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return nil, err
	}
	code.Scale = scale
	return code, nil
}

// svg draws each row's runs of black as one path.
func svg(code *qr.Code) []byte {
	var b bytes.Buffer
	size := code.Size + 2*quiet
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" shape-rendering=\"crispEdges\">", size, size)
	fmt.Fprintf(&b, "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/><path d=\"", size, size)
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			from := x
			for x < code.Size && code.Black(x, y) {
				x++
			}
			if x > from {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", from+quiet, y+quiet, x-from, x-from)
			}
		}
	}
	b.WriteString("\"/></svg>\n")
	return b.Bytes()
}
