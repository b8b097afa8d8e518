package sdktest

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/zerostate/zerostate/core"
)

// Payment returns the suite of plugins of kind payment. Channels are in the
// currency TEST.
func Payment() Suite[core.Payment] {
	return Suite[core.Payment]{
		{Name: "quote", Run: payQuote},
		{Name: "open", Run: payOpen},
		{Name: "roles", Run: payRoles},
		{Name: "signatures", Run: paySignatures},
		{Name: "lock-and-settle", Run: payLockAndSettle},
		{Name: "keys", Run: payKeys},
		{Name: "refuses", Run: payRefuses},
		{Name: "close", Run: payClose},
		{Name: "dispute", Run: payDispute},
		{Name: "concurrent", Run: payConcurrent},
		{Name: "ended-context", Run: payEnded},
		{Name: "durable", Durable: true, Run: payDurable},
	}
}

// pair is the two sides of one channel.
type pair struct {
	t            T
	payer, payee core.Payment
	params       *core.Params
	bytes        []byte
	id           string
	version      int
}

func newPair(t T, s Subject[core.Payment]) *pair {
	t.Helper()
	p := &pair{t: t, payer: openAt(t, s, place(t, "payer")), payee: openAt(t, s, place(t, "payee"))}
	p.name("channel", p.backend())
	return p
}

// backend is what the plugin calls itself in params.
func (p *pair) backend() core.Quote {
	p.t.Helper()
	quote, err := p.payer.Quote(p.t.Context(), core.QuoteRequest{Price: testPrice, MaxUnits: 1, Currency: "TEST"})
	must(p.t, "quote", err)
	return quote
}

var testPrice = core.Price{Currency: "TEST", Unit: core.UnitRequest, PriceMicros: 10, PerUnits: 1}

// name makes the params of a channel.
func (p *pair) name(nonceName string, quote core.Quote) {
	p.t.Helper()
	p.params = &core.Params{
		Backend: quote.Backend, ChallengeWindowMs: quote.ChallengeWindow.Milliseconds(), Currency: "TEST",
		DepositMicros: max(quote.MinDepositMicros, 100_000), Network: Network, Nonce: nonce(nonceName),
		Payer: Signer("payer").DID(), Payee: Signer("payee").DID(), Suite: core.SuiteEd25519,
	}
	var err error
	p.bytes, err = p.params.Bytes()
	must(p.t, "params", err)
	p.id, err = p.params.ChannelID()
	must(p.t, "channel id", err)
}

// sign adds the signature of a side to a state.
func (p *pair) sign(document []byte, side string) []byte {
	p.t.Helper()
	state, err := p.params.ParseState(document)
	must(p.t, "parse state", err)
	must(p.t, "sign state", core.Sign(state, Signer(side)))
	out, err := core.Encode(state)
	must(p.t, "encode state", err)
	return out
}

// agree takes an unsigned document through both sides: call makes the call of a
// side with a document.
func (p *pair) agree(unsigned []byte, call func(side core.Payment, role core.ChannelRole, document []byte) (core.PendingDocument, error)) []byte {
	p.t.Helper()
	half := p.sign(unsigned, "payer")
	checked, err := call(p.payee, core.RolePayee, half)
	must(p.t, "payee checks", err)
	if checked.Committed {
		p.t.Errorf("payee's first call: committed, want nothing stored")
	}
	both := p.sign(half, "payee")
	for _, side := range []core.ChannelRole{core.RolePayee, core.RolePayer} {
		impl := map[core.ChannelRole]core.Payment{core.RolePayee: p.payee, core.RolePayer: p.payer}[side]
		for range 2 { // the second time is a repetition after a crash
			done, err := call(impl, side, both)
			must(p.t, string(side)+" commits", err)
			if !done.Committed || !bytes.Equal(done.Document, both) {
				p.t.Errorf("%s commits: got committed %t, want the document with both signatures", side, done.Committed)
			}
		}
	}
	return both
}

