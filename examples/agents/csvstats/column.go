package main

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

const topValues = 5

// column describes one column of the table.
type column struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"` // number, text or empty
	Count    int      `json:"count"`
	Missing  int      `json:"missing"`
	Distinct int      `json:"distinct"`
	Numbers  *numbers `json:"numbers,omitempty"`
	Top      []top    `json:"top,omitempty"` // of a text column
}

// numbers describes the values of a column of numbers.
type numbers struct {
	Sum    float64 `json:"sum"`
	Mean   float64 `json:"mean"`
	StdDev float64 `json:"stddev"` // of a sample; 0 for one value
	Min    float64 `json:"min"`
	Q1     float64 `json:"q1"`
	Median float64 `json:"median"`
	Q3     float64 `json:"q3"`
	Max    float64 `json:"max"`
}

// top is one of the most frequent values.
type top struct {
	Value string `json:"value"`
	Count int    `json:"count"`
}

// values gathers the cells of a column.
type values struct {
	name    string
	missing int
	count   int
	numbers []float64
	seen    map[string]int
}

// add takes one cell; an empty one, NA and the like are missing values.
func (v *values) add(cell string) {
	switch strings.ToLower(cell) {
	case "", "na", "n/a", "nan", "null", "-":
		v.missing++
		return
	}
	v.count++
	if v.seen == nil {
		v.seen = map[string]int{}
	}
	v.seen[strings.Clone(cell)]++
	if x, err := strconv.ParseFloat(cell, 64); err == nil && !math.IsInf(x, 0) {
		v.numbers = append(v.numbers, x)
	}
}

// describe makes the description: numbers where every cell is one.
func (v *values) describe() column {
	c := column{Name: v.name, Type: "text", Count: v.count, Missing: v.missing, Distinct: len(v.seen)}
	switch {
	case v.count == 0:
		c.Type = "empty"
	case len(v.numbers) == v.count:
		c.Type = "number"
		c.Numbers = summarise(v.numbers)
	default:
		c.Top = v.top()
	}
	return c
}

func (v *values) top() []top {
	all := make([]top, 0, len(v.seen))
	for _, value := range slices.Sorted(maps.Keys(v.seen)) {
		all = append(all, top{value, v.seen[value]})
	}
	slices.SortStableFunc(all, func(a, b top) int { return cmp.Compare(b.Count, a.Count) })
	return all[:min(topValues, len(all))]
}

// summarise sorts the numbers and describes them; there is at least one. Mean
// and deviation are Welford's, which stay exact where sums of squares do not.
func summarise(x []float64) *numbers {
	slices.Sort(x)
	n := &numbers{Min: x[0], Max: x[len(x)-1], Q1: quantile(x, 0.25), Median: quantile(x, 0.5), Q3: quantile(x, 0.75)}
	squares := 0.0
	for i, v := range x {
		n.Sum += v
		d := v - n.Mean
		n.Mean += d / float64(i+1)
		squares += d * (v - n.Mean)
	}
	if len(x) > 1 {
		n.StdDev = math.Sqrt(squares / float64(len(x)-1))
	}
	return n
}

// quantile interpolates between the two nearest of the sorted numbers, as R and
// NumPy do by default.
func quantile(x []float64, q float64) float64 {
	at := q * float64(len(x)-1)
	low := int(at)
	if low+1 == len(x) {
		return x[low]
	}
	return x[low] + (at-float64(low))*(x[low+1]-x[low])
}
