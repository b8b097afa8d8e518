package replog

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/zerostate/zerostate/core"
)

const network = "zerostate-test"

var testNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func signer(name string) core.Signer {
	seed := sha256.Sum256([]byte("zerostate-test-" + name))
	return core.NewSigner(ed25519.NewKeyFromSeed(seed[:]))
}

func hexOf(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// event is a signed event of a rater about an agent; task makes it unique.
func event(t *testing.T, rater, agent, node, task string, outcome core.Outcome) []byte {
	t.Helper()
	sum := &core.WorkSummary{
		Agent: signer(agent).DID(), Attempt: 1, Network: network, Node: signer(node).DID(), Outcome: outcome,
		Requester: signer(rater).DID(), RequesterNode: signer(rater).DID(), Task: hexOf(task),
	}
	if err := core.Sign(sum, signer(agent)); err != nil {
		t.Fatal(err)
	}
	e := &core.Event{
		Agent: sum.Agent, Attempt: 1, Network: network, Node: sum.Node, Outcome: outcome, Rater: sum.Requester,
		Receipt: hexOf("receipt" + task), Summary: sum, Task: sum.Task, Time: core.TimeOf(testNow),
	}
	if err := core.Sign(e, signer(rater)); err != nil {
		t.Fatal(err)
	}
	b, err := core.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func open(t *testing.T, dir string) (*Log, error) {
	t.Helper()
	l, err := Open(Config{Dir: dir, Network: network, Now: func() time.Time { return testNow }, Scoring: DefaultScoring()})
	if err == nil {
		t.Cleanup(func() { l.Close() })
	}
	return l, err
}

func mustOpen(t *testing.T, dir string) *Log {
	t.Helper()
	l, err := open(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func add(t *testing.T, l *Log, data []byte) core.AppendResult {
	t.Helper()
	r, err := l.Append(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func fill(t *testing.T, l *Log, n int) {
	t.Helper()
	for i := range n {
		add(t, l, event(t, "rater", "agent", "node", fmt.Sprint("task", i), core.OutcomeOK))
	}
}

func TestAppendAndReopen(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir)
	first := event(t, "rater", "agent", "node", "1", core.OutcomeOK)
	second := event(t, "rater", "other", "node", "2", core.OutcomeTrap)
	for i, c := range []struct {
		data []byte
		want core.AppendResult
	}{
		{first, core.AppendResult{Index: 0}},
		{second, core.AppendResult{Index: 1}},
		{first, core.AppendResult{Index: 0, Duplicate: true}},
	} {
		if got := add(t, l, c.data); got != c.want {
			t.Errorf("append %d: got %+v, want %+v", i, got, c.want)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, dir)
	if got := add(t, l, second); got != (core.AppendResult{Index: 1, Duplicate: true}) {
		t.Errorf("after a restart: got %+v", got)
	}
	for _, c := range []struct {
		agent core.DID
		want  []string
	}{
		{"", []string{string(first), string(second)}},
		{signer("other").DID(), []string{string(second)}},
		{signer("nobody").DID(), nil},
	} {
		var got []string
		for e, err := range l.History(t.Context(), c.agent) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(e.Event))
		}
		if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("history of %q: got %d events, want %d", c.agent, len(got), len(c.want))
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	l := mustOpen(t, t.TempDir())
	good := event(t, "rater", "agent", "node", "1", core.OutcomeOK)
	forged := strings.ReplaceAll(string(good), `"outcome":"ok"`, `"outcome":"trap"`)
	cases := []struct {
		name string
		data string
		want error
	}{
		{"nothing", "", core.ErrInvalid},
		{"trailing newline", string(good) + "\n", core.ErrInvalid},
		{"forged", forged, core.ErrDenied},
	}
	for _, c := range cases {
		if _, err := l.Append(t.Context(), []byte(c.data)); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	l.Close()
	if _, err := l.Append(t.Context(), good); !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("closed: got %v, want %v", err, core.ErrUnavailable)
	}
	if _, err := l.Checkpoint(t.Context(), core.CheckpointRequest{Key: "k"}); !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("closed: got %v, want %v", err, core.ErrUnavailable)
	}
}

// A crash leaves any prefix of the last record: every one must open with the
// events before it.
func TestTornTail(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir)
	fill(t, l, 2)
	whole := l.file.end
	fill2 := event(t, "rater", "agent", "node", "last", core.OutcomeOK)
	add(t, l, fill2)
	l.Close()
	data, err := os.ReadFile(filepath.Join(dir, "events.log"))
	if err != nil {
		t.Fatal(err)
	}
	for n := range data {
		if in := n - int(whole); n > len(magic) && in < 0 && n%199 != 0 || in > headerBytes+2 && in < len(data)-int(whole)-6 && n%23 != 0 {
			continue // each open syncs: every byte of a header, a sample of the rest
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "events.log"), data[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := open(t, dir)
		if err != nil {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
		if n >= int(whole) && (len(l.entries) != 2 || l.file.end != whole) {
			t.Errorf("cut to %d bytes: got %d events and %d bytes, want 2 and %d", n, len(l.entries), l.file.end, whole)
		}
		if got := add(t, l, fill2); got.Duplicate || got.Index != int64(len(l.entries))-1 {
			t.Errorf("cut to %d bytes: append answers %+v", n, got)
		}
		l.Close()
	}
}

func TestDamageIsRefused(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir)
	fill(t, l, 3)
	ends := l.entries[1].at
	l.Close()
	data, err := os.ReadFile(filepath.Join(dir, "events.log"))
	if err != nil {
		t.Fatal(err)
	}
	flip := func(at int64) []byte {
		b := append([]byte(nil), data...)
		b[at] ^= 1
		return b
	}
	record := func(i int) []byte { // the record whose event is entry i
		e := l.entries[i].at
		return data[e.offset-headerBytes : e.offset+int64(e.length)+crcBytes]
	}
	cases := []struct {
		name string
		data []byte
		want string
	}{
		{"event", flip(ends.offset + 10), "is damaged"},
		{"length", flip(ends.offset - headerBytes + 1), "is damaged"},
		{"magic", flip(0), "is not a reputation log"},
		{"record taken out", append(append([]byte(magic), record(0)...), record(2)...), "the log was changed"},
		{"order changed", append(append([]byte(magic), record(1)...), record(0)...), "the log was changed"},
	}
	for _, c := range cases {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "events.log"), c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := open(t, dir); err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, core.ErrInvalid) {
			t.Errorf("%s: got %v, want it to say %q", c.name, err, c.want)
		}
	}
}

func TestProve(t *testing.T) {
	l := mustOpen(t, t.TempDir())
	const n = 9
	fill(t, l, n)
	hasher := rfc6962.DefaultHasher
	for size := int64(1); size <= n; size++ {
		for index := range size {
			p, err := l.Prove(t.Context(), core.ProveRequest{Index: index, Size: size})
			if err != nil {
				t.Fatal(err)
			}
			path := make([][]byte, len(p.Path))
			for i, h := range p.Path {
				path[i], _ = hex.DecodeString(h)
			}
			leaf, _ := hex.DecodeString(p.LeafHash)
			root, _ := hex.DecodeString(p.Root)
			if err := proof.VerifyInclusion(hasher, uint64(index), uint64(size), leaf, path, root); err != nil {
				t.Errorf("event %d of %d: %v", index, size, err)
			}
		}
	}
	whole, err := l.Prove(t.Context(), core.ProveRequest{Index: 1})
	if err != nil || whole.Size != n {
		t.Errorf("whole log: got size %d, %v, want %d", whole.Size, err, n)
	}
	for _, c := range []struct {
		req  core.ProveRequest
		want error
	}{
		{core.ProveRequest{Index: n}, core.ErrNotFound},
		{core.ProveRequest{Index: 0, Size: n + 1}, core.ErrNotFound},
		{core.ProveRequest{Index: 3, Size: 3}, core.ErrInvalid},
		{core.ProveRequest{Index: -1}, core.ErrInvalid},
	} {
		if _, err := l.Prove(t.Context(), c.req); !errors.Is(err, c.want) {
			t.Errorf("prove %+v: got %v, want %v", c.req, err, c.want)
		}
	}
}

func signed(t *testing.T, doc []byte, name string) []byte {
	t.Helper()
	c, err := core.Parse[core.Checkpoint](doc)
	if err != nil {
		t.Fatal(err)
	}
	if err := core.Sign(c, signer(name)); err != nil {
		t.Fatal(err)
	}
	b, err := core.Encode(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCheckpoint(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir)
	fill(t, l, 3)
	ask := core.CheckpointRequest{Key: "one", Node: signer("node").DID(), Time: core.TimeOf(testNow)}
	first, err := l.Checkpoint(t.Context(), ask)
	if err != nil || first.Committed {
		t.Fatalf("got %v, %v", first, err)
	}
	l.Close()
	l = mustOpen(t, dir)
	add(t, l, event(t, "rater", "agent", "node", "later", core.OutcomeOK))
	again, err := l.Checkpoint(t.Context(), ask)
	if err != nil || string(again.Document) != string(first.Document) {
		t.Errorf("same key: got %s, %v, want the same bytes", again.Document, err)
	}
	other := ask
	other.Key = "two"
	var pending *core.PendingError
	if _, err := l.Checkpoint(t.Context(), other); !errors.Is(err, core.ErrConflict) || !errors.As(err, &pending) || pending.Key != "one" {
		t.Errorf("other key: got %v, want the pending one", err)
	}
	commit := ask
	commit.Signed = signed(t, first.Document, "node")
	for range 2 {
		got, err := l.Checkpoint(t.Context(), commit)
		if err != nil || !got.Committed || string(got.Document) != string(commit.Signed) {
			t.Errorf("commit: got %v, %v", got.Committed, err)
		}
	}
	l.Close()
	l = mustOpen(t, dir)
	if got, err := l.Checkpoint(t.Context(), ask); err != nil || !got.Committed {
		t.Errorf("after a restart: got %+v, %v", got, err)
	}
	for _, c := range []struct {
		name string
		req  core.CheckpointRequest
		want error
	}{
		{"no key", core.CheckpointRequest{}, core.ErrInvalid},
		{"nothing pending", core.CheckpointRequest{Key: "x", Signed: commit.Signed}, core.ErrConflict},
		{"other bytes", core.CheckpointRequest{Key: "one", Signed: []byte("x")}, core.ErrConflict},
		{"no node", core.CheckpointRequest{Key: "x", Time: ask.Time}, core.ErrInvalid},
	} {
		if _, err := l.Checkpoint(t.Context(), c.req); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	two, err := l.Checkpoint(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	other.Signed = two.Document
	if _, err := l.Checkpoint(t.Context(), other); !errors.Is(err, core.ErrDenied) && !errors.Is(err, core.ErrInvalid) {
		t.Errorf("unsigned: got %v", err)
	}
	other.Signed = commit.Signed
	if _, err := l.Checkpoint(t.Context(), other); !errors.Is(err, core.ErrConflict) {
		t.Errorf("another checkpoint: got %v, want %v", err, core.ErrConflict)
	}
}

// A log that is shorter than, or differs from, the last signed checkpoint was
// changed by someone who can make checksums and chain right.
func TestCheckpointHoldsTheLog(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir)
	fill(t, l, 2)
	ask := core.CheckpointRequest{Key: "one", Node: signer("node").DID(), Time: core.TimeOf(testNow)}
	doc, err := l.Checkpoint(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	ask.Signed = signed(t, doc.Document, "node")
	if _, err := l.Checkpoint(t.Context(), ask); err != nil {
		t.Fatal(err)
	}
	l.Close()
	for _, c := range []struct {
		outcomes []core.Outcome
		want     string
	}{
		{[]core.Outcome{core.OutcomeOK}, "the end of the log is missing"},
		{[]core.Outcome{core.OutcomeOK, core.OutcomeTrap}, "not those of the last signed checkpoint"},
	} {
		if err := os.Remove(filepath.Join(dir, "events.log")); err != nil {
			t.Fatal(err)
		}
		f, err := openFile(dir, "events.log")
		if err != nil {
			t.Fatal(err)
		}
		if err := f.begin(); err != nil {
			t.Fatal(err)
		}
		for i, o := range c.outcomes {
			if _, err := f.append(event(t, "rater", "agent", "node", fmt.Sprint("task", i), o)); err != nil {
				t.Fatal(err)
			}
		}
		f.close()
		if _, err := open(t, dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want it to say %q", err, c.want)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, marksName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, dir); !errors.Is(err, core.ErrInvalid) {
		t.Errorf("damaged checkpoint: got %v, want %v", err, core.ErrInvalid)
	}
}

func TestFailedWriteStopsTheLog(t *testing.T) {
	l := mustOpen(t, t.TempDir())
	l.file.f.Close()
	for range 2 {
		if _, err := l.Append(t.Context(), event(t, "rater", "agent", "node", "1", core.OutcomeOK)); !errors.Is(err, core.ErrUnavailable) {
			t.Errorf("got %v, want %v", err, core.ErrUnavailable)
		}
	}
	if len(l.entries) != 0 {
		t.Errorf("got %d events, want none: it was not acknowledged", len(l.entries))
	}
}

func scoreOf(t *testing.T, l *Log, agent string, raters ...core.RaterWeight) core.Score {
	t.Helper()
	got, err := l.Score(t.Context(), core.ScoreRequest{
		Subjects: []core.Subject{{Agent: signer(agent).DID(), Node: signer("node").DID()}}, Raters: raters,
	})
	if err != nil || len(got) != 1 {
		t.Fatalf("got %v, %v", got, err)
	}
	return got[0]
}

func TestScore(t *testing.T) {
	self := core.RaterWeight{Rater: signer("self").DID(), Self: true}
	peer := func(name string, paid int64) core.RaterWeight {
		return core.RaterWeight{Rater: signer(name).DID(), PaidMicros: paid}
	}
	l := mustOpen(t, t.TempDir())
	unknown := scoreOf(t, l, "agent", self)
	if math.Abs(unknown.Value-0.7071) > 1e-4 || unknown.Value != unknown.Prior || unknown.Events != 0 {
		t.Errorf("unknown: got %+v, want 0.7071", unknown)
	}
	add(t, l, event(t, "self", "agent", "node", "1", core.OutcomeOK))
	good := scoreOf(t, l, "agent", self)
	if good.Value <= unknown.Value || good.Events != 1 || len(good.Explanation) == 0 {
		t.Errorf("one good event: got %+v, want more than %v", good, unknown.Value)
	}
	add(t, l, event(t, "self", "agent", "node", "1", core.OutcomeTrap))
	if got := scoreOf(t, l, "agent", self); got.Value != good.Value || got.Events != 1 {
		t.Errorf("a second event about one attempt: got %+v, want it not to count", got)
	}
	for i := range 50 {
		add(t, l, event(t, "sybil", "agent", "node", fmt.Sprint("s", i), core.OutcomeTrap))
	}
	if got := scoreOf(t, l, "agent", self); got.Value != good.Value {
		t.Errorf("raters nobody chose: got %v, want %v", got.Value, good.Value)
	}
	add(t, l, event(t, "payee", "agent", "node", "p", core.OutcomeTrap))
	capped := scoreOf(t, l, "agent", self, peer("payee", 1_000_000))
	alone := scoreOf(t, l, "agent", self, peer("payee", 100), peer("rest", 900))
	if capped.Value != alone.Value || capped.Value >= good.Value || capped.Events != 2 {
		t.Errorf("a rater is capped at 10%%: got %v and %v below %v", capped.Value, alone.Value, good.Value)
	}
	add(t, l, event(t, "self", "agent", "node", "2", core.OutcomeCancelled))
	if got := scoreOf(t, l, "agent", self); got.Value != good.Value {
		t.Errorf("cancelled: got %v, want %v", got.Value, good.Value)
	}
	for i, o := range []core.Outcome{core.OutcomeTimeout, core.OutcomeLost, core.OutcomeTrap} {
		add(t, l, event(t, "self", "bad", "node", fmt.Sprint("b", i), o))
	}
	if got := scoreOf(t, l, "bad", self); got.Value >= 0.5 {
		t.Errorf("three bad events: got %v, want less than 0.5", got.Value)
	}
	if fresh := scoreOf(t, l, "fresh", self); fresh.Value >= unknown.Value || fresh.Events != 0 {
		t.Errorf("a new agent of a bad node: got %+v, want less than %v", fresh, unknown.Value)
	}
	_, err := l.Score(t.Context(), core.ScoreRequest{Raters: []core.RaterWeight{{Rater: "x", PaidMicros: -1}}})
	if !errors.Is(err, core.ErrInvalid) {
		t.Errorf("negative weight: got %v, want %v", err, core.ErrInvalid)
	}
}

func TestBetaQuantile(t *testing.T) {
	cases := []struct{ p, a, b, want float64 }{
		{0.25, 4, 1, 0.70710678}, // x^4 = 1/4
		{0.5, 1, 1, 0.5},
		{0.5, 3, 3, 0.5},
		{0.75, 1, 4, 1 - 0.70710678},
		{0.05, 10, 2, 0.63564}, // tables
	}
	for _, c := range cases {
		if got := betaQuantile(c.p, c.a, c.b); math.Abs(got-c.want) > 1e-4 {
			t.Errorf("quantile %v of Beta(%v, %v): got %v, want %v", c.p, c.a, c.b, got, c.want)
		}
	}
	if _, err := Open(Config{Dir: t.TempDir()}); !errors.Is(err, core.ErrInvalid) {
		t.Errorf("no scoring: got %v, want %v", err, core.ErrInvalid)
	}
}
