package host

import (
	"slices"
	"strings"
	"testing"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/config"
)

// small is an index node, a provider with one agent, and a caller.
func small(t testing.TB) (w *world, provider, caller *Node) {
	t.Helper()
	w = newWorld(t)
	w.start(w.config("index", config.RoleIndex, config.RoleBootstrap))
	cfg := w.config("provider", config.RoleEdge)
	cfg.Agent = map[string]config.Agent{"shout": {Card: agentFiles(t, "shout", "turns a text into upper case", 2)}}
	provider = w.start(cfg)
	caller = w.start(w.config("caller", config.RoleEdge))
	return w, provider, caller
}

func input(t testing.TB, n *Node, text string) map[string]Content {
	t.Helper()
	c, err := n.AddContent(t.Context(), strings.NewReader(text), false)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]Content{"doc": c}
}

func TestATaskFromFindToVerify(t *testing.T) {
	w, provider, caller := small(t)
	eventually(t, "the card is indexed", func() bool {
		f, err := caller.Find(t.Context(), FindQuery{Text: "upper case"})
		return err == nil && len(f.Hits) == 1
	})
	ob := new(steps)
	r, err := caller.RunTask(t.Context(), TaskRequest{Query: "make this text upper case", Inputs: input(t, caller, "hello")}, ob)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"find", "escrow", "form", "route", "execute", "settle", "dissolve", "verify"}
	if !slices.Equal(ob.names, want) {
		t.Errorf("got steps %v, want %v", ob.names, want)
	}
	if r.Outcome != core.OutcomeOK || r.Settled != "paid" || r.Charge <= 0 || r.Charge > r.Max {
		t.Errorf("got outcome %s, settled %q, charge %d of %d", r.Outcome, r.Settled, r.Charge, r.Max)
	}
	receipt, err := core.VerifyReceipt(r.Receipt, "zerostate-unit", false)
	if err != nil {
		t.Fatal(err)
	}
	if got := receipt.Predicate.WorkerNode; got != provider.DID() {
		t.Errorf("got worker %s, want %s", got, provider.DID())
	}
	for _, n := range []*Node{provider, caller} {
		chs := n.channels.list()
		if len(chs) != 1 {
			t.Fatalf("%s has %d channels, want 1", n.cfg.Node.Name, len(chs))
		}
		i := chs[0].info()
		if i.PayeeMicros != r.Charge || i.LockedMicros != 0 || i.PayerMicros+i.PayeeMicros != i.DepositMicros {
			t.Errorf("%s has payer %d, payee %d, locked %d of %d, charged was %d", n.cfg.Node.Name, i.PayerMicros, i.PayeeMicros, i.LockedMicros, i.DepositMicros, r.Charge)
		}
	}
	if r.After == r.Before {
		t.Errorf("reputation stayed %v", r.Before)
	}
	if g := len(caller.guilds.list()) + len(provider.guilds.list()); g != 0 {
		t.Errorf("%d guilds live after the task", g)
	}
	_ = w
}

func TestAnOwnAgentRunsUnpaid(t *testing.T) {
	w := newWorld(t)
	cfg := w.config("laptop", config.RoleEdge, config.RoleRelay, config.RoleIndex, config.RoleBootstrap)
	cfg.Agent = map[string]config.Agent{"shout": {Card: agentFiles(t, "shout", "turns a text into upper case", 2)}}
	n := w.start(cfg)
	eventually(t, "the card is indexed", func() bool {
		f, err := n.Find(t.Context(), FindQuery{Text: "upper case"})
		return err == nil && len(f.Hits) == 1
	})
	r, err := n.RunTask(t.Context(), TaskRequest{Query: "upper case", Inputs: input(t, n, "hello")}, Silence{})
	if err != nil {
		t.Fatal(err)
	}
	out, err := n.localContent(t.Context(), r.Outputs[1].CID, 100)
	if err != nil || string(out) != "HELLO" {
		t.Errorf("got output %q, %v, want HELLO", out, err)
	}
	if r.Charge != 0 || len(r.Receipt) != 0 || len(n.channels.list()) != 0 {
		t.Errorf("got a charge of %d, a receipt of %d bytes and %d channels", r.Charge, len(r.Receipt), len(n.channels.list()))
	}
}
