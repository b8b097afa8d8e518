package supervise

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/config"
)

// fake is an instance whose health the test decides.
type fake struct {
	hung atomic.Bool
	gone chan struct{}
	dead atomic.Bool
}

func newFake() *fake { return &fake{gone: make(chan struct{})} }

func (f *fake) impl() int               { return 7 }
func (f *fake) info() instanceInfo      { return instanceInfo{pid: 1} }
func (f *fake) exited() <-chan struct{} { return f.gone }
func (f *fake) stop(context.Context)    { f.kill() }

func (f *fake) kill() {
	if f.dead.CompareAndSwap(false, true) {
		close(f.gone)
	}
}

func (f *fake) ping(ctx context.Context) error {
	if f.hung.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func fakeLife(open opener[int]) *life[int] {
	r := config.Restart{BackoffMin: 100 * time.Millisecond, BackoffMax: time.Second, CrashLoop: 3, Window: time.Minute}
	return newLife("kind", "name", open, r, hclog.NewNullLogger(), time.Now, func() float64 { return 1 })
}

// TestHungPluginIsReplaced runs in virtual time.
func TestHungPluginIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var opened []*fake
		l := fakeLife(func(context.Context) (instance[int], error) {
			opened = append(opened, newFake())
			return opened[len(opened)-1], nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan error, 1)
		done := make(chan struct{})
		go func() { l.run(ctx, first); close(done) }()
		if err := <-first; err != nil {
			t.Fatal(err)
		}
		hung := opened[0]
		hung.hung.Store(true)
		start := time.Now()
		inst, err := l.current(ctx, hung)
		if err != nil || inst == instance[int](hung) || !hung.dead.Load() {
			t.Fatalf("got %v, %v, want another instance and the hung one killed", inst, err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("took %v, want under 10s", took)
		}
		cancel()
		<-done
		if got := l.status(); got.State != StateStopped || got.Restarts != 1 || !strings.Contains(got.LastError, "does not answer") {
			t.Errorf("status: got %+v", got)
		}
	})
}

func TestBackoffDoublesAndBreakerOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		start := time.Now()
		l := fakeLife(func(context.Context) (instance[int], error) {
			at = append(at, time.Since(start))
			return nil, core.ErrUnavailable
		})
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		l.run(ctx, nil)
		want := []time.Duration{0, 100 * time.Millisecond, 300 * time.Millisecond, 60*time.Second + 300*time.Millisecond}
		if len(at) < 4 || !slices.Equal(at[:4], want) {
			t.Errorf("starts: got %v, want %v", at, want)
		}
	})
}

func TestCallsWhileDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fail := errors.New("no")
		l := fakeLife(func(context.Context) (instance[int], error) { return nil, fail })
		h := &Handle[int]{kind: "kind", primary: l}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { l.run(ctx, nil); close(done) }()
		short, stop := context.WithTimeout(ctx, 50*time.Millisecond)
		defer stop()
		var retry *core.RetryError
		if _, err := h.Get(short); !errors.Is(err, core.ErrUnavailable) || !errors.As(err, &retry) {
			t.Errorf("while backing off: got %v, want a RetryError with core.ErrUnavailable", err)
		}
		time.Sleep(time.Second) // virtual: the breaker opens
		if _, err := h.Get(ctx); !errors.As(err, &retry) || retry.After < 50*time.Second {
			t.Errorf("with an open breaker: got %v, want a RetryError after the window", err)
		}
		cancel()
		<-done
	})
}

func TestTerminalErrorsAreNotRetried(t *testing.T) {
	for want, err := range map[State]error{StateRefused: core.ErrDenied, StateInvalidConfig: core.ErrInvalid, StateIncompatible: errIncompatible} {
		starts := 0
		l := fakeLife(func(context.Context) (instance[int], error) { starts++; return nil, err })
		first := make(chan error, 1)
		l.run(t.Context(), first)
		if got := l.status().State; got != want || starts != 1 || !errors.Is(<-first, err) {
			t.Errorf("%v: got %s after %d starts, want %s after one", err, got, starts, want)
		}
		if _, err := l.current(t.Context(), nil); !errors.Is(err, core.ErrUnavailable) {
			t.Errorf("%s: got %v, want core.ErrUnavailable", want, err)
		}
	}
}

// TestNetworkGrants shows what the block and the collector's address open up.
func TestNetworkGrants(t *testing.T) {
	collector, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer collector.Close()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	tcp := func(l net.Listener) string { return "dial tcp!" + l.Addr().String() }
	const refused, open = "permission denied", "<nil>"
	for _, c := range []struct {
		name, extra string
		otlp        bool
		want        map[string]string
	}{
		{"network", "      network: true\n", false, map[string]string{tcp(other): open, "dial udp!127.0.0.1:9": open}},
		{"collector only", "", true, map[string]string{tcp(collector): open, tcp(other): refused, "dial udp!127.0.0.1:9": refused}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := testConfig(t, t.TempDir(), c.extra)
			if c.otlp {
				cfg.Telemetry.OTLPEndpoint = collector.Addr().String()
			}
			set := startTest(t, cfg, testDeps(nil))
			confined := set.Status()[0].Confined
			for question, want := range c.want {
				got, err := ask(t.Context(), set.Embedder(), question)
				if err != nil || !strings.Contains(got, want) && (confined || want == open) {
					t.Errorf("%s: got %q, %v, want %q", question, got, err, want)
				}
			}
		})
	}
}

// TestHashedBytesRun replaces the binary after the check: what was hashed runs.
func TestHashedBytesRun(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "embedder-probe")
	if err := os.WriteFile(path, data, 0o700); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(t, dir, "")
	p := cfg.Plugin["embedder"]["probe"]
	p.Path = "embedder-probe"
	cfg.Plugin["embedder"]["probe"] = p
	deps := testDeps(nil)
	deps.HostDir = dir
	set := startTest(t, cfg, deps)
	before := set.Status()[0]
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := ask(ctx, set.Embedder(), "token"); err != nil {
		t.Fatalf("after the binary was replaced: %v", err)
	}
	if after := set.Status()[0]; after.SHA256 != before.SHA256 || after.PID == before.PID {
		t.Errorf("got %+v, want the same bytes in a new process", after)
	}
}

// TestRestartsLeaveNothing counts descriptors over many restarts.
func TestRestartsLeaveNothing(t *testing.T) {
	cfg := testConfig(t, t.TempDir(), "")
	p := cfg.Plugin["embedder"]["probe"]
	p.Restart.CrashLoop = 1000
	cfg.Plugin["embedder"]["probe"] = p
	set := startTest(t, cfg, testDeps(nil))
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var last instance[core.Embedder]
	restart := func(n int) {
		for range n {
			inst, err := set.embedder.primary.current(ctx, last)
			if err != nil {
				t.Fatal(err)
			}
			_ = syscall.Kill(inst.info().pid, syscall.SIGKILL)
			<-inst.exited()
			last = inst
		}
		if _, err := set.embedder.primary.current(ctx, last); err != nil {
			t.Fatal(err)
		}
	}
	descriptors := func() int {
		list, err := os.ReadDir("/proc/" + strconv.Itoa(os.Getpid()) + "/fd")
		if err != nil {
			t.Skip("no /proc here")
		}
		return len(list)
	}
	restart(5)
	before := descriptors()
	restart(15)
	if after := descriptors(); after > before+8 {
		t.Errorf("descriptors: got %d after 15 restarts, want about %d", after, before)
	}
	if list, err := os.ReadDir(set.runDir); err != nil || len(list) > 3 {
		t.Errorf("socket directories: got %d, %v, want those of running plugins", len(list), err)
	}
}
