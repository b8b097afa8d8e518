package guild

import (
	"fmt"
	"sync"
	"time"

	"github.com/zerostate/zerostate/core"
)

// maxReplays bounds the offers that are remembered at once, maxReplaysOf those
// of one sender, so that no sender alone can fill the memory.
const (
	maxReplays   = 1 << 16
	maxReplaysOf = 1 << 13
)

// Replays remembers offer ids until the offers are void. It is safe for
// concurrent use. A node that restarts forgets: its journal of runs, which is
// kept before an Accept is sent, refuses what was accepted.
type Replays struct {
	mu   sync.Mutex
	seen map[replayKey]replay
	of   map[core.DID]int // how many each sender has in seen
}

type replayKey struct {
	sender core.DID
	id     string
}

type replay struct {
	hash     string
	notAfter time.Time
}

// NewReplays returns an empty memory.
func NewReplays() *Replays { return &Replays{seen: map[replayKey]replay{}, of: map[core.DID]int{}} }

// take notes an offer and says whether this very one was here before. Another
// offer under the same id is core.ErrDenied, a full memory core.ErrExhausted.
func (r *Replays) take(sender core.DID, id, hash string, notAfter, now time.Time) (repeated bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := replayKey{sender, id}
	if old, ok := r.seen[key]; ok && now.Before(old.notAfter) {
		if old.hash != hash {
			return false, fmt.Errorf("offer id %s was used by another offer: %w", id, core.ErrDenied)
		}
		return true, nil
	}
	full := func() bool { return len(r.seen) >= maxReplays || r.of[sender] >= maxReplaysOf }
	if full() {
		r.expire(now)
	}
	if full() {
		return false, fmt.Errorf("%d offers are open: %w", len(r.seen), core.ErrExhausted)
	}
	if _, again := r.seen[key]; !again {
		r.of[sender]++
	}
	r.seen[key] = replay{hash: hash, notAfter: notAfter}
	return false, nil
}

// expire forgets the offers that are void. The caller holds r.mu.
func (r *Replays) expire(now time.Time) {
	for k, old := range r.seen {
		if now.Before(old.notAfter) {
			continue
		}
		delete(r.seen, k)
		if r.of[k.sender]--; r.of[k.sender] == 0 {
			delete(r.of, k.sender)
		}
	}
}
