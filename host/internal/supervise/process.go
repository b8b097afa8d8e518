package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
)

// confinement is what a process may touch.
type confinement struct {
	writeDirs   []string // state, cache and socket directory
	files       int      // RLIMIT_NOFILE
	memory      int64    // GOMEMLIMIT, bytes
	network     bool     // TCP and UDP
	connectPort int      // without network: the one TCP port it may connect to; 0: none
	required    bool     // an error where the kernel can not confine
}

// process is one plugin process: started from a thread of its own that is
// confined first and stays until the process ends (the parent-death signal is
// the thread's). It is a go-plugin runner.
type process struct {
	binary    *binary
	cmd       *exec.Cmd
	socketDir string // its own; removed when it has ended
	confine   confinement
	log       hclog.Logger

	stdin          *os.File // the write end; its closing tells the plugin that the host is gone
	stdout, stderr *pipe
	pid            atomic.Int64
	confined       atomic.Bool
	reason         atomic.Value // string: why it is not confined
	done           chan struct{}
	err            error // valid once done is closed
	stdinOnce      sync.Once
}

// newProcess prepares a process that runs the binary with the command's
// arguments and the plugin protocol's part of its environment.
func newProcess(b *binary, cmd *exec.Cmd, socketDir string, c confinement, log hclog.Logger) *process {
	env := closedEnv(cmd.Env, os.Environ(), c)
	return &process{
		binary: b, socketDir: socketDir, confine: c, log: log, done: make(chan struct{}),
		cmd: &exec.Cmd{Path: b.path, Args: []string{b.path}, Env: env},
	}
}

// closedEnv keeps what the plugin protocol set and a short list of harmless
// names; nothing else of the host's environment passes.
func closedEnv(set, host []string, c confinement) []string {
	allowed := []string{"LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "GODEBUG", "GOCOVERDIR"}
	var env []string
	for _, entry := range set {
		if !slices.Contains(host, entry) {
			env = append(env, entry)
		}
	}
	for _, entry := range host {
		if name, _, _ := strings.Cut(entry, "="); slices.Contains(allowed, name) && !slices.Contains(env, entry) {
			env = append(env, entry)
		}
	}
	env = append(env, "PATH=/usr/local/bin:/usr/bin:/bin")
	if c.memory > 0 {
		env = append(env, "GOMEMLIMIT="+strconv.FormatInt(c.memory, 10))
	}
	return env
}

// Start starts the process; ctx ends only the start.
func (p *process) Start(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	childIn, stdin, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start plugin: %w", err)
	}
	stdout, childOut, err := os.Pipe()
	if err != nil {
		return errors.Join(err, childIn.Close(), stdin.Close())
	}
	stderr, childErr, err := os.Pipe()
	if err != nil {
		return errors.Join(err, childIn.Close(), stdin.Close(), stdout.Close(), childOut.Close())
	}
	p.stdin, p.stdout, p.stderr = stdin, &pipe{f: stdout}, &pipe{f: stderr}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = childIn, childOut, childErr
	started := make(chan error, 1)
	go p.spawn(started)
	err = <-started
	_ = errors.Join(childIn.Close(), childOut.Close(), childErr.Close()) // the child has its own
	if err != nil {
		_ = errors.Join(p.stdin.Close(), stdout.Close(), stderr.Close()) // nobody reads them
		return fmt.Errorf("start plugin %s: %w", p.binary.path, err)
	}
	p.log.Debug("plugin started", "path", p.binary.path, "pid", p.pid.Load(), "confined", p.confined.Load())
	return nil
}

// Wait blocks until the process has ended or ctx has.
func (p *process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// closeStdin tells the plugin to end.
func (p *process) closeStdin() {
	p.stdinOnce.Do(func() {
		if p.stdin != nil {
			_ = p.stdin.Close() // the pipe holds no data
		}
	})
}

// Kill ends the process and its group at once.
func (p *process) Kill(context.Context) error {
	if p.pid.Load() == 0 {
		return nil
	}
	p.closeStdin()
	return p.signal(killSignal)
}

// Diagnose says what may help when the handshake failed.
func (p *process) Diagnose(context.Context) string {
	return fmt.Sprintf("plugin binary: %s (sha256 %s)\n", p.binary.path, p.binary.sha256)
}

// Stdout is read by go-plugin for the handshake line.
func (p *process) Stdout() io.ReadCloser { return p.stdout }

// Stderr is read by go-plugin for log lines.
func (p *process) Stderr() io.ReadCloser { return p.stderr }

// Name is the binary's path.
func (p *process) Name() string { return p.binary.path }

// ID is the process id.
func (p *process) ID() string { return strconv.FormatInt(p.pid.Load(), 10) }

// PluginToHost leaves the plugin's address as it is.
func (p *process) PluginToHost(network, addr string) (string, string, error) {
	return network, addr, nil
}

// HostToPlugin leaves the host's address as it is.
func (p *process) HostToPlugin(network, addr string) (string, string, error) {
	return network, addr, nil
}

// pipe is the read end of an output; it closes itself at the end, so that the
// last lines of a dying plugin are still read and no descriptor is left.
type pipe struct {
	f    *os.File
	once sync.Once
	err  error
}

// Read reads, and closes at the end.
func (p *pipe) Read(b []byte) (int, error) {
	n, err := p.f.Read(b)
	if err != nil {
		_ = p.Close() // the read's error is the one to report
		if errors.Is(err, os.ErrClosed) {
			err = io.EOF
		}
	}
	return n, err
}

// Close closes once.
func (p *pipe) Close() error {
	p.once.Do(func() { p.err = p.f.Close() })
	return p.err
}
