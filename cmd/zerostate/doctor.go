package main

import (
	"context"
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
	"github.com/zerostate/zerostate/cmd/zerostate/internal/term"
	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host"
)

type doctorOutput struct {
	OK     bool          `json:"ok"`
	Checks []doctorCheck `json:"checks"`
}

type doctorCheck struct {
	Name   string `json:"name"`
	Result string `json:"result"` // ok, warning, problem
	Detail string `json:"detail"`
	Advice string `json:"advice"`
}

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Look for what keeps a node from working, and say what to do",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.doctor(c.Context()) },
	}
}

func (a *app) doctor(ctx context.Context) error {
	out := &doctorOutput{OK: true, Checks: []doctorCheck{}}
	out.checkHome(a)
	cfg, err := a.loadConfig(nil)
	out.add("configuration", err, "zerostate config check names each problem with its line")
	if err == nil {
		out.checkBinaries(cfg)
		out.checkNode(ctx, a)
	}
	style := a.style()
	if err := a.print(out, func(w io.Writer) error {
		for _, c := range out.Checks {
			mark := map[string]string{"ok": style.Good("ok     "), "warning": style.Bold("warning"), "problem": style.Bad("problem")}[c.Result]
			line := fmt.Sprintf("%s  %s: %s", mark, c.Name, term.Escape(c.Detail))
			if c.Advice != "" {
				line += "\n         " + term.Escape(c.Advice)
			}
			if _, err := fmt.Fprintln(w, line); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	if !out.OK {
		return &statusError{exitOther}
	}
	return nil
}

// add notes a check; advice only where it failed.
func (o *doctorOutput) add(name string, err error, advice string) {
	c := doctorCheck{Name: name, Result: "ok", Detail: "fine"}
	if err != nil {
		o.OK = false
		c.Result, c.Detail, c.Advice = "problem", err.Error(), advice
	}
	o.Checks = append(o.Checks, c)
}

func (o *doctorOutput) warn(name, detail, advice string) {
	o.Checks = append(o.Checks, doctorCheck{Name: name, Result: "warning", Detail: detail, Advice: advice})
}

func (o *doctorOutput) checkHome(a *app) {
	home, err := a.homeDir()
	if err != nil {
		o.add("home", err, "set --home")
		return
	}
	info, err := os.Stat(home)
	switch {
	case errors.Is(err, os.ErrNotExist):
		o.warn("home", home+" is not there yet", "zerostate init --home "+home+" makes it")
		return
	case err == nil && info.Mode().Perm()&0o077 != 0:
		err = fmt.Errorf("%s is open to others (%s)", home, info.Mode().Perm())
	}
	o.add("home", err, "chmod 700 "+home)
	const longest = 100 // bytes of a unix socket's path
	if path := filepath.Join(home, "node.sock"); len(path) > longest {
		o.add("socket", fmt.Errorf("%s has %d bytes, at most %d work", path, len(path), longest), "choose a shorter --home, or set api.socket")
	}
}

func (o *doctorOutput) checkBinaries(cfg *host.Config) {
	for _, kind := range core.Kinds() {
		name, block := cfg.Used(kind)
		if name == "" || strings.HasPrefix(block.Path, "builtin:") {
			continue
		}
		_, err := host.LocatePlugin(cfg, kind, name)
		o.add("plugin "+string(kind)+" "+name, err, "make build puts the plugins beside the zerostate binary")
	}
}

// checkNode asks the running node, where there is one.
func (o *doctorOutput) checkNode(ctx context.Context, a *app) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	n, err := a.node()
	if err != nil {
		o.warn("node", err.Error(), "")
		return
	}
	defer n.Close()
	status, err := n.Node.Status(ctx, connect.NewRequest(&nodev1.StatusRequest{}))
	if err != nil {
		o.warn("node", err.Error(), "")
		return
	}
	var missing error
	if !status.Msg.GetReady() {
		missing = errors.New(strings.Join(status.Msg.GetNotReady(), "; "))
	}
	o.add("node", missing, "wait a moment, or look at its log")
	if status.Msg.GetDhtPeers() == 0 {
		o.warn("network", "no other node in the DHT", "set network.bootstrap to reach others")
	}
	list, err := pluginList(ctx, n)
	if err != nil {
		o.add("plugins", err, "look at the node's log")
		return
	}
	for _, p := range list.GetPlugins() {
		what := "running plugin " + p.GetKind() + " " + p.GetName()
		switch {
		case p.GetLastError() != "" && p.GetState() != "ready":
			o.add(what, errors.New(p.GetState()+": "+p.GetLastError()), "zerostate plugin status "+p.GetKind())
		case p.GetConfined() == "unconfined" && p.GetPid() > 0:
			o.warn(what, "unconfined", "a kernel with Landlock confines plugins")
		default:
			o.add(what, nil, "")
		}
	}
}
