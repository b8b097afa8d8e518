package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/client"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/term"
	"github.com/zerostate/zerostate/core"
)

// receiptName is the file of a task's receipt under --out.
const receiptName = "receipt.json"

// runOptions are the flags of task run.
type runOptions struct {
	req     nodev1.RunRequest
	query   string
	agent   string
	inputs  []string
	out     string
	force   bool
	raw     bool
	timeout time.Duration
}

func (a *app) taskRunCommand() *cobra.Command {
	o := &runOptions{}
	c := &cobra.Command{
		Use: "run [MANIFEST]", Short: "Hire an agent: find, escrow, execute, settle, and check the receipt",
		Long: `Hire an agent for a task.

With --query, whoever answers best and takes these inputs is hired; with --agent,
that one. With a MANIFEST of yours, its module and inputs (file: URIs are read under
the manifest's directory) are run on the node of the agent that --provider names.

What the guest writes to stdout goes to stdout, everything else to stderr. Outputs
and the receipt are written under --out. A guest's exit code from 1 to 99 is passed on.`,
		Example: `  zerostate task run --query "turn this document into a web page" --in doc=README.md --out page
  zerostate task run --agent did:key:z6Mk... --in table=sales.csv
  zerostate task run task.yaml --provider did:key:z6Mk...`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.taskRun(c.Context(), o, args) },
	}
	f := c.Flags()
	f.StringVar(&o.query, "query", "", "what you want done, in a sentence")
	f.StringVar(&o.agent, "agent", "", "the agent to hire: its did, or a unique prefix of a known one")
	f.StringArrayVar(&o.inputs, "in", nil, "an input, NAME=FILE; may be repeated")
	f.StringVar(&o.out, "out", "", "directory for outputs and the receipt")
	f.BoolVar(&o.force, "force", false, "overwrite files under --out")
	f.BoolVar(&o.raw, "raw", false, "do not escape what the guest writes, even on a terminal")
	f.DurationVar(&o.timeout, "timeout", 0, "cancel the task after this time")
	f.StringVar(&o.req.Provider, "provider", "", "with a MANIFEST: the agent on whose node it runs")
	f.StringVar(&o.req.As, "as", "", "the agent of yours in whose name you hire (default: the node)")
	f.Int64Var(&o.req.MaxChargeMicros, "max-charge", 0, "most that it may cost, micros; lowers the policy's cap")
	f.StringVar(&o.req.Nonce, "nonce", "", "repeat the task of this nonce instead of starting a new one")
	f.StringVar(&o.req.Seed, "seed", "", "seed of the guest's randomness, 64 hex digits (default: drawn)")
	f.StringArrayVar(&o.req.Regions, "region", nil, "only agents of this region; may be repeated")
	f.StringArrayVar(&o.req.Skills, "skill", nil, "only this skill; may be repeated")
	f.StringArrayVar(&o.req.Tags, "tag", nil, "only skills with this tag; may be repeated")
	return c
}

func (a *app) taskRun(ctx context.Context, o *runOptions, args []string) error {
	given := 0
	for _, s := range []bool{o.query != "", o.agent != "", len(args) > 0} {
		if s {
			given++
		}
	}
	if given != 1 {
		return usagef("task run wants one of --query TEXT, --agent DID, or a MANIFEST")
	}
	o.req.TimeoutMs = o.timeout.Milliseconds()
	var out *outDir
	if o.out != "" {
		var err error
		if out, err = openOut(o.out, o.force); err != nil {
			return err
		}
		defer out.Close() //nolint:errcheck // files of it are closed and checked one by one
		if err := out.free(receiptName); err != nil {
			return err // before anything is paid
		}
	}
	return a.with(func(n *client.Client) error {
		if err := o.fill(ctx, n, args); err != nil {
			return err
		}
		return a.hire(ctx, n, o, out)
	})
}

// fill adds the inputs to the node's store and completes the request.
func (o *runOptions) fill(ctx context.Context, n *client.Client, args []string) error {
	for _, in := range o.inputs {
		name, file, ok := strings.Cut(in, "=")
		if !ok || name == "" || file == "" {
			return usagef("--in wants NAME=FILE, got %q", in)
		}
		f, err := os.Open(file) //nolint:gosec // the operator names the file
		if err != nil {
			return notFound(err)
		}
		if err := o.add(ctx, n, name, f); err != nil {
			return err
		}
	}
	switch {
	case o.query != "":
		o.req.What = &nodev1.RunRequest_Query{Query: o.query}
	case o.agent != "":
		o.req.What = &nodev1.RunRequest_Agent{Agent: o.agent}
	default:
		return o.fillManifest(ctx, n, args[0])
	}
	return nil
}

// add stores one private input and closes it.
func (o *runOptions) add(ctx context.Context, n *client.Client, name string, f io.ReadCloser) error {
	ref, err := n.Add(ctx, f, false)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("add input %s: %w", name, err)
	}
	o.req.Inputs = append(o.req.Inputs, &nodev1.InputRef{Name: name, Cid: ref.GetCid(), Sha256: ref.GetSha256(), SizeBytes: ref.GetSizeBytes()})
	return nil
}

