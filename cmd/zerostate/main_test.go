package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/core"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"zerostate": main})
}

func TestScripts(t *testing.T) {
	golden, err := filepath.Abs("../../core/testdata/golden")
	if err != nil {
		t.Fatal(err)
	}
	configs, err := filepath.Abs("../../configs")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("GOLDEN", golden)
			e.Setenv("CONFIGS", configs)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits, "jsonobject": jsonObject,
		},
	})
}

// exits runs zerostate and wants an exit code: exits CODE ARG...
func exits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec("zerostate", args[1:]...)
	got := "0"
	if code, ok := err.(interface{ ExitCode() int }); ok {
		got = fmt.Sprint(code.ExitCode())
	}
	if got != args[0] {
		ts.Fatalf("zerostate %s: exit code %s, want %s", strings.Join(args[1:], " "), got, args[0])
	}
}

// jsonObject wants stdout to be one JSON object and nothing else, with these members.
func jsonObject(ts *testscript.TestScript, _ bool, args []string) {
	dec := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	var object map[string]any
	if err := dec.Decode(&object); err != nil {
		ts.Fatalf("stdout is no JSON object: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		ts.Fatalf("stdout holds more than one value")
	}
	for _, name := range args {
		if _, ok := object[name]; !ok {
			ts.Fatalf("no member %q in %v", name, object)
		}
	}
}

func TestExitCodes(t *testing.T) {
	detailed := connect.NewError(connect.CodeUnknown, errors.New("gate"))
	detail, err := connect.NewErrorDetail(&errdetails.ErrorInfo{Reason: "DENIED", Domain: "zerostate.dev"})
	if err != nil {
		t.Fatal(err)
	}
	detailed.AddDetail(detail)
	for name, tc := range map[string]struct {
		err  error
		want int
	}{
		"other":       {errors.New("x"), exitOther},
		"usage":       {usagef("x"), exitUsage},
		"invalid":     {fmt.Errorf("x: %w", core.ErrInvalid), exitInvalid},
		"not found":   {core.ErrNotFound, exitNotFound},
		"denied":      {core.ErrDenied, exitDenied},
		"conflict":    {core.ErrConflict, exitConflict},
		"exists":      {core.ErrExists, exitConflict},
		"deadline":    {context.DeadlineExceeded, exitDeadline},
		"exhausted":   {core.ErrExhausted, exitExhausted},
		"unavailable": {core.ErrUnavailable, exitUnavailable},
		"unsupported": {core.ErrUnsupported, exitUnsupported},
		"cancelled":   {context.Canceled, exitOther},
		"status":      {&statusError{42}, 42},
		"by code":     {connect.NewError(connect.CodeResourceExhausted, errors.New("x")), exitExhausted},
		"no token":    {connect.NewError(connect.CodeUnauthenticated, errors.New("x")), exitDenied},
		"by reason":   {fmt.Errorf("x: %w", detailed), exitDenied},
	} {
		t.Run(name, func(t *testing.T) {
			if got := (&app{started: true}).exitCode(tc.err); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
	if got := (&app{}).exitCode(errors.New("before a command ran")); got != exitUsage {
		t.Errorf("before a command ran: got %d, want %d", got, exitUsage)
	}
}

func TestGuestExit(t *testing.T) {
	for _, tc := range []struct {
		outcome core.Outcome
		code    int64
		want    int
	}{
		{core.OutcomeOK, 0, 0},
		{core.OutcomeExit, 1, 1},
		{core.OutcomeExit, 99, 99},
		{core.OutcomeExit, 100, 99},
		{core.OutcomeExit, 1 << 31, 99},
		{core.OutcomeTimeout, 0, exitDeadline},
		{core.OutcomeLimit, 0, exitExhausted},
		{core.OutcomeTrap, 0, exitOther},
		{core.OutcomeRefused, 0, exitDenied},
		{core.OutcomeLost, 0, exitUnavailable},
	} {
		if got := guestExit(tc.outcome, tc.code); got != tc.want {
			t.Errorf("%s %d: got %d, want %d", tc.outcome, tc.code, got, tc.want)
		}
	}
}

func TestOutDir(t *testing.T) {
	write := func(text string) func(io.Writer) error {
		return func(w io.Writer) error { _, err := io.WriteString(w, text); return err }
	}
	dir := t.TempDir()
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := openOut(filepath.Join(dir, "new"), false)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	for _, name := range []string{"", ".", "..", ".hidden", "a/b", `a\b`, "/etc/passwd", "../up", "a\nb", "a\x1bb", "a\u202eb", strings.Repeat("x", 129)} {
		if _, err := out.write(name, write("x")); !errors.Is(err, core.ErrInvalid) {
			t.Errorf("name %q: got %v, want ErrInvalid", name, err)
		}
	}
	if _, err := out.write("page.html", write("one")); err != nil {
		t.Fatal(err)
	}
	if _, err := out.write("page.html", write("two")); !errors.Is(err, core.ErrExists) {
		t.Errorf("second write: got %v, want ErrExists", err)
	}
	if err := out.free("page.html"); !errors.Is(err, core.ErrExists) {
		t.Errorf("free: got %v, want ErrExists", err)
	}
	if err := os.Symlink(victim, filepath.Join(dir, "new", "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := out.write("link", write("gotcha")); !errors.Is(err, core.ErrExists) {
		t.Errorf("through a link: got %v, want ErrExists", err)
	}
	out.force = true
	for name, text := range map[string]string{"page.html": "two", "link": "gotcha"} {
		if _, err := out.write(name, write(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, "new", name)); err != nil || string(got) != text {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, text)
		}
	}
	if got, err := os.ReadFile(victim); err != nil || string(got) != "mine" {
		t.Errorf("what the link pointed to: got %q, %v", got, err)
	}
	if _, err := out.write("half", func(io.Writer) error { return errors.New("broken") }); err == nil {
		t.Error("a failed write: got no error")
	}
	if _, err := os.Stat(filepath.Join(dir, "new", "half")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that could not be filled stays: %v", err)
	}
}

func TestMessageJSON(t *testing.T) {
	m := &nodev1.FindHit{Did: "did:key:x", PriceMicros: 1 << 52, Similarity: 0.5, Record: []byte(`{"a":1}`), Card: []byte{0xff}}
	data, err := json.Marshal(message{m})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"did":"did:key:x"`, `"price_micros":4503599627370496`, `"record":{"a":1}`, `"card":"/w=="`, `"evidence":null`, `"offer":0`} {
		if !bytes.Contains(data, []byte(want)) {
			t.Errorf("no %s in %s", want, data)
		}
	}
}

func TestMatchAgent(t *testing.T) {
	tree, err := tarball("", "core")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ data, want string }{
		"a.md":       {"# hi", "markdown"},
		"a.csv":      {"a,b\n1,2\n", "csvstats"},
		"broken.csv": {"a,b\n1\n", "checksum"},
		"a.json":     {`{"a":1}`, "jq"},
		"bad.json":   {`{"a":`, "checksum"},
		"a.yaml":     {"a: 1", "tojson"},
		"a.png":      {"not a picture", "checksum"},
		"a.txt":      {"some words", "wordcount"},
		"bad.tar.gz": {"x", "checksum"},
		"a.tar.gz":   {string(tree.data), "archive"},
		"a.bin":      {"\x00\xff", "checksum"},
		"empty.md":   {"", "checksum"},
	} {
		if got, _, _ := matchAgent(name, []byte(tc.data)); got != tc.want {
			t.Errorf("%s: got %s, want %s", name, got, tc.want)
		}
	}
}

func TestPercentile(t *testing.T) {
	values := []float64{5, 1, 4, 2, 3}
	for p, want := range map[float64]float64{50: 3, 95: 5, 100: 5, 1: 1} {
		if got := percentile(values, p); got != want {
			t.Errorf("P%.0f: got %v, want %v", p, got, want)
		}
	}
	if got := percentile(nil, 50); got != 0 {
		t.Errorf("of nothing: got %v", got)
	}
}
