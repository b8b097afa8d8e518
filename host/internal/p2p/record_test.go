package p2p

import (
	"context"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/zerostate/zerostate/core"
)

func put(t *testing.T, n *Node, r testRecord) Evidence {
	t.Helper()
	e, err := n.PutRecord(t.Context(), r.bytes(t))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestPutAndResolve(t *testing.T) {
	nodes := startNetwork(t, 6, func(i int, c *Config) {
		c.Server = i != 5 // the last is neither holder nor cache
	})
	did := didOf("agent")
	if e := put(t, nodes[1], testRecord{DID: did, Seq: 100}); e.Holders < 4 || e.Basis == "" {
		t.Errorf("read back: got %+v, want at least 4 holders", e)
	}
	resolver := nodes[5]
	for name, tt := range map[string]struct {
		opts  ResolveOptions
		basis Basis
	}{
		"by agreement":    {ResolveOptions{}, BasisAgreement},
		"by a known seq":  {ResolveOptions{MinSeq: 100}, BasisMinSeq},
		"by a whole walk": {ResolveOptions{Agreement: 50}, BasisComplete},
	} {
		r, err := resolver.Resolve(t.Context(), did, tt.opts)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		e := r.Evidence
		if r.Info.Seq != 100 || e.Basis != tt.basis || e.Local || e.Holders == 0 || e.Asked < e.Holders || e.FirstValid > e.Elapsed {
			t.Errorf("%s: got %+v", name, r)
		}
		if tt.basis == BasisAgreement && e.Holders < 3 {
			t.Errorf("%s: got %d holders, want 3", name, e.Holders)
		}
	}
	if r, err := nodes[1].Resolve(t.Context(), did, ResolveOptions{}); err != nil || r.Info.Seq != 100 {
		t.Errorf("a holder itself: got %+v, %v", r, err)
	}
	_, err := resolver.Resolve(t.Context(), did, ResolveOptions{MinSeq: 101})
	wantErr(t, "newer than there is", err, core.ErrConflict)
	_, err = resolver.Resolve(t.Context(), didOf("nobody"), ResolveOptions{})
	wantErr(t, "nothing there", err, core.ErrNotFound)

	_, err = nodes[2].PutRecord(t.Context(), testRecord{DID: did, Seq: 99}.bytes(t))
	wantErr(t, "put an older one", err, core.ErrConflict)
	put(t, nodes[2], testRecord{DID: did, Seq: 200})
	if r, err := resolver.Resolve(t.Context(), did, ResolveOptions{}); err != nil || r.Info.Seq != 200 {
		t.Errorf("after the update: got %+v, %v", r.Info, err)
	}
	_, err = nodes[2].PutRecord(t.Context(), testRecord{DID: did, Seq: 150}.bytes(t))
	wantErr(t, "a node never goes back", err, core.ErrConflict)
	_, err = nodes[2].PutRecord(t.Context(), testRecord{DID: did, Note: "invalid"}.bytes(t))
	wantErr(t, "an invalid record", err, core.ErrInvalid)
}

func TestResolveNeverGoesBack(t *testing.T) {
	nodes := startNetwork(t, 3, nil)
	did := didOf("agent")
	put(t, nodes[0], testRecord{DID: did, Seq: 100})
	resolver := startNode(t, "resolver", func(c *Config) { c.Bootstrap = nodes[0].Addrs(); c.Server = false })
	if err := resolver.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := resolver.cfg.Memory.Remember(did, Known{Seq: 150}); err != nil {
		t.Fatal(err)
	}
	_, err := resolver.Resolve(t.Context(), did, ResolveOptions{})
	wantErr(t, "older than used", err, core.ErrConflict)
}

func TestTombstone(t *testing.T) {
	nodes := startNetwork(t, 3, nil)
	did := didOf("agent")
	put(t, nodes[0], testRecord{DID: did, Seq: 100})
	tomb := testRecord{DID: did, Seq: 50, Tombstone: true}
	put(t, nodes[1], tomb)
	r, err := nodes[2].Resolve(t.Context(), did, ResolveOptions{MinSeq: 100})
	if err != nil || !r.Info.Tombstone || r.Evidence.Basis != BasisTombstone {
		t.Fatalf("got %+v, %v", r, err)
	}
	_, err = nodes[2].PutRecord(t.Context(), testRecord{DID: did, Seq: 900}.bytes(t))
	wantErr(t, "a record after the tombstone", err, core.ErrConflict)
	r, err = nodes[2].Resolve(t.Context(), did, ResolveOptions{})
	if err != nil || !r.Evidence.Local || !r.Info.Tombstone {
		t.Errorf("remembered: got %+v, %v", r, err)
	}

	alone := startNode(t, "alone", nil)
	if got, err := alone.NoteTombstone(tomb.bytes(t)); err != nil || got != did {
		t.Errorf("noted: got %s, %v", got, err)
	}
	if r, err := alone.Resolve(t.Context(), did, ResolveOptions{}); err != nil || !r.Info.Tombstone {
		t.Errorf("after a note: got %+v, %v", r, err)
	}
	_, err = alone.NoteTombstone(testRecord{DID: did, Seq: 1}.bytes(t))
	wantErr(t, "a record is no tombstone", err, core.ErrInvalid)
	_, err = alone.NoteTombstone([]byte("x"))
	wantErr(t, "nor is this", err, core.ErrInvalid)
}

// A stale holder must not win against the newer record that the walk brings.
func TestNewerRecordIsTold(t *testing.T) {
	nodes := startNetwork(t, 5, nil)
	did := didOf("agent")
	put(t, nodes[0], testRecord{DID: did, Seq: 100})
	resolver := startNode(t, "resolver", func(c *Config) { c.Bootstrap = nodes[0].Addrs(); c.Server = false })
	if err := resolver.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The lookup itself, fed by hand: one holder answers 100, then another 200.
	l := &lookup{
		n: resolver, did: did, key: recordKey(did), start: time.Now(), floor: 100,
		opts:    ResolveOptions{MinSeq: 100},
		holders: map[peer.ID]bool{}, witness: &witness{values: make(chan testimony, 4)},
	}
	told := make(chan Resolved, 1)
	l.opts.Newer = func(r Resolved) { told <- r }
	if !l.take(testimony{peer: nodes[1].PeerID(), value: testRecord{DID: did, Seq: 100}.bytes(t)}) {
		t.Fatal("the first valid value was not taken")
	}
	for name, bad := range map[string]testRecord{
		"older than the floor": {DID: did, Seq: 99},
		"of another did":       {DID: didOf("other"), Seq: 300},
		"invalid":              {DID: did, Seq: 300, Note: "invalid"},
	} {
		if l.take(testimony{peer: nodes[2].PeerID(), value: bad.bytes(t)}) {
			t.Errorf("%s: was taken", name)
		}
	}
	done := make(chan struct{})
	l.followUp(done, func() {})
	l.witness.values <- testimony{peer: nodes[3].PeerID(), value: testRecord{DID: did, Seq: 200}.bytes(t)}
	r := <-told
	if r.Info.Seq != 200 || r.Evidence.Holders != 1 {
		t.Errorf("got %+v", r)
	}
	known, err := resolver.cfg.Memory.Known(did)
	if err != nil || known.Seq != 200 {
		t.Errorf("got %+v, %v: the newer seq is remembered", known, err)
	}
	close(done)
}

func TestPutAlone(t *testing.T) {
	n := startNode(t, "alone", nil)
	did := didOf("agent")
	e := put(t, n, testRecord{DID: did, Seq: 1})
	if !e.Local || e.Holders != 1 {
		t.Errorf("got %+v", e)
	}
	if err := n.cfg.Memory.Remember(didOf("other"), Known{Seq: 3}); err != nil {
		t.Fatal(err)
	}
	// What is stored, but was never used here, also counts.
	_ = n.dht.PutValue(t.Context(), recordKey(didOf("other")), testRecord{DID: didOf("other"), Seq: 5}.bytes(t))
	_, err := n.PutRecord(t.Context(), testRecord{DID: didOf("other"), Seq: 4}.bytes(t))
	wantErr(t, "an older one than is stored", err, core.ErrConflict)
}

func TestResolveEndsWithItsContext(t *testing.T) {
	nodes := startNetwork(t, 2, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := nodes[0].Resolve(ctx, didOf("x"), ResolveOptions{})
	wantErr(t, "resolve", err, context.Canceled)
	_, err = nodes[0].PutRecord(ctx, testRecord{DID: didOf("x"), Seq: 1}.bytes(t))
	wantErr(t, "put", err, context.Canceled)
}

func TestProviders(t *testing.T) {
	nodes := startNetwork(t, 4, nil)
	c, err := CapabilityCID("summarize", "eu-west")
	if err != nil {
		t.Fatal(err)
	}
	if want := "bafkrei"; c[:len(want)] != want {
		t.Errorf("got %s, want a raw sha2-256 CID", c)
	}
	for _, n := range nodes[1:3] {
		if err := n.Provide(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	got, err := nodes[3].FindProviders(t.Context(), c, 10)
	if err != nil || len(got) != 2 {
		t.Errorf("got %v, %v, want two", got, err)
	}
	if got, err = nodes[1].FindProviders(t.Context(), c, 1); err != nil || len(got) != 1 || got[0] != nodes[2].DID() {
		t.Errorf("got %v, %v, want the other one", got, err)
	}
	for _, bad := range []string{"x", "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnMqEN", "bafkqaaa"} {
		wantErr(t, bad, nodes[0].Provide(t.Context(), bad), core.ErrInvalid)
		_, err := nodes[0].FindProviders(t.Context(), bad, 1)
		wantErr(t, bad, err, core.ErrInvalid)
	}
}

func TestCoreRecords(t *testing.T) {
	v := CoreRecords{Network: "zerostate-test"}
	key := keyOf("agent")
	did := didOf("agent")
	now := time.Now()
	signed := func(r *core.CardRecord) []byte {
		t.Helper()
		if err := core.Sign(r, core.NewSigner(key)); err != nil {
			t.Fatal(err)
		}
		b, err := core.Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	seq := core.MillisOf(now)
	tomb := signed(&core.CardRecord{Network: "zerostate-test", DID: did, Seq: seq, Signed: seq})
	older := signed(&core.CardRecord{Network: "zerostate-test", DID: did, Seq: seq - 1000, Signed: seq})
	info, err := v.Describe(tomb)
	if err != nil || info.DID != did || info.Seq != int64(seq) || !info.Tombstone {
		t.Errorf("got %+v, %v", info, err)
	}
	for _, n := range []string{"0", "1", "2"} {
		if err := v.Validate("/zerostate-card/"+n+"/"+string(did), tomb); err != nil {
			t.Errorf("key %s: %v", n, err)
		}
	}
	wantErr(t, "another did's key", v.Validate(recordKey(didOf("b")), tomb), core.ErrDenied)
	wantErr(t, "another network", CoreRecords{Network: "other"}.Validate(recordKey(did), tomb), core.ErrDenied)
	for _, bad := range []string{"/zerostate-card/3/" + string(did), "/zerostate-card/" + string(did), "/pk/0/" + string(did), "/zerostate-card/0/x"} {
		wantErr(t, bad, v.Validate(bad, tomb), core.ErrInvalid)
	}
	wantErr(t, "no record", v.Validate(recordKey(did), []byte("{}")), core.ErrInvalid)
	if i, err := v.Select("", [][]byte{older, tomb}); err != nil || i != 1 {
		t.Errorf("got %d, %v, want the higher seq", i, err)
	}
	_, err = v.Describe([]byte("{}"))
	wantErr(t, "describe", err, core.ErrInvalid)
}
