package sdk

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/zerostate/zerostate/core"
)

// peerCredentials let only one process to the other end of a unix socket: the
// kernel says who that is. It costs nothing, where mutual TLS takes 60 ms of a
// start, and refuses another process of the same user. Only on Linux.
type peerCredentials struct {
	pid func() int // who may be there; 0: not known, so anyone
}

// peerInfo is what the credentials know of a connection: it does not leave the
// machine.
type peerInfo struct{ credentials.CommonAuthInfo }

// AuthType names the credentials.
func (peerInfo) AuthType() string { return "process" }

func (c peerCredentials) check(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	info := peerInfo{credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}
	want := c.pid()
	if want == 0 {
		return conn, info, nil
	}
	got, ok, err := peerPID(conn)
	if err != nil {
		return nil, nil, fmt.Errorf("ask who is at the other end: %w", err)
	}
	if ok && got != want {
		return nil, nil, fmt.Errorf("process %d is at the other end, not %d: %w", got, want, core.ErrDenied)
	}
	return conn, info, nil
}

// ClientHandshake checks that the plugin is at the other end.
func (c peerCredentials) ClientHandshake(_ context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return c.check(conn)
}

// ServerHandshake checks that the host is at the other end.
func (c peerCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return c.check(conn)
}

// Info names the protocol.
func (peerCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "process"}
}

// Clone returns c, which does not change.
func (c peerCredentials) Clone() credentials.TransportCredentials { return c }

// OverrideServerName does nothing: there are no names here.
func (peerCredentials) OverrideServerName(string) error { return nil }

// hostCredentials are those of a plugin whose host has told its process id.
func hostCredentials() []grpc.ServerOption {
	pid, err := strconv.Atoi(os.Getenv(EnvHostPID))
	if err != nil || pid <= 0 {
		return nil
	}
	return []grpc.ServerOption{grpc.Creds(peerCredentials{pid: func() int { return pid }})}
}
