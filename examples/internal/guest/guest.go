// Package guest is what every example agent shares: where a task's files are,
// how large one may be, and how a program says what it did or what was wrong.
// Start at Main.
package guest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// The exit codes of an agent that could not do its work.
const (
	ExitTrouble  = 1 // a file could not be read or written
	ExitBadInput = 2 // the content of an input is not what the agent takes
)

// Job is the work of an agent: it reads inputs, writes outputs, and answers one
// line for people.
type Job func(f Files) (summary string, err error)

// Files is where a task's files are: inputs under In, outputs under Out. Each
// has the name that the manifest gives it.
type Files struct{ In, Out string }

// inputError is a complaint about an input's content.
type inputError struct{ err error }

func (e inputError) Error() string { return e.err.Error() }
func (e inputError) Unwrap() error { return e.err }

// BadInput says that the input called name is not what the agent takes: the
// program ends with ExitBadInput. nil stays nil.
func BadInput(name string, err error) error {
	if err == nil {
		return nil
	}
	return inputError{fmt.Errorf("input %s: %w", name, err)}
}

// Main runs the job on the files of the task and ends the process: 0 after the
// summary on standard output, otherwise ExitTrouble or ExitBadInput after one
// line on standard error.
func Main(job Job) {
	os.Exit(run(job, Files{In: "/in", Out: "/out"}, os.Stdout, os.Stderr))
}

func run(job Job, files Files, stdout, stderr io.Writer) int {
	summary, err := job(files)
	if err == nil {
		_, err = fmt.Fprintln(stdout, summary)
	}
	if err == nil {
		return 0
	}
	if _, printErr := fmt.Fprintln(stderr, "error:", err); printErr != nil {
		return ExitTrouble
	}
	if errors.As(err, &inputError{}) {
		return ExitBadInput
	}
	return ExitTrouble
}

// Read answers the content of an input, at most limit bytes; a longer one is a
// bad input, and so is an empty one.
func (f Files) Read(name string, limit int64) ([]byte, error) {
	file, err := os.Open(filepath.Join(f.In, filepath.Base(name)))
	if err != nil {
		return nil, fmt.Errorf("input %s: %w", name, err)
	}
	defer func() { _ = file.Close() }() // opened to read only
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("input %s: %w", name, err)
	case int64(len(data)) > limit:
		return nil, BadInput(name, fmt.Errorf("more than %d bytes", limit))
	case len(data) == 0:
		return nil, BadInput(name, errors.New("is empty"))
	}
	return data, nil
}

// Write writes an output.
func (f Files) Write(name string, data []byte) error {
	if err := os.WriteFile(filepath.Join(f.Out, filepath.Base(name)), data, 0o600); err != nil {
		return fmt.Errorf("output %s: %w", name, err)
	}
	return nil
}
