// Command archive is an agent that lists what is in an archive (tar, tar.gz,
// tar.bz2, zip) as JSON, with sizes, modes, times and totals.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/zerostate/zerostate/examples/internal/guest"
	"github.com/zerostate/zerostate/examples/internal/pack"
)

const maxArchiveBytes = 64 << 20

func main() { guest.Main(run) }

func run(f guest.Files) (string, error) {
	data, err := f.Read("archive", maxArchiveBytes)
	if err != nil {
		return "", err
	}
	l, err := list(data)
	if err != nil {
		return "", guest.BadInput("archive", err)
	}
	out, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return "", err
	}
	summary := fmt.Sprintf("%s with %d files and %d directories, %d bytes unpacked", l.Format, l.Files, l.Directories, l.Bytes)
	return summary, f.Write("listing.json", append(out, '\n'))
}

// listing is what the agent writes.
type listing struct {
	Format      string  `json:"format"`
	Files       int     `json:"files"`
	Directories int     `json:"directories"`
	Bytes       int64   `json:"bytes"` // of all files, unpacked
	Entries     []entry `json:"entries"`
}

type entry struct {
	Name     string `json:"name"`
	Type     string `json:"type"` // file, directory, link or other
	Bytes    int64  `json:"bytes"`
	Mode     string `json:"mode"`
	Modified string `json:"modified,omitempty"` // RFC 3339, UTC
	Link     string `json:"link,omitempty"`
}

// list reads the whole archive, so that a broken one is found out.
func list(data []byte) (listing, error) {
	l := listing{Entries: []entry{}}
	var err error
	l.Format, err = pack.Walk(data, func(e pack.Entry, content io.Reader) error {
		size, err := io.Copy(io.Discard, content)
		if err != nil {
			return err
		}
		row := entry{Name: e.Name, Type: "other", Bytes: size, Mode: e.Mode.String(), Link: e.Link}
		switch {
		case e.Mode.IsDir():
			row.Type = "directory"
			l.Directories++
		case e.Link != "":
			row.Type = "link"
		case e.Mode.IsRegular():
			row.Type = "file"
			l.Files++
			l.Bytes += size
		}
		if e.Modified.Unix() > 0 {
			row.Modified = e.Modified.UTC().Format(time.RFC3339)
		}
		l.Entries = append(l.Entries, row)
		return nil
	})
	return l, err
}
