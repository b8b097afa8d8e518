package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/api/nodev1/nodev1connect"
	"github.com/zerostate/zerostate/core"
)

// finder is a service with one public call.
type finder struct {
	nodev1connect.UnimplementedFindServiceHandler
	find func(context.Context, *nodev1.FindRequest) (*nodev1.FindResponse, error)
}

func (f finder) Find(ctx context.Context, r *connect.Request[nodev1.FindRequest]) (*connect.Response[nodev1.FindResponse], error) {
	m, err := f.find(ctx, r.Msg)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(m), nil
}

// node is a service that wants the token.
type node struct {
	nodev1connect.UnimplementedNodeServiceHandler
}

func (node) Status(context.Context, *connect.Request[nodev1.StatusRequest]) (*connect.Response[nodev1.StatusResponse], error) {
	return connect.NewResponse(&nodev1.StatusResponse{Name: "n"}), nil
}

// tasks fails its stream.
type tasks struct {
	nodev1connect.UnimplementedTaskServiceHandler
	err error
}

func (s tasks) Run(context.Context, *connect.Request[nodev1.RunRequest], *connect.ServerStream[nodev1.RunEvent]) error {
	return s.err
}

var testToken = strings.Repeat("0123456789abcdef", 4)

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "zs-") //nolint:usetesting // a socket's path is bounded, and that of t.TempDir() is long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func testConfig(t *testing.T, f finder) Config {
	t.Helper()
	if f.find == nil {
		f.find = func(context.Context, *nodev1.FindRequest) (*nodev1.FindResponse, error) {
			return &nodev1.FindResponse{TraceId: "found"}, nil
		}
	}
	c := Config{
		Socket: filepath.Join(shortDir(t), "node.sock"), Listen: "127.0.0.1:0", Token: testToken,
		Handlers: map[string]http.Handler{}, Public: []string{nodev1connect.FindServiceFindProcedure},
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "zerostate_peers 1") }),
	}
	opt := connect.WithInterceptors(Interceptor())
	path, h := nodev1connect.NewFindServiceHandler(f, opt)
	c.Handlers[path] = h
	path, h = nodev1connect.NewNodeServiceHandler(node{}, opt)
	c.Handlers[path] = h
	path, h = nodev1connect.NewTaskServiceHandler(tasks{err: core.ErrExhausted}, opt)
	c.Handlers[path] = h
	return c
}

