package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/zerostate/zerostate/core"
)

// outDir is where outputs of others go: plain names only, inside of one
// directory, and nothing is overwritten unless force says so.
type outDir struct {
	dir   string
	root  *os.Root
	force bool
}

// openOut makes the directory where it is missing.
func openOut(dir string, force bool) (*outDir, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("make --out directory: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open --out directory: %w", err)
	}
	return &outDir{dir: dir, root: root, force: force}, nil
}

// Close lets go of the directory.
func (o *outDir) Close() error { return o.root.Close() }

// free says whether a file of this name may be written; core.ErrExists where not.
func (o *outDir) free(name string) error {
	if err := checkPlainName(name); err != nil {
		return err
	}
	if o.force {
		return nil
	}
	if _, err := o.root.Lstat(name); err == nil {
		return o.exists(name)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (o *outDir) exists(name string) error {
	return fmt.Errorf("%s is there already; choose another --out or allow it with --force: %w", filepath.Join(o.dir, name), core.ErrExists)
}

// write makes a file and lets fill write it. A file that could not be filled is
// removed again. It returns the path.
func (o *outDir) write(name string, fill func(w io.Writer) error) (string, error) {
	if err := checkPlainName(name); err != nil {
		return "", err
	}
	if o.force {
		// Removed, not truncated: what a link of this name points to stays as it is.
		if err := o.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	f, err := o.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return "", o.exists(name)
	}
	if err != nil {
		return "", err
	}
	if err := errors.Join(fill(f), f.Close()); err != nil {
		return "", errors.Join(err, o.root.Remove(name))
	}
	return filepath.Join(o.dir, name), nil
}

// checkPlainName wants a name that is one path element and nothing else: no
// separator, no control or format character, not hidden, at most 128 bytes.
func checkPlainName(name string) error {
	const longest = 128
	bad := name == "" || len(name) > longest || name[0] == '.' || strings.ContainsAny(name, `/\:`) ||
		strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
	if bad {
		return fmt.Errorf("output name %q is not a plain file name: %w", name, core.ErrInvalid)
	}
	return nil
}
