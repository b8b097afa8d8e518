package ledger

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/zerostate/zerostate/core"
)

const (
	network = "zerostate-test"
	deposit = 1000
	window  = 10 * time.Minute
)

var testNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func signer(name string) core.Signer {
	seed := sha256.Sum256([]byte("zerostate-test-" + name))
	return core.NewSigner(ed25519.NewKeyFromSeed(seed[:]))
}

func hexOf(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// clock is the time of a test.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// side is one node's ledger.
type side struct {
	*Ledger
	cfg Config
}

func openSide(t *testing.T, name string, fs vfs.FS, clk *clock) *side {
	t.Helper()
	cfg := Config{
		Dir: "ledger", FS: fs, Network: network, Node: signer(name).DID(), Currency: "TEST", BalanceMicros: 3 * deposit,
		MinDepositMicros: 10, ChallengeWindow: window, Now: clk.time,
	}
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &side{l, cfg}
	t.Cleanup(func() { s.Shutdown() })
	return s
}

// crash loses everything that was not synced and opens what is left.
func (s *side) crash(t *testing.T) {
	t.Helper()
	left := s.cfg.FS.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 0})
	if err := s.Shutdown(); err != nil {
		t.Fatal(err)
	}
	s.cfg.FS = left
	l, err := Open(s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Ledger = l
}

// pair is a payer and a payee with their ledgers.
type pair struct {
	payer, payee *side
	clock        *clock
	params       *core.Params
	raw          []byte
	id           string
	keys         int
}

func newPair(t *testing.T) *pair {
	t.Helper()
	clk := &clock{now: testNow}
	p := &pair{clock: clk, payer: openSide(t, "payer", vfs.NewCrashableMem(), clk), payee: openSide(t, "payee", vfs.NewCrashableMem(), clk)}
	p.params = testParams("channel")
	p.raw, p.id = rawParams(t, p.params)
	return p
}

func testParams(nonce string) *core.Params {
	h := sha256.Sum256([]byte(nonce))
	return &core.Params{
		Backend: Backend, ChallengeWindowMs: window.Milliseconds(), Currency: "TEST", DepositMicros: deposit, Network: network,
		Nonce: base64.RawURLEncoding.EncodeToString(h[:]), Payee: signer("payee").DID(), Payer: signer("payer").DID(), Suite: core.SuiteEd25519,
	}
}

func rawParams(t *testing.T, p *core.Params) ([]byte, string) {
	t.Helper()
	raw, err := p.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	id, err := p.ChannelID()
	if err != nil {
		t.Fatal(err)
	}
	return raw, id
}

// sign adds signatures to a state.
func (p *pair) sign(t *testing.T, doc []byte, names ...string) []byte {
	t.Helper()
	s, err := p.params.ParseState(doc)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if err := core.Sign(s, signer(n)); err != nil {
			t.Fatal(err)
		}
	}
	b, err := core.Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// call is Open, Update or Close of one side with the rest of a request.
type call func(s *side, role core.ChannelRole, key string, doc []byte) (core.PendingDocument, error)

func (p *pair) open(t *testing.T) call {
	t.Helper()
	return func(s *side, role core.ChannelRole, key string, doc []byte) (core.PendingDocument, error) {
		return s.Open(t.Context(), core.OpenRequest{Key: key, Role: role, Params: p.raw, AuditHead: core.EmptyAuditHead(), Document: doc})
	}
}

func (p *pair) update(t *testing.T, ch core.Changes, receipts ...[]byte) call {
	t.Helper()
	ch.AuditHead = core.EmptyAuditHead()
	return func(s *side, role core.ChannelRole, key string, doc []byte) (core.PendingDocument, error) {
		return s.Update(t.Context(), core.UpdateRequest{Key: key, Role: role, Channel: p.id, Changes: ch, Receipts: receipts, Document: doc})
	}
}

func (p *pair) close(t *testing.T) call {
	t.Helper()
	return func(s *side, role core.ChannelRole, key string, doc []byte) (core.PendingDocument, error) {
		return s.Close(t.Context(), core.CloseRequest{Key: key, Role: role, Channel: p.id, AuditHead: core.EmptyAuditHead(), Document: doc})
	}
}

