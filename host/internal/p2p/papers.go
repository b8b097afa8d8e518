package p2p

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"github.com/zerostate/zerostate/core"
)

// maxPapers bounds how many records and how many cards are remembered.
const maxPapers = 4096

// Papers verifies card records and cards, and remembers by the sha256 of their
// bytes those that it has verified: the holders of a record all answer the same
// bytes, and every find brings them again. What time can take away is checked
// each time. The documents it returns are shared: nobody changes them. It is
// safe for concurrent use.
type Papers struct {
	network string
	now     func() time.Time

	mu      sync.Mutex
	records map[[sha256.Size]byte]*core.CardRecord
	cards   map[[sha256.Size]byte]*core.Card
}

// NewPapers verifies for one network, by the clock now.
func NewPapers(network string, now func() time.Time) *Papers {
	return &Papers{
		network: network, now: now,
		records: map[[sha256.Size]byte]*core.CardRecord{}, cards: map[[sha256.Size]byte]*core.Card{},
	}
}

// Record is core.VerifyRecord.
func (p *Papers) Record(raw []byte) (*core.CardRecord, error) {
	sum, now := sha256.Sum256(raw), p.now()
	p.mu.Lock()
	r, known := p.records[sum]
	p.mu.Unlock()
	if known {
		if !r.Tombstone() && !now.Before(r.Expires.Time()) {
			return nil, fmt.Errorf("card record of %s: expired at %s: %w", r.DID.Short(), r.Expires, core.ErrDenied)
		}
		return r, nil
	}
	r, err := core.VerifyRecord(raw, p.network, now)
	if err != nil {
		return nil, err
	}
	keepPaper(&p.mu, p.records, sum, r)
	return r, nil
}

// Card is core.VerifyCard.
func (p *Papers) Card(raw []byte) (*core.Card, error) {
	sum, now := sha256.Sum256(raw), p.now()
	p.mu.Lock()
	c, known := p.cards[sum]
	p.mu.Unlock()
	if known {
		if ends := c.Params().Expires; !now.Before(ends.Time()) {
			return nil, fmt.Errorf("agent card of %s: expired at %s: %w", c.ID.Short(), ends, core.ErrDenied)
		}
		return c, nil
	}
	c, err := core.VerifyCard(raw, p.network, now)
	if err != nil {
		return nil, err
	}
	keepPaper(&p.mu, p.cards, sum, c)
	return c, nil
}

// keepPaper remembers one more; where there are too many, any other goes.
func keepPaper[T any](mu *sync.Mutex, papers map[[sha256.Size]byte]T, sum [sha256.Size]byte, paper T) {
	mu.Lock()
	defer mu.Unlock()
	for old := range papers {
		if len(papers) < maxPapers {
			break
		}
		delete(papers, old)
	}
	papers[sum] = paper
}
