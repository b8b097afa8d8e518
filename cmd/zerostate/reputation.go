package main

import (
	"fmt"
	"io"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/client"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/term"
	"github.com/zerostate/zerostate/core"
)

func (a *app) reputationCommand() *cobra.Command {
	return group("reputation", "Scores of agents, and the log behind them",
		a.reputationShowCommand(), a.reputationHistoryCommand(), a.reputationVerifyCommand())
}

func (a *app) reputationShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show AGENT", Short: "Show the score of an agent and why it is so", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(func(n *client.Client) error {
				resp, err := n.Reputation.Show(c.Context(), connect.NewRequest(&nodev1.ReputationShowRequest{Agent: args[0]}))
				if err != nil {
					return err
				}
				r := resp.Msg
				return a.printMessage(r, func(w io.Writer) error {
					var t term.Table
					t.Row("agent", r.GetAgent())
					t.Row("score", fmt.Sprintf("%.3f from %d events; %.3f without any", r.GetScore(), r.GetEvents(), r.GetPrior()))
					for _, e := range r.GetExplanation() {
						t.Row("because", e)
					}
					return t.Write(w)
				})
			})
		},
	}
}

func (a *app) reputationHistoryCommand() *cobra.Command {
	return &cobra.Command{
		Use: "history [AGENT]", Short: "Show the signed events about an agent, or all of them", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			req := &nodev1.ReputationHistoryRequest{}
			if len(args) > 0 {
				req.Agent = args[0]
			}
			return a.with(func(n *client.Client) error {
				resp, err := n.Reputation.History(c.Context(), connect.NewRequest(req))
				if err != nil {
					return err
				}
				return a.printMessage(resp.Msg, func(w io.Writer) error {
					var t term.Table
					for _, entry := range resp.Msg.GetEntries() {
						e, err := core.Parse[core.Event](entry.GetEvent())
						if err != nil {
							return fmt.Errorf("event %d: %w", entry.GetIndex(), err)
						}
						t.Row(entry.GetIndex(), e.Time, e.Agent.Short(), e.Outcome, "task "+short(e.Task), "by "+e.Rater.Short())
					}
					return t.Write(w)
				})
			})
		},
	}
}

func (a *app) reputationVerifyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "verify", Short: "Check every event, its place in the log, and a signed checkpoint", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(func(n *client.Client) error {
				resp, err := n.Reputation.Verify(c.Context(), connect.NewRequest(&nodev1.ReputationVerifyRequest{}))
				if err != nil {
					return err
				}
				return a.printMessage(resp.Msg, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "%s: %d of %d events checked, root %s\n",
						a.style().Good("the log holds"), resp.Msg.GetChecked(), resp.Msg.GetSize(), term.Escape(resp.Msg.GetRoot()))
					return err
				})
			})
		},
	}
}
