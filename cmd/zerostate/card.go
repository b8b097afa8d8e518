package main

import (
	"context"
	"encoding/json"
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

// maxCardFile bounds a card that is read from a file.
const maxCardFile = 64 << 10

func (a *app) cardCommand() *cobra.Command {
	return group("card", "Agent cards: make, publish, update, revoke, resolve, verify, show",
		a.cardInitCommand(), a.cardPublishCommand(false), a.cardPublishCommand(true), a.cardRevokeCommand(),
		a.cardResolveCommand(), a.cardVerifyCommand(), a.cardShowCommand())
}

func (a *app) cardPublishCommand(update bool) *cobra.Command {
	var dir string
	use, text := "publish", "Sign and announce the card of an agent"
	if update {
		use, text = "update", "Sign and announce a newer card of an agent that is published"
	}
	c := &cobra.Command{
		Use: use + " NAME", Short: text,
		Long: text + `.

NAME is that of an agent block of the node's configuration. With --from, card.yaml,
the manifest that it offers and the module are read from that directory instead.`,
		Example: "  zerostate card " + use + " markdown --from bin/agents/markdown",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			req := &nodev1.PublishRequest{Agent: args[0], OnlyUpdate: update}
			if dir != "" {
				if err := readAgent(dir, req); err != nil {
					return err
				}
			}
			return a.with(func(n *client.Client) error { return a.publishCard(c.Context(), n, req) })
		},
	}
	c.Flags().StringVar(&dir, "from", "", "directory with card.yaml, its manifest and its module")
	return c
}

// readAgent fills a request from a directory: card.yaml, the manifest of its
// first offer, and that one's module.
func readAgent(dir string, req *nodev1.PublishRequest) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return notFound(err)
	}
	defer root.Close() //nolint:errcheck // only read from
	if req.CardSpec, err = root.ReadFile("card.yaml"); err != nil {
		return notFound(err)
	}
	spec, err := core.ParseCardSpec(req.GetCardSpec(), "card.yaml")
	if err != nil {
		return err
	}
	for i, o := range spec.Offers {
		if i > 0 && o.Manifest != spec.Offers[0].Manifest {
			return fmt.Errorf("%s: offers of several manifests are published from the node's configuration: %w", dir, core.ErrUnsupported)
		}
		if req.Manifest, err = root.ReadFile(o.Manifest); err != nil {
			return notFound(err)
		}
		m, err := core.ParseManifest(req.GetManifest(), o.Manifest)
		if err != nil {
			return err
		}
		if name, ok := m.Spec.Module.File(); ok {
			if req.Module, err = root.ReadFile(filepath.Join(filepath.Dir(o.Manifest), name)); err != nil {
				return notFound(err)
			}
		}
	}
	return nil
}

func notFound(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %w", err, core.ErrNotFound)
	}
	return err
}

func (a *app) publishCard(ctx context.Context, n *client.Client, req *nodev1.PublishRequest) error {
	resp, err := n.Card.Publish(ctx, connect.NewRequest(req))
	if err != nil {
		return err
	}
	p := resp.Msg
	return a.printMessage(p, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "published %s\ndid      %s\ncid      %s\nseq      %d\nholders  %d\n",
			req.GetAgent(), p.GetDid(), p.GetCid(), p.GetSeq(), p.GetHolders())
		return err
	})
}

func (a *app) cardRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "revoke NAME|DID", Short: "Revoke an agent for good: its did can not come back",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(func(n *client.Client) error {
				resp, err := n.Card.Revoke(c.Context(), connect.NewRequest(&nodev1.RevokeRequest{Agent: args[0]}))
				if err != nil {
					return err
				}
				return a.printMessage(resp.Msg, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "revoked %s\n", resp.Msg.GetDid())
					return err
				})
			})
		},
	}
}

func (a *app) cardResolveCommand() *cobra.Command {
	req := &nodev1.ResolveRequest{}
	c := &cobra.Command{
		Use: "resolve DID", Short: "Ask the DHT for the newest card of a did, and verify it here",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			req.Did = args[0]
			if _, err := core.ParseDID(req.GetDid()); err != nil {
				return err
			}
			return a.with(func(n *client.Client) error {
				resp, err := n.Card.Resolve(c.Context(), connect.NewRequest(req))
				if err != nil {
					return err
				}
				return a.printMessage(resp.Msg, func(w io.Writer) error { return a.showResolved(w, resp.Msg) })
			})
		},
	}
	c.Flags().Int64Var(&req.MinSeq, "min-seq", 0, "the newest seq known: an answer at least as new needs no second opinion")
	return c
}

func (a *app) showResolved(w io.Writer, r *nodev1.ResolveResponse) error {
	e := r.GetEvidence()
	a.note("seq %d, held by %d nodes of %d that were asked (%s), %.1f ms", e.GetSeq(), e.GetHolders(), max(e.GetAsked(), e.GetHolders()), e.GetBasis(), e.GetLatencyMs())
	card, err := core.ParseCard(r.GetCard())
	if err != nil {
		return err
	}
	return writeCard(w, card)
}

// cardOutput is what card verify --json prints.
type cardOutput struct {
	Verified bool            `json:"verified"`
	DID      string          `json:"did"`
	Node     string          `json:"node"`
	Network  string          `json:"network"`
	Seq      int64           `json:"seq"`
	CID      string          `json:"cid"`
	Status   string          `json:"status"`
	Expires  string          `json:"expires"`
	Card     json.RawMessage `json:"card"`
}

