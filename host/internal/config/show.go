package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Value is one setting as it stands, and where that comes from.
type Value struct {
	Path   string `json:"path"`
	Value  any    `json:"value"`
	Origin string `json:"origin"` // file:line:column, environment NAME, flag NAME or default
}

// secretName spots settings of plugins that may hold a secret; which do is only
// known to the plugin.
var secretName = regexp.MustCompile(`(?i)key|token|secret|passw|credential`)

// Values lists every setting with its origin, in the order of the schema.
// Plugin settings whose names speak of secrets show as "(hidden)", unless they
// only say where the secret is.
func (c *Config) Values() []Value {
	return c.appendValues(nil, "", reflect.ValueOf(c).Elem())
}

// appendValues walks one block.
func (c *Config) appendValues(list []Value, path string, v reflect.Value) []Value {
	switch {
	case v.Type() == reflect.TypeFor[map[string]any]():
		tree, _ := reflect.TypeAssert[map[string]any](v)
		return c.appendTree(list, path, tree)
	case v.Kind() == reflect.Struct:
		for _, f := range fieldsOf(v.Type()) {
			list = c.appendValues(list, dotted(path, f.name), v.Field(f.index))
		}
		return list
	case v.Kind() == reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			list = c.appendValues(list, dotted(path, k.String()), v.MapIndex(k))
		}
		return list
	}
	return append(list, Value{Path: path, Value: shown(v.Interface()), Origin: c.originOf(path)})
}

// appendTree walks a plugin's own settings.
func (c *Config) appendTree(list []Value, path string, tree map[string]any) []Value {
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		at, value := dotted(path, name), tree[name]
		below, block := value.(map[string]any)
		if block && !isSecret(below) {
			list = c.appendTree(list, at, below)
			continue
		}
		if !block && secretName.MatchString(name) {
			value = "(hidden)"
		}
		list = append(list, Value{Path: at, Value: value, Origin: c.originOf(at)})
	}
	return list
}

// originOf is the origin for people.
func (c *Config) originOf(path string) string {
	if at := c.origins[path].String(); at != "" {
		return at
	}
	return "default"
}

// dotted joins a path for people.
func dotted(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// shown writes durations and sizes as a file would.
func shown(v any) any {
	switch x := v.(type) {
	case time.Duration:
		return x.String()
	case Size:
		return x.String()
	default:
		return v
	}
}

// JSONSchema returns a JSON Schema 2020-12 of the configuration, for editors.
func JSONSchema() ([]byte, error) {
	root := blockSchema(reflect.TypeFor[Config]())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "zerostate configuration"
	data, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode schema: %w", err)
	}
	return append(data, '\n'), nil
}

// blockSchema describes a struct.
func blockSchema(t reflect.Type) map[string]any {
	properties, required := map[string]any{}, []string{}
	for _, f := range fieldsOf(t) {
		s := valueSchema(f)
		s["description"] = f.doc
		if f.def != "" {
			s["default"] = f.def
		}
		properties[f.name] = s
		if f.required {
			required = append(required, f.name)
		}
	}
	return map[string]any{"type": "object", "additionalProperties": false, "properties": properties, "required": required}
}

// valueSchema describes one setting.
func valueSchema(f field) map[string]any {
	s := map[string]any{}
	switch typeName(f.typ) {
	case "block":
		if f.typ.Kind() == reflect.Struct {
			return blockSchema(f.typ)
		}
		return map[string]any{"type": "object", "additionalProperties": valueSchema(field{typ: f.typ.Elem(), name: f.name})}
	case "free":
		return map[string]any{"type": "object"}
	case "list":
		items := map[string]any{"type": "string"}
		if len(f.enum) > 0 {
			items["enum"] = f.enum
		}
		return map[string]any{"type": "array", "items": items, "uniqueItems": true}
	case "bool":
		s["type"] = "boolean"
	case "integer":
		s["type"] = "integer"
	case "number":
		s["type"] = "number"
	case "size":
		s["type"] = []string{"integer", "string"}
	default:
		s["type"] = "string"
	}
	if len(f.enum) > 0 {
		s["enum"] = f.enum
	}
	if f.pattern != nil {
		s["pattern"] = f.pattern.String()
	}
	return s
}
