package config

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/zerostate/zerostate/core"
)

var testSchema = []PluginSetting{
	{Name: "m", Type: "int", MinJSON: "2", MaxJSON: "64", Unit: "links"},
	{Name: "ratio", Type: "float", MaxJSON: "1"},
	{Name: "engine", Type: "string", Enum: []string{"compiler", "interpreter"}},
	{Name: "sync", Type: "bool"},
	{Name: "flush", Type: "duration"},
	{Name: "cache", Type: "bytes", MinJSON: "1024"},
	{Name: "tags", Type: "list"},
	{Name: "labels", Type: "map"},
	{Name: "api_key", Type: "string", Sensitive: true},
	{Name: "deep.window", Type: "int"},
	{Name: "deep.token", Type: "string", Sensitive: true},
	{Name: "must", Type: "string", Required: true},
}

func TestCheckPluginConfig(t *testing.T) {
	for _, c := range []struct {
		name, config string
		want         []string
	}{
		{"good", `{m: 16, ratio: 0.5, engine: compiler, sync: true, flush: 1s, cache: 1MiB, tags: [a], labels: {a: b}, api_key: {from_env: X}, deep: {window: 1}, must: x}`, nil},
		{"wrong types", `{m: a, ratio: b, engine: 1, sync: 3, flush: 5, cache: x, tags: a, labels: a, must: x, deep: 3}`, []string{
			"plugin.index.hnsw.config.m: want a whole number", "config.ratio: want a number", "config.engine: want a string", "config.sync: want true or false",
			"config.flush: want a duration", "config.cache: want a size", "config.tags: want a list", "config.labels: want a block", "config.deep: want a block",
		}},
		{"bounds", `{m: 1, ratio: 2, cache: 1KiB, must: x}`, []string{"config.m: want at least 2 links", "config.ratio: want at most 1"}},
		{"names", `{ef_serch: 1, engine: interpretr, deep: {windw: 1}, must: x}`, []string{`config.engine: want one of compiler, interpreter, got "interpretr"; did you mean "interpreter"?`, `config.deep.windw: unknown setting of this plugin; did you mean "window"?`, "config.ef_serch: unknown setting of this plugin"}},
		{"secret and required", `{m: {from_env: X}, api_key: {from_file: 3}}`, []string{"config.m: not a secret", "config.api_key: want a string", "config.must: required"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := from(t, "a.yaml", "plugin:\n  index:\n    hnsw:\n      config: "+c.config+"\n")
			if err != nil {
				t.Fatal(err)
			}
			err = cfg.CheckPluginConfig(core.KindIndex, "hnsw", testSchema)
			if len(c.want) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var problems Problems
			if !errors.As(err, &problems) || !errors.Is(err, core.ErrInvalid) || len(problems) != len(c.want) {
				t.Fatalf("got %v, want %d problems", err, len(c.want))
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "a.yaml:4:") {
					t.Errorf("got\n%v\nwant it to hold %q at a.yaml:4", err, want)
				}
			}
		})
	}
}

func TestSplitSecrets(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "key")
	if err := os.WriteFile(file, []byte("from file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	getenv := func(name string) (string, bool) { return "from env", name == "SET" }
	tree := map[string]any{"m": int64(1), "api_key": map[string]any{"from_file": "key"}, "deep": map[string]any{"window": int64(2), "token": map[string]any{"from_env": "SET"}}}
	plain, secrets, err := SplitSecrets(tree, testSchema, dir, getenv)
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]any{"m": int64(1), "deep": map[string]any{"window": int64(2)}}; !reflect.DeepEqual(plain, want) {
		t.Errorf("plain: got %v, want %v", plain, want)
	}
	if want := map[string]string{"api_key": "from file", "deep.token": "from env"}; !reflect.DeepEqual(secrets, want) {
		t.Errorf("secrets: got %v, want %v", secrets, want)
	}
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		value any
		is    error
	}{
		"open file":    {map[string]any{"from_file": "key"}, core.ErrDenied},
		"no file":      {map[string]any{"from_file": "none"}, os.ErrNotExist},
		"not in env":   {map[string]any{"from_env": "NONE"}, core.ErrNotFound},
		"another tree": {map[string]any{"x": "y"}, core.ErrInvalid},
	} {
		_, _, err := SplitSecrets(map[string]any{"api_key": c.value}, testSchema, dir, getenv)
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), "api_key") {
			t.Errorf("%s: got %v, want %v", name, err, c.is)
		}
	}
}

