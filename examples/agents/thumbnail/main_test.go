package main

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"testing"
)

// picture is red on the left and blue on the right.
func picture(w, h int) image.Image {
	p := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.NRGBA{R: 255, A: 255}
			if x >= w/2 {
				c = color.NRGBA{B: 255, A: 255}
			}
			p.SetNRGBA(x, y, c)
		}
	}
	return p
}

func TestShrink(t *testing.T) {
	for _, c := range []struct{ w, h, wantW, wantH int }{
		{1024, 512, 256, 128}, {300, 900, 85, 256}, {40, 20, 40, 20}, {2000, 1, 256, 1}, {1, 3000, 1, 256}, {1537, 1025, 256, 171},
	} {
		for _, format := range []string{"png", "jpeg"} {
			var b bytes.Buffer
			err := png.Encode(&b, picture(c.w, c.h))
			if format == "jpeg" {
				b.Reset()
				err = jpeg.Encode(&b, picture(c.w, c.h), nil)
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := shrink(b.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			small, err := png.Decode(bytes.NewReader(got.png))
			if err != nil {
				t.Fatal(err)
			}
			if small.Bounds() != image.Rect(0, 0, c.wantW, c.wantH) {
				t.Errorf("%s %dx%d: got %v, want %dx%d", format, c.w, c.h, small.Bounds(), c.wantW, c.wantH)
			}
			if c.w == 1 {
				continue
			}
			left, _, _, _ := small.At(c.wantW/8, 0).RGBA()
			_, _, right, _ := small.At(c.wantW-1-c.wantW/8, 0).RGBA()
			if left>>8 < 240 || right>>8 < 240 {
				t.Errorf("%s %dx%d: got red %d on the left and blue %d on the right, want about 255", format, c.w, c.h, left>>8, right>>8)
			}
		}
	}
}

func TestShrinkBad(t *testing.T) {
	var b bytes.Buffer
	if err := png.Encode(&b, picture(100, 100)); err != nil {
		t.Fatal(err)
	}
	// The header of a PNG says 65536 by 65536; its checksum is right.
	huge := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x01\x00\x00\x00\x01\x00\x00\x08\x06\x00\x00\x00\xd7\x0e\x4b\xdf")
	for name, data := range map[string][]byte{"text": []byte("hello"), "cut": b.Bytes()[:b.Len()/2], "huge": huge} {
		if _, err := shrink(data); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}
