package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/client"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/term"
	"github.com/zerostate/zerostate/core"
)

func (a *app) guildCommand() *cobra.Command {
	list := &cobra.Command{
		Use: "list", Short: "List the guilds this node is a member of", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(func(n *client.Client) error { return a.guilds(c.Context(), n, "") })
		},
	}
	show := &cobra.Command{
		Use: "show GUILD", Short: "Show one guild, by its id or a unique prefix", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(func(n *client.Client) error { return a.guilds(c.Context(), n, args[0]) })
		},
	}
	dissolve := &cobra.Command{
		Use: "dissolve GUILD", Short: "Dissolve a guild: its keys are wiped, what it runs is cancelled", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(func(n *client.Client) error {
				resp, err := n.Guild.Dissolve(c.Context(), connect.NewRequest(&nodev1.GuildDissolveRequest{Guild: args[0]}))
				if err != nil {
					return err
				}
				return a.printMessage(resp.Msg, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "dissolved %s\n", term.Escape(args[0]))
					return err
				})
			})
		},
	}
	return group("guild", "List, show and dissolve guilds", list, show, dissolve)
}

// guilds lists the guilds, or shows the one whose id starts with prefix.
func (a *app) guilds(ctx context.Context, n *client.Client, prefix string) error {
	resp, err := n.Guild.List(ctx, connect.NewRequest(&nodev1.GuildListRequest{}))
	if err != nil {
		return err
	}
	var t term.Table
	var found []*nodev1.GuildListResponse_Guild
	for _, g := range resp.Msg.GetGuilds() {
		if strings.HasPrefix(g.GetId(), prefix) {
			found = append(found, g)
			t.Row(short(g.GetId()), g.GetState(), g.GetRole(), short(g.GetPeer()), "task "+short(g.GetTask()),
				"until "+time.UnixMilli(g.GetExpiresUnixMs()).Format(time.TimeOnly))
		}
	}
	if prefix == "" {
		return a.printMessage(resp.Msg, func(w io.Writer) error {
			if len(found) == 0 {
				a.note("no guild: one lives only as long as its task")
			}
			return t.Write(w)
		})
	}
	switch len(found) {
	case 0:
		return fmt.Errorf("no guild %s: %w", prefix, core.ErrNotFound)
	case 1:
		return a.printMessage(found[0], t.Write)
	default:
		return fmt.Errorf("%d guilds start with %s; give more of the id: %w", len(found), prefix, core.ErrInvalid)
	}
}
