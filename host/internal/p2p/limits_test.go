package p2p

import (
	"context"
	"errors"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/peerpb"
)

// pair starts two connected nodes; the first serves a protocol under limits.
func pair(t *testing.T, name string, l Limits, h Handler) (server, client *Node) {
	t.Helper()
	server = startNode(t, "server", func(c *Config) { c.Limits = map[string]Limits{name: l} })
	client = startNode(t, "client", func(c *Config) { c.Bootstrap = server.Addrs() })
	if err := server.Handle(name, h); err != nil {
		t.Fatal(err)
	}
	if err := client.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	return server, client
}

func open(t *testing.T, from, to *Node, name string) *Stream {
	t.Helper()
	s, err := from.Open(t.Context(), to.DID(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Reset)
	return s
}

// Every protocol of the table bounds everything that a peer can use up.
func TestLimitsTable(t *testing.T) {
	table := LimitsTable()
	for _, name := range []string{ProtocolIndex, ProtocolCard, ProtocolTask, ProtocolChannel} {
		l, ok := table[name]
		if !ok {
			t.Errorf("%s has no row", name)
			continue
		}
		if l.FirstFrame != 10*time.Second {
			t.Errorf("%s: got first frame %s, want 10 s", name, l.FirstFrame)
		}
		if l.Streams <= 0 || l.Idle <= 0 || l.Total < l.Idle || l.BytesInFlight < MaxFrameBytes || l.StreamRate <= 0 {
			t.Errorf("%s: got %+v, want bounds that let one frame through", name, l)
		}
	}
	table["x"] = Limits{}
	if _, ok := LimitsTable()["x"]; ok {
		t.Error("the table can be changed from outside")
	}
	n := startNode(t, "a", nil)
	wantErr(t, "a protocol without limits", n.Handle("other/1", echo), core.ErrInvalid)
}

// Each row of the table is enforced: as many streams as it says, and no more.
func TestLimitStreams(t *testing.T) {
	for name, l := range LimitsTable() {
		t.Run(name, func(t *testing.T) {
			b := newBudget(l, time.Now)
			for i := range l.Streams {
				if err := b.open(); err != nil {
					t.Fatalf("stream %d of %d: %v", i, l.Streams, err)
				}
			}
			wantErr(t, "one more", b.open(), core.ErrExhausted)
		})
	}
	hold := make(chan struct{})
	server, client := pair(t, ProtocolCard, Limits{Streams: 2, Idle: time.Minute, FirstFrame: time.Minute, Total: time.Minute, BytesInFlight: 1 << 20},
		func(ctx context.Context, s *Stream) error {
			if _, err := s.ReadFrame(); err != nil {
				return err
			}
			if err := s.WriteFrame(query("held")); err != nil {
				return err
			}
			select {
			case <-hold:
			case <-ctx.Done():
			}
			return nil
		})
	first, second := open(t, client, server, ProtocolCard), open(t, client, server, ProtocolCard)
	for _, s := range []*Stream{first, second} {
		if _, err := s.Call(query("x")); err != nil {
			t.Fatal(err)
		}
	}
	_, err := client.Ask(t.Context(), server.DID(), ProtocolCard, query("third"))
	wantErr(t, "a third stream", err, core.ErrExhausted)
	var retry *core.RetryError
	if !errors.As(err, &retry) || retry.After != time.Second {
		t.Errorf("got %v, want when to try again", err)
	}
	close(hold)
	for _, s := range []*Stream{first, second} {
		if _, err := s.ReadFrame(); !errors.Is(err, io.EOF) {
			t.Errorf("got %v, want the end", err)
		}
	}
	await(t, "streams are given back", func() bool {
		_, err := client.Ask(t.Context(), server.DID(), ProtocolCard, query("again"))
		return err == nil
	})
}

func TestLimitRates(t *testing.T) {
	for name, l := range LimitsTable() {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(1000, 0)
			b := newBudget(l, func() time.Time { return now })
			for range l.Streams {
				if err := b.open(); err != nil {
					t.Fatal(err)
				}
				b.close()
			}
			wantErr(t, "a burst over the rate", b.open(), core.ErrExhausted)
			now = now.Add(time.Duration(float64(time.Second) / l.StreamRate * 1.01))
			if err := b.open(); err != nil {
				t.Errorf("after the pause: %v", err)
			}
			if l.FrameRate == 0 {
				return
			}
			for range int(l.FrameRate) {
				if err := b.frame(time.Now().Add(time.Minute)); err != nil {
					t.Fatal(err)
				}
			}
			wantErr(t, "frames over the rate", b.frame(time.Now()), core.ErrExhausted)
		})
	}
}

