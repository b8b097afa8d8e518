package host

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/config"
	"github.com/zerostate/zerostate/host/internal/p2p"
	"github.com/zerostate/zerostate/host/internal/peerpb"
)

// paper is a card of an agent that no node published, so that no DHT confirms
// it, and its record.
type paper struct {
	signer core.Signer
	card   []byte
	record *core.CardRecord
}

// paperOf makes an agent of a node at a time, with the offers of the node's own.
func paperOf(t *testing.T, node *Node, at time.Time) paper {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	src, err := ReadSource(agentFiles(t, "shout", "turns a text into upper case", 2), "")
	if err != nil {
		t.Fatal(err)
	}
	spec, err := core.ParseCardSpec(src.Card, src.CardName)
	if err != nil {
		t.Fatal(err)
	}
	p := paper{signer: core.NewSigner(key)}
	next, err := p.signer.DID().NextHash()
	if err != nil {
		t.Fatal(err)
	}
	draft := core.CardDraft{
		CardSpec: *spec, Network: "zerostate-unit", Next: next, Addresses: firstN(node.net.Addrs(), 1),
		Offerings: node.cards.list()[0].card.Params().Offers,
	}
	draft.Region = "test"
	if p.card, err = core.BuildCard(draft, p.signer, node.keys.signer(), at); err != nil {
		t.Fatal(err)
	}
	seal, err := node.seals.Current()
	if err != nil {
		t.Fatal(err)
	}
	p.record = &core.CardRecord{
		Network: "zerostate-unit", DID: p.signer.DID(), Seq: core.MillisOf(at), CID: core.CardCID(p.card), Signed: core.MillisOf(at),
		Expires: core.TimeOf(at.Add(time.Hour)), SealKey: seal.Public, SealUntil: core.TimeOf(at.Add(time.Hour)), Card: p.card,
	}
	return p
}

