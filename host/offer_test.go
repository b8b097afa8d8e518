package host

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/config"
	"github.com/zerostate/zerostate/host/internal/guild"
	"github.com/zerostate/zerostate/host/internal/peerpb"
	"github.com/zerostate/zerostate/plugin/sdk/sdktest/fake"
)

func TestTheSameOfferGetsTheSameAccept(t *testing.T) {
	end := make(chan struct{})
	l := newLab(t, func(ctx context.Context, p *fake.Process) int {
		<-end
		return fake.Transform(ctx, p)
	}, nil)
	tr := l.escrowed(l.caller, "hello")
	f := l.offered(tr)
	s1, first, err := ask(t, l.caller, l.provider.DID(), f)
	if err != nil {
		t.Fatal(err)
	}
	_, second, err := ask(t, l.caller, l.provider.DID(), f)
	if err != nil {
		t.Fatal(err)
	}
	accept := first.GetAccept().GetDocument()
	if len(accept) == 0 || !bytes.Equal(accept, second.GetAccept().GetDocument()) {
		t.Error("the same Offer got two different Accepts")
	}
	_, session, err := tr.draft.OpenAccept(accept, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	r := &ring{frames: s1, session: session, rand: rand.Reader}
	if err := tr.push(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	close(end)
	eventually(t, "the run has its receipt", func() bool { return len(entries(t, l.provider)[0].Receipt) > 0 })
	if got, es := l.runs.get(), entries(t, l.provider); got != 1 || len(es) != 1 {
		t.Errorf("the guest ran %d times, %d runs were journalled, want once", got, len(es))
	}
	p := receiptOf(t, entries(t, l.provider)[0].Receipt)
	if p.Outcome != core.OutcomeOK {
		t.Errorf("got outcome %s", p.Outcome)
	}
}

func receiptOf(t testing.TB, envelope []byte) core.ReceiptPredicate {
	t.Helper()
	r, err := core.VerifyReceipt(envelope, "zerostate-unit", true)
	if err != nil {
		t.Fatal(err)
	}
	return r.Predicate
}

func TestOffersThatAreNotForUs(t *testing.T) {
	l := newLab(t, nil, nil)
	other := l.begin("other", l.config("other", config.RoleEdge), nil)
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	reseal := func(tr *taskRun, edit func(*guild.OfferSpec)) *peerpb.Frame {
		spec := guild.OfferSpec{
			Network: "zerostate-unit", Requester: tr.rater.DID(), Recipient: tr.hired.node(), Agent: tr.hired.agent(),
			CardCID: tr.hired.listing.record.CID, Channel: tr.channel.id, Lock: tr.lock, Manifest: tr.hired.manifest,
			TTL: time.Minute, NotAfter: tr.lock.Expires.Add(-time.Second),
		}
		edit(&spec)
		draft, err := guild.NewOffer(spec, l.caller.keys.signer(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		tr.draft = draft
		if tr.sealed, err = draft.Seal(tr.hired.listing.record.SealKey); err != nil {
			t.Fatal(err)
		}
		return offerFrame(tr)
	}
	for _, c := range []struct {
		name  string
		from  *Node
		to    *Node
		frame func(tr *taskRun) *peerpb.Frame
		want  error
	}{
		{"another peer's", other, l.provider, func(tr *taskRun) *peerpb.Frame { return l.offered(tr) }, core.ErrDenied},
		{"another peer's under its own name", other, l.provider, func(tr *taskRun) *peerpb.Frame {
			f := l.offered(tr)
			f.GetOffer().Sender = string(other.DID())
			return f
		}, core.ErrDenied},
		{"another node's", l.caller, other, func(tr *taskRun) *peerpb.Frame { return l.offered(tr) }, core.ErrDenied},
		{"another node's in our name", l.caller, other, func(tr *taskRun) *peerpb.Frame {
			f := l.offered(tr)
			f.GetOffer().Recipient = string(other.DID())
			return f
		}, core.ErrConflict},
		{"void", l.caller, l.provider, func(tr *taskRun) *peerpb.Frame {
			return reseal(tr, func(s *guild.OfferSpec) { s.NotAfter = core.TimeOf(time.Now().Add(-time.Second)) })
		}, core.ErrDenied},
		{"of another network", l.caller, l.provider, func(tr *taskRun) *peerpb.Frame {
			return reseal(tr, func(s *guild.OfferSpec) { s.Network = "zerostate-elsewhere" })
		}, core.ErrDenied},
		{"of no agent here", l.caller, l.provider, func(tr *taskRun) *peerpb.Frame {
			return reseal(tr, func(s *guild.OfferSpec) { s.Agent, s.Lock.Agent = other.DID(), other.DID() })
		}, core.ErrNotFound},
		{"of an older card", l.caller, l.provider, func(tr *taskRun) *peerpb.Frame {
			return reseal(tr, func(s *guild.OfferSpec) { s.CardCID = tr.req.Inputs["doc"].CID })
		}, core.ErrConflict},
		{"over a channel that is none", l.caller, l.provider, func(tr *taskRun) *peerpb.Frame {
			return reseal(tr, func(s *guild.OfferSpec) { s.Channel = sha256Hex([]byte("none")) })
		}, core.ErrDenied},
		{"with a lock below the quote", l.caller, l.provider, func(tr *taskRun) *peerpb.Frame {
			return reseal(tr, func(s *guild.OfferSpec) { s.Lock.MaxMicros = 3 })
		}, core.ErrDenied},
		{"sealed to a key that is gone", l.caller, l.provider, func(tr *taskRun) *peerpb.Frame {
			tr.hired.listing.record.SealKey = base64.RawURLEncoding.EncodeToString(key.PublicKey().Bytes())
			return l.offered(tr)
		}, core.ErrConflict},
		{"no Offer", l.caller, l.provider, func(*taskRun) *peerpb.Frame {
			return &peerpb.Frame{Body: &peerpb.Frame_Ack{Ack: &peerpb.Ack{}}}
		}, core.ErrInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, answer, err := ask(t, c.from, c.to.DID(), c.frame(l.unlocked(l.caller, c.name)))
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, %v, want %v", answer, err, c.want)
			}
		})
	}
	if got := l.runs.get(); got != 0 {
		t.Errorf("%d guests ran", got)
	}
	for _, n := range []*Node{l.provider, other} {
		for _, e := range entries(t, n) {
			if p := receiptOf(t, e.Receipt); p.Outcome != core.OutcomeRefused || p.ChargeMicros != 0 {
				t.Errorf("%s receipted %s charging %d", n.cfg.Node.Name, p.Outcome, p.ChargeMicros)
			}
		}
		if got := len(n.guilds.list()); got != 0 {
			t.Errorf("%s is in %d guilds", n.cfg.Node.Name, got)
		}
	}
}

// exchanged takes a task whose Offer is ready to its receipt.
func (l *lab) exchanged(tr *taskRun) core.ReceiptPredicate {
	l.t.Helper()
	ctx := l.t.Context()
	l.offered(tr)
	if _, err := tr.route(ctx); err != nil {
		l.t.Fatal(err)
	}
	if _, err := tr.execute(ctx); err != nil {
		l.t.Fatal(err)
	}
	defer tr.leave()
	return receiptOf(l.t, tr.back.receipt)
}

func TestWithoutItsLockATaskIsRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		lock   func(core.Lock) *core.Lock // that stands in the channel
		reason string
	}{
		{"no lock", func(core.Lock) *core.Lock { return nil }, "wait for the lock"},
		{"a smaller lock", func(k core.Lock) *core.Lock { k.MaxMicros--; return &k }, "not the one offered"},
		{"a lock of another price", func(k core.Lock) *core.Lock { k.PriceHash = sha256Hex(nil); return &k }, "not the one offered"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, nil, nil)
			l.provider.worker.lockWait = 300 * time.Millisecond
			tr := l.unlocked(l.caller, "hello")
			if k := c.lock(tr.lock); k != nil {
				l.provider.worker.lockWait = time.Minute
				if err := l.caller.channels.lock(t.Context(), tr.channel, *k); err != nil {
					t.Fatal(err)
				}
			}
			p := l.exchanged(tr)
			if p.Outcome != core.OutcomeRefused || p.ChargeMicros != 0 || p.Metering.Verifiable != (core.VerifiableMetering{}) {
				t.Errorf("got %s charging %d for %+v, want refused for nothing", p.Outcome, p.ChargeMicros, p.Metering.Verifiable)
			}
			if !strings.Contains(p.Reason, c.reason) {
				t.Errorf("got reason %q, want %q in it", p.Reason, c.reason)
			}
			if got := l.runs.get(); got != 0 {
				t.Errorf("the guest ran %d times", got)
			}
		})
	}
}

