package wasmrun

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zerostate/zerostate/core"
)

//go:embed testdata/guest.wasm
var guestModule []byte

const testEpoch = "2026-01-01T00:00:00Z"

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// task is a resolved manifest of a module; edit may change it.
func task(t *testing.T, module []byte, args []string, edit func(*core.TaskSpec)) []byte {
	t.Helper()
	epoch, err := core.ParseTime(testEpoch)
	if err != nil {
		t.Fatal(err)
	}
	r := &core.Resolved{
		APIVersion: core.TaskAPIVersion, Kind: core.KindResolvedTask,
		Metadata: core.TaskMetadata{Name: "guest", Nonce: core.TaskNonce(sha256.Sum256([]byte("nonce")))},
		Spec: core.TaskSpec{
			Module:      core.TaskModule{URI: uriOf(module), Digest: core.Digest256{SHA256: sum(module)}, ABI: core.ABIWASIPreview1},
			Args:        args,
			Limits:      core.DefaultLimits(),
			Determinism: core.TaskDeterminism{Seed: core.TaskSeed(sha256.Sum256([]byte("seed"))), Epoch: epoch},
			Settlement:  core.Price{Currency: "TEST", Unit: core.UnitRequest, PriceMicros: 1, PerUnits: 1},
		},
	}
	r.Spec.Limits.WallTimeoutMs = 20_000
	if edit != nil {
		edit(&r.Spec)
	}
	b, err := r.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func uriOf(content []byte) string { return "ipfs://" + core.CardCID(content) }

func withInput(content string) func(*core.TaskSpec) {
	return func(s *core.TaskSpec) {
		s.Inputs = []core.TaskInput{{
			Name: "doc", URI: uriOf([]byte(content)), Digest: core.Digest256{SHA256: sum([]byte(content))},
			Mount: "/in/doc", TimeoutMs: 1000,
		}}
	}
}

func withOutput(s *core.TaskSpec) {
	s.Outputs = []core.TaskOutput{{Name: "page", Path: "/out/page", MaxBytes: 1 << 10}}
}

func both(edits ...func(*core.TaskSpec)) func(*core.TaskSpec) {
	return func(s *core.TaskSpec) {
		for _, e := range edits {
			e(s)
		}
	}
}

func input(content string) []core.RunInput {
	return []core.RunInput{{Name: "doc", SizeBytes: int64(len(content)), Content: strings.NewReader(content)}}
}

// sink gathers what a run emits.
type sink struct {
	text map[core.RunStream]string
	ends int
}

func (s *sink) emit(e core.RunEvent) error {
	if s.text == nil {
		s.text = map[core.RunStream]string{}
	}
	s.text[e.Stream] += string(e.Data)
	if e.Last {
		s.ends++
	}
	return nil
}

func open(t *testing.T, engine string, edit func(*Config)) *Executor {
	t.Helper()
	dir := t.TempDir()
	cfg := Config{Engine: engine, CacheDir: filepath.Join(dir, "cache"), RunDir: filepath.Join(dir, "runs")}
	if edit != nil {
		edit(&cfg)
	}
	e, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		left, err := os.ReadDir(cfg.RunDir)
		if err != nil || len(left) != 0 {
			t.Errorf("run directory after Close: %v, %v, want it empty", left, err)
		}
	})
	return e
}

