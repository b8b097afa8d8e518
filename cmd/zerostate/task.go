package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/client"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/term"
	"github.com/zerostate/zerostate/core"
)

func (a *app) taskCommand() *cobra.Command {
	return group("task", "Validate, run, watch and cancel tasks",
		a.taskValidateCommand(), a.taskSchemaCommand(), a.taskRunCommand(), a.taskStatusCommand(), a.taskListCommand(), a.taskCancelCommand(), a.taskLogsCommand())
}

type validateOutput struct {
	OK        bool      `json:"ok"`
	File      string    `json:"file"`
	Name      string    `json:"name"`
	Module    string    `json:"module"`
	Inputs    []string  `json:"inputs"`
	Outputs   []string  `json:"outputs"`
	Price     findPrice `json:"price"`
	MaxMicros int64     `json:"max_charge_micros"`
}

func (a *app) taskValidateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "validate FILE", Short: "Check a task manifest: every problem with line and column; needs no node",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			data, err := a.readBounded(args[0], core.MaxManifestBytes)
			if err != nil {
				return err
			}
			m, err := core.ParseManifest(data, args[0])
			if err != nil {
				return err
			}
			s := m.Spec.Settlement
			out := validateOutput{
				OK: true, File: args[0], Name: m.Name, Module: m.Spec.Module.URI, Inputs: []string{}, Outputs: []string{}, MaxMicros: m.Terms.MaxChargeMicros,
				Price: findPrice{Currency: s.Currency, Unit: s.Unit, PriceMicros: s.PriceMicros, PerUnits: s.PerUnits},
			}
			for _, in := range m.Spec.Inputs {
				out.Inputs = append(out.Inputs, in.Name)
			}
			for _, o := range m.Spec.Outputs {
				out.Outputs = append(out.Outputs, o.Name)
			}
			return a.print(out, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s: ok, inputs %v, outputs %v\n", term.Escape(filepath.Base(args[0])), out.Inputs, out.Outputs)
				return err
			})
		},
	}
}

func (a *app) taskSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of a task manifest, for editors",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.printSchema(core.ManifestSchema()) },
	}
}

func (a *app) taskStatusCommand() *cobra.Command {
	var limit int64
	c := &cobra.Command{
		Use: "status [TASK]", Short: "Show a task by its id or a unique prefix, or the newest tasks",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(func(n *client.Client) error {
				if len(args) == 0 {
					return a.listTasks(c.Context(), n, limit)
				}
				return a.taskStatus(c.Context(), n, args[0])
			})
		},
	}
	c.Flags().Int64Var(&limit, "limit", 20, "how many tasks to list")
	return c
}

func (a *app) taskListCommand() *cobra.Command {
	var limit int64
	c := &cobra.Command{
		Use: "list", Short: "Show the newest tasks, as status without a TASK does", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(func(n *client.Client) error { return a.listTasks(c.Context(), n, limit) })
		},
	}
	c.Flags().Int64Var(&limit, "limit", 20, "how many tasks to list")
	return c
}

type taskListOutput struct {
	Tasks []*taskOutput `json:"tasks"`
}

func (a *app) listTasks(ctx context.Context, n *client.Client, limit int64) error {
	resp, err := n.Task.List(ctx, connect.NewRequest(&nodev1.TaskListRequest{Limit: limit}))
	if err != nil {
		return err
	}
	out := taskListOutput{Tasks: []*taskOutput{}}
	var t term.Table
	for _, r := range resp.Msg.GetTasks() {
		out.Tasks = append(out.Tasks, newTaskOutput(r))
		t.Row(short(r.GetTask()), r.GetState(), r.GetOutcome(), r.GetAgentName(), short(r.GetAgent()),
			term.Micros(r.GetChargedMicros())+" "+r.GetCurrency(), time.UnixMilli(r.GetStartedUnixMs()).Format(time.DateTime))
	}
	return a.print(out, func(w io.Writer) error {
		if len(out.Tasks) == 0 {
			a.note("no task yet; try: zerostate task run --query \"turn this document into a web page\" --in doc=README.md --out page")
		}
		return t.Write(w)
	})
}

type taskStatusOutput struct {
	Task    *taskOutput   `json:"task"`
	SameRun []*taskOutput `json:"same_run"` // other attempts and agents of the same run
}

func (a *app) taskStatus(ctx context.Context, n *client.Client, id string) error {
	resp, err := n.Task.Status(ctx, connect.NewRequest(&nodev1.TaskStatusRequest{Task: id}))
	if err != nil {
		return err
	}
	out := taskStatusOutput{Task: newTaskOutput(resp.Msg.GetResult()), SameRun: []*taskOutput{}}
	for _, r := range resp.Msg.GetSameRun() {
		out.SameRun = append(out.SameRun, newTaskOutput(r))
	}
	return a.print(out, func(w io.Writer) error { return out.Task.write(w) })
}

func (a *app) taskCancelCommand() *cobra.Command {
	return &cobra.Command{
		Use: "cancel TASK", Short: "Cancel a task that runs; what was metered is paid",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(func(n *client.Client) error {
				resp, err := n.Task.Cancel(c.Context(), connect.NewRequest(&nodev1.TaskCancelRequest{Task: args[0]}))
				if err != nil {
					return err
				}
				return a.printMessage(resp.Msg, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "cancelled %s\n", term.Escape(args[0]))
					return err
				})
			})
		},
	}
}

type logsOutput struct {
	Stdout string `json:"stdout"` // as UTF-8; what is not is replaced
	Stderr string `json:"stderr"`
}

func (a *app) taskLogsCommand() *cobra.Command {
	var raw bool
	c := &cobra.Command{
		Use: "logs TASK", Short: "Show what the guest wrote to stdout and stderr",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(func(n *client.Client) error {
				resp, err := n.Task.Logs(c.Context(), connect.NewRequest(&nodev1.TaskLogsRequest{Task: args[0]}))
				if err != nil {
					return err
				}
				out := logsOutput{Stdout: string(resp.Msg.GetStdout()), Stderr: string(resp.Msg.GetStderr())}
				return a.print(out, func(io.Writer) error {
					if err := a.guest(a.stderr, resp.Msg.GetStderr(), raw); err != nil {
						return err
					}
					return a.guest(a.stdout, resp.Msg.GetStdout(), raw)
				})
			})
		},
	}
	c.Flags().BoolVar(&raw, "raw", false, "do not escape what the guest wrote, even on a terminal")
	return c
}

// guest writes what a guest wrote: escaped on a terminal, as it is elsewhere.
func (a *app) guest(w io.Writer, data []byte, raw bool) error {
	if !raw && term.IsTTY(w) {
		data = []byte(term.EscapeLines(string(data)))
	}
	_, err := w.Write(data)
	return err
}
