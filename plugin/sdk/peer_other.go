//go:build !linux

package sdk

import "net"

// peerPID knows nothing on this system.
func peerPID(net.Conn) (pid int, ok bool, err error) { return 0, false, nil }
