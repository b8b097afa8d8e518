package sdktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/zerostate/zerostate/core"
)

// Executor returns the suite of plugins of kind executor. It brings its own
// guests; FakePrograms are the same for an executor that does not run WASM.
func Executor() Suite[core.Executor] {
	return Suite[core.Executor]{
		{Name: "prepare", Run: execPrepare},
		{Name: "run", Run: execRun},
		{Name: "outcomes", Run: execOutcomes},
		{Name: "timeout", Run: execTimeout},
		{Name: "refuses", Run: execRefuses},
		{Name: "emit-error", Run: execEmitError},
		{Name: "cancel", Run: execCancel},
		{Name: "ended-context", Run: execEnded},
		{Name: "verify", Run: execVerify},
		{Name: "concurrent", Run: execConcurrent},
	}
}

var testDoc = []byte("# a document\n")

func runRequest(t T, id string, module []byte) core.RunRequest {
	t.Helper()
	return core.RunRequest{
		RunID: id, Manifest: manifestOf(t, newTask(t, module, testDoc, "run")), Module: bytes.NewReader(module),
		Inputs: []core.RunInput{{Name: "doc", SizeBytes: int64(len(testDoc)), Content: bytes.NewReader(testDoc)}},
	}
}

// recorder keeps what a run emits.
type recorder struct {
	stdout bytes.Buffer
	last   map[core.RunStream]int
}

func (r *recorder) emit(e core.RunEvent) error {
	if e.Stream == core.RunStdout {
		r.stdout.Write(e.Data)
	}
	if e.Last {
		if r.last == nil {
			r.last = map[core.RunStream]int{}
		}
		r.last[e.Stream]++
	}
	return nil
}

func ignore(core.RunEvent) error { return nil }

func execPrepare(t T, s Subject[core.Executor]) {
	e := open(t, s)
	manifest := manifestOf(t, newTask(t, guestHello, testDoc, "prepare"))
	_, err := e.Prepare(t.Context(), core.PrepareRequest{Manifest: manifest})
	wantIs(t, "prepare a module that is not held", err, core.ErrNotFound)
	first, err := e.Prepare(t.Context(), core.PrepareRequest{Manifest: manifest, Module: bytes.NewReader(guestHello)})
	must(t, "prepare", err)
	if first.ModuleDigest != sha(guestHello) || first.Cached || first.Engine.Name == "" || first.Engine.Version == "" {
		t.Errorf("prepared: got %+v, want the digest, not cached, an engine", first)
	}
	again, err := e.Prepare(t.Context(), core.PrepareRequest{Manifest: manifest})
	must(t, "prepare again", err)
	if !again.Cached || again.Engine != first.Engine {
		t.Errorf("prepared again: got %+v, want cached by %+v", again, first.Engine)
	}
	req := runRequest(t, "prepared", guestHello)
	req.Module = nil
	result, err := e.Run(t.Context(), req, ignore)
	if err != nil || result.Outcome != core.OutcomeOK {
		t.Errorf("run of a prepared module: got %+v, %v", result, err)
	}
}

func execRun(t T, s Subject[core.Executor]) {
	e := open(t, s)
	var rec recorder
	result, err := e.Run(t.Context(), runRequest(t, "run", guestHello), rec.emit)
	must(t, "run", err)
	if result.Outcome != core.OutcomeOK || result.ExitCode != 0 {
		t.Errorf("result: got %+v, want ok", result)
	}
	if rec.stdout.String() != greeting || rec.last[core.RunStdout] != 1 {
		t.Errorf("stdout: got %q, last %d times, want %q, once", rec.stdout.String(), rec.last[core.RunStdout], greeting)
	}
	want := core.RunOutputDigest{Name: core.StdoutName, SHA256: sha([]byte(greeting)), SizeBytes: int64(len(greeting))}
	if len(result.Outputs) < 1 || result.Outputs[0] != want {
		t.Errorf("outputs: got %+v, want %+v first", result.Outputs, want)
	}
	m := result.Metering.Verifiable
	if m.Req != 1 || m.Byte != int64(len(testDoc)+len(greeting)) || m.PeakPages < 1 {
		t.Errorf("metering: got %+v, want one request, %d bytes, pages", m, len(testDoc)+len(greeting))
	}
	if err := result.Metering.Check(result.Outcome); err != nil {
		t.Errorf("metering: %v", err)
	}
}

func execOutcomes(t T, s Subject[core.Executor]) {
	e := open(t, s)
	for _, c := range []struct {
		name    string
		module  []byte
		outcome core.Outcome
		code    int
	}{
		{"exit", guestExit3, core.OutcomeExit, 3},
		{"trap", guestTrap, core.OutcomeTrap, 0},
		{"limit", guestNoise, core.OutcomeLimit, 0},
	} {
		result, err := e.Run(t.Context(), runRequest(t, c.name, c.module), ignore)
		if err != nil || result.Outcome != c.outcome || result.ExitCode != c.code {
			t.Errorf("%s: got outcome %q, code %d, %v, want %q, %d", c.name, result.Outcome, result.ExitCode, err, c.outcome, c.code)
			continue
		}
		if result.Reason == "" || len(result.Outputs) == 0 || result.Outputs[0].Name != core.StdoutName {
			t.Errorf("%s: got %+v, want a reason and the digest of stdout", c.name, result)
		}
		if err := result.Metering.Check(result.Outcome); err != nil {
			t.Errorf("%s: metering: %v", c.name, err)
		}
	}
}

func execTimeout(t T, s Subject[core.Executor]) {
	result, err := open(t, s).Run(t.Context(), runRequest(t, "loop", guestLoop), ignore)
	if err != nil || result.Outcome != core.OutcomeTimeout {
		t.Errorf("endless loop: got %+v, %v, want timeout", result, err)
	}
}

