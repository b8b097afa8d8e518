package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin/runner"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/config"
	"github.com/zerostate/zerostate/plugin/sdk"
)

// Bounds of the steps of stopping a plugin; together under stopDeadline.
const (
	drainDeadline    = 3 * time.Second
	shutdownDeadline = 2 * time.Second
	termDeadline     = time.Second
)

// connected is an instance over an SDK client.
type connected[T any] struct {
	client *sdk.Client[T]
	what   instanceInfo
	proc   *process // nil for a builtin
}

func (c *connected[T]) impl() T                 { return c.client.Impl() }
func (c *connected[T]) info() instanceInfo      { return c.what }
func (c *connected[T]) exited() <-chan struct{} { return c.client.Exited() }

// ping asks for one health report. A builtin is not asked: it hangs only where
// the whole process does, and a busy machine is no reason to end it.
func (c *connected[T]) ping(ctx context.Context) error {
	if c.proc == nil {
		return nil
	}
	for _, err := range c.client.Base().Health(ctx, 0) {
		return err
	}
	return ctx.Err()
}

// kill ends the plugin at once and frees its connection.
func (c *connected[T]) kill() {
	_ = c.client.Kill()  // gone already is fine
	_ = c.client.Close() // reports that the killed plugin does not answer
}

// stop drains, asks to end, tells to end and kills, each step bounded.
func (c *connected[T]) stop(ctx context.Context) {
	drain, cancel := context.WithTimeout(ctx, drainDeadline)
	_ = c.client.Base().Drain(drain) // what is left is cut off below
	cancel()
	if c.proc != nil {
		shutdown, cancel := context.WithTimeout(ctx, shutdownDeadline)
		_ = c.client.Base().Shutdown(shutdown) // a hung plugin is told below
		cancel()
		c.proc.closeStdin()
		if err := c.proc.end(ctx); err != nil {
			c.proc.log.Warn("plugin did not end", "path", c.what.path, "pid", c.what.pid, "error", err)
		}
	}
	_ = c.client.Close() // the process is gone; this frees the connection
}

// end terminates and at last kills a process, and waits until it has ended.
func (p *process) end(ctx context.Context) error {
	for _, signal := range []func() error{
		func() error { return nil },
		func() error { return p.signal(termSignal) },
		func() error { return p.signal(killSignal) },
	} {
		if err := signal(); err != nil {
			return err
		}
		wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), termDeadline)
		_ = p.Wait(wait) // a plugin told to end may say anything on the way out
		cancel()
		select {
		case <-p.done:
			return nil
		default:
		}
	}
	return core.ErrUnavailable
}

// openBuiltin runs a plugin in this process.
func openBuiltin[T any](ctx context.Context, s *Set, k sdk.Kind[T], builtins map[string]sdk.Plugin[T], name, builtin string, log hclog.Logger) (instance[T], error) {
	impl, ok := builtins[builtin]
	if !ok {
		return nil, fmt.Errorf("plugin %s %s: no builtin %q; there are %s: %w", k.Kind(), name, builtin, strings.Join(slices.Sorted(maps.Keys(builtins)), ", "), core.ErrInvalid)
	}
	client, err := k.Builtin(ctx, impl, log, s.deps.Now)
	if err != nil {
		return nil, fmt.Errorf("open plugin %s %s: %w", k.Kind(), name, err)
	}
	c := &connected[T]{client: client, what: instanceInfo{
		plugin: client.Info(), version: client.Info().Version, path: config.Builtin + builtin, unconfined: "runs in the node's process",
	}}
	dirs, err := s.makeDirs(string(k.Kind()), name)
	if err == nil {
		err = s.configure(ctx, client.Base(), client.Info(), string(k.Kind()), name, dirs, log)
	}
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return c, nil
}

// openProcess finds, checks, confines, starts and configures a plugin.
func openProcess[T any](ctx context.Context, s *Set, k sdk.Kind[T], name string, block config.Plugin, log hclog.Logger) (instance[T], error) {
	kind := string(k.Kind())
	bin, err := s.binary(kind, name, block)
	if err != nil {
		return nil, err
	}
	dirs, err := s.makeDirs(kind, name)
	if err != nil {
		return nil, err
	}
	var proc *process
	client, err := k.Open(ctx, sdk.Launch{
		SocketDir: s.runDir, StopTimeout: termDeadline,
		Runner: func(_ hclog.Logger, cmd *exec.Cmd, socketDir string) (runner.Runner, error) {
			cmd.Env = append(cmd.Env, sdk.EnvWatchStdin+"=1", sdk.EnvHostPID+"="+strconv.Itoa(os.Getpid()), "TMPDIR="+dirs.cache)
			proc = newProcess(bin, cmd, socketDir, confinement{
				writeDirs: []string{dirs.state, dirs.cache, socketDir},
				files:     block.Limits.Files, memory: int64(block.Limits.Memory),
				network: block.Network, connectPort: s.otlpPort(), required: s.cfg.Node.RequireConfinement,
			}, log)
			return proc, nil
		},
	}, log)
	if errors.Is(err, core.ErrUnsupported) && (proc == nil || proc.pid.Load() != 0) {
		return nil, fmt.Errorf("%w: %s: %w", errIncompatible, bin.path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open plugin %s %s (%s): %w", kind, name, bin.path, err)
	}
	reason, _ := proc.reason.Load().(string)
	c := &connected[T]{client: client, proc: proc, what: instanceInfo{
		plugin: client.Info(), version: client.Info().Version, path: bin.path, sha256: bin.sha256, pid: client.PID(),
		confined: proc.confined.Load(), unconfined: reason,
	}}
	if err := s.configure(ctx, client.Base(), client.Info(), kind, name, dirs, log); err != nil {
		c.kill()
		return nil, err
	}
	return c, nil
}

// otlpPort is the port that plugins send their spans to, 0 for none. A
// collector that is named by host name needs network = true in the block.
func (s *Set) otlpPort() int {
	_, port, err := net.SplitHostPort(strings.TrimPrefix(strings.TrimPrefix(s.cfg.Telemetry.OTLPEndpoint, "http://"), "https://"))
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return 0
	}
	return int(n)
}

