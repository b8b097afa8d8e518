package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk"
)

// start runs the plugin behind the codec; stop shuts it down as the host does.
func start(t *testing.T, dir string, settings map[string]any) (r core.Router, stop func(), err error) {
	t.Helper()
	clock := func() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }
	client, err := sdk.Router.Builtin(t.Context(), plugin(), nil, clock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	_, err = client.Base().Configure(t.Context(), sdk.Configuration{Config: settings, Node: sdk.NodeContext{StateDir: dir}})
	return client.Impl(), func() {
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
	}, err
}

func mustStart(t *testing.T, dir string) (core.Router, func()) {
	t.Helper()
	r, stop, err := start(t, dir, map[string]any{"seed": 7, "save_every": "10h"})
	if err != nil {
		t.Fatal(err)
	}
	return r, stop
}

var request = core.RouteRequest{
	ID: "1", Destination: "did:key:x", Region: "eu", SLA: "interactive",
	Candidates: []core.RouteCandidate{
		{Path: core.PathDirect, RTT: 30 * time.Millisecond, RegionMatch: true},
		{Path: "relay", RTT: 50 * time.Millisecond, Reputation: 1, RegionMatch: true, Backbone: 1},
	},
}

func decide(t *testing.T, r core.Router) core.RouteDecision {
	t.Helper()
	ds, err := r.Decide(t.Context(), []core.RouteRequest{request})
	if err != nil || len(ds) != 1 {
		t.Fatalf("got %v, %v", ds, err)
	}
	return ds[0]
}

func fail(t *testing.T, r core.Router, path string, times int) {
	t.Helper()
	n, err := r.Observe(t.Context(), func(yield func(core.RouteOutcome, error) bool) {
		for range times {
			o := core.RouteOutcome{Destination: request.Destination, Region: "eu", SLA: "interactive", Path: path, Latency: time.Second, Features: request.Candidates[0]}
			if !yield(o, nil) {
				return
			}
		}
	})
	if n != times || err != nil {
		t.Fatalf("observe: got %d, %v, want %d", n, err, times)
	}
}

func TestWhatWasLearnedSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	r, stop := mustStart(t, dir)
	if d := decide(t, r); d.Path != core.PathDirect || d.ID != "1" || len(d.Scores) != 2 || d.Scores[0].Reason == "" {
		t.Fatalf("at first: got %+v, want direct, explained", d)
	}
	fail(t, r, core.PathDirect, 6)
	if d := decide(t, r); d.Path != "relay" {
		t.Fatalf("after failures: got %+v, want relay", d)
	}
	stop()
	if _, err := os.Stat(filepath.Join(dir, tableName)); err != nil {
		t.Fatal(err)
	}
	r, _ = mustStart(t, dir)
	if d := decide(t, r); d.Path != "relay" {
		t.Errorf("after a restart: got %+v, want relay", d)
	}
}

func TestPolicyMoves(t *testing.T) {
	r, _ := mustStart(t, t.TempDir())
	fail(t, r, core.PathDirect, 6)
	policy, err := r.ExportPolicy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	other, _ := mustStart(t, dir)
	if err := other.ImportPolicy(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	saved, err := os.ReadFile(filepath.Join(dir, tableName))
	if err != nil || !slices.Equal(saved, policy) {
		t.Errorf("the imported policy was not saved: %v", err)
	}
	if d := decide(t, other); d.Path != "relay" {
		t.Errorf("got %+v, want relay", d)
	}
	if err := other.ImportPolicy(t.Context(), []byte("{}")); !errors.Is(err, core.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

func TestRefusals(t *testing.T) {
	for _, settings := range []map[string]any{{"epsilon": 0.1, "epsilon_min": 0.2}, {"rate": 0}, {"rat": 1}} {
		if _, _, err := start(t, t.TempDir(), settings); !errors.Is(err, core.ErrInvalid) {
			t.Errorf("%v: got %v, want ErrInvalid", settings, err)
		}
	}
	r, _ := mustStart(t, t.TempDir())
	if _, err := r.Decide(t.Context(), []core.RouteRequest{request, {ID: "empty"}}); !errors.Is(err, core.ErrInvalid) {
		t.Errorf("no candidates: got %v, want ErrInvalid", err)
	}
	bad := func(yield func(core.RouteOutcome, error) bool) { yield(core.RouteOutcome{}, nil) }
	if n, err := r.Observe(t.Context(), bad); n != 0 || !errors.Is(err, core.ErrInvalid) {
		t.Errorf("no path: got %d, %v, want ErrInvalid", n, err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, tableName), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := start(t, dir, nil); err == nil || !strings.Contains(err.Error(), "delete it") {
		t.Errorf("damaged table: got %v, want what to do", err)
	}
}

func TestSavesInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		learner, err := newLearner(&config{Rate: 0.2, EpsilonDecay: 1, HalfLife: time.Hour, FailureCost: time.Second}, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "state")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		r, err := openRouter(learner, dir, time.Second, hclog.NewNullLogger())
		if err != nil {
			t.Fatal(err)
		}
		saved := func() bool {
			synctest.Wait()
			time.Sleep(1100 * time.Millisecond) // of the bubble's clock
			synctest.Wait()
			_, err := os.Stat(r.path)
			return err == nil
		}
		fail(t, r, "relay", 1)
		if !saved() {
			t.Error("nothing was saved")
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		fail(t, r, "relay", 1)
		if saved() {
			t.Error("saved where there is no directory")
		}
		if err := r.Drain(t.Context()); err == nil {
			t.Error("drain: got no error without a directory")
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if !saved() {
			t.Error("it was not tried again")
		}
		if err := errors.Join(r.Drain(t.Context()), r.Close(), r.Close()); err != nil {
			t.Error(err)
		}
	})
}
