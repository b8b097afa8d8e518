package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/zerostate/zerostate/cmd/zerostate/internal/client"
	"github.com/zerostate/zerostate/core"
)

// Exit codes. 110 to 117 are the classes of core's errors; below 100 `task run`
// passes on what the guest exited with.
const (
	exitOK          = 0
	exitOther       = 1
	exitUsage       = 2
	exitMaxGuest    = 99
	exitInvalid     = 110
	exitNotFound    = 111
	exitDenied      = 112 // or does not verify
	exitConflict    = 113
	exitDeadline    = 114
	exitExhausted   = 115
	exitUnavailable = 116
	exitUnsupported = 117
)

// exitClass is one row of the table of exit codes.
type exitClass struct {
	err  error
	code int
	name string // in JSON
}

var exitClasses = []exitClass{
	{core.ErrInvalid, exitInvalid, "invalid"},
	{core.ErrNotFound, exitNotFound, "not_found"},
	{core.ErrDenied, exitDenied, "denied"},
	{core.ErrConflict, exitConflict, "conflict"},
	{core.ErrExists, exitConflict, "conflict"},
	{context.DeadlineExceeded, exitDeadline, "deadline"},
	{core.ErrExhausted, exitExhausted, "exhausted"},
	{core.ErrUnavailable, exitUnavailable, "unavailable"},
	{core.ErrUnsupported, exitUnsupported, "unsupported"},
}

// usageError is a command line that can not be meant.
type usageError struct{ text string }

// Error says what is wrong with the command line.
func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// statusError ends the process with a code, without another word: what there was
// to say has been printed.
type statusError struct{ code int }

// Error names the code.
func (e *statusError) Error() string { return fmt.Sprintf("exit status %d", e.code) }

// exitCode is the code of an error. One that came before any command's own code
// ran is a mistake on the command line.
func (a *app) exitCode(err error) int {
	var status *statusError
	var usage *usageError
	switch {
	case errors.As(err, &status):
		return status.code
	case errors.As(err, &usage), !a.started:
		return exitUsage
	}
	if c := classOf(err); c != nil {
		return c.code
	}
	return exitOther
}

func classOf(err error) *exitClass {
	s := client.Sentinel(err)
	if s == nil {
		return nil
	}
	i := slices.IndexFunc(exitClasses, func(c exitClass) bool { return errors.Is(s, c.err) })
	if i < 0 {
		return nil
	}
	return &exitClasses[i]
}

// codeName is the word for an error in JSON.
func codeName(err error, code int) string {
	if code == exitUsage {
		return "usage"
	}
	if c := classOf(err); c != nil {
		return c.name
	}
	return "other"
}

// guestExit is the exit code of a task whose guest ended with this outcome.
func guestExit(outcome core.Outcome, code int64) int {
	switch outcome {
	case core.OutcomeOK:
		return exitOK
	case core.OutcomeExit:
		return int(min(max(code, 1), exitMaxGuest))
	case core.OutcomeTimeout:
		return exitDeadline
	case core.OutcomeLimit:
		return exitExhausted
	case core.OutcomeRefused:
		return exitDenied
	case core.OutcomeInput:
		return exitInvalid
	case core.OutcomeLost, core.OutcomeExpired:
		return exitUnavailable
	default: // trap, cancelled
		return exitOther
	}
}