func (p *pair) openRequest(key string, role core.ChannelRole, document []byte) core.OpenRequest {
	return core.OpenRequest{Key: key, Role: role, Params: p.bytes, AuditHead: core.EmptyAuditHead(), Document: document}
}

// open opens the channel on both sides.
func (p *pair) open() []byte {
	p.t.Helper()
	first, err := p.payer.Open(p.t.Context(), p.openRequest("open", core.RolePayer, nil))
	must(p.t, "open", err)
	return p.agree(first.Document, func(side core.Payment, role core.ChannelRole, document []byte) (core.PendingDocument, error) {
		return side.Open(p.t.Context(), p.openRequest("open", role, document))
	})
}

// update moves the channel on both sides.
func (p *pair) update(changes core.Changes, receipts ...[]byte) []byte {
	p.t.Helper()
	p.version++
	key := numbered("update", p.version)
	changes.AuditHead = core.EmptyAuditHead()
	req := core.UpdateRequest{Key: key, Channel: p.id, Role: core.RolePayer, Changes: changes, Receipts: receipts}
	first, err := p.payer.Update(p.t.Context(), req)
	must(p.t, "update", err)
	return p.agree(first.Document, func(side core.Payment, role core.ChannelRole, document []byte) (core.PendingDocument, error) {
		return side.Update(p.t.Context(), core.UpdateRequest{
			Key: key, Channel: p.id, Role: role, Receipts: receipts, Document: document,
		})
	})
}

// lock is a lock for a task, and the worker's receipt that ends it.
func (p *pair) lock(taskName string) (core.Lock, []byte) {
	p.t.Helper()
	task := newTask(p.t, guestHello, testDoc, taskName)
	id, err := task.TaskID()
	must(p.t, "task id", err)
	hash, err := core.PriceHash(task.Spec.Settlement)
	must(p.t, "price hash", err)
	lock := core.Lock{
		Agent: Signer("agent").DID(), Attempt: 1, Expires: core.TimeOf(time.Now().Add(5 * time.Minute)),
		MaxMicros: 50, PriceHash: hash, Task: id,
	}
	digest, err := core.LockDigest(lock)
	must(p.t, "lock digest", err)
	now := core.TimeOf(time.Now())
	receipt, err := core.NewReceipt(task, core.ReceiptTerms{
		Network: Network, RequesterNode: p.params.Payer, WorkerNode: p.params.Payee, Agent: lock.Agent,
		CardCID: core.CardCID([]byte("card")), Requester: p.params.Payer, Attempt: 1, Guild: sha([]byte("guild")),
		Executor: core.ReceiptExecutor{Name: "fake", Version: "1.0.0"}, MaxMicros: lock.MaxMicros, Channel: p.id, Lock: digest,
	}, core.RunResult{
		Outcome: core.OutcomeOK, Engine: core.EngineInfo{Name: "fake", Version: "1.0.0", Pass: "none"},
		Metering: core.Metering{Verifiable: core.VerifiableMetering{Req: 1, Byte: 30, PeakPages: 1}},
		Outputs:  []core.RunOutputDigest{{Name: core.StdoutName, SHA256: sha([]byte(greeting)), SizeBytes: int64(len(greeting))}},
	}, core.ReceiptTimes{Started: now, Finished: now}, core.EmptyAuditHead())
	must(p.t, "receipt", err)
	envelope, err := core.SignReceipt(receipt, Signer("agent"))
	must(p.t, "sign receipt", err)
	return lock, envelope
}

func (p *pair) status(side core.Payment) core.ChannelStatus {
	p.t.Helper()
	status, err := side.Status(p.t.Context(), core.StatusRequest{Channel: p.id})
	must(p.t, "status", err)
	if len(status) != 1 || status[0].Channel != p.id {
		p.t.Fatalf("status: got %d channels, want one", len(status))
	}
	return status[0]
}

