package config

import (
	"reflect"
	"regexp"
	"strings"
	"time"
)

// Setting is one row of the schema: what a setting is called and may hold.
type Setting struct {
	Path     string `json:"path"` // plugin.<kind>.<name>.limits.memory
	Type     string `json:"type"` // string, bool, integer, number, duration, size, list, block, free
	Default  string `json:"default,omitempty"`
	Range    string `json:"range,omitempty"` // min..max, both included
	Enum     string `json:"enum,omitempty"`  // a|b|c
	Unit     string `json:"unit,omitempty"`
	Doc      string `json:"doc"`
	Required bool   `json:"required,omitempty"`
}

// Schema returns every setting of Config, in the order in which it is declared.
func Schema() []Setting {
	return appendSettings(nil, "", reflect.TypeFor[Config]())
}

// appendSettings walks a block's fields.
func appendSettings(list []Setting, path string, t reflect.Type) []Setting {
	for _, f := range fieldsOf(t) {
		at := join(path, f.name)
		row := Setting{Path: show(at), Type: typeName(f.typ), Default: f.def, Range: f.rng, Unit: f.unit, Doc: f.doc, Required: f.required}
		row.Enum = strings.Join(f.enum, "|")
		list = append(list, row)
		below := f.typ
		for level := 0; below.Kind() == reflect.Map && below.Elem().Kind() != reflect.Interface; level++ {
			at = join(at, placeholder(f.name, level))
			below = below.Elem()
		}
		if below.Kind() == reflect.Struct {
			list = appendSettings(list, at, below)
		}
	}
	return list
}

// placeholder names a level of a map of blocks.
func placeholder(name string, level int) string {
	if name == "plugin" && level == 0 {
		return "<kind>"
	}
	return "<name>"
}

// field is one struct field's tags.
type field struct {
	index          int
	typ            reflect.Type
	name, def, rng string
	unit, doc      string
	enum           []string
	pattern        *regexp.Regexp
	path           string // "true": a path; "binary": a path where it holds a slash
	required       bool
}

// fieldsOf reads the settings of a block type.
func fieldsOf(t reflect.Type) []field {
	fields := make([]field, 0, t.NumField())
	for i := range t.NumField() {
		sf := t.Field(i)
		name, ok := sf.Tag.Lookup("zs")
		if !ok {
			continue
		}
		f := field{
			index: i, typ: sf.Type, name: name,
			def: sf.Tag.Get("default"), rng: sf.Tag.Get("range"), unit: sf.Tag.Get("unit"), doc: sf.Tag.Get("doc"),
			path: sf.Tag.Get("path"), required: sf.Tag.Get("required") == "true",
		}
		if enum := sf.Tag.Get("enum"); enum != "" {
			f.enum = strings.Split(enum, "|")
		}
		if pattern := sf.Tag.Get("pattern"); pattern != "" {
			f.pattern = regexp.MustCompile(pattern)
		}
		fields = append(fields, f)
	}
	return fields
}

// names lists the names of the fields.
func names(fields []field) []string {
	list := make([]string, len(fields))
	for i, f := range fields {
		list[i] = f.name
	}
	return list
}

// typeName is the schema's word for a Go type.
func typeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "duration"
	case reflect.TypeFor[Size]():
		return "size"
	case reflect.TypeFor[map[string]any]():
		return "free"
	}
	switch t.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "bool"
	case reflect.Float64:
		return "number"
	case reflect.Slice:
		return "list"
	case reflect.Struct, reflect.Map:
		return "block"
	default:
		return "integer"
	}
}
