//go:build unix

package wasmrun

import "golang.org/x/sys/unix"

// reserve maps n zero bytes that cost nothing until they are touched.
func reserve(n int) ([]byte, error) {
	return unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
}

func release(b []byte) error {
	if b == nil {
		return nil
	}
	return unix.Munmap(b)
}
