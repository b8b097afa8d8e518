// Command thumbnail is an agent that shrinks a picture (PNG, JPEG, GIF) to fit
// into 256 by 256 pixels and writes it as PNG. A smaller one keeps its size.
package main

import (
	"bytes"
	"fmt"
	"image"
	_ "image/gif"  // to read
	_ "image/jpeg" // to read
	"image/png"

	"golang.org/x/image/draw"

	"github.com/zerostate/zerostate/examples/internal/guest"
)

const (
	side          = 256      // pixels
	maxImageBytes = 32 << 20 // as it comes
	maxPixels     = 16 << 20 // unpacked: 64 MiB and what the decoder needs
)

func main() { guest.Main(run) }

func run(f guest.Files) (string, error) {
	data, err := f.Read("image", maxImageBytes)
	if err != nil {
		return "", err
	}
	t, err := shrink(data)
	if err != nil {
		return "", guest.BadInput("image", err)
	}
	return t.summary, f.Write("thumbnail.png", t.png)
}

// thumbnail is the small picture and what was done.
type thumbnail struct {
	png     []byte
	summary string
}

// shrink reads a picture and makes the small one.
func shrink(data []byte) (thumbnail, error) {
	config, format, err := image.DecodeConfig(bytes.NewReader(data))
	switch {
	case err != nil:
		return thumbnail{}, fmt.Errorf("is no PNG, JPEG or GIF: %w", err)
	case config.Width < 1 || config.Height < 1 || config.Width > maxPixels/config.Height:
		return thumbnail{}, fmt.Errorf("has %d by %d pixels, at most %d together are taken", config.Width, config.Height, maxPixels)
	}
	from, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return thumbnail{}, fmt.Errorf("decode the %s: %w", format, err)
	}
	to := image.NewRGBA(fit(from.Bounds())) // the kind that draw is quick with
	near := average(from, max(from.Bounds().Dx(), from.Bounds().Dy())/(2*side))
	draw.CatmullRom.Scale(to, to.Bounds(), near, near.Bounds(), draw.Src, nil)
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&b, to); err != nil {
		return thumbnail{}, fmt.Errorf("encode: %w", err)
	}
	summary := fmt.Sprintf("%s of %dx%d became a PNG of %dx%d, %d bytes",
		format, from.Bounds().Dx(), from.Bounds().Dy(), to.Bounds().Dx(), to.Bounds().Dy(), b.Len())
	return thumbnail{b.Bytes(), summary}, nil
}

// fit is the rectangle of the same proportions that fits into side by side.
func fit(r image.Rectangle) image.Rectangle {
	w, h := r.Dx(), r.Dy()
	longest := max(w, h)
	if longest <= side {
		return image.Rect(0, 0, w, h)
	}
	return image.Rect(0, 0, max(1, (w*side+longest/2)/longest), max(1, (h*side+longest/2)/longest))
}

// average makes one pixel of each n by n of a picture that is much too large: the
// costly kernel then has twice the size of the thumbnail to work on.
func average(from image.Image, n int) image.Image {
	if n < 2 {
		return from
	}
	full, ok := from.(*image.RGBA)
	if !ok {
		full = image.NewRGBA(from.Bounds())
		draw.Draw(full, full.Bounds(), from, from.Bounds().Min, draw.Src)
	}
	w, h := full.Bounds().Dx(), full.Bounds().Dy()
	to := image.NewRGBA(image.Rect(0, 0, max(1, w/n), max(1, h/n)))
	for y := range to.Rect.Max.Y {
		rows := full.Pix[y*n*full.Stride:]
		for x := range to.Rect.Max.X {
			block := square(rows[4*x*n:], full.Stride, min(n, w), min(n, h))
			copy(to.Pix[to.PixOffset(x, y):], block[:])
		}
	}
	return to
}

// square is the mean colour of w by h pixels.
func square(pix []byte, stride, w, h int) (mean [4]byte) {
	var r, g, b, a int
	for y := range h {
		row := pix[y*stride:][:4*w]
		for ; len(row) >= 4; row = row[4:] {
			r += int(row[0])
			g += int(row[1])
			b += int(row[2])
			a += int(row[3])
		}
	}
	count := w * h
	for i, sum := range [4]int{r, g, b, a} {
		mean[i] = byte((sum + count/2) / count) //nolint:gosec // a mean of bytes
	}
	return mean
}
