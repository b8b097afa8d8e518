package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zerostate/zerostate/cmd/zerostate/internal/term"
	"github.com/zerostate/zerostate/host"
)

func (a *app) configCommand() *cobra.Command {
	return group("config", "Check, show and describe the configuration; needs no node",
		a.configCheckCommand(), a.configShowCommand(), a.configSchemaCommand())
}

type configCheckOutput struct {
	OK    bool     `json:"ok"`
	Files []string `json:"files"`
}

// withFiles takes configuration files as arguments too.
func (a *app) withFiles(args []string) {
	a.configs = append(a.configs, args...)
}

func (a *app) configCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use: "check [FILE...]", Short: "Check configuration files: every problem with file:line:column",
		Example: "  zerostate config check configs/laptop.hcl",
		RunE: func(_ *cobra.Command, args []string) error {
			a.withFiles(args)
			files, err := a.configFiles()
			if err != nil {
				return err
			}
			if _, err := a.loadConfig(nil); err != nil {
				return err
			}
			out := configCheckOutput{OK: true, Files: append([]string{}, files...)}
			return a.print(out, func(w io.Writer) error {
				what := strings.Join(files, ", ")
				if what == "" {
					what = "the defaults (no configuration file)"
				}
				_, err := fmt.Fprintln(w, term.Escape(what)+": ok")
				return err
			})
		},
	}
}

type configShowOutput struct {
	Settings []configSetting `json:"settings"`
}

type configSetting struct {
	Path   string `json:"path"`
	Value  any    `json:"value"`
	Origin string `json:"origin"`
}

func (a *app) configShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show [FILE...]", Short: "Show every setting, its value and where that comes from",
		RunE: func(_ *cobra.Command, args []string) error {
			a.withFiles(args)
			cfg, err := a.loadConfig(nil)
			if err != nil {
				return err
			}
			return a.showConfig(cfg)
		},
	}
}

func (a *app) showConfig(cfg *host.Config) error {
	out := configShowOutput{}
	var t term.Table
	for _, v := range cfg.Values() {
		out.Settings = append(out.Settings, configSetting{v.Path, v.Value, v.Origin})
		t.Row(v.Path, fmt.Sprint(v.Value), v.Origin)
	}
	return a.print(out, t.Write)
}

func (a *app) configSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of the configuration, for editors",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			schema, err := host.ConfigSchema()
			if err != nil {
				return err
			}
			return a.printSchema(schema)
		},
	}
}

// printSchema prints a JSON Schema, which is one JSON object with --json and without.
func (a *app) printSchema(schema []byte) error {
	return a.print(json.RawMessage(schema), func(w io.Writer) error {
		_, err := w.Write(schema)
		return err
	})
}