func start(t *testing.T, c Config) *Server {
	t.Helper()
	s, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func socketClient(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
}

func TestDoors(t *testing.T) {
	c := testConfig(t, finder{})
	address := start(t, c).Address()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	const private, public = nodev1connect.NodeServiceStatusProcedure, nodev1connect.FindServiceFindProcedure
	good := "Bearer " + testToken
	for _, tt := range []struct {
		name, method, path, host string
		header                   map[string]string
		want                     int
	}{
		{"live", "GET", "/livez", "", nil, 200},
		{"ready", "GET", "/readyz", "", nil, 200},
		{"metrics", "GET", "/metrics", "", nil, 200},
		{"public call", "POST", public, "", nil, 200},
		{"public call with a wrong token", "POST", public, "", map[string]string{"Authorization": "Bearer x"}, 200},
		{"no token", "POST", private, "", nil, 401},
		{"wrong token", "POST", private, "", map[string]string{"Authorization": "Bearer " + strings.Repeat("0", 64)}, 401},
		{"start of the token", "POST", private, "", map[string]string{"Authorization": "Bearer " + testToken[:63]}, 401},
		{"token of another scheme", "POST", private, "", map[string]string{"Authorization": "Basic " + testToken}, 401},
		{"token in the address", "POST", private + "?token=" + testToken, "", nil, 401},
		{"token", "POST", private, "", map[string]string{"Authorization": good}, 200},
		{"localhost", "POST", private, "localhost:" + port, map[string]string{"Authorization": good}, 200},
		{"unknown path without a token", "GET", "/debug/pprof", "", nil, 401},
		{"path that is cleaned to a private one", "POST", "//" + private[1:], "", nil, 401},
		{"public path with a tail", "POST", public + "/", "", nil, 401},
		{"foreign host", "GET", "/livez", "evil.example:" + port, map[string]string{"Authorization": good}, 403},
		{"host without port", "GET", "/livez", "127.0.0.1", nil, 403},
		{"host with another port", "GET", "/livez", "127.0.0.1:1", nil, 403},
		{"0.0.0.0", "POST", private, "0.0.0.0:" + port, map[string]string{"Authorization": good}, 403},
		{"mapped address", "POST", private, "[::ffff:127.0.0.1]:" + port, map[string]string{"Authorization": good}, 403},
		{"other loopback", "POST", private, "[::1]:" + port, map[string]string{"Authorization": good}, 403},
		{"localhost with a dot", "GET", "/metrics", "localhost.:" + port, nil, 403},
		{"origin null", "POST", public, "", map[string]string{"Origin": "null"}, 403},
		{"origin null with the token", "POST", private, "", map[string]string{"Origin": "null", "Authorization": good}, 403},
		{"foreign origin", "GET", "/metrics", "", map[string]string{"Origin": "https://evil.example"}, 403},
		{"foreign port", "POST", private, "", map[string]string{"Origin": "http://127.0.0.1:1", "Authorization": good}, 403},
		{"own origin by https", "POST", private, "", map[string]string{"Origin": "https://" + address, "Authorization": good}, 403},
		{"own origin", "POST", private, "", map[string]string{"Origin": "http://" + address, "Authorization": good}, 200},
		{"cross-site", "GET", "/livez", "", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"same-site", "GET", "/livez", "", map[string]string{"Sec-Fetch-Site": "same-site"}, 403},
		{"typed address", "GET", "/livez", "", map[string]string{"Sec-Fetch-Site": "none"}, 200},
		{"form without a token", "POST", private, "", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, 401},
		{"form to a public call", "POST", public, "", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, 415},
		{"text to a public call", "POST", public, "", map[string]string{"Content-Type": "text/plain"}, 415},
		{"get of a call", "GET", public, "", nil, 405},
		{"post of livez", "POST", "/livez", "", nil, 405},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), tt.method, "http://"+address+tt.path, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			r.Host = tt.host
			r.Header.Set("Content-Type", "application/json")
			for k, v := range tt.header {
				r.Header.Set(k, v)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.want {
				t.Errorf("got %d %s, want %d", resp.StatusCode, body, tt.want)
			}
			if tt.want == 401 && resp.Header.Get("Www-Authenticate") != "Bearer" {
				t.Errorf("got no challenge, want Www-Authenticate: Bearer")
			}
			if bytes.Contains(body, []byte(testToken)) {
				t.Errorf("the token is in the answer %s", body)
			}
		})
	}
}

func TestSocketAsksForTheTokenToo(t *testing.T) {
	c := testConfig(t, finder{})
	c.Listen = ""
	s := start(t, c)
	if s.Address() != "" {
		t.Errorf("got address %q, want none", s.Address())
	}
	info, err := os.Stat(c.Socket)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %o, want 600", info.Mode().Perm())
	}
	client := nodev1connect.NewNodeServiceClient(socketClient(c.Socket), "http://any.name")
	_, err = client.Status(t.Context(), connect.NewRequest(&nodev1.StatusRequest{}))
	if connect.CodeOf(err) != connect.CodeUnauthenticated {
		t.Errorf("got %v, want unauthenticated", err)
	}
	req := connect.NewRequest(&nodev1.StatusRequest{})
	req.Header().Set("Authorization", "bearer "+testToken)
	resp, err := client.Status(t.Context(), req)
	if err != nil || resp.Msg.GetName() != "n" {
		t.Errorf("got %v, %v, want the status", resp, err)
	}
	if _, err := nodev1connect.NewFindServiceClient(socketClient(c.Socket), "http://any.name").
		Find(t.Context(), connect.NewRequest(&nodev1.FindRequest{})); err != nil {
		t.Errorf("public call: %v", err)
	}
}

