package qlearn

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// ErrArgument reports a configuration, request or outcome that makes no sense.
var ErrArgument = errors.New("argument out of range")

// Config holds the parameters of learning. Start from [DefaultConfig].
type Config struct {
	Rate          float64       // least learning rate eta, over 0 up to 1
	Epsilon       float64       // chance of exploring at full trouble at first, 0..1
	EpsilonMin    float64       // what it falls to, 0..Epsilon
	EpsilonDecay  float64       // factor per decision of the same state, over 0 up to 1
	HalfLife      time.Duration // after which evidence counts half
	Margin        float64       // share by which another path must be better to switch, 0..1
	TroubleFrom   float64       // trouble below this never explores, 0..1
	PriceWeight   float64       // milliseconds that 1000 micros of price are worth
	FailureCost   time.Duration // what a failed attempt costs
	PriorWeight   float64       // how many outcomes the prior is worth, over 0
	MaxCells      int           // cells kept; the longest unused go first
	MaxRecentKeys int           // decisions remembered for hysteresis and size
}

// DefaultConfig returns the parameters that zerostate's router starts with.
func DefaultConfig() Config {
	return Config{
		Rate: 0.2, Epsilon: 0.2, EpsilonMin: 0.02, EpsilonDecay: 0.99, HalfLife: 10 * time.Minute,
		Margin: 0.1, TroubleFrom: 0.1, PriceWeight: 1, FailureCost: 2 * time.Second, PriorWeight: 2,
		MaxCells: 8192, MaxRecentKeys: 8192,
	}
}

// Check reports every parameter out of range, as [ErrArgument].
func (c Config) Check() error {
	var errs []error
	require := func(ok bool, format string, v any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format+": %w", v, ErrArgument))
		}
	}
	require(c.Rate > 0 && c.Rate <= 1, "rate %v not over 0 up to 1", c.Rate)
	require(c.Epsilon >= 0 && c.Epsilon <= 1, "epsilon %v not in 0..1", c.Epsilon)
	require(c.EpsilonMin >= 0 && c.EpsilonMin <= c.Epsilon, "epsilon_min %v not in 0..epsilon", c.EpsilonMin)
	require(c.EpsilonDecay > 0 && c.EpsilonDecay <= 1, "epsilon_decay %v not over 0 up to 1", c.EpsilonDecay)
	require(c.HalfLife > 0, "half_life %v not positive", c.HalfLife)
	require(c.Margin >= 0 && c.Margin <= 1, "margin %v not in 0..1", c.Margin)
	require(c.TroubleFrom >= 0 && c.TroubleFrom <= 1, "trouble_from %v not in 0..1", c.TroubleFrom)
	require(c.PriceWeight >= 0 && !math.IsInf(c.PriceWeight, 1), "price_weight %v not 0 or more", c.PriceWeight)
	require(c.FailureCost > 0, "failure_cost %v not positive", c.FailureCost)
	require(c.PriorWeight > 0 && !math.IsInf(c.PriorWeight, 1), "prior_weight %v not positive", c.PriorWeight)
	require(c.MaxCells > 0, "max_cells %v not positive", c.MaxCells)
	require(c.MaxRecentKeys > 0, "max_recent_keys %v not positive", c.MaxRecentKeys)
	return errors.Join(errs...)
}

// Direct is the path without a relay.
const Direct = "direct"

// Candidate is a possible path with what is known about it now. Zero means
// unknown for RTT and Jitter.
type Candidate struct {
	Path        string // Direct, or the relay's name
	RTT, Jitter time.Duration
	LossRatio   float64 // 0..1
	PriceMicros int64
	Reputation  float64 // 0..1
	RegionMatch bool
	Backbone    int // place in the static backbone from 1, 0: not on it
}

// Request asks for a path.
type Request struct {
	Destination string
	Region      string // the destination's
	SLA         string // "interactive", "batch", or anything else for in between
	SizeBytes   int64
	TTL         time.Duration // 0: none
	Candidates  []Candidate
}

// Score explains one candidate: its cost in milliseconds, how many outcomes
// were seen in its cell, and where the cost comes from.
type Score struct {
	Path   string
	Cost   float64
	Visits int
	Reason string
}

// Decision is the chosen path. Scores run from the cheapest to the dearest.
type Decision struct {
	Path               string
	Explored, Fallback bool
	Scores             []Score
}

// Outcome is what came of a choice.
type Outcome struct {
	Destination string
	Region, SLA string
	Path        string
	OK          bool
	Latency     time.Duration
	PriceMicros int64
	Features    Candidate // as they were when it was chosen
}

// state is the part of a request that the table distinguishes.
type state struct {
	region, sla string
	size        SizeClass
}

