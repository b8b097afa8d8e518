package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
)

const (
	pathLive    = "/livez"
	pathReady   = "/readyz"
	pathMetrics = "/metrics"

	// What a caller without the token may take: bytes of a request, and time to
	// send it.
	maxPublicBody     = 64 << 10
	publicReadTimeout = 30 * time.Second
)

var errNoToken = errors.New("this call wants the token of the node's home: Authorization: Bearer, then what api.token holds")

// doors is what every request goes through. A request whose Host is not exactly
// the loopback name and port, or that a browser says comes from elsewhere, is
// refused whatever it asks for: else any web page could spend the node's money.
// What changes something or tells something private wants the token.
type doors struct {
	hosts  []string // spellings of Host; nil on the socket, which no browser opens
	token  [sha256.Size]byte
	public []string
	errors *connect.ErrorWriter
	next   http.Handler
}

func newDoors(c Config, hosts []string, next http.Handler) *doors {
	return &doors{
		hosts: hosts, token: sha256.Sum256([]byte(c.Token)), public: append([]string{pathLive, pathReady, pathMetrics}, c.Public...),
		errors: connect.NewErrorWriter(), next: next,
	}
}

// ServeHTTP refuses or passes on.
func (d *doors) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	switch {
	case d.hosts != nil && !slices.Contains(d.hosts, r.Host):
		answer(w, http.StatusForbidden, "the Host header is not the name of this listener")
	case !d.ownOrigin(r):
		answer(w, http.StatusForbidden, "the request comes from a foreign origin")
	case d.hasToken(r):
		d.next.ServeHTTP(w, r)
	case slices.Contains(d.public, r.URL.Path):
		d.servePublic(w, r)
	default:
		d.refuse(w, r)
	}
}

// ownOrigin reads what a browser says of where a request comes from. Programs
// send none of these headers.
func (d *doors) ownOrigin(r *http.Request) bool {
	for _, o := range r.Header.Values("Origin") {
		host, ok := strings.CutPrefix(o, "http://")
		if !ok || !slices.Contains(d.hosts, host) {
			return false
		}
	}
	for _, s := range r.Header.Values("Sec-Fetch-Site") {
		if s != "none" && s != "same-origin" {
			return false
		}
	}
	return true
}

// hasToken compares digests, in constant time.
func (d *doors) hasToken(r *http.Request) bool {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	got := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(got[:], d.token[:]) == 1
}

// servePublic serves a caller that we know nothing of, within bounds.
func (d *doors) servePublic(w http.ResponseWriter, r *http.Request) {
	deadline := time.Now().Add(publicReadTimeout)
	if err := http.NewResponseController(w).SetReadDeadline(deadline); err != nil && !errors.Is(err, http.ErrNotSupported) {
		answer(w, http.StatusInternalServerError, "the request could not be bounded")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxPublicBody)
	d.next.ServeHTTP(w, r)
}

// refuse answers in the protocol of the request, so that every client shows why.
func (d *doors) refuse(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Www-Authenticate", "Bearer")
	if d.errors.IsSupported(r) {
		_ = d.errors.Write(w, r, connect.NewError(connect.CodeUnauthenticated, errNoToken)) // the reader may be gone
		return
	}
	answer(w, http.StatusUnauthorized, errNoToken.Error())
}
