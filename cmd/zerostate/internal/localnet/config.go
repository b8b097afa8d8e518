package localnet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// base is under what the user's configuration files say: names for the swaps
// that a tour shows, and what suits many nodes on one machine.
const base = `# The base of every node of a local network; the user's own files are laid over
# it, and over these the node's own.
plugin:
  executor:
    wasm-interp: {path: executor-wasm, config: {engine: interpreter}}
    wasm-interpreter: {path: executor-wasm, config: {engine: interpreter}}
  embedder:
    local-64: {path: embedder-local, config: {dimensions: 64}}
    local-128: {path: embedder-local, config: {dimensions: 128}}
index:
  reconcile_interval: 5s
policy:
  max_charge: 1000000
  max_charge_per_day: 1000000000
  deposit: 10000000
telemetry:
  log_level: info
`

// tree is a configuration file as YAML writes it.
type tree = map[string]any

// nodeTree is what makes a node this node, whatever the user's files say.
func (o *Options) nodeTree(s spec, home string, bootstrap []string) tree {
	network := tree{
		"id": o.Network, "listen": []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"},
		"announce": []string{}, "bootstrap": bootstrap, "backbone": bootstrap[:min(1, len(bootstrap))], "mdns": false, "allow_private": true,
		"allow": []string{}, "deny": []string{},
	}
	return tree{
		"node":      tree{"name": s.name, "roles": s.roles, "region": "local", "home": home},
		"network":   network,
		"api":       tree{"listen": "127.0.0.1:0", "socket": filepath.Join(home, "node.sock")},
		"index":     tree{"regions": []string{"local"}},
		"policy":    tree{"currency": "TEST"},
		"telemetry": tree{"otlp_endpoint": o.OTLP, "otlp_insecure": true, "sample_ratio": 1, "log_format": "text"},
	}
}

// writeConfigs writes the files of a node and returns them in order.
func (o *Options) writeConfigs(s spec, home string, bootstrap []string) ([]string, error) {
	dir := filepath.Join(o.Dir, "conf")
	if err := os.MkdirAll(dir, dirPerm); err != nil {
		return nil, err
	}
	basePath := filepath.Join(dir, "base.yaml")
	if err := os.WriteFile(basePath, []byte(base), filePerm); err != nil {
		return nil, err
	}
	data, err := yaml.Marshal(o.nodeTree(s, home, bootstrap))
	if err != nil {
		return nil, fmt.Errorf("write configuration of %s: %w", s.name, err)
	}
	own := filepath.Join(dir, s.name+".yaml")
	if err := os.WriteFile(own, data, filePerm); err != nil {
		return nil, err
	}
	return append(append([]string{basePath}, o.Configs...), own), nil
}

// copyLock puts the pins that stand beside the user's configuration beside ours,
// where a node looks for them.
func (o *Options) copyLock() error {
	for _, file := range o.Configs {
		data, err := os.ReadFile(filepath.Join(filepath.Dir(file), "plugins.lock"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(o.Dir, "conf", "plugins.lock"), data, filePerm) //nolint:gosec // the network's own directory
	}
	return nil
}

// environ is ours without what would make every node the same node.
func environ(all []string) []string {
	var out []string
	for _, e := range all {
		name, _, _ := strings.Cut(e, "=")
		own := name == "ZEROSTATE_HOME"
		for _, block := range []string{"NODE", "NETWORK", "API", "TELEMETRY", "AGENT"} {
			own = own || strings.HasPrefix(name, "ZEROSTATE_"+block+"__")
		}
		if !own {
			out = append(out, e)
		}
	}
	return out
}