type cellKey struct {
	state
	path string
}

// cell is what was learned of a path in a state.
type cell struct {
	cost    float64 // moving average, ms
	failure float64 // moving average, 0..1
	trouble float64 // moving average of "failed or far slower than expected"
	weight  float64 // outcomes behind it, losing value with time
	visits  int     // outcomes ever
	updated time.Time
}

// flow is what hysteresis and learning remember of a sender's last decision.
type flow struct {
	destination, region, sla string
}

type recent struct {
	path string
	size SizeClass
	used time.Time
}

// Learner is the table and the policy over it. It is safe for concurrent use.
type Learner struct {
	mu      sync.Mutex
	cfg     Config
	rng     *rand.Rand
	now     func() time.Time
	cells   map[cellKey]*cell
	decided map[state]int // decisions per state: what epsilon falls with
	recent  map[flow]recent
}

// New returns a learner that has seen nothing. It owns rng from now on.
func New(cfg Config, rng *rand.Rand, now func() time.Time) (*Learner, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	return &Learner{
		cfg: cfg, rng: rng, now: now,
		cells: map[cellKey]*cell{}, decided: map[state]int{}, recent: map[flow]recent{},
	}, nil
}

// decayed returns c with its weight as of now: evidence counts half after each
// half-life. What it was evidence of, cost and failures, stays.
func (l *Learner) decayed(c *cell, now time.Time) cell {
	if c == nil {
		return cell{}
	}
	out := *c
	if age := now.Sub(c.updated); age > 0 {
		out.weight *= math.Exp2(-age.Seconds() / l.cfg.HalfLife.Seconds())
	}
	return out
}

// Observe learns from an outcome. Its size class is that of the last decision
// for the same destination, region and class; the cell of all sizes learns too.
func (l *Learner) Observe(o Outcome) error {
	if o.Path == "" || o.Latency < 0 {
		return fmt.Errorf("outcome of path %q after %v: %w", o.Path, o.Latency, ErrArgument)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	o.Features.Path = o.Path
	sizes := []SizeClass{SizeAny}
	if r, ok := l.recent[flow{o.Destination, o.Region, o.SLA}]; ok && r.path == o.Path {
		sizes = append(sizes, r.size)
	}
	for _, size := range sizes {
		l.learn(cellKey{state{o.Region, o.SLA, size}, o.Path}, o, now)
	}
	return nil
}

func (l *Learner) learn(key cellKey, o Outcome, now time.Time) {
	c := l.cells[key]
	if c == nil {
		l.makeRoom()
		c = &cell{updated: now}
		l.cells[key] = c
	}
	*c = l.decayed(c, now)
	c.updated = now
	failed, trouble := 0.0, 0.0
	if !o.OK {
		failed, trouble = 1, 1
	}
	expected := max(1, l.prior(o.Features, Request{Region: o.Region, SLA: o.SLA}).total())
	if millis(o.Latency) > 2*expected+20 {
		trouble = 1
	}
	rate := max(l.cfg.Rate, 1/(c.weight+1))
	c.cost += rate * (l.outcomeCost(o) - c.cost)
	c.failure += rate * (failed - c.failure)
	c.trouble += rate * (trouble - c.trouble)
	c.weight++
	c.visits++
}

// outcomeCost is the reinforcement, in milliseconds.
func (l *Learner) outcomeCost(o Outcome) float64 {
	cost := millis(o.Latency) + l.priceCost(o.PriceMicros, o.SLA)
	if !o.OK {
		cost += millis(l.cfg.FailureCost)
	}
	return cost
}

// makeRoom drops the eighth of the cells that was updated longest ago when the
// table is full: regions and relays are named by strangers.
func (l *Learner) makeRoom() {
	if len(l.cells) < l.cfg.MaxCells {
		return
	}
	keys := make([]cellKey, 0, len(l.cells))
	for k := range l.cells {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b cellKey) int {
		return cmp.Or(l.cells[a].updated.Compare(l.cells[b].updated), compareKeys(a, b))
	})
	for _, k := range keys[:len(keys)/8+1] {
		delete(l.cells, k)
	}
	clear(l.decided)
}

func compareKeys(a, b cellKey) int {
	return cmp.Or(
		cmp.Compare(a.region, b.region), cmp.Compare(a.sla, b.sla),
		cmp.Compare(a.size, b.size), cmp.Compare(a.path, b.path),
	)
}

// remember notes a decision, dropping all notes when there are too many.
func (l *Learner) remember(f flow, r recent) {
	if _, ok := l.recent[f]; !ok && len(l.recent) >= l.cfg.MaxRecentKeys {
		clear(l.recent)
	}
	l.recent[f] = r
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
