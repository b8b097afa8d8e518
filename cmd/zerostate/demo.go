package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/zerostate/zerostate/cmd/zerostate/internal/localnet"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/term"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/traces"
	"github.com/zerostate/zerostate/core"
)

// demoOptions are the flags of demo.
type demoOptions struct {
	keep  bool
	force bool
	input string
	out   string
	set   []string
	use   []string
}

func (a *app) demoCommand() *cobra.Command {
	o := &demoOptions{}
	c := &cobra.Command{
		Use: "demo", Short: "Run a whole network here: join, find, hire, pay, verify, and end cleanly",
		Long: `Start a local network of separate node processes (bootstrap and relay, index, three
providers, a caller), publish example agents, hire them by a sentence for real files,
check every output and receipt, and show balances, reputation, a route and a trace.

--config FILE and --use KIND=NAME change what every node runs: index=exact,
executor=wasm-interpreter, embedder=local-64, payment=builtin:fake.`,
		Example: `  zerostate demo
  zerostate demo --input notes.md --out results
  zerostate demo --use index=exact --json
  zerostate demo --keep`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.demo(c.Context(), o) },
	}
	f := c.Flags()
	f.BoolVar(&o.keep, "keep", false, "leave the network running until ctrl-c, and say what to try next")
	f.StringVar(&o.input, "input", "", "a file of yours that an agent is hired for too")
	f.StringVar(&o.out, "out", "", "directory that keeps outputs and receipts")
	f.BoolVar(&o.force, "force", false, "overwrite what an earlier demo left under --out")
	f.StringArrayVar(&o.set, "config-set", nil, "one setting of every node, path=value; may be repeated")
	f.StringArrayVar(&o.use, "use", nil, "one word of every node's configuration, KIND=NAME; may be repeated")
	return c
}

// demoRun is one demo on its way.
type demoRun struct {
	a    *app
	o    *demoOptions
	dir  string // private
	out  string // of outputs and receipts
	exe  string
	sink *traces.Sink
	net  *localnet.Net

	cards []*agentCard
	pids  map[int]string
	done  *demoOutput
	spans []traces.Line
	route string
	bad   []string // what was not as it should be
}

func (a *app) demo(ctx context.Context, o *demoOptions) error {
	d := &demoRun{a: a, o: o, done: newDemoOutput(), pids: map[int]string{}}
	err := o.check() // before anything starts
	if err != nil {
		return err
	}
	if d.dir, err = privateDir(); err != nil {
		return err
	}
	err = d.run(ctx)
	if ctx.Err() != nil { // ctrl-c in the middle of the tour is no failure of the network
		return errors.Join(errInterrupted, d.end(ctx, true))
	}
	if err != nil {
		return errors.Join(err, d.end(ctx, false))
	}
	if o.keep {
		if err := d.report(); err != nil {
			return errors.Join(err, d.end(ctx, false))
		}
		d.suggest()
		<-ctx.Done()
		return errors.Join(d.verdict(), d.end(ctx, true))
	}
	if err := d.end(ctx, true); err != nil {
		d.bad = append(d.bad, err.Error())
	}
	if err := d.report(); err != nil {
		return err
	}
	return d.verdict()
}

// errInterrupted ends a demo whose user wants no more of it.
var errInterrupted = errors.New("interrupted; every process has been ended")

// verdict is the exit code of a tour that has been reported.
func (d *demoRun) verdict() error {
	if !d.done.OK {
		return &statusError{exitOther}
	}
	return nil
}

