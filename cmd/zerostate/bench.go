package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/client"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/localnet"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/term"
	"github.com/zerostate/zerostate/core"
)

// benchOptions are the flags of bench.
type benchOptions struct {
	finds, tasks, workers int
	set                   []string
}

type benchOutput struct {
	CPUs    int        `json:"cpus"`
	Nodes   int        `json:"nodes"`
	Cards   int        `json:"cards"`
	Workers int        `json:"workers"`
	Rows    []benchRow `json:"rows"`
}

// benchRow is one measure, milliseconds.
type benchRow struct {
	Name   string  `json:"name"`
	Count  int     `json:"count"`
	Failed int     `json:"failed"`
	P50    float64 `json:"p50_ms"`
	P95    float64 `json:"p95_ms"`
	Max    float64 `json:"max_ms"`
	PerSec float64 `json:"per_second"`
}

func (a *app) benchCommand() *cobra.Command {
	o := &benchOptions{}
	run := func(finds, tasks bool) func(*cobra.Command, []string) error {
		return func(c *cobra.Command, _ []string) error { return a.bench(c.Context(), o, finds, tasks) }
	}
	c := &cobra.Command{
		Use: "bench", Short: "Measure find, task and guild latency on a local network",
		Long: `Start a local network, as demo does, and measure on it from the caller's side: finds
of distinct queries with a cold and with a warm card cache, then whole tasks, of which the
guild's part (form, execute, dissolve) is a row of its own.`,
		Args: cobra.NoArgs, RunE: run(true, true),
	}
	f := c.PersistentFlags()
	f.IntVar(&o.finds, "finds", 1000, "distinct queries with a warm card cache; a quarter as many others with a cold one")
	f.IntVar(&o.tasks, "tasks", 200, "tasks")
	f.IntVar(&o.workers, "workers", 1, "how many at once")
	f.StringArrayVar(&o.set, "set", nil, "one setting of every node, path=value; may be repeated")
	c.AddCommand(
		&cobra.Command{Use: "find", Short: "Measure find only", Args: cobra.NoArgs, RunE: run(true, false)},
		&cobra.Command{Use: "task", Short: "Measure tasks and guilds only", Args: cobra.NoArgs, RunE: run(false, true)},
	)
	return c
}

func (a *app) bench(ctx context.Context, o *benchOptions, finds, tasks bool) (err error) {
	if o.finds < 1 || o.tasks < 1 || o.workers < 1 {
		return usagef("--finds, --tasks and --workers want 1 or more")
	}
	if _, err := settings(o.set); err != nil {
		return err
	}
	dir, err := privateDir()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	opts, err := a.localOptions(dir, append([]string{"telemetry.log_level=warn"}, o.set...))
	if err != nil {
		return err
	}
	agents, err := agentDirs(opts.Exe)
	if err != nil {
		return err
	}
	net, err := localnet.Start(ctx, opts, func(*localnet.Node) {})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, net.Stop(context.WithoutCancel(ctx))) }()
	if _, err := publishAgents(ctx, net, agents); err != nil {
		return err
	}
	if err := awaitPrepared(ctx, net); err != nil {
		return err
	}
	out := &benchOutput{CPUs: runtime.NumCPU(), Nodes: len(net.Nodes), Cards: len(agents), Workers: o.workers}
	caller := net.Node("caller").Client
	if finds {
		if err := out.benchFind(ctx, caller, o); err != nil {
			return err
		}
	}
	if tasks {
		if err := out.benchTask(ctx, caller, o, filepath.Join(filepath.Dir(opts.Exe), "agents", "wordcount", "card.yaml")); err != nil {
			return err
		}
	}
	return a.print(out, out.write)
}

func (o *benchOutput) write(w io.Writer) error {
	var t term.Table
	t.Row("", "COUNT", "FAILED", "P50 ms", "P95 ms", "MAX ms", "PER SECOND")
	for _, r := range o.Rows {
		t.Row(r.Name, r.Count, r.Failed, fmt.Sprintf("%.1f", r.P50), fmt.Sprintf("%.1f", r.P95), fmt.Sprintf("%.1f", r.Max), fmt.Sprintf("%.1f", r.PerSec))
	}
	if err := t.Write(w); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d CPUs, %d nodes, %d cards, %d at once\n", o.CPUs, o.Nodes, o.Cards, o.Workers)
	return err
}

// samples are the times of one measure.
type samples struct {
	mu     sync.Mutex
	ms     []float64
	failed int
	last   error
}

func (s *samples) add(ms float64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.failed++
		s.last = err
		return
	}
	s.ms = append(s.ms, ms)
}