func TestReadyNamesWhatIsMissing(t *testing.T) {
	c := testConfig(t, finder{})
	c.Ready = func() []string { return []string{"not joined", "no index"} }
	resp, err := http.Get("http://" + start(t, c).Address() + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 503 || string(body) != "not joined\nno index\n" {
		t.Errorf("got %d %q %v, want 503 and both reasons", resp.StatusCode, body, err)
	}
}

func TestHTTP2WithoutTLS(t *testing.T) {
	address := start(t, testConfig(t, finder{})).Address()
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &p}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	resp, err := client.Get("http://" + address + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.StatusCode != 200 {
		t.Errorf("got HTTP/%d %d, want HTTP/2 200", resp.ProtoMajor, resp.StatusCode)
	}
	grpc := nodev1connect.NewFindServiceClient(client, "http://"+address, connect.WithGRPC())
	if _, err := grpc.Find(t.Context(), connect.NewRequest(&nodev1.FindRequest{})); err != nil {
		t.Errorf("gRPC: %v", err)
	}
	private := nodev1connect.NewNodeServiceClient(client, "http://"+address, connect.WithGRPC())
	if _, err := private.Status(t.Context(), connect.NewRequest(&nodev1.StatusRequest{})); connect.CodeOf(err) != connect.CodeUnauthenticated {
		t.Errorf("gRPC without a token: got %v, want unauthenticated", err)
	}
}

func TestBigHeaderIsRefused(t *testing.T) {
	address := start(t, testConfig(t, finder{})).Address()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+address+"/livez", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Big", strings.Repeat("x", 64<<10))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %d, want 431", resp.StatusCode)
	}
}

func TestSlowHeaderIsCutOff(t *testing.T) {
	c := testConfig(t, finder{})
	c.HeaderTimeout = 20 * time.Millisecond
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", start(t, c).Address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: "+conn.RemoteAddr().String()+"\r\nX-Slow: "); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn) // ends only when the server hangs up
	if err != nil || bytes.Contains(answer, []byte("200 OK")) {
		t.Errorf("got %q, %v, want the connection closed", answer, err)
	}
}

func TestBodyOfAStrangerIsBounded(t *testing.T) {
	address := start(t, testConfig(t, finder{})).Address()
	client := nodev1connect.NewFindServiceClient(http.DefaultClient, "http://"+address)
	big := &nodev1.FindRequest{Text: strings.Repeat("x", maxPublicBody+1)}
	if _, err := client.Find(t.Context(), connect.NewRequest(big)); connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("without a token: got %v, want resource exhausted", err)
	}
	req := connect.NewRequest(big)
	req.Header().Set("Authorization", "Bearer "+testToken)
	if _, err := client.Find(t.Context(), req); err != nil {
		t.Errorf("with the token: %v", err)
	}
}

func TestCloseEndsRequests(t *testing.T) {
	began := make(chan struct{})
	c := testConfig(t, finder{find: func(ctx context.Context, _ *nodev1.FindRequest) (*nodev1.FindResponse, error) {
		close(began)
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	s := start(t, c)
	ended := make(chan error, 1)
	go func() {
		_, err := nodev1connect.NewFindServiceClient(http.DefaultClient, "http://"+s.Address()).
			Find(context.Background(), connect.NewRequest(&nodev1.FindRequest{}))
		ended <- err
	}()
	<-began
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; connect.CodeOf(err) != connect.CodeCanceled {
		t.Errorf("got %v, want canceled", err)
	}
	if _, err := os.Stat(c.Socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func TestStartRefusesAShortToken(t *testing.T) {
	c := testConfig(t, finder{})
	c.Token = ""
	if _, err := Start(t.Context(), c); !errors.Is(err, core.ErrInvalid) {
		t.Errorf("got %v, want invalid", err)
	}
}
