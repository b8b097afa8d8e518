package host

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

func TestOneTraceAcrossNodes(t *testing.T) {
	w, provider, caller := small(t)
	eventually(t, "the card is indexed", func() bool { return finds(t, caller, provider.cards.list()[0].signer.DID()) })
	seen := map[string]*tracetest.InMemoryExporter{}
	for name, n := range w.nodes {
		seen[name] = tracetest.NewInMemoryExporter()
		n.tel.traces.RegisterSpanProcessor(sdktrace.NewSimpleSpanProcessor(seen[name]))
	}
	r, err := caller.RunTask(t.Context(), TaskRequest{Query: "make this text upper case", Inputs: input(t, caller, "hello")}, Silence{})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.TraceID) != 32 || r.TraceID == strings.Repeat("0", 32) {
		t.Fatalf("got trace id %q", r.TraceID)
	}
	for node, spans := range map[string][]string{
		"caller":   {"task", "find", "escrow", "form", "route", "execute", "settle", "dissolve", "verify"},
		"index":    {"index.query"},
		"provider": {"serve", "guest"},
	} {
		for _, name := range spans {
			eventually(t, node+" has a span "+name+" in the task's trace", func() bool {
				for _, s := range seen[node].GetSpans() {
					if s.Name == "zerostate."+name && s.SpanContext.TraceID().String() == r.TraceID {
						return name == "task" || s.Parent.IsValid()
					}
				}
				return false
			})
		}
	}
	for name, want := range map[string]string{"caller": "settle", "provider": ""} {
		body := openMetrics(t, w.nodes[name])
		if !strings.Contains(body, `zerostate_tasks_total{`) {
			t.Errorf("%s counts no tasks:\n%.400s", name, body)
		}
		if want == "" {
			continue
		}
		line := regexp.MustCompile(`(?m)^zerostate_step_seconds_bucket\{[^}]*step="` + want + `"[^}]*\} \d+ # \{[^}]*trace_id="([0-9a-f]{32})"`).FindStringSubmatch(body)
		if len(line) != 2 || line[1] != r.TraceID {
			t.Errorf("%s: got exemplar %v of step %s, want the trace %s", name, line, want, r.TraceID)
		}
	}
}

// openMetrics is a node's /metrics in the format that has exemplars.
func openMetrics(t *testing.T, n *Node) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+n.api.Address()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
