package traces_test

import (
	"context"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/zerostate/zerostate/cmd/zerostate/internal/traces"
)

// span is a span of one trace, from second start to start+1.
func span(id, parent byte, name string, start uint64) *otlp.Span {
	s := &otlp.Span{
		TraceId: []byte{1}, SpanId: []byte{id}, Name: name,
		StartTimeUnixNano: start * 1e9, EndTimeUnixNano: (start + 1) * 1e9,
	}
	if parent != 0 {
		s.ParentSpanId = []byte{parent}
	}
	return s
}

func TestSinkKeepsSpansAsATree(t *testing.T) {
	sink, err := traces.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(sink.Endpoint(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	node := func(name string) *resource.Resource {
		return &resource.Resource{Attributes: []*common.KeyValue{{
			Key: "service.instance.id", Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: name}},
		}}}
	}
	send := func(name string, spans ...*otlp.Span) {
		t.Helper()
		_, err := collector.NewTraceServiceClient(conn).Export(t.Context(), &collector.ExportTraceServiceRequest{
			ResourceSpans: []*otlp.ResourceSpans{{Resource: node(name), ScopeSpans: []*otlp.ScopeSpans{{Spans: spans}}}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	send("worker", span(3, 2, "run", 3))
	send("caller", span(2, 1, "execute", 2), span(4, 1, "settle", 5), span(1, 0, "task", 1))

	all := func(traces.Span) bool { return true }
	found := sink.Wait(t.Context(), all, func(s []traces.Span) bool { return len(s) == 4 })
	var got []string
	for _, l := range traces.Tree(found) {
		got = append(got, string(rune('0'+l.Depth))+l.Instance+" "+l.Name)
	}
	want := []string{"0caller task", "1caller execute", "2worker run", "1caller settle"}
	if len(got) != len(want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("line %d: got %q, want %q", i, got[i], want[i])
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := sink.Wait(ctx, all, func([]traces.Span) bool { return false }); len(got) != 4 {
		t.Errorf("after its context ended: got %d spans, want 4", len(got))
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
}
