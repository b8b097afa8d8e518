//go:build !linux

package localnet

import "syscall"

// Alive says whether a process of this id is there.
func Alive(pid int) bool { return syscall.Kill(pid, 0) == nil }