func payQuote(t T, s Subject[core.Payment]) {
	pay := open(t, s)
	quote, err := pay.Quote(t.Context(), core.QuoteRequest{
		Price:    core.Price{Currency: "TEST", Unit: core.UnitByte, PriceMicros: 3, PerUnits: 1000},
		MaxUnits: 1001, Currency: "TEST",
	})
	must(t, "quote", err)
	if quote.MaxMicros != 4 || quote.Currency != "TEST" || quote.Backend == "" || quote.ChallengeWindow <= 0 || quote.MinDepositMicros < 0 {
		t.Errorf("quote: got %+v, want 4 micros (rounded up) of TEST, a backend, a window", quote)
	}
	_, err = pay.Quote(t.Context(), core.QuoteRequest{Price: testPrice, MaxUnits: 1, Currency: "GOLD"})
	wantIs(t, "another currency", err, core.ErrUnsupported)
	_, err = pay.Quote(t.Context(), core.QuoteRequest{
		Price: core.Price{Currency: "TEST", Unit: core.UnitRequest, PriceMicros: -1, PerUnits: 1}, MaxUnits: 1, Currency: "TEST",
	})
	wantIs(t, "negative price", err, core.ErrInvalid)
}

func payOpen(t T, s Subject[core.Payment]) {
	p := newPair(t, s)
	first, err := p.payer.Open(t.Context(), p.openRequest("open", core.RolePayer, nil))
	must(t, "open", err)
	state, err := p.params.ParseState(first.Document)
	must(t, "parse", err)
	if first.Committed || len(state.Signatures) != 0 || state.Version != 0 || state.PayerMicros != p.params.DepositMicros {
		t.Errorf("first call: got %+v, committed %t, want the unsigned opening state", state, first.Committed)
	}
	again, err := p.payer.Open(t.Context(), p.openRequest("open", core.RolePayer, nil))
	if err != nil || !bytes.Equal(again.Document, first.Document) {
		t.Errorf("same key: got other bytes, or %v", err)
	}
	_, err = p.payer.Open(t.Context(), p.openRequest("another", core.RolePayer, nil))
	wantPending(t, err, "open", first.Document)
	if st := p.status(p.payer); !bytes.Equal(st.Pending, first.Document) || st.PendingKey != "open" || len(st.State) != 0 {
		t.Errorf("status: got pending key %q and %d bytes of state, want the pending document only", st.PendingKey, len(st.State))
	}
	both := p.open()
	for _, side := range []struct {
		pay  core.Payment
		role core.ChannelRole
		peer core.DID
	}{{p.payer, core.RolePayer, p.params.Payee}, {p.payee, core.RolePayee, p.params.Payer}} {
		st := p.status(side.pay)
		if st.Role != side.role || !bytes.Equal(st.State, both) || len(st.Pending) != 0 || !bytes.Equal(st.Params, p.bytes) || st.Closed || st.Disputed {
			t.Errorf("status of the %s: got %+v, want the committed opening state", side.role, st)
		}
		of, err := side.pay.Status(t.Context(), core.StatusRequest{Peer: side.peer})
		if err != nil || len(of) != 1 {
			t.Errorf("channels with the peer: got %d, %v, want 1", len(of), err)
		}
		of, err = side.pay.Status(t.Context(), core.StatusRequest{Peer: Signer("stranger").DID()})
		if err != nil || len(of) != 0 {
			t.Errorf("channels with a stranger: got %d, %v, want none", len(of), err)
		}
	}
	_, err = p.payer.Open(t.Context(), p.openRequest("third", core.RolePayer, nil))
	wantIs(t, "open an open channel", err, core.ErrExists)
}

