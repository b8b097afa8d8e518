package sdk

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
)

// process runs Launch.Cmd for go-plugin. Unlike go-plugin's own runner it can
// be killed while it starts, and it holds a pipe to the plugin's standard input,
// so that the plugin ends with us.
type process struct {
	cmd            *exec.Cmd
	stdin          io.WriteCloser
	stdout, stderr io.ReadCloser

	mu     sync.Mutex
	killed bool
	pid    int
}

// newProcess prepares cmd with the environment of the handshake.
func newProcess(cmd *exec.Cmd, env []string) (*process, error) {
	cmd.Env = append(cmd.Env, append(env, EnvWatchStdin+"=1", EnvHostPID+"="+strconv.Itoa(os.Getpid()))...)
	p := &process{cmd: cmd}
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if p.stdout, err = cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	p.stderr, err = cmd.StderrPipe()
	return p, err
}

// Start starts the process, unless it was killed before.
func (p *process) Start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.killed {
		return context.Canceled
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.pid = p.cmd.Process.Pid
	return nil
}

// Wait waits for the end of the process.
func (p *process) Wait(context.Context) error { return p.cmd.Wait() }

// Kill ends the process at once; one that has not started never will.
func (p *process) Kill(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.killed = true
	if p.pid == 0 {
		return nil
	}
	if err := p.cmd.Process.Kill(); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// ID returns the process id, "0" before the start.
func (p *process) ID() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strconv.Itoa(p.pid)
}

// Stdout carries the handshake.
func (p *process) Stdout() io.ReadCloser { return p.stdout }

// Stderr carries the log.
func (p *process) Stderr() io.ReadCloser { return p.stderr }

// Name returns the path of the binary.
func (p *process) Name() string { return p.cmd.Path }

// Diagnose says what may be wrong with a process without a handshake.
func (p *process) Diagnose(context.Context) string {
	return p.cmd.Path + " started but did not speak the plugin handshake: is it a zerostate plugin for this system?"
}

// PluginToHost keeps addresses as they are.
func (*process) PluginToHost(network, address string) (string, string, error) {
	return network, address, nil
}

// HostToPlugin keeps addresses as they are.
func (*process) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}
