package replog

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/zerostate/zerostate/core"
)

// raterCap is the most that one rater weighs, but oneself.
const raterCap = 0.1

// nodeShare and nodeMost say how far the events of a node's other agents move a
// new agent's prior: by half their weight, and by no more than so many events.
const (
	nodeShare = 0.5
	nodeMost  = 5.0
)

// Scoring says how events become a score. A score is a lower bound on the chance
// that the next task ends well: the Quantile of a Beta distribution that starts at
// (PriorGood, PriorBad) and takes one event after the other, older ones fading.
// Unknown is not bad: without any event the score is that of the prior, 0.71 by
// default, and it takes two bad events to fall below 0.5. Source of the approach:
// Josang & Ismail, "The Beta Reputation System" (2002).
type Scoring struct {
	PriorGood float64 // > 0, events
	PriorBad  float64 // > 0, events
	Quantile  float64 // 0..1, exclusive
	Fading    float64 // weight of an event for each later one of the same agent, (0, 1]
}

// DefaultScoring is what DESIGN's gates are made for.
func DefaultScoring() Scoring {
	return Scoring{PriorGood: 4, PriorBad: 1, Quantile: 0.25, Fading: 0.98}
}

func (s Scoring) check() error {
	var bad core.FieldErrors
	for _, f := range []struct {
		path  string
		value float64
		ok    bool
	}{
		{"prior_good", s.PriorGood, s.PriorGood > 0 && s.PriorGood <= 1000},
		{"prior_bad", s.PriorBad, s.PriorBad > 0 && s.PriorBad <= 1000},
		{"quantile", s.Quantile, s.Quantile > 0 && s.Quantile < 1},
		{"fading", s.Fading, s.Fading > 0 && s.Fading <= 1},
	} {
		if !f.ok {
			bad.Add(f.path, fmt.Sprintf("got %v, out of range", f.value))
		}
	}
	return bad.Err()
}

// badness is what an outcome says against an agent: 0 good, 1 bad; counts is
// false where it says nothing. A guest that exits with an error or hits a limit
// may have been given bad input, so it counts half.
func badness(o core.Outcome) (bad float64, counts bool) {
	switch o {
	case core.OutcomeOK:
		return 0, true
	case core.OutcomeExit, core.OutcomeLimit:
		return 0.5, true
	case core.OutcomeTrap, core.OutcomeTimeout, core.OutcomeLost, core.OutcomeExpired:
		return 1, true
	default: // cancelled, refused, input: the requester's doing, or honest
		return 0, false
	}
}

// evidence is what events say, weighted.
type evidence struct {
	good, bad float64
	events    int // that count
	strangers int // by raters nobody chose
	raters    map[core.DID]bool
}

