package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/client"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/term"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/traces"
	"github.com/zerostate/zerostate/core"
)

// hire does one job of the tour, from the sentence to the checked receipt.
func (d *demoRun) hire(ctx context.Context, i int, j job, files map[string]string) error {
	caller := d.net.Node("caller").Client
	if j.after != "" {
		path := files[j.after]
		if path == "" {
			return nil // the job before gave nothing to work on, and has said so
		}
		j.inputs[j.main] = source{path: path}
	}
	req := &nodev1.RunRequest{What: &nodev1.RunRequest_Query{Query: j.query}}
	for name, s := range j.inputs {
		data, err := s.read()
		if err != nil {
			return err
		}
		ref, err := caller.Add(ctx, bytes.NewReader(data), false)
		if err != nil {
			return fmt.Errorf("add %s: %w", s.path, err)
		}
		req.Inputs = append(req.Inputs, &nodev1.InputRef{Name: name, Cid: ref.GetCid(), Sha256: ref.GetSha256(), SizeBytes: ref.GetSizeBytes()})
	}
	start := time.Now()
	result, err := runTask(ctx, caller, req, func(stepOutput) {}, func(*nodev1.StreamEvent) error { return nil })
	took := time.Since(start)
	if result == nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		d.bad = append(d.bad, fmt.Sprintf("%q: %s", j.query, client.Message(err)))
		d.say("  FAILED  %q: %s", j.query, client.Message(err))
		return nil
	}
	t, err := d.keep(ctx, i, j, result)
	if err != nil {
		d.bad = append(d.bad, fmt.Sprintf("%q: %s", j.query, err))
		d.say("  FAILED  %q: %s", j.query, err)
	} else {
		files[j.agent] = t.Output
		d.say("  %-84s %-22s %6d ms  %s %s", fmt.Sprintf("%q for %s", j.query, filepath.Base(t.Input)), t.AgentName,
			took.Milliseconds(), term.Micros(t.ChargedMicros), result.GetCurrency())
	}
	d.done.take(t, result)
	return nil
}

// keep writes outputs and receipt under --out and checks them as a stranger
// would: the receipt by itself, then each output and the module against it.
func (d *demoRun) keep(ctx context.Context, i int, j job, r *nodev1.TaskResult) (*demoTask, error) {
	t := &demoTask{
		Query: j.query, Agent: r.GetAgent(), AgentName: r.GetAgentName(), Module: r.GetModuleSha256(),
		Input: j.inputs[j.main].path, ChargedMicros: r.GetChargedMicros(),
	}
	out, err := openOut(filepath.Join(d.out, fmt.Sprintf("%02d-%s", i+1, j.agent)), true)
	if err != nil {
		return t, err
	}
	defer out.Close() //nolint:errcheck // its files are closed and checked by write
	full := newTaskOutput(r)
	if err := fetchOutputs(ctx, d.net.Node("caller").Client, r, out, full); err != nil {
		return t, err
	}
	t.Receipt = full.ReceiptPath
	main := mainOutput(full.Outputs)
	if main == nil {
		return t, fmt.Errorf("%s wrote nothing (%s %s)", r.GetAgentName(), r.GetOutcome(), r.GetReason())
	}
	t.Output, t.OutputDigest = main.Path, main.SHA256
	if err := d.checkTask(j, r, full, main); err != nil {
		return t, err
	}
	t.Verified = true
	return t, nil
}

// mainOutput is the first output that is a file, else standard output.
func mainOutput(outputs []taskContent) *taskContent {
	for i := range outputs {
		if outputs[i].Name != core.StdoutName && outputs[i].Path != "" {
			return &outputs[i]
		}
	}
	if len(outputs) > 0 && outputs[0].Path != "" {
		return &outputs[0]
	}
	return nil
}

