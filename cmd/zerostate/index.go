package main

import (
	"fmt"
	"io"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/client"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/term"
)

func (a *app) indexCommand() *cobra.Command {
	return group("index", "The semantic index of a node with the index role", a.indexQueryCommand(), a.indexStatsCommand())
}

func (a *app) indexQueryCommand() *cobra.Command {
	req := &nodev1.IndexQueryRequest{}
	c := &cobra.Command{
		Use: "query TEXT", Short: "Search this node's own index only, without the DHT", Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			req.Text = strings.Join(args, " ")
			return a.with(func(n *client.Client) error {
				resp, err := n.Index.Query(c.Context(), connect.NewRequest(req))
				if err != nil {
					return err
				}
				return a.printMessage(resp.Msg, func(w io.Writer) error {
					var t term.Table
					for _, h := range resp.Msg.GetHits() {
						t.Row(fmt.Sprintf("%.3f", h.GetSimilarity()), h.GetDid(), fmt.Sprintf("offer %d", h.GetOffer()))
					}
					return t.Write(w)
				})
			})
		},
	}
	c.Flags().Int64Var(&req.K, "k", 5, "how many hits")
	c.Flags().StringArrayVar(&req.Regions, "region", nil, "only agents of this region; may be repeated")
	c.Flags().StringArrayVar(&req.Skills, "skill", nil, "only this skill; may be repeated")
	c.Flags().StringArrayVar(&req.Tags, "tag", nil, "only skills with this tag; may be repeated")
	return c
}

func (a *app) indexStatsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "stats", Short: "Count what the index holds", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(func(n *client.Client) error {
				resp, err := n.Index.Stats(c.Context(), connect.NewRequest(&nodev1.IndexStatsRequest{}))
				if err != nil {
					return err
				}
				s := resp.Msg
				return a.printMessage(s, func(w io.Writer) error {
					var t term.Table
					t.Row("rows", fmt.Sprintf("%d of %d cards, %d deleted", s.GetItems(), s.GetCards(), s.GetDeleted()))
					t.Row("vectors", fmt.Sprintf("%d dimensions, model %s", s.GetDimensions(), s.GetModelDigest()))
					t.Row("size", term.Size(s.GetBytes()))
					return t.Write(w)
				})
			})
		},
	}
}
