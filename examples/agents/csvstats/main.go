// Command csvstats is an agent that describes each column of a CSV table: its
// type, missing values, mean, deviation, quartiles, most frequent values.
package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/zerostate/zerostate/examples/internal/guest"
)

const (
	maxDataBytes = 32 << 20
	maxColumns   = 1000
)

func main() { guest.Main(run) }

func run(f guest.Files) (string, error) {
	data, err := f.Read("data", maxDataBytes)
	if err != nil {
		return "", err
	}
	t, err := describe(data)
	if err != nil {
		return "", guest.BadInput("data", err)
	}
	out, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return "", err
	}
	numbers := 0
	for _, c := range t.Columns {
		if c.Type == "number" {
			numbers++
		}
	}
	summary := fmt.Sprintf("%d rows, %d columns, %d of them numbers", t.Rows, len(t.Columns), numbers)
	return summary, f.Write("stats.json", append(out, '\n'))
}

// table is what the agent writes.
type table struct {
	Rows      int      `json:"rows"` // without the header
	Delimiter string   `json:"delimiter"`
	Columns   []column `json:"columns"`
}

// describe reads a table whose first row has the names of its columns.
func describe(data []byte) (table, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	comma := delimiter(data)
	r := csv.NewReader(bytes.NewReader(data))
	r.Comma, r.ReuseRecord = comma, true
	header, err := r.Read()
	switch {
	case errors.Is(err, io.EOF):
		return table{}, errors.New("has no header")
	case err != nil:
		return table{}, err
	case len(header) > maxColumns:
		return table{}, fmt.Errorf("has %d columns, at most %d are taken", len(header), maxColumns)
	}
	columns := make([]values, len(header))
	for i, name := range header {
		columns[i].name = strings.Clone(strings.TrimSpace(name))
	}
	t := table{Delimiter: string(comma), Columns: []column{}}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return table{}, err
		}
		t.Rows++
		for i, cell := range row {
			columns[i].add(strings.TrimSpace(cell))
		}
	}
	for i := range columns {
		t.Columns = append(t.Columns, columns[i].describe())
	}
	return t, nil
}

// delimiter is the most frequent of the usual ones in the header.
func delimiter(data []byte) rune {
	header, _, _ := bytes.Cut(data, []byte("\n"))
	best, most := ',', 0
	for _, c := range ",;\t|" {
		if n := bytes.Count(header, []byte(string(c))); n > most {
			best, most = c, n
		}
	}
	return best
}
