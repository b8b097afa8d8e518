// Package traces collects the spans of a local network: a small OTLP collector
// over gRPC, as long as the process that asks for it lives. Start at Listen.
package traces

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// maxSpans bounds what a Sink keeps; later spans are counted and dropped.
const maxSpans = 500_000

// Span is one span of a trace.
type Span struct {
	Trace, ID, Parent string // hex; Parent is empty for a root
	Name              string
	Service           string // service.name, e.g. zerostate or zerostate-index-hnsw
	Instance          string // service.instance.id: the node's name
	Start, End        time.Time
	Failed            bool
	Attributes        map[string]string
}

// Duration is how long the span took.
func (s Span) Duration() time.Duration { return s.End.Sub(s.Start) }

// Sink keeps spans in memory.
type Sink struct {
	collector.UnimplementedTraceServiceServer

	server   *grpc.Server
	listener net.Listener
	served   chan error

	mu      sync.Mutex
	spans   []Span
	changed chan struct{} // closed and replaced when spans come
}

// Listen starts a collector on a free loopback port.
func Listen(ctx context.Context) (*Sink, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for traces: %w", err)
	}
	const maxMessage = 64 << 20
	s := &Sink{server: grpc.NewServer(grpc.MaxRecvMsgSize(maxMessage)), listener: l, served: make(chan error, 1), changed: make(chan struct{})}
	collector.RegisterTraceServiceServer(s.server, s)
	go func() { s.served <- s.server.Serve(l) }()
	return s, nil
}

// Endpoint is host:port, as telemetry.otlp_endpoint wants it.
func (s *Sink) Endpoint() string { return s.listener.Addr().String() }

// Close stops listening. What came is kept.
func (s *Sink) Close() error {
	s.server.Stop()
	return <-s.served
}

// Export takes spans; the nodes call it.
func (s *Sink) Export(_ context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rs := range req.GetResourceSpans() {
		var service, instance string
		for _, a := range rs.GetResource().GetAttributes() {
			switch a.GetKey() {
			case "service.name":
				service = a.GetValue().GetStringValue()
			case "service.instance.id":
				instance = a.GetValue().GetStringValue()
			}
		}
		for _, ss := range rs.GetScopeSpans() {
			for _, raw := range ss.GetSpans() {
				if len(s.spans) < maxSpans {
					s.spans = append(s.spans, newSpan(raw, service, instance))
				}
			}
		}
	}
	close(s.changed)
	s.changed = make(chan struct{})
	return &collector.ExportTraceServiceResponse{}, nil
}

func newSpan(raw *otlp.Span, service, instance string) Span {
	s := Span{
		Trace: hex.EncodeToString(raw.GetTraceId()), ID: hex.EncodeToString(raw.GetSpanId()), Parent: hex.EncodeToString(raw.GetParentSpanId()),
		Name: raw.GetName(), Service: service, Instance: instance, Attributes: map[string]string{},
		Start: time.Unix(0, int64(raw.GetStartTimeUnixNano())), End: time.Unix(0, int64(raw.GetEndTimeUnixNano())), //nolint:gosec // nanoseconds until 2262
		Failed: raw.GetStatus().GetCode() == otlp.Status_STATUS_CODE_ERROR,
	}
	for _, a := range raw.GetAttributes() {
		s.Attributes[a.GetKey()] = a.GetValue().GetStringValue()
	}
	return s
}

// Find returns the spans that keep says, oldest first.
func (s *Sink) Find(keep func(Span) bool) []Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(keep)
}

func (s *Sink) find(keep func(Span) bool) []Span {
	var out []Span
	for _, span := range s.spans {
		if keep(span) {
			out = append(out, span)
		}
	}
	slices.SortStableFunc(out, func(a, b Span) int { return a.Start.Compare(b.Start) })
	return out
}

// Wait returns the spans that keep says as soon as enough says so of them, or
// what there is when ctx ends.
func (s *Sink) Wait(ctx context.Context, keep func(Span) bool, enough func([]Span) bool) []Span {
	for {
		s.mu.Lock()
		found, changed := s.find(keep), s.changed
		s.mu.Unlock()
		if enough(found) {
			return found
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return found
		}
	}
}

// Line is a span in a tree.
type Line struct {
	Span
	Depth int
}

// Tree orders the spans of one trace as a tree: each under its parent, oldest
// first. A span whose parent is not among them is a root.
func Tree(spans []Span) []Line {
	known, children := map[string]bool{}, map[string][]Span{}
	for _, s := range spans {
		known[s.ID] = true
	}
	for _, s := range spans {
		parent := s.Parent
		if !known[parent] {
			parent = ""
		}
		children[parent] = append(children[parent], s)
	}
	var lines []Line
	var walk func(parent string, depth int)
	walk = func(parent string, depth int) {
		slices.SortStableFunc(children[parent], func(a, b Span) int {
			return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.ID, b.ID))
		})
		for _, s := range children[parent] {
			lines = append(lines, Line{s, depth})
			walk(s.ID, depth+1)
		}
	}
	walk("", 0)
	return lines
}

// Only returns the spans that keep says; where the parent of one is left out, it
// hangs under the nearest ancestor that is kept.
func Only(spans []Span, keep func(Span) bool) []Span {
	parents, kept := map[string]string{}, map[string]bool{}
	for _, s := range spans {
		parents[s.ID], kept[s.ID] = s.Parent, keep(s)
	}
	var out []Span
	for _, s := range spans {
		if !kept[s.ID] {
			continue
		}
		for range spans { // a loop of parents ends too
			next, known := parents[s.Parent]
			if !known || kept[s.Parent] {
				break
			}
			s.Parent = next
		}
		out = append(out, s)
	}
	return out
}
