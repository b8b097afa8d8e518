package sdk

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc/stats"
)

// telemetry returns the options of both sides' stats handlers: spans and
// durations of our calls only (health, stdio, broker and controller of
// go-plugin stay out, and so does our own endless health stream), with the
// W3C trace context carried over.
func telemetry() []otelgrpc.Option {
	return []otelgrpc.Option{
		otelgrpc.WithFilter(func(info *stats.RPCTagInfo) bool {
			return strings.HasPrefix(info.FullMethodName, ourServices) &&
				!strings.HasPrefix(info.FullMethodName, ourServices+"plugin.v1.")
		}),
		otelgrpc.WithPropagators(propagation.TraceContext{}),
	}
}

// clientTelemetry is the host's stats handler. It hides the address of the
// plugin, which is a socket path that changes with every start: as an attribute
// of a metric it would make a new series each time.
func clientTelemetry() stats.Handler {
	return addressless{otelgrpc.NewClientHandler(telemetry()...)}
}

func serverTelemetry() stats.Handler { return otelgrpc.NewServerHandler(telemetry()...) }

type addressless struct{ stats.Handler }

func (h addressless) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if header, ok := s.(*stats.OutHeader); ok {
		plain := *header
		plain.RemoteAddr, plain.LocalAddr = nil, nil
		s = &plain
	}
	h.Handler.HandleRPC(ctx, s)
}

// exporter sends the spans of a plugin's process to the endpoint that the host
// names. It exists in processes only: a builtin's spans are the host's.
type exporter struct {
	mu       sync.Mutex
	provider *sdktrace.TracerProvider
}

// start begins to export to endpoint, an address of an OTLP gRPC receiver.
func (e *exporter) start(ctx context.Context, endpoint, name, version string) error {
	option := otlptracegrpc.WithEndpoint(endpoint)
	if strings.Contains(endpoint, "://") {
		option = otlptracegrpc.WithEndpointURL(endpoint)
	}
	spans, err := otlptracegrpc.New(ctx, option, otlptracegrpc.WithInsecure())
	if err != nil {
		return fmt.Errorf("send spans to %s: %w", endpoint, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.provider = sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(spans),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "zerostate-plugin-"+name), attribute.String("service.version", version),
		)),
	)
	otel.SetTracerProvider(e.provider)
	return nil
}

// stop sends what is left, for two seconds at most. A receiver that is gone is
// not a reason to fail a shutdown.
func (e *exporter) stop() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.provider == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	err := e.provider.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}
