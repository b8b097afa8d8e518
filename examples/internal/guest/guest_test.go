package guest

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	for _, c := range []struct {
		name    string
		content string
		want    int
		stdout  string
		stderr  string
	}{
		{"works", "abc", 0, "3 bytes\n", ""},
		{"empty", "", ExitBadInput, "", "input doc: is empty"},
		{"too long", "abcdefghij", ExitBadInput, "", "input doc: more than 8 bytes"},
		{"refused", "bad", ExitBadInput, "", "input doc: no good"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "doc"), []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			job := func(f Files) (string, error) {
				data, err := f.Read("doc", 8)
				if err != nil {
					return "", err
				}
				if string(data) == "bad" {
					return "", BadInput("doc", errors.New("no good"))
				}
				return "3 bytes", f.Write("copy", data)
			}
			var stdout, stderr bytes.Buffer
			got := run(job, Files{In: dir, Out: dir}, &stdout, &stderr)
			if got != c.want || stdout.String() != c.stdout || !strings.Contains(stderr.String(), c.stderr) {
				t.Errorf("got %d %q %q, want %d %q %q", got, stdout.String(), stderr.String(), c.want, c.stdout, c.stderr)
			}
		})
	}
}

func TestMissingFiles(t *testing.T) {
	f := Files{In: t.TempDir(), Out: filepath.Join(t.TempDir(), "none")}
	var out, errOut bytes.Buffer
	if got := run(func(f Files) (string, error) { _, err := f.Read("doc", 1); return "", err }, f, &out, &errOut); got != ExitTrouble {
		t.Errorf("missing input: got %d, want %d", got, ExitTrouble)
	}
	if err := f.Write("page", nil); err == nil || !strings.Contains(err.Error(), "output page") {
		t.Errorf("missing directory: got %v, want an error that names the output", err)
	}
}
