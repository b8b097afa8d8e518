package main

import (
	"math"
	"testing"
)

func TestDescribe(t *testing.T) {
	const data = "\xef\xbb\xbfname; price;note;void\nred;2;\"a;b\";\ngreen;4;x;\nred;4;NA;\nred;4;x;\nblue;5;y;\nblue;5;z;\nred;7;x;\nred;9;x;\n"
	got, err := describe([]byte(data))
	if err != nil {
		t.Fatal(err)
	}
	if got.Rows != 8 || got.Delimiter != ";" || len(got.Columns) != 4 {
		t.Fatalf("got %+v", got)
	}
	name, price, note, void := got.Columns[0], got.Columns[1], got.Columns[2], got.Columns[3]
	if name.Name != "name" || name.Type != "text" || name.Distinct != 3 || name.Top[0] != (top{"red", 5}) || name.Top[1] != (top{"blue", 2}) {
		t.Errorf("name: got %+v", name)
	}
	want := numbers{Sum: 40, Mean: 5, StdDev: math.Sqrt(32.0 / 7), Min: 2, Q1: 4, Median: 4.5, Q3: 5.5, Max: 9}
	if price.Name != "price" || price.Type != "number" || price.Numbers == nil {
		t.Fatalf("price: got %+v", price)
	}
	if n := *price.Numbers; math.Abs(n.StdDev-want.StdDev) > 1e-12 {
		t.Errorf("stddev: got %v, want %v", n.StdDev, want.StdDev)
	} else if n.StdDev = want.StdDev; n != want {
		t.Errorf("price: got %+v, want %+v", n, want)
	}
	if note.Missing != 1 || note.Count != 7 || note.Top[0] != (top{"x", 4}) {
		t.Errorf("note: got %+v", note)
	}
	if void.Type != "empty" || void.Missing != 8 {
		t.Errorf("void: got %+v", void)
	}
}

func TestDescribeBad(t *testing.T) {
	for _, bad := range []string{"a,b\n1\n", "a,b\n\"1,2\n", "\n\n"} {
		if got, err := describe([]byte(bad)); err == nil {
			t.Errorf("%q: got %+v, want an error", bad, got)
		}
	}
	if got, err := describe([]byte("a\n1\n")); err != nil || *got.Columns[0].Numbers != (numbers{1, 1, 0, 1, 1, 1, 1, 1}) {
		t.Errorf("one value: got %+v, %v", got, err)
	}
}
