package supervise

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/config"
)

// LockName is the name of a lock file, beside the configuration and beside the
// zerostate binary.
const LockName = "plugins.lock"

// Pin says which bytes a plugin's binary has.
type Pin struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Path   string `json:"path"` // file name of the binary
	SHA256 string `json:"sha256"`
}

// Lock is a plugins.lock: which binaries may run.
type Lock struct {
	Plugins []Pin `json:"plugins"`
}

// ReadLock reads a lock that nobody else can change. A lock that is not there
// is empty. Unknown members and a second value are core.ErrInvalid.
func ReadLock(path string) (*Lock, error) {
	lock := &Lock{}
	err := config.CheckOwned(path)
	if errors.Is(err, os.ErrNotExist) {
		return lock, nil
	}
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path) //nolint:gosec // the lock beside the config
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(lock); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, err, core.ErrInvalid)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: more than one value: %w", path, core.ErrInvalid)
	}
	return lock, nil
}

// Write replaces the lock at path in one step, sorted by kind and name.
func (l *Lock) Write(path string) error {
	slices.SortFunc(l.Plugins, func(a, b Pin) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	data, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return fmt.Errorf("encode lock: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".plugins.lock-*")
	if err != nil {
		return fmt.Errorf("write lock: %w", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone already where the rename succeeded
	_, err = tmp.Write(append(data, '\n'))
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write lock: %w", err)
	}
	return nil
}

// Set adds a pin, or replaces that of the same kind and name.
func (l *Lock) Set(p Pin) {
	l.Plugins = slices.DeleteFunc(l.Plugins, func(q Pin) bool { return q.Kind == p.Kind && q.Name == p.Name })
	l.Plugins = append(l.Plugins, p)
}

// find returns the pin of a binary: of this kind and name, else of this kind
// and file (another block that runs the same binary).
func (l *Lock) find(kind, name, path string) (Pin, bool) {
	for _, p := range l.Plugins {
		if p.Kind == kind && p.Name == name && filepath.Base(p.Path) == filepath.Base(path) {
			return p, true
		}
	}
	for _, p := range l.Plugins {
		if p.Kind == kind && filepath.Base(p.Path) == filepath.Base(path) {
			return p, true
		}
	}
	return Pin{}, false
}
