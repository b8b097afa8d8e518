package httpapi

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/zerostate/zerostate/core"
)

// ErrorDomain is the domain of the ErrorInfo that errors carry.
const ErrorDomain = "zerostate.dev"

// row is one line of the table between core's errors and Connect's codes.
type row struct {
	err    error
	code   connect.Code
	reason string // empty: the code says it all
}

// table holds the codes; its order decides for an error that is two things.
var table = [...]row{
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
}

// ConnectError turns an error of a handler into what crosses the API: code,
// reason, bad fields, time to wait, and the whole text, for the node's operator
// reads it. An error that is Connect's own stays as it is.
func ConnectError(err error) error {
	if err == nil {
		return nil
	}
	if own, ok := errors.AsType[*connect.Error](err); ok {
		return own
	}
	for _, r := range table {
		if errors.Is(err, r.err) {
			return detailed(connect.NewError(r.code, err), r.reason, err)
		}
	}
	return connect.NewError(connect.CodeUnknown, err)
}

func detailed(out *connect.Error, reason string, err error) error {
	var details []proto.Message
	if reason != "" {
		details = append(details, &errdetails.ErrorInfo{Reason: reason, Domain: ErrorDomain})
	}
	if fields := fieldErrors(err); len(fields) > 0 {
		bad := &errdetails.BadRequest{}
		for _, f := range fields {
			bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: f.Path, Description: f.Problem})
		}
		details = append(details, bad)
	}
	if retry, ok := errors.AsType[*core.RetryError](err); ok {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(retry.After)})
	}
	for _, m := range details {
		d, derr := connect.NewErrorDetail(m)
		if derr != nil { // a text that is not UTF-8: the code still says what it is
			continue
		}
		out.AddDetail(d)
	}
	return out
}

func fieldErrors(err error) core.FieldErrors {
	if many, ok := errors.AsType[core.FieldErrors](err); ok {
		return many
	}
	if one, ok := errors.AsType[core.FieldError](err); ok {
		return core.FieldErrors{one}
	}
	if pointer, ok := errors.AsType[*core.FieldError](err); ok {
		return core.FieldErrors{*pointer}
	}
	return nil
}

// Interceptor applies ConnectError to everything that a handler answers.
func Interceptor() connect.Interceptor { return interceptor{} }

type interceptor struct{}

func (interceptor) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		resp, err := next(ctx, req)
		if err != nil && !req.Spec().IsClient {
			return nil, ConnectError(err)
		}
		return resp, err
	}
}

func (interceptor) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

func (interceptor) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		return ConnectError(next(ctx, conn))
	}
}

// Recovered turns a handler's panic into an answer; the node goes on.
func Recovered(v any) error { return connect.NewError(connect.CodeUnknown, fmt.Errorf("panic: %v", v)) }
