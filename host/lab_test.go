package host

import (
	"context"
	"crypto/rand"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/config"
	"github.com/zerostate/zerostate/host/internal/p2p"
	"github.com/zerostate/zerostate/host/internal/peerpb"
	"github.com/zerostate/zerostate/plugin/sdk"
	"github.com/zerostate/zerostate/plugin/sdk/sdktest/fake"
)

// lab is a network of a hub, a provider with one agent whose program is the
// test's, and a caller.
type lab struct {
	*world
	provider, caller *Node
	agent            core.DID
	runs             *counter
}

// counter counts runs of a guest.
type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
}

func (c *counter) get() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// newLab starts the network. program nil is fake.Transform; edit, where not nil,
// changes the provider's and the caller's configuration.
func newLab(t *testing.T, program fake.Program, edit func(name string, cfg *Config, deps *Deps)) *lab {
	t.Helper()
	l := &lab{world: newWorld(t), runs: new(counter)}
	if program == nil {
		program = fake.Transform
	}
	counted := func(ctx context.Context, p *fake.Process) int {
		l.runs.add()
		return program(ctx, p)
	}
	l.deps.Executor = map[string]sdk.Plugin[core.Executor]{
		"fake": fake.ExecutorPlugin(map[string]fake.Program{sha256Hex([]byte("\x00asm\x01\x00\x00\x00guest")): counted}),
	}
	l.start(l.config("hub", config.RoleBootstrap))
	l.provider = l.begin("provider", l.providerConfig(), edit)
	l.caller = l.begin("caller", l.config("caller", config.RoleEdge), edit)
	l.agent = l.provider.cards.list()[0].signer.DID()
	return l
}

func (l *lab) providerConfig() *Config {
	cfg := l.config("provider", config.RoleEdge)
	cfg.Agent = map[string]config.Agent{"guest": {Card: agentFiles(l.t, "guest", "turns a text into upper case", 2)}}
	return cfg
}

// begin starts a node with the dependencies that the test edits.
func (l *lab) begin(name string, cfg *Config, edit func(string, *Config, *Deps)) *Node {
	l.t.Helper()
	deps := Deps{Builtins: l.deps, Log: hclog.NewNullLogger(), Version: "test"}
	if edit != nil {
		edit(name, cfg, &deps)
	}
	n, err := New(l.t.Context(), cfg, deps)
	if err != nil {
		l.t.Fatalf("start %s: %v", name, err)
	}
	ran := make(chan error, 1)
	go func() { ran <- n.Run(context.Background()) }()
	l.t.Cleanup(func() {
		if err := n.Close(); err != nil {
			l.t.Errorf("close %s: %v", name, err)
		}
		if err := <-ran; err != nil {
			l.t.Errorf("run %s: %v", name, err)
		}
	})
	l.nodes[name] = n
	l.boot = append(l.boot, n.net.Addrs()...)
	eventually(l.t, name+" is ready", n.ready.Load)
	return n
}

// run runs one task of the lab's agent.
func (l *lab) run(n *Node, text string) (*TaskResult, error) {
	l.t.Helper()
	return n.RunTask(l.t.Context(), TaskRequest{Agent: l.agent, Inputs: input(l.t, n, text)}, Silence{})
}

// cut ends every connection between two nodes.
func cut(t *testing.T, a, b *Node) {
	t.Helper()
	if err := a.net.Host().Network().ClosePeer(b.net.PeerID()); err != nil {
		t.Errorf("cut: %v", err)
	}
}

// nonces is a source of randomness that calls a hook before the n-th nonce of a
// sealed frame is drawn (24 bytes each), once it is armed.
type nonces struct {
	mu   sync.Mutex
	left int
	do   func()
}

func (r *nonces) Read(p []byte) (int, error) {
	if len(p) == 24 {
		if do := r.draw(); do != nil {
			do()
		}
	}
	return rand.Read(p)
}

func (r *nonces) draw() func() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left == 0 {
		return nil
	}
	if r.left--; r.left > 0 {
		return nil
	}
	return r.do
}

func (r *nonces) arm(n int, do func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left, r.do = n, do
}

