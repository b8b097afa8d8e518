package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/zerostate/zerostate/core"
)

// isSecret reports whether a tree is {from_file = ...} or {from_env = ...}.
func isSecret(tree map[string]any) bool {
	if len(tree) != 1 {
		return false
	}
	_, file := tree["from_file"]
	_, env := tree["from_env"]
	return file || env
}

// SplitSecrets separates a plugin's settings into plain ones and the sensitive
// ones of its schema, by dotted name, reading {from_file = PATH} (without its
// last line break; relative to dir) and {from_env = NAME} where they stand.
// Errors name the setting, never the secret.
func SplitSecrets(tree map[string]any, schema []PluginSetting, dir string, getenv func(string) (string, bool)) (map[string]any, map[string]string, error) {
	sensitive := map[string]bool{}
	for _, s := range schema {
		if s.Sensitive {
			sensitive[s.Name] = true
		}
	}
	secrets := map[string]string{}
	plain, err := splitSecrets("", tree, sensitive, secrets, dir, getenv)
	return plain, secrets, err
}

// splitSecrets walks one level.
func splitSecrets(prefix string, tree map[string]any, sensitive map[string]bool, secrets map[string]string, dir string, getenv func(string) (string, bool)) (map[string]any, error) {
	out := make(map[string]any, len(tree))
	for key, v := range tree {
		name := prefix + key
		below, block := v.(map[string]any)
		var err error
		switch {
		case sensitive[name] && block:
			secrets[name], err = readSecret(below, dir, getenv)
		case sensitive[name]:
			secrets[name], err = asString(v)
		case block:
			out[key], err = splitSecrets(name+".", below, sensitive, secrets, dir, getenv)
		default:
			out[key] = v
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return out, nil
}

// readSecret reads one secret.
func readSecret(tree map[string]any, dir string, getenv func(string) (string, bool)) (string, error) {
	if name, ok := tree["from_env"].(string); ok {
		value, set := getenv(name)
		if !set {
			return "", fmt.Errorf("environment variable %s is not set: %w", name, core.ErrNotFound)
		}
		return value, nil
	}
	file, ok := tree["from_file"].(string)
	if !ok {
		return "", fmt.Errorf("want {from_file = PATH} or {from_env = NAME}: %w", core.ErrInvalid)
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(dir, file)
	}
	if err := CheckOwned(file); err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	data, err := os.ReadFile(file) //nolint:gosec // the operator names the file
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r"), nil
}
