package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/zerostate/zerostate/core"
)

// decoder checks a merged tree against the schema and fills a Config. It goes
// on after a problem, so that all are reported.
type decoder struct {
	positions positions
	problems  Problems
	userHome  string
}

// problem notes what is wrong at an inner path.
func (d *decoder) problem(path, suggestion, format string, args ...any) {
	d.problems = append(d.problems, Problem{
		Position: d.position(path), Path: show(path), Text: fmt.Sprintf(format, args...), Suggest: suggestion,
	})
}

// position is where a path, or the nearest block above it, was written.
func (d *decoder) position(path string) Position {
	for {
		if p, ok := d.positions[path]; ok {
			return p
		}
		cut := strings.LastIndex(path, sep)
		if cut < 0 {
			return Position{}
		}
		path = path[:cut]
	}
}

// block fills a struct from a tree, giving defaults to what is not set.
func (d *decoder) block(path string, tree map[string]any, v reflect.Value) {
	fields := fieldsOf(v.Type())
	known := names(fields)
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		if !slices.Contains(known, name) {
			d.problem(join(path, name), suggest(name, known), "unknown setting")
		}
	}
	for _, f := range fields {
		at := join(path, f.name)
		raw, set := tree[f.name]
		switch {
		case set && raw != nil:
			d.value(at, raw, f, v.Field(f.index))
		case f.required && !set:
			d.problem(at, "", "required, but not set")
		default:
			d.defaults(at, f, v.Field(f.index))
		}
	}
}

// defaults fills what is not set.
func (d *decoder) defaults(path string, f field, v reflect.Value) {
	switch {
	case v.Kind() == reflect.Struct:
		d.block(path, nil, v)
	case v.Kind() == reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
	case f.def != "":
		d.value(path, text(f.def), f, v)
	}
}

// value fills one setting.
func (d *decoder) value(path string, raw any, f field, v reflect.Value) {
	switch typeName(f.typ) {
	case "block":
		tree, ok := raw.(map[string]any)
		if !ok {
			d.problem(path, "", "want a block, got %s", describe(raw))
			d.defaults(path, f, v)
			return
		}
		if f.typ.Kind() == reflect.Map {
			d.blocks(path, tree, f, v)
		} else {
			d.block(path, tree, v)
		}
	case "free":
		tree, ok := raw.(map[string]any)
		if !ok {
			d.problem(path, "", "want a block, got %s", describe(raw))
			tree = map[string]any{}
		}
		v.Set(reflect.ValueOf(plain(tree)))
	case "list":
		d.list(path, raw, f, v)
	default:
		if err := d.scalar(path, raw, f, v); err != nil {
			d.problem(path, suggestEnum(raw, f.enum), "%s", err)
		}
	}
}

// blocks fills a map of named blocks, one level at a time.
func (d *decoder) blocks(path string, tree map[string]any, f field, v reflect.Value) {
	v.Set(reflect.MakeMap(f.typ))
	kinds := f.name == "plugin" && f.typ.Elem().Kind() == reflect.Map
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		at := join(path, name)
		if tree[name] == nil {
			continue
		}
		if kinds && !core.Kind(name).Valid() {
			d.problem(at, suggest(name, kindNames()), "unknown plugin kind")
			continue
		}
		if !kinds && !validName(name) {
			d.problem(at, "", "bad name: use a-z, 0-9, - and _, at most 64, starting with a letter or digit")
			continue
		}
		below := reflect.New(f.typ.Elem()).Elem()
		d.value(at, tree[name], field{typ: f.typ.Elem(), name: f.name}, below)
		v.SetMapIndex(reflect.ValueOf(name), below)
	}
}

// list fills a list of strings.
func (d *decoder) list(path string, raw any, f field, v reflect.Value) {
	items, err := asList(raw)
	if err != nil {
		d.problem(path, "", "%s", err)
		return
	}
	out := make([]string, 0, len(items))
	for i, item := range items {
		if item == nil {
			continue
		}
		s, err := asString(item)
		if err == nil {
			err = checkText(s, f)
		}
		at := element(path, i)
		if _, set := d.positions[at]; !set {
			at = path
		}
		switch {
		case err != nil:
			d.problem(at, suggestEnum(item, f.enum), "%s", err)
		case slices.Contains(out, s):
			d.problem(at, "", "%q is listed twice", s)
		default:
			out = append(out, s)
		}
	}
	v.Set(reflect.ValueOf(out))
}

