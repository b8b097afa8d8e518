package sdk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/zerostate/zerostate/core"
)

// Every sentinel and both context errors keep their identity and their text.
func TestErrorIdentity(t *testing.T) {
	for _, row := range errorTable {
		t.Run(row.err.Error(), func(t *testing.T) {
			in := fmt.Errorf("open channel: %w", row.err)
			st := toStatus(in)
			if code := status.Code(st); code != row.code {
				t.Errorf("code: got %v, want %v", code, row.code)
			}
			out := fromStatus(t.Context(), st)
			want := row.err
			if errors.Is(row.err, context.Canceled) {
				want = core.ErrUnavailable // we have not cancelled, so the plugin went away
			} else if out.Error() != in.Error() {
				t.Errorf("text: got %q, want %q", out, in)
			}
			for _, other := range errorTable {
				if got := errors.Is(out, other.err); got != errors.Is(want, other.err) {
					t.Errorf("errors.Is(%v): got %t", other.err, got)
				}
			}
		})
	}
}

func TestErrorDetails(t *testing.T) {
	fields := core.FieldErrors{{Path: "a.b", Problem: "too small"}, {Problem: "missing"}}
	out := fromStatus(t.Context(), toStatus(fmt.Errorf("check: %w", fields)))
	var got core.FieldErrors
	if !errors.As(out, &got) || !slices.Equal(got, fields) || !errors.Is(out, core.ErrInvalid) {
		t.Errorf("fields: got %v, want %v", got, fields)
	}
	out = fromStatus(t.Context(), toStatus(fields[0]))
	if !errors.As(out, &got) || len(got) != 1 || got[0] != fields[0] {
		t.Errorf("one field: got %v, want %v", got, fields[0])
	}
	retry := &core.RetryError{Err: fmt.Errorf("queue: %w", core.ErrExhausted), After: 3 * time.Second}
	out = fromStatus(t.Context(), toStatus(retry))
	var gotRetry *core.RetryError
	if !errors.As(out, &gotRetry) || gotRetry.After != retry.After || !errors.Is(out, core.ErrExhausted) {
		t.Errorf("retry: got %v, want after 3s", out)
	}
	pending := &core.PendingError{Key: "k", Document: []byte{1, 2}}
	out = fromStatus(t.Context(), toStatus(pending))
	var gotPending *core.PendingError
	if !errors.As(out, &gotPending) || gotPending.Key != "k" || string(gotPending.Document) != "\x01\x02" || !errors.Is(out, core.ErrConflict) {
		t.Errorf("pending: got %v", out)
	}
}

func TestErrorEdges(t *testing.T) {
	if toStatus(nil) != nil || fromStatus(t.Context(), nil) != nil {
		t.Error("nil is not nil any more")
	}
	plain := errors.New("not a status")
	if got := fromStatus(t.Context(), plain); got != plain { //nolint:errorlint // the very same
		t.Errorf("plain error: got %v", got)
	}
	out := fromStatus(t.Context(), toStatus(errors.New("odd \xff bytes")))
	if out.Error() != "odd \uFFFD bytes" || errors.Is(out, core.ErrInvalid) {
		t.Errorf("unknown error: got %q", out)
	}
	bare := fromStatus(t.Context(), status.Error(codes.Unimplemented, "no such method"))
	if !errors.Is(bare, core.ErrUnsupported) || bare.Error() != "unsupported: no such method" {
		t.Errorf("status without details: got %v", bare)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := fromStatus(ctx, status.Error(codes.Canceled, "")); !errors.Is(got, context.Canceled) || errors.Is(got, core.ErrUnavailable) {
		t.Errorf("our own cancel: got %v", got)
	}
	both := fmt.Errorf("%w: %w", core.ErrUnavailable, context.DeadlineExceeded)
	if got := fromStatus(t.Context(), toStatus(both)); !errors.Is(got, core.ErrUnavailable) {
		t.Errorf("two identities: got %v, want the sentinel to win", got)
	}
}
