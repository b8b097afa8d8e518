//go:build unix

package store

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/zerostate/zerostate/core"
)

// lockFile holds the directory for this process until the file is closed or
// the process ends, however it ends.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // a file of our own state directory
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil { //nolint:gosec // a descriptor fits an int
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = core.ErrConflict
		}
		return nil, errors.Join(fmt.Errorf("lock %s, is another index running on it: %w", path, err), f.Close())
	}
	return f, nil
}