func TestValuesShowOriginsAndHideSecrets(t *testing.T) {
	cfg, err := from(t, "a.hcl", "node {\n  name = \"x\"\n}\nplugin \"index\" \"hnsw\" {\n  config {\n    api_key = \"canary\"\n    token   = { from_env = \"T\" }\n    deep    = { m = 1 }\n  }\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Value{}
	for _, v := range cfg.Values() {
		got[v.Path] = v
	}
	for path, want := range map[string]Value{
		"node.name":                        {"node.name", "x", "a.hcl:2:3"},
		"node.region":                      {"node.region", "local", "default"},
		"serve.queue_timeout":              {"serve.queue_timeout", "10s", "default"},
		"plugin.index.hnsw.limits.memory":  {"plugin.index.hnsw.limits.memory", "1GiB", "default"},
		"plugin.index.hnsw.config.api_key": {"plugin.index.hnsw.config.api_key", "(hidden)", "a.hcl:6:5"},
		"plugin.index.hnsw.config.token":   {"plugin.index.hnsw.config.token", map[string]any{"from_env": "T"}, "a.hcl:7:5"},
		"plugin.index.hnsw.config.deep.m":  {"plugin.index.hnsw.config.deep.m", int64(1), "a.hcl:8:17"},
	} {
		if !reflect.DeepEqual(got[path], want) {
			t.Errorf("got %+v, want %+v", got[path], want)
		}
	}
}

// TestJSONSchemaAcceptsConfigs holds the schema for editors to the files.
func TestJSONSchemaAcceptsConfigs(t *testing.T) {
	data, err := JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	schema, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("config.json", schema); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("config.json")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(configs + "/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := parse(file, raw)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(doc.tree)
		if err != nil {
			t.Fatal(err)
		}
		tree, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiled.Validate(tree); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	bad := map[string]any{"nodes": map[string]any{}}
	if compiled.Validate(bad) == nil {
		t.Error("an unknown block: got nil, want an error")
	}
}

func TestSchemaDescribesEverySetting(t *testing.T) {
	rows := Schema()
	for _, r := range rows {
		if r.Doc == "" {
			t.Errorf("%s has no doc", r.Path)
		}
	}
	i := slices.IndexFunc(rows, func(s Setting) bool { return s.Path == "plugin.<kind>.<name>.limits.memory" })
	if i < 0 || rows[i].Type != "size" || rows[i].Default != "1GiB" {
		t.Errorf("got %v, want plugin.<kind>.<name>.limits.memory of type size", rows)
	}
}

// TestEveryMisspeltKeyIsRefused misspells each setting of each file in turn.
func TestEveryMisspeltKeyIsRefused(t *testing.T) {
	files, err := filepath.Glob(configs + "/*")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := parse(file, data)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(data), "\n")
		for path, at := range doc.positions {
			parts := strings.Split(path, sep)
			name := parts[len(parts)-1]
			named := len(parts) == 3 && parts[0] == "plugin"
			if strings.Contains(name, "[") || named || slices.Contains(parts, "config") && name != "config" || len(parts) == 2 && parts[0] == "agent" {
				continue // names that the operator chooses, and plugins' own settings
			}
			line := lines[at.Line-1]
			start := at.Column - 1 + strings.Index(line[at.Column-1:], name)
			bad := slices.Clone(lines)
			bad[at.Line-1] = line[:start+1] + "q" + line[start+1:]
			_, err := from(t, file, strings.Join(bad, "\n"))
			var problems Problems
			if !errors.As(err, &problems) || !slices.ContainsFunc(problems, func(p Problem) bool {
				return p.Position == at && p.Suggest == name
			}) {
				t.Errorf("%s with a misspelt %s: got %v, want it refused at %s with a suggestion", file, show(path), err, at)
			}
			count++
		}
	}
	if count < 80 {
		t.Errorf("misspelt %d keys, want more", count)
	}
}

func TestFindAndOwned(t *testing.T) {
	home := t.TempDir()
	if got, err := Find(home); err != nil || got != nil {
		t.Errorf("empty home: got %v, %v", got, err)
	}
	file := filepath.Join(home, "config.hcl")
	if err := os.WriteFile(file, []byte("node {\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Find(home)
	if err != nil || !slices.Equal(got, []string{file}) {
		t.Errorf("got %v, %v, want %s", got, err, file)
	}
	if cfg := mustLoad(t, Options{Files: got}); cfg.Dir() != home {
		t.Errorf("dir: got %q, want %q", cfg.Dir(), home)
	}
	if err := os.WriteFile(filepath.Join(home, "config.yaml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(home); !errors.Is(err, core.ErrConflict) {
		t.Errorf("two files: got %v, want core.ErrConflict", err)
	}
	if err := os.Chmod(file, 0o606); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(Options{Files: []string{file}}); !errors.Is(err, core.ErrDenied) {
		t.Errorf("a file that everyone may write: got %v, want core.ErrDenied", err)
	}
	if _, err := Load(Options{Files: []string{filepath.Join(home, "none.hcl")}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: got %v", err)
	}
}

func TestOverridesThatAreWrong(t *testing.T) {
	for _, c := range []struct {
		env, flag, value, want string
	}{
		{"ZEROSTATE_NODE_NAME=x", "", "", `environment ZEROSTATE_NODE_NAME: not a setting; did you mean "ZEROSTATE_NODE__NAME"?`},
		{"ZEROSTATE_NODE__NAEM=x", "", "", `environment ZEROSTATE_NODE__NAEM: node.naem: unknown setting; did you mean "name"?`},
		{"ZEROSTATE_SERVE__TASKS=x", "", "", `environment ZEROSTATE_SERVE__TASKS: serve.tasks: want a whole number, got "x"`},
		{"", "node..name", "x", "flag node..name: empty name"},
		{"", "network.mdns", "maybe", `flag network.mdns: network.mdns: want true or false, got "maybe"`},
		{"", "policy.min_reputation", "high", "want a number"},
		{"", "serve.max_input", "much", "want a size"},
		{"", "node", "x", "want a block"},
	} {
		o := Options{UserHome: "/h"}
		if c.env != "" {
			o.Environ = []string{c.env}
		} else {
			o.Flags = map[string]string{c.flag: c.value}
		}
		if _, err := Load(o); !errors.Is(err, core.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s%s: got %v, want %q", c.env, c.flag, err, c.want)
		}
	}
	if _, err := from(t, "a.toml", ""); !errors.Is(err, core.ErrInvalid) {
		t.Errorf("another format: got %v, want core.ErrInvalid", err)
	}
	if _, err := from(t, "a.hcl", strings.Repeat("#", maxFileBytes+1)); !errors.Is(err, core.ErrInvalid) {
		t.Errorf("a huge file: got %v, want core.ErrInvalid", err)
	}
}
