package main

import (
	"bytes"
	"encoding/xml"
	"image/png"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
)

// TestEncode reads the pictures with another library.
func TestEncode(t *testing.T) {
	for _, text := range []string{"https://zerostate.dev/", "0123456789", "HELLO WORLD", "Grüße, 世界", strings.Repeat("x", 500)} {
		code, err := encode([]byte(text + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		picture, err := png.Decode(bytes.NewReader(code.PNG()))
		if err != nil {
			t.Fatal(err)
		}
		bitmap, err := gozxing.NewBinaryBitmapFromImage(picture)
		if err != nil {
			t.Fatal(err)
		}
		got, err := qrcode.NewQRCodeReader().Decode(bitmap, nil)
		if err != nil || got.GetText() != text {
			t.Errorf("got %v, %v, want %q", got, err, text)
		}
	}
}

// TestSVG paints the paths again and compares them with the code.
func TestSVG(t *testing.T) {
	code, err := encode([]byte("https://zerostate.dev/"))
	if err != nil {
		t.Fatal(err)
	}
	drawing := svg(code)
	if err := xml.Unmarshal(drawing, new(struct{})); err != nil {
		t.Fatal(err)
	}
	black := map[[2]int]bool{}
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, run := range regexp.MustCompile(`M(\d+) (\d+)h(\d+)`).FindAllStringSubmatch(string(drawing), -1) {
		for i := range number(run[3]) {
			black[[2]int{number(run[1]) + i - quiet, number(run[2]) - quiet}] = true
		}
	}
	for y := range code.Size {
		for x := range code.Size {
			if black[[2]int{x, y}] != code.Black(x, y) {
				t.Fatalf("%d,%d: got black %v", x, y, !code.Black(x, y))
			}
		}
	}
}

func TestEncodeBad(t *testing.T) {
	for _, bad := range []string{" \n", "\xff", strings.Repeat("x", maxTextBytes+1)} {
		if _, err := encode([]byte(bad)); err == nil {
			t.Errorf("%.10q: got no error", bad)
		}
	}
	if _, err := encode([]byte(strings.Repeat("x", maxTextBytes))); err != nil {
		t.Errorf("longest text: %v", err)
	}
}
