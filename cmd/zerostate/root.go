package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// newRoot assembles the commands.
func (a *app) newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "zerostate",
		Short: "An open network in which software agents find, hire, check and pay each other",
		Long: `zerostate runs a node of an open network in which software agents find, hire,
check and pay each other.

  zerostate demo                                      the whole network, here, in a minute
  zerostate up                                        run a node
  zerostate find "turn a document into a web page"    agents by meaning
  zerostate task run --query "turn this document into a web page" --in doc=README.md --out page
  zerostate receipt verify page/receipt.json          check a receipt, with no node running`,
		Version:           version,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRun:  func(*cobra.Command, []string) { a.started = true },
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetVersionTemplate("zerostate {{.Version}}\n")
	flags := root.PersistentFlags()
	flags.StringVar(&a.home, "home", "", "directory of keys, stores and sockets (default $ZEROSTATE_HOME or ~/.zerostate)")
	flags.StringArrayVar(&a.configs, "config", nil, "configuration file, HCL or YAML; more than one are laid over each other (default <home>/config.hcl or .yaml)")
	flags.BoolVar(&a.json, "json", false, "print one JSON object on stdout and nothing else")
	root.AddCommand(
		a.initCommand(), a.upCommand(), a.statusCommand(), a.doctorCommand(),
		a.cardCommand(), a.findCommand(), a.taskCommand(), a.receiptCommand(), a.guildCommand(), a.channelCommand(),
		a.reputationCommand(), a.auditCommand(), a.routeCommand(), a.pluginCommand(), a.configCommand(),
		a.artifactCommand(), a.indexCommand(), a.testnetCommand(), a.demoCommand(), a.benchCommand(),
	)
	return root
}

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{
		Use: use, Short: short,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			c.SuggestionsMinimumDistance = 2
			text := "unknown command \"" + args[0] + "\" for \"" + c.CommandPath() + "\""
			if near := c.SuggestionsFor(args[0]); len(near) > 0 {
				text += "; did you mean " + strings.Join(near, " or ") + "?"
			}
			return &usageError{text}
		},
	}
	g.AddCommand(commands...)
	return g
}
