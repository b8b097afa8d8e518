package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/knadh/koanf/v2"

	"github.com/zerostate/zerostate/core"
)

// Options says what Load layers. Its zero value gives the defaults.
type Options struct {
	Files    []string                          // .hcl, .yaml or .yml; a later one wins
	Environ  []string                          // NAME=value, as os.Environ gives them; nil: none
	Flags    map[string]string                 // setting's path, in dots, to its value
	UserHome string                            // what ~ means; default: the user's home directory
	ReadFile func(name string) ([]byte, error) // default: the file system, refusing files that others may write
}

// Default returns the configuration of an empty file. userHome is what ~ means.
func Default(userHome string) (*Config, error) {
	return Load(Options{UserHome: userHome})
}

// Load reads the files, layers defaults < files < environment < flags, checks
// the result and returns it. What is wrong with the settings is a Problems that
// lists all of it and wraps core.ErrInvalid.
func Load(o Options) (*Config, error) {
	if o.ReadFile == nil {
		o.ReadFile = readOwned
	}
	if o.UserHome == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, fmt.Errorf("find the home directory: %w", err)
		}
		o.UserHome = home
	}
	l := layers{k: koanf.New(sep), positions: positions{}}
	if err := l.add(defaultTree(), positions{}); err != nil {
		return nil, err
	}
	for _, name := range o.Files {
		if err := l.addFile(name, o.ReadFile); err != nil {
			return nil, err
		}
	}
	if err := l.addOverrides(o); err != nil {
		return nil, err
	}
	return l.config(o)
}

// Find returns the configuration files of a home: config.hcl or config.yaml
// where there is one. Both is an error.
func Find(home string) ([]string, error) {
	var found []string
	for _, name := range []string{"config.hcl", "config.yaml", "config.yml"} {
		path := filepath.Join(home, name)
		if _, err := os.Stat(path); err == nil {
			found = append(found, path)
		} else if !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	if len(found) > 1 {
		return nil, fmt.Errorf("%s: keep one of them: %w", strings.Join(found, " and "), core.ErrConflict)
	}
	return found, nil
}

// defaultTree holds the defaults that struct tags can not say.
func defaultTree() map[string]any {
	return map[string]any{"plugin": map[string]any{
		"index":      map[string]any{"hnsw": map[string]any{"fallback": "exact"}},
		"reputation": map[string]any{"ledger": map[string]any{"path": "reputation"}},
	}}
}

// layers collects trees; koanf merges them.
type layers struct {
	k         *koanf.Koanf
	positions positions
	problems  Problems
}

// treeProvider hands koanf a tree that is parsed already.
type treeProvider map[string]any

// Read returns the tree.
func (t treeProvider) Read() (map[string]any, error) { return t, nil }

// ReadBytes is not supported.
func (t treeProvider) ReadBytes() ([]byte, error) { return nil, core.ErrUnsupported }

// add puts a tree over what is there.
func (l *layers) add(tree map[string]any, at positions) error {
	if err := l.k.Load(treeProvider(tree), nil); err != nil {
		return fmt.Errorf("layer settings: %w", err)
	}
	maps.Copy(l.positions, at)
	return nil
}

// addFile parses a file and puts it over what is there.
func (l *layers) addFile(name string, read func(string) ([]byte, error)) error {
	data, err := read(name)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	doc, err := parse(name, data)
	if err != nil {
		return err
	}
	l.problems = append(l.problems, doc.problems...)
	return l.add(doc.tree, doc.positions)
}

// config decodes and checks the merged tree.
func (l *layers) config(o Options) (*Config, error) {
	d := &decoder{positions: l.positions, problems: l.problems, userHome: o.UserHome}
	cfg := &Config{origins: positions{}}
	d.block("", l.k.Raw(), reflect.ValueOf(cfg).Elem())
	for path, at := range l.positions {
		cfg.origins[show(path)] = at
	}
	if len(o.Files) > 0 {
		cfg.dir = filepath.Dir(o.Files[0])
	}
	cfg.complete()
	d.check(cfg)
	if err := d.problems.orNil(); err != nil {
		return nil, err
	}
	return cfg, nil
}

// addOverrides puts environment and flags over the files.
func (l *layers) addOverrides(o Options) error {
	const prefix = "ZEROSTATE_"
	blocks := names(fieldsOf(reflect.TypeFor[Config]()))
	for _, entry := range slices.Sorted(slices.Values(o.Environ)) {
		name, value, _ := strings.Cut(entry, "=")
		rest, ours := strings.CutPrefix(name, prefix)
		if !ours {
			continue
		}
		at := Position{Source: "environment " + name}
		path := strings.Split(strings.ToLower(rest), "__")
		if len(path) == 1 { // ZEROSTATE_HOME and the like belong to the CLI
			if block, setting, ok := strings.Cut(path[0], "_"); ok && slices.Contains(blocks, block) {
				l.problems = append(l.problems, Problem{
					Position: at, Text: "not a setting", Suggest: prefix + strings.ToUpper(block+"__"+setting),
				})
			}
			continue
		}
		if err := l.override(l.spelled(path), value, at); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Flags)) {
		if err := l.override(strings.Split(name, "."), o.Flags[name], Position{Source: "flag " + name}); err != nil {
			return err
		}
	}
	return nil
}

// override sets one path.
func (l *layers) override(path []string, value string, at Position) error {
	var tree any = text(value)
	for _, name := range slices.Backward(path) {
		if name == "" {
			l.problems = append(l.problems, Problem{Position: at, Text: "empty name in a setting's path"})
			return nil
		}
		tree = map[string]any{name: tree}
	}
	whole, _ := tree.(map[string]any)
	return l.add(whole, positions{strings.Join(path, sep): at})
}

// spelled replaces names from the environment, which can not hold a hyphen, by
// the name with hyphens that is set already.
func (l *layers) spelled(path []string) []string {
	var tree any = l.k.Raw()
	out := slices.Clone(path)
	for i, name := range path {
		below, ok := tree.(map[string]any)
		if !ok {
			break
		}
		if _, exact := below[name]; !exact {
			for other := range below {
				if strings.ReplaceAll(other, "-", "_") == name {
					out[i] = other
				}
			}
		}
		tree = below[out[i]]
	}
	return out
}
