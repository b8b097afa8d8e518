package wasmrun

import (
	"time"

	"golang.org/x/sys/unix"
)

// threadCPU is the processor time of the calling thread so far. The caller has
// locked itself to it.
func threadCPU() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		return 0 // observed, not verifiable: an unknown time is no time
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