func TestLimitBytesInFlight(t *testing.T) {
	for name, l := range LimitsTable() {
		b := newBudget(l, time.Now)
		for range l.BytesInFlight / MaxFrameBytes {
			if err := b.acquire(MaxFrameBytes, time.Now().Add(time.Minute)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		wantErr(t, name+": one frame more", b.acquire(MaxFrameBytes, time.Now()), core.ErrExhausted)
		wantErr(t, name+": more than all", b.acquire(l.BytesInFlight+1, time.Time{}), core.ErrExhausted)
		got := make(chan error, 1)
		go func() { got <- b.acquire(MaxFrameBytes, time.Time{}) }()
		b.release(MaxFrameBytes)
		if err := <-got; err != nil {
			t.Errorf("%s: once it is given back: %v", name, err)
		}
	}
}

func TestLimitTimes(t *testing.T) {
	short, long := 50*time.Millisecond, time.Minute
	for name, tt := range map[string]struct {
		limits Limits
		frames int // what the client sends before it falls silent
	}{
		"first frame": {Limits{FirstFrame: short, Idle: long, Total: long}, 0},
		"idle":        {Limits{FirstFrame: long, Idle: short, Total: long}, 1},
		"total":       {Limits{FirstFrame: long, Idle: long, Total: short}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			tt.limits.Streams = 1
			server, client := pair(t, ProtocolIndex, tt.limits, func(_ context.Context, s *Stream) error {
				for {
					if _, err := s.ReadFrame(); err != nil {
						ended <- err
						return err
					}
				}
			})
			s := open(t, client, server, ProtocolIndex)
			if tt.frames == 0 {
				// The protocol is spoken, but no frame comes.
				if err := negotiateOnly(s); err != nil {
					t.Fatal(err)
				}
			}
			for range tt.frames {
				if err := s.WriteFrame(query("x")); err != nil {
					t.Fatal(err)
				}
			}
			err := <-ended
			if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, core.ErrUnavailable) {
				t.Errorf("got %v, want the deadline", err)
			}
		})
	}
}

// negotiateOnly makes libp2p send the protocol's name, which it else holds back
// until the first write.
func negotiateOnly(s *Stream) error {
	_, err := s.raw.Write(nil)
	return err
}

func TestFrameBounds(t *testing.T) {
	ended := make(chan error, 1)
	server, client := pair(t, ProtocolIndex, LimitsTable()[ProtocolIndex], func(_ context.Context, s *Stream) error {
		_, err := s.ReadFrame()
		ended <- err
		return err
	})
	s := open(t, client, server, ProtocolIndex)
	wantErr(t, "write 1 MiB and more", s.WriteFrame(query(string(make([]byte, MaxFrameBytes)))), core.ErrInvalid)
	for name, raw := range map[string][]byte{
		"a length over 1 MiB": {0x81, 0x80, 0x40},
		"no message":          {3, 0xff, 0xff, 0xff},
		"an empty message":    {0},
	} {
		s := open(t, client, server, ProtocolIndex)
		if _, err := s.raw.Write(raw); err != nil {
			t.Fatal(err)
		}
		wantErr(t, name, <-ended, core.ErrInvalid)
	}
	for name, raw := range map[string][]byte{"a length cut off": {0x81}, "a frame cut off": {9, 1}} {
		s := open(t, client, server, ProtocolIndex)
		if _, err := s.raw.Write(raw); err != nil {
			t.Fatal(err)
		}
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	s = open(t, client, server, ProtocolIndex)
	if err := errors.Join(negotiateOnly(s), s.CloseWrite()); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "no frame at all", <-ended, io.EOF)
}

