package config

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/zerostate/zerostate/core"
)

var update = flag.Bool("update", false, "rewrite golden files")

const configs = "../../../configs"

func mustLoad(t *testing.T, o Options) *Config {
	t.Helper()
	if o.UserHome == "" {
		o.UserHome = "/home/tester"
	}
	cfg, err := Load(o)
	if err != nil {
		t.Fatalf("load %v: %v", o.Files, err)
	}
	return cfg
}

// from writes text to a file of the given name and loads it.
func from(t *testing.T, name, text string) (*Config, error) {
	t.Helper()
	return Load(Options{Files: []string{name}, UserHome: "/home/tester", ReadFile: func(string) ([]byte, error) { return []byte(text), nil }})
}

func TestDefaultsAreComplete(t *testing.T) {
	cfg := mustLoad(t, Options{})
	if got, want := cfg.Node.Home, "/home/tester/.zerostate"; got != want {
		t.Errorf("home: got %q, want %q", got, want)
	}
	if len(cfg.Node.Roles) != 4 || !cfg.HasRole(RoleIndex) || cfg.HasRole("none") {
		t.Errorf("roles: got %v, want all four", cfg.Node.Roles)
	}
	name, p := cfg.Used(core.KindReputation)
	if name != "ledger" || p.Path != "reputation" {
		t.Errorf("reputation: got %s at %s, want ledger at reputation", name, p.Path)
	}
	name, p = cfg.Used(core.KindIndex)
	if name != "hnsw" || p.Path != "index-hnsw" || p.Fallback != "exact" || !p.Required {
		t.Errorf("index: got %s %+v, want hnsw at index-hnsw with fallback exact", name, p)
	}
	if got := cfg.Plugin["index"]["exact"].Path; got != "index-exact" {
		t.Errorf("fallback's path: got %q, want index-exact", got)
	}
	if p.Restart.BackoffMin != 200*time.Millisecond || p.Limits.Memory != 1<<30 {
		t.Errorf("defaults of a plugin block: got %+v", p)
	}
	empty, err := from(t, "empty.hcl", "")
	if err != nil {
		t.Fatal(err)
	}
	empty.dir = ""
	if !reflect.DeepEqual(cfg, empty) {
		t.Errorf("an empty file: got %+v, want the defaults", empty)
	}
}

func TestConfigsLoad(t *testing.T) {
	files, err := filepath.Glob(configs + "/*")
	if err != nil || len(files) < 5 {
		t.Fatalf("configs: got %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { mustLoad(t, Options{Files: []string{file}}) })
	}
}

func TestBothFormatsGiveOneTree(t *testing.T) {
	files, err := filepath.Glob(configs + "/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want, err := parse(file, data)
			if err != nil || len(want.problems) > 0 {
				t.Fatalf("parse: %v %v", err, want.problems)
			}
			for _, ext := range []string{".hcl", ".yaml"} {
				var b strings.Builder
				if ext == ".hcl" {
					writeHCL(&b, want.tree)
				} else {
					writeYAML(&b, want.tree, "")
				}
				got, err := parse("again"+ext, []byte(b.String()))
				if err != nil || len(got.problems) > 0 {
					t.Fatalf("parse as %s: %v %v\n%s", ext, err, got.problems, b.String())
				}
				if !reflect.DeepEqual(got.tree, want.tree) {
					t.Errorf("as %s: got %v, want %v", ext, got.tree, want.tree)
				}
				for path := range want.positions {
					if _, ok := got.positions[path]; !ok {
						t.Errorf("as %s: %s has no position", ext, show(path))
					}
				}
			}
		})
	}
}

// writeHCL writes a tree as HCL: objects at the top as blocks.
func writeHCL(b *strings.Builder, tree map[string]any) {
	for name, v := range tree {
		if below, ok := v.(map[string]any); ok {
			fmt.Fprintf(b, "%s {\n", name)
			for k, v := range below {
				fmt.Fprintf(b, "%s = %s\n", k, literal(v))
			}
			b.WriteString("}\n")
			continue
		}
		fmt.Fprintf(b, "%s = %s\n", name, literal(v))
	}
}

// writeYAML writes a tree as block YAML.
func writeYAML(b *strings.Builder, tree map[string]any, indent string) {
	for name, v := range tree {
		if below, ok := v.(map[string]any); ok && len(below) > 0 {
			fmt.Fprintf(b, "%s%q:\n", indent, name)
			writeYAML(b, below, indent+"  ")
			continue
		}
		fmt.Fprintf(b, "%s%q: %s\n", indent, name, strings.ReplaceAll(literal(v), " = ", ": "))
	}
}

