package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// soon is how fast every node must know of a newer card: the network's promise.
const soon = 5 * time.Second

// TestRevokeAndUpdate updates a card and revokes another, and holds every node to
// what it promises: within five seconds, find and resolve know.
func TestRevokeAndUpdate(t *testing.T) {
	n := up(t, "--agent", "csvstats", "--agent", "wordcount")
	var list struct {
		Cards []struct {
			Name string `json:"name"`
			DID  string `json:"did"`
		} `json:"cards"`
	}
	dids := map[string]string{}
	for _, name := range []string{"provider-1", "provider-2"} {
		n.at(name, &list, "card", "show")
		for _, c := range list.Cards {
			dids[c.Name] = c.DID
		}
	}
	const words, table = "count the words in this text", "statistics of this CSV table"
	for _, name := range names() { // what is revoked later was known everywhere before
		n.sees(name, dids["wordcount"], words, "Word counter", true)
		n.sees(name, dids["csvstats"], table, "CSV statistics", true)
	}

	dir := filepath.Join(t.TempDir(), "wordcount")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(filepath.Dir(n.bin), "agents", "wordcount"))); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "card.yaml")
	spec, err := os.ReadFile(file) //nolint:gosec // the test's own copy
	if err != nil {
		t.Fatal(err)
	}
	renamed := strings.Replace(string(spec), "name: Word counter", "name: Tally of words", 1)
	if err := os.WriteFile(file, []byte(renamed), 0o600); err != nil {
		t.Fatal(err)
	}
	n.at("provider-2", &struct{}{}, "card", "update", "wordcount", "--from", dir)
	n.everywhere("the update", dids["wordcount"], words, "Tally of words", true)

	n.at("provider-1", &struct{}{}, "card", "revoke", "csvstats")
	n.everywhere("the revocation", dids["csvstats"], table, "CSV statistics", false)
	n.fails("provider-1", exitConflict, "revoked", "card", "update", "csvstats", "--from", filepath.Join(filepath.Dir(n.bin), "agents", "csvstats"))
}

// everywhere waits until every node sees it so, side by side, and holds the
// slowest to the promise.
func (n *network) everywhere(what, did, query, agent string, there bool) {
	n.t.Helper()
	start := time.Now()
	var wg sync.WaitGroup
	for _, name := range names() {
		wg.Go(func() {
			n.sees(name, did, query, agent, there)
			took := time.Since(start)
			n.t.Logf("%s knows of %s after %s", name, what, took.Round(time.Millisecond))
			if took > soon {
				n.t.Errorf("%s knows of %s after %s, want %s at most", name, what, took, soon)
			}
		})
	}
	wg.Wait()
}

// sees waits until find and resolve of a node show the agent under this name, or
// do not show it at all.
func (n *network) sees(name, did, query, agent string, there bool) {
	deadline := time.Now().Add(patience)
	for {
		found, resolved := n.found(name, did, query), n.resolved(name, did)
		if there == (found == agent) && there == (resolved == agent) && (there || found+resolved == "") {
			return
		}
		if time.Now().After(deadline) {
			n.t.Errorf("%s: find shows %q, resolve %q; want %q: %v", name, found, resolved, agent, there)
			return
		}
	}
}

// found is the name under which find at a node shows an agent, empty where it
// does not.
func (n *network) found(name, did, query string) string {
	stdout, _, code := command(n.t, n.bin, "find", query, "--json", "--home", n.nodes[name].Home)
	var out struct {
		Hits []struct {
			DID  string `json:"did"`
			Name string `json:"name"`
		} `json:"hits"`
	}
	if err := json.Unmarshal(stdout, &out); err != nil || code != 0 {
		n.t.Errorf("find at %s: exit code %d, %v\n%s", name, code, err, stdout)
	}
	for _, h := range out.Hits {
		if h.DID == did {
			return h.Name
		}
	}
	return ""
}

// resolved is the name under which resolve at a node shows an agent, empty where
// it does not.
func (n *network) resolved(name, did string) string {
	stdout, _, code := command(n.t, n.bin, "card", "resolve", did, "--json", "--home", n.nodes[name].Home)
	if code == exitDenied || code == exitNotFound {
		return ""
	}
	var out struct {
		Card struct {
			Name string `json:"name"`
		} `json:"card"`
	}
	if err := json.Unmarshal(stdout, &out); err != nil || code != 0 {
		n.t.Errorf("resolve at %s: exit code %d, %v\n%s", name, code, err, stdout)
	}
	return out.Card.Name
}