// agree takes a document through all four calls, with a crash of the side that
// has just answered where crash is set, and answers the committed bytes.
func (p *pair) agree(t *testing.T, do call, crash bool) []byte {
	t.Helper()
	p.keys++
	key := fmt.Sprint("key", p.keys)
	step := func(s *side, role core.ChannelRole, key string, doc []byte, committed bool) []byte {
		t.Helper()
		first, err := do(s, role, key, doc)
		if err != nil {
			t.Fatalf("%s: %v", role, err)
		}
		if crash {
			s.crash(t)
		}
		again, err := do(s, role, key, doc)
		if err != nil || string(again.Document) != string(first.Document) || first.Committed != committed || again.Committed != committed {
			t.Fatalf("%s again: got %s, committed %t, %v, want %s, %t", role, again.Document, again.Committed, err, first.Document, committed)
		}
		return first.Document
	}
	doc := step(p.payer, core.RolePayer, key, nil, false)
	half := step(p.payee, core.RolePayee, "of "+key, p.sign(t, doc, "payer"), false)
	full := p.sign(t, half, "payee")
	step(p.payee, core.RolePayee, "of "+key, full, true)
	return step(p.payer, core.RolePayer, key, full, true)
}

func (p *pair) lock(task string, attempt, most int64) core.Lock {
	price := testPrice()
	hash, err := core.PriceHash(price)
	if err != nil {
		panic(err)
	}
	return core.Lock{Task: taskID(task), Attempt: attempt, Agent: signer("agent").DID(), MaxMicros: most, PriceHash: hash, Expires: core.TimeOf(p.clock.time().Add(5 * time.Minute))}
}

func testPrice() core.Price {
	return core.Price{Currency: "TEST", Unit: core.UnitByte, PriceMicros: 1, PerUnits: 1}
}

// testTask is a resolved task; the nonce makes it unique.
func testTask(nonce string) *core.Resolved {
	return &core.Resolved{
		APIVersion: core.TaskAPIVersion, Kind: core.KindResolvedTask,
		Metadata: core.TaskMetadata{Nonce: core.TaskNonce(sha256.Sum256([]byte(nonce)))},
		Spec: core.TaskSpec{
			Module:      core.TaskModule{URI: "ipfs://" + core.CardCID([]byte("m")), Digest: core.Digest256{SHA256: hexOf("m")}, ABI: core.ABIWASIPreview1},
			Limits:      core.DefaultLimits(),
			Determinism: core.TaskDeterminism{Seed: hexOf("seed"), Epoch: core.TimeOf(testNow)},
			Settlement:  testPrice(),
		},
	}
}

func taskID(nonce string) string {
	id, err := testTask(nonce).TaskID()
	if err != nil {
		panic(err)
	}
	return id
}

