package sdk

import (
	"context"

	"google.golang.org/grpc"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk/internal/pluginpb/paymentpb"
)

func registerPayment(s grpc.ServiceRegistrar, impl func() (core.Payment, error)) {
	paymentpb.RegisterPaymentServiceServer(s, &paymentServer{impl: impl})
}

func connectPayment(cc grpc.ClientConnInterface) core.Payment {
	return &paymentClient{rpc: paymentpb.NewPaymentServiceClient(cc)}
}

// paymentServer is the plugin's side: it calls a core.Payment.
type paymentServer struct {
	paymentpb.UnimplementedPaymentServiceServer
	impl func() (core.Payment, error)
}

func (s *paymentServer) Quote(ctx context.Context, req *paymentpb.QuoteRequest) (*paymentpb.QuoteResponse, error) {
	impl, err := s.impl()
	if err != nil {
		return nil, err
	}
	q, err := impl.Quote(ctx, core.QuoteRequest{
		MaxUnits: req.GetMaxUnits(), Currency: req.GetCurrency(),
		Price: core.Price{
			Currency: req.GetPrice().GetCurrency(), Unit: req.GetPrice().GetUnit(),
			PriceMicros: req.GetPrice().GetPriceMicros(), PerUnits: req.GetPrice().GetPerUnits(),
		},
	})
	if err != nil {
		return nil, err
	}
	return &paymentpb.QuoteResponse{
		MaxMicros: q.MaxMicros, Currency: q.Currency, Backend: q.Backend,
		ChallengeWindow: duration(q.ChallengeWindow), MinDepositMicros: q.MinDepositMicros,
	}, nil
}

func (s *paymentServer) Open(ctx context.Context, req *paymentpb.OpenRequest) (*paymentpb.OpenResponse, error) {
	impl, err := s.impl()
	if err != nil {
		return nil, err
	}
	doc, err := impl.Open(ctx, core.OpenRequest{
		Key: req.GetKey(), Role: roleFromPB(req.GetRole()), Params: req.GetParams(),
		AuditHead: headFromPB(req.GetAuditHead()), Document: req.GetDocument(),
	})
	if err != nil {
		return nil, err
	}
	return &paymentpb.OpenResponse{Document: doc.Document, Committed: doc.Committed}, nil
}

func (s *paymentServer) Update(ctx context.Context, req *paymentpb.UpdateRequest) (*paymentpb.UpdateResponse, error) {
	impl, err := s.impl()
	if err != nil {
		return nil, err
	}
	changes, err := changesFromPB(req.GetChanges())
	if err != nil {
		return nil, err
	}
	doc, err := impl.Update(ctx, core.UpdateRequest{
		Key: req.GetKey(), Channel: req.GetChannel(), Role: roleFromPB(req.GetRole()),
		Changes: changes, Receipts: req.GetReceipts(), Document: req.GetDocument(),
	})
	if err != nil {
		return nil, err
	}
	return &paymentpb.UpdateResponse{Document: doc.Document, Committed: doc.Committed}, nil
}

func (s *paymentServer) Close(ctx context.Context, req *paymentpb.CloseRequest) (*paymentpb.CloseResponse, error) {
	impl, err := s.impl()
	if err != nil {
		return nil, err
	}
	doc, err := impl.Close(ctx, core.CloseRequest{
		Key: req.GetKey(), Channel: req.GetChannel(), Role: roleFromPB(req.GetRole()),
		AuditHead: headFromPB(req.GetAuditHead()), Document: req.GetDocument(),
	})
	if err != nil {
		return nil, err
	}
	return &paymentpb.CloseResponse{Document: doc.Document, Committed: doc.Committed}, nil
}

func (s *paymentServer) Dispute(ctx context.Context, req *paymentpb.DisputeRequest) (*paymentpb.DisputeResponse, error) {
	impl, err := s.impl()
	if err != nil {
		return nil, err
	}
	doc, err := impl.Dispute(ctx, core.DisputeRequest{
		Key: req.GetKey(), Channel: req.GetChannel(), State: req.GetState(), Receipts: req.GetReceipts(), Claim: req.GetClaim(),
	})
	if err != nil {
		return nil, err
	}
	return &paymentpb.DisputeResponse{Document: doc.Document, Committed: doc.Committed}, nil
}

