//go:build !linux

package supervise

import (
	"errors"
	"os"
	"syscall"

	"github.com/zerostate/zerostate/core"
)

const (
	killSignal = syscall.SIGKILL
	termSignal = syscall.SIGTERM
)

// spawn starts the process, unconfined, and stays until it has ended. The
// plugin ends when its stdin closes.
func (p *process) spawn(started chan<- error) {
	p.reason.Store("not supported on this system")
	if p.confine.required {
		started <- core.ErrUnsupported
		return
	}
	if err := p.cmd.Start(); err != nil {
		started <- err
		return
	}
	p.pid.Store(int64(p.cmd.Process.Pid))
	started <- nil
	p.err = p.cmd.Wait()
	p.closeStdin()
	close(p.done)
	if err := os.RemoveAll(p.socketDir); err != nil {
		p.log.Warn("plugin's socket directory stays", "path", p.socketDir, "error", err)
	}
}

// signal sends a signal to the process.
func (p *process) signal(s syscall.Signal) error {
	err := p.cmd.Process.Signal(s)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}
