package host

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"connectrpc.com/connect"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/core"
)

// guildService shows the guilds this node is a member of.
type guildService struct{ n *Node }

// List shows the guilds that live.
func (s guildService) List(context.Context, *connect.Request[nodev1.GuildListRequest]) (*connect.Response[nodev1.GuildListResponse], error) {
	out := &nodev1.GuildListResponse{}
	for _, g := range s.n.guilds.list() {
		out.Guilds = append(out.Guilds, &nodev1.GuildListResponse_Guild{
			Id: g.ID, Role: string(g.Role), Peer: string(g.Peer), Task: g.Task, ExpiresUnixMs: g.Expires.UnixMilli(), State: "live",
		})
	}
	return connect.NewResponse(out), nil
}

// Dissolve wipes a guild's keys, by its id or a unique start of it.
func (s guildService) Dissolve(_ context.Context, req *connect.Request[nodev1.GuildDissolveRequest]) (*connect.Response[nodev1.GuildDissolveResponse], error) {
	var ids []string
	for _, g := range s.n.guilds.list() {
		ids = append(ids, g.ID)
	}
	id, err := byPrefix("guild", req.Msg.GetGuild(), ids)
	if err != nil {
		return nil, err
	}
	return reply(&nodev1.GuildDissolveResponse{}, s.n.guilds.dissolve(id))
}

// byPrefix answers the one id that starts with prefix.
func byPrefix(what, prefix string, ids []string) (string, error) {
	var found string
	for _, id := range ids {
		switch {
		case id == prefix:
			return id, nil
		case prefix == "" || !strings.HasPrefix(id, prefix):
		case found != "" && found != id:
			return "", &core.FieldError{Path: what, Problem: fmt.Sprintf("%q is the start of more than one id", prefix)}
		default:
			found = id
		}
	}
	if found == "" {
		return "", fmt.Errorf("%s %.16q: %w", what, prefix, core.ErrNotFound)
	}
	return found, nil
}

// receiptService reads the receipts this node keeps.
type receiptService struct{ n *Node }

// Show answers the receipt of a task's last attempt, by task id or a unique
// start of it: as requester, else as worker.
func (s receiptService) Show(_ context.Context, req *connect.Request[nodev1.ReceiptShowRequest]) (*connect.Response[nodev1.ReceiptShowResponse], error) {
	receipt, err := s.n.receipts.newest(req.Msg.GetTask())
	return reply(&nodev1.ReceiptShowResponse{Receipt: receipt}, err)
}

// newest answers the receipt of the last attempt of the task that starts with
// prefix.
func (b *receiptBook) newest(prefix string) ([]byte, error) {
	if prefix == "" || strings.Contains(prefix, "/") {
		return nil, &core.FieldError{Path: "task", Problem: fmt.Sprintf("%q is no task id", prefix)}
	}
	var task string
	var last int64
	var receipt []byte
	for p, err := range b.store.Scan(receiptPrefix + prefix) {
		if err != nil {
			return nil, err
		}
		id, number, _ := strings.Cut(strings.TrimPrefix(p.Key, receiptPrefix), "/")
		number, _, _ = strings.Cut(number, "/")
		attempt, err := strconv.ParseInt(number, 10, 64)
		switch {
		case err != nil:
			return nil, fmt.Errorf("receipt %s: %w", p.Key, err)
		case task != "" && task != id:
			return nil, &core.FieldError{Path: "task", Problem: fmt.Sprintf("%q is the start of more than one task", prefix)}
		case attempt >= last:
			task, last, receipt = id, attempt, p.Value
		}
	}
	if receipt == nil {
		return nil, fmt.Errorf("no receipt of task %.16s: %w", prefix, core.ErrNotFound)
	}
	return receipt, nil
}