func payRoles(t T, s Subject[core.Payment]) {
	p := newPair(t, s)
	_, err := p.payee.Open(t.Context(), p.openRequest("k", core.RolePayee, nil))
	wantIs(t, "payee proposes", err, core.ErrInvalid)
	_, err = p.payee.Open(t.Context(), p.openRequest("k", core.RolePayer, nil))
	wantIs(t, "payee says it is the payer", err, core.ErrInvalid)
	_, err = p.payer.Open(t.Context(), p.openRequest("k", "", nil))
	wantIs(t, "no role", err, core.ErrInvalid)
	first, err := p.payer.Open(t.Context(), p.openRequest("open", core.RolePayer, nil))
	must(t, "open", err)
	half := p.sign(first.Document, "payer")
	_, err = p.payer.Open(t.Context(), p.openRequest("open", core.RolePayer, half))
	wantIs(t, "payer's own half-signed document", err, core.ErrInvalid)
	p.open()
	_, err = p.payee.Update(t.Context(), core.UpdateRequest{
		Key: "k", Channel: p.id, Role: core.RolePayee, Changes: core.Changes{AuditHead: core.EmptyAuditHead()},
	})
	wantIs(t, "payee proposes an update", err, core.ErrInvalid)
	_, err = p.payee.Close(t.Context(), core.CloseRequest{Key: "k", Channel: p.id, Role: core.RolePayee, AuditHead: core.EmptyAuditHead()})
	wantIs(t, "payee proposes to close", err, core.ErrInvalid)
}

func paySignatures(t T, s Subject[core.Payment]) {
	p := newPair(t, s)
	first, err := p.payer.Open(t.Context(), p.openRequest("open", core.RolePayer, nil))
	must(t, "open", err)
	half := p.sign(first.Document, "payer")
	both := p.sign(half, "payee")
	broken := bytes.Replace(half, []byte(`"payeeMicros":0`), []byte(`"payeeMicros":1`), 1)
	if _, err = p.payee.Open(t.Context(), p.openRequest("open", core.RolePayee, broken)); err == nil {
		t.Errorf("payee takes a document that was changed after it was signed")
	}
	state, err := p.params.ParseState(both)
	must(t, "parse", err)
	state.Signatures[1].Sig = state.Signatures[0].Sig
	forged, err := core.Encode(state)
	must(t, "encode", err)
	_, err = p.payee.Open(t.Context(), p.openRequest("open", core.RolePayee, forged))
	wantIs(t, "payee commits a forged signature", err, core.ErrDenied)
	_, err = p.payer.Open(t.Context(), p.openRequest("open", core.RolePayer, forged))
	wantIs(t, "payer commits a forged signature", err, core.ErrDenied)
	if st := p.status(p.payer); len(st.State) != 0 || st.PendingKey != "open" {
		t.Errorf("status after forgeries: got %+v, want still pending", st)
	}
	p.open()
}

func payLockAndSettle(t T, s Subject[core.Payment]) {
	p := newPair(t, s)
	p.open()
	lock, receipt := p.lock("one")
	other, otherReceipt := p.lock("two")
	state, err := p.params.ParseState(p.update(core.Changes{Add: []core.Lock{lock, other}}))
	must(t, "parse", err)
	if state.LockedMicros() != 100 || state.PayerMicros != p.params.DepositMicros-100 {
		t.Errorf("after two locks: got %d locked, want 100", state.LockedMicros())
	}
	state, err = p.params.ParseState(p.update(core.Changes{
		Settle: []core.Settlement{{Task: lock.Task, Attempt: 1, ChargeMicros: 10}},
	}, receipt))
	must(t, "parse", err)
	if state.PayeeMicros != 10 || len(state.Locks) != 1 || state.LockedMicros() != 50 {
		t.Errorf("after one receipt: got %+v, want 10 paid and one lock left", state)
	}
	// A settlement and a new lock in one step.
	third, _ := p.lock("three")
	state, err = p.params.ParseState(p.update(core.Changes{
		Settle: []core.Settlement{{Task: other.Task, Attempt: 1, ChargeMicros: 10}}, Add: []core.Lock{third},
	}, otherReceipt))
	must(t, "parse", err)
	if state.PayeeMicros != 20 || len(state.Locks) != 1 || state.Locks[0].Task != third.Task || state.Version != 3 {
		t.Errorf("after both: got %+v, want 20 paid and the third lock", state)
	}
	req := core.UpdateRequest{
		Key: "again", Channel: p.id, Role: core.RolePayer,
		Changes: core.Changes{Add: []core.Lock{lock}, AuditHead: core.EmptyAuditHead()},
	}
	if _, err = p.payer.Update(t.Context(), req); err == nil {
		t.Errorf("an attempt that was settled is locked again")
	}
}