func TestAnswersAndErrors(t *testing.T) {
	server, client := pair(t, ProtocolIndex, LimitsTable()[ProtocolIndex], func(_ context.Context, s *Stream) error {
		f, err := s.ReadFrame()
		if err != nil {
			return err
		}
		switch f.GetQuery().GetText() {
		case "secret":
			return errors.Join(core.ErrNotFound, errors.New("/home/ann/keys"))
		case "reason":
			return &ReasonError{Err: core.ErrDenied, Reason: "you\x1b[31m are\u202e not on the list"}
		case "field":
			return core.FieldError{Path: "k", Problem: "wants 1 to 50"}
		case "silent":
			return nil
		}
		return s.WriteFrame(f)
	})
	if s := open(t, client, server, ProtocolIndex); s.Remote() != server.DID() || s.Path() != PathDirect {
		t.Errorf("got %s via %s", s.Remote(), s.Path())
	}
	f, err := client.Ask(t.Context(), server.DID(), ProtocolIndex, query("hello"))
	if err != nil || f.GetQuery().GetText() != "hello" {
		t.Errorf("got %v, %v", f, err)
	}
	for text, tt := range map[string]struct {
		want   error
		reason string
	}{
		"secret": {core.ErrNotFound, ""},
		"reason": {core.ErrDenied, "you[31m are not on the list: "},
		"field":  {core.ErrInvalid, "k: wants 1 to 50: "},
	} {
		_, err := client.Ask(t.Context(), server.DID(), ProtocolIndex, query(text))
		wantErr(t, text, err, tt.want)
		if want := string(server.DID()) + " answers: " + tt.reason + tt.want.Error(); err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
	}
	_, err = client.Ask(t.Context(), server.DID(), ProtocolIndex, query("silent"))
	wantErr(t, "no answer", err, core.ErrUnavailable)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = client.Ask(ctx, server.DID(), ProtocolIndex, query("hello"))
	wantErr(t, "a caller that gave up", err, context.Canceled)
	_, err = client.Ask(t.Context(), server.DID(), ProtocolTask, query("hello"))
	wantErr(t, "a protocol that is not spoken", err, core.ErrUnsupported)
}

func TestWireErrors(t *testing.T) {
	for _, w := range wireSentinels() {
		e := EncodeError(w.err)
		if e.GetSentinel() != w.name {
			t.Errorf("got %s, want %s", e.GetSentinel(), w.name)
		}
		want := w.err
		if w.name == "DEADLINE" || w.name == "CANCELED" {
			want = core.ErrUnavailable // theirs, not ours
		}
		wantErr(t, w.name, DecodeError(e), want)
	}
	if got := EncodeError(errors.New("x")); got.GetSentinel() != "UNAVAILABLE" || got.GetReason() != "" {
		t.Errorf("got %v", got)
	}
	wantErr(t, "unknown", DecodeError(&peerpb.Error{Sentinel: "NEW"}), core.ErrUnavailable)
	long := EncodeError(&ReasonError{Err: core.ErrInvalid, Reason: string(make([]rune, 10)) + "é" + string(make([]byte, 0)) + longText()})
	if len(long.GetReason()) > maxReasonBytes {
		t.Errorf("got a reason of %d bytes", len(long.GetReason()))
	}
	after := EncodeError(&core.RetryError{Err: core.ErrExhausted, After: 3 * time.Second})
	var retry *core.RetryError
	if err := DecodeError(after); !errors.As(err, &retry) || retry.After != 3*time.Second || !errors.Is(err, core.ErrExhausted) {
		t.Errorf("got %v", err)
	}
}

func longText() string {
	b := make([]byte, 1000)
	for i := range b {
		b[i] = 'a'
	}
	return string(b)
}

func TestBudgetsForget(t *testing.T) {
	all := &budgets{limits: Limits{Streams: 1, StreamRate: 1}, now: time.Now, peers: map[peer.ID]*budget{}}
	busy := all.of("busy")
	if err := busy.open(); err != nil {
		t.Fatal(err)
	}
	for i := range 3000 {
		all.of(peer.ID(strconv.Itoa(i)))
	}
	if len(all.peers) > 1100 || all.peers["busy"] != busy {
		t.Errorf("got %d budgets, busy kept: %t", len(all.peers), all.peers["busy"] == busy)
	}
}