// fillManifest reads a whole manifest; its file: module and inputs are read from
// its directory, and from nowhere else.
func (o *runOptions) fillManifest(ctx context.Context, n *client.Client, file string) error {
	root, err := os.OpenRoot(filepath.Dir(file))
	if err != nil {
		return notFound(err)
	}
	defer root.Close() //nolint:errcheck // only read from
	name := filepath.Base(file)
	data, err := root.ReadFile(name)
	if err != nil {
		return notFound(err)
	}
	m, err := core.ParseManifest(data, file)
	if err != nil {
		return err
	}
	o.req.What, o.req.ManifestName = &nodev1.RunRequest_Manifest{Manifest: data}, name
	if path, ok := m.Spec.Module.File(); ok {
		f, err := root.Open(path)
		if err != nil {
			return notFound(err)
		}
		ref, err := n.Add(ctx, f, true)
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("add module: %w", err)
		}
		o.req.ModuleCid = ref.GetCid()
	}
	given := map[string]bool{}
	for _, in := range o.req.GetInputs() {
		given[in.GetName()] = true
	}
	for _, in := range m.Spec.Inputs {
		path, ok := in.File()
		if !ok || given[in.Name] {
			continue
		}
		f, err := root.Open(path)
		if err != nil {
			return notFound(err)
		}
		if err := o.add(ctx, n, in.Name, f); err != nil {
			return err
		}
	}
	return nil
}

// hire runs the task, shows how it goes, and fetches what came out.
func (a *app) hire(ctx context.Context, n *client.Client, o *runOptions, out *outDir) error {
	show := a.newProgress()
	result, err := runTask(ctx, n, &o.req, show.step, func(e *nodev1.StreamEvent) error {
		if a.json {
			return nil
		}
		show.clear()
		if e.GetStream() == core.StdoutName {
			return a.guest(a.stdout, e.GetData(), o.raw)
		}
		return a.guest(a.stderr, e.GetData(), o.raw)
	})
	show.clear()
	if result == nil {
		return err
	}
	t := newTaskOutput(result)
	if out != nil && len(result.GetReceipt())+len(result.GetOutputs()) > 0 {
		if err := fetchOutputs(ctx, n, result, out, t); err != nil {
			return err
		}
	}
	if printErr := a.print(t, func(io.Writer) error { return t.write(a.stderr) }); printErr != nil {
		return printErr
	}
	if !a.json && out == nil && len(t.Outputs) > 1 {
		a.note("fetch an output: zerostate artifact get CID --out FILE")
	}
	if code := guestExit(core.Outcome(result.GetOutcome()), result.GetExitCode()); code != exitOK {
		return &statusError{code}
	}
	return err
}

// runTask runs a task and returns its result. Where the guest failed the result
// says so and comes with or without an error.
func runTask(ctx context.Context, n *client.Client, req *nodev1.RunRequest, step func(stepOutput), output func(*nodev1.StreamEvent) error) (*nodev1.TaskResult, error) {
	stream, err := n.Task.Run(ctx, connect.NewRequest(req))
	if err != nil {
		return nil, err
	}
	var result *nodev1.TaskResult
	for stream.Receive() {
		switch e := stream.Msg().GetEvent().(type) {
		case *nodev1.RunEvent_Step:
			step(newStep(e.Step))
		case *nodev1.RunEvent_Stream:
			if err := output(e.Stream); err != nil {
				return nil, errors.Join(err, stream.Close())
			}
		case *nodev1.RunEvent_Result:
			result = e.Result
		}
	}
	if err := stream.Err(); err != nil {
		_ = stream.Close() // the stream's own error says more
		return result, err
	}
	if err := stream.Close(); err != nil {
		return result, err
	}
	if result == nil {
		return nil, fmt.Errorf("the node ended the task without a result: %w", core.ErrUnavailable)
	}
	return result, nil
}

// fetchOutputs writes the receipt, where there is one (a task of an agent of our
// own has none), and the outputs that hold something.
func fetchOutputs(ctx context.Context, n *client.Client, r *nodev1.TaskResult, out *outDir, t *taskOutput) error {
	var err error
	if len(r.GetReceipt()) > 0 {
		t.ReceiptPath, err = out.write(receiptName, func(w io.Writer) error {
			_, err := w.Write(r.GetReceipt())
			return err
		})
	}
	if err != nil {
		return err
	}
	for i, o := range r.GetOutputs() {
		if o.GetSizeBytes() == 0 && o.GetName() == core.StdoutName {
			continue
		}
		t.Outputs[i].Path, err = out.write(o.GetName(), func(w io.Writer) error {
			_, err := n.Fetch(ctx, o.GetCid(), o.GetSizeBytes(), w)
			return err
		})
		if err != nil {
			return fmt.Errorf("output %s (still in the node: zerostate artifact get %s): %w", o.GetName(), o.GetCid(), err)
		}
	}
	return nil
}

// progress shows the steps of a task on stderr: a line each, and on a terminal
// one more that says what is going on now.
type progress struct {
	w       io.Writer
	quiet   bool
	live    bool
	style   term.Style
	pending bool
}

func (a *app) newProgress() *progress {
	return &progress{w: a.stderr, quiet: a.json, live: term.IsTerminal(a.stderr, a.getenv), style: term.Style(term.IsTerminal(a.stderr, a.getenv))}
}

// nextStep is what usually follows a step.
var nextStep = map[string]string{
	"find": "escrow", "escrow": "form", "form": "route", "route": "execute", "execute": "settle", "settle": "dissolve", "dissolve": "verify",
}

func (p *progress) step(s stepOutput) {
	if p.quiet {
		return
	}
	p.clear()
	mark := p.style.Good("ok  ")
	if !s.OK {
		mark = p.style.Bad("fail")
	}
	p.printf("%s %-8s %8.1f ms  %s\n", mark, s.Name, s.Ms, term.Escape(s.Detail))
	if next := nextStep[s.Name]; p.live && s.OK && next != "" {
		p.printf("     %s ...", next)
		p.pending = true
	}
}

// clear takes the line that says what is going on away.
func (p *progress) clear() {
	if p.pending {
		p.printf("\r\x1b[K")
		p.pending = false
	}
}

func (p *progress) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(p.w, format, args...) // stderr gone: nobody to tell
}
