package host

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/zerostate/zerostate/host/internal/config"
)

// BenchmarkFind finds one of twelve agents on a network of six nodes on the
// loopback interface, with fakes as plugins: cold resolves every hit in the DHT
// again, warm takes what was confirmed in the last seconds.
func BenchmarkFind(b *testing.B) {
	w := newWorld(b)
	w.start(w.config("index", config.RoleIndex, config.RoleBootstrap))
	cfg := w.config("provider", config.RoleEdge)
	cfg.Agent = map[string]config.Agent{}
	for i := range 12 {
		name := fmt.Sprintf("agent-%d", i)
		cfg.Agent[name] = config.Agent{Card: agentFiles(b, name, "turns a text into upper case", 2)}
	}
	w.start(cfg)
	for i := range 3 {
		w.start(w.config(fmt.Sprintf("other-%d", i), config.RoleEdge))
	}
	caller := w.start(w.config("caller", config.RoleEdge))
	eventually(b, "every card is indexed", func() bool {
		f, err := caller.Find(b.Context(), FindQuery{Text: "upper case", K: 20})
		return err == nil && len(f.Hits) == 12
	})
	for _, cold := range []bool{true, false} {
		b.Run(map[bool]string{true: "cold", false: "warm"}[cold], func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				if _, err := caller.Find(b.Context(), FindQuery{Text: "upper case", NoCache: cold}); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
		})
	}
}