// receipt is what the worker's agent signs for a lock.
func (p *pair) receipt(t *testing.T, task string, lock core.Lock, charge int64) []byte {
	t.Helper()
	digest, err := core.LockDigest(lock)
	if err != nil {
		t.Fatal(err)
	}
	terms := core.ReceiptTerms{
		Network: network, RequesterNode: p.params.Payer, WorkerNode: p.params.Payee, Agent: lock.Agent,
		CardCID: core.CardCID([]byte("card")), Requester: p.params.Payer, Attempt: lock.Attempt, Guild: hexOf("guild"),
		Executor: core.ReceiptExecutor{Name: "wasm", Version: "1.0.0"}, MaxMicros: lock.MaxMicros, Channel: p.id, Lock: digest,
	}
	result := core.RunResult{
		Outcome: core.OutcomeOK, Engine: core.EngineInfo{Name: "e", Version: "1", Pass: "none"},
		Outputs:  []core.RunOutputDigest{{Name: core.StdoutName, SHA256: hexOf("out")}},
		Metering: core.Metering{Verifiable: core.VerifiableMetering{Req: 1, Byte: charge}},
	}
	at := core.TimeOf(p.clock.time())
	r, err := core.NewReceipt(testTask(task), terms, result, core.ReceiptTimes{Started: at, Finished: at}, core.EmptyAuditHead())
	if err != nil {
		t.Fatal(err)
	}
	b, err := core.SignReceipt(r, signer("agent"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// forge changes one character of a document's last signature.
func forge(doc []byte) []byte {
	b := append([]byte(nil), doc...)
	at := bytes.LastIndex(b, []byte(`"sig":"`)) + 20
	if b[at] == 'A' {
		b[at] = 'B'
	} else {
		b[at] = 'A'
	}
	return b
}

func status(t *testing.T, s *side, id string) core.ChannelStatus {
	t.Helper()
	got, err := s.Status(t.Context(), core.StatusRequest{Channel: id})
	if err != nil || len(got) != 1 {
		t.Fatalf("status: got %v, %v", got, err)
	}
	return got[0]
}

func balances(t *testing.T, p *pair, payer, payee int64) {
	t.Helper()
	if got := p.payer.Balance(p.params.Payer); got != payer {
		t.Errorf("payer's balance: got %d, want %d", got, payer)
	}
	if got := p.payee.Balance(p.params.Payee); got != payee {
		t.Errorf("payee's balance: got %d, want %d", got, payee)
	}
}

func TestLifeOfAChannel(t *testing.T) {
	for _, crash := range []bool{false, true} {
		t.Run(fmt.Sprint("crash ", crash), func(t *testing.T) {
			p := newPair(t)
			p.agree(t, p.open(t), crash)
			balances(t, p, 2*deposit, 3*deposit)
			a, b := p.lock("a", 1, 100), p.lock("b", 1, 200)
			p.agree(t, p.update(t, core.Changes{Add: []core.Lock{a, b}}), crash)
			ra, rb := p.receipt(t, "a", a, 40), p.receipt(t, "b", b, 500)
			p.agree(t, p.update(t, core.Changes{Settle: []core.Settlement{{Task: a.Task, Attempt: 1, ChargeMicros: 40}}}, ra), crash)
			p.agree(t, p.update(t, core.Changes{Settle: []core.Settlement{{Task: b.Task, Attempt: 1, ChargeMicros: 200}}}, rb), crash)
			if _, err := p.update(t, core.Changes{Add: []core.Lock{a}})(p.payer, core.RolePayer, "again", nil); !errors.Is(err, core.ErrExists) {
				t.Errorf("an attempt locked twice: got %v, want %v", err, core.ErrExists)
			}
			p.agree(t, p.close(t), crash)
			for _, s := range []*side{p.payer, p.payee} {
				if got := status(t, s, p.id); !got.Closed || got.PaidMicros != 240 || got.RefundMicros != 760 || got.Disputed {
					t.Errorf("got %+v, want closed with 240 and 760", got)
				}
				log, err := s.Log()
				if err != nil || len(log) != 2 || log[0].Kind != "escrow" || log[1].Kind != "close" {
					t.Errorf("settlement log: got %+v, %v", log, err)
				}
			}
			balances(t, p, 3*deposit-240, 3*deposit+240)
			if _, err := p.update(t, core.Changes{})(p.payer, core.RolePayer, "late", nil); !errors.Is(err, core.ErrConflict) {
				t.Errorf("after the close: got %v, want %v", err, core.ErrConflict)
			}
		})
	}
}

func TestPendingIsNeverReplaced(t *testing.T) {
	p := newPair(t)
	p.agree(t, p.open(t), false)
	add := p.update(t, core.Changes{Add: []core.Lock{p.lock("a", 1, 100)}})
	first, err := add(p.payer, core.RolePayer, "k", nil)
	if err != nil {
		t.Fatal(err)
	}
	p.payer.crash(t)
	other := p.update(t, core.Changes{Add: []core.Lock{p.lock("b", 1, 100)}})
	var pending *core.PendingError
	if _, err := other(p.payer, core.RolePayer, "other", nil); !errors.As(err, &pending) || pending.Key != "k" || string(pending.Document) != string(first.Document) {
		t.Errorf("other key: got %v, want the pending document", err)
	}
	if _, err := other(p.payer, core.RolePayer, "k", nil); !errors.Is(err, core.ErrConflict) {
		t.Errorf("same key, other request: got %v, want %v", err, core.ErrConflict)
	}
	if got := status(t, p.payer, p.id); got.PendingKey != "k" || string(got.Pending) != string(first.Document) {
		t.Errorf("status: got %+v", got)
	}
	full := p.sign(t, first.Document, "payer", "payee")
	if _, err := add(p.payer, core.RolePayer, "other", full); !errors.Is(err, core.ErrConflict) {
		t.Errorf("commit under another key: got %v, want %v", err, core.ErrConflict)
	}
	if got, err := add(p.payer, core.RolePayer, "k", full); err != nil || !got.Committed {
		t.Errorf("commit: got %+v, %v", got, err)
	}
	if _, err := other(p.payer, core.RolePayer, "k", nil); !errors.Is(err, core.ErrConflict) {
		t.Errorf("a used key: got %v, want %v", err, core.ErrConflict)
	}
}

func TestRefusals(t *testing.T) {
	p := newPair(t)
	if _, err := p.update(t, core.Changes{})(p.payer, core.RolePayer, "k", nil); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("unknown channel: got %v, want %v", err, core.ErrNotFound)
	}
	opening := p.agree(t, p.open(t), false)
	lock := p.lock("a", 1, 100)
	add := p.update(t, core.Changes{Add: []core.Lock{lock}})
	doc, err := add(p.payer, core.RolePayer, "k", nil)
	if err != nil {
		t.Fatal(err)
	}
	half := p.sign(t, doc.Document, "payer")
	both := p.sign(t, half, "payee")
	cases := []struct {
		name string
		do   func() (core.PendingDocument, error)
		want error
	}{
		{"no key", func() (core.PendingDocument, error) { return add(p.payer, core.RolePayer, "", nil) }, core.ErrInvalid},
		{"no role", func() (core.PendingDocument, error) { return add(p.payer, "", "k", nil) }, core.ErrInvalid},
		{"payee proposes", func() (core.PendingDocument, error) { return add(p.payee, core.RolePayee, "k", nil) }, core.ErrInvalid},
		{"payer takes its own half", func() (core.PendingDocument, error) { return add(p.payer, core.RolePayer, "k", half) }, core.ErrInvalid},
		{"payee takes unsigned", func() (core.PendingDocument, error) { return add(p.payee, core.RolePayee, "k", doc.Document) }, core.ErrInvalid},
		{"forged", func() (core.PendingDocument, error) {
			return add(p.payee, core.RolePayee, "k", forge(half))
		}, core.ErrDenied},
		{"update that closes", func() (core.PendingDocument, error) {
			return p.payer.Update(t.Context(), core.UpdateRequest{Key: "x", Role: core.RolePayer, Channel: p.id, Changes: core.Changes{Final: true}})
		}, core.ErrInvalid},
		{"update as close", func() (core.PendingDocument, error) { return p.close(t)(p.payee, core.RolePayee, "k", half) }, core.ErrInvalid},
		{"open again", func() (core.PendingDocument, error) { return p.open(t)(p.payee, core.RolePayee, "k", half) }, core.ErrExists},
		{"settled without receipt", func() (core.PendingDocument, error) {
			if _, err := add(p.payer, core.RolePayer, "k", both); err != nil {
				return core.PendingDocument{}, err
			}
			if _, err := add(p.payee, core.RolePayee, "of k", both); err != nil {
				return core.PendingDocument{}, err
			}
			return p.update(t, core.Changes{Settle: []core.Settlement{{Task: lock.Task, Attempt: 1}}})(p.payer, core.RolePayer, "s", nil)
		}, core.ErrInvalid},
		{"bad receipt", func() (core.PendingDocument, error) {
			return p.update(t, core.Changes{}, []byte("x"))(p.payer, core.RolePayer, "s", nil)
		}, core.ErrInvalid},
		{"close with locks", func() (core.PendingDocument, error) { return p.close(t)(p.payer, core.RolePayer, "c", nil) }, core.ErrConflict},
		{"stale", func() (core.PendingDocument, error) { return add(p.payee, core.RolePayee, "k", opening) }, core.ErrConflict},
		{"other backend", func() (core.PendingDocument, error) {
			o := *p.params
			o.Backend = "real"
			raw, _ := rawParams(t, &o)
			return p.payer.Open(t.Context(), core.OpenRequest{Key: "o", Role: core.RolePayer, Params: raw, AuditHead: core.EmptyAuditHead()})
		}, core.ErrUnsupported},
		{"other currency", func() (core.PendingDocument, error) {
			o := *p.params
			o.Currency = "EUR"
			raw, _ := rawParams(t, &o)
			return p.payer.Open(t.Context(), core.OpenRequest{Key: "o", Role: core.RolePayer, Params: raw, AuditHead: core.EmptyAuditHead()})
		}, core.ErrUnsupported},
		{"other network", func() (core.PendingDocument, error) {
			o := *p.params
			o.Network = "other"
			raw, _ := rawParams(t, &o)
			return p.payer.Open(t.Context(), core.OpenRequest{Key: "o", Role: core.RolePayer, Params: raw, AuditHead: core.EmptyAuditHead()})
		}, core.ErrDenied},
		{"small deposit", func() (core.PendingDocument, error) {
			o := *p.params
			o.DepositMicros = 9
			raw, _ := rawParams(t, &o)
			return p.payer.Open(t.Context(), core.OpenRequest{Key: "o", Role: core.RolePayer, Params: raw, AuditHead: core.EmptyAuditHead()})
		}, core.ErrInvalid},
		{"large deposit", func() (core.PendingDocument, error) {
			o := *p.params
			o.DepositMicros = 2*deposit + 1
			raw, _ := rawParams(t, &o)
			return p.payer.Open(t.Context(), core.OpenRequest{Key: "o", Role: core.RolePayer, Params: raw, AuditHead: core.EmptyAuditHead()})
		}, core.ErrExhausted},
	}
	for _, c := range cases {
		if got, err := c.do(); !errors.Is(err, c.want) {
			t.Errorf("%s: got %+v, %v, want %v", c.name, got, err, c.want)
		}
	}
	if _, err := p.payer.Status(t.Context(), core.StatusRequest{Channel: "x"}); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("status of nothing: got %v, want %v", err, core.ErrNotFound)
	}
	if all, err := p.payer.Status(t.Context(), core.StatusRequest{Peer: p.params.Payee}); err != nil || len(all) != 1 {
		t.Errorf("status of a peer: got %d, %v, want 1", len(all), err)
	}
	p.payer.Shutdown()
	if _, err := p.payer.Status(t.Context(), core.StatusRequest{}); !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("closed: got %v, want %v", err, core.ErrUnavailable)
	}
}

