package sdk

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/zerostate/zerostate/core"
)

type testConfig struct {
	Name    string            `zs:"name" required:"true" doc:"who"`
	Mode    string            `zs:"mode" default:"fast" enum:"fast|exact" reloadable:"true"`
	On      bool              `zs:"on" default:"true"`
	M       int               `zs:"m" default:"16" range:"2..64" unit:"links"`
	Size    int64             `zs:"size" default:"1MiB" range:"1KiB.." unit:"bytes"`
	Alpha   float64           `zs:"alpha" default:"0.5" range:"..1"`
	Wait    time.Duration     `zs:"wait" default:"2s" range:"1s..1m"`
	Tags    []string          `zs:"tags" default:"a,b"`
	Labels  map[string]string `zs:"labels"`
	Key     string            `zs:"api_key" sensitive:"true" enum:"right"`
	skipped int
}

func TestDecode(t *testing.T) {
	got, err := Decode(&testConfig{}, map[string]any{
		"name": "n", "m": json.Number("32"), "size": "2GiB", "alpha": 0.25, "wait": "30s",
		"tags": []any{"x"}, "labels": map[string]any{"a": "b"}, "mode": nil,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &testConfig{
		Name: "n", Mode: "fast", On: true, M: 32, Size: 2 << 30, Alpha: 0.25, Wait: 30 * time.Second,
		Tags: []string{"x"}, Labels: map[string]string{"a": "b"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if want.skipped != 0 {
		t.Error("an unexported field was set")
	}
}

func TestDecodeRefuses(t *testing.T) {
	_, err := Decode(&testConfig{}, map[string]any{
		"mode": "slow", "on": "yes", "m": 65, "size": "12 parsecs", "alpha": 1.5, "wait": "1h", "tags": []any{1},
		"labels": map[string]any{"a": 1}, "api_key": "hunter2", "names": "x", "qqqqqq": 1,
	})
	var fields core.FieldErrors
	if !errors.As(err, &fields) || !errors.Is(err, core.ErrInvalid) {
		t.Fatalf("got %v, want field errors", err)
	}
	want := map[string]string{
		"name": "is required", "mode": "want one of fast, exact, got slow", "on": "want true or false, got yes",
		"m": "want at most 64, got 65", "size": `want a size such as "64MiB", got 12 parsecs`, "alpha": "want at most 1, got 1.5",
		"wait": "want at most 1m, got 1h0m0s", "tags": "want a list of strings, got [1]", "labels": "want a map of strings, got map[a:1]",
		"api_key": "want one of right", "names": `unknown setting; did you mean "name"?`, "qqqqqq": "unknown setting",
	}
	for _, f := range fields {
		if f.Problem != want[f.Path] {
			t.Errorf("%s: got %q, want %q", f.Path, f.Problem, want[f.Path])
		}
		delete(want, f.Path)
	}
	if len(want) > 0 {
		t.Errorf("not reported: %v", want)
	}
}

func TestSettingValues(t *testing.T) {
	for _, c := range []struct {
		typ  SettingType
		raw  any
		want any // nil: refused
	}{
		{TypeInt, 3, int64(3)},
		{TypeInt, int64(3), int64(3)},
		{TypeInt, 3.0, int64(3)},
		{TypeInt, 3.5, nil},
		{TypeInt, json.Number("1.5"), nil},
		{TypeInt, "3", nil},
		{TypeFloat, 3, 3.0},
		{TypeFloat, int64(3), 3.0},
		{TypeFloat, json.Number("2.5"), 2.5},
		{TypeFloat, "x", nil},
		{TypeBytes, 7, int64(7)},
		{TypeBytes, "7", int64(7)},
		{TypeBytes, "3KiB", int64(3072)},
		{TypeBytes, "-1", nil},
		{TypeBytes, "99999999999GiB", nil},
		{TypeDuration, "1m", time.Minute},
		{TypeDuration, 5, nil},
		{TypeDuration, "soon", nil},
		{TypeList, []string{"a"}, []string{"a"}},
		{TypeList, "a", nil},
		{TypeMap, map[string]string{"a": "b"}, map[string]string{"a": "b"}},
		{TypeMap, 1, nil},
		{TypeString, 1, nil},
		{TypeBool, true, true},
		{SettingType("odd"), true, nil},
	} {
		s := Setting{Type: c.typ}
		got, problem := s.read(c.raw)
		if !reflect.DeepEqual(got, c.want) || (problem == "") != (c.want != nil) {
			t.Errorf("%s of %v: got %v, %q, want %v", c.typ, c.raw, got, problem, c.want)
		}
	}
}

func TestSchemaOfRefuses(t *testing.T) {
	for name, pattern := range map[string]any{
		"no pointer": testConfig{},
		"no tag":     &struct{ A int }{},
		"bad type": &struct {
			A chan int `zs:"a"`
		}{},
		"bad default": &struct {
			A int `zs:"a" default:"x"`
		}{},
		"bad range": &struct {
			A int `zs:"a" range:"5"`
		}{},
		"bad low": &struct {
			A int `zs:"a" range:"x..5"`
		}{},
		"bad high": &struct {
			A int `zs:"a" range:"1..x"`
		}{},
		"map's default": &struct {
			A map[string]string `zs:"a" default:"x"`
		}{},
	} {
		if _, err := SchemaOf(pattern); !errors.Is(err, core.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
		if _, err := Decode(pattern, nil); err == nil {
			t.Errorf("%s: decodes", name)
		}
	}
	if got, err := Decode(nil, nil); got != nil || err != nil {
		t.Errorf("no settings: got %v, %v", got, err)
	}
	if _, err := Decode(nil, map[string]any{"a": 1}); !errors.Is(err, core.ErrInvalid) {
		t.Errorf("setting of a plugin without settings: got %v, want ErrInvalid", err)
	}
}

func TestSchemaCrosses(t *testing.T) {
	schema, err := SchemaOf(&testConfig{})
	if err != nil {
		t.Fatal(err)
	}
	pb, err := schemaToPB(schema)
	if err != nil {
		t.Fatal(err)
	}
	got, err := schemaFromPB(pb)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, schema) {
		t.Errorf("got %+v, want %+v", got, schema)
	}
	if problems := got.Check(map[string]any{"name": "n", "m": 1}); len(problems) != 1 || problems[0].Path != "m" {
		t.Errorf("check: got %v, want one about m", problems)
	}
	pb[0].MinJson = "{"
	if _, err := schemaFromPB(pb); !errors.Is(err, core.ErrInvalid) {
		t.Errorf("broken schema: got %v, want ErrInvalid", err)
	}
	pb[0].MinJson = "1 2"
	if _, err := schemaFromPB(pb); err == nil || !strings.Contains(err.Error(), "more than one value") {
		t.Errorf("two values: got %v", err)
	}
	if _, err := schemaToPB(Schema{{Name: "x", Default: make(chan int)}}); err == nil {
		t.Error("a channel is a default")
	}
}
