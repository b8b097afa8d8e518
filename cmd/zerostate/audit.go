package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/client"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/term"
	"github.com/zerostate/zerostate/core"
)

func (a *app) auditCommand() *cobra.Command {
	return group("audit", "Show, verify and anchor the audit log", a.auditShowCommand(), a.auditVerifyCommand(), a.auditAnchorCommand())
}

func (a *app) auditShowCommand() *cobra.Command {
	req := &nodev1.AuditShowRequest{}
	c := &cobra.Command{
		Use: "show", Short: "Show entries of the audit log", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(func(n *client.Client) error {
				resp, err := n.Audit.Show(c.Context(), connect.NewRequest(req))
				if err != nil {
					return err
				}
				return a.printMessage(resp.Msg, func(w io.Writer) error {
					var t term.Table
					for _, raw := range resp.Msg.GetEntries() {
						e, err := core.Parse[core.AuditEntry](raw)
						if err != nil {
							return err
						}
						t.Row(e.Index, e.Time, e.Kind, e.Subject, short(e.Digest))
					}
					return t.Write(w)
				})
			})
		},
	}
	c.Flags().Int64Var(&req.From, "from", 0, "first entry")
	c.Flags().Int64Var(&req.Limit, "limit", 1000, "most entries")
	return c
}

func (a *app) auditVerifyCommand() *cobra.Command {
	var heads, receipts []string
	c := &cobra.Command{
		Use: "verify", Short: "Check every entry, the chain, and heads that others have seen",
		Long: `Check the signature of every entry, the chain, every anchor, and heads that stand
in papers of others: a cut or rewritten log does not agree with them.`,
		Example: "  zerostate audit verify --seen 120:9f86d081...",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			req := &nodev1.AuditVerifyRequest{}
			for _, h := range heads {
				size, root, ok := strings.Cut(h, ":")
				n, err := strconv.ParseInt(size, 10, 64)
				if !ok || err != nil {
					return usagef("--seen wants SIZE:ROOT, got %q", h)
				}
				req.Heads = append(req.Heads, &nodev1.AuditHead{Size: n, Root: root, From: "--seen " + size})
			}
			for _, file := range receipts {
				data, err := a.readBounded(file, core.MaxReceiptBytes)
				if err != nil {
					return err
				}
				signed, err := core.ParseReceipt(data)
				if err != nil {
					return err
				}
				head := signed.Receipt.Predicate.AuditHead
				req.Heads = append(req.Heads, &nodev1.AuditHead{Size: head.Size, Root: head.Root, From: file})
			}
			return a.with(func(n *client.Client) error {
				resp, err := n.Audit.Verify(c.Context(), connect.NewRequest(req))
				if err != nil {
					return err
				}
				return a.printMessage(resp.Msg, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "%s: %d entries, root %s, %d anchors agree\n", a.style().Good("the log holds"),
						resp.Msg.GetSize(), term.Escape(resp.Msg.GetRoot()), len(resp.Msg.GetAnchors()))
					return err
				})
			})
		},
	}
	c.Flags().StringArrayVar(&heads, "seen", nil, "a head of this log that was seen elsewhere, SIZE:ROOT; may be repeated")
	c.Flags().StringArrayVar(&receipts, "receipt", nil, "a receipt that this node signed as the worker: its head is checked; may be repeated")
	return c
}

func (a *app) auditAnchorCommand() *cobra.Command {
	return &cobra.Command{
		Use: "anchor", Short: "Write an anchor of the log's head now", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(func(n *client.Client) error {
				resp, err := n.Audit.Anchor(c.Context(), connect.NewRequest(&nodev1.AuditAnchorRequest{}))
				if err != nil {
					return err
				}
				return a.printMessage(resp.Msg, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "anchored %d entries, root %s\n", resp.Msg.GetSize(), term.Escape(resp.Msg.GetRoot()))
					return err
				})
			})
		},
	}
}
