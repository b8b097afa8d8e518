package p2p

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/peerpb"
)

// testRecords is a validator of records without signatures, so that tests can
// make any record.
type testRecords struct{}

type testRecord struct {
	DID       core.DID `json:"did"`
	Seq       int64    `json:"seq"`
	Tombstone bool     `json:"tombstone,omitempty"`
	Note      string   `json:"note,omitempty"`
}

func (testRecords) parse(value []byte) (testRecord, error) {
	var r testRecord
	if err := json.Unmarshal(value, &r); err != nil || r.Note == "invalid" {
		return r, fmt.Errorf("record: %w", core.ErrInvalid)
	}
	return r, nil
}

func (v testRecords) Validate(key string, value []byte) error {
	r, err := v.parse(value)
	if err != nil {
		return err
	}
	if did, err := didOfKey(key); err != nil || did != r.DID {
		return fmt.Errorf("key: %w", core.ErrDenied)
	}
	return nil
}

func (v testRecords) Select(_ string, values [][]byte) (int, error) {
	best, at := testRecord{Seq: -1}, 0
	for i, value := range values {
		r, err := v.parse(value)
		if err != nil {
			return 0, err
		}
		if r.Tombstone && !best.Tombstone || r.Tombstone == best.Tombstone && r.Seq > best.Seq {
			best, at = r, i
		}
	}
	return at, nil
}

func (v testRecords) Describe(value []byte) (RecordInfo, error) {
	r, err := v.parse(value)
	return RecordInfo{DID: r.DID, Seq: r.Seq, Signed: r.Seq, Tombstone: r.Tombstone}, err
}

func (r testRecord) bytes(t *testing.T) []byte {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func keyOf(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("zerostate-test-" + name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func didOf(name string) core.DID {
	return core.DIDOf(keyOf(name).Public().(ed25519.PublicKey))
}

// startNode starts a node on the loopback that ends with the test.
func startNode(t *testing.T, name string, change func(*Config)) *Node {
	t.Helper()
	cfg := Config{
		Network: "test", Key: keyOf(name), Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"},
		Server: true, AllowPrivate: true, Records: testRecords{}, ContentDir: t.TempDir(),
	}
	if change != nil {
		change(&cfg)
	}
	n, err := New(context.Background(), cfg)
	if err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("close %s: %v", name, err)
		}
	})
	return n
}

// startNetwork starts size nodes that have joined by the first.
func startNetwork(t *testing.T, size int, change func(i int, c *Config)) []*Node {
	t.Helper()
	nodes := make([]*Node, size)
	for i := range nodes {
		nodes[i] = startNode(t, fmt.Sprint("node", i), func(c *Config) {
			if i > 0 {
				c.Bootstrap = nodes[0].Addrs()
			}
			if change != nil {
				change(i, c)
			}
		})
		if err := nodes[i].Join(t.Context()); err != nil {
			t.Fatalf("join %d: %v", i, err)
		}
	}
	return nodes
}

// await polls until ok says so or the test's time is over.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func TestDIDs(t *testing.T) {
	n := startNode(t, "a", nil)
	if n.DID() != didOf("a") {
		t.Errorf("got %s, want %s", n.DID(), didOf("a"))
	}
	id, err := PeerOf(n.DID())
	if err != nil || id != n.PeerID() {
		t.Errorf("got %s, %v, want %s", id, err, n.PeerID())
	}
	if !strings.HasSuffix(n.Addrs()[0], "/p2p/"+id.String()) || n.Network() != "test" || n.Host() == nil {
		t.Errorf("got %s on %s", n.Addrs(), n.Network())
	}
	_, err = PeerOf("did:key:zNot")
	wantErr(t, "no did", err, core.ErrInvalid)
	_, err = DIDOfPeer("QmNoKey")
	wantErr(t, "a peer id without key", err, core.ErrInvalid)
}

func TestConfigIsRefused(t *testing.T) {
	good := Config{Network: "test", Key: keyOf("a"), Records: testRecords{}, ContentDir: t.TempDir()}
	for name, change := range map[string]func(*Config){
		"no network":         func(c *Config) { c.Network = "" },
		"a network of paths": func(c *Config) { c.Network = "a/b" },
		"no key":             func(c *Config) { c.Key = nil },
		"no validator":       func(c *Config) { c.Records = nil },
		"a bootstrap":        func(c *Config) { c.Bootstrap = []string{"/ip4/1.2.3.4/tcp/1"} },
		"no multiaddr":       func(c *Config) { c.Relays = []string{"1.2.3.4"} },
		"an allow":           func(c *Config) { c.Allow = []string{"bob"} },
		"a deny":             func(c *Config) { c.Deny = []string{"10.0.0.0/99"} },
		"a deny did":         func(c *Config) { c.Deny = []string{"did:key:z1"} },
		"an announce":        func(c *Config) { c.Announce = []string{"here"} },
	} {
		cfg := good
		change(&cfg)
		_, err := New(t.Context(), cfg)
		wantErr(t, name, err, core.ErrInvalid)
	}
}

