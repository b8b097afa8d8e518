package qlearn

import (
	"fmt"
	"strings"
)

// SizeClass groups requests by what is to be sent.
type SizeClass string

// The size classes.
const (
	SizeAny    SizeClass = "any"    // every request, whatever its size
	SizeSmall  SizeClass = "small"  // up to 64 KiB: latency counts
	SizeMedium SizeClass = "medium" // up to 8 MiB
	SizeLarge  SizeClass = "large"  // above: throughput counts
)

// ClassOf returns the size class of a number of bytes; unknown (0) is small.
func ClassOf(bytes int64) SizeClass {
	switch {
	case bytes <= 64<<10:
		return SizeSmall
	case bytes <= 8<<20:
		return SizeMedium
	}
	return SizeLarge
}

// sla is how much a service class minds unsteadiness and price.
type sla struct{ jitter, loss, price float64 }

func slaOf(class string) sla {
	switch class {
	case "interactive":
		return sla{jitter: 4, loss: 2, price: 0.25}
	case "batch":
		return sla{jitter: 0.5, loss: 0.5, price: 4}
	}
	return sla{jitter: 2, loss: 1, price: 1}
}

// The constants of the prior, in milliseconds where not said otherwise.
const (
	unknownRTT        = 150.0 // a path nobody has measured
	relayHop          = 5.0   // one more process to pass
	regionMismatch    = 40.0
	noReputation      = 100.0 // at reputation 0, falling to 0 at 1
	bytesPerRoundTrip = 256 << 10
)

// parts is a prior cost, by feature.
type parts struct {
	rtt, jitter, loss, price, reputation, region, hop, size float64
}

func (p parts) total() float64 {
	return p.rtt + p.jitter + p.loss + p.price + p.reputation + p.region + p.hop + p.size
}

// String lists the parts that count, in milliseconds.
func (p parts) String() string {
	var b strings.Builder
	for _, f := range []struct {
		name string
		ms   float64
	}{
		{"rtt", p.rtt},
		{"jitter", p.jitter},
		{"loss", p.loss},
		{"price", p.price},
		{"reputation", p.reputation},
		{"region", p.region},
		{"relay", p.hop},
		{"size", p.size},
	} {
		if f.ms >= 0.05 {
			fmt.Fprintf(&b, " %s %.1f", f.name, f.ms)
		}
	}
	return strings.TrimSpace(b.String())
}

// prior is what a path is thought to cost from its features alone. Loss costs
// the round trips and timers of what has to be sent again, and more of them
// the more there is to send.
func (l *Learner) prior(c Candidate, r Request) parts {
	w := slaOf(r.SLA)
	p := parts{rtt: millis(c.RTT), jitter: w.jitter * millis(c.Jitter)}
	if c.RTT <= 0 {
		p.rtt = unknownRTT
	}
	loss := min(0.95, max(0, c.LossRatio))
	resend := w.loss * loss / (1 - loss)
	p.loss = resend * (p.rtt + 200)
	p.price = l.priceCost(c.PriceMicros, r.SLA)
	p.reputation = noReputation * (1 - min(1, max(0, c.Reputation)))
	if c.Path == Direct {
		p.reputation = 0 // nobody stands between
	} else {
		p.hop = relayHop
	}
	if !c.RegionMatch {
		p.region = regionMismatch
	}
	if r.SizeBytes > bytesPerRoundTrip {
		p.size = p.rtt * float64(r.SizeBytes) / bytesPerRoundTrip * (0.1 + resend)
	}
	return p
}

func (l *Learner) priceCost(micros int64, class string) float64 {
	return slaOf(class).price * l.cfg.PriceWeight * float64(max(0, micros)) / 1000
}
