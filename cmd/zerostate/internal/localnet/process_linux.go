package localnet

import "syscall"

// processAttributes makes a node end with us, also when we are killed; a detached
// one lives on in a session of its own. In both cases an interrupt from the
// keyboard is ours to pass on.
func processAttributes(detach bool) *syscall.SysProcAttr {
	if detach {
		return &syscall.SysProcAttr{Setsid: true}
	}
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
