package supervise

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// openBinary copies a binary into a sealed memory file while hashing it: the
// bytes that were hashed are the bytes that run, whatever happens to the path.
func openBinary(path string) (*binary, error) {
	src, err := os.Open(path) //nolint:gosec // the operator names the binary
	if err != nil {
		return nil, fmt.Errorf("open plugin binary: %w", err)
	}
	defer src.Close() //nolint:errcheck // only read
	fd, err := unix.MemfdCreate("zerostate-plugin", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if err != nil { // kernels before 6.3 do not know MFD_EXEC
		fd, err = unix.MemfdCreate("zerostate-plugin", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, fmt.Errorf("make memory file: %w", err)
	}
	dst := os.NewFile(uintptr(fd), "zerostate-plugin")
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(dst, h), src)
	if err == nil {
		const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
		_, err = unix.FcntlInt(dst.Fd(), unix.F_ADD_SEALS, seals)
	}
	if err != nil {
		_ = dst.Close() // the copy is useless
		return nil, fmt.Errorf("seal plugin binary: %w", err)
	}
	return &binary{path: path, sha256: hex.EncodeToString(h.Sum(nil)), file: dst}, nil
}

// close frees the sealed copy.
func (b *binary) close() error {
	if b.file == nil {
		return nil
	}
	return b.file.Close()
}
