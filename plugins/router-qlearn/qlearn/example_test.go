package qlearn_test

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/zerostate/zerostate/plugins/router-qlearn/qlearn"
)

func Example() {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	learner, err := qlearn.New(qlearn.DefaultConfig(), rand.New(rand.NewPCG(1, 0)), func() time.Time { return start })
	if err != nil {
		panic(err)
	}
	request := qlearn.Request{
		Destination: "peer", Region: "eu", SLA: "interactive",
		Candidates: []qlearn.Candidate{
			{Path: qlearn.Direct, RTT: 30 * time.Millisecond, RegionMatch: true},
			{Path: "relay", RTT: 45 * time.Millisecond, Reputation: 1, RegionMatch: true},
		},
	}
	before, err := learner.Decide(request)
	if err != nil {
		panic(err)
	}
	for range 5 { // the direct path breaks
		err := learner.Observe(qlearn.Outcome{
			Destination: "peer", Region: "eu", SLA: "interactive", Path: qlearn.Direct, Latency: time.Second,
		})
		if err != nil {
			panic(err)
		}
	}
	after, err := learner.Decide(request)
	if err != nil {
		panic(err)
	}
	fmt.Println(before.Path, "then", after.Path)
	// Output: direct then relay
}