func execRefuses(t T, s Subject[core.Executor]) {
	e := open(t, s)
	_, err := e.Prepare(t.Context(), core.PrepareRequest{Manifest: []byte("{}"), Module: bytes.NewReader(guestHello)})
	wantIs(t, "prepare a bad manifest", err, core.ErrInvalid)
	manifest := manifestOf(t, newTask(t, guestHello, testDoc, "refuses"))
	_, err = e.Prepare(t.Context(), core.PrepareRequest{Manifest: manifest, Module: bytes.NewReader(guestTrap)})
	wantIs(t, "prepare another module", err, core.ErrInvalid)
	garbage := []byte("not a module")
	_, err = e.Prepare(t.Context(), core.PrepareRequest{
		Manifest: manifestOf(t, newTask(t, garbage, testDoc, "garbage")), Module: bytes.NewReader(garbage),
	})
	wantIs(t, "prepare garbage", err, core.ErrInvalid)
	req := runRequest(t, "bad", guestHello)
	req.Manifest = []byte("{}")
	_, err = e.Run(t.Context(), req, ignore)
	wantIs(t, "run a bad manifest", err, core.ErrInvalid)
	req = runRequest(t, "held", guestLoop)
	req.Module = nil
	_, err = e.Run(t.Context(), req, ignore)
	wantIs(t, "run a module that is not held", err, core.ErrNotFound)
	broken := errors.New("the disk broke")
	req = runRequest(t, "broken", guestHello)
	req.Inputs[0].Content = io.MultiReader(bytes.NewReader(testDoc[:3]), failing{broken})
	_, err = e.Run(t.Context(), req, ignore)
	wantIs(t, "run with an input that breaks", err, broken)
	wantIs(t, "cancel of nobody", e.Cancel(t.Context(), "nobody"), core.ErrNotFound)
}

// failing is a reader that fails.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func execEmitError(t T, s Subject[core.Executor]) {
	full := errors.New("the disk is full")
	_, err := open(t, s).Run(t.Context(), runRequest(t, "emit", guestHello), func(e core.RunEvent) error {
		if len(e.Data) > 0 {
			return full
		}
		return nil
	})
	wantIs(t, "emit that fails", err, full)
}

// longTask is a run of an endless loop that a test ends.
func longTask(t T, id string) core.RunRequest {
	t.Helper()
	task := newTask(t, guestLoop, testDoc, id)
	task.Spec.Limits.WallTimeoutMs = 60_000
	req := runRequest(t, id, guestLoop)
	req.Manifest = manifestOf(t, task)
	return req
}

func execCancel(t T, s Subject[core.Executor]) {
	e := open(t, s)
	type end struct {
		result core.RunResult
		err    error
	}
	done := make(chan end, 1)
	go func() {
		result, err := e.Run(t.Context(), longTask(t, "cancelled"), ignore)
		done <- end{result, err}
	}()
	for { // the run is known to Cancel soon after it has begun
		err := e.Cancel(t.Context(), "cancelled")
		if err == nil {
			break
		}
		if !errors.Is(err, core.ErrNotFound) {
			t.Fatalf("cancel: %v", err)
		}
		select {
		case got := <-done:
			t.Fatalf("run ended before it was cancelled: %+v, %v", got.result, got.err)
		default:
		}
	}
	got := <-done
	if got.err != nil || got.result.Outcome != core.OutcomeCancelled {
		t.Errorf("cancelled run: got %+v, %v, want the outcome cancelled", got.result, got.err)
	}
	if err := got.result.Metering.Check(core.OutcomeCancelled); err != nil {
		t.Errorf("metering: %v", err)
	}
}

func execEnded(t T, s Subject[core.Executor]) {
	e := open(t, s)
	ended(t, func(ctx context.Context) error {
		_, err := e.Run(ctx, longTask(t, "ended"), ignore)
		return err
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := e.Run(ctx, longTask(t, "stopped"), ignore)
		done <- err
	}()
	cancel()
	wantIs(t, "run whose context was cancelled", <-done, context.Canceled)
}

func execVerify(t T, s Subject[core.Executor]) {
	e := open(t, s)
	result, err := e.Run(t.Context(), runRequest(t, "first", guestHello), ignore)
	must(t, "run", err)
	again, err := e.Verify(t.Context(), core.VerifyRequest{Run: runRequest(t, "second", guestHello), Expected: result})
	must(t, "verify", err)
	if !again.Match || len(again.Differences) > 0 || again.Result.Outcome != core.OutcomeOK {
		t.Errorf("verify: got %+v, want a match", again)
	}
	lie := result
	lie.Metering.Verifiable.Byte++
	lie.Outputs = []core.RunOutputDigest{{Name: core.StdoutName, SHA256: sha([]byte("something else")), SizeBytes: 14}}
	again, err = e.Verify(t.Context(), core.VerifyRequest{Run: runRequest(t, "third", guestHello), Expected: lie})
	must(t, "verify a lie", err)
	if again.Match || len(again.Differences) < 2 {
		t.Errorf("verify a lie: got %+v, want two differences", again)
	}
}

func execConcurrent(t T, s Subject[core.Executor]) {
	e := open(t, s)
	reqs := make([]core.RunRequest, 8)
	for i := range reqs {
		reqs[i] = runRequest(t, numbered("run", i), guestHello)
	}
	together(t, len(reqs), func(i int) error {
		var rec recorder
		result, err := e.Run(t.Context(), reqs[i], rec.emit)
		if err == nil && (result.Outcome != core.OutcomeOK || rec.stdout.String() != greeting) {
			return fmt.Errorf("got %+v and %q", result, rec.stdout.String())
		}
		return err
	})
}