// signed answers the record's bytes under the agent's key.
func (p paper) signed(t *testing.T) []byte {
	t.Helper()
	r := *p.record
	r.Signatures = nil
	if err := core.Sign(&r, p.signer); err != nil {
		t.Fatal(err)
	}
	b, err := core.Encode(&r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// stolen answers the record's bytes with a signature of another document.
func (p paper) stolen(t *testing.T) []byte {
	t.Helper()
	r, err := core.Parse[core.CardRecord](p.signed(t))
	if err != nil {
		t.Fatal(err)
	}
	sig, err := p.signer.Sign([]byte("another document"))
	if err != nil {
		t.Fatal(err)
	}
	r.Signatures[0].Sig = base64.StdEncoding.EncodeToString(sig)
	b, err := core.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// talker is a node that answers queries of an index with what the test says.
type talker struct {
	*Node
	mu   sync.Mutex
	hits []*peerpb.Hit
}

func (k *talker) says(hits []*peerpb.Hit) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hits = hits
}

func (k *talker) answer(_ context.Context, s *p2p.Stream) error {
	if _, err := s.ReadFrame(); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return s.WriteFrame(&peerpb.Frame{Body: &peerpb.Frame_Hits{Hits: &peerpb.Hits{Hits: k.hits, IndexNode: string(k.DID())}}})
}

func newTalker(w *world, name string) *talker {
	w.t.Helper()
	k := &talker{Node: w.start(w.config(name, config.RoleEdge))}
	if err := k.net.Handle(p2p.ProtocolIndex, k.answer); err != nil {
		w.t.Fatal(err)
	}
	return k
}

// asks makes a node ask these index nodes, whatever the DHT says.
func asks(n *Node, nodes ...core.DID) {
	n.indexes.Lock()
	defer n.indexes.Unlock()
	n.indexes.nodes, n.indexes.until = nodes, n.now().Add(time.Hour)
}

func TestFindDropsWhatDoesNotHold(t *testing.T) {
	w, provider, caller := small(t)
	liar := newTalker(w, "liar")
	now := time.Now()
	honest := provider.cards.list()[0]
	hit := func(record []byte) []*peerpb.Hit { return []*peerpb.Hit{{Record: record, Score: 0.9}} }

	flipped := []byte(strings.Replace(string(honest.record), "turns a text", "turns all text", 1))
	ghost, late, stale, thief := paperOf(t, provider, now), paperOf(t, provider, now.Add(-3*time.Hour)), paperOf(t, provider, now), paperOf(t, provider, now)
	if err := caller.known.Remember(stale.record.DID, p2p.Known{Seq: int64(stale.record.Seq) + 1}); err != nil {
		t.Fatal(err)
	}
	other := paperOf(t, provider, now)
	swapped := paperOf(t, provider, now)
	swapped.record.Card, swapped.record.CID = nil, core.CardCID(other.card)
	apart := paperOf(t, provider, now)
	apart.record.Card = nil
	dead := paperOf(t, provider, now)
	dead.record = &core.CardRecord{Network: "zerostate-unit", DID: dead.signer.DID(), Seq: core.MillisOf(now), Signed: core.MillisOf(now)}
	foreign := paperOf(t, provider, now)
	foreign.record.Network, foreign.record.Card = "zerostate-elsewhere", nil

	for _, c := range []struct {
		name string
		hits []*peerpb.Hit
		want string // in the reason; empty: it is kept, unconfirmed
	}{
		{"a card that the DHT does not know", hit(ghost.signed(t)), ""},
		{"a forged card", hit(flipped), ""},
		{"a record with another document's signature", hit(thief.stolen(t)), "signature"},
		{"a record with another agent's card", []*peerpb.Hit{{Record: swapped.signed(t), Card: other.card}}, "agree"},
		{"a card that is not the record's", []*peerpb.Hit{{Record: apart.signed(t), Card: other.card}}, "not the one its record names"},
		{"an expired record", hit(late.signed(t)), "expire"},
		{"a stale seq", hit(stale.signed(t)), "older"},
		{"a tombstone", hit(dead.signed(t)), "revoked"},
		{"a record of another network", []*peerpb.Hit{{Record: foreign.signed(t), Card: foreign.card}}, "network"},
		{"garbage", hit([]byte("garbage")), ""},
		{"nothing", hit(nil), ""},
		{"an offer that is not there", []*peerpb.Hit{{Record: ghost.signed(t), Offer: 7}}, "no offer 7"},
		{"an offer below zero", []*peerpb.Hit{{Record: ghost.signed(t), Offer: math.MinInt64}}, "no offer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			liar.says(c.hits)
			asks(caller, liar.DID())
			f, err := caller.Find(t.Context(), FindQuery{Text: "upper case"})
			if err != nil {
				t.Fatal(err)
			}
			if c.name == "a card that the DHT does not know" {
				if len(f.Hits) != 1 || f.Hits[0].Evidence().Confirmed || !strings.Contains(f.Hits[0].Reason, "not confirmed") {
					t.Errorf("got hits %v, dropped %v, want one that is shown as unconfirmed", f.Hits, f.Dropped)
				}
				return
			}
			if len(f.Hits) != 0 || len(f.Dropped) != 1 || f.Dropped[0].Reason == "" || f.Dropped[0].IndexNode != liar.DID() {
				t.Fatalf("got %d hits, dropped %v, want one drop with its reason", len(f.Hits), f.Dropped)
			}
			if got := f.Dropped[0].Reason; !strings.Contains(got, c.want) {
				t.Errorf("got reason %q, want %q in it", got, c.want)
			}
		})
	}
}

func TestFindBetweenTwoIndexNodes(t *testing.T) {
	w, provider, caller := small(t)
	honest := provider.cards.list()[0]
	liar, second := newTalker(w, "liar"), newTalker(w, "second")
	real := func(score float64) *peerpb.Hit { return &peerpb.Hit{Record: honest.record, Score: score} }
	flipped := []byte(strings.Replace(string(honest.record), "turns a text", "turns all text", 1))
	flood := make([]*peerpb.Hit, 600)
	for i := range flood {
		flood[i] = &peerpb.Hit{Record: []byte("garbage")}
	}
	for _, c := range []struct {
		name       string
		lies       []*peerpb.Hit
		truth      []*peerpb.Hit
		similarity float64
		reporters  int
	}{
		{"inflated", []*peerpb.Hit{real(1)}, []*peerpb.Hit{real(0.4)}, 0.4, 2},
		{"inflated and repeated", []*peerpb.Hit{real(1), real(1), real(1)}, []*peerpb.Hit{real(0.4)}, 0.4, 2},
		{"beyond what a cosine is, alone", []*peerpb.Hit{real(7)}, nil, 1, 1},
		{"no number, alone", []*peerpb.Hit{real(math.NaN())}, nil, -1, 1},
		{"a forged card beside the true one", []*peerpb.Hit{{Record: flipped, Score: -1}}, []*peerpb.Hit{real(0.4)}, 0.4, 1},
		{"a flood", flood, []*peerpb.Hit{real(0.4)}, 0.4, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			liar.says(c.lies)
			second.says(c.truth)
			asks(caller, liar.DID(), second.DID())
			f, err := caller.Find(t.Context(), FindQuery{Text: "upper case", K: 1})
			if err != nil {
				t.Fatal(err)
			}
			if len(f.Hits) != 1 || f.Hits[0].Similarity != c.similarity || len(f.Hits[0].Evidence().IndexNodes) != c.reporters {
				t.Fatalf("got %+v, want similarity %v from %d", f.Hits, c.similarity, c.reporters)
			}
			if got := string(f.Hits[0].CardBytes()); got != string(honest.cardBytes) {
				t.Errorf("got card %.80s", got)
			}
			if len(f.Dropped) > 10 {
				t.Errorf("%d hits of a flood were looked at", len(f.Dropped))
			}
		})
	}
}

