package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestCommands runs what a user has beside the demo, each command against a
// running network.
func TestCommands(t *testing.T) {
	n := up(t, "--agent", "wordcount", "--agent", "checksum", "--agent", "csvstats", "--set", "serve.foreign_modules=true")
	t.Run("task", func(t *testing.T) { n.with(t).taskCommands() })
	t.Run("artifact", func(t *testing.T) { n.with(t).artifactCommands() })
	t.Run("channel", func(t *testing.T) { n.with(t).channelCommands() })
	t.Run("card", func(t *testing.T) { n.with(t).cardCommands() })
	t.Run("logs", func(t *testing.T) { n.with(t).logCommands() })
}

// agentAt is the did of the one agent that a provider publishes.
func (n *network) agentAt(provider string) string {
	n.t.Helper()
	var list struct {
		Cards []struct {
			DID string `json:"did"`
		} `json:"cards"`
	}
	n.at(provider, &list, "card", "show")
	if len(list.Cards) != 1 {
		n.t.Fatalf("%s publishes %d cards, want 1", provider, len(list.Cards))
	}
	return list.Cards[0].DID
}

// license is a text that agents work on.
func (n *network) license() string { return filepath.Join(root(n.t), "LICENSE") }

func (n *network) taskCommands() {
	t, in := n.t, "text="+n.license()
	var done task
	out := t.TempDir()
	// A whole manifest with a module of the caller's own, at the price of the agent
	// on whose node it runs.
	manifest := n.foreignManifest()
	n.at("caller", &done, "task", "run", manifest, "--provider", n.agentAt("provider-1"), "--in", in, "--out", out)
	if _, err := os.Stat(filepath.Join(out, "counts.json")); err != nil || done.Outcome != "ok" || done.Node != n.nodes["provider-1"].DID {
		t.Errorf("task run MANIFEST: %+v, %v", done, err)
	}
	n.fails("caller", exitConflict, "is there already", "task", "run", manifest, "--provider", n.agentAt("provider-1"), "--in", in, "--out", out)

	// An agent of the node's own: nothing to pay, no receipt, but its outputs.
	own, out := task{}, t.TempDir()
	n.at("provider-3", &own, "task", "run", "--agent", n.agentAt("provider-3"), "--in", in, "--out", out)
	if _, err := os.Stat(filepath.Join(out, "counts.json")); err != nil || own.ReceiptPath != "" || own.ChargedMicros != 0 {
		t.Errorf("an agent of the node's own: %+v, %v", own, err)
	}

	var list struct {
		Tasks []task `json:"tasks"`
	}
	n.at("caller", &list, "task", "list")
	if len(list.Tasks) == 0 || list.Tasks[0].Task != done.Task {
		t.Errorf("task list: got %+v, want %s first", list.Tasks, done.Task)
	}
	var status struct {
		Task task `json:"task"`
	}
	n.at("caller", &status, "task", "status", done.Task[:10])
	if status.Task.State != "done" || status.Task.ChargedMicros != done.ChargedMicros {
		t.Errorf("task status: %+v", status.Task)
	}
	var logs struct {
		Stdout string `json:"stdout"`
	}
	n.at("caller", &logs, "task", "logs", done.Task)
	if logs.Stdout == "" {
		t.Error("task logs: nothing")
	}
	n.fails("caller", exitConflict, "has ended", "task", "cancel", done.Task)
	n.fails("caller", exitNotFound, "", "task", "status", "ffffffffffff")
	n.fails("caller", exitNotFound, "", "task", "run", "--agent", n.agentAt("provider-3"), "--in", "text=missing.txt")
}

// foreignManifest copies the word counter and asks the checksum agent's price.
func (n *network) foreignManifest() string {
	n.t.Helper()
	dir := filepath.Join(n.t.TempDir(), "own")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(filepath.Dir(n.bin), "agents", "wordcount"))); err != nil {
		n.t.Fatal(err)
	}
	file := filepath.Join(dir, "task.yaml")
	data, err := os.ReadFile(file) //nolint:gosec // the test's own copy
	if err != nil {
		n.t.Fatal(err)
	}
	data = bytes.Replace(data, []byte("unit: byte, priceMicros: 1, perUnits: 1000"), []byte("unit: req, priceMicros: 200, perUnits: 1"), 1)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		n.t.Fatal(err)
	}
	return file
}

func (n *network) artifactCommands() {
	t := n.t
	want, err := os.ReadFile(n.license())
	if err != nil {
		t.Fatal(err)
	}
	var public, private struct {
		CID string `json:"cid"`
	}
	n.at("caller", &public, "artifact", "add", "--public", n.license())
	file := filepath.Join(t.TempDir(), "copy")
	n.at("provider-2", &struct{}{}, "artifact", "get", public.CID, "--out", file)
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) { //nolint:gosec // the test's own directory
		t.Errorf("artifact get: %d bytes, %v; want %d", len(got), err, len(want))
	}
	n.fails("provider-2", exitConflict, "is there already", "artifact", "get", public.CID, "--out", file)

	n.at("caller", &private, "artifact", "add", filepath.Join(root(t), "README.md"))
	n.at("caller", &struct{}{}, "artifact", "get", private.CID, "--out", filepath.Join(t.TempDir(), "mine"))
}

