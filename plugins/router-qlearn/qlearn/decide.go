package qlearn

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// likelyToFail is the learned share of failures from which a path is not
// trusted any more.
const likelyToFail = 0.5

// option is a candidate with all that a decision looks at.
type option struct {
	Candidate
	cost   float64
	cell   cell
	prior  parts
	missed bool // its cost is over the request's TTL
}

func (o option) failing() bool { return o.cell.weight >= 1 && o.cell.failure >= likelyToFail }

// Decide chooses a path:
//
//  1. Each candidate's cost is its prior blended with what was learned of it in
//     the state of the request, by the weight of that evidence; a cost beyond
//     the TTL counts as a failure on top.
//  2. Where nobody has measured or tried anything, or even the cheapest path is
//     likely to fail, the static path is taken: the first of the backbone that
//     is not likely to fail, else direct, else the cheapest.
//  3. With a chance of epsilon times the trouble seen, another path that could
//     be better is tried.
//  4. Otherwise the cheapest is taken, unless the last choice for the same
//     destination is within the margin.
func (l *Learner) Decide(r Request) (Decision, error) {
	if len(r.Candidates) == 0 {
		return Decision{}, fmt.Errorf("no candidates: %w", ErrArgument)
	}
	for _, c := range r.Candidates {
		if c.Path == "" || math.IsNaN(c.LossRatio) || math.IsNaN(c.Reputation) || c.RTT < 0 || c.Jitter < 0 {
			return Decision{}, fmt.Errorf("candidate %q: %w", c.Path, ErrArgument)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	options := l.options(r, now)
	st := state{r.Region, r.SLA, ClassOf(r.SizeBytes)}
	f := flow{r.Destination, r.Region, r.SLA}
	d, why := l.choose(options, st, f)
	l.decided[st]++
	l.remember(f, recent{d.Path, st.size, now})
	for _, o := range options {
		s := Score{Path: o.Path, Cost: o.cost, Visits: o.cell.visits, Reason: o.reason()}
		if o.Path == d.Path {
			s.Reason = why + "; " + s.Reason
		}
		d.Scores = append(d.Scores, s)
	}
	return d, nil
}

// options returns the candidates, cheapest first.
func (l *Learner) options(r Request, now time.Time) []option {
	out := make([]option, 0, len(r.Candidates))
	for _, c := range r.Candidates {
		o := option{Candidate: c, prior: l.prior(c, r), cell: l.evidence(r, c.Path, now)}
		prior, w := o.prior.total(), o.cell.weight
		o.cost = (w*o.cell.cost + l.cfg.PriorWeight*prior) / (w + l.cfg.PriorWeight)
		if r.TTL > 0 && o.cost > millis(r.TTL) {
			o.missed = true
			o.cost += millis(l.cfg.FailureCost)
		}
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b option) int {
		return cmp.Or(cmp.Compare(a.cost, b.cost), cmp.Compare(a.Path, b.Path))
	})
	return out
}

// evidence returns the cell of the request's size class, or that of all sizes
// where it has more to say.
func (l *Learner) evidence(r Request, path string, now time.Time) cell {
	own := l.decayed(l.cells[cellKey{state{r.Region, r.SLA, ClassOf(r.SizeBytes)}, path}], now)
	if own.weight >= l.cfg.PriorWeight {
		return own
	}
	all := l.decayed(l.cells[cellKey{state{r.Region, r.SLA, SizeAny}, path}], now)
	if all.weight > own.weight {
		return all
	}
	return own
}

// choose returns the decision without its scores, and why it was taken.
func (l *Learner) choose(options []option, st state, f flow) (Decision, string) {
	best := options[0]
	known := slices.ContainsFunc(options, func(o option) bool { return o.RTT > 0 || o.cell.weight >= 0.1 })
	if !known || best.failing() {
		o := static(options)
		why := "static path, nothing is known yet"
		if known {
			why = "static path, even the cheapest is likely to fail"
		}
		return Decision{Path: o.Path, Fallback: true}, why
	}
	trouble := best.troubles()
	if epsilon := l.epsilon(st) * trouble; trouble >= l.cfg.TroubleFrom && l.rng.Float64() < epsilon {
		if others := worthATry(options); len(others) > 0 {
			o := others[l.rng.IntN(len(others))]
			return Decision{Path: o.Path, Explored: true}, fmt.Sprintf("explored, trouble %.2f on %s", trouble, best.Path)
		}
	}
	if i := slices.IndexFunc(options, func(o option) bool { return o.Path == l.recent[f].path }); i > 0 {
		last := options[i]
		if !last.failing() && !last.missed && last.cost <= best.cost*(1+l.cfg.Margin) {
			return Decision{Path: last.Path}, fmt.Sprintf("kept, %s is not better by %.0f%%", best.Path, 100*l.cfg.Margin)
		}
	}
	return Decision{Path: best.Path}, "cheapest"
}

// static is the path that needs no learning.
func static(options []option) option {
	var backbone []option
	for _, o := range options {
		if o.Backbone > 0 {
			backbone = append(backbone, o)
		}
	}
	slices.SortFunc(backbone, func(a, b option) int { return cmp.Compare(a.Backbone, b.Backbone) })
	for _, o := range backbone {
		if !o.failing() {
			return o
		}
	}
	if i := slices.IndexFunc(options, func(o option) bool { return o.Path == Direct && !o.failing() }); i >= 0 {
		return options[i]
	}
	return options[0]
}

// epsilon falls with every decision in a state.
func (l *Learner) epsilon(st state) float64 {
	return max(l.cfg.EpsilonMin, l.cfg.Epsilon*math.Pow(l.cfg.EpsilonDecay, float64(l.decided[st])))
}

// troubles is the evidence, 0..1, that the path is not in order: learned from
// outcomes, or visible in its features as loss, or jitter as large as the RTT.
func (o option) troubles() float64 {
	t := max(o.cell.failure, o.cell.trouble) * o.cell.weight / (o.cell.weight + 1)
	t = max(t, 5*o.LossRatio)
	if o.RTT > 0 && o.Jitter > 5*time.Millisecond {
		t = max(t, float64(o.Jitter)/float64(o.RTT)-0.25)
	}
	return min(1, t)
}

// worthATry returns the paths other than the best that are not known to be
// far worse: at most three times its cost, or never tried.
func worthATry(options []option) []option {
	var out []option
	for _, o := range options[1:] {
		if !o.failing() && !o.missed && (o.cost <= 3*options[0].cost || o.cell.visits == 0) {
			out = append(out, o)
		}
	}
	return out
}

// reason says where the cost comes from.
func (o option) reason() string {
	text := fmt.Sprintf("prior %.1f ms (%s)", o.prior.total(), o.prior)
	if o.cell.visits > 0 {
		text = fmt.Sprintf("learned %.1f ms, %.0f%% failed, weight %.1f; ", o.cell.cost, 100*o.cell.failure, o.cell.weight) + text
	}
	if o.missed {
		text += "; over the ttl"
	}
	return text
}