func TestQuote(t *testing.T) {
	s := openSide(t, "payer", vfs.NewMem(), &clock{now: testNow})
	price := core.Price{Currency: "TEST", Unit: core.UnitByte, PriceMicros: 3, PerUnits: 2}
	got, err := s.Quote(t.Context(), core.QuoteRequest{Price: price, MaxUnits: 5, Currency: "TEST"})
	want := core.Quote{MaxMicros: 8, Currency: "TEST", Backend: Backend, ChallengeWindow: window, MinDepositMicros: 10}
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for _, c := range []struct {
		name string
		req  core.QuoteRequest
		want error
	}{
		{"currency", core.QuoteRequest{Price: price, MaxUnits: 1, Currency: "EUR"}, core.ErrUnsupported},
		{"units", core.QuoteRequest{Price: price, MaxUnits: -1, Currency: "TEST"}, core.ErrInvalid},
		{"price", core.QuoteRequest{MaxUnits: 1, Currency: "TEST"}, core.ErrInvalid},
		{"too much", core.QuoteRequest{Price: core.Price{Currency: "TEST", Unit: core.UnitByte, PriceMicros: 1 << 40, PerUnits: 1}, MaxUnits: 1 << 40, Currency: "TEST"}, core.ErrInvalid},
	} {
		if _, err := s.Quote(t.Context(), c.req); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

func signClaim(t *testing.T, doc []byte, name string) []byte {
	t.Helper()
	c, err := core.Parse[core.Claim](doc)
	if err != nil {
		t.Fatal(err)
	}
	if err := core.Sign(c, signer(name)); err != nil {
		t.Fatal(err)
	}
	b, err := core.Encode(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDispute(t *testing.T) {
	p := newPair(t)
	p.agree(t, p.open(t), false)
	a, b := p.lock("a", 1, 100), p.lock("b", 1, 200)
	state := p.agree(t, p.update(t, core.Changes{Add: []core.Lock{a, b}}), false)
	receipt := p.receipt(t, "a", a, 40)
	ask := core.DisputeRequest{Key: "d", Channel: p.id, State: state, Receipts: [][]byte{receipt}}
	if _, err := p.payee.Dispute(t.Context(), ask); !errors.Is(err, core.ErrConflict) {
		t.Fatalf("before the lock expires: got %v, want %v", err, core.ErrConflict)
	}
	p.clock.pass(6 * time.Minute)
	first, err := p.payee.Dispute(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	p.payee.crash(t)
	p.clock.pass(time.Second)
	again, err := p.payee.Dispute(t.Context(), ask)
	if err != nil || string(again.Document) != string(first.Document) {
		t.Errorf("same key: got %s, %v, want %s", again.Document, err, first.Document)
	}
	other := ask
	other.Key = "other"
	var pending *core.PendingError
	if _, err := p.payee.Dispute(t.Context(), other); !errors.As(err, &pending) {
		t.Errorf("other key: got %v, want a PendingError", err)
	}
	claim := signClaim(t, first.Document, "payee")
	file := core.DisputeRequest{Key: "d", Channel: p.id, Claim: claim}
	for range 2 {
		if got, err := p.payee.Dispute(t.Context(), file); err != nil || !got.Committed {
			t.Fatalf("file: got %+v, %v", got, err)
		}
		p.payee.crash(t)
	}
	theirs := core.DisputeRequest{Key: "theirs", Channel: p.id, State: state, Receipts: [][]byte{receipt}, Claim: claim}
	if got, err := p.payer.Dispute(t.Context(), theirs); err != nil || !got.Committed {
		t.Fatalf("the other side's claim: got %+v, %v", got, err)
	}
	if _, err := p.update(t, core.Changes{})(p.payer, core.RolePayer, "frozen", nil); !errors.Is(err, core.ErrConflict) {
		t.Errorf("frozen: got %v, want %v", err, core.ErrConflict)
	}
	if got := status(t, p.payer, p.id); !got.Disputed || got.Closed || string(got.Claim) != string(claim) {
		t.Errorf("got %+v, want disputed", got)
	}
	p.clock.pass(window)
	for _, s := range []*side{p.payer, p.payee} {
		for range 2 {
			if got := status(t, s, p.id); !got.Closed || got.PaidMicros != 40 || got.RefundMicros != deposit-40 {
				t.Errorf("after the window: got %+v, want 40 paid", got)
			}
			s.crash(t)
		}
	}
	balances(t, p, 3*deposit-40, 3*deposit+40)
	if _, err := p.payee.Dispute(t.Context(), other); !errors.Is(err, core.ErrConflict) {
		t.Errorf("closed: got %v, want %v", err, core.ErrConflict)
	}
}

func TestDisputeRefuses(t *testing.T) {
	p := newPair(t)
	opening := p.agree(t, p.open(t), false)
	lock := p.lock("a", 1, 100)
	p.agree(t, p.update(t, core.Changes{Add: []core.Lock{lock}}), false)
	p.clock.pass(6 * time.Minute)
	many := make([][]byte, core.MaxClaimReceipts+1)
	for _, c := range []struct {
		name string
		req  core.DisputeRequest
		want error
	}{
		{"no key", core.DisputeRequest{Channel: p.id}, core.ErrInvalid},
		{"many receipts", core.DisputeRequest{Key: "d", Channel: p.id, Receipts: many}, core.ErrInvalid},
		{"unknown", core.DisputeRequest{Key: "d", Channel: "x"}, core.ErrNotFound},
		{"stale", core.DisputeRequest{Key: "d", Channel: p.id, State: opening}, core.ErrConflict},
		{"nothing pending", core.DisputeRequest{Key: "d", Channel: p.id, Claim: []byte("x")}, core.ErrInvalid},
	} {
		if got, err := p.payer.Dispute(t.Context(), c.req); !errors.Is(err, c.want) {
			t.Errorf("%s: got %+v, %v, want %v", c.name, got, err, c.want)
		}
	}
	if _, err := p.payee.Dispute(t.Context(), core.DisputeRequest{Key: "d", Channel: p.id}); !errors.Is(err, core.ErrConflict) {
		t.Errorf("a worker without a receipt: got %v, want %v", err, core.ErrConflict)
	}
	got, err := p.payer.Dispute(t.Context(), core.DisputeRequest{Key: "d", Channel: p.id})
	if err != nil || status(t, p.payer, p.id).PendingKey != "d" {
		t.Errorf("a requester over a lock without one: got %v", err)
	}
	claim := signClaim(t, got.Document, "payer")
	if _, err := p.payer.Dispute(t.Context(), core.DisputeRequest{Key: "x", Channel: p.id, Claim: claim}); !errors.Is(err, core.ErrConflict) {
		t.Errorf("filed under another key: got %v, want %v", err, core.ErrConflict)
	}
}

func TestParallelOpensDoNotOverdraw(t *testing.T) {
	s := openSide(t, "payer", vfs.NewMem(), &clock{now: testNow})
	errs := make(chan error, 8)
	for i := range cap(errs) {
		raw, _ := rawParams(t, testParams(fmt.Sprint("n", i)))
		go func() {
			_, err := s.Open(t.Context(), core.OpenRequest{Key: "k", Role: core.RolePayer, Params: raw, AuditHead: core.EmptyAuditHead()})
			errs <- err
		}()
	}
	opened := 0
	for range cap(errs) {
		if err := <-errs; err == nil {
			opened++
		} else if !errors.Is(err, core.ErrExhausted) {
			t.Error(err)
		}
	}
	if opened != 3 || s.Balance(signer("payer").DID()) != 0 {
		t.Errorf("got %d channels and a balance of %d, want 3 and 0", opened, s.Balance(signer("payer").DID()))
	}
}
