package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/zerostate/zerostate/core"
)

// mapSlice converts a slice element by element; nil stays nil.
func mapSlice[A, B any](in []A, convert func(A) B) []B {
	if in == nil {
		return nil
	}
	out := make([]B, len(in))
	for i, a := range in {
		out[i] = convert(a)
	}
	return out
}

// received yields what recv gives until the other side has ended the stream.
// When ctx has ended, the error is ctx's.
func received[M any](ctx context.Context, recv func() (M, error)) iter.Seq2[M, error] {
	return func(yield func(M, error) bool) {
		for {
			m, err := recv()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(m, streamError(ctx, err))
				return
			}
			if !yield(m, nil) {
				return
			}
		}
	}
}

// streamError returns ctx's error where it explains err.
func streamError(ctx context.Context, err error) error {
	if ctxErr := ctx.Err(); ctxErr != nil {
		return ctxErr
	}
	return err
}

// duration is durationpb.New; zero is absent.
func duration(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

// timeToPB spells a time as documents do; zero is empty.
func timeToPB(t core.Time) string {
	if t == 0 {
		return ""
	}
	return t.String()
}

// timeFromPB reads what timeToPB wrote.
func timeFromPB(path, s string) (core.Time, error) {
	if s == "" {
		return 0, nil
	}
	t, err := core.ParseTime(s)
	if err != nil {
		return 0, core.FieldError{Path: path, Problem: err.Error()}
	}
	return t, nil
}

// checkTexts refuses what a protobuf string can not carry.
func checkTexts(texts []string) error {
	var bad core.FieldErrors
	for i, text := range texts {
		if !utf8.ValidString(text) {
			bad.Add(fmt.Sprintf("texts[%d]", i), "not valid UTF-8")
		}
	}
	return bad.Err()
}

// ignoreEOF drops the io.EOF by which a send says that the other side has
// ended the stream: its answer says why.
func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// withSendError returns err, which ended a sequence, and sendErr where there
// was one besides.
func withSendError(err, sendErr error) error {
	if ignoreEOF(sendErr) == nil {
		return err
	}
	return errors.Join(err, sendErr)
}
