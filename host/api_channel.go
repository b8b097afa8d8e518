package host

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"connectrpc.com/connect"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/core"
)

// channelService manages payment channels.
type channelService struct{ n *Node }

// book answers the node's channels, or why it has none.
func (s channelService) book() (*channels, error) {
	if s.n.channels == nil {
		return nil, errNoRole("edge")
	}
	return s.n.channels, nil
}

// lookup answers a channel by its id or a unique start of it.
func (s channelService) lookup(prefix string) (*channels, *channel, error) {
	c, err := s.book()
	if err != nil {
		return nil, nil, err
	}
	var ids []string
	for _, ch := range c.list() {
		ids = append(ids, ch.id)
	}
	id, err := byPrefix("channel", prefix, ids)
	if err != nil {
		return nil, nil, err
	}
	ch, err := c.lookup(id)
	return c, ch, err
}

// Open opens a channel to a node; a deposit of 0 is that of the policy.
func (s channelService) Open(ctx context.Context, req *connect.Request[nodev1.ChannelOpenRequest]) (*connect.Response[nodev1.ChannelOpenResponse], error) {
	c, err := s.book()
	if err != nil {
		return nil, err
	}
	peer, err := parseDID("peer", req.Msg.GetPeer())
	if err != nil {
		return nil, err
	}
	ch, err := c.openWith(ctx, peer, req.Msg.GetDepositMicros(), req.Msg.GetCurrency())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&nodev1.ChannelOpenResponse{Channel: channelMessage(ch)}), nil
}

// openWith opens another channel to payee, as its operator asks for: beside those
// that there are.
func (c *channels) openWith(ctx context.Context, payee core.DID, deposit int64, currency string) (*channel, error) {
	switch {
	case payee == c.self.DID():
		return nil, &core.FieldError{Path: "peer", Problem: "a node does not pay itself"}
	case deposit < 0:
		return nil, &core.FieldError{Path: "deposit_micros", Problem: "not negative"}
	}
	currency = cmp.Or(currency, c.terms.Currency)
	quote, err := c.payment.Quote(ctx, core.QuoteRequest{
		Price: core.Price{Currency: currency, Unit: "req", PriceMicros: 1, PerUnits: 1}, MaxUnits: 1, Currency: currency,
	})
	if err != nil {
		return nil, fmt.Errorf("quote: %w", err)
	}
	deposit = cmp.Or(deposit, max(c.terms.DepositMicros, quote.MinDepositMicros))
	if deposit < quote.MinDepositMicros {
		return nil, &core.FieldError{Path: "deposit_micros", Problem: fmt.Sprintf("%s wants at least %d", quote.Backend, quote.MinDepositMicros)}
	}
	l := c.link(payee)
	l.opening.Lock()
	defer l.opening.Unlock()
	return c.open(ctx, payee, deposit, quote)
}

// List shows every channel, open and closed.
func (s channelService) List(context.Context, *connect.Request[nodev1.ChannelListRequest]) (*connect.Response[nodev1.ChannelListResponse], error) {
	c, err := s.book()
	if err != nil {
		return nil, err
	}
	out := &nodev1.ChannelListResponse{}
	for _, ch := range c.list() {
		out.Channels = append(out.Channels, channelMessage(ch))
	}
	slices.SortFunc(out.Channels, func(a, b *nodev1.Channel) int {
		return cmp.Or(cmp.Compare(a.GetPeer(), b.GetPeer()), cmp.Compare(a.GetChannel(), b.GetChannel()))
	})
	return connect.NewResponse(out), nil
}

// Update brings both sides to the same state and settles what receipts allow.
func (s channelService) Update(ctx context.Context, req *connect.Request[nodev1.ChannelUpdateRequest]) (*connect.Response[nodev1.ChannelUpdateResponse], error) {
	c, ch, err := s.lookup(req.Msg.GetChannel())
	if err != nil {
		return nil, err
	}
	if ch.role != core.RolePayer {
		return nil, fmt.Errorf("channel %s: its payer asks for updates: %w", short(ch.id), core.ErrDenied)
	}
	if err := c.resync(ctx, ch); err != nil {
		return nil, err
	}
	return connect.NewResponse(&nodev1.ChannelUpdateResponse{Channel: channelMessage(ch)}), nil
}

// Close ends a channel by agreement.
func (s channelService) Close(ctx context.Context, req *connect.Request[nodev1.ChannelCloseRequest]) (*connect.Response[nodev1.ChannelCloseResponse], error) {
	c, ch, err := s.lookup(req.Msg.GetChannel())
	if err != nil {
		return nil, err
	}
	if ch, err = c.close(ctx, ch.id); err != nil {
		return nil, err
	}
	return connect.NewResponse(&nodev1.ChannelCloseResponse{Channel: channelMessage(ch)}), nil
}

// Dispute ends a channel without the other side.
func (s channelService) Dispute(ctx context.Context, req *connect.Request[nodev1.ChannelDisputeRequest]) (*connect.Response[nodev1.ChannelDisputeResponse], error) {
	c, ch, err := s.lookup(req.Msg.GetChannel())
	if err != nil {
		return nil, err
	}
	if ch, err = c.dispute(ctx, ch.id); err != nil {
		return nil, err
	}
	return connect.NewResponse(&nodev1.ChannelDisputeResponse{Channel: channelMessage(ch)}), nil
}

func channelMessage(ch *channel) *nodev1.Channel {
	i := ch.info()
	out := &nodev1.Channel{
		Channel: i.ID, Role: string(i.Role), Peer: string(i.Peer), Backend: i.Params.Backend, Currency: i.Params.Currency,
		DepositMicros: i.DepositMicros, PayerMicros: i.PayerMicros, PayeeMicros: i.PayeeMicros, LockedMicros: i.LockedMicros,
		Locks: int64(i.Locks), Version: i.Version, Final: i.Final, Disputed: i.Disputed, Closed: i.Final, State: i.State,
	}
	if params, err := i.Params.Bytes(); err == nil { // they were read from these bytes
		out.Params = params
	}
	return out
}
