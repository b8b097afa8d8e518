package host

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/core"
)

const (
	maxTaskInputs = 64
	maxTaskList   = 1000
	taskListed    = 20 // where the caller does not say
	maxSameRun    = 100
)

// taskService hires agents.
type taskService struct {
	n       *Node
	running *runningTasks
}

// Run takes a task from find to dissolve and reports each step as it ends. A
// guest that failed is a result, not an error of the call. When the client goes
// away the task is cancelled; it settles by itself.
func (s taskService) Run(ctx context.Context, req *connect.Request[nodev1.RunRequest], stream *connect.ServerStream[nodev1.RunEvent]) error {
	m := req.Msg
	if m.GetTimeoutMs() > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(m.GetTimeoutMs())*time.Millisecond)
		defer cancel()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	tr, err := s.request(ctx, m)
	if err != nil {
		return err
	}
	run := s.running.add(TaskResult{State: TaskRunning, Run: tr.Nonce, Started: s.n.now()}, cancel)
	defer run.end()
	ob := &streamObserver{stream: stream, run: run, cancel: cancel}
	result, err := s.n.RunTask(ctx, tr, ob)
	var exit *ExitError
	if err != nil && !errors.As(err, &exit) {
		if cause := context.Cause(ctx); errors.Is(cause, errCancelled) {
			return fmt.Errorf("%w: %w", cause, context.Canceled)
		}
		return err
	}
	return ob.send(&nodev1.RunEvent{Event: &nodev1.RunEvent_Result{Result: taskResult(result)}})
}

// request checks what a caller wants and names it in the node's own words.
func (s taskService) request(ctx context.Context, m *nodev1.RunRequest) (TaskRequest, error) {
	out := TaskRequest{
		Query: m.GetQuery(), Manifest: m.GetManifest(), ManifestName: m.GetManifestName(), ModuleCID: m.GetModuleCid(),
		Regions: m.GetRegions(), Skills: m.GetSkills(), Tags: m.GetTags(), Nonce: m.GetNonce(), Seed: m.GetSeed(), As: m.GetAs(),
		MaxMicros: m.GetMaxChargeMicros(), Inputs: map[string]Content{},
	}
	var f core.FieldErrors
	switch {
	case m.GetWhat() == nil:
		f.Add("", "a task wants a query, an agent or a manifest")
	case len(m.GetManifest()) > core.MaxManifestBytes:
		f.Add("manifest", fmt.Sprintf("%d bytes, at most %d", len(m.GetManifest()), core.MaxManifestBytes))
	}
	if m.GetMaxChargeMicros() < 0 {
		f.Add("max_charge_micros", "not negative")
	}
	if m.GetTimeoutMs() < 0 || m.GetTimeoutMs() > (24*time.Hour).Milliseconds() {
		f.Add("timeout_ms", "0 to a day")
	}
	if len(m.GetInputs()) > maxTaskInputs {
		f.Add("inputs", fmt.Sprintf("%d inputs, at most %d", len(m.GetInputs()), maxTaskInputs))
	}
	if err := errors.Join(f.Err(), checkFilter(out.Regions, out.Skills, out.Tags)); err != nil {
		return out, err
	}
	var err error
	if m.GetAgent() != "" {
		if out.Agent, err = s.n.agentArg("agent", m.GetAgent()); err != nil {
			return out, err
		}
	}
	if m.GetProvider() != "" {
		if out.Provider, err = s.n.agentArg("provider", m.GetProvider()); err != nil {
			return out, err
		}
	}
	return out, s.inputs(ctx, m.GetInputs(), out.Inputs)
}

// inputs completes digest and size of content that was added to this node.
func (s taskService) inputs(ctx context.Context, refs []*nodev1.InputRef, into map[string]Content) error {
	for i, in := range refs {
		if _, twice := into[in.GetName()]; twice || in.GetName() == "" {
			return &core.FieldError{Path: fmt.Sprintf("inputs[%d].name", i), Problem: fmt.Sprintf("%q is empty or stands twice", in.GetName())}
		}
		c := Content{CID: in.GetCid(), SHA256: in.GetSha256(), SizeBytes: in.GetSizeBytes()}
		if c.SHA256 == "" || c.SizeBytes <= 0 {
			var err error
			if c.SHA256, c.SizeBytes, err = s.n.digestOf(ctx, c.CID); err != nil {
				return fmt.Errorf("input %s: %w", in.GetName(), err)
			}
		}
		into[in.GetName()] = c
	}
	return nil
}

// streamObserver passes steps and guest output on to the caller. A caller that
// does not take them any more has gone: its task is cancelled.
type streamObserver struct {
	run    *runningTask
	cancel context.CancelCauseFunc

	mu     sync.Mutex
	stream *connect.ServerStream[nodev1.RunEvent]
}

func (o *streamObserver) send(e *nodev1.RunEvent) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.stream.Send(e)
}

// Step sends a step.
func (o *streamObserver) Step(s Step) {
	o.run.step(s)
	if err := o.send(&nodev1.RunEvent{Event: &nodev1.RunEvent_Step{Step: stepEvent(s)}}); err != nil {
		o.cancel(err)
	}
}

