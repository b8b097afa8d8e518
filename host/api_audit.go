package host

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/core"
)

const (
	maxAuditEntries = 1000
	maxAuditHeads   = 10000
)

// auditService reads the audit log.
type auditService struct{ n *Node }

// Show answers entries from an index on; without a limit up to 1000.
func (s auditService) Show(_ context.Context, req *connect.Request[nodev1.AuditShowRequest]) (*connect.Response[nodev1.AuditShowResponse], error) {
	from, limit := req.Msg.GetFrom(), req.Msg.GetLimit()
	if from < 0 || limit < 0 {
		return nil, &core.FieldError{Path: "from", Problem: "from and limit are not negative"}
	}
	if limit == 0 || limit > maxAuditEntries {
		limit = maxAuditEntries
	}
	head := s.n.audit.current()
	entries, err := s.n.audit.entries(from, limit)
	return reply(&nodev1.AuditShowResponse{Entries: entries, Size: head.Size, Root: head.Root}, err)
}

// Verify checks every entry, the chain and its head, the anchors, and heads seen
// in given papers and in the states of our own channels, which payees hold too.
func (s auditService) Verify(_ context.Context, req *connect.Request[nodev1.AuditVerifyRequest]) (*connect.Response[nodev1.AuditVerifyResponse], error) {
	if n := len(req.Msg.GetHeads()); n > maxAuditHeads {
		return nil, &core.FieldError{Path: "heads", Problem: fmt.Sprintf("%d heads, at most %d", n, maxAuditHeads)}
	}
	seen := s.n.channelHeads()
	for i, h := range req.Msg.GetHeads() {
		if h.GetSize() < 0 {
			return nil, &core.FieldError{Path: fmt.Sprintf("heads[%d].size", i), Problem: "not negative"}
		}
		seen = append(seen, SeenHead{AuditHead: core.AuditHead{Size: h.GetSize(), Root: h.GetRoot()}, From: h.GetFrom()})
	}
	head, err := s.n.audit.verify(seen)
	if err != nil {
		return nil, err
	}
	anchors, err := s.n.audit.readAnchors()
	if err != nil {
		return nil, err
	}
	out := &nodev1.AuditVerifyResponse{Size: head.Size, Root: head.Root}
	for _, a := range anchors {
		out.Anchors = append(out.Anchors, anchorLine(a))
	}
	return connect.NewResponse(out), nil
}

// channelHeads are the heads of our log in the channel states that we proposed.
func (n *Node) channelHeads() []SeenHead {
	if n.channels == nil {
		return nil
	}
	var out []SeenHead
	for _, ch := range n.channels.list() {
		ch.mu.Lock()
		if ch.role == core.RolePayer && ch.state != nil {
			from := fmt.Sprintf("version %d of channel %s", ch.state.Version, short(ch.id))
			out = append(out, SeenHead{AuditHead: ch.state.AuditHead, From: from})
		}
		ch.mu.Unlock()
	}
	return out
}

// Anchor writes an anchor hash of the log's head now.
func (s auditService) Anchor(context.Context, *connect.Request[nodev1.AuditAnchorRequest]) (*connect.Response[nodev1.AuditAnchorResponse], error) {
	a, err := s.n.anchorAudit()
	return reply(&nodev1.AuditAnchorResponse{Size: a.Size, Root: a.Root, Anchor: anchorLine(a)}, err)
}

func anchorLine(a Anchor) string { return fmt.Sprintf("%s %d %s", a.Time, a.Size, a.Root) }
