package sdk

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// read turns a value of a configuration file into the typed one: string, bool,
// int64, float64, time.Duration, []string or map[string]string. The second
// result says what is wrong; it never quotes a sensitive value.
func (s *Setting) read(raw any) (any, string) {
	value, ok := s.convert(raw)
	if !ok {
		return nil, "want " + s.want() + s.quote(raw)
	}
	if len(s.Enum) == 0 {
		return value, ""
	}
	values, isList := value.([]string)
	if !isList {
		values = []string{fmt.Sprint(value)}
	}
	for _, v := range values {
		if !slices.Contains(s.Enum, v) {
			return nil, "want one of " + strings.Join(s.Enum, ", ") + s.quote(v)
		}
	}
	return value, ""
}

func (s *Setting) quote(raw any) string {
	if s.Sensitive {
		return ""
	}
	return fmt.Sprintf(", got %.60s", fmt.Sprint(raw))
}

func (s *Setting) want() string {
	switch s.Type {
	case TypeString:
		return "a string"
	case TypeBool:
		return "true or false"
	case TypeInt:
		return "an integer"
	case TypeFloat:
		return "a number"
	case TypeDuration:
		return `a duration such as "1m30s"`
	case TypeBytes:
		return `a size such as "64MiB"`
	case TypeList:
		return "a list of strings"
	default:
		return "a map of strings"
	}
}

func (s *Setting) convert(raw any) (any, bool) {
	switch s.Type {
	case TypeString:
		v, ok := raw.(string)
		return v, ok
	case TypeBool:
		v, ok := raw.(bool)
		return v, ok
	case TypeInt:
		return readInt(raw)
	case TypeFloat:
		return readFloat(raw)
	case TypeDuration:
		text, ok := raw.(string)
		if !ok {
			return nil, false
		}
		d, err := time.ParseDuration(text)
		return d, err == nil
	case TypeBytes:
		return readBytes(raw)
	case TypeList:
		return readList(raw)
	case TypeMap:
		return readMap(raw)
	default:
		return nil, false
	}
}

func readInt(raw any) (any, bool) {
	switch v := raw.(type) {
	case int:
		return int64(v), true
	case int64:
		return v, true
	case float64:
		return int64(v), v == math.Trunc(v) && math.Abs(v) < 1<<53
	case json.Number:
		n, err := v.Int64()
		return n, err == nil
	default:
		return nil, false
	}
}

func readFloat(raw any) (any, bool) {
	switch v := raw.(type) {
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case float64:
		return v, !math.IsNaN(v) && !math.IsInf(v, 0)
	case json.Number:
		f, err := v.Float64()
		return f, err == nil
	default:
		return nil, false
	}
}

// readBytes reads a number of bytes or a text such as "64MiB".
func readBytes(raw any) (any, bool) {
	text, ok := raw.(string)
	if !ok {
		return readInt(raw)
	}
	shift := 0
	for i, unit := range []string{"KiB", "MiB", "GiB"} {
		if number, found := strings.CutSuffix(text, unit); found {
			text, shift = number, 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64>>shift {
		return nil, false
	}
	return n << shift, true
}

func readList(raw any) (any, bool) {
	switch v := raw.(type) {
	case []string:
		return slices.Clone(v), true
	case []any:
		out := make([]string, len(v))
		for i, item := range v {
			text, ok := item.(string)
			if !ok {
				return nil, false
			}
			out[i] = text
		}
		return out, true
	default:
		return nil, false
	}
}

func readMap(raw any) (any, bool) {
	switch v := raw.(type) {
	case map[string]string:
		return maps.Clone(v), true
	case map[string]any:
		out := make(map[string]string, len(v))
		for name, item := range v {
			text, ok := item.(string)
			if !ok {
				return nil, false
			}
			out[name] = text
		}
		return out, true
	default:
		return nil, false
	}
}

// bounds says what is wrong with a typed value against Min and Max.
func (s *Setting) bounds(value any) string {
	if s.Min != nil {
		if low, ok := s.convert(s.Min); ok && compareValues(value, low) < 0 {
			return fmt.Sprintf("want at least %v%s", s.Min, s.quote(value))
		}
	}
	if s.Max != nil {
		if high, ok := s.convert(s.Max); ok && compareValues(value, high) > 0 {
			return fmt.Sprintf("want at most %v%s", s.Max, s.quote(value))
		}
	}
	return ""
}

// compareValues orders two typed values of one ordered type.
func compareValues(a, b any) int {
	switch x := a.(type) {
	case int64:
		if y, ok := b.(int64); ok {
			return cmp.Compare(x, y)
		}
	case float64:
		if y, ok := b.(float64); ok {
			return cmp.Compare(x, y)
		}
	case time.Duration:
		if y, ok := b.(time.Duration); ok {
			return cmp.Compare(x, y)
		}
	}
	return 0
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// editDistance is the Levenshtein distance of two short names.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
