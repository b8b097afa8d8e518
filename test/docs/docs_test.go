// Package docs runs what the documents tell readers to type: every block of
// README.md and docs/*.md that is marked `sh test`. Such a block needs neither
// a node nor the network; it is run from the top of the tree, with the CLI of
// this tree first in PATH, and must succeed.
package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

// block is one command block of a document.
type block struct {
	where  string
	script string
}

func TestBlocks(t *testing.T) {
	var all []block
	for _, pattern := range []string{"README.md", "CONTRIBUTING.md", "docs/*.md", "docs/*/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			name, err := filepath.Rel(root, f)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, blocks(name, string(text))...)
		}
	}
	if len(all) == 0 {
		t.Fatal("no block is marked `sh test`")
	}
	bin := binaries(t)
	for _, b := range all {
		t.Run(b.where, func(t *testing.T) {
			sh := exec.CommandContext(t.Context(), "sh", "-eu", "-c", b.script)
			sh.Dir = root
			sh.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "HOME="+t.TempDir(), "ZEROSTATE_HOME=")
			if out, err := sh.CombinedOutput(); err != nil {
				t.Errorf("%s\n%v\n%s", b.script, err, out)
			}
		})
	}
}

// binaries is the directory with the CLI: what `make test` built, or a build of
// our own.
func binaries(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("ZEROSTATE_BIN"); dir != "" {
		return dir
	}
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./cmd/zerostate")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the CLI: %v\n%s", err, out)
	}
	return bin
}

// blocks finds the blocks of a document that are to be run.
func blocks(name, text string) []block {
	var found []block
	var script []string
	inside, test, heading := false, false, "top"
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case !inside && strings.HasPrefix(line, "```"):
			inside, test, script = true, line == "```sh test", nil
		case inside && line == "```":
			if test {
				found = append(found, block{name + "/" + heading, strings.Join(script, "\n")})
			}
			inside = false
		case inside:
			script = append(script, line)
		case strings.HasPrefix(line, "#"):
			heading = strings.TrimLeft(line, "# ")
		}
	}
	return found
}

func TestBlocksFindsOnlyMarked(t *testing.T) {
	const text = "# A\n```sh\nno\n```\n## B c\n```sh test\none\ntwo\n```\n```go\nno\n```\n"
	got := blocks("x.md", text)
	if len(got) != 1 || got[0] != (block{"x.md/B c", "one\ntwo"}) {
		t.Errorf("got %+v, want the marked block under B c", got)
	}
}

// TestLinks holds that a relative link of a document leads somewhere.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "examples/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range link.FindAllStringSubmatch(string(text), -1) {
				if _, err := os.Stat(filepath.Join(filepath.Dir(f), m[1])); err != nil {
					t.Errorf("%s: a link leads to %s, which is not there", f, m[1])
				}
			}
		}
	}
}