// check wants an input that is a file and can be read, and an --out in which
// nothing would be overwritten.
func (o *demoOptions) check() error {
	if o.input != "" {
		if info, err := os.Stat(o.input); err != nil {
			return notFound(err)
		} else if !info.Mode().IsRegular() {
			return fmt.Errorf("--input %s is not a file: %w", o.input, core.ErrInvalid)
		}
		f, err := os.Open(o.input)
		if err != nil {
			return notFound(err)
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	if o.out == "" {
		return nil
	}
	if info, err := os.Stat(o.out); err == nil && !info.IsDir() {
		return fmt.Errorf("--out %s is not a directory: %w", o.out, core.ErrInvalid)
	}
	if there, err := filepath.Glob(filepath.Join(o.out, "[0-9][0-9]-*", receiptName)); err != nil {
		return fmt.Errorf("--out %s: %w: %w", o.out, err, core.ErrInvalid)
	} else if len(there) > 0 && !o.force {
		return fmt.Errorf("%s is there already; choose another --out or allow it with --force: %w", there[0], core.ErrExists)
	}
	return nil
}

// run starts the network and takes the tour.
func (d *demoRun) run(ctx context.Context) error {
	if err := d.start(ctx); err != nil {
		return err
	}
	jobs, err := tour(repoRoot(d.exe), d.o.input)
	if err != nil {
		return err
	}
	d.say("")
	d.say("hiring by a sentence, as `zerostate task run --query` does:")
	files := map[string]string{} // agent -> its first output
	for i, j := range jobs {
		if err := d.hire(ctx, i, j, files); err != nil {
			return err
		}
	}
	return d.finish(ctx)
}

// start brings the network up and publishes the agents.
func (d *demoRun) start(ctx context.Context) error {
	set := append([]string{}, d.o.set...)
	for _, u := range d.o.use {
		set = append(set, "use."+u)
	}
	if _, err := settings(set); err != nil {
		return err
	}
	opts, err := d.a.localOptions(d.dir, set)
	if err != nil {
		return err
	}
	d.exe = opts.Exe
	dirs, err := agentDirs(opts.Exe)
	if err != nil {
		return err
	}
	d.out = d.o.out
	if d.out == "" {
		d.out = filepath.Join(d.dir, "out")
	}
	if d.sink, err = traces.Listen(ctx); err != nil {
		return err
	}
	opts.OTLP = d.sink.Endpoint()
	d.say("starting a network of 6 nodes, one process each, in %s", d.dir)
	start := time.Now()
	if d.net, err = localnet.Start(ctx, opts, func(*localnet.Node) {}); err != nil {
		return err
	}
	for _, n := range d.net.Nodes {
		d.say("  %-11s pid %-7d %-15s %s", n.Name, n.PID, fmt.Sprint(n.Roles), n.PeerID)
		d.done.Nodes = append(d.done.Nodes, demoNode{Name: n.Name, PID: n.PID, PeerID: n.PeerID, Roles: n.Roles, Home: n.Home})
	}
	d.say("all joined after %s", time.Since(start).Round(time.Millisecond))
	all, err := pids(ctx, d.net)
	if err != nil {
		return err
	}
	d.pids = all
	if d.cards, err = publishAgents(ctx, d.net, dirs); err != nil {
		return err
	}
	if err := awaitPrepared(ctx, d.net); err != nil {
		return err
	}
	d.say("published %d agent cards on 3 providers; the index node has found them", len(d.cards))
	return nil
}

// say tells a person how it goes: on stdout, or, where that is for JSON, on a
// terminal's stderr.
func (d *demoRun) say(format string, args ...any) {
	w := d.a.stdout
	if d.a.json {
		if !term.IsTTY(d.a.stderr) {
			return
		}
		w = d.a.stderr
	}
	_, _ = fmt.Fprintln(w, term.EscapeLines(fmt.Sprintf(format, args...))) // nobody to tell
}

// end stops every process and sees that it is gone. Where all went well the
// private directory goes too.
func (d *demoRun) end(ctx context.Context, well bool) error {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	if d.net != nil {
		if all, err := pids(ctx, d.net); err == nil {
			maps.Copy(d.pids, all) // restarted ones too
		}
		errs = append(errs, d.net.Stop(ctx))
		errs = append(errs, awaitGone(ctx, d.pids))
	}
	if d.sink != nil {
		errs = append(errs, d.sink.Close())
	}
	err := errors.Join(errs...)
	if !well || err != nil {
		if d.net != nil {
			d.a.note("logs are kept in %s", filepath.Join(d.dir, "logs"))
			return err
		}
	}
	return errors.Join(err, os.RemoveAll(d.dir))
}

// awaitGone waits until none of the processes is left.
func awaitGone(ctx context.Context, all map[int]string) error {
	const patience, every = 5 * time.Second, 20 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		var left []string
		for pid, what := range all {
			if localnet.Alive(pid) {
				left = append(left, fmt.Sprintf("%s (pid %d)", what, pid))
			}
		}
		if len(left) == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("still running: %v", left)
		}
	}
}

// suggest says what to try while the network runs.
func (d *demoRun) suggest() {
	caller, index, provider := d.net.Node("caller").Home, d.net.Node("index").Home, d.net.Node("provider-1").Home
	for _, line := range []string{
		"", "the network keeps running; ctrl-c ends it. In another terminal:",
		fmt.Sprintf("  %s find --home %s \"shrink this photo\"", d.exe, caller),
		fmt.Sprintf("  %s task run --home %s --query \"turn this document into a web page\" --in doc=README.md --out page", d.exe, caller),
		fmt.Sprintf("  %s channel list --home %s", d.exe, caller),
		fmt.Sprintf("  %s plugin list --home %s", d.exe, index),
		fmt.Sprintf("  %s card show --home %s", d.exe, provider),
		fmt.Sprintf("  %s card revoke --home %s %s", d.exe, provider, d.cards[0].name),
		fmt.Sprintf("  %s audit verify --home %s", d.exe, caller),
	} {
		if d.a.json {
			d.a.note("%s", line)
			continue
		}
		d.say("%s", line)
	}
}

// report prints what the tour has shown.
func (d *demoRun) report() error {
	d.done.OK = len(d.bad) == 0
	return d.a.print(d.done, func(w io.Writer) error { return d.show(w) })
}
