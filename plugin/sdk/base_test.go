package sdk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk"
	"github.com/zerostate/zerostate/plugin/sdk/sdktest"
)

// probe is an embedder that does what its text says.
type probe struct {
	env     sdk.Env
	state   []byte
	gate    chan struct{} // "wait" waits for it
	waiting chan struct{} // gets one for each call that waits
	sick    atomic.Bool
	drained atomic.Bool
	closed  atomic.Int32
}

type probeConfig struct {
	Greeting string `zs:"greeting" default:"hi" doc:"said to everyone"`
	Limit    int    `zs:"limit" default:"5" range:"1..10" reloadable:"true"`
	Token    string `zs:"token" sensitive:"true"`
}

func (p *probe) Embed(ctx context.Context, req core.EmbedRequest) (core.Embeddings, error) {
	config, ok := p.env.Config.(*probeConfig)
	if !ok {
		return core.Embeddings{}, errors.New("no config")
	}
	for _, text := range req.Texts {
		switch text {
		case "panic":
			panic("out of cheese")
		case "wait":
			p.waiting <- struct{}{}
			select {
			case <-p.gate:
			case <-ctx.Done():
				return core.Embeddings{}, ctx.Err()
			}
		case "log":
			hclog.FromContext(ctx).Warn("something happened", "count", 3)
		case "print":
			fmt.Println("printed, not logged")
		case "big":
			return core.Embeddings{Vectors: [][]float32{make([]float32, 3<<20)}}, nil
		}
	}
	return core.Embeddings{Model: core.EmbedModel{ID: config.Greeting + " " + config.Token, Dimensions: config.Limit}}, nil
}

func (p *probe) Health() error {
	if p.sick.Load() {
		return errors.New("disk almost full")
	}
	return nil
}

func (p *probe) Drain(context.Context) error {
	p.drained.Store(true)
	return nil
}

func (p *probe) Snapshot(_ context.Context, w io.Writer) error {
	_, err := w.Write(p.state)
	return err
}

func (p *probe) Restore(_ context.Context, r io.Reader) error {
	state, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if bytes.HasPrefix(state, []byte("bad")) {
		return fmt.Errorf("snapshot: %w", core.ErrInvalid)
	}
	p.state = state
	return nil
}

func (p *probe) Close() error {
	p.closed.Add(1)
	return nil
}

func newProbe() *probe {
	return &probe{gate: make(chan struct{}), waiting: make(chan struct{}, 16)}
}

func probePlugin(p *probe) sdk.Plugin[core.Embedder] {
	return sdk.Plugin[core.Embedder]{
		Name: "probe", Version: "0.1.0", State: sdk.StateSnapshot, Capabilities: []string{"jokes"}, Config: &probeConfig{},
		New: func(_ context.Context, env sdk.Env) (core.Embedder, error) {
			switch env.Config.(*probeConfig).Greeting {
			case "refuse":
				return nil, core.FieldError{Path: "greeting", Problem: "is rude"}
			case "fail":
				return nil, fmt.Errorf("open store: %w", core.ErrUnavailable)
			case "panic":
				panic("no config of mine")
			}
			p.env = env
			return p, nil
		},
	}
}

