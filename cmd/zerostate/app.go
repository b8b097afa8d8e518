package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zerostate/zerostate/cmd/zerostate/internal/client"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/term"
	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host"
)

// app is what every command shares: streams and the flags that stand everywhere.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string

	home    string   // --home
	configs []string // --config, the first the base, later ones over it
	json    bool     // --json

	started bool // a command's own code runs: errors are no longer of usage
	printed bool // the one JSON object of --json is out
}

// run runs one command line and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.newRoot()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if !a.started { // the flags of a command line that can not be meant may not have been read
		a.json = a.json || slices.Contains(args, "--json")
	}
	return a.report(root, err)
}

// report says what went wrong: as text on stderr, and with --json as an object
// on stdout too, where none is there yet.
func (a *app) report(root *cobra.Command, err error) int {
	code := a.exitCode(err)
	if quiet := (*statusError)(nil); errors.As(err, &quiet) {
		return code
	}
	text := client.Message(err)
	if code == exitUsage {
		text += "\nRun '" + root.CommandPath() + " --help' for what there is."
	}
	_, _ = fmt.Fprintln(a.stderr, "zerostate: "+term.EscapeLines(text)) // stderr gone: nobody to tell
	if a.json && !a.printed {
		if printErr := a.printJSON(errorOutput{Error: errorBody{Code: codeName(err, code), Message: text}}); printErr != nil {
			return exitOther
		}
	}
	return code
}

// errorOutput is what --json prints for a command that failed.
type errorOutput struct {
	Error errorBody `json:"error"`
}

type errorBody struct {
	Code    string `json:"code"` // usage, invalid, not_found, denied, conflict, deadline, exhausted, unavailable, unsupported, other
	Message string `json:"message"`
}

// print writes v as the one JSON object with --json, and lets text write it for
// people without.
func (a *app) print(v any, text func(w io.Writer) error) error {
	if a.json {
		return a.printJSON(v)
	}
	return text(a.stdout)
}

func (a *app) printJSON(v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode output: %w", err)
	}
	a.printed = true
	_, err = a.stdout.Write(append(data, '\n'))
	return err
}

// note tells a person something on stderr.
func (a *app) note(format string, args ...any) {
	_, _ = fmt.Fprintln(a.stderr, term.EscapeLines(fmt.Sprintf(format, args...))) // stderr gone: nobody to tell
}

// style colours stdout where it is a terminal that wants colours.
func (a *app) style() term.Style { return term.Style(term.IsTerminal(a.stdout, a.getenv)) }

// homeDir is --home, $ZEROSTATE_HOME, or ~/.zerostate.
func (a *app) homeDir() (string, error) {
	home := a.home
	if home == "" {
		home = a.getenv("ZEROSTATE_HOME")
	}
	if home == "" {
		home = "~/.zerostate"
	}
	if rest, ok := strings.CutPrefix(home, "~"); ok && (rest == "" || rest[0] == '/') {
		user, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find the home directory: %w", err)
		}
		home = user + rest
	}
	return filepath.Abs(home)
}

// configFiles are those of --config, else the one of the home, else none.
func (a *app) configFiles() ([]string, error) {
	if len(a.configs) > 0 {
		return a.configs, nil
	}
	home, err := a.homeDir()
	if err != nil {
		return nil, err
	}
	var found []string
	for _, name := range []string{"config.hcl", "config.yaml", "config.yml"} {
		path := filepath.Join(home, name)
		if _, err := os.Stat(path); err == nil {
			found = append(found, path)
		} else if !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("look for a configuration: %w", err)
		}
	}
	if len(found) > 1 {
		return nil, fmt.Errorf("%s: keep one of them, or name one with --config: %w", strings.Join(found, " and "), core.ErrConflict)
	}
	return found, nil
}

// loadConfig reads the configuration that a node of this command line has.
func (a *app) loadConfig(set map[string]string) (*host.Config, error) {
	files, err := a.configFiles()
	if err != nil {
		return nil, err
	}
	overrides := map[string]string{}
	maps.Copy(overrides, set)
	if a.home != "" || a.getenv("ZEROSTATE_HOME") != "" || len(a.configs) == 0 {
		if overrides["node.home"], err = a.homeDir(); err != nil {
			return nil, err
		}
	}
	return host.LoadConfig(files, overrides)
}

// node dials the running node of this command line.
func (a *app) node() (*client.Client, error) {
	home, err := a.homeDir()
	if err != nil {
		return nil, err
	}
	files, err := a.configFiles()
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return client.Dial(home, "")
	}
	cfg, err := a.loadConfig(nil)
	if err != nil {
		return nil, err
	}
	return client.Dial(cfg.Node.Home, cfg.API.Socket)
}

// with dials the node, calls f and hangs up.
func (a *app) with(f func(c *client.Client) error) error {
	c, err := a.node()
	if err != nil {
		return err
	}
	defer c.Close()
	return f(c)
}
