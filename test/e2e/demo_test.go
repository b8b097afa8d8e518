package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zerostate/zerostate/core"
)

// report is what demo --json prints; a member more or less is an error.
type report struct {
	OK    bool `json:"ok"`
	Nodes []struct {
		Name   string   `json:"name"`
		PID    int      `json:"pid"`
		PeerID string   `json:"peer_id"`
		Roles  []string `json:"roles"`
		Home   string   `json:"home"`
	} `json:"nodes"`
	Steps []struct {
		Task string  `json:"task"`
		Name string  `json:"name"`
		Ms   float64 `json:"ms"`
		OK   bool    `json:"ok"`
	} `json:"steps"`
	Tasks []struct {
		Query         string `json:"query"`
		Agent         string `json:"agent"`
		AgentName     string `json:"agent_name"`
		Module        string `json:"module"`
		Input         string `json:"input"`
		Output        string `json:"output"`
		OutputDigest  string `json:"output_digest"`
		Receipt       string `json:"receipt"`
		Verified      bool   `json:"verified"`
		ChargedMicros int64  `json:"charged_micros"`
	} `json:"tasks"`
	Channels []struct {
		Peer          string `json:"peer"`
		DepositMicros int64  `json:"deposit_micros"`
		PayerMicros   int64  `json:"payer_micros"`
		PayeeMicros   int64  `json:"payee_micros"`
		LockedMicros  int64  `json:"locked_micros"`
		Version       int64  `json:"version"`
	} `json:"channels"`
	Reputation []struct {
		Agent  string  `json:"agent"`
		Before float64 `json:"before"`
		After  float64 `json:"after"`
	} `json:"reputation"`
	LatencyMs map[string]float64 `json:"latency_ms"`
	TraceID   string             `json:"trace_id"`
}

// demo runs the tour and reads its one JSON object.
func demo(t *testing.T, bin string, args ...string) *report {
	t.Helper()
	stdout, code := run(t, bin, append([]string{"demo", "--json"}, args...)...)
	dec := json.NewDecoder(bytes.NewReader(stdout))
	dec.DisallowUnknownFields()
	var r report
	if err := dec.Decode(&r); err != nil {
		t.Fatalf("demo --json: %v\n%s", err, stdout)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		t.Fatalf("demo --json printed more than one object")
	}
	if code != 0 || !r.OK {
		t.Fatalf("demo: exit code %d, ok %v\n%s", code, r.OK, stdout)
	}
	return &r
}

