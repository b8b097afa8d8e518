package host

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/config"
	"github.com/zerostate/zerostate/host/internal/supervise"
)

// PluginPin says which bytes a plugin's binary has.
type PluginPin = supervise.Pin

// ConfigSchema returns a JSON Schema 2020-12 of the configuration, for editors.
func ConfigSchema() ([]byte, error) { return config.JSONSchema() }

// InitHome makes a home that is ours alone, and the node's key where there is
// none. It returns the node's did.
func InitHome(home string) (core.DID, error) {
	if err := prepareHome(home); err != nil {
		return "", err
	}
	keys, err := openKeys(home, rand.Reader)
	if err != nil {
		return "", err
	}
	return core.DIDOf(keys.public()), nil
}

// LocatePlugin finds the binary of a plugin as a node of this configuration
// would: beside the zerostate binary, then in node.plugin_dir. core.ErrNotFound
// lists where it looked.
func LocatePlugin(cfg *Config, kind core.Kind, name string) (string, error) {
	path := string(kind) + "-" + name
	if block, ok := cfg.Plugin[string(kind)][name]; ok {
		path = block.Path
	}
	exe, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the zerostate binary: %w", err)
	}
	return supervise.Locate(path, filepath.Dir(exe), cfg.Node.PluginDir)
}

// PinPlugins hashes binaries and writes them into the lock of a directory, in
// the place of older pins of the same plugins. Each pin's Path is that of the
// binary; the lock holds its file name.
func PinPlugins(dir string, pins []PluginPin) ([]PluginPin, error) {
	path := filepath.Join(dir, supervise.LockName)
	lock, err := supervise.ReadLock(path)
	if err != nil {
		return nil, err
	}
	done := make([]PluginPin, 0, len(pins))
	for _, p := range pins {
		if p.SHA256, err = supervise.HashBinary(p.Path); err != nil {
			return nil, err
		}
		p.Path = filepath.Base(p.Path)
		lock.Set(p)
		done = append(done, p)
	}
	return done, lock.Write(path)
}