func (d *demoRun) checkTask(j job, r *nodev1.TaskResult, full *taskOutput, main *taskContent) error {
	envelope, err := os.ReadFile(full.ReceiptPath)
	if err != nil {
		return err
	}
	signed, err := core.ParseReceipt(envelope)
	if err != nil {
		return err
	}
	receipt, err := core.VerifyReceipt(envelope, signed.Receipt.Predicate.Network, false)
	if err != nil {
		return err
	}
	p := receipt.Predicate
	if p.Outcome != core.OutcomeOK || p.ChargeMicros <= 0 || p.ChargeMicros != r.GetChargedMicros() || p.Task != r.GetTask() {
		return fmt.Errorf("the receipt says %s and %d micros for task %s", p.Outcome, p.ChargeMicros, short(p.Task))
	}
	for _, o := range full.Outputs {
		if o.Path == "" {
			continue
		}
		if err := checkSubject(receipt, o); err != nil {
			return err
		}
	}
	in, err := j.inputs[j.main].read()
	if err != nil {
		return err
	}
	data, err := os.ReadFile(main.Path)
	if err != nil {
		return err
	}
	return j.check(in, data)
}

// checkSubject holds a file to the digest that the receipt names.
func checkSubject(r *core.Receipt, o taskContent) error {
	data, err := os.ReadFile(o.Path)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	for _, s := range r.Subject {
		if s.Name == o.Name && s.Digest.SHA256 == hex.EncodeToString(sum[:]) {
			return nil
		}
	}
	return fmt.Errorf("output %s is not the one of the receipt", o.Name)
}

// finish collects what the network has to show after the tasks.
func (d *demoRun) finish(ctx context.Context) error {
	caller := d.net.Node("caller").Client
	if err := d.balances(ctx, caller); err != nil {
		return err
	}
	if len(d.done.Tasks) == 0 {
		return fmt.Errorf("no task was done: %w", errors.Join(core.ErrUnavailable, errors.New(d.bad[0])))
	}
	resp, err := caller.Route.Explain(ctx, connect.NewRequest(&nodev1.RouteExplainRequest{Node: d.done.lastNode}))
	if err != nil {
		return fmt.Errorf("explain the route: %w", err)
	}
	var b bytes.Buffer
	if err := writeRoute(&b, resp.Msg.GetDecision()); err != nil {
		return err
	}
	d.route = b.String()
	d.collectTrace(ctx)
	d.collectJoins(ctx)
	d.check()
	return nil
}

// balances reads the caller's channels. What is still locked is settled first.
func (d *demoRun) balances(ctx context.Context, caller *client.Client) error {
	list, err := caller.Channel.List(ctx, connect.NewRequest(&nodev1.ChannelListRequest{}))
	if err != nil {
		return err
	}
	for _, ch := range list.Msg.GetChannels() {
		if ch.GetLockedMicros() > 0 {
			if _, err := caller.Channel.Update(ctx, connect.NewRequest(&nodev1.ChannelUpdateRequest{Channel: ch.GetChannel()})); err != nil {
				return fmt.Errorf("settle channel %s: %w", short(ch.GetChannel()), err)
			}
		}
	}
	if list, err = caller.Channel.List(ctx, connect.NewRequest(&nodev1.ChannelListRequest{})); err != nil {
		return err
	}
	for _, ch := range list.Msg.GetChannels() {
		d.done.Channels = append(d.done.Channels, demoChannel{
			Peer: ch.GetPeer(), DepositMicros: ch.GetDepositMicros(), PayerMicros: ch.GetPayerMicros(), PayeeMicros: ch.GetPayeeMicros(),
			LockedMicros: ch.GetLockedMicros(), Version: ch.GetVersion(),
		})
	}
	return nil
}

// collectTrace waits for the spans of one task from both nodes and a plugin:
// they come in batches.
func (d *demoRun) collectTrace(ctx context.Context) {
	const patience, processes = 3 * time.Second, 3
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	id := d.done.TraceID
	spans := d.sink.Wait(ctx, func(s traces.Span) bool { return s.Trace == id }, func(found []traces.Span) bool {
		places, root := map[string]bool{}, false
		for _, s := range found {
			places[s.Service+"/"+s.Instance] = true
			root = root || s.Name == "zerostate.task"
		}
		return root && len(places) >= processes
	})
	d.spans = traces.Tree(traces.Only(spans, func(s traces.Span) bool { return strings.HasPrefix(s.Name, "zerostate.") }))
}