func (s *paymentServer) Status(ctx context.Context, req *paymentpb.StatusRequest) (*paymentpb.StatusResponse, error) {
	impl, err := s.impl()
	if err != nil {
		return nil, err
	}
	channels, err := impl.Status(ctx, core.StatusRequest{Channel: req.GetChannel(), Peer: core.DID(req.GetPeer())})
	if err != nil {
		return nil, err
	}
	return &paymentpb.StatusResponse{Channels: mapSlice(channels, channelToPB)}, nil
}

// paymentClient is the host's side: a core.Payment that calls a plugin.
type paymentClient struct {
	rpc paymentpb.PaymentServiceClient
}

func (c *paymentClient) Quote(ctx context.Context, req core.QuoteRequest) (core.Quote, error) {
	resp, err := c.rpc.Quote(ctx, &paymentpb.QuoteRequest{
		MaxUnits: req.MaxUnits, Currency: req.Currency,
		Price: &paymentpb.Price{
			Currency: req.Price.Currency, Unit: req.Price.Unit, PriceMicros: req.Price.PriceMicros, PerUnits: req.Price.PerUnits,
		},
	})
	if err != nil {
		return core.Quote{}, err
	}
	return core.Quote{
		MaxMicros: resp.GetMaxMicros(), Currency: resp.GetCurrency(), Backend: resp.GetBackend(),
		ChallengeWindow: resp.GetChallengeWindow().AsDuration(), MinDepositMicros: resp.GetMinDepositMicros(),
	}, nil
}

func (c *paymentClient) Open(ctx context.Context, req core.OpenRequest) (core.PendingDocument, error) {
	resp, err := c.rpc.Open(ctx, &paymentpb.OpenRequest{
		Key: req.Key, Role: roleToPB(req.Role), Params: req.Params, AuditHead: headToPB(req.AuditHead), Document: req.Document,
	})
	return pendingFromPB(resp, err)
}

func (c *paymentClient) Update(ctx context.Context, req core.UpdateRequest) (core.PendingDocument, error) {
	resp, err := c.rpc.Update(ctx, &paymentpb.UpdateRequest{
		Key: req.Key, Channel: req.Channel, Role: roleToPB(req.Role), Changes: changesToPB(req.Changes),
		Receipts: req.Receipts, Document: req.Document,
	})
	return pendingFromPB(resp, err)
}

func (c *paymentClient) Close(ctx context.Context, req core.CloseRequest) (core.PendingDocument, error) {
	resp, err := c.rpc.Close(ctx, &paymentpb.CloseRequest{
		Key: req.Key, Channel: req.Channel, Role: roleToPB(req.Role), AuditHead: headToPB(req.AuditHead), Document: req.Document,
	})
	return pendingFromPB(resp, err)
}

func (c *paymentClient) Dispute(ctx context.Context, req core.DisputeRequest) (core.PendingDocument, error) {
	resp, err := c.rpc.Dispute(ctx, &paymentpb.DisputeRequest{
		Key: req.Key, Channel: req.Channel, State: req.State, Receipts: req.Receipts, Claim: req.Claim,
	})
	return pendingFromPB(resp, err)
}

func (c *paymentClient) Status(ctx context.Context, req core.StatusRequest) ([]core.ChannelStatus, error) {
	resp, err := c.rpc.Status(ctx, &paymentpb.StatusRequest{Channel: req.Channel, Peer: string(req.Peer)})
	if err != nil {
		return nil, err
	}
	return mapSlice(resp.GetChannels(), channelFromPB), nil
}

