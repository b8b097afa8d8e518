package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk"
	"github.com/zerostate/zerostate/plugin/sdk/sdktest"
)

// TestMain is the plugin's own main where a host started this binary.
func TestMain(m *testing.M) {
	if os.Getenv(sdk.CookieKey) == sdk.CookieValue {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestConformance is all that a plugin needs: the suite of its kind, here in this
// process and in one of its own.
func TestConformance(t *testing.T) {
	t.Run("builtin", func(t *testing.T) {
		sdktest.Embedder().Test(t, sdktest.Builtin(sdk.Embedder, plugin(), sdktest.Options{}))
	})
	t.Run("process", func(t *testing.T) {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		command := func() *exec.Cmd { return exec.CommandContext(t.Context(), self) }
		sdktest.Embedder().Test(t, sdktest.Command(sdk.Embedder, command, nil, sdktest.Options{}))
	})
}

// TestFindsTheAgents asks for each example agent as its card says users would.
func TestFindsTheAgents(t *testing.T) {
	cards, err := filepath.Glob("../../agents/*/card.yaml")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../../agents/c/*/card.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var texts, names []string
	asked := map[string]string{}
	for _, path := range append(cards, more...) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		spec, err := core.ParseCardSpec(data, path)
		if err != nil {
			t.Fatal(err)
		}
		s := spec.Skills[0]
		texts = append(texts, strings.Join([]string{spec.Name, s.Name, s.Description, strings.Join(s.Tags, " "), spec.Description}, "\n"))
		names = append(names, spec.Name)
		for _, example := range s.Examples {
			asked[example] = spec.Name
		}
	}
	for example, want := range asked {
		query, best, score := vector(example), "", float32(-1)
		for i, text := range texts {
			var dot float32
			for k, x := range vector(text) {
				dot += x * query[k]
			}
			if dot > score {
				best, score = names[i], dot
			}
		}
		if best != want {
			t.Errorf("%q: got %s, want %s", example, best, want)
		}
	}
}
