package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/client"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/term"
	"github.com/zerostate/zerostate/core"
)

func (a *app) channelCommand() *cobra.Command {
	return group("channel", "Open, list, show, update, close and dispute payment channels",
		a.channelOpenCommand(), a.channelListCommand(), a.channelShowCommand(),
		a.channelDo("update", "Bring both sides to the same state and settle what receipts allow",
			func(ctx context.Context, n *client.Client, id string) (*nodev1.Channel, error) {
				resp, err := n.Channel.Update(ctx, connect.NewRequest(&nodev1.ChannelUpdateRequest{Channel: id}))
				if err != nil {
					return nil, err
				}
				return resp.Msg.GetChannel(), nil
			}),
		a.channelDo("close", "Close a channel with the other side: the last state is paid out",
			func(ctx context.Context, n *client.Client, id string) (*nodev1.Channel, error) {
				resp, err := n.Channel.Close(ctx, connect.NewRequest(&nodev1.ChannelCloseRequest{Channel: id}))
				if err != nil {
					return nil, err
				}
				return resp.Msg.GetChannel(), nil
			}),
		a.channelDo("dispute", "File our last state and receipts with the settlement backend, without the other side",
			func(ctx context.Context, n *client.Client, id string) (*nodev1.Channel, error) {
				resp, err := n.Channel.Dispute(ctx, connect.NewRequest(&nodev1.ChannelDisputeRequest{Channel: id}))
				if err != nil {
					return nil, err
				}
				return resp.Msg.GetChannel(), nil
			}))
}

// channelDo is a command that does one thing to a channel and shows it.
func (a *app) channelDo(use, text string, do func(context.Context, *client.Client, string) (*nodev1.Channel, error)) *cobra.Command {
	return &cobra.Command{
		Use: use + " CHANNEL", Short: text, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(func(n *client.Client) error {
				ch, err := findChannel(c.Context(), n, args[0])
				if err != nil {
					return err
				}
				if ch, err = do(c.Context(), n, ch.GetChannel()); err != nil {
					return err
				}
				return a.showChannel(ch)
			})
		},
	}
}

// findChannel finds a channel by its id or a unique prefix.
func findChannel(ctx context.Context, n *client.Client, prefix string) (*nodev1.Channel, error) {
	resp, err := n.Channel.List(ctx, connect.NewRequest(&nodev1.ChannelListRequest{}))
	if err != nil {
		return nil, err
	}
	var found []*nodev1.Channel
	for _, ch := range resp.Msg.GetChannels() {
		if strings.HasPrefix(ch.GetChannel(), prefix) {
			found = append(found, ch)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("no channel %s; see: zerostate channel list: %w", prefix, core.ErrNotFound)
	case 1:
		return found[0], nil
	default:
		return nil, fmt.Errorf("%d channels start with %s; give more of the id: %w", len(found), prefix, core.ErrInvalid)
	}
}

func (a *app) channelOpenCommand() *cobra.Command {
	req := &nodev1.ChannelOpenRequest{}
	c := &cobra.Command{
		Use: "open NODE", Short: "Open a channel to a node, by its did, and put a deposit into escrow",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			req.Peer = args[0]
			if _, err := core.ParseDID(req.GetPeer()); err != nil {
				return err
			}
			return a.with(func(n *client.Client) error {
				resp, err := n.Channel.Open(c.Context(), connect.NewRequest(req))
				if err != nil {
					return err
				}
				return a.showChannel(resp.Msg.GetChannel())
			})
		},
	}
	c.Flags().Int64Var(&req.DepositMicros, "deposit", 0, "deposit in micros (default: the policy's)")
	c.Flags().StringVar(&req.Currency, "currency", "", "currency (default: the policy's)")
	return c
}

func (a *app) channelListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the channels of this node", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(func(n *client.Client) error {
				resp, err := n.Channel.List(c.Context(), connect.NewRequest(&nodev1.ChannelListRequest{}))
				if err != nil {
					return err
				}
				return a.printMessage(resp.Msg, func(w io.Writer) error {
					var t term.Table
					for _, ch := range resp.Msg.GetChannels() {
						t.Row(short(ch.GetChannel()), ch.GetRole(), short(ch.GetPeer()), channelState(ch),
							fmt.Sprintf("payer %s, payee %s, locked %s of %s %s", term.Micros(ch.GetPayerMicros()), term.Micros(ch.GetPayeeMicros()),
								term.Micros(ch.GetLockedMicros()), term.Micros(ch.GetDepositMicros()), ch.GetCurrency()))
					}
					if len(resp.Msg.GetChannels()) == 0 {
						a.note("no channel yet: the first task with a node opens one")
					}
					return t.Write(w)
				})
			})
		},
	}
}

func (a *app) channelShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show CHANNEL", Short: "Show a channel, by its id or a unique prefix", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(func(n *client.Client) error {
				ch, err := findChannel(c.Context(), n, args[0])
				if err != nil {
					return err
				}
				return a.showChannel(ch)
			})
		},
	}
}

func channelState(ch *nodev1.Channel) string {
	switch {
	case ch.GetClosed():
		return "closed"
	case ch.GetDisputed():
		return "disputed"
	case ch.GetFinal():
		return "final"
	default:
		return "open"
	}
}

func (a *app) showChannel(ch *nodev1.Channel) error {
	return a.printMessage(ch, func(w io.Writer) error {
		var t term.Table
		t.Row("channel", ch.GetChannel())
		t.Row("state", fmt.Sprintf("%s, version %d", channelState(ch), ch.GetVersion()))
		t.Row("we are", fmt.Sprintf("the %s, with %s, over %s", ch.GetRole(), short(ch.GetPeer()), ch.GetBackend()))
		t.Row("deposit", term.Micros(ch.GetDepositMicros())+" "+ch.GetCurrency())
		t.Row("payer", term.Micros(ch.GetPayerMicros()))
		t.Row("payee", term.Micros(ch.GetPayeeMicros()))
		t.Row("locked", fmt.Sprintf("%s in %d locks", term.Micros(ch.GetLockedMicros()), ch.GetLocks()))
		return t.Write(w)
	})
}
