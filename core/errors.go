package core

import (
	"errors"
	"strings"
	"time"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// The sentinel errors: a closed list that only grows at the end. Every error
// that a caller may want to act on wraps exactly one of them, and they keep
// their identity under errors.Is across the plugin boundary.
var (
	// ErrInvalid says that the input breaks a rule: fix it, do not retry.
	ErrInvalid = canon.ErrInvalid
	// ErrNotFound says that what was asked for is not there: widen the search.
	ErrNotFound = errors.New("not found")
	// ErrExists says that it is there already: treat it as done.
	ErrExists = errors.New("already exists")
	// ErrDenied says that an access rule, the reputation gate or a signature
	// check refused: pick another peer.
	ErrDenied = canon.ErrDenied
	// ErrConflict says that the state has moved on (a stale sequence number, a
	// closed channel, another pending change): read again, then retry.
	ErrConflict = errors.New("conflict")
	// ErrExhausted says that memory, gas, a quota or a queue is used up: back off.
	ErrExhausted = errors.New("exhausted")
	// ErrUnavailable says that a plugin or a peer is gone: fail over.
	ErrUnavailable = errors.New("unavailable")
	// ErrUnsupported says that the other side can not do this: use the fallback.
	ErrUnsupported = errors.New("unsupported")
)

// FieldError is one bad field of a document, a request or a configuration.
// It is an ErrInvalid.
type FieldError struct {
	Path    string // where, in dots: "limits.memory", "offers[2].price"
	Problem string // what is wrong, lower case, without the path
}

// Error returns "path: problem", or the problem alone where the path is empty.
func (e FieldError) Error() string {
	if e.Path == "" {
		return e.Problem
	}
	return e.Path + ": " + e.Problem
}

// Unwrap returns ErrInvalid.
func (e FieldError) Unwrap() error { return ErrInvalid }

// FieldErrors is every bad field found in one check, in the order of the
// input. It is an ErrInvalid; an empty list is not an error: see Err.
type FieldErrors []FieldError

// Error joins the problems with "; ".
func (e FieldErrors) Error() string {
	parts := make([]string, len(e))
	for i, f := range e {
		parts[i] = f.Error()
	}
	return strings.Join(parts, "; ")
}

// Unwrap returns ErrInvalid.
func (e FieldErrors) Unwrap() error { return ErrInvalid }

// Add appends one problem.
func (e *FieldErrors) Add(path, problem string) {
	*e = append(*e, FieldError{Path: path, Problem: problem})
}

// Err returns the list as an error, nil where it is empty.
func (e FieldErrors) Err() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// RetryError is a refusal that says when to ask again. Err is mostly
// ErrExhausted or ErrUnavailable, or wraps one of them.
type RetryError struct {
	Err   error
	After time.Duration // not before this much time has passed; never negative
}

// Error returns the text of Err and the time to wait.
func (e *RetryError) Error() string {
	return e.Err.Error() + " (retry after " + e.After.String() + ")"
}

// Unwrap returns Err.
func (e *RetryError) Unwrap() error { return e.Err }

// PendingError says that another change of the same channel or log is pending.
// It is an ErrConflict and carries what is needed to finish that change first.
type PendingError struct {
	Key      string // the idempotency key of the pending change
	Document []byte // its unsigned document, canonical bytes
}

// Error names the pending key.
func (e *PendingError) Error() string { return "another change is pending under key " + e.Key }

// Unwrap returns ErrConflict.
func (e *PendingError) Unwrap() error { return ErrConflict }
