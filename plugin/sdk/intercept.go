package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
)

// ourServices is the prefix of the methods that the contract defines; go-plugin
// serves others (health, stdio, broker, controller) on the same connection.
const ourServices = "/zerostate."

// gate counts the calls of a kind; see instance.
type gate interface {
	enter(method string) error
	leave(method string, panicked bool)
}

// serverUnary recovers panics, counts calls and translates errors.
func serverUnary(g gate, log hclog.Logger) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if !strings.HasPrefix(info.FullMethod, ourServices) {
			return handler(ctx, req)
		}
		var resp any
		err := guarded(g, log, info.FullMethod, func() (err error) {
			resp, err = handler(hclog.WithContext(ctx, log), req)
			return err
		})
		return resp, toStatus(err)
	}
}

// serverStream is serverUnary for streams.
func serverStream(g gate, log hclog.Logger) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		if !strings.HasPrefix(info.FullMethod, ourServices) {
			return handler(srv, ss)
		}
		return toStatus(guarded(g, log, info.FullMethod, func() error {
			return handler(srv, &loggedStream{ServerStream: ss, ctx: hclog.WithContext(ss.Context(), log)})
		}))
	}
}

// loggedStream is a stream whose context carries the plugin's logger. The
// context lives in a struct because grpc.ServerStream hands it out so.
type loggedStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *loggedStream) Context() context.Context { return s.ctx }

// guarded runs one call: a panic becomes an error and is reported with its stack.
func guarded(g gate, log hclog.Logger, method string, call func() error) (err error) {
	if err := g.enter(method); err != nil {
		return err
	}
	panicked := true
	defer func() {
		if panicked {
			cause := recover()
			log.Error("call panicked", "method", method, "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
			err = fmt.Errorf("plugin panicked in %s: %v", method, cause)
		}
		g.leave(method, panicked)
	}()
	err = call()
	panicked = false
	return err
}

// clientUnary translates the errors of unary calls.
func clientUnary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	err := invoke(ctx, method, req, reply, cc, opts...)
	if !strings.HasPrefix(method, ourServices) {
		return err
	}
	return fromStatus(ctx, err)
}

// clientStream translates the errors of streams.
func clientStream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := open(ctx, desc, cc, method, opts...)
	if !strings.HasPrefix(method, ourServices) {
		return stream, err
	}
	if err != nil {
		return nil, fromStatus(ctx, err)
	}
	return &translatedStream{ClientStream: stream}, nil
}

type translatedStream struct{ grpc.ClientStream }

func (s *translatedStream) SendMsg(m any) error { return s.translate(s.ClientStream.SendMsg(m)) }
func (s *translatedStream) RecvMsg(m any) error { return s.translate(s.ClientStream.RecvMsg(m)) }

func (s *translatedStream) translate(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return fromStatus(s.Context(), err)
}