// onlyChannel is the one channel that a node has.
func onlyChannel(t testing.TB, n *Node) ChannelInfo {
	t.Helper()
	chs := n.channels.list()
	if len(chs) != 1 {
		t.Fatalf("%s has %d channels, want 1", n.cfg.Node.Name, len(chs))
	}
	return chs[0].info()
}

// paidExactly waits until both sides hold a channel of the same version without
// locks in which the payee has what was charged.
func (l *lab) paidExactly(charge int64) {
	l.t.Helper()
	eventually(l.t, "both sides hold the same state without locks", func() bool {
		a, b := onlyChannel(l.t, l.caller), onlyChannel(l.t, l.provider)
		return a.Version == b.Version && a.Locks == 0 && b.Locks == 0
	})
	for _, n := range []*Node{l.caller, l.provider} {
		i := onlyChannel(l.t, n)
		if i.PayeeMicros != charge || i.PayerMicros != i.DepositMicros-charge {
			l.t.Errorf("%s: got payee %d and payer %d of %d, want a charge of %d", n.cfg.Node.Name, i.PayeeMicros, i.PayerMicros, i.DepositMicros, charge)
		}
	}
}

// byHand is a task of the caller's up to a step, for tests that take the next
// one differently.
func (l *lab) byHand(n *Node, text string) *taskRun {
	l.t.Helper()
	tr := &taskRun{n: n, req: TaskRequest{Agent: l.agent, Inputs: input(l.t, n, text)}, ob: Silence{}, result: &TaskResult{}}
	if err := tr.prepare(); err != nil {
		l.t.Fatal(err)
	}
	return tr
}

// escrowed is byHand up to escrow: the lock is on its way.
func (l *lab) escrowed(n *Node, text string) *taskRun {
	l.t.Helper()
	tr := l.byHand(n, text)
	c, err := tr.findAgent(l.t.Context(), l.agent)
	if err == nil {
		_, err = tr.escrow(l.t.Context(), c)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return tr
}

// unlocked is byHand with a channel and a lock that is never sent.
func (l *lab) unlocked(n *Node, text string) *taskRun {
	l.t.Helper()
	tr := l.byHand(n, text)
	ctx := l.t.Context()
	c, err := tr.findAgent(ctx, l.agent)
	if err != nil {
		l.t.Fatal(err)
	}
	if tr.hired, err = tr.hireFor(ctx, c); err != nil {
		l.t.Fatal(err)
	}
	price := tr.hired.task.Spec.Settlement
	quote, err := n.payment.Quote(ctx, core.QuoteRequest{Price: price, MaxUnits: tr.hired.task.Spec.MaxUnits(tr.inputs), Currency: price.Currency})
	if err != nil {
		l.t.Fatal(err)
	}
	if tr.channel, err = n.channels.ensure(ctx, tr.hired.node(), quote.MaxMicros); err != nil {
		l.t.Fatal(err)
	}
	if err := tr.makeLock(quote.MaxMicros); err != nil {
		l.t.Fatal(err)
	}
	return tr
}

// offered seals the Offer of a task and answers its frame.
func (l *lab) offered(tr *taskRun) *peerpb.Frame {
	l.t.Helper()
	if _, err := tr.form(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
	return offerFrame(tr)
}

func offerFrame(tr *taskRun) *peerpb.Frame {
	s := tr.sealed
	return &peerpb.Frame{Body: &peerpb.Frame_Offer{Offer: &peerpb.Offer{
		Guild: s.Guild, Sender: string(s.Sender), Recipient: string(s.Recipient), KeyHash: s.KeyHash, Sealed: s.Sealed,
	}}}
}

// ask opens a task stream and sends a frame; the stream lives until the test ends.
func ask(t *testing.T, from *Node, to core.DID, f *peerpb.Frame) (*p2p.Stream, *peerpb.Frame, error) {
	t.Helper()
	s, err := from.net.Open(t.Context(), to, p2p.ProtocolTask)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Reset)
	answer, err := s.Call(f)
	return s, answer, err
}

// entries are the runs in a worker's journal.
func entries(t testing.TB, n *Node) []*journalEntry {
	t.Helper()
	var out []*journalEntry
	for e, err := range scanJournal(n) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}
