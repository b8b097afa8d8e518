package p2p

import (
	"maps"
	"time"
)

// Protocol names, each under /zerostate/<network>/.
const (
	ProtocolIndex   = "index/1"
	ProtocolCard    = "card/1"
	ProtocolTask    = "task/1"
	ProtocolChannel = "channel/1"
)

// MaxFrameBytes bounds a frame, MaxChunkBytes a chunk of content in one.
const (
	MaxFrameBytes = 1 << 20
	MaxChunkBytes = 64 << 10
)

// Limits bounds what one peer may do with one protocol.
type Limits struct {
	// Streams is how many of the peer's streams may be open at once.
	Streams int
	// FirstFrame is how long the first frame of a stream may take.
	FirstFrame time.Duration
	// Idle is how long a stream may be silent afterwards.
	Idle time.Duration
	// Total is how long a stream may live.
	Total time.Duration
	// BytesInFlight is how many bytes of frames, over all the peer's streams,
	// are read and not yet consumed; a reader waits when it is reached.
	BytesInFlight int64
	// StreamRate is how many streams a second may be opened; as many may come
	// at once as Streams allows.
	StreamRate float64
	// FrameRate is how many frames a second are read, in bursts of a second's
	// worth; 0 is as fast as they are consumed.
	FrameRate float64
}

// LimitsTable returns the limits of every protocol, by name. It is what a node
// enforces unless its Config says otherwise.
func LimitsTable() map[string]Limits {
	return maps.Clone(map[string]Limits{
		ProtocolIndex: {
			Streams: 64, FirstFrame: 10 * time.Second, Idle: 30 * time.Second, Total: 2 * time.Minute,
			BytesInFlight: 4 << 20, StreamRate: 1000, FrameRate: 2000,
		},
		ProtocolCard: {
			Streams: 16, FirstFrame: 10 * time.Second, Idle: 30 * time.Second, Total: time.Minute,
			BytesInFlight: 2 << 20, StreamRate: 50, FrameRate: 200,
		},
		ProtocolTask: {
			Streams: 1024, FirstFrame: 10 * time.Second, Idle: 5 * time.Minute, Total: 25 * time.Hour,
			BytesInFlight: 64 << 20, StreamRate: 1000,
		},
		ProtocolChannel: {
			Streams: 4, FirstFrame: 10 * time.Second, Idle: 30 * time.Minute, Total: 24 * time.Hour,
			BytesInFlight: 8 << 20, StreamRate: 20, FrameRate: 2000,
		},
	})
}