type channelState struct {
	Channel       string `json:"channel"`
	DepositMicros int64  `json:"deposit_micros"`
	Closed        bool   `json:"closed"`
	Disputed      bool   `json:"disputed"`
	PayerMicros   int64  `json:"payer_micros"`
	PayeeMicros   int64  `json:"payee_micros"`
	LockedMicros  int64  `json:"locked_micros"`
}

func (n *network) channelCommands() {
	t := n.t
	const deposit = "5000000"
	for _, end := range []string{"close", "dispute"} {
		var ch channelState
		n.at("caller", &ch, "channel", "open", n.nodes["provider-2"].DID, "--deposit", deposit)
		if ch.DepositMicros != 5_000_000 || ch.PayerMicros != ch.DepositMicros || ch.Closed {
			t.Fatalf("channel open: %+v", ch)
		}
		n.at("caller", &ch, "channel", "update", ch.Channel[:12])
		n.at("caller", &ch, "channel", end, ch.Channel[:12])
		n.at("caller", &ch, "channel", "show", ch.Channel)
		if ch.PayerMicros+ch.PayeeMicros+ch.LockedMicros != ch.DepositMicros || (!ch.Closed && end == "close") || (!ch.Disputed && end == "dispute") {
			t.Errorf("channel %s: %+v", end, ch)
		}
	}
	n.fails("caller", exitNotFound, "no channel", "channel", "show", "ffff")
	n.fails("caller", exitInvalid, "", "channel", "open", "did:key:nobody")
	var guilds struct {
		Guilds []struct{} `json:"guilds"`
	}
	n.at("caller", &guilds, "guild", "list")
	if len(guilds.Guilds) != 0 {
		t.Errorf("guild list: %d guilds outlive their tasks", len(guilds.Guilds))
	}
	n.fails("caller", exitNotFound, "no guild", "guild", "show", "ffff")
}

func (n *network) cardCommands() {
	t, did := n.t, n.agentAt("provider-1")
	raw, code := run(t, n.bin, "card", "show", did, "--raw", "--home", n.nodes["provider-1"].Home)
	file := filepath.Join(t.TempDir(), "card.json")
	if err := os.WriteFile(file, raw, 0o600); err != nil || code != 0 {
		t.Fatalf("card show --raw: exit code %d, %v", code, err)
	}
	var verified, resolved struct {
		Verified bool   `json:"verified"`
		DID      string `json:"did"`
		Seq      int64  `json:"seq"`
	}
	n.json(&verified, "card", "verify", file)
	if !verified.Verified || verified.DID != did {
		t.Errorf("card verify: %+v", verified)
	}
	n.at("provider-1", &struct{}{}, "card", "update", "checksum", "--from", filepath.Join(filepath.Dir(n.bin), "agents", "checksum"))
	n.at("provider-1", &resolved, "card", "show", did)
	if resolved.Seq <= verified.Seq {
		t.Errorf("card update: seq %d, was %d", resolved.Seq, verified.Seq)
	}
	if _, code := run(t, n.bin, "card", "verify", file, "--newer-than", "9000000000000"); code != exitConflict {
		t.Errorf("card verify --newer-than: exit code %d, want %d", code, exitConflict)
	}
	n.fails("provider-1", exitNotFound, "", "card", "update", "nobody", "--from", filepath.Join(filepath.Dir(n.bin), "agents", "wordcount"))
}

func (n *network) logCommands() {
	t := n.t
	var rep struct {
		Size    int64 `json:"size"`
		Checked int64 `json:"checked"`
	}
	n.at("caller", &rep, "reputation", "verify")
	if rep.Size == 0 || rep.Checked != rep.Size {
		t.Errorf("reputation verify: %+v", rep)
	}
	var anchored, audit struct {
		Size    int64    `json:"size"`
		Anchors []string `json:"anchors"`
	}
	n.at("caller", &anchored, "audit", "anchor")
	n.at("caller", &audit, "audit", "verify")
	if anchored.Size == 0 || audit.Size < anchored.Size || len(audit.Anchors) == 0 {
		t.Errorf("audit: anchored %+v, verified %+v", anchored, audit)
	}
	n.fails("caller", exitDenied, "", "audit", "verify", "--seen", "1:0000000000000000000000000000000000000000000000000000000000000000")
}

// TestDemoRefuses wants demo to say what is wrong with its flags before anything
// starts.
func TestDemoRefuses(t *testing.T) {
	bin, dir := binary(t), t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args []string
		code int
	}{
		"missing input":   {[]string{"--input", filepath.Join(dir, "missing")}, exitNotFound},
		"input directory": {[]string{"--input", dir}, exitInvalid},
		"out is a file":   {[]string{"--out", file}, exitInvalid},
		"missing config":  {[]string{"--config", filepath.Join(dir, "missing.hcl")}, exitNotFound},
		"bad word":        {[]string{"--use", "index"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			if out, code := run(t, bin, append([]string{"demo"}, tc.args...)...); code != tc.code || len(out) > 0 {
				t.Errorf("got exit code %d, want %d\n%s", code, tc.code, out)
			}
		})
	}
	alone := filepath.Join(dir, "zerostate")
	if data, err := os.ReadFile(bin); err != nil || os.WriteFile(alone, data, 0o700) != nil { //nolint:gosec // runs
		t.Fatal(err)
	}
	if _, stderr, code := command(t, alone, "demo"); code != exitNotFound || !bytes.Contains(stderr, []byte("make build")) {
		t.Errorf("without agents: got exit code %d and %q, want %d and make build", code, stderr, exitNotFound)
	}
}