func TestGuests(t *testing.T) {
	limits := func(edit func(*core.TaskLimits)) func(*core.TaskSpec) {
		return func(s *core.TaskSpec) { edit(&s.Limits) }
	}
	cases := []struct {
		name    string
		args    []string
		edit    func(*core.TaskSpec)
		inputs  []core.RunInput
		outcome core.Outcome
		exit    int
		reason  string // part of it
		stdout  string
	}{
		{
			name: "hello", args: nil, edit: func(s *core.TaskSpec) { s.Env = map[string]string{"LANG": "C.UTF-8"} },
			outcome: core.OutcomeOK, stdout: "hello from guest\nLANG=C.UTF-8\n",
		},
		{name: "exit", args: []string{"exit"}, outcome: core.OutcomeExit, exit: 3, reason: "exit code 3"},
		{name: "large exit code", args: []string{"code"}, outcome: core.OutcomeExit, exit: 300, reason: "exit code 300"},
		{name: "trap", args: []string{"trap"}, outcome: core.OutcomeTrap, reason: "unreachable"},
		{
			name: "loop", args: []string{"loop"}, edit: limits(func(l *core.TaskLimits) { l.WallTimeoutMs = 100 }),
			outcome: core.OutcomeTimeout, reason: "wall timeout of 100ms", stdout: "started\n",
		},
		{name: "recursion", args: []string{"recurse"}, outcome: core.OutcomeTrap, reason: " " /* which of the two stacks ends first, the engine decides */},
		{
			name: "memory", args: []string{"memory"}, edit: limits(func(l *core.TaskLimits) { l.MemoryBytes = 4 << 20 }),
			outcome: core.OutcomeLimit, reason: "memory: more than 4194304 bytes",
		},
		{
			name: "stdout", args: []string{"flood"}, edit: limits(func(l *core.TaskLimits) { l.StdoutBytes = 100 }),
			outcome: core.OutcomeLimit, reason: "stdout: more than 100 bytes", stdout: strings.Repeat(strings.Repeat("a", 55)+"\n", 2)[:100],
		},
		{
			name: "stderr", args: []string{"flood-stderr"}, edit: limits(func(l *core.TaskLimits) { l.StderrBytes = 100 }),
			outcome: core.OutcomeLimit, reason: "stderr: more than 100 bytes",
		},
		{
			name: "output bytes", args: []string{"flood-file"}, edit: limits(func(l *core.TaskLimits) { l.OutputBytes = 10_000 }),
			outcome: core.OutcomeLimit, reason: "outputs: more than 10000 bytes",
		},
		{name: "hole", args: []string{"hole"}, outcome: core.OutcomeLimit, reason: "outputs: more than 8388608 bytes"},
		{name: "output files", args: []string{"many-files"}, outcome: core.OutcomeLimit, reason: "outputs: more than 64 files"},
		{name: "open files", args: []string{"many-open"}, edit: withInput("x"), inputs: input("x"), outcome: core.OutcomeOK, stdout: "127\n"},
		{
			name: "escape", args: []string{"escape"}, edit: withInput("x"), inputs: input("x"), outcome: core.OutcomeOK,
			stdout: "symlink refused\nhard link refused\nlink refused\ndots refused\nabsolute refused\nwrite input refused\n" +
				"new input refused\nnew file refused\ntruncate input refused\nremove input refused\nmove input refused\nmove out refused\n",
		},
		{
			name: "files", args: []string{"files"}, edit: withInput("x"), inputs: input("x"), outcome: core.OutcomeOK,
			stdout: "mtime 1767225600\n.\n..\nf0\ng\n.\n..\ndoc\n.\n..\nin\nout\nagain 4\n",
		},
		{name: "clock", args: []string{"clock"}, outcome: core.OutcomeOK, stdout: "1767225600 3600\n"},
		{name: "no output", args: []string{"hello"}, edit: withOutput, outcome: core.OutcomeOK, reason: "output page: the task did not write /out/page", stdout: "hello from guest\n"},
		{name: "output is a directory", args: []string{"dir"}, edit: withOutput, outcome: core.OutcomeOK, reason: "/out/page is not a file"},
		{name: "copy", args: []string{"copy"}, edit: both(withInput("some text"), withOutput), inputs: input("some text"), outcome: core.OutcomeOK},
		{
			name: "output too large", args: []string{"copy"}, edit: both(withInput(strings.Repeat("x", 2000)), withOutput),
			inputs: input(strings.Repeat("x", 2000)), outcome: core.OutcomeLimit, reason: "output page: has 2000 bytes, at most 1024",
		},
	}
	for _, engine := range []string{EngineCompiler, EngineInterpreter} {
		e := open(t, engine, nil)
		if _, err := e.Prepare(t.Context(), core.PrepareRequest{Manifest: task(t, guestModule, nil, nil), Module: bytes.NewReader(guestModule)}); err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			t.Run(engine+"/"+c.name, func(t *testing.T) {
				var s sink
				for _, in := range c.inputs {
					in.Content.(*strings.Reader).Seek(0, 0)
				}
				got, err := e.Run(t.Context(), core.RunRequest{RunID: c.name, Manifest: task(t, guestModule, c.args, c.edit), Inputs: c.inputs}, s.emit)
				if err != nil {
					t.Fatal(err)
				}
				if got.Outcome != c.outcome || got.ExitCode != c.exit || !strings.Contains(got.Reason, c.reason) || c.reason == "" && got.Reason != "" {
					t.Errorf("got %s, exit %d, %q, want %s, exit %d, %q", got.Outcome, got.ExitCode, got.Reason, c.outcome, c.exit, c.reason)
				}
				if c.name != "flood" && s.text[core.RunStdout] != c.stdout {
					t.Errorf("stdout: got %q, want %q", s.text[core.RunStdout], c.stdout)
				}
				if err := got.Metering.Check(got.Outcome); err != nil {
					t.Error(err)
				}
				if got.Outputs[0].SHA256 != sum([]byte(c.stdout)) || s.ends != 1+len(got.Outputs) {
					t.Errorf("got outputs %v and %d ends", got.Outputs, s.ends)
				}
			})
		}
	}
}

