package sdk

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk/internal/pluginpb/pluginpb"
)

// Launch says how a plugin's process starts. Exactly one of Cmd, Runner and
// Reattach is set.
type Launch struct {
	// Cmd is the process, not started. It gets Cmd.Env and what the handshake
	// needs, nothing else of ours, and a pipe as standard input.
	Cmd *exec.Cmd
	// Runner starts the process where Cmd is not enough (confinement, sealed
	// files, a pipe as standard input). The cmd it gets carries the
	// environment that the handshake needs.
	Runner func(log hclog.Logger, cmd *exec.Cmd, socketDir string) (runner.Runner, error)
	// Reattach joins a process that runs.
	Reattach *plugin.ReattachConfig
	// SocketDir is where the socket's directory is made; empty is the system's. A socket's path must stay under 108 bytes.
	SocketDir string
	// StartTimeout is how long the handshake may take; 0 is 10 s.
	StartTimeout time.Duration
	// StopTimeout is how long Close waits for the plugin before it is killed;
	// 0 is 3 s.
	StopTimeout time.Duration
	// DialOptions come last, so they win (credentials).
	DialOptions []grpc.DialOption
}

// Open starts a plugin, or joins one, and checks that it is of this kind. It
// is not configured yet. Errors: core.ErrUnavailable where it does not start
// or answer, core.ErrUnsupported where it is of another kind or version.
// The process's log lines go to log with their level and fields.
func (k Kind[T]) Open(ctx context.Context, l Launch, log hclog.Logger) (*Client[T], error) {
	if log == nil {
		log = hclog.NewNullLogger()
	}
	opened := &opened{}
	c := &Client[T]{stopTimeout: l.StopTimeout, opened: opened, kill: opened.killProcess}
	if c.stopTimeout == 0 {
		c.stopTimeout = 3 * time.Second
	}
	opened.client = plugin.NewClient(clientConfig(l, opened, log))
	if err := opened.start(ctx); err != nil {
		c.abandon()
		return nil, fmt.Errorf("start plugin: %w", err)
	}
	c.exited, c.pid = opened.exited.Done(), opened.pid()
	if err := c.attach(ctx, k, opened.conn); err != nil {
		c.abandon()
		return nil, err
	}
	return c, nil
}

func clientConfig(l Launch, o *opened, log hclog.Logger) *plugin.ClientConfig {
	config := &plugin.ClientConfig{
		HandshakeConfig:  handshake(),
		Plugins:          plugin.PluginSet{pluginName: o},
		Reattach:         l.Reattach,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Logger:           log,
		SkipHostEnv:      true, // a plugin sees nothing of our environment
		StartTimeout:     l.StartTimeout,
		GRPCDialOptions: slices.Concat(dialOptions(),
			[]grpc.DialOption{grpc.WithTransportCredentials(peerCredentials{pid: o.pid})}, l.DialOptions),
		SyncStdout: lineLogger{log.Named("stdout")},
		SyncStderr: lineLogger{log.Named("stderr")},
	}
	if config.StartTimeout == 0 {
		config.StartTimeout = 10 * time.Second
	}
	if l.Reattach != nil {
		o.id = func() string { return strconv.Itoa(l.Reattach.Pid) }
	}
	start := l.Runner
	if l.Cmd != nil {
		start = func(_ hclog.Logger, cmd *exec.Cmd, _ string) (runner.Runner, error) {
			return newProcess(l.Cmd, cmd.Env)
		}
	}
	if start != nil {
		config.UnixSocketConfig = &plugin.UnixSocketConfig{TempDir: l.SocketDir}
		config.RunnerFunc = func(log hclog.Logger, cmd *exec.Cmd, dir string) (runner.Runner, error) {
			r, err := start(log, cmd, dir)
			if err != nil {
				return nil, err
			}
			return r, o.setProcess(func() error { return r.Kill(context.Background()) }, r.ID)
		}
	}
	return config
}

// lineLogger logs what a plugin prints where it should have logged.
type lineLogger struct{ log hclog.Logger }

func (l lineLogger) Write(p []byte) (int, error) {
	l.log.Info("plugin printed", "text", string(p))
	return len(p), nil
}

// opened is go-plugin's view of the host's side: it catches the connection.
type opened struct {
	plugin.NetRPCUnsupportedPlugin
	client *plugin.Client
	conn   *grpc.ClientConn
	exited context.Context // ends with the process

	mu     sync.Mutex
	killer func() error
	killed bool
	id     func() string // the process id; go-plugin's own is locked while it connects
}

// GRPCServer is not for this side.
func (o *opened) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error {
	return errors.New("a host does not serve a plugin")
}

