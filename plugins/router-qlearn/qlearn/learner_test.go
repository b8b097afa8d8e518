package qlearn

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// clock is a time that only the test moves.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func newLearner(tb testing.TB, seed uint64, change func(*Config)) (*Learner, *clock) {
	tb.Helper()
	cfg := DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	c := &clock{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	l, err := New(cfg, rand.New(rand.NewPCG(seed, 0)), c.now)
	if err != nil {
		tb.Fatal(err)
	}
	return l, c
}

func candidates() []Candidate {
	return []Candidate{
		{Path: Direct, RTT: 30 * time.Millisecond, Reputation: 1, RegionMatch: true},
		{Path: "relay-a", RTT: 45 * time.Millisecond, Reputation: 0.9, RegionMatch: true, Backbone: 2},
		{Path: "relay-b", RTT: 50 * time.Millisecond, Reputation: 0.9, RegionMatch: true, Backbone: 1},
	}
}

func request(cs []Candidate) Request {
	return Request{Destination: "peer", Region: "eu", SLA: "interactive", SizeBytes: 1000, Candidates: cs}
}

func decide(tb testing.TB, l *Learner, r Request) Decision {
	tb.Helper()
	d, err := l.Decide(r)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func observe(tb testing.TB, l *Learner, r Request, path string, ok bool, latency time.Duration) {
	tb.Helper()
	o := Outcome{Destination: r.Destination, Region: r.Region, SLA: r.SLA, Path: path, OK: ok, Latency: latency}
	for _, c := range r.Candidates {
		if c.Path == path {
			o.Features = c
		}
	}
	if err := l.Observe(o); err != nil {
		tb.Fatal(err)
	}
}

func TestKeepsDirectWhenCalm(t *testing.T) {
	l, _ := newLearner(t, 1, func(c *Config) { c.Epsilon = 1 })
	r := request(candidates())
	for i := range 500 {
		d := decide(t, l, r)
		if d.Path != Direct || d.Explored || d.Fallback {
			t.Fatalf("decision %d: got %+v, want direct", i, d)
		}
		observe(t, l, r, d.Path, true, 32*time.Millisecond)
	}
}

func TestLearnsToAvoidABadRelay(t *testing.T) {
	l, _ := newLearner(t, 2, nil)
	r := request(candidates()[1:]) // relay-a looks best
	if d := decide(t, l, r); d.Path != "relay-a" {
		t.Fatalf("at first: got %s, want relay-a", d.Path)
	}
	bad := 0
	for i := range 200 {
		d := decide(t, l, r)
		if d.Path == "relay-a" {
			observe(t, l, r, d.Path, i%3 == 0, 400*time.Millisecond)
			if i >= 50 {
				bad++
			}
		} else {
			observe(t, l, r, d.Path, true, 55*time.Millisecond)
		}
	}
	if bad > 5 {
		t.Errorf("took the bad relay %d times of the last 150, want at most 5", bad)
	}
}

func TestReturnsWhenEvidenceFades(t *testing.T) {
	l, c := newLearner(t, 3, nil)
	r := request(candidates())
	for range 10 {
		observe(t, l, r, Direct, false, time.Second)
	}
	if d := decide(t, l, r); d.Path == Direct {
		t.Fatal("direct was taken after ten failures")
	}
	c.t = c.t.Add(12 * time.Hour)
	r.Destination = "another peer" // without the memory of a last path
	if d := decide(t, l, r); d.Path != Direct || d.Fallback {
		t.Errorf("a day later: got %+v, want direct", d)
	}
}

func TestFallback(t *testing.T) {
	unknown := []Candidate{{Path: Direct}, {Path: "x", Reputation: 1, RegionMatch: true}, {Path: "b2", Backbone: 2}, {Path: "b1", Backbone: 1}}
	l, _ := newLearner(t, 4, nil)
	if d := decide(t, l, request(unknown)); d.Path != "b1" || !d.Fallback {
		t.Errorf("nothing known: got %+v, want fallback to b1", d)
	}
	if d := decide(t, l, request(unknown[:2])); d.Path != Direct || !d.Fallback {
		t.Errorf("no backbone: got %+v, want fallback to direct", d)
	}
	if d := decide(t, l, request(unknown[1:2])); d.Path != "x" || !d.Fallback {
		t.Errorf("one path: got %+v, want fallback to x", d)
	}
	r := request(candidates())
	for _, c := range r.Candidates {
		if c.Path != "relay-a" {
			for range 20 {
				observe(t, l, r, c.Path, false, 10*time.Millisecond)
			}
		} else { // slow, so not the cheapest, but it works
			for range 20 {
				observe(t, l, r, c.Path, true, 20*time.Second)
			}
		}
	}
	if d := decide(t, l, r); d.Path != "relay-a" || !d.Fallback {
		t.Errorf("cheapest fails: got %+v, want fallback to relay-a", d)
	}
}

func TestHysteresis(t *testing.T) {
	l, _ := newLearner(t, 5, nil)
	r := request(candidates()[1:])
	first := decide(t, l, r).Path
	other := r.Candidates[1]
	other.RTT = r.Candidates[0].RTT - 2*time.Millisecond // better, but hardly
	r.Candidates[1] = other
	if d := decide(t, l, r); d.Path != first || !strings.Contains(d.Scores[1].Reason, "kept") {
		t.Errorf("hardly better: got %+v, want %s kept", d, first)
	}
	r.Candidates[1].RTT = 5 * time.Millisecond
	if d := decide(t, l, r); d.Path != other.Path {
		t.Errorf("far better: got %s, want %s", d.Path, other.Path)
	}
}

func TestFeaturesFormThePrior(t *testing.T) {
	base := Candidate{Path: "a", RTT: 40 * time.Millisecond, Jitter: 2 * time.Millisecond, Reputation: 0.9, RegionMatch: true}
	for name, worse := range map[string]func(*Candidate){
		"rtt":         func(c *Candidate) { c.RTT *= 2 },
		"unknown rtt": func(c *Candidate) { c.RTT = 0 },
		"jitter":      func(c *Candidate) { c.Jitter *= 10 },
		"loss":        func(c *Candidate) { c.LossRatio = 0.2 },
		"price":       func(c *Candidate) { c.PriceMicros = 100_000 },
		"reputation":  func(c *Candidate) { c.Reputation = 0.1 },
		"region":      func(c *Candidate) { c.RegionMatch = false },
	} {
		l, _ := newLearner(t, 6, nil)
		other := base
		other.Path = "A" // first in a tie
		worse(&other)
		if d := decide(t, l, request([]Candidate{other, base})); d.Path != "a" || d.Scores[0].Path != "a" {
			t.Errorf("%s: got %+v, want the other path", name, d)
		}
	}
}

func TestSizeAndClassAndTTL(t *testing.T) {
	l, _ := newLearner(t, 7, nil)
	lossy := Candidate{Path: "lossy", RTT: 20 * time.Millisecond, LossRatio: 0.03, Reputation: 1, RegionMatch: true}
	clean := Candidate{Path: "clean", RTT: 30 * time.Millisecond, Reputation: 1, RegionMatch: true, PriceMicros: 20_000}
	for name, c := range map[string]struct {
		change func(*Request)
		want   string
	}{
		"small":               {func(*Request) {}, "lossy"},
		"large":               {func(r *Request) { r.SizeBytes = 64 << 20 }, "clean"},
		"large batch is thin": {func(r *Request) { r.SizeBytes = 64 << 20; r.SLA = "batch" }, "lossy"},
		"small batch is thin": {func(r *Request) { r.SLA = "batch" }, "lossy"},
	} {
		r := request([]Candidate{lossy, clean})
		r.Destination = name
		c.change(&r)
		if d := decide(t, l, r); d.Path != c.want && !d.Explored {
			t.Errorf("%s: got %+v, want %s", name, d, c.want)
		}
	}
	r := request([]Candidate{clean})
	r.TTL = 10 * time.Millisecond
	if d := decide(t, l, r); !strings.Contains(d.Scores[0].Reason, "over the ttl") {
		t.Errorf("ttl: got %q", d.Scores[0].Reason)
	}
	// What was learned of small requests does not speak for large ones.
	l, _ = newLearner(t, 7, nil)
	small, large := request(candidates()), request(candidates())
	large.SizeBytes = 64 << 20
	for range 10 {
		decide(t, l, small)
		observe(t, l, small, Direct, true, 30*time.Millisecond)
	}
	for range 10 {
		l.remember(flow{"peer", "eu", "interactive"}, recent{path: Direct, size: SizeLarge})
		observe(t, l, large, Direct, false, time.Second)
	}
	if d := decide(t, l, small); d.Path != Direct {
		t.Errorf("small after failures of large ones: got %+v, want direct", d)
	}
	if d := decide(t, l, large); d.Path == Direct {
		t.Errorf("large: got direct, which fails")
	}
}

// run plays n decisions against a network and returns the latencies.
func run(t *testing.T, n int, seed uint64, pick func(Request) string, learn func(Request, string, time.Duration, bool), network func(*rand.Rand, int, string) (time.Duration, bool)) []time.Duration {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 7))
	took := make([]time.Duration, 0, n)
	for i := range n {
		r := request(candidates())
		path := pick(r)
		latency, ok := network(rng, i, path)
		if learn != nil {
			learn(r, path, latency, ok)
		}
		if !ok {
			latency += 2 * time.Second // it has to be done again
		}
		took = append(took, latency)
	}
	slices.Sort(took)
	return took
}

