package core

import (
	"context"
	"time"
)

// Payment keeps payment channels. It never signs and never calls back: where a
// signature is needed, a first call returns the unsigned document, the host
// checks, signs and exchanges it, and a second call under the same key commits
// it. How many signatures OpenRequest.Document (and Update's, Close's) bears
// tells which call it is:
//
//	payer, first call: no document -> the unsigned document, stored as the
//	channel's only pending one and synced before it is returned;
//	payee, first call: the payer's signature -> checked, nothing stored;
//	second call of both: both signatures -> committed and synced.
//
// The same key gives the same bytes again, also after a restart; another key
// while one is pending is ErrConflict with a *PendingError. Role checks: a
// payee can not propose and a payer does not take the payer's own half-signed
// document (ErrInvalid). A document that does not follow the committed state
// by the rules of CheckFollows is ErrConflict (it is stale or skips) or
// ErrInvalid (it can never follow). An unknown channel is ErrNotFound, a closed
// or frozen one ErrConflict. All methods are safe for concurrent use.
type Payment interface {
	// Quote says what a task of at most MaxUnits at Price locks up.
	// Another currency than the backend's is ErrUnsupported.
	Quote(ctx context.Context, req QuoteRequest) (Quote, error)
	// Open makes the channel that Params name; its document is the opening state.
	// A channel that is open already is ErrExists.
	Open(ctx context.Context, req OpenRequest) (PendingDocument, error)
	// Update moves a channel to its next state: locks added, locks settled.
	Update(ctx context.Context, req UpdateRequest) (PendingDocument, error)
	// Close ends a channel by agreement: a final state without locks.
	// Locks that are still held are ErrConflict.
	Close(ctx context.Context, req CloseRequest) (PendingDocument, error)
	// Dispute ends a channel without the other side: the first call answers an
	// unsigned claim, further first calls add receipts to it, and the call that
	// brings the signed Claim files it. A claim of the other side is filed the
	// same way. A filed claim freezes the channel.
	Dispute(ctx context.Context, req DisputeRequest) (PendingDocument, error)
	// Status answers what is known of one channel, or of all. After each
	// restart the host asks it and finishes what is pending.
	Status(ctx context.Context, req StatusRequest) ([]ChannelStatus, error)
}

// ChannelRole is our side of a channel.
type ChannelRole string

// The two sides of a channel.
const (
	RolePayer ChannelRole = "payer"
	RolePayee ChannelRole = "payee"
)

// QuoteRequest asks for the cost of a task.
type QuoteRequest struct {
	Price    Price
	MaxUnits int64  // at most this many units of Price.Unit
	Currency string // what the caller wants to pay in
}

// Quote is the answer to a QuoteRequest.
type Quote struct {
	MaxMicros        int64 // the charge of MaxUnits, rounded up
	Currency         string
	Backend          string // e.g. "mock"
	ChallengeWindow  time.Duration
	MinDepositMicros int64 // no channel opens with less
}

// OpenRequest opens a channel.
type OpenRequest struct {
	Key       string // idempotency key, not empty
	Role      ChannelRole
	Params    []byte    // canonical channel params
	AuditHead AuditHead // the payer's
	Document  []byte    // the opening state with its signatures so far; none in the payer's first call
}

// UpdateRequest moves a channel to its next state.
type UpdateRequest struct {
	Key      string // idempotency key, not empty
	Channel  string
	Role     ChannelRole
	Changes  Changes  // what the payer wants; first call only
	Receipts [][]byte // the envelopes that justify what is settled
	Document []byte   // the next state with its signatures so far; none in the payer's first call
}

// CloseRequest ends a channel by agreement.
type CloseRequest struct {
	Key       string // idempotency key, not empty
	Channel   string
	Role      ChannelRole
	AuditHead AuditHead // the payer's
	Document  []byte    // the final state with its signatures so far; none in the payer's first call
}

// DisputeRequest ends a channel without the other side.
type DisputeRequest struct {
	Key      string // idempotency key, not empty
	Channel  string
	State    []byte   // the highest state that both signed
	Receipts [][]byte // at most MaxClaimReceipts and MaxClaimReceiptBytes a call
	Claim    []byte   // the signed claim: file it; empty asks for the unsigned one
}

// PendingDocument is the answer of every call that changes something.
type PendingDocument struct {
	Document  []byte // canonical bytes, with the signatures it has so far
	Committed bool   // it holds now, durably
}

// StatusRequest asks for channels.
type StatusRequest struct {
	Channel string // empty: all
	Peer    DID    // empty: of every peer
}

// ChannelStatus is what a payment plugin knows of one channel.
type ChannelStatus struct {
	Channel      string
	Role         ChannelRole
	Params       []byte
	State        []byte // committed, with both signatures; empty before the opening state is
	Pending      []byte // the unsigned document that waits for its second call
	PendingKey   string
	Disputed     bool   // a claim is filed
	Claim        []byte // the filed claim
	Closed       bool
	PaidMicros   int64 // what the payee has got, once Closed
	RefundMicros int64 // what the payer got back, once Closed
}