func payKeys(t T, s Subject[core.Payment]) {
	p := newPair(t, s)
	p.open()
	lock, _ := p.lock("one")
	req := core.UpdateRequest{
		Key: "first", Channel: p.id, Role: core.RolePayer,
		Changes: core.Changes{Add: []core.Lock{lock}, AuditHead: core.EmptyAuditHead()},
	}
	first, err := p.payer.Update(t.Context(), req)
	must(t, "update", err)
	again, err := p.payer.Update(t.Context(), req)
	if err != nil || !bytes.Equal(again.Document, first.Document) {
		t.Errorf("same key: got other bytes, or %v", err)
	}
	other := req
	other.Key = "second"
	_, err = p.payer.Update(t.Context(), other)
	wantPending(t, err, "first", first.Document)
	_, err = p.payer.Close(t.Context(), core.CloseRequest{Key: "close", Channel: p.id, Role: core.RolePayer, AuditHead: core.EmptyAuditHead()})
	wantIs(t, "close while an update pends", err, core.ErrConflict)
	both := p.agree(first.Document, func(side core.Payment, role core.ChannelRole, document []byte) (core.PendingDocument, error) {
		r := req
		r.Role, r.Document = role, document
		return side.Update(t.Context(), r)
	})
	late, err := p.payer.Update(t.Context(), req) // the first call again, after the commit
	if err != nil || !late.Committed || !bytes.Equal(late.Document, both) {
		t.Errorf("key of a committed change: got committed %t, %v, want the committed document", late.Committed, err)
	}
	_, err = p.payer.Update(t.Context(), core.UpdateRequest{Channel: p.id, Role: core.RolePayer})
	wantIs(t, "no key", err, core.ErrInvalid)
}

func payRefuses(t T, s Subject[core.Payment]) {
	p := newPair(t, s)
	unknown := core.UpdateRequest{Key: "k", Channel: sha([]byte("nothing")), Role: core.RolePayer}
	_, err := p.payer.Update(t.Context(), unknown)
	wantIs(t, "update of an unknown channel", err, core.ErrNotFound)
	_, err = p.payer.Status(t.Context(), core.StatusRequest{Channel: unknown.Channel})
	wantIs(t, "status of an unknown channel", err, core.ErrNotFound)
	_, err = p.payer.Dispute(t.Context(), core.DisputeRequest{Key: "k", Channel: unknown.Channel})
	wantIs(t, "dispute of an unknown channel", err, core.ErrNotFound)
	_, err = p.payer.Open(t.Context(), core.OpenRequest{Key: "k", Role: core.RolePayer, Params: []byte("{}")})
	wantIs(t, "bad params", err, core.ErrInvalid)
	opening := p.open()
	lock, receipt := p.lock("one")
	locked := p.update(core.Changes{Add: []core.Lock{lock}})
	propose := func(key string, changes core.Changes, receipts ...[]byte) error {
		changes.AuditHead = core.EmptyAuditHead()
		_, err := p.payer.Update(t.Context(), core.UpdateRequest{
			Key: key, Channel: p.id, Role: core.RolePayer, Changes: changes, Receipts: receipts,
		})
		return err
	}
	settle := []core.Settlement{{Task: lock.Task, Attempt: 1, ChargeMicros: 10}}
	if propose("without", core.Changes{Settle: settle}) == nil {
		t.Errorf("a lock is settled without a receipt")
	}
	if propose("less", core.Changes{Settle: []core.Settlement{{Task: lock.Task, Attempt: 1, ChargeMicros: 1}}}, receipt) == nil {
		t.Errorf("a lock is settled for less than its receipt charges")
	}
	rich, _ := p.lock("rich")
	rich.MaxMicros = p.params.DepositMicros
	wantIs(t, "a lock beyond the deposit", propose("rich", core.Changes{Add: []core.Lock{rich}}), core.ErrExhausted)
	if propose("final", core.Changes{Final: true}) == nil {
		t.Errorf("a channel with a lock is closed by an update")
	}
	for name, stale := range map[string][]byte{"opening": opening, "committed": locked} {
		state, err := p.params.ParseState(stale)
		must(t, "parse", err)
		state.Signatures = state.Signatures[:1]
		half, err := core.Encode(state)
		must(t, "encode", err)
		_, err = p.payee.Update(t.Context(), core.UpdateRequest{Key: name, Channel: p.id, Role: core.RolePayee, Document: half})
		wantIs(t, "payee signs the "+name+" state again", err, core.ErrConflict)
	}
}

