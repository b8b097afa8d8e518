package sdk

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/zerostate/zerostate/core"
)

// SettingType says how a setting is written.
type SettingType string

// The types of settings.
const (
	TypeString   SettingType = "string"
	TypeBool     SettingType = "bool"
	TypeInt      SettingType = "int"
	TypeFloat    SettingType = "float"
	TypeDuration SettingType = "duration" // Go's form, "1m30s"
	TypeBytes    SettingType = "bytes"    // an integer, or with KiB, MiB, GiB
	TypeList     SettingType = "list"     // of strings
	TypeMap      SettingType = "map"      // string to string
)

// Setting describes one setting of a plugin. Default, Min and Max are in the
// form of a configuration file: string, bool, json.Number, []any,
// map[string]any; nil where there is none.
type Setting struct {
	Name       string
	Type       SettingType
	Default    any
	Min, Max   any
	Enum       []string // the only values allowed, where not empty
	Unit       string
	Doc        string
	Sensitive  bool // a secret: never shown; may come from a file or the environment
	Reloadable bool // a change needs no new process
	Required   bool
}

// Schema is every setting of a plugin, in the order of its struct.
type Schema []Setting

// SchemaOf reads the schema from a pointer to a struct. Every exported field
// needs a tag zs:"name"; further tags are default, range ("1..10", one end may
// be missing), enum ("a|b"), unit, doc, and sensitive, reloadable, required
// with the value true. Field types: string, bool, int, int64, float64,
// time.Duration, []string, map[string]string; an int64 with the unit bytes
// also reads "64MiB". A struct that breaks this is a programmer's mistake and
// an error. nil has no settings.
func SchemaOf(pattern any) (Schema, error) {
	if pattern == nil {
		return nil, nil
	}
	t := reflect.TypeOf(pattern)
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("config of type %v: %w: want a pointer to a struct", t, core.ErrInvalid)
	}
	var schema Schema
	for field := range t.Elem().Fields() {
		if !field.IsExported() {
			continue
		}
		setting, err := settingOf(field)
		if err != nil {
			return nil, fmt.Errorf("config field %s: %w", field.Name, err)
		}
		schema = append(schema, setting)
	}
	return schema, nil
}

func settingOf(field reflect.StructField) (Setting, error) {
	s := Setting{
		Name: field.Tag.Get("zs"), Unit: field.Tag.Get("unit"), Doc: field.Tag.Get("doc"),
		Sensitive: field.Tag.Get("sensitive") == "true", Reloadable: field.Tag.Get("reloadable") == "true",
		Required: field.Tag.Get("required") == "true",
	}
	if s.Name == "" {
		return s, fmt.Errorf("%w: no zs tag", core.ErrInvalid)
	}
	var err error
	if s.Type, err = settingType(field.Type, s.Unit); err != nil {
		return s, err
	}
	if enum := field.Tag.Get("enum"); enum != "" {
		s.Enum = strings.Split(enum, "|")
	}
	if text, ok := field.Tag.Lookup("default"); ok {
		if s.Default, err = s.literal(text); err != nil {
			return s, fmt.Errorf("default: %w", err)
		}
	}
	return s, s.readRange(field.Tag.Get("range"))
}

func settingType(t reflect.Type, unit string) (SettingType, error) {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return TypeDuration, nil
	case t.Kind() == reflect.String:
		return TypeString, nil
	case t.Kind() == reflect.Bool:
		return TypeBool, nil
	case t.Kind() == reflect.Int64 && unit == "bytes":
		return TypeBytes, nil
	case t.Kind() == reflect.Int || t.Kind() == reflect.Int64:
		return TypeInt, nil
	case t.Kind() == reflect.Float64:
		return TypeFloat, nil
	case t == reflect.TypeFor[[]string]():
		return TypeList, nil
	case t == reflect.TypeFor[map[string]string]():
		return TypeMap, nil
	default:
		return "", fmt.Errorf("%w: type %v is not one of a setting", core.ErrInvalid, t)
	}
}

// readRange reads the range tag.
func (s *Setting) readRange(tag string) error {
	if tag == "" {
		return nil
	}
	low, high, ok := strings.Cut(tag, "..")
	if !ok {
		return fmt.Errorf("range %q: %w: want low..high", tag, core.ErrInvalid)
	}
	var err error
	if low != "" {
		if s.Min, err = s.literal(low); err != nil {
			return fmt.Errorf("range: %w", err)
		}
	}
	if high != "" {
		if s.Max, err = s.literal(high); err != nil {
			return fmt.Errorf("range: %w", err)
		}
	}
	return nil
}

// literal turns the text of a tag into a value as configuration files have it.
func (s *Setting) literal(text string) (any, error) {
	var v any = text
	switch s.Type {
	case TypeBool:
		v = text == "true"
	case TypeInt, TypeFloat:
		v = json.Number(text)
	case TypeList:
		list := []any{}
		for part := range strings.SplitSeq(text, ",") {
			if part != "" {
				list = append(list, part)
			}
		}
		v = list
	case TypeMap:
		return nil, fmt.Errorf("%w: a map has no default", core.ErrInvalid)
	case TypeString, TypeDuration, TypeBytes:
	}
	if _, problem := s.read(v); problem != "" {
		return nil, fmt.Errorf("%q: %w: %s", text, core.ErrInvalid, problem)
	}
	return v, nil
}

// Check reports every problem of config at once: unknown settings (with the
// nearest known name), missing ones, wrong types, values out of range. Paths
// are setting names. It says nothing about sensitive values.
func (s Schema) Check(config map[string]any) core.FieldErrors {
	_, problems := s.read(config)
	return problems
}

// read returns the typed value of every setting that is given or has a default.
func (s Schema) read(config map[string]any) (map[string]any, core.FieldErrors) {
	var problems core.FieldErrors
	known := map[string]bool{}
	values := map[string]any{}
	for _, setting := range s {
		known[setting.Name] = true
		raw, given := config[setting.Name]
		if !given || raw == nil {
			raw = setting.Default
		}
		if raw == nil {
			if setting.Required {
				problems.Add(setting.Name, "is required")
			}
			continue
		}
		value, problem := setting.read(raw)
		if problem == "" {
			problem = setting.bounds(value)
		}
		if problem != "" {
			problems.Add(setting.Name, problem)
			continue
		}
		values[setting.Name] = value
	}
	for _, name := range sortedKeys(config) {
		if !known[name] {
			problems.Add(name, "unknown setting"+s.suggestion(name))
		}
	}
	return values, problems
}

// suggestion names the setting that name was probably meant to be.
func (s Schema) suggestion(name string) string {
	best, bestDistance := "", 3
	for _, setting := range s {
		if d := editDistance(name, setting.Name); d < bestDistance {
			best, bestDistance = setting.Name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// Decode checks config strictly against the schema of pattern and returns a
// new struct of pattern's type with defaults and values filled in. The error
// is a core.FieldErrors with every problem. nil takes no settings and gives nil.
func Decode(pattern any, config map[string]any) (any, error) {
	schema, err := SchemaOf(pattern)
	if err != nil {
		return nil, err
	}
	values, problems := schema.read(config)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	if pattern == nil {
		return nil, nil
	}
	out := reflect.New(reflect.TypeOf(pattern).Elem())
	for field := range out.Elem().Type().Fields() {
		if value, ok := values[field.Tag.Get("zs")]; ok && field.IsExported() {
			out.Elem().FieldByIndex(field.Index).Set(reflect.ValueOf(value).Convert(field.Type))
		}
	}
	return out.Interface(), nil
}
