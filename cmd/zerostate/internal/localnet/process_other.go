//go:build !linux

package localnet

import "syscall"

// processAttributes keeps a keyboard's interrupt away from a node: it is ours to
// pass on. A detached one lives on in a session of its own.
func processAttributes(detach bool) *syscall.SysProcAttr {
	if detach {
		return &syscall.SysProcAttr{Setsid: true}
	}
	return &syscall.SysProcAttr{Setpgid: true}
}
