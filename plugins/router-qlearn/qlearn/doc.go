// Package qlearn chooses between network paths (direct, or through one of
// several relays) by tabular Q-learning on what became of earlier choices.
//
// It imports nothing of zerostate, so it can be used as a library on its own.
// Start at [Learner]; [Learner.Decide] explains a decision, cost.go what a
// path is thought to cost before anything was seen of it.
//
// # The table
//
// A cell holds, for a state (destination's region, service class, size class)
// and a path, the mean cost in milliseconds and the share of failures as
// exponential moving averages, with the weight of the evidence behind them:
//
//	Q <- Q + eta * (cost - Q),  eta = max(Rate, 1/(weight+1))
//
// It is the update of J. A. Boyan and M. L. Littman, "Packet Routing in
// Dynamically Changing Networks: A Reinforcement Learning Approach", NIPS 6,
// 1993, for a sender that picks the whole path: the time that their packet
// spends queueing, on the link and beyond the neighbour is one measured
// latency here, so nothing has to be bootstrapped from a neighbour's table.
//
// # What keeps it calm
//
// On a calm network a static choice beats any exploring one. So exploration
// is epsilon-greedy with a falling epsilon, and happens only where there is
// evidence of trouble; a path is left only for one that is better by a margin;
// evidence loses weight with time (a half-life), which leads back to the
// prior; and where nothing is known, or even the best path is likely to fail,
// the static backbone path is taken.
//
// Given the same seed, clock and calls it decides the same.
package qlearn