func TestGainUnderTroubleAndNoneLostWhenCalm(t *testing.T) {
	calm := func(rng *rand.Rand, _ int, path string) (time.Duration, bool) {
		base := map[string]int{Direct: 30, "relay-a": 45, "relay-b": 50}[path]
		return time.Duration(base+rng.IntN(5)) * time.Millisecond, true
	}
	// After a while direct loses one in four and jitters; its features lag.
	impaired := func(rng *rand.Rand, i int, path string) (time.Duration, bool) {
		latency, ok := calm(rng, i, path)
		if i > 100 && path == Direct {
			return latency + time.Duration(rng.IntN(600))*time.Millisecond, rng.IntN(4) > 0
		}
		return latency, ok
	}
	for name, network := range map[string]func(*rand.Rand, int, string) (time.Duration, bool){"calm": calm, "impaired": impaired} {
		l, _ := newLearner(t, 8, nil)
		static := run(t, 2000, 1, func(Request) string { return Direct }, nil, network)
		learned := run(t, 2000, 1,
			func(r Request) string { return decide(t, l, r).Path },
			func(r Request, path string, took time.Duration, ok bool) { observe(t, l, r, path, ok, took) }, network)
		p95 := func(d []time.Duration) time.Duration { return d[len(d)*95/100] }
		t.Logf("%s: P95 static %v, learned %v", name, p95(static), p95(learned))
		if name == "calm" && !slices.Equal(static, learned) {
			t.Error("calm: the learner left the static path")
		}
		if name == "impaired" && p95(learned)*2 > p95(static) {
			t.Errorf("impaired: P95 got %v, want less than half of %v", p95(learned), p95(static))
		}
	}
}