// collectJoins puts the first steps before those of the tasks: each node's join
// as its span tells it, and each card's publish.
func (d *demoRun) collectJoins(ctx context.Context) {
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	joins := map[string]float64{}
	for _, s := range d.sink.Wait(ctx, func(s traces.Span) bool { return s.Name == "zerostate.join" },
		func(found []traces.Span) bool { return len(found) >= len(d.net.Nodes) }) {
		joins[s.Instance] = milliseconds(s.Duration())
	}
	var first []demoStep
	for _, n := range d.net.Nodes {
		ms, ok := joins[n.Name]
		if !ok {
			ms = milliseconds(n.Joining)
		}
		first = append(first, demoStep{Task: n.Name, Name: "join", Ms: ms, OK: true})
	}
	for _, c := range d.cards {
		first = append(first, demoStep{Task: c.name, Name: "publish", Ms: milliseconds(c.took), OK: true})
	}
	d.done.Steps = append(first, d.done.Steps...)
}

func milliseconds(t time.Duration) float64 { return float64(t.Microseconds()) / 1000 }

// check holds the whole tour to what it promises.
func (d *demoRun) check() {
	const enough, different = 6, 5
	agents, modules := map[string]bool{}, map[string]bool{}
	var charged, paid int64
	for _, t := range d.done.Tasks {
		agents[t.Agent], modules[t.Module] = true, true
		charged += t.ChargedMicros
	}
	for _, ch := range d.done.Channels {
		paid += ch.PayeeMicros
		if ch.PayerMicros+ch.PayeeMicros+ch.LockedMicros != ch.DepositMicros {
			d.bad = append(d.bad, fmt.Sprintf("the channel with %s does not add up", short(ch.Peer)))
		}
	}
	if charged != paid {
		d.bad = append(d.bad, fmt.Sprintf("%d micros were charged, %d paid", charged, paid))
	}
	if len(d.done.Tasks) < enough || len(agents) < different || len(modules) < different {
		d.bad = append(d.bad, fmt.Sprintf("%d tasks by %d agents and %d modules", len(d.done.Tasks), len(agents), len(modules)))
	}
}

// show prints the end of the tour for people.
func (d *demoRun) show(w io.Writer) error {
	var t term.Table
	for _, ch := range d.done.Channels {
		t.Row("  channel with "+short(ch.Peer), fmt.Sprintf("deposit %s = payer %s + payee %s + locked %s, version %d", term.Micros(ch.DepositMicros),
			term.Micros(ch.PayerMicros), term.Micros(ch.PayeeMicros), term.Micros(ch.LockedMicros), ch.Version))
	}
	for _, r := range d.done.Reputation {
		t.Row("  reputation of "+short(r.Agent), fmt.Sprintf("%.3f -> %.3f", r.Before, r.After))
	}
	l := d.done.LatencyMs
	t.Row("  latency P50 / P95", fmt.Sprintf("find %.1f / %.1f ms, task %.1f / %.1f ms, guild %.1f / %.1f ms", l.FindP50, l.FindP95, l.TaskP50, l.TaskP95, l.GuildP50, l.GuildP95))
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	if err := t.Write(w); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "\nthe router, asked for a way to the last worker:\n%s\ntrace %s, one task over nodes and plugins:\n", d.route, d.done.TraceID); err != nil {
		return err
	}
	var tree term.Table
	for _, s := range d.spans {
		indent := fmt.Sprintf("%*s", 2+2*s.Depth, "")
		tree.Row(indent+s.Name, fmt.Sprintf("%8.1f ms", milliseconds(s.Duration())), s.Service+" "+s.Instance)
	}
	if err := tree.Write(w); err != nil {
		return err
	}
	style := d.a.style()
	if d.done.OK {
		where := ""
		if d.o.out != "" {
			where = "; outputs and receipts are in " + d.o.out
		}
		_, err := fmt.Fprintf(w, "\n%s: %d tasks by %d agents, every output and receipt verified%s\n", style.Good("all is well"), len(d.done.Tasks), len(d.done.Reputation), term.Escape(where))
		return err
	}
	for _, b := range d.bad {
		if _, err := fmt.Fprintln(w, style.Bad("not well: ")+term.Escape(b)); err != nil {
			return err
		}
	}
	return nil
}
