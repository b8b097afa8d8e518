package ledger

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/zerostate/zerostate/core"
)

// killDir tells a child of TestKill where its ledger is.
const killDir = "ZEROSTATE_TEST_LEDGER"

func killConfig(dir string) Config {
	clk := &clock{now: testNow}
	return Config{
		Dir: dir, Network: network, Node: signer("payer").DID(), Currency: "TEST", BalanceMicros: 1 << 40,
		MinDepositMicros: 1, ChallengeWindow: window, Now: clk.time,
	}
}

// TestMain is the child of TestKill where its directory is set: it opens channels
// and says each one's id once it is answered.
func TestMain(m *testing.M) {
	dir := os.Getenv(killDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	l, err := Open(killConfig(dir))
	for i := 0; err == nil; i++ {
		p := testParams(fmt.Sprint("n", i))
		raw, _ := p.Bytes()
		id, _ := p.ChannelID()
		_, err = l.Open(context.Background(), core.OpenRequest{Key: "k", Role: core.RolePayer, Params: raw, AuditHead: core.EmptyAuditHead()})
		fmt.Println(id)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// What was answered before a kill -9 is there afterwards.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), killDir+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var ids []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		ids = append(ids, strings.TrimSpace(lines.Text()))
		if len(ids) == 30 {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	var exit *exec.ExitError
	if err := child.Wait(); !errors.As(err, &exit) {
		t.Fatalf("child: %v", err)
	}
	if len(ids) < 30 {
		t.Fatalf("got %d channels, want at least 30", len(ids))
	}
	l, err := Open(killConfig(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Shutdown()
	for _, id := range ids {
		if got, err := l.Status(t.Context(), core.StatusRequest{Channel: id}); err != nil || len(got) != 1 || got[0].PendingKey != "k" {
			t.Errorf("channel %.8s: got %+v, %v, want its pending opening", id, got, err)
		}
	}
	if got := l.Balance(signer("payer").DID()); got > 1<<40-int64(len(ids))*deposit {
		t.Errorf("balance: got %d, want %d deposits less", got, len(ids))
	}
}

// Keys of finished calls stand for what they did, on both sides.
func TestFinishedKeys(t *testing.T) {
	p := newPair(t)
	opening := p.agree(t, p.open(t), false)
	lock := p.lock("a", 1, 100)
	add := p.update(t, core.Changes{Add: []core.Lock{lock}})
	full := p.agree(t, add, true)
	state, err := p.params.ParseState(full)
	if err != nil {
		t.Fatal(err)
	}
	state.Signatures = state.Signatures[:1]
	half, err := core.Encode(state)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := add(p.payee, core.RolePayee, "of key2", half); err != nil || !got.Committed || string(got.Document) != string(full) {
		t.Errorf("same key: got %+v, %v, want the committed document", got, err)
	}
	if _, err := add(p.payee, core.RolePayee, "of key1", half); !errors.Is(err, core.ErrConflict) {
		t.Errorf("key of another document: got %v, want %v", err, core.ErrConflict)
	}
	if _, err := add(p.payee, core.RolePayee, "new", half); !errors.Is(err, core.ErrConflict) {
		t.Errorf("committed state under a new key: got %v, want %v", err, core.ErrConflict)
	}
	next := p.sign(t, mustNext(t, p, full), "payer", "payee")
	if _, err := add(p.payee, core.RolePayee, "of key2", next); !errors.Is(err, core.ErrConflict) {
		t.Errorf("commit under a used key: got %v, want %v", err, core.ErrConflict)
	}
	if got, err := add(p.payer, core.RolePayer, "adopt", next); err != nil || !got.Committed {
		t.Errorf("adopting what both signed: got %+v, %v", got, err)
	}
	for _, key := range []string{"key1", "of key2"} {
		if _, err := p.payee.Dispute(t.Context(), core.DisputeRequest{Key: "of " + key, Channel: p.id, State: opening}); err == nil {
			t.Errorf("dispute under key %q: got no error", key)
		}
	}
	if err := p.payer.Shutdown(); err != nil {
		t.Error(err)
	}
	if _, err := p.close(t)(p.payer, core.RolePayer, "late", nil); !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("closed: got %v, want %v", err, core.ErrUnavailable)
	}
}

func mustNext(t *testing.T, p *pair, cur []byte) []byte {
	t.Helper()
	state, err := p.params.ParseState(cur)
	if err != nil {
		t.Fatal(err)
	}
	next, err := core.NextState(p.params, state, core.Changes{AuditHead: core.EmptyAuditHead()})
	if err != nil {
		t.Fatal(err)
	}
	b, err := core.Encode(next)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
