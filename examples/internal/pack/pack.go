// Package pack walks through archives (tar, tar.gz, tar.bz2, zip) held in
// memory. Start at Walk.
package pack

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// The bounds of what an archive may hold, so that a small one that unpacks to
// terabytes is refused.
const (
	MaxEntries = 50_000
	MaxBytes   = 512 << 20 // unpacked, all entries together
)

// ErrFormat says that the bytes are no archive of a kind that Walk reads.
var ErrFormat = errors.New("is no tar, tar.gz, tar.bz2 or zip archive")

// Entry is one entry of an archive.
type Entry struct {
	Name     string
	Size     int64 // bytes, unpacked
	Mode     fs.FileMode
	Modified time.Time // zero where the archive does not say
	Link     string    // target of a link in a tar archive
}

// Format tells the kind of archive by its first bytes: "zip", "tar.gz",
// "tar.bz2", "tar", or "" for anything else.
func Format(data []byte) string {
	switch {
	case bytes.HasPrefix(data, []byte("PK\x03\x04")), bytes.HasPrefix(data, []byte("PK\x05\x06")):
		return "zip"
	case bytes.HasPrefix(data, []byte{0x1f, 0x8b}):
		return "tar.gz"
	case bytes.HasPrefix(data, []byte("BZh")):
		return "tar.bz2"
	case len(data) >= 262 && string(data[257:262]) == "ustar":
		return "tar"
	}
	return ""
}

// Walk calls visit for each entry in order; content gives the entry's bytes and
// is read at most once, before visit returns. It answers the format. The errors
// of a broken or too large archive, and those of visit, end it.
func Walk(data []byte, visit func(e Entry, content io.Reader) error) (format string, err error) {
	format = Format(data)
	w := &walker{visit: visit, left: MaxBytes}
	switch format {
	case "zip":
		err = w.zip(data)
	case "tar":
		err = w.tar(bytes.NewReader(data))
	case "tar.bz2":
		err = w.tar(bzip2.NewReader(bytes.NewReader(data)))
	case "tar.gz":
		var r *gzip.Reader
		if r, err = gzip.NewReader(bytes.NewReader(data)); err == nil {
			err = w.tar(r)
		}
	default:
		err = ErrFormat
	}
	return format, err
}

// walker holds what may still come.
type walker struct {
	visit   func(Entry, io.Reader) error
	left    int64 // bytes
	entries int
}

func (w *walker) next(e Entry, content io.Reader) error {
	w.entries++
	if w.entries > MaxEntries {
		return fmt.Errorf("has more than %d entries", MaxEntries)
	}
	return w.visit(e, &bounded{w, content})
}

func (w *walker) tar(r io.Reader) error {
	archive := tar.NewReader(&bounded{w, r})
	for {
		h, err := archive.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && w.entries == 0 && !errors.Is(err, errTooLarge):
			return fmt.Errorf("%w: %w", ErrFormat, err)
		case err != nil:
			return fmt.Errorf("after %d entries: %w", w.entries, err)
		}
		e := Entry{h.Name, h.Size, h.FileInfo().Mode(), h.ModTime, h.Linkname}
		if err := w.next(e, archive); err != nil {
			return err
		}
	}
}

func (w *walker) zip(data []byte) error {
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return fmt.Errorf("read the directory of the zip: %w", err)
	}
	for _, f := range archive.File {
		e := Entry{Name: f.Name, Size: int64(f.UncompressedSize64), Mode: f.Mode(), Modified: f.Modified} //nolint:gosec // shown only; bounded below while reading
		if err := w.zipFile(e, f); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return nil
}

func (w *walker) zipFile(e Entry, f *zip.File) error {
	content, err := f.Open()
	if err != nil {
		return err
	}
	return errors.Join(w.next(e, content), content.Close())
}

var errTooLarge = fmt.Errorf("unpacks to more than %d bytes", int64(MaxBytes))

// bounded reads at most what the walker has left.
type bounded struct {
	w *walker
	r io.Reader
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.w.left -= int64(n)
	if b.w.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}