func payClose(t T, s Subject[core.Payment]) {
	p := newPair(t, s)
	p.open()
	lock, receipt := p.lock("one")
	p.update(core.Changes{Add: []core.Lock{lock}})
	req := core.CloseRequest{Key: "close", Channel: p.id, Role: core.RolePayer, AuditHead: core.EmptyAuditHead()}
	_, err := p.payer.Close(t.Context(), req)
	wantIs(t, "close with a lock", err, core.ErrConflict)
	p.update(core.Changes{Settle: []core.Settlement{{Task: lock.Task, Attempt: 1, ChargeMicros: 10}}}, receipt)
	first, err := p.payer.Close(t.Context(), req)
	must(t, "close", err)
	p.agree(first.Document, func(side core.Payment, role core.ChannelRole, document []byte) (core.PendingDocument, error) {
		r := req
		r.Role, r.Document = role, document
		return side.Close(t.Context(), r)
	})
	for _, side := range []core.Payment{p.payer, p.payee} {
		st := p.status(side)
		if !st.Closed || st.PaidMicros != 10 || st.RefundMicros != p.params.DepositMicros-10 || st.Disputed {
			t.Errorf("status: got %+v, want closed with 10 paid", st)
		}
	}
	_, err = p.payer.Update(t.Context(), core.UpdateRequest{
		Key: "late", Channel: p.id, Role: core.RolePayer, Changes: core.Changes{AuditHead: core.EmptyAuditHead()},
	})
	wantIs(t, "update of a closed channel", err, core.ErrConflict)
	_, err = p.payer.Dispute(t.Context(), core.DisputeRequest{Key: "late", Channel: p.id, State: p.status(p.payer).State})
	wantIs(t, "dispute of a closed channel", err, core.ErrConflict)
}

func payDispute(t T, s Subject[core.Payment]) {
	p := newPair(t, s)
	p.open()
	lock, receipt := p.lock("one")
	// The lock has expired: from then on both sides may dispute.
	lock.Expires = core.TimeOf(time.Now().Add(-2 * time.Second))
	state := p.update(core.Changes{Add: []core.Lock{lock}})
	_ = receipt // of the other expiry, so of another lock: it would count for nothing
	req := core.DisputeRequest{Key: "dispute", Channel: p.id, State: state}
	unsigned, err := p.payer.Dispute(t.Context(), req)
	must(t, "dispute", err)
	claim, err := core.Parse[core.Claim](unsigned.Document)
	must(t, "parse claim", err)
	if unsigned.Committed || claim.Claimant != p.params.Payer || claim.Version != 1 || claim.Channel != p.id {
		t.Errorf("claim: got %+v, want the payer's over version 1", claim)
	}
	again, err := p.payer.Dispute(t.Context(), req)
	if err != nil || !bytes.Equal(again.Document, unsigned.Document) {
		t.Errorf("same key: got other bytes, or %v", err)
	}
	must(t, "sign", core.Sign(claim, Signer("payer")))
	req.Claim, err = core.Encode(claim)
	must(t, "encode", err)
	filed, err := p.payer.Dispute(t.Context(), req)
	if err != nil || !filed.Committed {
		t.Errorf("file: got committed %t, %v", filed.Committed, err)
	}
	filed, err = p.payee.Dispute(t.Context(), req) // the other side files what it was sent
	if err != nil || !filed.Committed {
		t.Errorf("file at the other side: got committed %t, %v", filed.Committed, err)
	}
	for _, side := range []core.Payment{p.payer, p.payee} {
		if st := p.status(side); !st.Disputed || !bytes.Equal(st.Claim, req.Claim) || st.Closed {
			t.Errorf("status: got disputed %t, closed %t, want the filed claim", st.Disputed, st.Closed)
		}
	}
	_, err = p.payer.Update(t.Context(), core.UpdateRequest{
		Key: "late", Channel: p.id, Role: core.RolePayer, Changes: core.Changes{AuditHead: core.EmptyAuditHead()},
	})
	wantIs(t, "update of a disputed channel", err, core.ErrConflict)
}

