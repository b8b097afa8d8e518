package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

const (
	headerTimeout  = 5 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 16 << 10
	drainTimeout   = 35 * time.Second // a task that is settling may take 30 s
)

// Config says what a Server serves and where.
type Config struct {
	Socket string // path of the unix socket, at most 100 bytes; empty: none
	Listen string // loopback host:port, port 0 takes a free one; empty: none
	Token  string // see OpenToken

	Handlers map[string]http.Handler // by path prefix, as Connect's constructors answer them
	Public   []string                // procedures that need no token
	Metrics  http.Handler            // GET /metrics
	Ready    func() []string         // what is missing before the node is ready, in words

	HeaderTimeout time.Duration // how long a request's header may take; 0 is 5 s
	Log           hclog.Logger
}

// Server serves the API of one node.
type Server struct {
	log     hclog.Logger
	timeout time.Duration
	address string
	servers []*http.Server
	work    sync.WaitGroup
	cancel  context.CancelFunc
	close   func() error
}

// Start listens and serves until Close. Requests live in ctx: when it ends, so do
// they. Errors: core.ErrInvalid for a bad address or socket path,
// core.ErrConflict where another node listens on the socket.
func Start(ctx context.Context, c Config) (*Server, error) {
	if len(c.Token) != tokenDigits {
		return nil, fmt.Errorf("the api token wants %d hex digits: %w", tokenDigits, errToken)
	}
	s := &Server{log: c.Log, timeout: c.HeaderTimeout}
	if s.log == nil {
		s.log = hclog.NewNullLogger()
	}
	if s.timeout == 0 {
		s.timeout = headerTimeout
	}
	s.close = sync.OnceValue(s.shutdown)
	ctx, s.cancel = context.WithCancel(ctx)
	mux := c.mux()
	if c.Socket != "" {
		l, err := listenSocket(ctx, c.Socket)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.serve(ctx, l, newDoors(c, nil, mux))
	}
	if c.Listen != "" {
		l, err := listenLoopback(ctx, c.Listen)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.address = l.Addr().String()
		s.serve(ctx, l, newDoors(c, hostNames(l.Addr()), mux))
	}
	return s, nil
}

// mux puts everything that is served under its path.
func (c Config) mux() http.Handler {
	mux := http.NewServeMux()
	for path, h := range c.Handlers {
		mux.Handle(path, h)
	}
	if c.Metrics != nil {
		mux.Handle("GET "+pathMetrics, c.Metrics)
	}
	mux.HandleFunc("GET "+pathLive, func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET "+pathReady, func(w http.ResponseWriter, _ *http.Request) {
		var missing []string
		if c.Ready != nil {
			missing = c.Ready()
		}
		if len(missing) > 0 {
			answer(w, http.StatusServiceUnavailable, strings.Join(missing, "\n"))
			return
		}
		answer(w, http.StatusOK, "ok")
	})
	return mux
}

// answer writes a line or more of plain text.
func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // the reader may be gone
}

func (s *Server) serve(ctx context.Context, l net.Listener, h http.Handler) {
	var p http.Protocols
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	srv := &http.Server{
		Handler: h, Protocols: &p, ReadHeaderTimeout: s.timeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    s.log.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}
	s.servers = append(s.servers, srv)
	s.work.Go(func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("api listener ended", "address", l.Addr().String(), "error", err)
		}
	})
}

// Address is host:port of the loopback listener, empty where there is none.
func (s *Server) Address() string { return s.address }

// Close ends the context of every request, waits for their handlers and closes
// both listeners. It may be called again.
func (s *Server) Close() error { return s.close() }

func (s *Server) shutdown() error {
	s.cancel()
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	errs := make([]error, len(s.servers))
	var wg sync.WaitGroup
	for i, srv := range s.servers {
		wg.Go(func() {
			if errs[i] = srv.Shutdown(ctx); errs[i] != nil {
				errs[i] = errors.Join(fmt.Errorf("close api: %w", errs[i]), srv.Close())
			}
		})
	}
	wg.Wait()
	s.work.Wait()
	return errors.Join(errs...)
}