func TestExploresOnlyInTrouble(t *testing.T) {
	l, _ := newLearner(t, 9, func(c *Config) { c.Epsilon, c.EpsilonMin, c.EpsilonDecay = 1, 1, 1 })
	r := request(candidates())
	r.Candidates[0].LossRatio = 0.04 // still the cheapest, not in order
	explored := map[string]int{}
	for range 400 {
		if d := decide(t, l, r); d.Explored {
			explored[d.Path]++
			if !strings.Contains(d.Scores[slices.IndexFunc(d.Scores, func(s Score) bool { return s.Path == d.Path })].Reason, "explored") {
				t.Fatal("exploring is not explained")
			}
		}
	}
	if explored["relay-a"] < 20 || explored["relay-b"] < 20 {
		t.Errorf("got %v, want both relays tried", explored)
	}
}

func TestEpsilonFalls(t *testing.T) {
	l, _ := newLearner(t, 10, nil)
	st := state{"eu", "interactive", SizeSmall}
	first := l.epsilon(st)
	l.decided[st] = 100
	later := l.epsilon(st)
	l.decided[st] = 1e6
	if last := l.epsilon(st); first != 0.2 || later >= first || last != 0.02 {
		t.Errorf("got %v, %v, %v, want .2, less, .02", first, later, last)
	}
}

func TestSameSeedSameDecisions(t *testing.T) {
	play := func(seed uint64) string {
		l, _ := newLearner(t, seed, nil)
		rng := rand.New(rand.NewPCG(1, 1))
		out := ""
		for range 300 {
			r := request(candidates())
			r.Candidates[0].LossRatio = 0.04
			d := decide(t, l, r)
			out += d.Path + " "
			observe(t, l, r, d.Path, rng.IntN(5) > 0, time.Duration(rng.IntN(100))*time.Millisecond)
		}
		return out
	}
	first, again := play(1), play(1)
	if first != again {
		t.Error("the same seed decided differently")
	}
	if first == play(2) {
		t.Error("another seed decided the same")
	}
}

func TestPolicyRoundTrip(t *testing.T) {
	l, c := newLearner(t, 11, nil)
	r := request(candidates())
	for i := range 30 {
		c.t = c.t.Add(time.Second)
		observe(t, l, r, decide(t, l, r).Path, i%4 > 0, 80*time.Millisecond)
	}
	policy, err := l.Export()
	if err != nil {
		t.Fatal(err)
	}
	m, mc := newLearner(t, 11, nil)
	mc.t = c.t
	if err := m.Import(policy); err != nil {
		t.Fatal(err)
	}
	again, err := m.Export()
	if err != nil || string(again) != string(policy) {
		t.Errorf("exported again, it differs: %v", err)
	}
	r.Destination = "new"
	a, b := decide(t, l, r), decide(t, m, r)
	for i := range a.Scores {
		if math.Abs(a.Scores[i].Cost-b.Scores[i].Cost) > 1e-6 {
			t.Errorf("got %+v, want %+v", b.Scores[i], a.Scores[i])
		}
	}
}