// pendingFromPB reads the answer that all changing calls have in common.
func pendingFromPB(resp interface {
	GetDocument() []byte
	GetCommitted() bool
}, err error,
) (core.PendingDocument, error) {
	if err != nil {
		return core.PendingDocument{}, err
	}
	return core.PendingDocument{Document: resp.GetDocument(), Committed: resp.GetCommitted()}, nil
}

func roleToPB(r core.ChannelRole) paymentpb.Role {
	switch r {
	case core.RolePayer:
		return paymentpb.Role_ROLE_PAYER
	case core.RolePayee:
		return paymentpb.Role_ROLE_PAYEE
	default:
		return paymentpb.Role_ROLE_UNSPECIFIED
	}
}

// roleFromPB gives an unknown role as the empty one, which plugins refuse.
func roleFromPB(r paymentpb.Role) core.ChannelRole {
	switch r {
	case paymentpb.Role_ROLE_PAYER:
		return core.RolePayer
	case paymentpb.Role_ROLE_PAYEE:
		return core.RolePayee
	default:
		return ""
	}
}

func headToPB(h core.AuditHead) *paymentpb.AuditHead {
	return &paymentpb.AuditHead{Size: h.Size, Root: h.Root}
}

func headFromPB(h *paymentpb.AuditHead) core.AuditHead {
	return core.AuditHead{Size: h.GetSize(), Root: h.GetRoot()}
}

func changesToPB(ch core.Changes) *paymentpb.Changes {
	return &paymentpb.Changes{
		Final: ch.Final, AuditHead: headToPB(ch.AuditHead),
		Add: mapSlice(ch.Add, func(l core.Lock) *paymentpb.Lock {
			return &paymentpb.Lock{
				Task: l.Task, Attempt: l.Attempt, Agent: string(l.Agent), MaxMicros: l.MaxMicros,
				PriceHash: l.PriceHash, Expires: timeToPB(l.Expires),
			}
		}),
		Settle: mapSlice(ch.Settle, func(s core.Settlement) *paymentpb.Settlement {
			return &paymentpb.Settlement{Task: s.Task, Attempt: s.Attempt, ChargeMicros: s.ChargeMicros}
		}),
	}
}

func changesFromPB(ch *paymentpb.Changes) (core.Changes, error) {
	out := core.Changes{Final: ch.GetFinal(), AuditHead: headFromPB(ch.GetAuditHead())}
	for _, l := range ch.GetAdd() {
		expires, err := timeFromPB("changes.add.expires", l.GetExpires())
		if err != nil {
			return core.Changes{}, err
		}
		out.Add = append(out.Add, core.Lock{
			Task: l.GetTask(), Attempt: l.GetAttempt(), Agent: core.DID(l.GetAgent()), MaxMicros: l.GetMaxMicros(),
			PriceHash: l.GetPriceHash(), Expires: expires,
		})
	}
	out.Settle = mapSlice(ch.GetSettle(), func(s *paymentpb.Settlement) core.Settlement {
		return core.Settlement{Task: s.GetTask(), Attempt: s.GetAttempt(), ChargeMicros: s.GetChargeMicros()}
	})
	return out, nil
}

func channelToPB(c core.ChannelStatus) *paymentpb.ChannelStatus {
	return &paymentpb.ChannelStatus{
		Channel: c.Channel, Role: roleToPB(c.Role), Params: c.Params, State: c.State, Pending: c.Pending, PendingKey: c.PendingKey,
		Disputed: c.Disputed, Claim: c.Claim, Closed: c.Closed, PaidMicros: c.PaidMicros, RefundMicros: c.RefundMicros,
	}
}

func channelFromPB(c *paymentpb.ChannelStatus) core.ChannelStatus {
	return core.ChannelStatus{
		Channel: c.GetChannel(), Role: roleFromPB(c.GetRole()), Params: c.GetParams(), State: c.GetState(),
		Pending: c.GetPending(), PendingKey: c.GetPendingKey(), Disputed: c.GetDisputed(), Claim: c.GetClaim(),
		Closed: c.GetClosed(), PaidMicros: c.GetPaidMicros(), RefundMicros: c.GetRefundMicros(),
	}
}