func literal(v any) string {
	switch x := v.(type) {
	case map[string]any:
		var parts []string
		for k, v := range x {
			parts = append(parts, fmt.Sprintf("%q = %s", k, literal(v)))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case []any:
		var parts []string
		for _, v := range x {
			parts = append(parts, literal(v))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case string:
		return fmt.Sprintf("%q", x)
	default:
		return fmt.Sprint(x)
	}
}

func TestLayersOverride(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.yaml")
	if err := os.WriteFile(file, []byte("node: {name: file, region: eu}\nplugin: {index: {hnsw: {config: {ef_search: 64, m: 8}}}, executor: {wasm-interp: {path: executor-wasm}}}\nagent: {md: {card: cards/card.yaml}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := mustLoad(t, Options{
		Files: []string{file},
		Environ: []string{
			"ZEROSTATE_PLUGIN__INDEX__HNSW__CONFIG__EF_SEARCH=128", "ZEROSTATE_NODE__NAME=env", "ZEROSTATE_HOME=/x", "PATH=/bin",
			"ZEROSTATE_PLUGIN__EXECUTOR__WASM_INTERP__LIMITS__MEMORY=64MiB", "ZEROSTATE_NODE__ROLES=edge,relay", "ZEROSTATE_NETWORK__MDNS=false",
			"ZEROSTATE_POLICY__MIN_REPUTATION=0.5", "ZEROSTATE_SERVE__TASKS=3", "ZEROSTATE_PLUGIN__INDEX__HNSW__CONFIG__RATIO=0.5",
		},
		Flags: map[string]string{"node.name": "flag", "serve.queue_timeout": "3s"},
	})
	hnsw := cfg.Plugin["index"]["hnsw"]
	for _, c := range []struct{ what, got, want any }{
		{"env over file, untouched sibling", hnsw.Config, map[string]any{"ef_search": int64(128), "m": int64(8), "ratio": 0.5}},
		{"env keeps the default fallback", hnsw.Fallback, "exact"},
		{"flag over env", cfg.Node.Name, "flag"},
		{"file", cfg.Node.Region, "eu"},
		{"hyphen in env", cfg.Plugin["executor"]["wasm-interp"].Limits.Memory, Size(64 << 20)},
		{"list from env", cfg.Node.Roles, []string{"edge", "relay"}},
		{"bool from env", cfg.Network.MDNS, false},
		{"float from env", cfg.Policy.MinReputation, 0.5},
		{"int from env", cfg.Serve.Tasks, 3},
		{"duration from flag", cfg.Serve.QueueTimeout, 3 * time.Second},
		{"path relative to its file", cfg.Agent["md"].Card, filepath.Join(filepath.Dir(file), "cards/card.yaml")},
		{"origin of a flag", cfg.Origin("node.name").String(), "flag node.name"},
		{"origin of a file", cfg.Origin("node.region").String(), file + ":1:20"},
		{"origin of a default", cfg.Origin("node.home").String(), ""},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: got %#v, want %#v", c.what, c.got, c.want)
		}
	}
}

// TestBadConfigs compares every problem of testdata/bad/* with its golden file.
func TestBadConfigs(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.*l")
	if err != nil || len(files) < 24 {
		t.Fatalf("bad configs: got %d, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, err := Load(Options{Files: []string{file}, UserHome: "/home/tester"})
			if !errors.Is(err, core.ErrInvalid) {
				t.Fatalf("got %v, want problems that wrap core.ErrInvalid", err)
			}
			golden := file + ".golden"
			got := strings.ReplaceAll(err.Error(), "testdata/bad/", "") + "\n"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

func FuzzHCL(f *testing.F)  { fuzz(f, "x.hcl") }
func FuzzYAML(f *testing.F) { fuzz(f, "x.yaml") }

func fuzz(f *testing.F, name string) {
	f.Helper()
	files, _ := filepath.Glob("testdata/bad/*" + filepath.Ext(name))
	more, _ := filepath.Glob(configs + "/*" + filepath.Ext(name))
	for _, file := range append(files, more...) {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := Load(Options{Files: []string{name}, UserHome: "/h", ReadFile: func(string) ([]byte, error) { return data, nil }})
		if (cfg == nil) == (err == nil) {
			t.Fatalf("got %v and %v", cfg, err)
		}
		if err != nil && !errors.Is(err, core.ErrInvalid) {
			t.Fatalf("got %v, want an error that wraps core.ErrInvalid", err)
		}
	})
}
