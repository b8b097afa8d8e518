package host

import (
	"context"
	"crypto/ed25519"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/config"
	"github.com/zerostate/zerostate/host/internal/p2p"
)

// fixedRouter answers what the test says.
type fixedRouter struct {
	core.Router
	answer func(core.RouteRequest) ([]core.RouteDecision, error)
}

func (r fixedRouter) Decide(_ context.Context, reqs []core.RouteRequest) ([]core.RouteDecision, error) {
	return r.answer(reqs[0])
}

func TestARouterThatFailsDoesNotStopATask(t *testing.T) {
	w := newWorld(t)
	relays := []core.DID{core.DIDOf(otherKey(1)), core.DIDOf(otherKey(2))}
	cfg := w.config("alone", config.RoleEdge)
	cfg.Network.Backbone = []string{nowhere(t, relays[0]), nowhere(t, relays[1])}
	n := w.start(cfg)
	to := core.DIDOf(otherKey(3))
	for _, c := range []struct {
		name   string
		answer func(core.RouteRequest) ([]core.RouteDecision, error)
		want   core.RouteDecision
	}{
		{
			"an error", func(core.RouteRequest) ([]core.RouteDecision, error) { return nil, core.ErrUnavailable },
			core.RouteDecision{Path: p2p.PathDirect, Fallback: true},
		},
		{
			"nothing", func(core.RouteRequest) ([]core.RouteDecision, error) { return nil, nil },
			core.RouteDecision{Path: p2p.PathDirect, Fallback: true},
		},
		{"a path that it was not offered", func(r core.RouteRequest) ([]core.RouteDecision, error) {
			return []core.RouteDecision{{ID: r.ID, Path: string(to)}}, nil
		}, core.RouteDecision{Path: p2p.PathDirect, Fallback: true}},
		{"a relay", func(r core.RouteRequest) ([]core.RouteDecision, error) {
			return []core.RouteDecision{{ID: r.ID, Path: r.Candidates[2].Path, Explored: true}}, nil
		}, core.RouteDecision{Path: string(relays[1]), Explored: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n.router = fixedRouter{n.router, c.answer}
			got, err := n.decide(t.Context(), to, "test", core.SLAInteractive, 10)
			if err != nil || got.Path != c.want.Path || got.Fallback != c.want.Fallback || got.Explored != c.want.Explored {
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
	t.Run("the task is over", func(t *testing.T) {
		n.router = fixedRouter{n.router, func(core.RouteRequest) ([]core.RouteDecision, error) { return nil, context.Canceled }}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := n.decide(ctx, to, "test", core.SLAInteractive, 10); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the cancellation", err)
		}
	})
	t.Run("candidates", func(t *testing.T) {
		for name, c := range map[string]struct {
			relays bool
			to     core.DID
			want   []string
		}{
			"all":              {true, to, []string{"direct", string(relays[0]), string(relays[1])}},
			"policy":           {false, to, []string{"direct"}},
			"not by way of it": {true, relays[0], []string{"direct", string(relays[1])}},
		} {
			n.cfg.Policy.AllowRelay = c.relays
			var got []string
			for _, p := range n.candidates(c.to, "elsewhere") {
				got = append(got, p.Path)
				if p.Path == "direct" && p.RegionMatch {
					t.Errorf("%s: the direct path matches another region", name)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: got %v, want %v", name, got, c.want)
			}
			if c.to == to && !slices.Equal(n.staticPaths(), c.want) {
				t.Errorf("%s: got static paths %v, want %v", name, n.staticPaths(), c.want)
			}
		}
	})
	for _, c := range []struct {
		d    core.RouteDecision
		want string
	}{
		{core.RouteDecision{Path: "direct", Scores: []core.RouteScore{{Path: "direct", Reason: "nearest"}}}, "direct: nearest"},
		{core.RouteDecision{Path: "direct", Fallback: true}, "direct (static path)"},
		{core.RouteDecision{Path: string(relays[0]), Explored: true}, "relay " + relays[0].Short() + " (exploring)"},
	} {
		if got := explain(c.d); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// nowhere is the address of a relay that does not answer.
func nowhere(t *testing.T, did core.DID) string {
	t.Helper()
	id, err := p2p.PeerOf(did)
	if err != nil {
		t.Fatal(err)
	}
	return "/ip4/127.0.0.1/tcp/1/p2p/" + id.String()
}

// otherKey is a public key of nobody's.
func otherKey(seed byte) ed25519.PublicKey {
	k := make([]byte, 32)
	k[0] = seed
	return ed25519.NewKeyFromSeed(k).Public().(ed25519.PublicKey)
}

func TestATaskGoesByTheRelayThatTheRouterChose(t *testing.T) {
	w := newWorld(t)
	relay := w.start(w.config("relay", config.RoleBootstrap, config.RoleRelay))
	backbone := func(cfg *Config) *Config {
		cfg.Network.Backbone = append(firstN(relay.net.Addrs(), 1), nowhere(t, core.DIDOf(otherKey(9))))
		return cfg
	}
	cfg := backbone(w.config("provider", config.RoleEdge))
	cfg.Agent = map[string]config.Agent{"shout": {Card: agentFiles(t, "shout", "turns a text into upper case", 2)}}
	provider := w.start(cfg)
	caller := w.start(backbone(w.config("caller", config.RoleEdge)))
	did := provider.cards.list()[0].signer.DID()
	gone := core.DIDOf(otherKey(9))
	eventually(t, "the provider has a slot at the relay", func() bool {
		s, err := caller.net.OpenVia(t.Context(), provider.DID(), string(relay.DID()), p2p.ProtocolTask)
		if err != nil {
			return false
		}
		s.Reset()
		return true
	})
	for _, c := range []struct {
		name     string
		path     core.DID
		want     string
		fallback bool
	}{
		{"a relay", relay.DID(), string(relay.DID()), false},
		{"a relay that is not there", gone, p2p.PathDirect, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			caller.router = fixedRouter{caller.router, func(r core.RouteRequest) ([]core.RouteDecision, error) {
				return []core.RouteDecision{{ID: r.ID, Path: string(c.path)}}, nil
			}}
			r, err := caller.RunTask(t.Context(), TaskRequest{Agent: did, Inputs: input(t, caller, strings.Repeat("far ", 50_000))}, Silence{})
			if err != nil {
				t.Fatal(err)
			}
			if r.Path != c.want || r.Route.Fallback != c.fallback || r.Settled != "paid" {
				t.Errorf("got path %q, fallback %v, settled %q, want %q, %v", r.Path, r.Route.Fallback, r.Settled, c.want, c.fallback)
			}
			out, err := caller.localContent(t.Context(), r.Outputs[1].CID, 1<<20)
			if err != nil || !strings.HasPrefix(string(out), "FAR FAR") {
				t.Errorf("got output %.10q, %v", out, err)
			}
		})
	}
}
