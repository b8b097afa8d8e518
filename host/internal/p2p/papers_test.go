package p2p

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"github.com/zerostate/zerostate/core"
)

func TestPapers(t *testing.T) {
	key := func(name string) core.Signer {
		seed := sha256.Sum256([]byte(name))
		return core.NewSigner(ed25519.NewKeyFromSeed(seed[:]))
	}
	agent, node, next := key("agent"), key("node"), key("next")
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	clock := now
	p := NewPapers("zerostate-test", func() time.Time { return clock })
	hash, err := next.DID().NextHash()
	if err != nil {
		t.Fatal(err)
	}
	card, err := core.BuildCard(core.CardDraft{
		CardSpec: core.CardSpec{
			Name: "a", Description: "b", Version: "1.0.0", DefaultInputModes: []string{"text/plain"}, DefaultOutputModes: []string{"text/plain"},
			Skills: []core.Skill{{ID: "s", Name: "s", Description: "s", Tags: []string{"t"}}},
		},
		Network: "zerostate-test", Next: hash, Life: 24 * time.Hour,
	}, agent, node, now)
	if err != nil {
		t.Fatal(err)
	}
	record, err := core.BuildRecord(core.RecordDraft{
		Card: card, SealKey: make([]byte, 32), SealUntil: now.Add(time.Hour), Life: time.Hour,
	}, agent, now)
	if err != nil {
		t.Fatal(err)
	}
	tomb, err := core.BuildTombstone("zerostate-test", agent, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	both := func() (error, error, error) {
		_, err1 := p.Record(record)
		_, err2 := p.Card(card)
		_, err3 := p.Record(tomb)
		return err1, err2, err3
	}
	for range 2 { // verified, then remembered
		if err1, err2, err3 := both(); err1 != nil || err2 != nil || err3 != nil {
			t.Fatalf("got %v, %v, %v, want all to hold", err1, err2, err3)
		}
	}
	clock = now.Add(2 * time.Hour)
	if err1, err2, err3 := both(); !errors.Is(err1, core.ErrDenied) || err2 != nil || err3 != nil {
		t.Errorf("after two hours: got %v, %v, %v, want the record alone expired", err1, err2, err3)
	}
	clock = now.Add(48 * time.Hour)
	if _, err2, err3 := both(); !errors.Is(err2, core.ErrDenied) || err3 != nil {
		t.Errorf("after two days: got %v, %v, want the card expired and the tombstone final", err2, err3)
	}
	clock = now
	for i := range record {
		bad := append([]byte(nil), record...)
		bad[i] ^= 1
		if _, err := p.Record(bad); err == nil {
			t.Fatalf("byte %d changed: the record holds", i)
		}
		if i > 40 {
			break
		}
	}
	for i := range maxPapers + 10 {
		keepPaper(&p.mu, p.records, sha256.Sum256([]byte{byte(i), byte(i >> 8)}), &core.CardRecord{})
	}
	if len(p.records) > maxPapers {
		t.Errorf("%d records are remembered, at most %d", len(p.records), maxPapers)
	}
}