func newCardOutput(data []byte, c *core.Card) cardOutput {
	p := c.Params()
	return cardOutput{
		Verified: true, DID: string(p.DID), Node: string(p.Node), Network: p.Network, Seq: int64(p.Seq), CID: core.CardCID(data),
		Status: string(p.Status), Expires: p.Expires.String(), Card: document(data),
	}
}

func (a *app) cardVerifyCommand() *cobra.Command {
	var network, at string
	var newerThan int64
	c := &cobra.Command{
		Use: "verify FILE", Short: "Check a card: proofs, signature, time; needs no node",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			data, err := a.readBounded(args[0], maxCardFile)
			if err != nil {
				return err
			}
			now := time.Now()
			if at != "" {
				if now, err = time.Parse(time.RFC3339, at); err != nil {
					return usagef("--at wants a time like 2026-01-02T15:04:05Z: %v", err)
				}
			}
			return a.verifyCard(data, network, now, newerThan)
		},
	}
	c.Flags().StringVar(&network, "network", "", "network that it must be of (default: the one it names)")
	c.Flags().StringVar(&at, "at", "", "the time at which it must hold (default: now)")
	c.Flags().Int64Var(&newerThan, "newer-than", 0, "refuse a card whose seq is not above this one")
	return c
}

func (a *app) verifyCard(data []byte, network string, now time.Time, newerThan int64) error {
	card, err := core.ParseCard(data)
	if err != nil {
		return err
	}
	if network == "" {
		network = card.Params().Network
	}
	if card, err = core.VerifyCard(data, network, now); err != nil {
		return err
	}
	if seq := int64(card.Params().Seq); newerThan > 0 && seq <= newerThan {
		return fmt.Errorf("the card's seq is %d, not above %d: %w", seq, newerThan, core.ErrConflict)
	}
	return a.print(newCardOutput(data, card), func(w io.Writer) error {
		if _, err := fmt.Fprintln(w, a.style().Good("the card holds")); err != nil {
			return err
		}
		return writeCard(w, card)
	})
}

// writeCard shows a card to people.
func writeCard(w io.Writer, c *core.Card) error {
	p := c.Params()
	var t term.Table
	t.Row("agent", fmt.Sprintf("%s %s (%s)", c.Name, c.Version, p.DID.Short()))
	t.Row("about", c.Description)
	t.Row("did", p.DID)
	t.Row("node", p.Node)
	t.Row("network", fmt.Sprintf("%s, region %s", p.Network, p.Region))
	t.Row("seq", fmt.Sprintf("%d, %s, until %s", p.Seq, p.Status, p.Expires))
	for _, s := range c.Skills {
		t.Row("skill", fmt.Sprintf("%s: %s [%s]", s.ID, s.Description, strings.Join(s.Tags, " ")))
	}
	for _, o := range p.Offers {
		t.Row("offer", fmt.Sprintf("%s for %d micros of %s per %d %s", o.Skill, o.Price.PriceMicros, o.Price.Currency, o.Price.PerUnits, o.Price.Unit))
	}
	return t.Write(w)
}

func (a *app) cardShowCommand() *cobra.Command {
	var raw bool
	c := &cobra.Command{
		Use: "show [NAME|DID|FILE]", Short: "Show the cards that this node publishes, one of them, or a file",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				data, err := a.readBounded(args[0], maxCardFile)
				if err == nil {
					return a.showCard(data, raw)
				}
				if !errors.Is(err, core.ErrNotFound) {
					return err
				}
			}
			return a.with(func(n *client.Client) error {
				resp, err := n.Card.List(c.Context(), connect.NewRequest(&nodev1.CardListRequest{}))
				if err != nil {
					return err
				}
				if len(args) == 0 {
					return a.listCards(resp.Msg)
				}
				for _, e := range resp.Msg.GetCards() {
					if e.GetName() == args[0] || e.GetDid() == args[0] {
						return a.showCard(e.GetCard(), raw)
					}
				}
				return fmt.Errorf("this node publishes no agent %q; try: zerostate card resolve DID: %w", args[0], core.ErrNotFound)
			})
		},
	}
	c.Flags().BoolVar(&raw, "raw", false, "write the signed card itself, byte for byte")
	return c
}

func (a *app) showCard(data []byte, raw bool) error {
	if raw {
		a.printed = true
		_, err := a.stdout.Write(data)
		return err
	}
	card, err := core.ParseCard(data)
	if err != nil {
		return err
	}
	out := newCardOutput(data, card)
	_, err = core.VerifyCard(data, out.Network, time.Now())
	out.Verified = err == nil
	return a.print(out, func(w io.Writer) error {
		if err != nil {
			a.note("it does not hold: %v", err)
		}
		return writeCard(w, card)
	})
}

func (a *app) listCards(r *nodev1.CardListResponse) error {
	return a.printMessage(r, func(w io.Writer) error {
		var t term.Table
		for _, e := range r.GetCards() {
			t.Row(e.GetName(), e.GetDid(), e.GetStatus(), e.GetSeq())
		}
		if len(r.GetCards()) == 0 {
			a.note("this node publishes no card; add an agent block to its configuration, or: zerostate card publish NAME --from DIR")
		}
		return t.Write(w)
	})
}