func TestDemo(t *testing.T) {
	bin := binary(t)
	input := filepath.Join(t.TempDir(), "sales.csv")
	if err := os.WriteFile(input, []byte("region,units\nnorth,12\nsouth,30\nwest,7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	r := demo(t, bin, "--input", input, "--out", out)
	checkNodes(t, r)
	checkTasks(t, r, out, input)
	checkSteps(t, r)
	checkMoney(t, r)
	for _, name := range []string{"find_p50", "find_p95", "task_p50", "task_p95", "guild_p50", "guild_p95"} {
		if v, ok := r.LatencyMs[name]; !ok || v <= 0 {
			t.Errorf("latency_ms.%s: got %v, %v", name, v, ok)
		}
	}
	if len(r.TraceID) != 32 {
		t.Errorf("trace_id: got %q", r.TraceID)
	}
	if left := mentioning(filepath.Dir(r.Nodes[0].Home)); len(left) > 0 {
		t.Errorf("processes of the network are left: %v", left)
	}
	checkReceiptCommands(t, bin, r)
	if _, code := run(t, bin, "demo", "--out", out); code != 113 {
		t.Errorf("a second demo over the same --out: got exit code %d, want 113", code)
	}
}

func checkNodes(t *testing.T, r *report) {
	t.Helper()
	if len(r.Nodes) < 6 {
		t.Errorf("got %d nodes, want 6: bootstrap, index, three providers, caller", len(r.Nodes))
	}
	pids, peers := map[int]bool{}, map[string]bool{}
	for _, n := range r.Nodes {
		if n.Name == "" || n.Home == "" || len(n.Roles) == 0 || pids[n.PID] || peers[n.PeerID] {
			t.Errorf("node %+v: want a name, a home, roles, a process and a peer ID of its own", n)
		}
		pids[n.PID], peers[n.PeerID] = true, true
		if err := syscall.Kill(n.PID, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("node %s: its process %d is still there (%v)", n.Name, n.PID, err)
		}
	}
}

func checkTasks(t *testing.T, r *report, out, input string) {
	t.Helper()
	agents, modules, own := map[string]bool{}, map[string]bool{}, false
	for _, task := range r.Tasks {
		agents[task.Agent], modules[task.Module] = true, true
		own = own || task.Input == input
		if !task.Verified || task.Query == "" || task.AgentName == "" || task.ChargedMicros <= 0 {
			t.Errorf("task %+v: want verified, a query, a name and a charge", task)
		}
		for _, path := range []string{task.Output, task.Receipt} {
			if rel, err := filepath.Rel(out, path); err != nil || strings.HasPrefix(rel, "..") {
				t.Errorf("%s is not under --out", path)
			}
		}
		data, err := os.ReadFile(task.Output)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != task.OutputDigest {
			t.Errorf("%s does not have the digest that the report names", task.Output)
		}
		envelope, err := os.ReadFile(task.Receipt)
		if err != nil {
			t.Fatal(err)
		}
		checkReceipt(t, envelope, task.ChargedMicros, task.OutputDigest, task.Module)
	}
	if len(r.Tasks) < 6 || len(agents) < 5 || len(modules) < 5 || !own {
		t.Errorf("got %d tasks, %d agents, %d modules, one on the input: %v", len(r.Tasks), len(agents), len(modules), own)
	}
	if len(r.Reputation) != len(agents) {
		t.Errorf("got the reputation of %d agents, want %d", len(r.Reputation), len(agents))
	}
	for _, rep := range r.Reputation {
		if rep.After <= rep.Before {
			t.Errorf("reputation of %s: %v before, %v after a task that went well", rep.Agent, rep.Before, rep.After)
		}
	}
}

// checkReceipt holds the receipt to the report: price times metering is the charge.
func checkReceipt(t *testing.T, envelope []byte, charged int64, output, module string) {
	t.Helper()
	signed, err := core.ParseReceipt(envelope)
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := core.VerifyReceipt(envelope, signed.Receipt.Predicate.Network, false)
	if err != nil {
		t.Fatal(err)
	}
	p := receipt.Predicate
	units, err := p.Metering.Units(p.Price.Unit)
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(math.Ceil(float64(units*p.Price.PriceMicros) / float64(p.Price.PerUnits))); charged != want || p.ChargeMicros != want {
		t.Errorf("charged %d, receipt says %d, price times metering is %d", charged, p.ChargeMicros, want)
	}
	if p.ResolvedDependencies[1].Digest.SHA256 != module {
		t.Errorf("the receipt names module %s, the report %s", p.ResolvedDependencies[1].Digest.SHA256, module)
	}
	found := false
	for _, s := range receipt.Subject {
		found = found || s.Digest.SHA256 == output
	}
	if !found {
		t.Errorf("the receipt does not name the output %s", output)
	}
}

// checkSteps wants join once a node, publish once a card, and every step of
// every task.
func checkSteps(t *testing.T, r *report) {
	t.Helper()
	steps := map[string]map[string]int{}
	for _, s := range r.Steps {
		if !s.OK {
			t.Errorf("step %+v", s)
		}
		if steps[s.Name] == nil {
			steps[s.Name] = map[string]int{}
		}
		steps[s.Name][s.Task]++
	}
	for _, n := range r.Nodes {
		if steps["join"][n.Name] != 1 {
			t.Errorf("join of %s: got %d entries, want 1", n.Name, steps["join"][n.Name])
		}
	}
	if got := len(steps["publish"]); got < 8 || len(steps["join"]) != len(r.Nodes) {
		t.Errorf("got %d cards published, %d nodes joined; want 8 at least, %d", got, len(steps["join"]), len(r.Nodes))
	}
	for card, n := range steps["publish"] {
		if n != 1 {
			t.Errorf("publish of %s: got %d entries, want 1", card, n)
		}
	}
	for _, name := range []string{"find", "escrow", "form", "route", "execute", "settle", "dissolve", "verify"} {
		total := 0
		for task, n := range steps[name] {
			total += n
			if n != 1 {
				t.Errorf("%s of %s: got %d entries, want 1", name, task, n)
			}
		}
		if total != len(r.Tasks) {
			t.Errorf("%s: got %d entries, want one a task (%d)", name, total, len(r.Tasks))
		}
	}
}

func checkMoney(t *testing.T, r *report) {
	t.Helper()
	var charged, paid int64
	for _, task := range r.Tasks {
		charged += task.ChargedMicros
	}
	for _, ch := range r.Channels {
		paid += ch.PayeeMicros
		if ch.PayerMicros+ch.PayeeMicros+ch.LockedMicros != ch.DepositMicros || ch.Version < 1 {
			t.Errorf("channel %+v does not add up", ch)
		}
	}
	if charged != paid || paid == 0 {
		t.Errorf("charged %d, paid %d", charged, paid)
	}
}

// checkReceiptCommands runs receipt verify, with no node running, on the good
// receipts and on broken ones.
func checkReceiptCommands(t *testing.T, bin string, r *report) {
	t.Helper()
	for _, task := range r.Tasks {
		if stdout, code := run(t, bin, "receipt", "verify", task.Receipt); code != 0 {
			t.Errorf("receipt verify %s: exit code %d\n%s", task.Receipt, code, stdout)
		}
	}
	good, err := os.ReadFile(r.Tasks[0].Receipt)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, len(good) / 3, len(good) - 2} {
		bad := bytes.Clone(good)
		bad[at] ^= 1
		broken := filepath.Join(t.TempDir(), "broken.json")
		if err := os.WriteFile(broken, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, code := run(t, bin, "receipt", "verify", broken); code == 0 {
			t.Errorf("receipt verify: byte %d has a flipped bit, got exit code 0", at)
		}
	}
}
