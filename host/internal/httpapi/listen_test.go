package httpapi

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zerostate/zerostate/core"
)

func TestSocketPathIsBounded(t *testing.T) {
	path := "/tmp/" + strings.Repeat("x", maxSocketPath-4)
	_, err := listenSocket(t.Context(), path)
	if !errors.Is(err, core.ErrInvalid) || !strings.Contains(err.Error(), "101 bytes") {
		t.Errorf("got %v, want invalid with the length", err)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false) // as a node that was killed leaves it
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := listenSocket(t.Context(), path)
	if err != nil {
		t.Fatalf("got %v, want the stale socket replaced", err)
	}
	defer again.Close()
	if _, err := listenSocket(t.Context(), path); !errors.Is(err, core.ErrConflict) || !strings.Contains(err.Error(), "another node runs in this home") {
		t.Errorf("live socket: got %v, want a conflict that says so", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the live socket was removed: %v", err)
	}
}

func TestFileInPlaceOfTheSocketIsKept(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenSocket(t.Context(), path); !errors.Is(err, core.ErrExists) {
		t.Errorf("got %v, want exists", err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "precious" {
		t.Errorf("got %q, %v, want the file untouched", data, err)
	}
}

func TestListenerIsLoopbackOnly(t *testing.T) {
	for _, tt := range []struct {
		address string
		ok      bool
	}{
		{"127.0.0.1:0", true},
		{"localhost:0", true},
		{"127.9.9.9:0", true},
		{"[::ffff:127.0.0.1]:0", true},
		{"0.0.0.0:0", false},
		{"[::]:0", false},
		{":0", false},
		{"192.0.2.1:0", false},
		{"[::ffff:192.0.2.1]:0", false},
		{"[fe80::1%lo]:0", false},
		{"example.com:0", false},
		{"localhost.:0", false},
		{"127.0.0.1", false},
	} {
		t.Run(tt.address, func(t *testing.T) {
			l, err := listenLoopback(t.Context(), tt.address)
			if !tt.ok {
				if !errors.Is(err, core.ErrInvalid) {
					t.Errorf("got %v, want invalid", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if a := l.Addr().(*net.TCPAddr); !a.IP.IsLoopback() || a.IP.To4() == nil {
				t.Errorf("got %v, want an IPv4 loopback address", a)
			}
		})
	}
}

func TestListenerInUse(t *testing.T) {
	l, err := listenLoopback(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := testConfig(t, finder{})
	c.Listen = l.Addr().String()
	if _, err := Start(t.Context(), c); err == nil {
		t.Fatal("got a second listener on one port")
	}
	if _, err := os.Stat(c.Socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a start that failed leaves its socket: %v", err)
	}
}

func TestToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api.token")
	first, err := OpenToken(path, strings.NewReader(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Repeat("6b", 32); first != want {
		t.Errorf("got %s, want %s", first, want)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, %v, want 600", info.Mode(), err)
	}
	again, err := OpenToken(path, strings.NewReader(""))
	if err != nil || again != first {
		t.Errorf("got %q, %v, want the same token", again, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenToken(path, nil); !errors.Is(err, core.ErrDenied) {
		t.Errorf("file that others read: got %v, want denied", err)
	}
}

func TestTokenThatIsNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api.token")
	for _, text := range []string{"", "abc", strings.Repeat("z", 64), strings.Repeat("0", 66)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenToken(path, nil); !errors.Is(err, core.ErrInvalid) {
			t.Errorf("%q: got %v, want invalid", text, err)
		}
	}
	if _, err := OpenToken(path+".new", strings.NewReader("short")); err == nil {
		t.Error("got a token of too little randomness")
	}
	if _, err := OpenToken(filepath.Join(path, "sub"), strings.NewReader(strings.Repeat("k", 32))); err == nil {
		t.Error("got a token under a file")
	}
}