func builtin(t *testing.T, p *probe) *sdk.Client[core.Embedder] {
	t.Helper()
	c, err := sdk.Embedder.Builtin(t.Context(), probePlugin(p), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}

func configure(t *testing.T, c interface{ Base() *sdk.Base }, config map[string]any) {
	t.Helper()
	if _, err := c.Base().Configure(t.Context(), sdk.Configuration{Config: config}); err != nil {
		t.Fatal(err)
	}
}

func embed(c *sdk.Client[core.Embedder], ctx context.Context, text string) error { //nolint:revive // the context is what the test is about
	_, err := c.Impl().Embed(ctx, core.EmbedRequest{Texts: []string{text}})
	return err
}

func TestDescribe(t *testing.T) {
	c := builtin(t, newProbe())
	info := c.Info()
	if info.Name != "probe" || info.Kind != core.KindEmbedder || info.Version != "0.1.0" || info.State != sdk.StateSnapshot || !info.Supports("jokes") {
		t.Errorf("got %+v", info)
	}
	if len(info.Schema) != 3 || info.Schema[1].Name != "limit" || !info.Schema[1].Reloadable || !info.Schema[2].Sensitive {
		t.Errorf("schema: got %+v", info.Schema)
	}
	if c.PID() != 0 {
		t.Errorf("pid of a builtin: got %d, want 0", c.PID())
	}
}

func TestConfigure(t *testing.T) {
	p := newProbe()
	c := builtin(t, p)
	if err := embed(c, t.Context(), "x"); !errors.Is(err, core.ErrConflict) {
		t.Errorf("call before configure: got %v, want ErrConflict", err)
	}
	try := func(config map[string]any) error {
		_, err := c.Base().Configure(t.Context(), sdk.Configuration{Config: config})
		return err
	}
	var fields core.FieldErrors
	if err := try(map[string]any{"limit": 11, "greting": "x"}); !errors.As(err, &fields) || len(fields) != 2 || fields[0].Path != "limit" {
		t.Errorf("bad settings: got %v, want both at once", err)
	}
	if err := try(map[string]any{"greeting": "refuse"}); !errors.As(err, &fields) || fields[0].Path != "greeting" || !errors.Is(err, core.ErrInvalid) {
		t.Errorf("setting that New refuses: got %v", err)
	}
	if err := try(map[string]any{"greeting": "fail"}); !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("New that fails: got %v, want ErrUnavailable", err)
	}
	if err := try(map[string]any{"greeting": "panic"}); err == nil || !strings.Contains(err.Error(), "panicked") {
		t.Errorf("New that panics: got %v", err)
	}
	if err := try(map[string]any{"greeting": make(chan int)}); err == nil {
		t.Error("a channel is a setting")
	}
	node := sdk.NodeContext{
		Node: sdktest.Signer("n").DID(), Network: "net", Region: "eu", StateDir: "/state", CacheDir: "/cache", LogLevel: "debug",
	}
	_, err := c.Base().Configure(t.Context(), sdk.Configuration{
		Config: map[string]any{"greeting": "hello", "limit": 7}, Secrets: map[string]string{"token": "s3cret"}, Node: node,
	})
	if err != nil {
		t.Fatal(err)
	}
	if e := p.env; e.Node != node.Node || e.Network != "net" || e.Region != "eu" || e.StateDir != "/state" || e.CacheDir != "/cache" || e.Now == nil || e.Log == nil {
		t.Errorf("env: got %+v", e)
	}
	out, err := c.Impl().Embed(t.Context(), core.EmbedRequest{})
	if err != nil || out.Model.ID != "hello s3cret" || out.Model.Dimensions != 7 {
		t.Errorf("configured: got %+v, %v", out.Model, err)
	}
	if err := try(nil); !errors.Is(err, core.ErrConflict) {
		t.Errorf("configure again: got %v, want ErrConflict", err)
	}
}

func TestPanicIsReported(t *testing.T) {
	var logged bytes.Buffer
	log := hclog.New(&hclog.LoggerOptions{Output: &logged, Mutex: &sync.Mutex{}})
	c, err := sdk.Embedder.Builtin(t.Context(), probePlugin(newProbe()), log, nil)
	if err != nil {
		t.Fatal(err)
	}
	configure(t, c, nil)
	if err := embed(c, t.Context(), "panic"); err == nil || !strings.Contains(err.Error(), "out of cheese") {
		t.Errorf("got %v, want the panic", err)
	}
	if err := embed(c, t.Context(), "x"); err != nil {
		t.Errorf("call after a panic: %v", err)
	}
	for h, err := range c.Base().Health(t.Context(), 0) {
		if err != nil || h.Panics != 1 || h.State != sdk.HealthReady {
			t.Errorf("health: got %+v, %v, want one panic", h, err)
		}
		break
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(logged.String(), "out of cheese") || !strings.Contains(logged.String(), "base_test.go") {
		t.Errorf("log: got %q, want the panic with its stack", logged.String())
	}
}

// Health, drain and their order, in virtual time.
func TestHealthAndDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		c := builtin(t, p)
		states := make(chan sdk.Health, 64)
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			for h, err := range c.Base().Health(ctx, time.Second) {
				if err != nil {
					return
				}
				states <- h
			}
		})
		next := func() sdk.Health {
			t.Helper()
			return <-states
		}
		if h := next(); h.State != sdk.HealthStarting {
			t.Errorf("before configure: got %+v", h)
		}
		configure(t, c, nil)
		if h := next(); h.State != sdk.HealthReady {
			t.Errorf("after configure: got %+v", h)
		}
		p.sick.Store(true)
		if h := next(); h.State != sdk.HealthDegraded || h.Reason != "disk almost full" {
			t.Errorf("a second later: got %+v, want degraded", h)
		}
		wg.Go(func() {
			if err := embed(c, t.Context(), "wait"); err != nil {
				t.Errorf("call in flight: %v", err)
			}
		})
		<-p.waiting
		short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := c.Base().Drain(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("drain with a call in flight: got %v, want DeadlineExceeded", err)
		}
		err := embed(c, t.Context(), "x")
		var retry *core.RetryError
		if !errors.Is(err, core.ErrUnavailable) || !errors.As(err, &retry) || retry.After <= 0 {
			t.Errorf("call while draining: got %v, want ErrUnavailable with a time", err)
		}
		wg.Go(func() {
			if err := c.Base().Drain(t.Context()); err != nil {
				t.Errorf("drain: %v", err)
			}
		})
		synctest.Wait()
		if p.drained.Load() {
			t.Error("drained while a call is in flight")
		}
		close(p.gate)
		synctest.Wait()
		if !p.drained.Load() {
			t.Error("not drained when the call had ended")
		}
		stop()
		wg.Wait()
	})
}

