package supervise

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/config"
)

// PinError says that a binary is not the pinned one, or that nothing pins it.
// It unwraps to core.ErrDenied.
type PinError struct {
	Kind, Name, Path string
	Expected, Actual string // sha256 in hex; Expected is empty where nothing pins it
	Source           string // the lock or block that pins it
}

// Error shows both digests and how to pin the binary.
func (e *PinError) Error() string {
	repin := fmt.Sprintf("to trust this binary, run: zerostate plugin pin %s %s", e.Kind, e.Name)
	if e.Expected == "" {
		return fmt.Sprintf("plugin %s %s: %s (sha256 %s) is not pinned; %s", e.Kind, e.Name, e.Path, e.Actual, repin)
	}
	return fmt.Sprintf("plugin %s %s: %s is not the pinned binary: expected sha256 %s (%s), actual %s; %s",
		e.Kind, e.Name, e.Path, e.Expected, e.Source, e.Actual, repin)
}

// Unwrap returns core.ErrDenied.
func (e *PinError) Unwrap() error { return core.ErrDenied }

// binary is an opened, hashed and checked plugin. What runs is the sealed copy
// in file, not whatever path holds later.
type binary struct {
	path, sha256 string
	file         *os.File // nil where the platform can only execute a path
}

// Locate finds a plugin's binary: a path as it is, a bare name beside the
// zerostate binary, then in the configured directory. core.ErrNotFound lists
// where it looked.
func Locate(path string, dirs ...string) (string, error) {
	if strings.Contains(path, "/") {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("find plugin binary: %w: %w", err, core.ErrNotFound)
		}
		return path, nil
	}
	for _, dir := range dirs {
		if dir == "" {
			continue
		}
		full := filepath.Join(dir, path)
		info, err := os.Stat(full)
		if err == nil && info.Mode().IsRegular() {
			return full, nil
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("find plugin binary: %w", err)
		}
	}
	return "", fmt.Errorf("find plugin binary %s: not in %s: %w", path, strings.Join(dirs, ", "), core.ErrNotFound)
}

// HashBinary returns the sha256 of a binary in hex.
func HashBinary(path string) (string, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names the binary
	if err != nil {
		return "", fmt.Errorf("hash plugin binary: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("hash plugin binary: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// pins is what may say which bytes a plugin has, best first: its block, the
// lock beside the configuration, the lock beside the zerostate binary.
type pins struct {
	locks []namedLock
	dev   bool
}

type namedLock struct {
	path string
	lock *Lock
}

// readPins reads the locks of a configuration.
func readPins(cfg *config.Config, hostDir string) (*pins, error) {
	p := &pins{dev: cfg.Node.Dev}
	for _, dir := range []string{cfg.Dir(), hostDir} {
		if dir == "" {
			continue
		}
		path := filepath.Join(dir, LockName)
		lock, err := ReadLock(path)
		if err != nil {
			return nil, fmt.Errorf("read plugin lock: %w", err)
		}
		p.locks = append(p.locks, namedLock{path, lock})
	}
	return p, nil
}

// check holds a digest to the first pin that names the binary.
func (p *pins) check(kind, name, blockPin, path, actual string) error {
	e := &PinError{Kind: kind, Name: name, Path: path, Actual: actual}
	if blockPin != "" {
		e.Expected, e.Source = blockPin, "sha256 in its block"
	} else {
		for _, l := range p.locks {
			if pin, ok := l.lock.find(kind, name, path); ok {
				e.Expected, e.Source = pin.SHA256, l.path
				break
			}
		}
	}
	if e.Expected == actual || (e.Expected == "" && p.dev) {
		return nil
	}
	return e
}
