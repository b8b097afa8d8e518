package main

import (
	"math"
	"slices"

	"github.com/zerostate/zerostate/api/nodev1"
)

// demoOutput is what demo --json prints.
type demoOutput struct {
	OK         bool             `json:"ok"`
	Nodes      []demoNode       `json:"nodes"`
	Steps      []demoStep       `json:"steps"`
	Tasks      []*demoTask      `json:"tasks"`
	Channels   []demoChannel    `json:"channels"`
	Reputation []demoReputation `json:"reputation"`
	LatencyMs  demoLatency      `json:"latency_ms"`
	TraceID    string           `json:"trace_id"` // of the first task

	finds, tasks, guilds []float64
	lastNode             string
}

type demoNode struct {
	Name   string   `json:"name"`
	PID    int      `json:"pid"`
	PeerID string   `json:"peer_id"`
	Roles  []string `json:"roles"`
	Home   string   `json:"home"`
}

type demoStep struct {
	Task string  `json:"task"` // task id; of join the node's name, of publish the agent's
	Name string  `json:"name"`
	Ms   float64 `json:"ms"`
	OK   bool    `json:"ok"`
}

type demoTask struct {
	Query         string `json:"query"`
	Agent         string `json:"agent"`
	AgentName     string `json:"agent_name"`
	Module        string `json:"module"` // sha256
	Input         string `json:"input"`
	Output        string `json:"output"` // path under --out
	OutputDigest  string `json:"output_digest"`
	Receipt       string `json:"receipt"` // path under --out
	Verified      bool   `json:"verified"`
	ChargedMicros int64  `json:"charged_micros"`
}

type demoChannel struct {
	Peer          string `json:"peer"`
	DepositMicros int64  `json:"deposit_micros"`
	PayerMicros   int64  `json:"payer_micros"`
	PayeeMicros   int64  `json:"payee_micros"`
	LockedMicros  int64  `json:"locked_micros"`
	Version       int64  `json:"version"`
}

type demoReputation struct {
	Agent  string  `json:"agent"`
	Before float64 `json:"before"` // the first task of the tour
	After  float64 `json:"after"`  // its last
}

type demoLatency struct {
	FindP50  float64 `json:"find_p50"`
	FindP95  float64 `json:"find_p95"`
	TaskP50  float64 `json:"task_p50"`
	TaskP95  float64 `json:"task_p95"`
	GuildP50 float64 `json:"guild_p50"` // form, execute and dissolve
	GuildP95 float64 `json:"guild_p95"`
}

func newDemoOutput() *demoOutput {
	return &demoOutput{Nodes: []demoNode{}, Steps: []demoStep{}, Tasks: []*demoTask{}, Channels: []demoChannel{}, Reputation: []demoReputation{}}
}

// take adds a task and its steps, reputation and latencies.
func (o *demoOutput) take(t *demoTask, r *nodev1.TaskResult) {
	o.Tasks = append(o.Tasks, t)
	o.lastNode = r.GetNode()
	if o.TraceID == "" {
		o.TraceID = r.GetTraceId()
	}
	var guild, whole float64
	for _, raw := range r.GetSteps() {
		s := newStep(raw)
		o.Steps = append(o.Steps, demoStep{Task: r.GetTask(), Name: s.Name, Ms: s.Ms, OK: s.OK})
		whole += s.Ms
		switch s.Name {
		case "find":
			o.finds = append(o.finds, s.Ms)
		case "form", "execute", "dissolve":
			guild += s.Ms
		}
	}
	o.tasks, o.guilds = append(o.tasks, whole), append(o.guilds, guild)
	o.LatencyMs = demoLatency{
		FindP50: percentile(o.finds, 50), FindP95: percentile(o.finds, 95), TaskP50: percentile(o.tasks, 50), TaskP95: percentile(o.tasks, 95),
		GuildP50: percentile(o.guilds, 50), GuildP95: percentile(o.guilds, 95),
	}
	for i := range o.Reputation {
		if o.Reputation[i].Agent == t.Agent {
			o.Reputation[i].After = r.GetReputationAfter()
			return
		}
	}
	o.Reputation = append(o.Reputation, demoReputation{Agent: t.Agent, Before: r.GetReputationBefore(), After: r.GetReputationAfter()})
}

// percentile is the nearest-rank percentile of values, 0 where there are none.
func percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}
