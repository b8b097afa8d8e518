package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/zerostate/zerostate/core"
)

// aModule stands for an agent's module in a template.
var aModule = core.InputRef{
	CID:    "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
	SHA256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
}

func TestCardsAndManifests(t *testing.T) {
	names := map[string]bool{}
	for _, a := range agentsHere(t) {
		t.Run(a.name, func(t *testing.T) {
			spec := cardOf(t, a)
			if names[spec.Name] {
				t.Errorf("two agents have the name %q", spec.Name)
			}
			names[spec.Name] = true
			if len(spec.Offers) == 0 {
				t.Error("offers nothing")
			}
			for _, o := range spec.Offers {
				if o.Manifest != "task.yaml" {
					t.Errorf("offers %s, want task.yaml", o.Manifest)
				}
			}
			for _, s := range spec.Skills {
				if len(s.Examples) < 2 {
					t.Errorf("skill %s: want at least two examples of what a user would say", s.ID)
				}
			}
			m := manifestOf(t, a)
			if m.Name != a.name || m.Spec.Module.URI != "file:agent.wasm" {
				t.Errorf("got %q with module %s, want %q with file:agent.wasm", m.Name, m.Spec.Module.URI, a.name)
			}
			if _, err := m.Template(aModule); err != nil {
				t.Errorf("template: %v", err)
			}
			checkCharge(t, m)
		})
	}
	if len(names) < 10 {
		t.Errorf("got %d agents, want at least 10", len(names))
	}
}

// checkCharge wants a charge from the first byte on, and a lock that fits the
// default policy.
func checkCharge(t *testing.T, m *core.Manifest) {
	t.Helper()
	const lock = 1_000_000
	least, err := core.Charge(m.Spec.Settlement, core.Metering{Verifiable: core.VerifiableMetering{Req: 1, Byte: 1}}, lock)
	if err != nil || least <= 0 {
		t.Errorf("charge of the smallest run: got %d, %v, want more than 0", least, err)
	}
	units := m.Spec.MaxUnits(1 << 20)
	most, err := core.Charge(m.Spec.Settlement, core.Metering{Verifiable: core.VerifiableMetering{Req: 1, Byte: units}}, lock)
	if err != nil || most >= lock {
		t.Errorf("charge of the largest run: got %d, %v, want less than %d", most, err, lock)
	}
}

func cardOf(t *testing.T, a agent) *core.CardSpec {
	t.Helper()
	path := filepath.Join(a.dir, "card.yaml")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := core.ParseCardSpec(data, path)
	if err != nil {
		t.Fatal(err)
	}
	return spec
}
