package sdk

import (
	"net"

	"golang.org/x/sys/unix"
)

// peerPID returns the process at the other end of a unix socket; for a client
// that is the one which listens. ok is false where conn is no unix socket.
func peerPID(conn net.Conn) (pid int, ok bool, err error) {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, false, nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, true, err
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) //nolint:gosec // a descriptor fits an int
	})
	if err != nil {
		return 0, true, err
	}
	if credErr != nil {
		return 0, true, credErr
	}
	return int(cred.Pid), true, nil
}
