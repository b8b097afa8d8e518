//go:build !linux

package wasmrun

import "time"

// threadCPU is unknown here; processor time is an observed figure only.
func threadCPU() time.Duration { return 0 }
