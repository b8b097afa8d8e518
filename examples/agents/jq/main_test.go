package main

import (
	"strings"
	"testing"
)

func TestApply(t *testing.T) {
	const data = `{"people":[{"name":"Ada","age":36},{"name":"Alan","age":41}],"big":9007199254740993}`
	for _, c := range []struct {
		query, data, want string
		results           int
	}{
		{".people[].name", data, "\"Ada\"\n\"Alan\"\n", 2},
		{"[.people[] | select(.age > 40) | .name]", data, "[\n  \"Alan\"\n]\n", 1},
		{".big", data, "9007199254740993\n", 1},
		{"keys", data, "[\n  \"big\",\n  \"people\"\n]\n", 1},
		{".a", `{"a":1} {"a":2}`, "1\n2\n", 2},
		{"1, halt, 2", "0", "1\n", 1},
		{"env", "0", "{}\n", 1},
		{"empty", "0", "", 0},
	} {
		query, err := compile(c.query)
		if err != nil {
			t.Fatal(err)
		}
		got, n, err := apply(t.Context(), query, []byte(c.data))
		if err != nil || string(got) != c.want || n != c.results {
			t.Errorf("%s: got %q, %d, %v, want %q, %d", c.query, got, n, err, c.want, c.results)
		}
	}
}

func TestApplyErrors(t *testing.T) {
	for _, c := range []struct{ query, data, want string }{
		{".a", "{", "value 1 is not JSON"},
		{".a", `{} [1]`, "value 2"},
		{`error("no")`, "1", "no"},
		{`[range(4000000)]|tostring`, "1", "more than"},
	} {
		query, err := compile(c.query)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := apply(t.Context(), query, []byte(c.data)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s on %s: got %v, want %s", c.query, c.data, err, c.want)
		}
	}
	for _, bad := range []string{".[", "nosuch(1)", `import "a" as a; .`} {
		if _, err := compile(bad); err == nil {
			t.Errorf("%s: got no error", bad)
		}
	}
}