// scalar fills a string, bool, number, duration or size.
func (d *decoder) scalar(path string, raw any, f field, v reflect.Value) error {
	if tree, ok := raw.(map[string]any); ok && isSecret(tree) {
		return fmt.Errorf("not a secret; write the value itself")
	}
	switch typeName(f.typ) {
	case "string":
		s, err := asString(raw)
		if err != nil {
			return err
		}
		v.SetString(d.expand(path, s, f))
		return checkText(s, f)
	case "bool":
		b, err := asBool(raw)
		v.SetBool(b)
		return err
	case "number":
		x, err := asFloat(raw)
		v.SetFloat(x)
		if err != nil {
			return err
		}
		return inRange(f, x, asFloat)
	case "duration":
		x, err := asDuration(raw)
		v.SetInt(int64(x))
		if err != nil {
			return err
		}
		return inRange(f, x, asDuration)
	case "size":
		x, err := asSize(raw)
		v.SetInt(x)
		if err != nil {
			return err
		}
		return inRange(f, x, asSize)
	default:
		x, err := asInt(raw)
		v.SetInt(x)
		if err != nil {
			return err
		}
		return inRange(f, x, asInt)
	}
}

// checkText holds a string to its enum and pattern.
func checkText(s string, f field) error {
	if len(f.enum) > 0 && !slices.Contains(f.enum, s) {
		return fmt.Errorf("want one of %s, got %s", strings.Join(f.enum, ", "), clip(s))
	}
	if f.pattern != nil && s != "" && !f.pattern.MatchString(s) {
		return fmt.Errorf("want text that matches %s, got %s", f.pattern, clip(s))
	}
	return nil
}

// inRange holds a number to its range tag.
func inRange[N int64 | float64 | time.Duration](f field, x N, read func(any) (N, error)) error {
	if f.rng == "" {
		return nil
	}
	low, high, _ := strings.Cut(f.rng, "..")
	lowest, err := read(text(low))
	if err != nil {
		return err
	}
	highest, err := read(text(high))
	if err != nil {
		return err
	}
	if x < lowest || x > highest {
		unit := ""
		if f.unit != "" {
			unit = " " + f.unit
		}
		return fmt.Errorf("want %s to %s%s", low, high, unit)
	}
	return nil
}

// expand makes paths absolute: ~ is the user's home, and a relative path starts
// at the directory of the file that set it.
func (d *decoder) expand(path, s string, f field) string {
	if f.path == "" || s == "" || (f.path == "binary" && !strings.Contains(s, "/")) {
		return s
	}
	if s == "~" || strings.HasPrefix(s, "~/") {
		return filepath.Join(d.userHome, s[1:])
	}
	if file := d.positions[path].File; file != "" && !filepath.IsAbs(s) {
		return filepath.Join(filepath.Dir(file), s)
	}
	return s
}

// suggestEnum suggests the allowed word that was probably meant.
func suggestEnum(raw any, enum []string) string {
	s, err := asString(raw)
	if err != nil || len(enum) == 0 {
		return ""
	}
	return suggest(s, enum)
}

// plain copies a free tree, giving text from environment and flags its value.
func plain(v map[string]any) map[string]any {
	out := make(map[string]any, len(v))
	for name, value := range v {
		switch x := value.(type) {
		case map[string]any:
			out[name] = plain(x)
		case text:
			out[name] = infer(x)
		case nil:
		default:
			out[name] = x
		}
	}
	return out
}

// kindNames lists the plugin kinds.
func kindNames() []string {
	list := make([]string, 0, len(core.Kinds()))
	for _, k := range core.Kinds() {
		list = append(list, string(k))
	}
	return list
}

// validName reports whether s can name a plugin or an agent, and so a directory.
func validName(s string) bool {
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= '0' && r <= '9'
		if !letter && (i == 0 || r != '-' && r != '_') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}
