package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/zerostate/zerostate/cmd/zerostate/internal/client"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/term"
)

func (a *app) artifactCommand() *cobra.Command {
	return group("artifact", "Add content to the node's store, and get content by CID", a.artifactAddCommand(), a.artifactGetCommand())
}

func (a *app) artifactAddCommand() *cobra.Command {
	var public bool
	c := &cobra.Command{
		Use: "add FILE", Short: "Add a file; private unless --public",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(func(n *client.Client) error {
				in := a.stdin
				if args[0] != "-" {
					f, err := os.Open(args[0])
					if err != nil {
						return notFound(err)
					}
					defer f.Close() //nolint:errcheck // only read
					in = f
				}
				ref, err := n.Add(c.Context(), in, public)
				if err != nil {
					return err
				}
				return a.printMessage(ref, func(w io.Writer) error {
					_, err := fmt.Fprintln(w, term.Escape(ref.GetCid()))
					return err
				})
			})
		},
	}
	c.Flags().BoolVar(&public, "public", false, "announce it, and serve it to anyone who asks for its CID")
	return c
}

type artifactOutput struct {
	CID       string `json:"cid"`
	SizeBytes int64  `json:"size_bytes"`
	Path      string `json:"path"`
}

func (a *app) artifactGetCommand() *cobra.Command {
	var file string
	var force bool
	var maxBytes int64
	c := &cobra.Command{
		Use: "get CID", Short: "Get content of the node's store, or public content",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if file == "" && (a.json || term.IsTTY(a.stdout)) {
				return usagef("artifact get wants --out FILE with --json or on a terminal")
			}
			return a.with(func(n *client.Client) error {
				if file == "" {
					_, err := n.Fetch(c.Context(), args[0], maxBytes, a.stdout)
					return err
				}
				out, err := openOut(filepath.Dir(file), force)
				if err != nil {
					return err
				}
				defer out.Close() //nolint:errcheck // its file is closed and checked by write
				got := artifactOutput{CID: args[0]}
				got.Path, err = out.write(filepath.Base(file), func(w io.Writer) error {
					got.SizeBytes, err = n.Fetch(c.Context(), args[0], maxBytes, w)
					return err
				})
				if err != nil {
					return err
				}
				return a.print(got, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "%s, %s\n", got.Path, term.Size(got.SizeBytes))
					return err
				})
			})
		},
	}
	c.Flags().StringVar(&file, "out", "", "file to write (default: stdout)")
	c.Flags().BoolVar(&force, "force", false, "overwrite the file")
	c.Flags().Int64Var(&maxBytes, "max-bytes", 0, "refuse more (default: the node's bound)")
	return c
}
