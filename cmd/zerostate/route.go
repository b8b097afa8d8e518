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

func (a *app) routeCommand() *cobra.Command {
	return group("route", "What the router has learned, and why it would choose a path", a.routeShowCommand(), a.routeExplainCommand())
}

func (a *app) routeShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Show the learned policy", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(func(n *client.Client) error {
				resp, err := n.Route.Show(c.Context(), connect.NewRequest(&nodev1.RouteShowRequest{}))
				if err != nil {
					return err
				}
				return a.printMessage(resp.Msg, func(w io.Writer) error {
					_, err := fmt.Fprintln(w, term.EscapeLines(string(resp.Msg.GetPolicy())))
					return err
				})
			})
		},
	}
}

func (a *app) routeExplainCommand() *cobra.Command {
	req := &nodev1.RouteExplainRequest{}
	c := &cobra.Command{
		Use: "explain NODE", Short: "Decide a path to a node now, say why, and do not use it", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			req.Node = args[0]
			return a.with(func(n *client.Client) error {
				resp, err := n.Route.Explain(c.Context(), connect.NewRequest(req))
				if err != nil {
					return err
				}
				return a.printMessage(resp.Msg, func(w io.Writer) error { return writeRoute(w, resp.Msg.GetDecision()) })
			})
		},
	}
	c.Flags().Int64Var(&req.SizeBytes, "size", 0, "bytes that would go along it")
	c.Flags().StringVar(&req.Sla, "sla", core.SLAInteractive, "service level, interactive or batch")
	return c
}

// writeRoute shows a decision with the score of every path.
func writeRoute(w io.Writer, d *nodev1.RouteDecision) error {
	why := "the cheapest"
	switch {
	case d.GetFallback():
		why = "the static fallback"
	case d.GetExplored():
		why = "explored"
	}
	var t term.Table
	t.Row("path", pathName(d.GetPath()), why)
	for _, s := range d.GetScores() {
		t.Row("", pathName(s.GetPath()), fmt.Sprintf("cost %.2f ms, used %d times", s.GetCostMs(), s.GetVisits()), s.GetReason())
	}
	return t.Write(w)
}

func pathName(path string) string {
	if path == core.PathDirect || path == "" {
		return path
	}
	return "relay " + short(path)
}
