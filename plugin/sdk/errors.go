package sdk

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk/internal/pluginpb/pluginpb"
)

// ErrorDomain is the domain of the ErrorInfo that our errors carry.
const ErrorDomain = "zerostate.dev"

// errorRow is one line of the table that carries core's errors across the
// process boundary.
type errorRow struct {
	err    error
	code   codes.Code
	reason string // empty: the code says it all
}

// errorTable is the only place where core errors and gRPC codes meet. The
// order decides for an error that is two things at once.
var errorTable = [...]errorRow{
	{core.ErrInvalid, codes.InvalidArgument, "INVALID"},
	{core.ErrNotFound, codes.NotFound, "NOT_FOUND"},
	{core.ErrExists, codes.AlreadyExists, "EXISTS"},
	{core.ErrDenied, codes.PermissionDenied, "DENIED"},
	{core.ErrConflict, codes.FailedPrecondition, "CONFLICT"},
	{core.ErrExhausted, codes.ResourceExhausted, "EXHAUSTED"},
	{core.ErrUnavailable, codes.Unavailable, "UNAVAILABLE"},
	{core.ErrUnsupported, codes.Unimplemented, "UNSUPPORTED"},
	{context.DeadlineExceeded, codes.DeadlineExceeded, ""},
	{context.Canceled, codes.Canceled, ""},
}

// toStatus turns an error of an implementation into what crosses the wire.
func toStatus(err error) error {
	if err == nil {
		return nil
	}
	for _, row := range errorTable {
		if errors.Is(err, row.err) {
			return rowStatus(row, err).Err()
		}
	}
	return status.New(codes.Unknown, cleanText(err.Error())).Err()
}

func rowStatus(row errorRow, err error) *status.Status {
	st := status.New(row.code, cleanText(err.Error()))
	details := errorDetails(row, err)
	if len(details) == 0 {
		return st
	}
	detailed, detailErr := st.WithDetails(details...)
	if detailErr != nil { // only an OK status or a message that can not be marshalled
		return st
	}
	return detailed
}

// cleanText makes s a valid protobuf string.
func cleanText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func errorDetails(row errorRow, err error) []protoadapt.MessageV1 {
	var details []protoadapt.MessageV1
	if row.reason != "" {
		details = append(details, &errdetails.ErrorInfo{Reason: row.reason, Domain: ErrorDomain})
	}
	if fields := fieldErrors(err); len(fields) > 0 {
		bad := &errdetails.BadRequest{}
		for _, f := range fields {
			bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{
				Field: cleanText(f.Path), Description: cleanText(f.Problem),
			})
		}
		details = append(details, bad)
	}
	if retry, ok := errors.AsType[*core.RetryError](err); ok {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(retry.After)})
	}
	if pending, ok := errors.AsType[*core.PendingError](err); ok {
		details = append(details, &pluginpb.PendingDetail{Key: cleanText(pending.Key), Document: pending.Document})
	}
	return details
}

func fieldErrors(err error) core.FieldErrors {
	if many, ok := errors.AsType[core.FieldErrors](err); ok {
		return many
	}
	if one, ok := errors.AsType[core.FieldError](err); ok {
		return core.FieldErrors{one}
	}
	return nil
}

// remoteError is an error that crossed the boundary: the text of the other
// side with the identity of ours.
type remoteError struct {
	text string
	errs []error
}

func (e *remoteError) Error() string   { return e.text }
func (e *remoteError) Unwrap() []error { return e.errs }

// fromStatus turns what came over the wire back. ctx is that of the call: a
// Canceled status while it is alive means that the other side went away.
func fromStatus(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	st, ok := status.FromError(err)
	if !ok {
		return err
	}
	if st.Code() == codes.Canceled || st.Code() == codes.DeadlineExceeded {
		return endedError(ctx, st)
	}
	for _, row := range errorTable {
		if row.code == st.Code() {
			return &remoteError{text: statusText(st, row), errs: identities(row, st)}
		}
	}
	return &remoteError{text: st.Message()}
}

// endedError tells a call that we ended from a plugin that went away.
func endedError(ctx context.Context, st *status.Status) error {
	if ctxErr := ctx.Err(); ctxErr != nil {
		return fmt.Errorf("%w", ctxErr)
	}
	if st.Code() == codes.Canceled {
		return &remoteError{text: "plugin went away: " + st.Message(), errs: []error{core.ErrUnavailable}}
	}
	return &remoteError{text: st.Message(), errs: []error{context.DeadlineExceeded}}
}

func statusText(st *status.Status, row errorRow) string {
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == ErrorDomain {
			return st.Message()
		}
	}
	return row.err.Error() + ": " + st.Message() // gRPC's own words, or a plugin without details
}

// identities lists what errors.Is and errors.As shall find.
func identities(row errorRow, st *status.Status) []error {
	errs := []error{row.err}
	for _, detail := range st.Details() {
		switch d := detail.(type) {
		case *errdetails.BadRequest:
			var fields core.FieldErrors
			for _, v := range d.GetFieldViolations() {
				fields.Add(v.GetField(), v.GetDescription())
			}
			errs = append(errs, fields)
		case *errdetails.RetryInfo:
			errs = append(errs, &core.RetryError{Err: row.err, After: d.GetRetryDelay().AsDuration()})
		case *pluginpb.PendingDetail:
			errs = append(errs, &core.PendingError{Key: d.GetKey(), Document: d.GetDocument()})
		}
	}
	return errs
}