func TestSnapshot(t *testing.T) {
	from, to := newProbe(), newProbe()
	from.state = bytes.Repeat([]byte("0123456789"), 20_000) // more than three chunks
	a, b := builtin(t, from), builtin(t, to)
	if err := a.Base().Snapshot(t.Context(), io.Discard); !errors.Is(err, core.ErrConflict) {
		t.Errorf("snapshot before configure: got %v, want ErrConflict", err)
	}
	configure(t, a, nil)
	configure(t, b, nil)
	var buf bytes.Buffer
	if err := a.Base().Snapshot(t.Context(), &buf); err != nil {
		t.Fatal(err)
	}
	if err := b.Base().Restore(t.Context(), &buf); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(to.state, from.state) {
		t.Errorf("restored %d bytes, want %d", len(to.state), len(from.state))
	}
	if err := b.Base().Restore(t.Context(), strings.NewReader("bad")); !errors.Is(err, core.ErrInvalid) {
		t.Errorf("bad snapshot: got %v, want ErrInvalid", err)
	}
	full := errors.New("disk full")
	if err := a.Base().Snapshot(t.Context(), failing{full}); !errors.Is(err, full) {
		t.Errorf("snapshot to a full disk: got %v", err)
	}
	if err := b.Base().Restore(t.Context(), failing{full}); !errors.Is(err, full) {
		t.Errorf("restore from a broken disk: got %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
func (f failing) Read([]byte) (int, error)  { return 0, f.err }

func TestLargeMessages(t *testing.T) {
	c := builtin(t, newProbe())
	configure(t, c, nil)
	out, err := c.Impl().Embed(t.Context(), core.EmbedRequest{Texts: []string{"big", strings.Repeat("x", 10<<20)}})
	if err != nil || len(out.Vectors[0]) != 3<<20 {
		t.Errorf("12 MiB each way: got %v", err)
	}
	if _, err := c.Impl().Embed(t.Context(), core.EmbedRequest{Texts: []string{strings.Repeat("x", 33<<20)}}); !errors.Is(err, core.ErrExhausted) {
		t.Errorf("33 MiB: got %v, want ErrExhausted", err)
	}
}

func TestCloseBuiltin(t *testing.T) {
	p := newProbe()
	c := builtin(t, p)
	configure(t, c, nil)
	select {
	case <-c.Exited():
		t.Error("exited before it was closed")
	default:
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	<-c.Exited()
	if n := p.closed.Load(); n != 1 {
		t.Errorf("implementation closed %d times, want once", n)
	}
	if err := embed(c, t.Context(), "x"); !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("call after close: got %v, want ErrUnavailable", err)
	}
}

func TestKillBuiltinMidCall(t *testing.T) {
	p := newProbe()
	c := builtin(t, p)
	configure(t, c, nil)
	done := make(chan error, 1)
	go func() { done <- embed(c, t.Context(), "wait") }()
	<-p.waiting
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, core.ErrUnavailable) || errors.Is(err, context.Canceled) {
		t.Errorf("call in flight: got %v, want ErrUnavailable: our context lives", err)
	}
}
