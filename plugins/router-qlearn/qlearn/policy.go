package qlearn

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

// ErrPolicy reports bytes that are not a policy of this format.
var ErrPolicy = errors.New("not a policy of this format")

// The format of an exported policy.
const (
	PolicyFormat  = "zerostate-qlearn"
	PolicyVersion = 1
)

type policyFile struct {
	Format  string       `json:"format"`
	Version int          `json:"version"`
	Cells   []policyCell `json:"cells"`
}

type policyCell struct {
	Region  string    `json:"region"`
	SLA     string    `json:"sla"`
	Size    SizeClass `json:"size"`
	Path    string    `json:"path"`
	CostMS  float64   `json:"costMs"`
	Failure float64   `json:"failure"`
	Trouble float64   `json:"trouble"`
	Weight  float64   `json:"weight"`
	Visits  int       `json:"visits"`
	Updated time.Time `json:"updated"`
}

// Export returns the table as JSON, its cells in a fixed order.
func (l *Learner) Export() ([]byte, error) {
	l.mu.Lock()
	p := policyFile{Format: PolicyFormat, Version: PolicyVersion, Cells: make([]policyCell, 0, len(l.cells))}
	keys := make([]cellKey, 0, len(l.cells))
	for k := range l.cells {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compareKeys)
	for _, k := range keys {
		c := l.cells[k]
		p.Cells = append(p.Cells, policyCell{
			k.region, k.sla, k.size, k.path, c.cost, c.failure, c.trouble, c.weight, c.visits, c.updated.UTC(),
		})
	}
	l.mu.Unlock()
	out, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		return nil, fmt.Errorf("export policy: %w", err)
	}
	return append(out, '\n'), nil
}

// Import replaces the table by an exported one. It is strict: anything that
// Export does not write is [ErrPolicy], and then nothing changes. Cells beyond
// MaxCells are refused, times in the future are taken as now.
func (l *Learner) Import(data []byte) error {
	var p policyFile
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return fmt.Errorf("import policy: %w: %w", err, ErrPolicy)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("import policy: something follows it: %w", ErrPolicy)
	}
	if p.Format != PolicyFormat || p.Version != PolicyVersion {
		return fmt.Errorf("import policy: format %q version %d, want %q %d: %w", p.Format, p.Version, PolicyFormat, PolicyVersion, ErrPolicy)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(p.Cells) > l.cfg.MaxCells {
		return fmt.Errorf("import policy: %d cells, at most %d: %w", len(p.Cells), l.cfg.MaxCells, ErrPolicy)
	}
	cells, now := make(map[cellKey]*cell, len(p.Cells)), l.now()
	for i, c := range p.Cells {
		key := cellKey{state{c.Region, c.SLA, c.Size}, c.Path}
		if _, twice := cells[key]; twice || !c.sound() {
			return fmt.Errorf("import policy: cell %d (%s, %s, %s, %s) is out of range or there twice: %w", i, c.Region, c.SLA, c.Size, c.Path, ErrPolicy)
		}
		if c.Updated.After(now) {
			c.Updated = now
		}
		cells[key] = &cell{c.CostMS, c.Failure, c.Trouble, c.Weight, c.Visits, c.Updated}
	}
	l.cells = cells
	clear(l.decided)
	clear(l.recent)
	return nil
}

func (c policyCell) sound() bool {
	share := func(v float64) bool { return v >= 0 && v <= 1 }
	size := slices.Contains([]SizeClass{SizeAny, SizeSmall, SizeMedium, SizeLarge}, c.Size)
	return size && c.Path != "" && c.CostMS >= 0 && c.CostMS <= math.MaxUint32 && share(c.Failure) && share(c.Trouble) &&
		c.Weight >= 0 && c.Weight <= math.MaxUint32 && c.Visits >= 0 && !c.Updated.IsZero()
}