func TestFindPassesOnWhatIsNewer(t *testing.T) {
	w, provider, caller := small(t)
	old := provider.cards.list()[0]
	liar := newTalker(w, "liar")
	liar.says([]*peerpb.Hit{{Record: old.record, Score: 0.9}})
	src, err := ReadSource(provider.cfg.Agent["shout"].Card, "")
	if err != nil {
		t.Fatal(err)
	}
	p, err := provider.cards.publish(t.Context(), "shout", src, true)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new card takes the place of the reported one", func() bool {
		asks(caller, liar.DID())
		f, err := caller.Find(t.Context(), FindQuery{Text: "upper case"})
		return err == nil && len(f.Hits) == 1 && f.Hits[0].record.Seq == p.Seq && f.Hits[0].Evidence().Confirmed
	})
	if _, _, err := provider.cards.revoke(t.Context(), "shout"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the revoked card is dropped though the index node still has it", func() bool {
		asks(caller, liar.DID())
		f, err := caller.Find(t.Context(), FindQuery{Text: "upper case"})
		return err == nil && len(f.Hits) == 0 && len(f.Dropped) == 1 && strings.Contains(f.Dropped[0].Reason, "revoked")
	})
}

func TestFindGatesByReputation(t *testing.T) {
	_, provider, caller := small(t)
	did := provider.cards.list()[0].signer.DID()
	eventually(t, "the card is found", func() bool { return finds(t, caller, did) })
	caller.cfg.Policy.MinReputation = 0.99
	f, err := caller.Find(t.Context(), FindQuery{Text: "upper case"})
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Hits) != 0 || len(f.Dropped) != 1 || !strings.Contains(f.Dropped[0].Reason, "policy.min_reputation 0.99") {
		t.Errorf("got hits %v, dropped %v", f.Hits, f.Dropped)
	}
	_, err = caller.RunTask(t.Context(), TaskRequest{Agent: did, Inputs: input(t, caller, "x")}, Silence{})
	if err == nil || !strings.Contains(err.Error(), "policy.min_reputation") {
		t.Errorf("hired by its did: got %v", err)
	}
}
