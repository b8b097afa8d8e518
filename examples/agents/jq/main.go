// Command jq is an agent that runs a jq query on JSON data. The data may be
// several JSON values after each other; the query sees each of them.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/itchyny/gojq"

	"github.com/zerostate/zerostate/examples/internal/guest"
)

const (
	maxDataBytes  = 16 << 20
	maxQueryBytes = 16 << 10
	maxOutBytes   = 8 << 20
)

func main() { guest.Main(run) }

func run(f guest.Files) (string, error) {
	data, err := f.Read("data", maxDataBytes)
	if err != nil {
		return "", err
	}
	text, err := f.Read("query", maxQueryBytes)
	if err != nil {
		return "", err
	}
	query, err := compile(string(text))
	if err != nil {
		return "", guest.BadInput("query", err)
	}
	out, results, err := apply(context.Background(), query, data)
	if err != nil {
		return "", guest.BadInput("data", err)
	}
	summary := fmt.Sprintf("%d results of %s", results, strings.Join(strings.Fields(string(text)), " "))
	return summary, f.Write("result.json", out)
}

// compile reads a query. Modules, files and the environment are out of reach.
func compile(text string) (*gojq.Code, error) {
	query, err := gojq.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("not a jq query: %w", err)
	}
	return gojq.Compile(query, gojq.WithEnvironLoader(func() []string { return nil }))
}

// apply runs the query on each JSON value of the data and answers the results,
// one below the other, and how many there are.
func apply(ctx context.Context, query *gojq.Code, data []byte) (out []byte, results int, err error) {
	values := json.NewDecoder(bytes.NewReader(data))
	values.UseNumber() // large integers stay exact
	var b bytes.Buffer
	for n := 1; ; n++ {
		var value any
		switch err := values.Decode(&value); {
		case errors.Is(err, io.EOF):
			return b.Bytes(), results, nil
		case err != nil:
			return nil, 0, fmt.Errorf("value %d is not JSON: %w", n, err)
		}
		more, err := write(&b, query.RunWithContext(ctx, value))
		if err != nil {
			return nil, 0, fmt.Errorf("value %d: %w", n, err)
		}
		results += more
	}
}

// write appends every result, indented, and answers how many there were.
func write(b *bytes.Buffer, results gojq.Iter) (int, error) {
	for n := 0; ; n++ {
		v, ok := results.Next()
		if !ok {
			return n, nil
		}
		if err, isErr := v.(error); isErr {
			if halt := (*gojq.HaltError)(nil); errors.As(err, &halt) && halt.Value() == nil {
				return n, nil
			}
			return n, err
		}
		text, err := gojq.Marshal(v)
		if err != nil {
			return n, err
		}
		if err := json.Indent(b, text, "", "  "); err != nil {
			return n, err
		}
		b.WriteByte('\n')
		if b.Len() > maxOutBytes {
			return n, fmt.Errorf("the results have more than %d bytes", maxOutBytes)
		}
	}
}
