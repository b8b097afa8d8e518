package host

import (
	"os"

	"github.com/zerostate/zerostate/host/internal/config"
)

// LoadConfig reads configuration files, a later one over an earlier one, then the
// environment (ZEROSTATE_NODE__NAME sets node.name), then overrides: a setting's
// path, in dots, to its value. No file at all gives the defaults. What is wrong is
// told all at once, with file:line:column, and wraps core.ErrInvalid.
func LoadConfig(files []string, overrides map[string]string) (*Config, error) {
	return config.Load(config.Options{Files: files, Environ: os.Environ(), Flags: overrides})
}
