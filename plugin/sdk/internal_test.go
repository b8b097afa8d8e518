package sdk

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk/internal/pluginpb/executorpb"
)

func chunkStream(chunks ...*executorpb.Chunk) func() (*executorpb.Chunk, error) {
	return func() (*executorpb.Chunk, error) {
		if len(chunks) == 0 {
			return nil, io.EOF
		}
		chunk := chunks[0]
		chunks = chunks[1:]
		return chunk, nil
	}
}

func TestDownloads(t *testing.T) {
	d := newDownloads(2, chunkStream(
		&executorpb.Chunk{Content: 0, Data: []byte("mod")}, &executorpb.Chunk{Content: 0, Data: []byte("ule"), Last: true},
		&executorpb.Chunk{Content: 1, Data: []byte("input")}, &executorpb.Chunk{Content: 1, Last: true},
	))
	// Out of order: what comes first is kept.
	second, err := io.ReadAll(d.reader(1))
	if err != nil || string(second) != "input" {
		t.Errorf("second: got %q, %v", second, err)
	}
	first, err := io.ReadAll(d.reader(0))
	if err != nil || string(first) != "module" {
		t.Errorf("first: got %q, %v", first, err)
	}
	if n, err := d.reader(0).Read(nil); n != 0 || err != nil {
		t.Errorf("read of nothing: got %d, %v", n, err)
	}
	for name, recv := range map[string]func() (*executorpb.Chunk, error){
		"not announced": chunkStream(&executorpb.Chunk{Content: 7}),
		"after its end": chunkStream(&executorpb.Chunk{Content: 1, Last: true}, &executorpb.Chunk{Content: 1}),
		"negative":      chunkStream(&executorpb.Chunk{Content: -1}),
	} {
		if _, err := io.ReadAll(newDownloads(2, recv).reader(0)); !errors.Is(err, core.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
	if _, err := io.ReadAll(newDownloads(1, chunkStream()).reader(0)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut off: got %v, want ErrUnexpectedEOF", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	recv := chunksOf(ctx, func() (*executorpb.RunRequest, error) { return nil, errors.New("transport") })
	if _, err := recv(); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: got %v, want Canceled", err)
	}
}

func TestWatchHost(t *testing.T) {
	closed := false
	code := -1
	watchHost(strings.NewReader(""), func() error { closed = true; return nil }, func(c int) { code = c })
	if !closed || code != 0 {
		t.Errorf("end of the pipe: got closed %t, exit %d, want true, 0", closed, code)
	}
	watchHost(brokenReader{}, func() error { return nil }, func(c int) { code = c })
	if code != 1 {
		t.Errorf("broken pipe: got exit %d, want 1", code)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

func TestPeerCredentials(t *testing.T) {
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s")) //nolint:noctx // a listener of a test
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	conn, err := net.Dial("unix", listener.Addr().String()) //nolint:noctx // as above
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	try := func(conn net.Conn, pid int) error {
		c := peerCredentials{pid: func() int { return pid }}
		_, info, err := c.Clone().ClientHandshake(t.Context(), "", conn)
		if err == nil && info.AuthType() != c.Info().SecurityProtocol {
			t.Errorf("auth type: got %s", info.AuthType())
		}
		_, _, other := c.ServerHandshake(conn)
		if (err == nil) != (other == nil) {
			t.Errorf("sides differ: %v, %v", err, other)
		}
		return errors.Join(err, c.OverrideServerName(""))
	}
	if err := try(conn, os.Getpid()); err != nil {
		t.Errorf("ourselves: %v", err)
	}
	if err := try(conn, 1); !errors.Is(err, core.ErrDenied) {
		t.Errorf("another process: got %v, want ErrDenied", err)
	}
	if err := try(conn, 0); err != nil {
		t.Errorf("nobody in particular: %v", err)
	}
	pipe, _ := net.Pipe()
	if err := try(pipe, 1); err != nil {
		t.Errorf("not a unix socket: %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if err := try(conn, 1); err == nil {
		t.Error("closed socket: no error")
	}
	t.Setenv(EnvHostPID, "")
	if got := hostCredentials(); got != nil {
		t.Errorf("no host named: got %v", got)
	}
	t.Setenv(EnvHostPID, "12")
	if got := hostCredentials(); len(got) != 1 {
		t.Errorf("host named: got %v", got)
	}
}

type echo struct{}

func (echo) Embed(context.Context, core.EmbedRequest) (core.Embeddings, error) {
	return core.Embeddings{}, nil
}

// One trace crosses the boundary; the plugin's address is in no metric.
func TestTelemetry(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	reader := metric.NewManualReader()
	oldTracer, oldMeter := otel.GetTracerProvider(), otel.GetMeterProvider()
	otel.SetTracerProvider(provider)
	otel.SetMeterProvider(metric.NewMeterProvider(metric.WithReader(reader)))
	defer otel.SetTracerProvider(oldTracer)
	defer otel.SetMeterProvider(oldMeter)
	c, err := Embedder.Builtin(t.Context(), Plugin[core.Embedder]{
		Name: "echo", New: func(context.Context, Env) (core.Embedder, error) { return echo{}, nil },
	}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Base().Configure(t.Context(), Configuration{}); err != nil {
		t.Fatal(err)
	}
	ctx, root := provider.Tracer("test").Start(t.Context(), "root")
	if _, err := c.Impl().Embed(ctx, core.EmbedRequest{}); err != nil {
		t.Fatal(err)
	}
	root.End()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	// The server's span may end a moment after its answer has arrived.
	for deadline := time.Now().Add(10 * time.Second); len(spans.GetSpans()) < 3 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	names := map[string]int{}
	for _, s := range spans.GetSpans() {
		names[s.Name]++
		if s.SpanContext.TraceID() != root.SpanContext().TraceID() {
			t.Errorf("span %s is of another trace", s.Name)
		}
	}
	if names["zerostate.embedder.v1.EmbedderService/Embed"] != 2 || len(names) != 2 {
		t.Errorf("spans: got %v, want the call on both sides and the root", names)
	}
	var metrics metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &metrics); err != nil {
		t.Fatal(err)
	}
	text := bytes.Buffer{}
	for _, scope := range metrics.ScopeMetrics {
		for _, m := range scope.Metrics {
			text.WriteString(m.Name + " ")
			if h, ok := m.Data.(metricdata.Histogram[float64]); ok {
				for _, p := range h.DataPoints {
					text.WriteString(p.Attributes.Encoded(attribute.DefaultEncoder()) + "\n")
				}
			}
		}
	}
	if !strings.Contains(text.String(), "rpc.client") || strings.Contains(text.String(), "server.address") {
		t.Errorf("metrics: got %s, want those of the client, without server.address", text.String())
	}
}
