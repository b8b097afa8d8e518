package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host"
)

// firstConfig is what a new home starts with. %q is its directory.
const firstConfig = `# This node. "zerostate config show" lists every setting with its value and where
# that comes from; "zerostate config schema" says what each means.

node {
  name   = "local"
  roles  = ["edge", "relay", "index", "bootstrap"]
  region = "local"
  home   = %q
}

# One word swaps an implementation; "zerostate plugin list" shows what runs.
use {
  index      = "hnsw"
  embedder   = "local"
  router     = "qlearn"
  executor   = "wasm"
  payment    = "mock"
  reputation = "ledger"
}

# To join a network, name its id and an address of one of its nodes.
network {
  id        = "zerostate-local"
  bootstrap = []
}

# Amounts are micros: 1000000 is one unit of the currency.
policy {
  max_charge         = 1000000
  max_charge_per_day = 100000000
  deposit            = 10000000
}

# To sell, add a block for each agent:
#
# agent "markdown" {
#   card     = "agents/markdown/card.yaml"
#   manifest = "agents/markdown/task.yaml"
# }
`

type initOutput struct {
	Home    string `json:"home"`
	Config  string `json:"config"`
	DID     string `json:"did"`
	Created bool   `json:"created"` // false where the configuration was there already
}

func (a *app) initCommand() *cobra.Command {
	return &cobra.Command{
		Use: "init", Short: "Make a home: its directory, the node's key and a first configuration",
		Example: "  zerostate init --home ~/my-node",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return a.initHome() },
	}
}

func (a *app) initHome() error {
	home, err := a.homeDir()
	if err != nil {
		return err
	}
	did, err := host.InitHome(home)
	if err != nil {
		return err
	}
	out := initOutput{Home: home, DID: string(did)}
	found, err := a.configFiles()
	if err != nil {
		return err
	}
	if len(found) > 0 {
		out.Config = found[0]
	} else {
		out.Config, out.Created = filepath.Join(home, "config.hcl"), true
		if err := writeNew(out.Config, fmt.Appendf(nil, firstConfig, home), 0o600); err != nil {
			return err
		}
	}
	return a.print(out, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "node    %s\nhome    %s\nconfig  %s\n\nnext: zerostate up --home %s\n", did.Short(), out.Home, out.Config, out.Home)
		return err
	})
}

// writeNew writes a file that must not exist yet.
func writeNew(path string, data []byte, perm os.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm) //nolint:gosec // the operator names the path
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already: %w", path, core.ErrExists)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