// binary opens and checks a plugin's binary; the sealed copy of one that ran
// before is used again.
func (s *Set) binary(kind, name string, block config.Plugin) (*binary, error) {
	path, err := Locate(block.Path, s.deps.HostDir, s.cfg.Node.PluginDir)
	if err != nil {
		return nil, fmt.Errorf("plugin %s %s: %w", kind, name, err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("plugin %s %s: %w", kind, name, err)
	}
	key := kind + "/" + name
	if kept, ok := s.sealed.Load(key); ok {
		if bin, ok := kept.(*binary); ok && bin.path == path {
			return bin, nil
		}
	}
	if err := config.CheckOwned(path); err != nil {
		return nil, fmt.Errorf("plugin %s %s: %w", kind, name, err)
	}
	bin, err := openBinary(path)
	if err != nil {
		return nil, fmt.Errorf("plugin %s %s: %w", kind, name, err)
	}
	if err := s.pins.check(kind, name, block.SHA256, path, bin.sha256); err != nil {
		return nil, errors.Join(err, bin.close())
	}
	s.sealed.Store(key, bin)
	return bin, nil
}

// pluginDirs are a plugin's own directories.
type pluginDirs struct{ state, cache string }

// makeDirs makes <home>/plugins/<kind>/<name> and the cache beside it, 0700.
func (s *Set) makeDirs(kind, name string) (pluginDirs, error) {
	name = strings.ReplaceAll(name, ":", "-")
	d := pluginDirs{
		state: filepath.Join(s.cfg.Node.Home, "plugins", kind, name),
		cache: filepath.Join(s.cfg.Node.Home, "cache", "plugins", kind, name),
	}
	for _, dir := range []string{d.state, d.cache} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return d, fmt.Errorf("make plugin directory: %w", err)
		}
		if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a directory needs its x bit
			return d, fmt.Errorf("make plugin directory: %w", err)
		}
	}
	return d, nil
}

// configure checks a plugin's settings against its schema and sends them.
func (s *Set) configure(ctx context.Context, base *sdk.Base, info sdk.Info, kind, name string, dirs pluginDirs, log hclog.Logger) error {
	schema, err := settings(info.Schema)
	if err != nil {
		return fmt.Errorf("plugin %s %s: %w", kind, name, err)
	}
	if err := s.cfg.CheckPluginConfig(core.Kind(kind), name, schema); err != nil {
		return err
	}
	tree := s.cfg.Plugin[kind][name].Config
	plain, secrets, err := config.SplitSecrets(tree, schema, s.cfg.Dir(), s.deps.Getenv)
	if err != nil {
		return fmt.Errorf("plugin.%s.%s.config: %w: %w", kind, name, core.ErrInvalid, err)
	}
	diagnostics, err := base.Configure(ctx, sdk.Configuration{
		Config: plain, Secrets: secrets,
		Node: sdk.NodeContext{
			Node: s.deps.Node, Network: s.cfg.Network.ID, Region: s.cfg.Node.Region,
			StateDir: dirs.state, CacheDir: dirs.cache,
			LogLevel: s.cfg.Telemetry.LogLevel, OTLPEndpoint: s.cfg.Telemetry.OTLPEndpoint,
		},
	})
	if err != nil {
		return fmt.Errorf("plugin.%s.%s: %w", kind, name, err)
	}
	for _, d := range diagnostics {
		log.Warn("plugin remarks on its settings", "setting", d.Path, "remark", d.Summary)
	}
	return nil
}

// settings translates a published schema.
func settings(schema sdk.Schema) ([]config.PluginSetting, error) {
	list := make([]config.PluginSetting, 0, len(schema))
	for _, s := range schema {
		row := config.PluginSetting{Name: s.Name, Type: string(s.Type), Enum: s.Enum, Unit: s.Unit, Sensitive: s.Sensitive, Required: s.Required}
		for _, bound := range []struct {
			value any
			to    *string
		}{{s.Min, &row.MinJSON}, {s.Max, &row.MaxJSON}} {
			if bound.value == nil {
				continue
			}
			data, err := json.Marshal(bound.value)
			if err != nil {
				return nil, fmt.Errorf("schema of setting %s: %w", s.Name, err)
			}
			*bound.to = string(data)
		}
		list = append(list, row)
	}
	return list, nil
}
