package host

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/guild"
)

// GuildInfo is a guild that this node is a member of.
type GuildInfo struct {
	ID      string
	Role    core.Role
	Peer    core.DID
	Task    string
	Expires time.Time
}

// guildBook holds the live guilds. Keys are in the sessions, in memory only.
type guildBook struct {
	mu   sync.Mutex
	live map[*guild.Session]GuildInfo
}

func newGuildBook() *guildBook { return &guildBook{live: map[*guild.Session]GuildInfo{}} }

// add keeps a guild until done is called, which wipes its keys.
func (b *guildBook) add(id string, role core.Role, peer core.DID, task string, s *guild.Session) (done func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.live[s] = GuildInfo{ID: id, Role: role, Peer: peer, Task: task, Expires: s.Expires()}
	return func() {
		s.Wipe()
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.live, s)
	}
}

func (b *guildBook) list() []GuildInfo {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]GuildInfo, 0, len(b.live))
	for _, g := range b.live {
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, c GuildInfo) int { return cmp.Compare(a.ID, c.ID) })
	return out
}

// dissolve wipes a guild's keys at once; what still runs in it fails.
func (b *guildBook) dissolve(id string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s, g := range b.live {
		if g.ID == id {
			s.Wipe()
			delete(b.live, s)
			return nil
		}
	}
	return fmt.Errorf("guild %.16s: %w", id, core.ErrNotFound)
}

func (b *guildBook) wipeAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.live {
		s.Wipe()
	}
	clear(b.live)
}
