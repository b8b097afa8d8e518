package supervise

import (
	"errors"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/zerostate/zerostate/core"
)

const (
	killSignal = syscall.SIGKILL
	termSignal = syscall.SIGTERM
)

// spawn takes a thread of its own. Not the main one: it stands for the whole
// process (a plugin could signal a host whose main thread shares its domain).
func (p *process) spawn(started chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		p.spawnHere(started)
		return
	}
	elsewhere := make(chan struct{})
	go func() { // while the main thread is held, this runs on another
		runtime.LockOSThread()
		close(elsewhere)
		p.spawnHere(started)
	}()
	<-elsewhere
	runtime.UnlockOSThread()
}

// spawnHere confines its own thread, forks from it and stays until the process
// has ended. The thread is never unlocked, so it ends with this goroutine and
// nothing else ever runs on it.
func (p *process) spawnHere(started chan<- error) {
	p.reason.Store("")
	if err := confineThread(p.confine); err == nil {
		p.confined.Store(true)
	} else {
		p.reason.Store(err.Error())
		if p.confine.required || !errors.Is(err, core.ErrUnsupported) {
			started <- err
			return
		}
	}
	if p.binary.file != nil {
		p.cmd.ExtraFiles = []*os.File{p.binary.file}
		p.cmd.Path = "/proc/self/fd/3"
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		started <- err
		return
	}
	pid := p.cmd.Process.Pid
	p.pid.Store(int64(pid))
	if p.confine.files > 0 {
		n := uint64(p.confine.files)
		if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: n}, nil); err != nil {
			p.log.Warn("plugin's open files are not limited", "path", p.binary.path, "error", err)
		}
	}
	started <- nil
	p.err = p.cmd.Wait()
	_ = unix.Kill(-pid, unix.SIGKILL) // what it left behind in its group
	p.closeStdin()
	p.removeSocketDir()
	close(p.done)
}

// removeSocketDir works from another thread: this one is as confined as the
// plugin that it started, and may not remove anything.
func (p *process) removeSocketDir() {
	removed := make(chan error)
	go func() { removed <- os.RemoveAll(p.socketDir) }()
	if err := <-removed; err != nil {
		p.log.Warn("plugin's socket directory stays", "path", p.socketDir, "error", err)
	}
}

// signal sends a signal to the whole group.
func (p *process) signal(s syscall.Signal) error {
	select {
	case <-p.done: // its number may be another process's by now
		return nil
	default:
	}
	err := unix.Kill(-int(p.pid.Load()), s)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}
