package sdk

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

// Serve runs a plugin's process: it is all that main does. It returns when the
// host has ended the plugin, and exits with 1 when no host started it. Nothing
// may be written to standard output before.
func (k Kind[T]) Serve(p Plugin[T]) {
	log := hclog.New(&hclog.LoggerOptions{
		Name: p.Name, Level: hclog.Info, Output: os.Stderr, JSONFormat: true, // the host keeps level and fields
	})
	inst := newInstance(k, p, log, time.Now)
	inst.tracer = &exporter{}
	if os.Getenv(EnvWatchStdin) == "1" {
		go watchHost(os.Stdin, inst.close, os.Exit)
	}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: handshake(),
		Plugins:         plugin.PluginSet{pluginName: &served[T]{inst: inst}},
		Logger:          log.Named("transport"),
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(slices.Concat(opts, serverOptions(inst, log), hostCredentials())...)
		},
	})
	if err := inst.close(); err != nil {
		log.Error("close", "error", err)
	}
}

// watchHost ends the process when the host has gone: the host holds the other
// end of the pipe and never writes to it. Whatever the plugin has acknowledged
// is durable, so it has two seconds to close and no more.
func watchHost(stdin io.Reader, closeState func() error, exit func(int)) {
	if _, err := io.Copy(io.Discard, stdin); err != nil && !errors.Is(err, os.ErrClosed) {
		exit(1)
		return
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = closeState() // nobody is left to be told
	}()
	select {
	case <-closed:
	case <-time.After(2 * time.Second):
	}
	exit(0)
}

// serverOptions are those of the plugin's side.
func serverOptions(g gate, log hclog.Logger) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(MaxMessageBytes), grpc.MaxSendMsgSize(MaxMessageBytes),
		grpc.InitialWindowSize(1 << 20), grpc.InitialConnWindowSize(4 << 20),
		grpc.StatsHandler(serverTelemetry()),
		grpc.ChainUnaryInterceptor(serverUnary(g, log)),
		grpc.ChainStreamInterceptor(serverStream(g, log)),
	}
}

// dialOptions are those of the host's side.
func dialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessageBytes), grpc.MaxCallSendMsgSize(MaxMessageBytes)),
		grpc.WithInitialWindowSize(1 << 20), grpc.WithInitialConnWindowSize(4 << 20),
		grpc.WithStatsHandler(clientTelemetry()),
		grpc.WithChainUnaryInterceptor(clientUnary),
		grpc.WithChainStreamInterceptor(clientStream),
	}
}

// served is go-plugin's view of a plugin's side.
type served[T any] struct {
	plugin.NetRPCUnsupportedPlugin
	inst *instance[T]
}

// GRPCServer registers the services.
func (s *served[T]) GRPCServer(_ *plugin.GRPCBroker, server *grpc.Server) error {
	s.inst.register(server)
	return nil
}

// GRPCClient is not for this side.
func (s *served[T]) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("a plugin does not open itself")
}
