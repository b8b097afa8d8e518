package client

import (
	"context"
	"errors"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/zerostate/zerostate/core"
)

// byReason and byCode are the table of core/errors.go as it crosses the API: the
// reason of an ErrorInfo first, else the code.
var (
	byReason = map[string]error{
		"INVALID": core.ErrInvalid, "NOT_FOUND": core.ErrNotFound, "EXISTS": core.ErrExists, "DENIED": core.ErrDenied,
		"CONFLICT": core.ErrConflict, "EXHAUSTED": core.ErrExhausted, "UNAVAILABLE": core.ErrUnavailable, "UNSUPPORTED": core.ErrUnsupported,
	}
	byCode = map[connect.Code]error{
		connect.CodeInvalidArgument: core.ErrInvalid, connect.CodeNotFound: core.ErrNotFound, connect.CodeAlreadyExists: core.ErrExists,
		connect.CodePermissionDenied: core.ErrDenied, connect.CodeUnauthenticated: core.ErrDenied,
		connect.CodeFailedPrecondition: core.ErrConflict, connect.CodeAborted: core.ErrConflict,
		connect.CodeResourceExhausted: core.ErrExhausted, connect.CodeUnavailable: core.ErrUnavailable,
		connect.CodeUnimplemented: core.ErrUnsupported, connect.CodeDeadlineExceeded: context.DeadlineExceeded,
		connect.CodeCanceled: context.Canceled,
	}
)

// sentinels is the order that decides for an error that is two things at once.
var sentinels = []error{
	core.ErrInvalid, core.ErrNotFound, core.ErrExists, core.ErrDenied, core.ErrConflict, core.ErrExhausted,
	core.ErrUnavailable, core.ErrUnsupported, context.DeadlineExceeded, context.Canceled,
}

// Sentinel returns which of core's errors, context.DeadlineExceeded or
// context.Canceled err is, over the API or not; nil for any other.
func Sentinel(err error) error {
	for _, s := range sentinels {
		if errors.Is(err, s) {
			return s
		}
	}
	var remote *connect.Error
	if !errors.As(err, &remote) {
		return nil
	}
	for _, d := range remote.Details() {
		v, err := d.Value()
		if info, ok := v.(*errdetails.ErrorInfo); err == nil && ok {
			if s := byReason[info.GetReason()]; s != nil {
				return s
			}
		}
	}
	return byCode[remote.Code()]
}

// Message is the text of err without the code that Connect puts before it.
func Message(err error) string {
	var remote *connect.Error
	if errors.As(err, &remote) && err.Error() == remote.Error() {
		return remote.Message()
	}
	return err.Error()
}