func payConcurrent(t T, s Subject[core.Payment]) {
	p := newPair(t, s)
	p.open()
	lock, _ := p.lock("one")
	documents := make([][]byte, 16)
	together(t, len(documents), func(i int) error {
		if i%2 == 0 {
			_, err := p.payer.Status(t.Context(), core.StatusRequest{})
			return err
		}
		doc, err := p.payer.Update(t.Context(), core.UpdateRequest{
			Key: "same", Channel: p.id, Role: core.RolePayer,
			Changes: core.Changes{Add: []core.Lock{lock}, AuditHead: core.EmptyAuditHead()},
		})
		documents[i] = doc.Document
		return err
	})
	for i := 3; i < len(documents); i += 2 {
		if !bytes.Equal(documents[i], documents[1]) {
			t.Errorf("one key at once: call %d got another document", i)
		}
	}
}

func payEnded(t T, s Subject[core.Payment]) {
	at := openAt(t, s, place(t, "payer"))
	ended(t, func(ctx context.Context) error {
		if _, err := at.Status(ctx, core.StatusRequest{}); err != nil {
			return err
		}
		return fmt.Errorf("%w", ctx.Err()) // answering from memory is as good
	})
}

func payDurable(t T, s Subject[core.Payment]) {
	atPayer, atPayee := place(t, "payer"), place(t, "payee")
	payer, closePayer := openUntil(t, s, atPayer)
	payee, closePayee := openUntil(t, s, atPayee)
	p := &pair{t: t, payer: payer, payee: payee}
	p.name("durable", p.backend())
	p.open()
	lock, receipt := p.lock("one")
	state := p.update(core.Changes{Add: []core.Lock{lock}})
	req := core.UpdateRequest{
		Key: "pending", Channel: p.id, Role: core.RolePayer, Receipts: [][]byte{receipt},
		Changes: core.Changes{Settle: []core.Settlement{{Task: lock.Task, Attempt: 1, ChargeMicros: 10}}, AuditHead: core.EmptyAuditHead()},
	}
	pending, err := p.payer.Update(t.Context(), req)
	must(t, "update", err)
	closePayer()
	closePayee()
	p.payer, p.payee = openAt(t, s, atPayer), openAt(t, s, atPayee)
	if st := p.status(p.payer); !bytes.Equal(st.State, state) || !bytes.Equal(st.Pending, pending.Document) || st.PendingKey != "pending" {
		t.Errorf("payer after reopen: got pending key %q, want the committed state and the pending document", st.PendingKey)
	}
	if st := p.status(p.payee); !bytes.Equal(st.State, state) {
		t.Errorf("payee after reopen: another state")
	}
	other := req
	other.Key = "other"
	_, err = p.payer.Update(t.Context(), other)
	wantPending(t, err, "pending", pending.Document)
	p.agree(pending.Document, func(side core.Payment, role core.ChannelRole, document []byte) (core.PendingDocument, error) {
		r := req
		r.Role, r.Document = role, document
		return side.Update(t.Context(), r)
	})
}
