// Package arch holds the import table of docs/architecture.md: which room of
// the house may use which. It fails on any edge that the table does not allow.
package arch

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/zerostate/zerostate"

// rooms is the import table, first match wins. A package may always import
// its own room's subtree (the prefix); test files may also import sdktest and
// the fakes.
var rooms = []struct {
	prefix string   // room, relative to the module
	may    []string // rooms it may import
}{
	{"core", nil},
	{"api", nil},
	{"plugin/sdk/sdktest", []string{"core", "plugin/sdk"}},
	{"plugin/sdk", []string{"core"}},
	{"plugins/index-hnsw/hnsw", nil},
	{"plugins/router-qlearn/qlearn", nil},
	{"plugins/", []string{"core", "plugin/sdk"}},
	{"host", []string{"core", "plugin/sdk", "api"}},
	{"cmd/zerostate", []string{"core", "plugin/sdk", "plugin/sdk/sdktest", "host", "api"}},
	{"test/", []string{""}},
}

type listed struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// TestImports walks every package of the module and checks each of its edges.
func TestImports(t *testing.T) {
	for _, p := range list(t) {
		from := rel(p.ImportPath)
		for _, to := range ours(p.Imports) {
			if why := refuse(from, to, false); why != "" {
				t.Errorf("%s imports %s: %s", from, to, why)
			}
		}
		for _, to := range ours(append(p.TestImports, p.XTestImports...)) {
			if why := refuse(from, to, true); why != "" {
				t.Errorf("tests of %s import %s: %s", from, to, why)
			}
		}
	}
}

// TestTableRefuses keeps the table from becoming a test that can not fail.
func TestTableRefuses(t *testing.T) {
	for _, edge := range [][2]string{
		{"core", "plugin/sdk"},
		{"api", "core"},
		{"plugin/sdk", "host"},
		{"plugin/sdk", "plugin/sdk/sdktest"},
		{"plugins/index-hnsw/hnsw", "core"},
		{"plugins/index-hnsw", "host"},
		{"plugins/index-hnsw", "plugins/index-exact"},
		{"host", "plugins/index-hnsw/hnsw"},
		{"host/internal/p2p", "host"},
		{"cmd/zerostate", "plugins/index-hnsw/hnsw"},
	} {
		if refuse(edge[0], edge[1], false) == "" {
			t.Errorf("the table allows %s -> %s", edge[0], edge[1])
		}
	}
	if why := refuse("host", "core", false); why != "" {
		t.Errorf("the table refuses host -> core: %s", why)
	}
}

func list(t *testing.T) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("go list found %d packages, want the whole tree", len(all))
	}
	return all
}

// refuse says why the edge is not allowed, or "".
func refuse(from, to string, test bool) string {
	if test && within(to, "plugin/sdk/sdktest") && !within(from, "core") {
		return ""
	}
	if test && from == "core" && within(to, "core") {
		return ""
	}
	for _, r := range rooms {
		if !within(from, r.prefix) {
			continue
		}
		if strings.HasPrefix(r.prefix, "plugins/") && r.prefix != "plugins/" && within(to, r.prefix) {
			return ""
		}
		return refuseIn(r.prefix, r.may, from, to)
	}
	return "its folder is not in the import table (test/arch)"
}

func refuseIn(prefix string, may []string, from, to string) string {
	if prefix == "host" && strings.HasPrefix(from, "host/internal/") && to == "host" {
		return "what lies under host/internal may not import host"
	}
	if prefix == "plugins/" {
		own := strings.Join(strings.SplitN(from, "/", 3)[:2], "/")
		if within(to, own) {
			return ""
		}
	} else if within(to, strings.TrimSuffix(prefix, "/")) && (prefix != "plugin/sdk" || !within(to, "plugin/sdk/sdktest")) {
		return ""
	}
	for _, m := range may {
		if m == "" || to == m || within(to, m) && m != "plugin/sdk" {
			return ""
		}
	}
	return "not allowed by the import table of docs/architecture.md"
}

// within reports whether path lies in room: the room itself or below it.
func within(path, room string) bool {
	return path == strings.TrimSuffix(room, "/") || strings.HasPrefix(path, strings.TrimSuffix(room, "/")+"/")
}

func rel(path string) string { return strings.TrimPrefix(strings.TrimPrefix(path, module), "/") }

func ours(imports []string) []string {
	var out []string
	for _, i := range imports {
		if i == module || strings.HasPrefix(i, module+"/") {
			out = append(out, rel(i))
		}
	}
	return out
}
