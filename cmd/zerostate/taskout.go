package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/term"
)

// taskOutput is a task in JSON.
type taskOutput struct {
	Task             string          `json:"task"`
	Attempt          int64           `json:"attempt"`
	Run              string          `json:"run"`
	State            string          `json:"state"`
	Error            string          `json:"error"`
	Agent            string          `json:"agent"`
	AgentName        string          `json:"agent_name"`
	Node             string          `json:"node"`
	Module           string          `json:"module"`
	Outcome          string          `json:"outcome"`
	ExitCode         int64           `json:"exit_code"`
	Reason           string          `json:"reason"`
	Outputs          []taskContent   `json:"outputs"`
	Receipt          json.RawMessage `json:"receipt"`
	ReceiptPath      string          `json:"receipt_path"` // under --out, else empty
	ChargedMicros    int64           `json:"charged_micros"`
	MaxMicros        int64           `json:"max_micros"`
	Currency         string          `json:"currency"`
	Settled          string          `json:"settled"`
	Channel          string          `json:"channel"`
	Guild            string          `json:"guild"`
	Path             string          `json:"path"`
	Route            json.RawMessage `json:"route"`
	TraceID          string          `json:"trace_id"`
	ReputationBefore float64         `json:"reputation_before"`
	ReputationAfter  float64         `json:"reputation_after"`
	Steps            []stepOutput    `json:"steps"`
	StartedUnixMs    int64           `json:"started_unix_ms"`
	FinishedUnixMs   int64           `json:"finished_unix_ms"`
}

type taskContent struct {
	Name      string `json:"name"`
	CID       string `json:"cid"`
	SHA256    string `json:"sha256"`
	SizeBytes int64  `json:"size_bytes"`
	Path      string `json:"path"` // under --out, else empty
}

type stepOutput struct {
	Task   string  `json:"task"`
	Name   string  `json:"name"`
	Ms     float64 `json:"ms"`
	OK     bool    `json:"ok"`
	Detail string  `json:"detail"`
}

func newTaskOutput(r *nodev1.TaskResult) *taskOutput {
	out := &taskOutput{
		Task: r.GetTask(), Attempt: r.GetAttempt(), Run: r.GetRun(), State: r.GetState(), Error: r.GetError(),
		Agent: r.GetAgent(), AgentName: r.GetAgentName(), Node: r.GetNode(), Module: r.GetModuleSha256(),
		Outcome: r.GetOutcome(), ExitCode: r.GetExitCode(), Reason: r.GetReason(), Outputs: []taskContent{}, Receipt: document(r.GetReceipt()),
		ChargedMicros: r.GetChargedMicros(), MaxMicros: r.GetMaxMicros(), Currency: r.GetCurrency(), Settled: r.GetSettled(),
		Channel: r.GetChannel(), Guild: r.GetGuild(), Path: r.GetPath(), Route: json.RawMessage("null"), TraceID: r.GetTraceId(),
		ReputationBefore: r.GetReputationBefore(), ReputationAfter: r.GetReputationAfter(), Steps: []stepOutput{},
		StartedUnixMs: r.GetStartedUnixMs(), FinishedUnixMs: r.GetFinishedUnixMs(),
	}
	for _, o := range r.GetOutputs() {
		out.Outputs = append(out.Outputs, taskContent{Name: o.GetName(), CID: o.GetCid(), SHA256: o.GetSha256(), SizeBytes: o.GetSizeBytes()})
	}
	for _, s := range r.GetSteps() {
		out.Steps = append(out.Steps, newStep(s))
	}
	if route, err := json.Marshal(message{r.GetRoute()}); err == nil && r.GetRoute() != nil {
		out.Route = route
	}
	return out
}

func newStep(s *nodev1.StepEvent) stepOutput {
	ms := s.GetMsExact()
	if ms == 0 {
		ms = float64(s.GetMs())
	}
	return stepOutput{Task: s.GetTask(), Name: s.GetName(), Ms: ms, OK: s.GetOk(), Detail: s.GetDetail()}
}

// write shows a task to people.
func (o *taskOutput) write(w io.Writer) error {
	var t term.Table
	state := []string{o.State}
	if o.Outcome != "" {
		state[0] += ", " + o.Outcome
	}
	for _, s := range []string{o.Reason, o.Error} {
		if s != "" {
			state = append(state, s)
		}
	}
	t.Row("task", fmt.Sprintf("%s, attempt %d", o.Task, o.Attempt))
	t.Row("state", strings.Join(state, ": "))
	t.Row("agent", fmt.Sprintf("%s (%s) on node %s", o.AgentName, short(o.Agent), short(o.Node)))
	for _, out := range o.Outputs {
		where := out.Path
		if where == "" {
			where = out.CID
		}
		t.Row("output", fmt.Sprintf("%s, %s, %s", out.Name, term.Size(out.SizeBytes), where))
	}
	if o.ReceiptPath != "" {
		t.Row("receipt", o.ReceiptPath)
	}
	t.Row("charged", fmt.Sprintf("%s %s of at most %s, %s", term.Micros(o.ChargedMicros), o.Currency, term.Micros(o.MaxMicros), o.Settled))
	if o.ReputationBefore != 0 || o.ReputationAfter != 0 {
		t.Row("reputation", fmt.Sprintf("%.3f before, %.3f after", o.ReputationBefore, o.ReputationAfter))
	}
	t.Row("way", wayText(o.Path))
	var steps []string
	for _, s := range o.Steps {
		steps = append(steps, fmt.Sprintf("%s %.1f", s.Name, s.Ms))
	}
	t.Row("steps, ms", strings.Join(steps, ", "))
	t.Row("trace", o.TraceID)
	return t.Write(w)
}

// wayText says for people how a task went to its worker.
func wayText(path string) string {
	switch path {
	case "":
		return "none taken"
	case "local":
		return "on this node"
	case "direct":
		return path
	default:
		return "relay " + short(path)
	}
}
