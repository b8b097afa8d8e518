package wasmrun

import (
	"math"
	"math/rand/v2"
	"time"
)

// clockTick is how far each reading moves a guest's clock, so that a guest that
// waits by reading it gets on.
const clockTick = int64(time.Microsecond)

// clock is a guest's time: it starts at the manifest's epoch and moves only when
// the guest reads it or sleeps, so a run is the same everywhere. Sleeping costs no
// real time. It is used by the guest's goroutine alone.
type clock struct {
	epoch   time.Time
	elapsed int64 // nanoseconds
}

func (c *clock) tick() int64 {
	now := c.elapsed
	c.sleep(clockTick)
	return now
}

func (c *clock) sleep(ns int64) {
	if ns > 0 && c.elapsed <= math.MaxInt64-ns {
		c.elapsed += ns
	}
}

// walltime implements wazero's sys.Walltime.
func (c *clock) walltime() (sec int64, nsec int32) {
	t := c.epoch.Add(time.Duration(c.tick()))
	return t.Unix(), int32(t.Nanosecond()) //nolint:gosec // below 10^9
}

// nanotime implements wazero's sys.Nanotime.
func (c *clock) nanotime() int64 { return c.tick() }

// maxRandomBytes bounds one random_get: a gigabyte at once would run far beyond
// any deadline.
const maxRandomBytes = 1 << 20

// newRandom is a guest's source of random bytes: ChaCha8 under the manifest's
// seed. Source: C2SP, chacha8rand.
func newRandom(seed [32]byte) *rand.ChaCha8 { return rand.NewChaCha8(seed) }
