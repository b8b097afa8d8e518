package host

import (
	"time"

	"github.com/zerostate/zerostate/core"
)

// TaskRequest is what a caller wants done: by whoever answers Query best, by
// one Agent, or, where Manifest is given, a module of the caller's own on
// Provider. Its zero fields take the policy's values.
type TaskRequest struct {
	Query        string
	Agent        core.DID
	Manifest     []byte // a whole manifest, YAML or JSON
	ManifestName string // its file name, for error positions
	ModuleCID    string // where the manifest's file: module was added
	Provider     core.DID

	Inputs  map[string]Content // by the name that the manifest gives them
	Regions []string
	Skills  []string
	Tags    []string

	Nonce     string // repeats a task; else drawn
	Seed      string // 64 hex digits; else drawn
	As        string // the agent of ours whose key countersigns; else the node's
	MaxMicros int64  // lowers policy.max_charge for this task; 0: the policy's
}

// Content is content in the node's store.
type Content struct {
	CID       string
	SHA256    string // lower-case hex
	SizeBytes int64
}

// Step is one step of the pipeline that ended.
type Step struct {
	Task    string        `json:"task"`
	Name    string        `json:"name"` // find escrow form route execute settle dissolve verify
	Elapsed time.Duration `json:"elapsed"`
	OK      bool          `json:"ok"`
	Detail  string        `json:"detail"` // a line that an operator can read
}

// Observer is told how a task goes on, from one goroutine at a time.
type Observer interface {
	// Step is called when a step ends.
	Step(s Step)
	// Output is called with what the guest writes to stdout or stderr. The
	// receiver copies what it keeps.
	Output(stream string, data []byte)
}

// Silence is an Observer that nobody listens to.
type Silence struct{}

// Step does nothing.
func (Silence) Step(Step) {}

// Output does nothing.
func (Silence) Output(string, []byte) {}

// States of a task as the requester keeps it.
const (
	TaskRunning   = "running"
	TaskDone      = "done"
	TaskFailed    = "failed"
	TaskCancelled = "cancelled"
)

// Output is one output of a task; stdout is always the first.
type Output struct {
	Name string `json:"name"`
	Content
}

// TaskResult is a task as the requester knows it, kept in its store.
type TaskResult struct {
	Task      string       `json:"task"`    // task id
	Attempt   int64        `json:"attempt"` // from 1
	Run       string       `json:"run"`     // nonce: the same over attempts and agents
	State     string       `json:"state"`
	Error     string       `json:"error,omitempty"`
	Agent     core.DID     `json:"agent"`
	AgentName string       `json:"agent_name"`
	Node      core.DID     `json:"node"`
	Module    string       `json:"module"` // sha256
	Manifest  []byte       `json:"manifest"`
	Outcome   core.Outcome `json:"outcome"`
	ExitCode  int64        `json:"exit_code"`
	Reason    string       `json:"reason,omitempty"`
	Outputs   []Output     `json:"outputs"`
	Receipt   []byte       `json:"receipt"` // countersigned envelope
	Charge    int64        `json:"charge_micros"`
	Max       int64        `json:"max_micros"`
	Currency  string       `json:"currency"`
	Channel   string       `json:"channel"`
	Guild     string       `json:"guild"`
	Path      string       `json:"path"` // direct, or the relay's node did
	Route     *core.RouteDecision
	TraceID   string    `json:"trace_id"`
	Before    float64   `json:"reputation_before"`
	After     float64   `json:"reputation_after"`
	Steps     []Step    `json:"steps"`
	Settled   string    `json:"settled"` // "paid", or why it is not yet
	Started   time.Time `json:"started"`
	Finished  time.Time `json:"finished"`
	Stdout    []byte    `json:"stdout,omitempty"` // the first 64 KiB
	Stderr    []byte    `json:"stderr,omitempty"` // the first 64 KiB
}

// ExitError is how RunTask says that the guest itself ended badly; the result
// came, was checked and paid.
type ExitError struct {
	Outcome core.Outcome
	Code    int64
	Reason  string
}

// Error tells outcome, code and reason.
func (e *ExitError) Error() string {
	if e.Reason != "" {
		return "the task ended with " + string(e.Outcome) + ": " + e.Reason
	}
	return "the task ended with " + string(e.Outcome)
}
