package store

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/zerostate/zerostate/plugins/index-hnsw/hnsw"
)

func damageOf(t *testing.T, dir string) *DamageError {
	t.Helper()
	s, err := Open(Config{Dir: dir})
	if err == nil {
		s.Close()
		return nil
	}
	var damage *DamageError
	if !errors.As(err, &damage) {
		t.Fatalf("got %v, want a DamageError", err)
	}
	return damage
}

// A log cut anywhere opens with the rows of the whole frames before the cut.
func TestTornLogIsCut(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	var ends []int64 // of the log, after each row
	for i := range 6 {
		mustUpsert(t, s, i, i+1)
		ends = append(ends, s.log.size)
	}
	s.Close()
	path := filepath.Join(dir, logName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := int64(len(logMagic)); cut <= int64(len(whole)); cut += 7 {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		want, _ := slices.BinarySearch(ends, cut+1)
		s := open(t, dir)
		if st, err := s.Stats(t.Context()); err != nil || st.Items != want {
			t.Fatalf("cut at %d: got %d items, %v, want %d", cut, st.Items, err, want)
		}
		mustUpsert(t, s, 100, 101) // and goes on after the cut
		s.Close()
		s = open(t, dir)
		if !holds(t, s, row(100)) {
			t.Fatalf("cut at %d: the row after it is lost", cut)
		}
		s.Close()
	}
}

func TestDamageInTheMiddleIsAnError(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	mustUpsert(t, s, 0, 5)
	mustUpsert(t, s, 5, 6)
	lastFrame := s.log.size
	mustUpsert(t, s, 6, 7)
	s.Close()
	path := filepath.Join(dir, logName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := int64(0); at < lastFrame; at += 5 {
		bad := slices.Clone(whole)
		bad[at] ^= 0x10
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		damage := damageOf(t, dir)
		if damage == nil {
			t.Fatalf("byte %d of %d changed: opened", at, len(whole))
		}
		if damage.Path != path || damage.Offset > at || !strings.Contains(damage.Error(), "restore") {
			t.Fatalf("byte %d: got %v", at, damage)
		}
	}
	// A frame taken out whole is noticed by the numbers.
	first := len(logMagic)
	payload, _, ok := frameAt(whole[first:])
	if !ok {
		t.Fatal("no first frame")
	}
	cut := slices.Delete(slices.Clone(whole), first, first+headerBytes+len(payload))
	if err := os.WriteFile(path, cut, 0o600); err != nil {
		t.Fatal(err)
	}
	if damageOf(t, dir) == nil {
		t.Error("a missing frame was not noticed")
	}
	// A sound frame of nonsense.
	if err := os.WriteFile(path, appendFrame([]byte(logMagic), 1, []byte{9}), 0o600); err != nil {
		t.Fatal(err)
	}
	if damageOf(t, dir) == nil {
		t.Error("nonsense was not noticed")
	}
}

func TestDamagedSnapshotIsAnError(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	mustUpsert(t, s, 0, 20)
	if err := s.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Close()
	path := filepath.Join(dir, snapshotName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(whole); at += 3 {
		bad := slices.Clone(whole)
		bad[at] ^= 4
		if at%2 == 0 {
			bad = whole[:at]
		}
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if damageOf(t, dir) == nil {
			t.Fatalf("damage at byte %d was not noticed", at)
		}
	}
}

// A crash between the snapshot and the new log leaves frames that the snapshot
// holds already.
func TestOldLogBesideNewSnapshot(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	mustUpsert(t, s, 0, 10)
	if _, err := s.Delete(t.Context(), []string{row(3).ID}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, logName)
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".tmp", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	mustUpsert(t, s, 10, 12)
	s.Close()
	s = open(t, dir)
	if st, _ := s.Stats(t.Context()); st.Items != 11 || holds(t, s, row(3)) {
		t.Errorf("got %d items, want 11", st.Items)
	}
	s.Close()
	if err := os.Remove(path); err != nil { // the snapshot alone is a backup
		t.Fatal(err)
	}
	if st, _ := open(t, dir).Stats(t.Context()); st.Items != 9 {
		t.Errorf("snapshot alone: got %d items, want 9", st.Items)
	}
}

const crashDir = "ZEROSTATE_TEST_CRASH_DIR"

// TestCrashChild is not a test of its own: TestKill runs it as a process that
// writes until it is killed, and says what was acknowledged.
func TestCrashChild(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		t.Skip("runs inside TestKill")
	}
	s, err := Open(Config{Dir: dir, Graph: hnsw.Config{M: 6, EfConstruction: 30}, SnapshotBytes: 8 << 10})
	if err != nil {
		t.Fatal(err)
	}
	st, err := s.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	say := func(what string, i int) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(os.Stderr, "%s %d\n", what, i)
	}
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			for i := 10*st.Items + w; ; i += 3 {
				mustUpsert(t, s, i, i+1)
				say("added", i)
				if i%10 == 0 {
					say("deleting", i)
					if _, err := s.Delete(t.Context(), []string{row(i).ID}); err != nil {
						t.Error(err)
					}
					say("deleted", i)
				}
			}
		})
	}
	wg.Wait()
}

// TestKill kills a writing process at random moments; every acknowledged
// upsert and delete must be there when the index is opened again.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	state := map[int]string{}
	r := rand.New(rand.NewPCG(2, 3))
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	for round := range rounds {
		killChild(t, dir, 20+r.IntN(150), state)
		s := open(t, dir)
		for i, what := range state {
			there := holds(t, s, row(i))
			if (what == "added" && !there) || (what == "deleted" && there) {
				t.Fatalf("round %d: row %d was %s, there: %v", round, i, what, there)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d rows written over %d kills", len(state), rounds)
}

func killChild(t *testing.T, dir string, after int, state map[int]string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCrashChild$")
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for seen := 0; lines.Scan(); seen++ {
		what, number, ok := strings.Cut(lines.Text(), " ")
		i, err := strconv.Atoi(number)
		if !ok || err != nil {
			continue // a line cut by the kill
		}
		state[i] = what
		if seen == after {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Fatalf("the child ended by itself: %v", err)
	}
}
