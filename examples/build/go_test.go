package main

import (
	"bytes"
	"encoding/json"
	"image"
	"image/png"
	"slices"
	"strings"
	"testing"
)

// picture is a PNG of one colour.
func picture(t *testing.T, w, h int) []byte {
	t.Helper()
	p := image.NewGray(image.Rect(0, 0, w, h))
	for i := range p.Pix {
		p.Pix[i] = 0xff
	}
	var b bytes.Buffer
	if err := png.Encode(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestGoAgents compiles agents and runs them as an executor does.
func TestGoAgents(t *testing.T) {
	m := newMachine(t)
	for _, c := range []struct {
		agent   string
		good    map[string][]byte
		bad     map[string][]byte
		summary string
		check   func(outputs map[string][]byte) bool
	}{
		{
			agent:   "markdown",
			good:    map[string][]byte{"doc": readFile(t, "..", "README.md")},
			bad:     map[string][]byte{"doc": {0xff}},
			summary: "headings",
			check: func(o map[string][]byte) bool {
				return bytes.Contains(o["page.html"], []byte("<title>Examples</title>"))
			},
		},
		{
			agent:   "thumbnail",
			good:    map[string][]byte{"image": picture(t, 800, 400)},
			bad:     map[string][]byte{"image": []byte("text")},
			summary: "PNG of 256x128",
			check: func(o map[string][]byte) bool {
				config, err := png.DecodeConfig(bytes.NewReader(o["thumbnail.png"]))
				return err == nil && config.Width == 256 && config.Height == 128
			},
		},
		{
			agent:   "qrcode",
			good:    map[string][]byte{"text": []byte("https://zerostate.dev/\n")},
			bad:     map[string][]byte{"text": []byte(" ")},
			summary: "modules",
			check: func(o map[string][]byte) bool {
				_, err := png.DecodeConfig(bytes.NewReader(o["qr.png"]))
				return err == nil && bytes.Contains(o["qr.svg"], []byte("<svg"))
			},
		},
		{
			agent:   "csvstats",
			good:    map[string][]byte{"data": []byte("a,b\n1,x\n3,y\n")},
			bad:     map[string][]byte{"data": []byte("a,b\n1\n")},
			summary: "2 rows, 2 columns, 1 of them numbers",
			check: func(o map[string][]byte) bool {
				var stats struct {
					Columns []struct{ Numbers struct{ Mean float64 } }
				}
				return json.Unmarshal(o["stats.json"], &stats) == nil && stats.Columns[0].Numbers.Mean == 2
			},
		},
	} {
		t.Run(c.agent, func(t *testing.T) {
			module := buildOne(t, c.agent)
			if len(module) > 8<<20 {
				t.Errorf("got a module of %d bytes, want at most 8 MiB", len(module))
			}
			got := m.run(t, module, true, c.good)
			if got.exit != 0 || !strings.Contains(got.stdout, c.summary) || strings.Count(got.stdout, "\n") != 1 || !c.check(got.outputs) {
				t.Errorf("got exit %d, %q, %q, %d outputs", got.exit, got.stdout, got.stderr, len(got.outputs))
			}
			if wrong := m.run(t, module, false, c.bad); wrong.exit != 2 || !strings.HasPrefix(wrong.stderr, "error: input ") || len(wrong.outputs) > 0 {
				t.Errorf("bad input: got exit %d, %q, want 2 and an error that names the input", wrong.exit, wrong.stderr)
			}
			checkNames(t, c.agent, c.good, got.outputs)
		})
	}
}

// checkNames holds the manifest to the inputs and outputs that the agent has.
func checkNames(t *testing.T, name string, inputs, outputs map[string][]byte) {
	t.Helper()
	for _, a := range agentsHere(t) {
		if a.name != name {
			continue
		}
		m := manifestOf(t, a)
		if len(m.Spec.Inputs) != len(inputs) || len(m.Spec.Outputs) != len(outputs) {
			t.Errorf("the manifest has %d inputs and %d outputs, the agent %d and %d", len(m.Spec.Inputs), len(m.Spec.Outputs), len(inputs), len(outputs))
		}
		for _, in := range m.Spec.Inputs {
			if _, ok := inputs[in.Name]; !ok || in.Mount != "/in/"+in.Name {
				t.Errorf("input %s at %s: not one of the agent's", in.Name, in.Mount)
			}
		}
		names := make([]string, 0, len(outputs))
		for n := range outputs {
			names = append(names, n)
		}
		for _, out := range m.Spec.Outputs {
			if !slices.Contains(names, out.Name) || out.Path != "/out/"+out.Name {
				t.Errorf("output %s at %s: the agent wrote %v", out.Name, out.Path, names)
			}
		}
	}
}
