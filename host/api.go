package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/api/nodev1/nodev1connect"
	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/httpapi"
	"github.com/zerostate/zerostate/host/internal/supervise"
)

// Names of the API's files in a home.
const (
	SocketName = "node.sock"
	TokenName  = "api.token"
)

const (
	maxMessage   = 1 << 20 // bytes of one message of a client
	publishSlack = 2 << 20 // beside the module of a card's publication
)

// startAPI serves zerostate.node.v1 on the home's socket and on the loopback
// listener. Each service is a type of its own in api_*.go: their calls map to and
// from the node's, check bounds, and hold no state.
func (n *Node) startAPI(_ context.Context, _ Deps) error {
	home := n.cfg.Node.Home
	token, err := httpapi.OpenToken(filepath.Join(home, TokenName), n.rand)
	if err != nil {
		return err
	}
	n.api, err = httpapi.Start(n.ctx, httpapi.Config{
		Socket: cmp.Or(n.cfg.API.Socket, filepath.Join(home, SocketName)), Listen: n.cfg.API.Listen, Token: token,
		Handlers: n.apiHandlers(),
		Public: []string{
			nodev1connect.CardServiceResolveProcedure, nodev1connect.CardServiceListProcedure, nodev1connect.FindServiceFindProcedure,
		},
		Metrics: promhttp.HandlerFor(n.tel.registry, promhttp.HandlerOpts{EnableOpenMetrics: true}),
		Ready:   n.notReady, Log: n.log.Named("api"),
	})
	return err
}

// apiHandlers are the services, by path.
func (n *Node) apiHandlers() map[string]http.Handler {
	common := []connect.HandlerOption{connect.WithInterceptors(httpapi.Interceptor()), connect.WithRecover(n.recovered)}
	small := append(slices.Clone(common), connect.WithReadMaxBytes(maxMessage))
	large := append(slices.Clone(common), connect.WithReadMaxBytes(int(n.cfg.Serve.MaxModule)+publishSlack))
	chunk := append(slices.Clone(common), connect.WithReadMaxBytes(maxMessage+1024))
	out := map[string]http.Handler{}
	add := func(path string, h http.Handler) { out[path] = h }
	add(nodev1connect.NewNodeServiceHandler(nodeService{n}, small...))
	add(nodev1connect.NewCardServiceHandler(cardService{n}, large...))
	add(nodev1connect.NewFindServiceHandler(findService{n}, small...))
	add(nodev1connect.NewIndexServiceHandler(indexService{n}, small...))
	add(nodev1connect.NewTaskServiceHandler(taskService{n: n, running: newRunningTasks()}, small...))
	add(nodev1connect.NewReceiptServiceHandler(receiptService{n}, small...))
	add(nodev1connect.NewGuildServiceHandler(guildService{n}, small...))
	add(nodev1connect.NewChannelServiceHandler(channelService{n}, small...))
	add(nodev1connect.NewReputationServiceHandler(reputationService{n}, small...))
	add(nodev1connect.NewRouteServiceHandler(routeService{n}, small...))
	add(nodev1connect.NewPluginServiceHandler(pluginService{n}, small...))
	add(nodev1connect.NewArtifactServiceHandler(artifactService{n}, chunk...))
	add(nodev1connect.NewAuditServiceHandler(auditService{n}, small...))
	return out
}

// recovered logs a handler's panic and answers an error; the node goes on.
func (n *Node) recovered(_ context.Context, s connect.Spec, _ http.Header, v any) error {
	n.log.Error("api call panicked", "procedure", s.Procedure, "panic", v)
	return httpapi.Recovered(v)
}

// notReady says what is missing before the node serves, in words.
func (n *Node) notReady() []string {
	var out []string
	if !n.joined.Load() {
		out = append(out, "the network is not joined yet")
	}
	if !n.ready.Load() {
		out = append(out, "the configured agents are not published yet")
	}
	status := n.plugins.Status()
	for _, kind := range supervise.KindsFor(n.cfg) {
		name, block := n.cfg.Used(kind)
		serves := slices.ContainsFunc(status, func(s supervise.Status) bool {
			return s.Kind == string(kind) && s.State == supervise.StateReady
		})
		if !serves && block.Required {
			out = append(out, fmt.Sprintf("plugin %s %s is not ready", kind, name))
		}
	}
	return out
}

// nodeService tells about the node itself.
type nodeService struct{ n *Node }

// reply wraps an answer.
func reply[T any](m *T, err error) (*connect.Response[T], error) {
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(m), nil
}

// parseDID reads a whole did of a request's field.
func parseDID(field, s string) (core.DID, error) {
	did, err := core.ParseDID(s)
	if err != nil {
		return "", &core.FieldError{Path: field, Problem: fmt.Sprintf("%q is no did (%v)", s, err)}
	}
	return did, nil
}

// agentArg reads the agent that a person means: one of this node by name, a whole
// did, or the start of exactly one that this node has come across, with or
// without did:key:. Errors: core.ErrNotFound, core.ErrInvalid for a start of two.
func (n *Node) agentArg(field, s string) (core.DID, error) {
	if a, err := n.cards.byNameOrDID(s); err == nil {
		return a.signer.DID(), nil
	}
	if did, err := core.ParseDID(s); err == nil {
		return did, nil
	}
	prefix := "did:key:" + strings.TrimPrefix(s, "did:key:")
	if len(prefix) < len("did:key:z6Mk")+2 {
		return "", &core.FieldError{Path: field, Problem: fmt.Sprintf("%q is neither an agent of this node nor the start of a did", s)}
	}
	var found string
	for p, err := range n.store.Scan(knownPrefix + prefix) {
		if err != nil {
			return "", err
		}
		if found != "" {
			return "", &core.FieldError{Path: field, Problem: fmt.Sprintf("%q is the start of more than one did", s)}
		}
		found = strings.TrimPrefix(p.Key, knownPrefix)
	}
	if found == "" {
		return "", fmt.Errorf("no did that starts with %q is known here; give the whole did: %w", s, core.ErrNotFound)
	}
	return core.ParseDID(found)
}

// errNoRole says that a node does not do what was asked of it.
func errNoRole(role string) error {
	return fmt.Errorf("this node does not have the role %s (node.roles): %w", role, core.ErrUnsupported)
}

func evidenceOf(e Evidence) *nodev1.Evidence {
	out := &nodev1.Evidence{
		Holders: int64(e.Holders), Asked: int64(e.Asked), Seq: int64(e.Seq), AgeMs: e.Age.Milliseconds(), Confirmed: e.Confirmed,
		Cached: e.Cached, LatencyMs: float64(e.Latency.Microseconds()) / 1000, Basis: e.Basis,
	}
	for _, did := range e.IndexNodes {
		out.IndexNodes = append(out.IndexNodes, string(did))
	}
	return out
}

// isAbsent reports whether err says that nothing of the kind is here.
func isAbsent(err error) bool { return errors.Is(err, core.ErrNotFound) }

// milliseconds is a duration as the API gives it.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