func echo(_ context.Context, s *Stream) error {
	f, err := s.ReadFrame()
	if err != nil {
		return err
	}
	return s.WriteFrame(f)
}

func query(text string) *peerpb.Frame {
	return &peerpb.Frame{Body: &peerpb.Frame_Query{Query: &peerpb.Query{Text: text}}}
}

func TestNetworksDoNotSpeak(t *testing.T) {
	a := startNode(t, "a", nil)
	b := startNode(t, "b", func(c *Config) { c.Network = "other" })
	for _, n := range []*Node{a, b} {
		if err := n.Handle(ProtocolIndex, echo); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.AddAddrs(a.DID(), a.Addrs(), time.Hour); err != nil {
		t.Fatal(err)
	}
	_, err := b.Ask(t.Context(), a.DID(), ProtocolIndex, query("x"))
	wantErr(t, "a node of another network", err, core.ErrUnsupported)
	_, err = b.OpenVia(t.Context(), a.DID(), PathDirect, ProtocolIndex)
	wantErr(t, "by a chosen path", err, core.ErrUnsupported)
	if a.RoutingTableSize() != 0 || b.RoutingTableSize() != 0 {
		t.Errorf("got routing tables of %d and %d", a.RoutingTableSize(), b.RoutingTableSize())
	}
	for _, p := range a.host.Mux().Protocols() {
		if s := string(p); strings.Contains(s, "kad") || strings.Contains(s, "meshsub") || strings.Contains(s, "bitswap") {
			if !strings.HasPrefix(s, "/zerostate/test/") {
				t.Errorf("protocol %s does not name the network", s)
			}
		}
	}
}

func TestJoin(t *testing.T) {
	nodes := startNetwork(t, 4, nil)
	for i, n := range nodes {
		await(t, fmt.Sprintf("node %d knows the three others", i), func() bool { return n.RoutingTableSize() == 3 })
	}
	if got := len(nodes[0].Peers()); got < 3 {
		t.Errorf("got %d peers, want 3", got)
	}
}

func TestJoinTriesAgain(t *testing.T) {
	addr := startNode(t, "gone", nil)
	where := addr.Addrs()
	if err := addr.Close(); err != nil {
		t.Fatal(err)
	}
	n := startNode(t, "a", func(c *Config) { c.Bootstrap = where })
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	wantErr(t, "join by a node that is gone", n.Join(ctx), context.DeadlineExceeded)

	joined := make(chan error, 1)
	go func() { joined <- n.Join(t.Context()) }()
	listen, _, _ := strings.Cut(where[0], "/p2p/")
	startNode(t, "gone", func(c *Config) { c.Listen = []string{listen} })
	if err := <-joined; err != nil {
		t.Errorf("join once it is back: %v", err)
	}
}

func TestGate(t *testing.T) {
	a := startNode(t, "a", nil)
	for name, change := range map[string]func(*Config){
		"denied by did":     func(c *Config) { c.Deny = []string{string(a.DID())} },
		"denied by peer id": func(c *Config) { c.Deny = []string{a.PeerID().String()} },
		"denied by range":   func(c *Config) { c.Deny = []string{"127.0.0.0/8"} },
		"not allowed":       func(c *Config) { c.Allow = []string{string(didOf("c"))} },
		"private":           func(c *Config) { c.AllowPrivate = false },
	} {
		t.Run(name, func(t *testing.T) {
			b := startNode(t, "b", change)
			if err := b.AddAddrs(a.DID(), a.Addrs(), time.Hour); err != nil {
				t.Fatal(err)
			}
			wantErr(t, "dial", b.Connect(t.Context(), a.DID()), core.ErrUnavailable)
			if name == "private" {
				return
			}
			if err := a.AddAddrs(b.DID(), b.Addrs(), time.Hour); err != nil {
				t.Fatal(err)
			}
			if err := a.Connect(t.Context(), b.DID()); err == nil {
				await(t, "the connection ends", func() bool { return len(b.host.Network().ConnsToPeer(a.PeerID())) == 0 })
			}
		})
	}
	for name, change := range map[string]func(*Config){
		"allowed by range":        func(c *Config) { c.Allow = []string{"127.0.0.0/8"} },
		"allowed by did":          func(c *Config) { c.Allow = []string{string(a.DID())} },
		"private, but configured": func(c *Config) { c.AllowPrivate = false; c.Bootstrap = a.Addrs() },
	} {
		t.Run(name, func(t *testing.T) {
			b := startNode(t, "b", change)
			if err := b.AddAddrs(a.DID(), a.Addrs(), time.Hour); err != nil {
				t.Fatal(err)
			}
			if err := b.Connect(t.Context(), a.DID()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAddAddrs(t *testing.T) {
	n := startNode(t, "a", func(c *Config) { c.AllowPrivate = false })
	other := didOf("b")
	id, err := PeerOf(other)
	if err != nil {
		t.Fatal(err)
	}
	err = n.AddAddrs(other, []string{
		"/ip4/8.8.8.8/tcp/1", "/ip4/10.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/1", "/ip4/169.254.1.1/tcp/1", "nonsense",
		"/ip4/8.8.4.4/tcp/1/p2p/" + n.PeerID().String(),
	}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	got := n.host.Peerstore().Addrs(id)
	if len(got) != 1 || got[0].String() != "/ip4/8.8.8.8/tcp/1" {
		t.Errorf("got %v, want the public address of this peer alone", got)
	}
	if kept := n.shareable(got); len(kept) != 1 {
		t.Errorf("got %v", kept)
	}
	wantErr(t, "no did", n.AddAddrs("did:x", nil, time.Hour), core.ErrInvalid)
}

func TestPing(t *testing.T) {
	nodes := startNetwork(t, 2, nil)
	d, err := nodes[0].Ping(t.Context(), nodes[1].DID())
	if err != nil || d <= 0 {
		t.Fatalf("got %s, %v", d, err)
	}
	if r := nodes[0].RTT(nodes[1].DID()); r.Mean != d || r.Samples != 1 || r.Loss != 0 {
		t.Errorf("got %+v after %s", r, d)
	}
	if r := nodes[0].RTT(didOf("nobody")); r != (RTT{}) {
		t.Errorf("got %+v of nobody", r)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := nodes[0].Ping(ctx, didOf("nobody")); err == nil {
		t.Error("ping nobody: got no error")
	}
}

func TestRTTAverages(t *testing.T) {
	var table rttTable
	table.note("p", 100*time.Millisecond, true)
	table.note("p", 200*time.Millisecond, true)
	got := table.note("p", 0, false)
	want := RTT{Mean: 120 * time.Millisecond, Jitter: 20 * time.Millisecond, Samples: 2, Loss: 0.2}
	if got.Mean != want.Mean || got.Jitter != want.Jitter || got.Samples != 2 || got.Loss < 0.19 || got.Loss > 0.21 {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestGossip(t *testing.T) {
	nodes := startNetwork(t, 3, nil)
	topics := make([]*Topic, len(nodes))
	got := make(chan string, 16)
	for i, n := range nodes {
		check := func(_ context.Context, m Message) Verdict {
			switch {
			case bytes.HasPrefix(m.Data, []byte("bad")):
				return Reject
			case bytes.HasPrefix(m.Data, []byte("old")):
				return Ignore
			}
			return Pass
		}
		deliver := func(_ context.Context, m Message) {
			got <- fmt.Sprintf("%d %s %t", i, m.Data, m.Origin == nodes[0].DID())
		}
		var err error
		if topics[i], err = n.JoinTopic(TopicCards, check, deliver); err != nil {
			t.Fatal(err)
		}
	}
	_, err := nodes[0].JoinTopic(TopicCards, nil, nil)
	wantErr(t, "a topic twice", err, core.ErrExists)
	await(t, "all are on the topic", func() bool { return len(topics[0].Peers()) == 2 })
	for _, text := range []string{"bad one", "old one", "hello"} {
		if err := topics[0].Publish(t.Context(), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for len(seen) < 2 {
		select {
		case s := <-got:
			seen[s] = true
		case <-time.After(20 * time.Second):
			t.Fatalf("got only %v", seen)
		}
	}
	if !seen["1 hello true"] || !seen["2 hello true"] {
		t.Errorf("got %v", seen)
	}
	wantErr(t, "too long", topics[0].Publish(t.Context(), make([]byte, MaxMessageBytes+1)), core.ErrInvalid)
	if err := topics[0].Close(); err != nil {
		t.Errorf("leave: %v", err)
	}
	if _, err := nodes[0].JoinTopic(TopicCards, func(context.Context, Message) Verdict { return Pass }, func(context.Context, Message) {}); err != nil {
		t.Errorf("join again: %v", err)
	}
}
