package host

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/config"
	"github.com/zerostate/zerostate/host/internal/store"
	"github.com/zerostate/zerostate/host/internal/supervise"
	"github.com/zerostate/zerostate/plugin/sdk"
)

// Status answers who the node is and how it does.
func (s nodeService) Status(ctx context.Context, _ *connect.Request[nodev1.StatusRequest]) (*connect.Response[nodev1.StatusResponse], error) {
	n := s.n
	c := n.cfg
	missing := n.notReady()
	out := &nodev1.StatusResponse{
		Name: c.Node.Name, Version: n.version, Did: string(n.DID()), PeerId: n.net.PeerID().String(), Network: c.Network.ID,
		Region: c.Node.Region, Roles: c.Node.Roles, Addresses: n.net.Addrs(), Peers: int64(len(n.net.Peers())),
		DhtPeers: int64(n.net.RoutingTableSize()), Ready: len(missing) == 0, NotReady: missing, Pid: int64(os.Getpid()),
		Home: c.Node.Home, ApiAddress: n.api.Address(), JoinMs: milliseconds(time.Duration(n.joinTook.Load())),
	}
	for _, a := range n.cards.list() {
		if !a.tombstone {
			out.Cards++
		}
	}
	if n.index != nil {
		stats, err := n.index.index.Stats(ctx)
		if err != nil {
			out.NotReady = append(out.NotReady, "index: "+err.Error())
		}
		out.IndexItems = int64(stats.Items)
	}
	return connect.NewResponse(out), nil
}

// pluginService shows the plugins of the node.
type pluginService struct{ n *Node }

// List shows every plugin, fallbacks too.
func (s pluginService) List(context.Context, *connect.Request[nodev1.PluginListRequest]) (*connect.Response[nodev1.PluginListResponse], error) {
	out := &nodev1.PluginListResponse{}
	for _, p := range s.n.plugins.Status() {
		out.Plugins = append(out.Plugins, pluginOfStatus(p))
	}
	return connect.NewResponse(out), nil
}

func pluginOfStatus(p supervise.Status) *nodev1.PluginListResponse_Plugin {
	out := &nodev1.PluginListResponse_Plugin{
		Kind: p.Kind, Name: p.Name, Version: p.Version, Path: p.Path, Sha256: p.SHA256, Pid: int64(p.PID), State: string(p.State),
		Plugin: p.Plugin.Name, Capabilities: p.Plugin.Capabilities, Schema: schemaOf(p.Plugin), SinceUnixMs: p.Since.UnixMilli(), Restarts: int64(p.Restarts), LastError: p.LastError,
	}
	switch {
	case p.Confined:
		out.Confined = "landlock"
	case strings.HasPrefix(p.Path, config.Builtin):
		out.Confined = "in-process"
	default:
		out.Confined = "unconfined"
	}
	return out
}

// schemaOf is the schema of the plugin's own settings, as JSON.
func schemaOf(info sdk.Info) []byte {
	b, err := json.Marshal(info.Schema)
	if err != nil || info.Name == "" {
		return nil
	}
	return b
}

// indexService is the semantic index of a node with the index role.
type indexService struct{ n *Node }

// Upsert fetches, verifies and embeds the card of a did.
func (s indexService) Upsert(ctx context.Context, req *connect.Request[nodev1.IndexUpsertRequest]) (*connect.Response[nodev1.IndexUpsertResponse], error) {
	x := s.n.index
	if x == nil {
		return nil, errNoRole("index")
	}
	did, err := parseDID("did", req.Msg.GetDid())
	if err != nil {
		return nil, err
	}
	if err := x.refresh(ctx, did, ""); err != nil {
		return nil, err
	}
	e, err := x.entry(did)
	if isAbsent(err) { // revoked: its rows are gone
		return connect.NewResponse(&nodev1.IndexUpsertResponse{}), nil
	}
	return reply(&nodev1.IndexUpsertResponse{Items: int64(e.Offers)}, err)
}

// Query searches this node's own index only.
func (s indexService) Query(ctx context.Context, req *connect.Request[nodev1.IndexQueryRequest]) (*connect.Response[nodev1.IndexQueryResponse], error) {
	if s.n.index == nil {
		return nil, errNoRole("index")
	}
	hits, err := s.n.index.query(ctx, peerQuery(req.Msg))
	if err != nil {
		return nil, err
	}
	out := &nodev1.IndexQueryResponse{ModelDigest: hits.GetModelDigest()}
	for _, h := range hits.GetHits() {
		r, err := core.Parse[core.CardRecord](h.GetRecord())
		if err != nil {
			return nil, err
		}
		out.Hits = append(out.Hits, &nodev1.IndexQueryResponse_Hit{
			Did: string(r.DID), Offer: h.GetOffer(), Similarity: h.GetScore(), Record: h.GetRecord(),
		})
	}
	return connect.NewResponse(out), nil
}

// Stats counts what the index holds.
func (s indexService) Stats(ctx context.Context, _ *connect.Request[nodev1.IndexStatsRequest]) (*connect.Response[nodev1.IndexStatsResponse], error) {
	if s.n.index == nil {
		return nil, errNoRole("index")
	}
	stats, err := s.n.index.index.Stats(ctx)
	if err != nil {
		return nil, err
	}
	out := &nodev1.IndexStatsResponse{
		Items: int64(stats.Items), Deleted: int64(stats.Deleted), Dimensions: int64(stats.Dimensions), ModelDigest: stats.ModelDigest, Bytes: stats.Bytes,
	}
	for _, err := range store.ScanJSON[catalogEntry](s.n.store, catalogPrefix) {
		if err != nil {
			return nil, err
		}
		out.Cards++
	}
	return connect.NewResponse(out), nil
}