func (s *samples) row(name string, took time.Duration) benchRow {
	return benchRow{
		Name: name, Count: len(s.ms), Failed: s.failed, P50: percentile(s.ms, 50), P95: percentile(s.ms, 95), Max: percentile(s.ms, 100),
		PerSec: float64(len(s.ms)) / took.Seconds(),
	}
}

// spread does n things, workers at once.
func spread(ctx context.Context, n, workers int, do func(i int)) error {
	var wg sync.WaitGroup
	next := make(chan int)
	for range workers {
		wg.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		next <- i
	}
	close(next)
	wg.Wait()
	return ctx.Err()
}

// benchQueries are n distinct sentences.
func benchQueries(n int) []string {
	verbs := []string{"turn", "convert", "count", "compute", "compare", "make", "list", "extract", "shrink", "summarise"}
	things := []string{"document", "table", "picture", "archive", "source tree", "link", "JSON", "YAML", "stylesheet", "text"}
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s this %s for me, please, number %d", verbs[i%len(verbs)], things[i/len(verbs)%len(things)], i)
	}
	return out
}

func (o *benchOutput) benchFind(ctx context.Context, caller *client.Client, opts *benchOptions) error {
	const coldShare = 4
	cold := max(1, opts.finds/coldShare)
	all := benchQueries(cold + opts.finds)
	for _, m := range []struct {
		name    string
		cold    bool
		queries []string
	}{{"find, cold card cache", true, all[:cold]}, {"find, warm card cache", false, all[cold:]}} {
		var s samples
		start := time.Now()
		err := spread(ctx, len(m.queries), opts.workers, func(i int) {
			began := time.Now()
			_, err := caller.Find.Find(ctx, connect.NewRequest(&nodev1.FindRequest{Text: m.queries[i], NoCache: m.cold}))
			s.add(milliseconds(time.Since(began)), err)
		})
		if err := errors.Join(err, s.allFailed(m.name)); err != nil {
			return err
		}
		o.Rows = append(o.Rows, s.row(m.name, time.Since(start)))
	}
	return nil
}

// allFailed is the last error where nothing succeeded.
func (s *samples) allFailed(name string) error {
	if len(s.ms) == 0 && s.last != nil {
		return fmt.Errorf("%s: %w", name, s.last)
	}
	return nil
}

// benchTask hires the word counter for distinct texts, by a sentence.
func (o *benchOutput) benchTask(ctx context.Context, caller *client.Client, opts *benchOptions, card string) error {
	if _, err := os.Stat(card); err != nil {
		return notFound(err)
	}
	hire := func(i int) (*nodev1.TaskResult, error) {
		ref, err := caller.Add(ctx, bytes.NewReader(fmt.Appendf(nil, "text number %d, to be counted word by word\n", i)), false)
		if err != nil {
			return nil, err
		}
		return runTask(ctx, caller, &nodev1.RunRequest{
			What:   &nodev1.RunRequest_Query{Query: sentences["wordcount"]},
			Skills: []string{"word-count"},
			Inputs: []*nodev1.InputRef{{Name: "text", Cid: ref.GetCid(), Sha256: ref.GetSha256(), SizeBytes: ref.GetSizeBytes()}},
		}, func(stepOutput) {}, func(*nodev1.StreamEvent) error { return nil })
	}
	if _, err := hire(-1); err != nil { // opens the channel and compiles the module
		return fmt.Errorf("first task: %w", err)
	}
	var tasks, guilds samples
	start := time.Now()
	err := spread(ctx, opts.tasks, opts.workers, func(i int) {
		began := time.Now()
		r, err := hire(i)
		took := milliseconds(time.Since(began))
		if err == nil && r.GetOutcome() != string(core.OutcomeOK) {
			err = fmt.Errorf("the task ended with %s", r.GetOutcome())
		}
		tasks.add(took, err)
		if err == nil {
			guilds.add(guildMillis(r), nil)
		}
	})
	if err := errors.Join(err, tasks.allFailed("task")); err != nil {
		return err
	}
	took := time.Since(start)
	o.Rows = append(o.Rows, tasks.row("task, from input to receipt", took), guilds.row("guild: form, execute, dissolve", took))
	return nil
}

// guildMillis is the guild's part of a task.
func guildMillis(r *nodev1.TaskResult) float64 {
	var sum float64
	for _, raw := range r.GetSteps() {
		if s := newStep(raw); s.Name == "form" || s.Name == "execute" || s.Name == "dissolve" {
			sum += s.Ms
		}
	}
	return sum
}
