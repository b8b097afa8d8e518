// Command tojson is an agent that converts YAML and TOML to JSON. It tells which
// of them it has by reading it. Several YAML documents become an array.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/BurntSushi/toml"
	"go.yaml.in/yaml/v3"

	"github.com/zerostate/zerostate/examples/internal/guest"
)

const maxDocBytes = 4 << 20

func main() { guest.Main(run) }

func run(f guest.Files) (string, error) {
	doc, err := f.Read("doc", maxDocBytes)
	if err != nil {
		return "", err
	}
	format, out, err := convert(doc)
	if err != nil {
		return "", guest.BadInput("doc", err)
	}
	return fmt.Sprintf("%s: %d bytes became %d bytes of JSON", format, len(doc), len(out)), f.Write("data.json", out)
}

// convert reads the document and writes it as indented JSON.
func convert(doc []byte) (format string, out []byte, err error) {
	format, value, err := read(doc)
	if err != nil {
		return "", nil, err
	}
	if value, err = plain(value); err != nil {
		return format, nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(value); err != nil {
		return format, nil, fmt.Errorf("has no form in JSON: %w", err)
	}
	return format, b.Bytes(), nil
}

// read reads TOML where it is TOML, otherwise YAML.
func read(doc []byte) (format string, value any, err error) {
	var table map[string]any
	tomlErr := toml.Unmarshal(doc, &table)
	if tomlErr == nil && len(table) > 0 {
		return "TOML", table, nil
	}
	value, yamlErr := readYAML(doc)
	if _, isText := value.(string); yamlErr == nil && !isText {
		return "YAML", value, nil
	}
	if yamlErr == nil {
		yamlErr = errors.New("one text without any structure")
	}
	return "", nil, fmt.Errorf("is neither TOML (%w) nor YAML (%w)", tomlErr, yamlErr)
}

// readYAML answers the document, or an array of them where there are several.
func readYAML(doc []byte) (any, error) {
	d := yaml.NewDecoder(bytes.NewReader(doc))
	var all []any
	for {
		var value any
		switch err := d.Decode(&value); {
		case err == nil:
			all = append(all, value)
		case !errors.Is(err, io.EOF):
			return nil, err
		case len(all) == 0:
			return nil, errors.New("no document")
		case len(all) == 1:
			return all[0], nil
		default:
			return all, nil
		}
	}
}

// timeText spells a time as the document did: TOML has dates and times alone.
func timeText(t time.Time) string {
	switch t.Location().String() {
	case "date-local":
		return t.Format(time.DateOnly)
	case "time-local":
		return t.Format("15:04:05.999999999")
	case "datetime-local":
		return t.Format("2006-01-02T15:04:05.999999999")
	}
	return t.Format(time.RFC3339Nano)
}

// plain makes keys and times strings, as JSON wants them, and refuses infinities.
func plain(value any) (any, error) {
	var err error
	switch v := value.(type) {
	case map[string]any:
		for k := range v {
			if v[k], err = plain(v[k]); err != nil {
				return nil, fmt.Errorf("%s: %w", k, err)
			}
		}
	case map[any]any:
		out := make(map[string]any, len(v))
		for k, item := range v {
			name := fmt.Sprint(k)
			if _, taken := out[name]; taken {
				return nil, fmt.Errorf("two keys are %q in JSON", name)
			}
			if out[name], err = plain(item); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
		return out, nil
	case []any:
		for i := range v {
			if v[i], err = plain(v[i]); err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
		}
	case []map[string]any:
		for i := range v {
			if _, err = plain(v[i]); err != nil { // in place
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
		}
	case time.Time:
		return timeText(v), nil
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return nil, fmt.Errorf("JSON has no %v", v)
		}
	}
	return value, nil
}