func TestCopyIsMetered(t *testing.T) {
	e := open(t, EngineCompiler, nil)
	const text = "some text"
	var s sink
	got, err := e.Run(t.Context(), core.RunRequest{
		RunID: "1", Module: bytes.NewReader(guestModule), Inputs: input(text),
		Manifest: task(t, guestModule, []string{"copy"}, both(withInput(text), withOutput)),
	}, s.emit)
	if err != nil {
		t.Fatal(err)
	}
	want := core.VerifiableMetering{Req: 1, Byte: 2 * int64(len(text)), PeakPages: got.Metering.Verifiable.PeakPages}
	if got.Metering.Verifiable != want || want.PeakPages < 1 {
		t.Errorf("got metering %+v, want %+v with pages", got.Metering.Verifiable, want)
	}
	page := core.RunOutputDigest{Name: "page", SHA256: sum([]byte(text)), SizeBytes: int64(len(text))}
	if len(got.Outputs) != 2 || got.Outputs[1] != page || s.text[core.RunOutput] != text {
		t.Errorf("got %v and %q, want %v", got.Outputs, s.text[core.RunOutput], page)
	}
	if got.Engine != (core.EngineInfo{Name: "wazero-compiler", Version: "1.12.0", Pass: "none"}) {
		t.Errorf("got engine %+v", got.Engine)
	}
}

func TestEnginesAgree(t *testing.T) {
	var first core.RunResult
	for i, engine := range []string{EngineCompiler, EngineInterpreter, EngineCompiler} {
		e := open(t, engine, nil)
		run := core.RunRequest{RunID: "r", Module: bytes.NewReader(guestModule), Manifest: task(t, guestModule, []string{"random"}, nil)}
		if i == 0 {
			got, err := e.Run(t.Context(), run, (&sink{}).emit)
			if err != nil {
				t.Fatal(err)
			}
			first = got
			continue
		}
		got, err := e.Verify(t.Context(), core.VerifyRequest{Run: run, Expected: first})
		if err != nil || !got.Match {
			t.Errorf("%s: got %v, %v, want a match", engine, got.Differences, err)
		}
	}
	e := open(t, EngineCompiler, nil)
	other := task(t, guestModule, []string{"random"}, func(s *core.TaskSpec) { s.Determinism.Seed = strings.Repeat("00", 32) })
	got, err := e.Verify(t.Context(), core.VerifyRequest{
		Run: core.RunRequest{RunID: "r", Module: bytes.NewReader(guestModule), Manifest: other}, Expected: first,
	})
	if err != nil || got.Match || len(got.Differences) != 1 || !strings.Contains(got.Differences[0], "output stdout: expected sha256 "+first.Outputs[0].SHA256) {
		t.Errorf("another seed: got %+v, %v, want one difference", got, err)
	}
}

func TestDifferences(t *testing.T) {
	out := func(name, text string) core.RunOutputDigest {
		return core.RunOutputDigest{Name: name, SHA256: sum([]byte(text)), SizeBytes: int64(len(text))}
	}
	want := core.RunResult{Outcome: core.OutcomeOK, Outputs: []core.RunOutputDigest{out("stdout", ""), out("a", "1"), out("b", "2")}}
	got := core.RunResult{Outcome: core.OutcomeExit, ExitCode: 1, Outputs: []core.RunOutputDigest{out("stdout", ""), out("a", "x"), out("c", "3")}}
	got.Metering.Verifiable = core.VerifiableMetering{Req: 1, Byte: 2, PeakPages: 3}
	if d := differences(want, got); len(d) != 8 {
		t.Errorf("got %d differences, want 8: %q", len(d), d)
	}
	if d := differences(want, want); len(d) != 0 {
		t.Errorf("got %q for the same result", d)
	}
}

