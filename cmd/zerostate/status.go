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

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Say who the running node is and how it does",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(func(n *client.Client) error { return a.status(c.Context(), n) })
		},
	}
}

func (a *app) status(ctx context.Context, n *client.Client) error {
	resp, err := n.Node.Status(ctx, connect.NewRequest(&nodev1.StatusRequest{}))
	if err != nil {
		return err
	}
	s := resp.Msg
	return a.printMessage(s, func(w io.Writer) error {
		ready := a.style().Good("ready")
		if !s.GetReady() {
			ready = a.style().Bad("not ready: " + term.Escape(strings.Join(s.GetNotReady(), "; ")))
		}
		var t term.Table
		t.Row("node", fmt.Sprintf("%s (%s), pid %d, version %s", s.GetName(), short(s.GetDid()), s.GetPid(), s.GetVersion()))
		t.Row("network", fmt.Sprintf("%s, region %s, roles %s", s.GetNetwork(), s.GetRegion(), strings.Join(s.GetRoles(), " ")))
		t.Row("peers", fmt.Sprintf("%d connected, %d in the DHT", s.GetPeers(), s.GetDhtPeers()))
		t.Row("cards", fmt.Sprintf("%d published, %d rows indexed", s.GetCards(), s.GetIndexItems()))
		for _, addr := range s.GetAddresses() {
			t.Row("address", addr)
		}
		if s.GetApiAddress() != "" {
			t.Row("http", "http://"+s.GetApiAddress())
		}
		t.Row("home", s.GetHome())
		if _, err := fmt.Fprintln(w, ready); err != nil {
			return err
		}
		return t.Write(w)
	})
}

// short shows a did, or any long id, to people.
func short(id string) string {
	if did, err := core.ParseDID(id); err == nil {
		return did.Short()
	}
	const enough = 12
	if len(id) > enough {
		return id[:enough]
	}
	return id
}
