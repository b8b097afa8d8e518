package host

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"connectrpc.com/connect"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/core"
)

// cardService publishes and resolves agent cards.
type cardService struct{ n *Node }

// Publish signs and announces the card of a configured agent, or of a card spec
// with its task manifest.
func (s cardService) Publish(ctx context.Context, req *connect.Request[nodev1.PublishRequest]) (_ *connect.Response[nodev1.PublishResponse], err error) {
	m := req.Msg
	ctx, span := s.n.tel.start(ctx, "publish")
	defer func() { span.end(err) }()
	src, err := s.source(m)
	if err != nil {
		return nil, err
	}
	p, err := s.n.cards.publish(ctx, m.GetAgent(), src, m.GetOnlyUpdate())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&nodev1.PublishResponse{
		Did: string(p.DID), Cid: p.CID, Seq: int64(p.Seq), Card: p.Card, Holders: int64(p.Holders),
	}), nil
}

// source is what a card is made of: the files of the configuration, or those of
// the request, under the names by which they speak of each other.
func (s cardService) source(m *nodev1.PublishRequest) (Source, error) {
	if len(m.GetCardSpec()) == 0 {
		a, ok := s.n.cfg.Agent[m.GetAgent()]
		if !ok {
			return Source{}, fmt.Errorf("no agent %q in the configuration; give its card.yaml and task.yaml: %w", m.GetAgent(), core.ErrNotFound)
		}
		return ReadSource(a.Card, a.Manifest)
	}
	src := Source{Card: m.GetCardSpec(), CardName: "card.yaml", Files: map[string][]byte{}}
	spec, err := core.ParseCardSpec(src.Card, src.CardName)
	if err != nil {
		return Source{}, err
	}
	for i, o := range spec.Offers {
		if i > 0 && o.Manifest != spec.Offers[0].Manifest {
			return Source{}, &core.FieldError{
				Path:    fmt.Sprintf("offers[%d].manifest", i),
				Problem: "a request carries one manifest; an agent with several is published from the configuration",
			}
		}
		manifest, err := core.ParseManifest(m.GetManifest(), o.Manifest)
		if err != nil {
			return Source{}, err
		}
		src.Files[o.Manifest] = m.GetManifest()
		if file, ok := manifest.Spec.Module.File(); ok {
			src.Files[filepath.ToSlash(filepath.Join(filepath.Dir(o.Manifest), file))] = m.GetModule()
		}
	}
	return src, nil
}

// Revoke writes the final tombstone of one of our agents.
func (s cardService) Revoke(ctx context.Context, req *connect.Request[nodev1.RevokeRequest]) (*connect.Response[nodev1.RevokeResponse], error) {
	did, record, err := s.n.cards.revoke(ctx, req.Msg.GetAgent())
	if err != nil {
		return nil, err
	}
	r, err := core.Parse[core.CardRecord](record)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&nodev1.RevokeResponse{Did: string(did), Seq: int64(r.Seq), Record: record}), nil
}

// Resolve asks the DHT for the newest card of a did. One that was revoked is
// core.ErrDenied, and the text says when.
func (s cardService) Resolve(ctx context.Context, req *connect.Request[nodev1.ResolveRequest]) (_ *connect.Response[nodev1.ResolveResponse], err error) {
	ctx, span := s.n.tel.start(ctx, "resolve")
	defer func() { span.end(err) }()
	if req.Msg.GetMinSeq() < 0 {
		return nil, &core.FieldError{Path: "min_seq", Problem: "not negative"}
	}
	did, err := s.n.agentArg("did", req.Msg.GetDid())
	if err != nil {
		return nil, err
	}
	l, err := s.n.directory.resolve(ctx, did, core.Millis(req.Msg.GetMinSeq()), true)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&nodev1.ResolveResponse{Record: l.raw, Card: l.cardRaw, Evidence: evidenceOf(l.evidence)}), nil
}

// List shows the cards that this node publishes, the revoked ones too.
func (s cardService) List(context.Context, *connect.Request[nodev1.CardListRequest]) (*connect.Response[nodev1.CardListResponse], error) {
	out := &nodev1.CardListResponse{}
	for _, a := range s.n.cards.list() {
		p := a.card.Params()
		e := &nodev1.CardListResponse_Entry{
			Name: a.name, Did: string(a.signer.DID()), Seq: int64(p.Seq), Status: string(p.Status), Cid: a.cid, Card: a.cardBytes,
			ExpiresUnix: p.Expires.Time().Unix(), Prepared: a.prepared.Load(),
		}
		if took, ok := s.n.published.Load(string(a.signer.DID())); ok {
			e.PublishMs = milliseconds(took.(time.Duration)) //nolint:forcetypeassert // only publishConfigured stores
		}
		if a.tombstone {
			e.Status, e.Cid, e.Card, e.ExpiresUnix = "revoked", "", nil, 0
		}
		out.Cards = append(out.Cards, e)
	}
	return connect.NewResponse(out), nil
}
