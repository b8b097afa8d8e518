package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// firstCard and firstTask are what `card init` writes; they parse as they are.
const (
	firstCard = `name: %s
description: What this agent does, in one sentence that a caller would search for.
version: 0.1.0
skills:
  - id: %s
    name: What it can do
    description: One or two sentences. Find compares a caller's words with these and with the examples.
    tags: [text]
    examples:
      - do this with my document
offers:
  - {skill: %s, manifest: task.yaml}
`
	firstTask = `apiVersion: zerostate.dev/v1alpha1
kind: Task
metadata: {name: %s}
spec:
  module: {uri: "file:agent.wasm", abi: wasi_snapshot_preview1}
  inputs:
    - {name: doc, mount: /in/doc}
  outputs:
    - {name: result, path: /out/result, maxBytes: 8MiB}
  limits: {memory: 64MiB, wallTimeout: 10s, outputBytes: 8MiB, outputFiles: 1}
  settlement: {currency: TEST, unit: byte, priceMicros: 1, perUnits: 100}
`
)

type cardInitOutput struct {
	Dir   string   `json:"dir"`
	Files []string `json:"files"`
}

func (a *app) cardInitCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use: "init NAME", Short: "Write a first card.yaml and task.yaml for an agent",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if dir == "" {
				dir = args[0]
			}
			return a.initCard(args[0], dir)
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "where to write them (default ./NAME)")
	return c
}

func (a *app) initCard(name, dir string) error {
	id := strings.Trim(strings.ToLower(strings.Map(func(r rune) rune {
		if (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z') || (r >= '0' && r <= '9') {
			return r
		}
		return '-'
	}, name)), "-")
	if id == "" {
		return usagef("%q: a name wants letters or digits", name)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	out := cardInitOutput{Dir: dir}
	for file, text := range map[string]string{"card.yaml": fmt.Sprintf(firstCard, id, id, id), "task.yaml": fmt.Sprintf(firstTask, id)} {
		if err := writeNew(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			return err
		}
	}
	out.Files = []string{filepath.Join(dir, "card.yaml"), filepath.Join(dir, "task.yaml")}
	return a.print(out, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "wrote %s\nnext: put agent.wasm beside them, then: zerostate card publish %s --from %s\n", strings.Join(out.Files, " and "), id, dir)
		return err
	})
}
