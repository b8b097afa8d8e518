package p2p

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/peerpb"
)

const maxReasonBytes = 256

type wireSentinel struct {
	name string
	err  error
}

// wireSentinels is the one table of errors between nodes.
func wireSentinels() []wireSentinel {
	return []wireSentinel{
		{"INVALID", core.ErrInvalid},
		{"NOT_FOUND", core.ErrNotFound},
		{"EXISTS", core.ErrExists},
		{"DENIED", core.ErrDenied},
		{"CONFLICT", core.ErrConflict},
		{"EXHAUSTED", core.ErrExhausted},
		{"UNAVAILABLE", core.ErrUnavailable},
		{"UNSUPPORTED", core.ErrUnsupported},
		{"DEADLINE", context.DeadlineExceeded},
		{"CANCELED", context.Canceled},
	}
}

// ReasonError is an error whose Reason a peer may read. Any other error crosses
// as its sentinel alone, so that no path or payload leaves the node.
type ReasonError struct {
	Err    error
	Reason string
}

// Error returns the reason and the error.
func (e *ReasonError) Error() string { return e.Reason + ": " + e.Err.Error() }

// Unwrap returns the error.
func (e *ReasonError) Unwrap() error { return e.Err }

// EncodeError turns an error into what a peer is told.
func EncodeError(err error) *peerpb.Error {
	e := &peerpb.Error{Sentinel: "UNAVAILABLE"}
	for _, w := range wireSentinels() {
		if errors.Is(err, w.err) {
			e.Sentinel = w.name
			break
		}
	}
	if field, ok := errors.AsType[core.FieldError](err); ok {
		e.Reason = clip(field.Error())
	}
	if reason, ok := errors.AsType[*ReasonError](err); ok {
		e.Reason = clip(reason.Reason)
	}
	if retry, ok := errors.AsType[*core.RetryError](err); ok {
		e.RetryAfterMs = retry.After.Milliseconds()
	}
	return e
}

// DecodeError turns what a peer said into an error that wraps its sentinel. An
// unknown sentinel is core.ErrUnavailable; a peer's deadline is not ours, so it
// is that, too.
func DecodeError(e *peerpb.Error) error {
	sentinel := core.ErrUnavailable
	for _, w := range wireSentinels() {
		if w.name == e.GetSentinel() && w.name != "DEADLINE" && w.name != "CANCELED" {
			sentinel = w.err
		}
	}
	if e.GetRetryAfterMs() > 0 {
		after := time.Duration(min(e.GetRetryAfterMs(), 3600_000)) * time.Millisecond
		sentinel = &core.RetryError{Err: sentinel, After: after}
	}
	if reason := clip(e.GetReason()); reason != "" {
		return fmt.Errorf("%s: %w", reason, sentinel)
	}
	return sentinel
}

// clip makes text of a peer, or for one, short and printable.
func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	for len(s) > maxReasonBytes {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}
