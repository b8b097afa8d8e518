package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/zerostate/zerostate/host/internal/peerpb"
)

// telemetry is the node's traces and metrics. A trace goes on across plugins
// (the SDK's gRPC handlers) and nodes (the traceparent of a frame).
type telemetry struct {
	tracer   trace.Tracer
	traces   *sdktrace.TracerProvider
	meters   *sdkmetric.MeterProvider
	registry *prometheus.Registry
	log      hclog.Logger
	steps    metric.Float64Histogram
	tasks    metric.Int64Counter
}

const scope = "github.com/zerostate/zerostate/host"

func (n *Node) startTelemetry(ctx context.Context, deps Deps) error {
	c := n.cfg.Telemetry
	res := resource.NewSchemaless(
		attribute.String("service.name", "zerostate"), attribute.String("service.instance.id", n.cfg.Node.Name),
		attribute.String("service.version", deps.Version), attribute.String("zerostate.node", string(n.DID())),
	)
	opts := []sdktrace.TracerProviderOption{
		sdktrace.WithResource(res), sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(c.SampleRatio))),
	}
	if c.OTLPEndpoint != "" {
		eopts := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(c.OTLPEndpoint)}
		if c.OTLPInsecure {
			eopts = append(eopts, otlptracegrpc.WithInsecure())
		}
		exporter, err := otlptracegrpc.New(ctx, eopts...)
		if err != nil {
			return fmt.Errorf("otlp exporter %s: %w", c.OTLPEndpoint, err)
		}
		opts = append(opts, sdktrace.WithBatcher(exporter, sdktrace.WithBatchTimeout(500*time.Millisecond)))
	}
	t := &telemetry{registry: prometheus.NewRegistry(), log: n.log}
	t.traces = sdktrace.NewTracerProvider(opts...)
	t.tracer = t.traces.Tracer(scope)
	reader, err := otelprom.New(otelprom.WithRegisterer(t.registry), otelprom.WithoutScopeInfo(), otelprom.WithoutTargetInfo())
	if err != nil {
		return fmt.Errorf("prometheus exporter: %w", err)
	}
	t.meters = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader), sdkmetric.WithResource(res))
	meter := t.meters.Meter(scope)
	if t.steps, err = meter.Float64Histogram("zerostate_step_seconds",
		metric.WithDescription("How long each step of the pipeline took."),
		metric.WithExplicitBucketBoundaries(.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10)); err != nil {
		return fmt.Errorf("metric: %w", err)
	}
	if t.tasks, err = meter.Int64Counter("zerostate_tasks", metric.WithDescription("Tasks that ended, by side and outcome.")); err != nil {
		return fmt.Errorf("metric: %w", err)
	}
	n.tel = t
	// The SDK's gRPC handlers and the libraries take the global providers.
	otel.SetTracerProvider(t.traces)
	otel.SetMeterProvider(t.meters)
	otel.SetTextMapPropagator(propagation.TraceContext{})
	return n.gauges(meter)
}

// gauges are what is counted when it is asked for.
func (n *Node) gauges(meter metric.Meter) error {
	peers, err1 := meter.Int64ObservableGauge("zerostate_peers", metric.WithDescription("Connected peers."))
	guilds, err2 := meter.Int64ObservableGauge("zerostate_guilds", metric.WithDescription("Guilds that live."))
	restarts, err3 := meter.Int64ObservableGauge("zerostate_plugin_restarts", metric.WithDescription("Restarts of each plugin since the node started."))
	if err := errors.Join(err1, err2, err3); err != nil {
		return fmt.Errorf("metric: %w", err)
	}
	_, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		if n.net == nil || n.plugins == nil || n.ctx.Err() != nil {
			return nil //nolint:nilerr // a node that is closing has nothing to count
		}
		o.ObserveInt64(peers, int64(len(n.net.Peers())))
		o.ObserveInt64(guilds, int64(len(n.guilds.list())))
		for _, p := range n.plugins.Status() {
			o.ObserveInt64(restarts, int64(p.Restarts), metric.WithAttributes(attribute.String("kind", p.Kind), attribute.String("name", p.Name)))
		}
		return nil
	}, peers, guilds, restarts)
	if err != nil {
		return fmt.Errorf("metric: %w", err)
	}
	return nil
}

// span is one step of a trace.
type span struct{ trace.Span }

// start begins zerostate.<step>; the caller ends it.
func (t *telemetry) start(ctx context.Context, step string) (context.Context, span) {
	ctx, s := t.tracer.Start(ctx, "zerostate."+step) //nolint:spancheck // the caller ends it
	return ctx, span{s}                              //nolint:spancheck // the caller ends it
}

// end closes the span with its error.
func (s span) end(err error) {
	if err != nil {
		s.RecordError(err)
		s.SetStatus(codes.Error, err.Error())
	}
	s.End()
}

// set notes pairs of key and value.
func (s span) set(pairs ...string) {
	for i := 0; i+1 < len(pairs); i += 2 {
		s.SetAttributes(attribute.String("zerostate."+pairs[i], pairs[i+1]))
	}
}

func (s span) traceID() string { return s.SpanContext().TraceID().String() }

// observeStep counts a step in the histogram; the trace of ctx is its exemplar.
func (t *telemetry) observeStep(ctx context.Context, step string, took time.Duration, err error) {
	t.steps.Record(ctx, took.Seconds(), metric.WithAttributes(attribute.String("step", step), attribute.Bool("ok", err == nil)))
}

func (t *telemetry) countTask(side, outcome string) {
	t.tasks.Add(context.Background(), 1, metric.WithAttributes(attribute.String("side", side), attribute.String("outcome", outcome)))
}

// injectTrace writes the trace of ctx into a frame.
func injectTrace(ctx context.Context, f *peerpb.Frame) *peerpb.Frame {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	f.Traceparent = carrier["traceparent"]
	return f
}

// extractTrace continues the trace of a frame.
func extractTrace(ctx context.Context, f *peerpb.Frame) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": f.GetTraceparent()})
}

// close sends what is left.
func (t *telemetry) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if err := t.traces.Shutdown(ctx); err != nil {
		t.log.Debug("traces not flushed", "error", err) // the collector is gone: not this node's failure
	}
	return t.meters.Shutdown(ctx)
}

// logger is the node's log with the trace of ctx, so that a line, a span and an
// exemplar of one task find each other.
func (n *Node) logger(ctx context.Context) hclog.Logger {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.HasTraceID() {
		return n.log
	}
	return n.log.With("trace_id", sc.TraceID().String())
}