func TestPolicyIsStrict(t *testing.T) {
	l, _ := newLearner(t, 12, func(c *Config) { c.MaxCells = 2 })
	observe(t, l, request(candidates()), "relay-a", true, time.Millisecond)
	good, err := l.Export()
	if err != nil {
		t.Fatal(err)
	}
	text := string(good)
	row := text[strings.Index(text, "  {"):strings.Index(text, "\n ]")]
	bad := map[string]string{
		"empty":         "",
		"not json":      "{",
		"trailing":      text + "{}",
		"format":        strings.Replace(text, PolicyFormat, "other", 1),
		"version":       strings.Replace(text, `"version": 1`, `"version": 2`, 1),
		"unknown field": strings.Replace(text, `"visits"`, `"visitors"`, 1),
		"negative":      strings.Replace(text, `"visits": 1`, `"visits": -1`, 1),
		"share":         strings.Replace(text, `"failure": 0`, `"failure": 2`, 1),
		"size":          strings.Replace(text, `"any"`, `"huge"`, 1),
		"twice":         strings.Replace(text, row, row+",\n"+row, 1),
		"too many": strings.Replace(text, row, row+","+strings.Replace(row, "relay-a", "b", 1)+","+
			strings.Replace(row, "relay-a", "c", 1), 1),
	}
	for name, policy := range bad {
		if policy == text {
			t.Fatalf("%s: nothing was changed", name)
		}
		if err := l.Import([]byte(policy)); !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: got %v, want ErrPolicy", name, err)
		}
	}
	if after, err := l.Export(); err != nil || string(after) != text {
		t.Errorf("a refused policy changed the table: %v", err)
	}
	future := strings.Replace(text, `"updated": "2026`, `"updated": "2126`, 1)
	if err := l.Import([]byte(future)); err != nil {
		t.Fatal(err)
	}
	if after, _ := l.Export(); string(after) != text {
		t.Error("a time in the future was kept")
	}
}

func TestTablesAreBounded(t *testing.T) {
	l, c := newLearner(t, 13, func(c *Config) { c.MaxCells, c.MaxRecentKeys = 16, 16 })
	for i := range 200 {
		c.t = c.t.Add(time.Second)
		r := request(candidates())
		r.Region, r.Destination = fmt.Sprint("region-", i), fmt.Sprint("peer-", i)
		observe(t, l, r, decide(t, l, r).Path, true, time.Millisecond)
		if len(l.cells) > 16 || len(l.recent) > 16 || len(l.decided) > 16 {
			t.Fatalf("got %d cells, %d decisions, %d states, want at most 16", len(l.cells), len(l.recent), len(l.decided))
		}
	}
	if _, ok := l.cells[cellKey{state{"region-199", "interactive", SizeAny}, Direct}]; !ok {
		t.Error("the newest cell was dropped")
	}
}

func TestBadArguments(t *testing.T) {
	for i, change := range []func(*Config){
		func(c *Config) { c.Rate = 0 },
		func(c *Config) { c.Epsilon = 2 },
		func(c *Config) { c.EpsilonMin = 0.5 },
		func(c *Config) { c.EpsilonDecay = 0 },
		func(c *Config) { c.HalfLife = 0 },
		func(c *Config) { c.Margin = -1 },
		func(c *Config) { c.TroubleFrom = 2 },
		func(c *Config) { c.PriceWeight = math.NaN() },
		func(c *Config) { c.FailureCost = 0 },
		func(c *Config) { c.PriorWeight = 0 },
		func(c *Config) { c.MaxCells = 0 },
		func(c *Config) { c.MaxRecentKeys = 0 },
	} {
		cfg := DefaultConfig()
		change(&cfg)
		if _, err := New(cfg, nil, nil); !errors.Is(err, ErrArgument) {
			t.Errorf("%d: got %v, want ErrArgument", i, err)
		}
	}
	l, _ := newLearner(t, 1, nil)
	for _, cs := range [][]Candidate{nil, {{}}, {{Path: "x", LossRatio: math.NaN()}}, {{Path: "x", RTT: -1}}} {
		if _, err := l.Decide(request(cs)); !errors.Is(err, ErrArgument) {
			t.Errorf("%v: got %v, want ErrArgument", cs, err)
		}
	}
	for _, o := range []Outcome{{}, {Path: "x", Latency: -1}} {
		if err := l.Observe(o); !errors.Is(err, ErrArgument) {
			t.Errorf("%v: got %v, want ErrArgument", o, err)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	l, _ := newLearner(b, 1, nil)
	r := request(candidates())
	for b.Loop() {
		decide(b, l, r)
	}
}
