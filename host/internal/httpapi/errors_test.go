package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/api/nodev1/nodev1connect"
	"github.com/zerostate/zerostate/core"
)

// TestErrorTable sends each error through a server and a client.
func TestErrorTable(t *testing.T) {
	var give error
	address := start(t, testConfig(t, finder{find: func(context.Context, *nodev1.FindRequest) (*nodev1.FindResponse, error) {
		return nil, give
	}})).Address()
	client := nodev1connect.NewFindServiceClient(http.DefaultClient, "http://"+address)
	for _, tt := range []struct {
		err    error
		code   connect.Code
		reason string
	}{
		{core.ErrInvalid, connect.CodeInvalidArgument, "INVALID"},
		{core.ErrNotFound, connect.CodeNotFound, "NOT_FOUND"},
		{core.ErrExists, connect.CodeAlreadyExists, "EXISTS"},
		{core.ErrDenied, connect.CodePermissionDenied, "DENIED"},
		{core.ErrConflict, connect.CodeFailedPrecondition, "CONFLICT"},
		{core.ErrExhausted, connect.CodeResourceExhausted, "EXHAUSTED"},
		{core.ErrUnavailable, connect.CodeUnavailable, "UNAVAILABLE"},
		{core.ErrUnsupported, connect.CodeUnimplemented, "UNSUPPORTED"},
		{context.DeadlineExceeded, connect.CodeDeadlineExceeded, ""},
		{context.Canceled, connect.CodeCanceled, ""},
		{errors.New("something else"), connect.CodeUnknown, ""},
		{connect.NewError(connect.CodeAborted, errors.New("own")), connect.CodeAborted, ""},
	} {
		t.Run(tt.err.Error(), func(t *testing.T) {
			give = fmt.Errorf("open channel /home/me: %w", tt.err)
			if tt.code == connect.CodeAborted {
				give = tt.err
			}
			_, err := client.Find(t.Context(), connect.NewRequest(&nodev1.FindRequest{}))
			var got *connect.Error
			if !errors.As(err, &got) || got.Code() != tt.code {
				t.Fatalf("got %v, want %v", err, tt.code)
			}
			if tt.code != connect.CodeAborted && got.Message() != give.Error() {
				t.Errorf("got message %q, want %q", got.Message(), give.Error())
			}
			if reason := detail[*errdetails.ErrorInfo](t, got).GetReason(); reason != tt.reason {
				t.Errorf("got reason %q, want %q", reason, tt.reason)
			}
		})
	}
}

// detail is the detail of a type that an error carries, or nil.
func detail[T any](t *testing.T, err *connect.Error) T {
	t.Helper()
	var none T
	for _, d := range err.Details() {
		v, verr := d.Value()
		if verr != nil {
			t.Fatal(verr)
		}
		if m, ok := v.(T); ok {
			return m
		}
	}
	return none
}

func TestErrorDetails(t *testing.T) {
	as := func(err error) *connect.Error {
		var out *connect.Error
		if !errors.As(ConnectError(err), &out) {
			t.Fatalf("%v is no connect error", err)
		}
		return out
	}
	retry := as(fmt.Errorf("run: %w", &core.RetryError{Err: core.ErrExhausted, After: 3 * time.Second}))
	if got := detail[*errdetails.RetryInfo](t, retry).GetRetryDelay().AsDuration(); retry.Code() != connect.CodeResourceExhausted || got != 3*time.Second {
		t.Errorf("got %v after %v, want resource exhausted after 3s", retry.Code(), got)
	}
	for name, err := range map[string]error{
		"many": core.FieldErrors{{Path: "k", Problem: "too big"}}, "one": core.FieldError{Path: "k", Problem: "too big"},
		"pointer": &core.FieldError{Path: "k", Problem: "too big"},
	} {
		bad := detail[*errdetails.BadRequest](t, as(fmt.Errorf("find: %w", err))).GetFieldViolations()
		if len(bad) != 1 || bad[0].GetField() != "k" || bad[0].GetDescription() != "too big" {
			t.Errorf("%s: got %v, want the field", name, bad)
		}
	}
	broken := as(core.FieldError{Path: "\xff", Problem: "not UTF-8"})
	if info := detail[*errdetails.ErrorInfo](t, broken); info.GetReason() != "INVALID" {
		t.Errorf("got %v, want the reason beside a field that can not be sent", info)
	}
	if ConnectError(nil) != nil {
		t.Error("got an error for none")
	}
	if err := Recovered("boom"); connect.CodeOf(err) != connect.CodeUnknown {
		t.Errorf("got %v, want unknown", err)
	}
}

func TestStreamErrorsGoThroughTheTable(t *testing.T) {
	address := start(t, testConfig(t, finder{})).Address()
	client := nodev1connect.NewTaskServiceClient(http.DefaultClient, "http://"+address)
	req := connect.NewRequest(&nodev1.RunRequest{})
	req.Header().Set("Authorization", "Bearer "+testToken)
	stream, err := client.Run(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if stream.Receive() || connect.CodeOf(stream.Err()) != connect.CodeResourceExhausted {
		t.Errorf("got %v, want resource exhausted", stream.Err())
	}
}

// TestInterceptorLeavesClientsAlone: on the client's side an error is not ours.
func TestInterceptorLeavesClientsAlone(t *testing.T) {
	address := start(t, testConfig(t, finder{})).Address()
	client := nodev1connect.NewNodeServiceClient(http.DefaultClient, "http://"+address, connect.WithInterceptors(Interceptor()))
	if _, err := client.Status(t.Context(), connect.NewRequest(&nodev1.StatusRequest{})); connect.CodeOf(err) != connect.CodeUnauthenticated {
		t.Errorf("got %v, want unauthenticated", err)
	}
	tasks := nodev1connect.NewTaskServiceClient(http.DefaultClient, "http://"+address, connect.WithInterceptors(Interceptor()))
	stream, err := tasks.Run(t.Context(), connect.NewRequest(&nodev1.RunRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if stream.Receive() || connect.CodeOf(stream.Err()) != connect.CodeUnauthenticated {
		t.Errorf("got %v, want unauthenticated", stream.Err())
	}
}