// Output sends what the guest wrote.
func (o *streamObserver) Output(stream string, data []byte) {
	e := &nodev1.StreamEvent{Stream: stream, Data: data}
	if err := o.send(&nodev1.RunEvent{Event: &nodev1.RunEvent_Stream{Stream: e}}); err != nil {
		o.cancel(err)
	}
}

// Status tells of one run, by task id or a unique prefix of it.
func (s taskService) Status(_ context.Context, req *connect.Request[nodev1.TaskStatusRequest]) (*connect.Response[nodev1.TaskStatusResponse], error) {
	r, err := s.find(req.Msg.GetTask())
	if err != nil {
		return nil, err
	}
	out := &nodev1.TaskStatusResponse{Result: taskResult(r)}
	if r.Run == "" {
		return connect.NewResponse(out), nil
	}
	same, err := s.n.tasks.list(maxSameRun, r.Run)
	if err != nil {
		return nil, err
	}
	for _, other := range same {
		if other.Task != r.Task || other.Attempt != r.Attempt {
			out.SameRun = append(out.SameRun, taskLine(other))
		}
	}
	return connect.NewResponse(out), nil
}

// find looks among the running tasks, then among those that ended.
func (s taskService) find(prefix string) (*TaskResult, error) {
	r, err := s.running.find(prefix)
	if isAbsent(err) {
		return s.n.tasks.find(prefix)
	}
	return r, err
}

// List shows the newest runs first, those that are running before the others.
func (s taskService) List(_ context.Context, req *connect.Request[nodev1.TaskListRequest]) (*connect.Response[nodev1.TaskListResponse], error) {
	limit := int(req.Msg.GetLimit())
	switch {
	case limit < 0 || limit > maxTaskList:
		return nil, &core.FieldError{Path: "limit", Problem: fmt.Sprintf("1 to %d", maxTaskList)}
	case limit == 0:
		limit = taskListed
	}
	ended, err := s.n.tasks.list(limit, "")
	if err != nil {
		return nil, err
	}
	out := &nodev1.TaskListResponse{}
	for _, r := range firstN(append(s.running.list(), ended...), limit) {
		out.Tasks = append(out.Tasks, taskLine(r))
	}
	return connect.NewResponse(out), nil
}

// Cancel ends a run; what was metered is settled.
func (s taskService) Cancel(_ context.Context, req *connect.Request[nodev1.TaskCancelRequest]) (*connect.Response[nodev1.TaskCancelResponse], error) {
	err := s.running.stop(req.Msg.GetTask())
	if isAbsent(err) {
		if r, ferr := s.n.tasks.find(req.Msg.GetTask()); ferr == nil {
			err = fmt.Errorf("task %s has ended (%s): %w", short(r.Task), r.State, core.ErrConflict)
		}
	}
	return reply(&nodev1.TaskCancelResponse{}, err)
}

// Logs answers what the guest wrote to stdout and stderr.
func (s taskService) Logs(_ context.Context, req *connect.Request[nodev1.TaskLogsRequest]) (*connect.Response[nodev1.TaskLogsResponse], error) {
	r, err := s.find(req.Msg.GetTask())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&nodev1.TaskLogsResponse{Stdout: r.Stdout, Stderr: r.Stderr}), nil
}

func stepEvent(s Step) *nodev1.StepEvent {
	return &nodev1.StepEvent{
		Name: s.Name, Ms: s.Elapsed.Milliseconds(), MsExact: float64(s.Elapsed.Microseconds()) / 1000, Ok: s.OK, Detail: s.Detail, Task: s.Task,
	}
}

// taskLine is a result without its documents, for lists.
func taskLine(r *TaskResult) *nodev1.TaskResult {
	out := taskResult(r)
	out.Manifest, out.Receipt = nil, nil
	return out
}

func taskResult(r *TaskResult) *nodev1.TaskResult {
	out := &nodev1.TaskResult{
		Task: r.Task, Attempt: r.Attempt, Run: r.Run, Agent: string(r.Agent), AgentName: r.AgentName, Node: string(r.Node),
		ModuleSha256: r.Module, Outcome: string(r.Outcome), ExitCode: r.ExitCode, Reason: r.Reason, Receipt: r.Receipt,
		ChargedMicros: r.Charge, MaxMicros: r.Max, Currency: r.Currency, Channel: r.Channel, Guild: r.Guild, Path: r.Path, TraceId: r.TraceID,
		ReputationBefore: r.Before, ReputationAfter: r.After, Manifest: r.Manifest, State: r.State, Error: r.Error, Settled: r.Settled,
		StartedUnixMs: r.Started.UnixMilli(),
	}
	if !r.Finished.IsZero() {
		out.FinishedUnixMs = r.Finished.UnixMilli()
	}
	for _, o := range r.Outputs {
		out.Outputs = append(out.Outputs, &nodev1.OutputRef{Name: o.Name, Cid: o.CID, Sha256: o.SHA256, SizeBytes: o.SizeBytes})
	}
	for _, s := range r.Steps {
		out.Steps = append(out.Steps, stepEvent(s))
	}
	if r.Route != nil {
		out.Route = routeDecision(*r.Route)
	}
	return out
}