// GRPCClient keeps the connection; ctx ends when the process does.
func (o *opened) GRPCClient(ctx context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	o.exited, o.conn = ctx, conn
	return o, nil
}

// setProcess tells how to kill the process; one that should be dead already is
// killed, which keeps it from starting.
func (o *opened) setProcess(kill func() error, id func() string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.killer, o.id = kill, id
	if o.killed && kill != nil {
		return kill()
	}
	return nil
}

// pid is known as soon as the process has started; a runner may have other ids,
// and then it is 0.
func (o *opened) pid() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.id == nil {
		return 0
	}
	pid, err := strconv.Atoi(o.id())
	if err != nil {
		return 0
	}
	return pid
}

// start runs the handshake, which go-plugin can not cancel, within ctx.
func (o *opened) start(ctx context.Context) error {
	done := make(chan error, 1)
	go func() {
		protocol, err := o.client.Client()
		if err == nil {
			_, err = protocol.Dispense(pluginName)
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("%w: %w", core.ErrUnavailable, err)
		}
		return nil
	case <-ctx.Done():
		// The handshake ends at StartTimeout, or at once when the process dies.
		_ = o.killProcess() // a process that has not started yet has nothing to kill
		<-done              //nolint:errcheck // only that the handshake has ended counts
		return ctx.Err()
	}
}

// killProcess kills at once, whatever the process is doing.
func (o *opened) killProcess() error {
	o.mu.Lock()
	o.killed = true
	kill := o.killer
	o.mu.Unlock()
	if kill == nil {
		return nil
	}
	return kill()
}

// Client is an open plugin. All methods are safe for concurrent use.
type Client[T any] struct {
	impl        T
	base        *Base
	info        Info
	exited      <-chan struct{}
	pid         int
	stopTimeout time.Duration
	opened      *opened // nil for a builtin
	kill        func() error
	closing     sync.Once
	closeErr    error
}

// attach asks what is behind conn and makes the adapters.
func (c *Client[T]) attach(ctx context.Context, k Kind[T], conn grpc.ClientConnInterface) error {
	c.base = &Base{rpc: pluginpb.NewPluginServiceClient(conn)}
	info, err := c.base.Describe(ctx)
	if err != nil {
		return err
	}
	if k.kind != "" && info.Kind != k.kind {
		return fmt.Errorf("plugin %.60s is of kind %.60s: %w: want kind %s", info.Name, info.Kind, core.ErrUnsupported, k.kind)
	}
	if k.kind != "" && !slices.Contains(info.APIVersions, k.APIVersion()) {
		return fmt.Errorf("plugin %.60s serves %.200q: %w: want %s", info.Name, info.APIVersions, core.ErrUnsupported, k.APIVersion())
	}
	c.info, c.impl = info, k.connect(conn)
	return nil
}

// Impl returns the plugin as the interface of its kind. Before Configure its
// calls answer core.ErrConflict.
func (c *Client[T]) Impl() T { return c.impl }

// Base returns the calls that every plugin answers.
func (c *Client[T]) Base() *Base { return c.base }

// Info returns what the plugin said of itself when it was opened.
func (c *Client[T]) Info() Info { return c.info }

// Exited is closed when the process has ended (a builtin's, when it is closed).
func (c *Client[T]) Exited() <-chan struct{} { return c.exited }

// PID returns the process id; 0 for a builtin.
func (c *Client[T]) PID() int { return c.pid }

// Kill ends the process at once, without a word to it.
func (c *Client[T]) Kill() error { return c.kill() }

// Close asks the plugin to shut down and ends it; what does not go within
// Launch.StopTimeout is killed. It returns when the process is gone. The error
// is that of the plugin's own closing. Further calls return the same.
func (c *Client[T]) Close() error {
	c.closing.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), c.stopTimeout)
		defer cancel()
		err := c.base.Shutdown(ctx)
		if errors.Is(err, core.ErrUnavailable) {
			err = nil // it is gone already
		}
		c.closeErr = errors.Join(err, c.stop())
	})
	return c.closeErr
}

// abandon gets rid of a plugin that did not open.
func (c *Client[T]) abandon() {
	c.closing.Do(func() { c.closeErr = c.stop() })
}

// stop ends the process. go-plugin's Kill has no deadline of its own: a
// stopped process would block it for ever.
func (c *Client[T]) stop() error {
	if c.opened == nil {
		return c.kill()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.opened.client.Kill()
	}()
	timer := time.NewTimer(c.stopTimeout)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
	}
	if err := c.kill(); err != nil {
		return fmt.Errorf("kill plugin: %w", err)
	}
	<-done
	return nil
}