// Score implements core.Reputation.
func (l *Log) Score(ctx context.Context, req core.ScoreRequest) ([]core.Score, error) {
	weights, err := weigh(req.Raters)
	if err != nil {
		return nil, err
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	out := make([]core.Score, 0, len(req.Subjects))
	for _, s := range req.Subjects {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		out = append(out, l.score(s, weights))
	}
	return out, nil
}

// weigh gives each rater its share of what was paid, at most raterCap; oneself
// weighs 1. Nobody else has a weight.
func weigh(raters []core.RaterWeight) (map[core.DID]float64, error) {
	total := 0.0
	for i, r := range raters {
		if r.PaidMicros < 0 || r.Rater == "" {
			return nil, &core.FieldError{Path: fmt.Sprintf("raters[%d]", i), Problem: "wants a did and an amount that is not negative"}
		}
		total += float64(r.PaidMicros)
	}
	weights := make(map[core.DID]float64, len(raters))
	for _, r := range raters {
		switch {
		case r.Self:
			weights[r.Rater] = 1
		case r.PaidMicros > 0 && weights[r.Rater] < 1:
			weights[r.Rater] = min(float64(r.PaidMicros)/total, raterCap)
		}
	}
	return weights, nil
}

// score is the score of one subject. The caller holds l.mu.
func (l *Log) score(s core.Subject, weights map[core.DID]float64) core.Score {
	own := l.evidence(l.byAgent[s.Agent], weights, "")
	var others evidence
	if s.Node != "" {
		others = l.evidence(l.byNode[s.Node], weights, s.Agent)
	}
	cfg := l.cfg.Scoring
	good, bad := cfg.PriorGood, cfg.PriorBad
	if sum := nodeShare * (others.good + others.bad); sum > 0 {
		scale := nodeShare * min(1, nodeMost/sum)
		good += scale * others.good
		bad += scale * others.bad
	}
	prior := betaQuantile(cfg.Quantile, good, bad)
	value := prior
	if own.events > 0 {
		value = betaQuantile(cfg.Quantile, good+own.good, bad+own.bad)
	}
	return core.Score{
		Agent: s.Agent, Value: value, Events: own.events, Prior: prior,
		Explanation: explain(own, others, value, prior),
	}
}

// evidence adds up the events at indices, the newest in full, but those of
// without.
func (l *Log) evidence(indices []int64, weights map[core.DID]float64, without core.DID) evidence {
	ev := evidence{raters: make(map[core.DID]bool)}
	fade := 1.0
	for _, indice := range slices.Backward(indices) {
		e := l.entries[indice]
		bad, says := badness(e.outcome)
		if !e.counts || !says || e.agent == without {
			continue
		}
		weight := weights[e.rater]
		if weight == 0 {
			ev.strangers++
			continue
		}
		ev.events++
		ev.raters[e.rater] = true
		ev.good += weight * fade * (1 - bad)
		ev.bad += weight * fade * bad
		fade *= l.cfg.Scoring.Fading
	}
	return ev
}

// explain says in words where a score comes from.
func explain(own, others evidence, value, prior float64) []string {
	var lines []string
	if own.events == 0 {
		lines = append(lines, fmt.Sprintf("no events that count: the prior, %.2f", prior))
	} else {
		lines = append(lines, fmt.Sprintf("%d events by %d raters weigh %.2f good and %.2f bad: %.2f, from a prior of %.2f",
			own.events, len(own.raters), own.good, own.bad, value, prior))
	}
	if others.events > 0 {
		lines = append(lines, fmt.Sprintf("the prior takes %d events of the node's other agents into account: %.2f good and %.2f bad",
			others.events, others.good, others.bad))
	}
	if own.strangers > 0 {
		lines = append(lines, fmt.Sprintf("%d events by raters that were not chosen do not count", own.strangers))
	}
	return lines
}

// betaQuantile is the x below which a Beta(a, b) variable lies with probability p,
// to about 1e-12.
func betaQuantile(p, a, b float64) float64 {
	low, high := 0.0, 1.0
	for range 45 {
		mid := (low + high) / 2
		if betaCDF(mid, a, b) < p {
			low = mid
		} else {
			high = mid
		}
	}
	return (low + high) / 2
}

// betaCDF is the regularised incomplete beta function I_x(a, b), by its continued
// fraction (Lentz). Source: Press et al., Numerical Recipes, section 6.4.
func betaCDF(x, a, b float64) float64 {
	if x <= 0 || x >= 1 {
		return max(0, min(1, x))
	}
	lab, _ := math.Lgamma(a + b)
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	front := math.Exp(lab - la - lb + a*math.Log(x) + b*math.Log1p(-x))
	if x > (a+1)/(a+b+2) {
		return 1 - front*betaFraction(1-x, b, a)/b
	}
	return front * betaFraction(x, a, b) / a
}

func betaFraction(x, a, b float64) float64 {
	const tiny = 1e-300
	keep := func(v float64) float64 {
		if math.Abs(v) < tiny {
			return tiny
		}
		return v
	}
	c := 1.0
	d := 1 / keep(1-(a+b)*x/(a+1))
	h := d
	for i := 1; i <= 500; i++ {
		m := float64(i)
		even := m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m))
		d = 1 / keep(1+even*d)
		c = keep(1 + even/c)
		h *= d * c
		odd := -(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1))
		d = 1 / keep(1+odd*d)
		c = keep(1 + odd/c)
		h *= d * c
		if math.Abs(d*c-1) < 1e-14 {
			break
		}
	}
	return h
}
