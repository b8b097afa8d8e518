// Package client speaks to a running node over the unix socket of its home. Dial
// makes a Client; Sentinel turns its errors back into core's.
package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"connectrpc.com/connect"

	"github.com/zerostate/zerostate/api/nodev1/nodev1connect"
	"github.com/zerostate/zerostate/core"
)

// Client is a node's API, one client a service.
type Client struct {
	Node       nodev1connect.NodeServiceClient
	Card       nodev1connect.CardServiceClient
	Find       nodev1connect.FindServiceClient
	Index      nodev1connect.IndexServiceClient
	Task       nodev1connect.TaskServiceClient
	Receipt    nodev1connect.ReceiptServiceClient
	Guild      nodev1connect.GuildServiceClient
	Channel    nodev1connect.ChannelServiceClient
	Reputation nodev1connect.ReputationServiceClient
	Route      nodev1connect.RouteServiceClient
	Plugin     nodev1connect.PluginServiceClient
	Artifact   nodev1connect.ArtifactServiceClient
	Audit      nodev1connect.AuditServiceClient

	transport *http.Transport
}

// Dial returns a client of the node whose home and socket these are; an empty
// socket is <home>/node.sock. It reads the token of the home. Nothing is sent
// yet. core.ErrUnavailable where no node ever ran there.
func Dial(home, socket string) (*Client, error) {
	if socket == "" {
		socket = filepath.Join(home, "node.sock")
	}
	token, err := os.ReadFile(filepath.Join(home, "api.token")) //nolint:gosec // the operator names the home
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no node has run in %s; start one with: zerostate up --home %s: %w", home, home, core.ErrUnavailable)
	}
	if err != nil {
		return nil, fmt.Errorf("read the API token: %w", err)
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
				return nil, fmt.Errorf("no node answers on %s; start one with: zerostate up --home %s", socket, home)
			}
			return conn, err
		},
		DisableCompression: true,
	}
	c := &Client{transport: transport}
	c.connect(&http.Client{Transport: transport}, bearer(strings.TrimSpace(string(token))))
	return c, nil
}

func (c *Client) connect(h *http.Client, auth connect.Interceptor) {
	const base = "http://localhost"
	opt := connect.WithInterceptors(auth)
	c.Node = nodev1connect.NewNodeServiceClient(h, base, opt)
	c.Card = nodev1connect.NewCardServiceClient(h, base, opt)
	c.Find = nodev1connect.NewFindServiceClient(h, base, opt)
	c.Index = nodev1connect.NewIndexServiceClient(h, base, opt)
	c.Task = nodev1connect.NewTaskServiceClient(h, base, opt)
	c.Receipt = nodev1connect.NewReceiptServiceClient(h, base, opt)
	c.Guild = nodev1connect.NewGuildServiceClient(h, base, opt)
	c.Channel = nodev1connect.NewChannelServiceClient(h, base, opt)
	c.Reputation = nodev1connect.NewReputationServiceClient(h, base, opt)
	c.Route = nodev1connect.NewRouteServiceClient(h, base, opt)
	c.Plugin = nodev1connect.NewPluginServiceClient(h, base, opt)
	c.Artifact = nodev1connect.NewArtifactServiceClient(h, base, opt)
	c.Audit = nodev1connect.NewAuditServiceClient(h, base, opt)
}

// Close ends idle connections.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// bearer sends the token with every call.
type bearer string

// WrapUnary adds the token.
func (b bearer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		req.Header().Set("Authorization", "Bearer "+string(b))
		return next(ctx, req)
	}
}

// WrapStreamingClient adds the token.
func (b bearer) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		conn.RequestHeader().Set("Authorization", "Bearer "+string(b))
		return conn
	}
}

// WrapStreamingHandler is for servers; it changes nothing.
func (b bearer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}
