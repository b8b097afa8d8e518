package config

import (
	"fmt"
	"os"

	"github.com/zerostate/zerostate/core"
)

// readOwned reads a file that nobody else can write, as ssh does.
func readOwned(name string) ([]byte, error) {
	if err := CheckOwned(name); err != nil {
		return nil, err
	}
	return os.ReadFile(name) //nolint:gosec // the operator names the file
}

// CheckOwned refuses a file or directory that another user could change:
// core.ErrDenied says who can and what to do.
func CheckOwned(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if who := writableBy(info); who != "" {
		return fmt.Errorf("%s can be changed by %s; run chown and chmod go-w on it: %w", name, who, core.ErrDenied)
	}
	return nil
}
