package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/zerostate/zerostate/core"
)

// PluginSetting is one setting that a plugin publishes, as its Describe says it.
type PluginSetting struct {
	Name             string // nested ones in dots: "restart.window"
	Type             string // string, bool, int, float, duration, bytes, list, map
	MinJSON, MaxJSON string // bounds in JSON, empty where there is none
	Enum             []string
	Unit             string
	Sensitive        bool
	Required         bool
}

// CheckPluginConfig holds the config block of one plugin to the schema that the
// plugin publishes. It returns every problem at once, with positions, as a
// Problems; nil when there is none.
func (c *Config) CheckPluginConfig(kind core.Kind, name string, schema []PluginSetting) error {
	d := &decoder{positions: positions{}}
	base := join(join(join("plugin", string(kind)), name), "config")
	for path, at := range c.origins {
		d.positions[strings.ReplaceAll(path, ".", sep)] = at
	}
	p := pluginCheck{decoder: d, byName: map[string]PluginSetting{}}
	for _, s := range schema {
		p.byName[s.Name] = s
	}
	tree := c.Plugin[string(kind)][name].Config
	p.level(base, "", tree)
	for _, s := range schema {
		if s.Required && !isSet(tree, s.Name) {
			d.problem(base+sep+strings.ReplaceAll(s.Name, ".", sep), "", "required by the plugin, but not set")
		}
	}
	return d.problems.orNil()
}

// pluginCheck walks a plugin's tree beside its schema.
type pluginCheck struct {
	*decoder
	byName map[string]PluginSetting
}

// level checks one block; prefix is the dotted name above it.
func (p *pluginCheck) level(path, prefix string, tree map[string]any) {
	var known []string
	for name := range p.byName {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			first, _, _ := strings.Cut(rest, ".")
			known = append(known, first)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		at, name := join(path, key), prefix+key
		setting, ok := p.byName[name]
		switch below, block := tree[key].(map[string]any); {
		case ok:
			if err := setting.accept(tree[key]); err != nil {
				p.problem(at, suggestEnum(tree[key], setting.Enum), "%s", err)
			}
		case slices.Contains(known, key) && block:
			p.level(at, name+".", below)
		case slices.Contains(known, key):
			p.problem(at, "", "want a block, got %s", describe(tree[key]))
		default:
			p.problem(at, suggest(key, known), "unknown setting of this plugin")
		}
	}
}

// accept checks one value against its setting.
func (s PluginSetting) accept(v any) error {
	if tree, ok := v.(map[string]any); ok && isSecret(tree) {
		if !s.Sensitive {
			return fmt.Errorf("not a secret; write the value itself")
		}
		for _, where := range tree {
			if _, err := asString(where); err != nil {
				return err
			}
		}
		return nil
	}
	switch s.Type {
	case "string":
		text, err := asString(v)
		if err != nil {
			return err
		}
		return checkText(text, field{enum: s.Enum})
	case "bool":
		_, err := asBool(v)
		return err
	case "int":
		n, err := asInt(v)
		if err != nil {
			return err
		}
		return s.bounds(float64(n))
	case "float":
		x, err := asFloat(v)
		if err != nil {
			return err
		}
		return s.bounds(x)
	case "duration":
		_, err := asDuration(v)
		return err
	case "bytes":
		n, err := asSize(v)
		if err != nil {
			return err
		}
		return s.bounds(float64(n))
	case "list":
		_, err := asList(v)
		return err
	case "map":
		if _, ok := v.(map[string]any); !ok {
			return fmt.Errorf("want a block, got %s", describe(v))
		}
	}
	return nil
}

// bounds holds a number to min and max. Bounds that are not numbers (a
// duration's, say) are the plugin's to check.
func (s PluginSetting) bounds(x float64) error {
	var low, high float64
	if s.MinJSON != "" && json.Unmarshal([]byte(s.MinJSON), &low) == nil && x < low {
		return fmt.Errorf("want at least %s%s", s.MinJSON, s.unit())
	}
	if s.MaxJSON != "" && json.Unmarshal([]byte(s.MaxJSON), &high) == nil && x > high {
		return fmt.Errorf("want at most %s%s", s.MaxJSON, s.unit())
	}
	return nil
}

// unit is the unit with a space before it.
func (s PluginSetting) unit() string {
	if s.Unit == "" {
		return ""
	}
	return " " + s.Unit
}

// isSet reports whether a dotted name has a value.
func isSet(tree map[string]any, name string) bool {
	first, rest, nested := strings.Cut(name, ".")
	v, ok := tree[first]
	if !ok || !nested {
		return ok
	}
	below, ok := v.(map[string]any)
	return ok && isSet(below, rest)
}