func TestBadRequests(t *testing.T) {
	e := open(t, EngineCompiler, nil)
	module := func() *bytes.Reader { return bytes.NewReader(guestModule) }
	good := task(t, guestModule, []string{"copy"}, both(withInput("text"), withOutput))
	cases := []struct {
		name string
		req  core.RunRequest
		want error
	}{
		{"not held", core.RunRequest{RunID: "1", Manifest: good, Inputs: input("text")}, core.ErrNotFound},
		{"no manifest", core.RunRequest{RunID: "1"}, core.ErrInvalid},
		{"no id", core.RunRequest{Manifest: good, Module: module(), Inputs: input("text")}, core.ErrInvalid},
		{"other module", core.RunRequest{RunID: "1", Manifest: good, Module: strings.NewReader("x"), Inputs: input("text")}, core.ErrInvalid},
		{"no input", core.RunRequest{RunID: "1", Manifest: good, Module: module()}, core.ErrInvalid},
		{"wrong input", core.RunRequest{RunID: "1", Manifest: good, Module: module(), Inputs: input("test")}, core.ErrInvalid},
		{"wrong size", core.RunRequest{RunID: "1", Manifest: good, Module: module(), Inputs: []core.RunInput{
			{Name: "doc", SizeBytes: 5, Content: strings.NewReader("text")},
		}}, core.ErrInvalid},
		{"wrong name", core.RunRequest{RunID: "1", Manifest: good, Module: module(), Inputs: []core.RunInput{
			{Name: "dog", SizeBytes: 4, Content: strings.NewReader("text")},
		}}, core.ErrInvalid},
		{"canonical NaNs", core.RunRequest{RunID: "1", Module: module(), Manifest: task(t, guestModule, nil, func(s *core.TaskSpec) {
			s.Determinism.NaN = core.NaNCanonical
		})}, core.ErrUnsupported},
		{"small memory", core.RunRequest{RunID: "1", Module: module(), Manifest: task(t, guestModule, nil, func(s *core.TaskSpec) {
			s.Limits.MemoryBytes = 64 << 10
		})}, core.ErrInvalid},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got, err := e.Run(t.Context(), c.req, (&sink{}).emit); !errors.Is(err, c.want) {
				t.Errorf("got %+v, %v, want %v", got, err, c.want)
			}
		})
	}
	if err := e.Cancel(t.Context(), "1"); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("cancel of nothing: got %v, want %v", err, core.ErrNotFound)
	}
	stop := errors.New("enough")
	_, err := e.Run(t.Context(), core.RunRequest{RunID: "1", Manifest: task(t, guestModule, []string{"flood"}, nil), Module: module()},
		func(core.RunEvent) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("emit fails: got %v, want %v", err, stop)
	}
}

func TestCancelAndQueue(t *testing.T) {
	e := open(t, EngineCompiler, func(c *Config) { c.MaxGuests, c.MaxQueue = 1, 1 })
	loop := task(t, guestModule, []string{"loop"}, nil)
	started, results := make(chan struct{}), make(chan core.RunResult, 2)
	errs := make(chan error, 2)
	run := func(id string, emit func(core.RunEvent) error) {
		got, err := e.Run(t.Context(), core.RunRequest{RunID: id, Manifest: loop, Module: bytes.NewReader(guestModule)}, emit)
		results <- got
		errs <- err
	}
	var once sync.Once
	go run("first", func(ev core.RunEvent) error {
		if len(ev.Data) > 0 {
			once.Do(func() { close(started) })
		}
		return nil
	})
	<-started
	if _, err := e.Run(t.Context(), core.RunRequest{RunID: "first", Manifest: loop}, (&sink{}).emit); !errors.Is(err, core.ErrExists) {
		t.Errorf("same id: got %v, want %v", err, core.ErrExists)
	}
	go run("second", (&sink{}).emit)
	for queued := false; !queued; {
		e.mu.Lock()
		queued = e.runs["second"] != nil
		e.mu.Unlock()
	}
	_, err := e.Run(t.Context(), core.RunRequest{RunID: "third", Manifest: loop}, (&sink{}).emit)
	var retry *core.RetryError
	if !errors.Is(err, core.ErrExhausted) || !errors.As(err, &retry) || retry.After <= 0 {
		t.Errorf("full queue: got %v, want %v with a time to retry", err, core.ErrExhausted)
	}
	for _, id := range []string{"second", "first"} {
		if err := e.Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		got, err := <-results, <-errs
		if err != nil || got.Outcome != core.OutcomeCancelled || len(got.Outputs) != 1 {
			t.Errorf("%s: got %+v, %v, want cancelled", id, got, err)
		}
		if err := got.Metering.Check(got.Outcome); err != nil {
			t.Error(err)
		}
	}
}

