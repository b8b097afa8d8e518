package httpapi

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/zerostate/zerostate/core"
)

const (
	tokenBytes  = 32 // 256 bits
	tokenDigits = 2 * tokenBytes
	tokenPerm   = 0o600
)

var errToken = fmt.Errorf("remove the file and start again to make a new one: %w", core.ErrInvalid)

// OpenToken reads the API's token, 64 hex digits, from a file that only its
// owner can read, or makes both on the first start. random gives 32 bytes.
func OpenToken(path string, random io.Reader) (string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeToken(path, random)
	}
	if err != nil {
		return "", fmt.Errorf("open api token: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("api token %s can be read by others (%s): run chmod 600 on it: %w", path, info.Mode().Perm(), core.ErrDenied)
	}
	data, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return "", fmt.Errorf("open api token: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if b, err := hex.DecodeString(token); err != nil || len(b) != tokenBytes {
		return "", fmt.Errorf("api token %s is not %d hex digits: %w", path, tokenDigits, errToken)
	}
	return token, nil
}

// makeToken writes a new token by a temporary file, so that a crash leaves none
// or a whole one.
func makeToken(path string, random io.Reader) (string, error) {
	b := make([]byte, tokenBytes)
	if _, err := io.ReadFull(random, b); err != nil {
		return "", fmt.Errorf("make api token: %w", err)
	}
	token := hex.EncodeToString(b)
	f, err := os.CreateTemp(filepath.Dir(path), ".token-*")
	if err != nil {
		return "", fmt.Errorf("make api token: %w", err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // gone after the rename; a leftover is harmless
	if _, err = f.WriteString(token + "\n"); err == nil {
		err = errors.Join(f.Chmod(tokenPerm), f.Sync())
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return "", fmt.Errorf("make api token: %w", err)
	}
	return token, nil
}
