package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/zerostate/zerostate/core"
)

const (
	maxSocketPath = 100 // bytes; a unix socket's address holds 104 or 108 with its zero byte
	socketPerm    = 0o600
)

// listenSocket listens on a unix socket that only its owner may open. The socket
// of a node that is dead is replaced; one that answers is another node's.
func listenSocket(ctx context.Context, path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("socket path %s has %d bytes, at most %d fit a socket's address; choose a shorter home or set api.socket: %w",
			path, len(path), maxSocketPath, core.ErrInvalid)
	}
	if err := clearSocket(ctx, path); err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	if err := os.Chmod(path, socketPerm); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: %w", path, err), l.Close())
	}
	return l, nil
}

// clearSocket removes the socket that a dead node left behind.
func clearSocket(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look at socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there and is no socket: move it away or set api.socket: %w", path, core.ErrExists)
	}
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		return errors.Join(fmt.Errorf("another node runs in this home (%s answers): %w", path, core.ErrConflict), c.Close())
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
	default: // a full backlog, no permission: somebody is there
		return fmt.Errorf("another node may run in this home (%w): %w", err, core.ErrConflict)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove stale socket: %w", err)
	}
	return nil
}

// listenLoopback listens where only this machine can reach, or refuses.
func listenLoopback(ctx context.Context, address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("api.listen: %q is not host:port: %w", address, core.ErrInvalid)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.Unmap().IsLoopback() || ip.Zone() != "" {
		return nil, fmt.Errorf("api.listen: %q is not a loopback address; the API is for this machine alone: %w", address, core.ErrInvalid)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(ip.Unmap().String(), port))
	if err != nil {
		return nil, fmt.Errorf("api.listen: %w", err)
	}
	return l, nil
}

// hostNames are the spellings of Host under which a listener answers. Whatever
// else a browser was told to resolve to this machine (DNS rebinding, 0.0.0.0, a
// mapped address) is somebody else's name.
func hostNames(a net.Addr) []string {
	literal := a.String()
	_, port, err := net.SplitHostPort(literal)
	if err != nil {
		return []string{literal}
	}
	return []string{literal, net.JoinHostPort("localhost", port)}
}