func TestContextEndsAndClose(t *testing.T) {
	e := open(t, EngineInterpreter, nil)
	loop := task(t, guestModule, []string{"loop"}, nil)
	for _, c := range []struct {
		name string
		stop func(context.CancelFunc)
		want error
	}{
		{"context", func(cancel context.CancelFunc) { cancel() }, context.Canceled},
		{"close", func(context.CancelFunc) { go e.Close() }, core.ErrUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			_, err := e.Run(ctx, core.RunRequest{RunID: "1", Manifest: loop, Module: bytes.NewReader(guestModule)}, func(ev core.RunEvent) error {
				if len(ev.Data) > 0 {
					c.stop(cancel)
				}
				return nil
			})
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	_, err := e.Prepare(t.Context(), core.PrepareRequest{Manifest: loop})
	if !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("prepare after close: got %v, want %v", err, core.ErrUnavailable)
	}
	_, err = e.Run(t.Context(), core.RunRequest{RunID: "1", Manifest: loop}, (&sink{}).emit)
	if !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("run after close: got %v, want %v", err, core.ErrUnavailable)
	}
}

func TestModulesAreKept(t *testing.T) {
	dir := t.TempDir()
	set := func(c *Config) { c.CacheDir, c.ResidentModules = dir, 1 }
	manifest := task(t, guestModule, nil, nil)
	first := open(t, EngineCompiler, set)
	for _, cached := range []bool{false, true} {
		got, err := first.Prepare(t.Context(), core.PrepareRequest{Manifest: manifest, Module: bytes.NewReader(guestModule)})
		if err != nil || got.Cached != cached || got.ModuleDigest != sum(guestModule) {
			t.Errorf("got %+v, %v, want cached %t", got, err, cached)
		}
	}
	second := open(t, EngineCompiler, set)
	if got, err := second.Prepare(t.Context(), core.PrepareRequest{Manifest: manifest}); err != nil || got.Cached {
		t.Errorf("after a restart: got %+v, %v", got, err)
	}
	other := task(t, guestModule, nil, func(s *core.TaskSpec) { s.Limits.TableElements = 50_000 })
	if got, err := second.Prepare(t.Context(), core.PrepareRequest{Manifest: other}); err != nil || got.Cached {
		t.Errorf("other table limit: got %+v, %v", got, err)
	}
	if n := len(second.modules.loaded); n != 1 {
		t.Errorf("got %d resident modules, want 1", n)
	}
	if err := os.WriteFile(second.modules.path(sum(guestModule)), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	third := open(t, EngineInterpreter, set)
	for range 2 {
		if _, err := third.Prepare(t.Context(), core.PrepareRequest{Manifest: manifest}); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("damaged module: got %v, want %v", err, core.ErrNotFound)
		}
	}
}

func TestRunDirectoryIsSwept(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "left"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, EngineInterpreter, func(c *Config) { c.RunDir = dir })
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("got %v, %v, want an empty directory", left, err)
	}
}

func TestBadConfig(t *testing.T) {
	_, err := New(t.Context(), Config{Engine: "jit", MaxGuests: -1, MaxModuleBytes: 1, MaxFunctionBytes: -1})
	for _, want := range []string{"engine", "max_guests", "max_module_bytes", "max_function_bytes"} {
		if err == nil || !errors.Is(err, core.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to name %s", err, want)
		}
	}
}

func BenchmarkHello(b *testing.B) {
	dir := b.TempDir()
	e, err := New(b.Context(), Config{CacheDir: filepath.Join(dir, "c"), RunDir: filepath.Join(dir, "r")})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	manifest := task(&testing.T{}, guestModule, nil, nil)
	if _, err := e.Prepare(b.Context(), core.PrepareRequest{Manifest: manifest, Module: bytes.NewReader(guestModule)}); err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	for i := 0; b.Loop(); i++ {
		if _, err := e.Run(b.Context(), core.RunRequest{RunID: fmt.Sprint(i), Manifest: manifest}, func(core.RunEvent) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(time.Since(start).Microseconds())/float64(b.N), "us/run")
}
