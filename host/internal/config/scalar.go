package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// text is a value from the environment or a flag: its type is the setting's.
type text string

// String writes a size with the largest unit that divides it.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

var sizeUnits = [...]struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// parseSize reads 1024, 64KiB, 32MiB or 2GiB.
func parseSize(s string) (int64, error) {
	digits, unit := s, int64(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			digits, unit = rest, u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/unit {
		return 0, fmt.Errorf("want a size such as 64KiB, 32MiB or 2GiB, got %q", s)
	}
	return n * unit, nil
}

// asSize reads a size from a tree's value.
func asSize(v any) (int64, error) {
	switch x := v.(type) {
	case int64:
		if x < 0 {
			return 0, fmt.Errorf("want a size such as 64KiB, 32MiB or 2GiB, got %d", x)
		}
		return x, nil
	case string:
		return parseSize(x)
	case text:
		return parseSize(string(x))
	}
	return 0, fmt.Errorf("want a size such as 64KiB, 32MiB or 2GiB, got %s", describe(v))
}

// asDuration reads Go's form of a duration.
func asDuration(v any) (time.Duration, error) {
	s, ok := v.(string)
	if t, raw := v.(text); raw {
		s, ok = string(t), true
	}
	if ok {
		if d, err := time.ParseDuration(s); err == nil {
			return d, nil
		}
	}
	return 0, fmt.Errorf("want a duration such as 200ms, 30s or 5m, got %s", describe(v))
}

// asInt reads a whole number.
func asInt(v any) (int64, error) {
	switch x := v.(type) {
	case int64:
		return x, nil
	case text:
		if n, err := strconv.ParseInt(string(x), 10, 64); err == nil {
			return n, nil
		}
	}
	return 0, fmt.Errorf("want a whole number, got %s", describe(v))
}

// asFloat reads a number.
func asFloat(v any) (float64, error) {
	switch x := v.(type) {
	case int64:
		return float64(x), nil
	case float64:
		return x, nil
	case text:
		if yamlFloat.MatchString(string(x)) {
			return strconv.ParseFloat(string(x), 64)
		}
	}
	return 0, fmt.Errorf("want a number, got %s", describe(v))
}

// asBool reads true or false.
func asBool(v any) (bool, error) {
	switch x := v.(type) {
	case bool:
		return x, nil
	case text:
		if x == "true" || x == "false" {
			return x == "true", nil
		}
	}
	return false, fmt.Errorf("want true or false, got %s", describe(v))
}

// asString reads a string.
func asString(v any) (string, error) {
	switch x := v.(type) {
	case string:
		return x, nil
	case text:
		return string(x), nil
	}
	return "", fmt.Errorf("want a string in quotes, got %s", describe(v))
}

// asList reads a list; text is split at commas.
func asList(v any) ([]any, error) {
	switch x := v.(type) {
	case []any:
		return x, nil
	case text:
		if x == "" {
			return nil, nil
		}
		parts := strings.Split(string(x), ",")
		list := make([]any, len(parts))
		for i, p := range parts {
			list[i] = text(strings.TrimSpace(p))
		}
		return list, nil
	}
	return nil, fmt.Errorf("want a list, got %s", describe(v))
}

// infer gives text its plain value where no schema says its type.
func infer(t text) any {
	s := string(t)
	switch {
	case s == "true" || s == "false":
		return s == "true"
	case yamlInt.MatchString(s):
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n
		}
	case yamlFloat.MatchString(s):
		if f, err := strconv.ParseFloat(s, 64); err == nil {
			return number(f)
		}
	}
	return s
}

// describe names a value for a message, without spelling out long text.
func describe(v any) string {
	switch x := v.(type) {
	case map[string]any:
		return "a block"
	case []any:
		return "a list"
	case string:
		return clip(x)
	case text:
		return clip(string(x))
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64)
	default:
		return fmt.Sprint(x)
	}
}

// clip quotes at most 40 bytes.
func clip(s string) string {
	if len(s) > 40 {
		return strconv.Quote(strings.ToValidUTF8(s[:40], "")) + "..."
	}
	return strconv.Quote(s)
}
