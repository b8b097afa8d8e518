package fake_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk/sdktest"
	"github.com/zerostate/zerostate/plugin/sdk/sdktest/fake"
)

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// A dispute closes when its window is over, and takes nothing after that.
func TestDisputeWindow(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	payer, payee := sdktest.Signer("payer"), sdktest.Signer("payee")
	params := &core.Params{
		Backend: fake.Name, ChallengeWindowMs: 60_000, Currency: fake.Currency, DepositMicros: 1000, Network: sdktest.Network,
		Nonce: base64.RawURLEncoding.EncodeToString(make([]byte, 32)), Payer: payer.DID(), Payee: payee.DID(), Suite: core.SuiteEd25519,
	}
	data, err := params.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	pay := fake.NewPayment(payee.DID(), sdktest.Network, func() time.Time { return now })
	state, err := core.OpeningState(params, core.EmptyAuditHead())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []core.Signer{payer, payee} {
		if err := core.Sign(state, s); err != nil {
			t.Fatal(err)
		}
	}
	signed, err := core.Encode(state)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pay.Open(t.Context(), core.OpenRequest{Key: "o", Role: core.RolePayee, Params: data, Document: signed}); err != nil {
		t.Fatal(err)
	}
	req := core.DisputeRequest{Key: "d", Channel: state.Channel}
	refused := func(what string, change func(*core.DisputeRequest), want error) {
		t.Helper()
		r := req
		change(&r)
		if _, err := pay.Dispute(t.Context(), r); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", what, err, want)
		}
	}
	refused("no key", func(r *core.DisputeRequest) { r.Key = "" }, core.ErrInvalid)
	refused("no state", func(*core.DisputeRequest) {}, core.ErrInvalid)
	refused("too many receipts", func(r *core.DisputeRequest) { r.Receipts = make([][]byte, core.MaxClaimReceipts+1) }, core.ErrInvalid)
	req.State = signed
	draft, err := pay.Dispute(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	refused("another key while one pends", func(r *core.DisputeRequest) { r.Key = "e" }, core.ErrConflict)
	claim, err := core.Parse[core.Claim](draft.Document)
	if err != nil {
		t.Fatal(err)
	}
	refused("claim without its signature", func(r *core.DisputeRequest) { r.Claim = draft.Document }, core.ErrDenied)
	if err := core.Sign(claim, payee); err != nil {
		t.Fatal(err)
	}
	if req.Claim, err = core.Encode(claim); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second is a repetition
		if done, err := pay.Dispute(t.Context(), req); err != nil || !done.Committed {
			t.Fatalf("file: got %t, %v", done.Committed, err)
		}
	}
	status := func() core.ChannelStatus {
		t.Helper()
		all, err := pay.Status(t.Context(), core.StatusRequest{Channel: state.Channel})
		if err != nil {
			t.Fatal(err)
		}
		return all[0]
	}
	if s := status(); !s.Disputed || s.Closed {
		t.Errorf("within the window: got %+v", s)
	}
	now = now.Add(time.Minute)
	if s := status(); !s.Closed || s.RefundMicros != 1000 || s.PaidMicros != 0 {
		t.Errorf("after the window: got %+v, want everything back", s)
	}
	refused("claim after the window", func(r *core.DisputeRequest) { r.Key = "late" }, core.ErrConflict)
}