// ownModule is a whole manifest of the caller's, around a module that only the
// caller has.
func ownModule(t *testing.T, caller *Node, price string) (manifest []byte, cid string) {
	t.Helper()
	module, err := caller.AddContent(t.Context(), strings.NewReader("\x00asm\x01\x00\x00\x00mine"), true)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(`apiVersion: zerostate.dev/v1alpha1
kind: Task
metadata: {name: mine}
spec:
  module: {uri: file:mine.wasm}
  inputs: [{name: doc, uri: file:doc}]
  outputs: [{name: out, path: /out/out, maxBytes: 1KiB}]
  limits: {wallTimeout: 5s, outputBytes: 1KiB}
  settlement: ` + price + "\n"), module.CID
}

func TestWholeManifests(t *testing.T) {
	const agents = "{currency: TEST, unit: byte, priceMicros: 2, perUnits: 64}"
	for _, c := range []struct {
		name    string
		foreign bool
		price   string
		want    string // in the error; empty: it runs
	}{
		{"not where foreign modules are not run", false, agents, "foreign modules"},
		{"at the agent's price", true, agents, ""},
		{"at another price", true, "{currency: TEST, unit: byte, priceMicros: 1, perUnits: 64}", "price is none of the agent's"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, nil, func(_ string, cfg *Config, _ *Deps) { cfg.Serve.ForeignModules = c.foreign })
			manifest, module := ownModule(t, l.caller, c.price)
			if here, _, err := l.provider.net.Content().Has(t.Context(), module); err != nil || here {
				t.Fatalf("the provider holds the module already: %v", err)
			}
			r, err := l.caller.RunTask(t.Context(), TaskRequest{
				Manifest: manifest, ManifestName: "task.yaml", ModuleCID: module, Provider: l.agent, Inputs: input(t, l.caller, "hello"),
			}, Silence{})
			if c.want != "" {
				if !errors.Is(err, core.ErrDenied) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want ErrDenied with %q", err, c.want)
				}
				return
			}
			if err != nil || r.Settled != "paid" || r.Charge <= 0 {
				t.Fatalf("got settled %q, charge %d, %v", r.Settled, r.Charge, err)
			}
			out, err := l.caller.localContent(t.Context(), r.Outputs[1].CID, 100)
			if err != nil || string(out) != "HELLO" {
				t.Errorf("got output %q, %v", out, err)
			}
			if here, _, err := l.provider.net.Content().Has(t.Context(), module); err != nil || !here {
				t.Errorf("the provider did not fetch the module: %v", err)
			}
		})
	}
}
