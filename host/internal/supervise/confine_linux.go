package supervise

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/zerostate/zerostate/core"
)

// What a confined plugin may read and run, and the devices it may use. /proc is
// left out: it shows the host.
var (
	systemDirs  = [...]string{"/usr", "/lib", "/lib64", "/bin", "/sys/kernel/mm/transparent_hugepage", "/sys/fs/cgroup", "/sys/devices/system/cpu"}
	systemFiles = [...]string{"/etc/ld.so.cache", "/etc/localtime", "/etc/mime.types"}
	networkEtc  = [...]string{"/etc/ssl", "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/run/systemd/resolve"}
	devices     = [...]string{"/dev/null", "/dev/zero", "/dev/urandom", "/dev/random"}
)

const (
	accessRead  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR | unix.LANDLOCK_ACCESS_FS_EXECUTE
	accessFile  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_EXECUTE
	accessABI1  = 1<<13 - 1 // every right of the first version
	accessWrite = accessABI1 &^ (unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK)
)

// confineThread takes rights away from the calling thread, which must be locked
// and never reused: no new privileges; Landlock: system libraries, the given
// directories, nothing else; no signals or abstract sockets out; and, without
// network, no TCP (Landlock) and no inet sockets at all (seccomp).
// core.ErrUnsupported: this kernel has no Landlock.
// Source: Documentation/userspace-api/landlock.rst.
func confineThread(c confinement) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return fmt.Errorf("landlock: %w: %w", errno, core.ErrUnsupported)
	}
	attr := rulesetFor(int(abi), c.network)
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0) //nolint:gosec // a system call
	if errno != 0 {
		return fmt.Errorf("landlock: %w: %w", errno, core.ErrUnsupported)
	}
	defer unix.Close(int(fd)) //nolint:errcheck // a ruleset holds no data
	if err := addRules(int(fd), attr.Access_fs, c); err != nil {
		return err
	}
	if _, _, errno = unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return fmt.Errorf("landlock: %w", errno)
	}
	if c.network {
		return nil
	}
	return denyInetSockets(c.connectPort > 0)
}

// rulesetFor names the rights that this version of Landlock can take away.
func rulesetFor(abi int, network bool) unix.LandlockRulesetAttr {
	attr := unix.LandlockRulesetAttr{Access_fs: accessABI1}
	if abi >= 2 {
		attr.Access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi >= 3 {
		attr.Access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi >= 4 && !network {
		attr.Access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if abi >= 5 {
		attr.Access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if abi >= 6 {
		attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	return attr
}

// addRules gives back what a plugin needs.
func addRules(fd int, handled uint64, c confinement) error {
	for _, dir := range systemDirs {
		if err := addRule(fd, dir, accessRead&handled, true); err != nil {
			return err
		}
	}
	for _, file := range systemFiles {
		if err := addRule(fd, file, accessFile&handled, true); err != nil {
			return err
		}
	}
	if c.network {
		for _, path := range networkEtc {
			if err := addRule(fd, path, accessRead&handled, true); err != nil {
				return err
			}
		}
	}
	if c.connectPort > 0 && !c.network {
		if err := addPort(fd, c.connectPort); err != nil {
			return err
		}
	}
	for _, dev := range devices {
		rights := uint64(unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE)
		if err := addRule(fd, dev, rights, true); err != nil {
			return err
		}
	}
	for _, dir := range c.writeDirs {
		rights := uint64(accessWrite | unix.LANDLOCK_ACCESS_FS_REFER | unix.LANDLOCK_ACCESS_FS_TRUNCATE)
		if err := addRule(fd, dir, rights&handled, false); err != nil {
			return err
		}
	}
	return nil
}

// addPort grants TCP connections to one port. A kernel whose Landlock does not
// know TCP restricts none of it, and there is nothing to grant.
func addPort(fd, port int) error {
	rule := struct{ access, port uint64 }{unix.LANDLOCK_ACCESS_NET_CONNECT_TCP, uint64(port)}                               //nolint:gosec // 1..65535
	const netPort = 2                                                                                                       // LANDLOCK_RULE_NET_PORT
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(fd), netPort, uintptr(unsafe.Pointer(&rule)), 0, 0, 0) //nolint:gosec // a system call
	if errno != 0 && errno != unix.EINVAL {
		return fmt.Errorf("landlock port %d: %w", port, errno)
	}
	return nil
}

// addRule grants rights below one path. Directory rights on a file are left
// out, as the kernel refuses them.
func addRule(fd int, path string, rights uint64, optional bool) error {
	at, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) && optional {
		return nil
	}
	if err != nil {
		return fmt.Errorf("landlock %s: %w", path, err)
	}
	defer unix.Close(at) //nolint:errcheck // opened for its path only
	var st unix.Stat_t
	if err := unix.Fstat(at, &st); err != nil {
		return fmt.Errorf("landlock %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(at)}                                                              //nolint:gosec // a descriptor fits
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(fd), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0) //nolint:gosec // a system call
	if errno != 0 {
		return fmt.Errorf("landlock %s: %w", path, errno)
	}
	return nil
}

// denyInetSockets makes socket(AF_INET or AF_INET6) fail with EACCES, which
// closes what Landlock leaves open: UDP and raw sockets. With tcp, stream
// sockets pass; Landlock says where they may connect.
// Source: Documentation/userspace-api/seccomp_filter.rst.
func denyInetSockets(tcp bool) error {
	arch, ok := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	if !ok {
		return nil // Landlock still refuses TCP
	}
	const (
		load    = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		atLeast = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
		equal   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		ret     = unix.BPF_RET | unix.BPF_K
		refuse  = unix.SECCOMP_RET_ERRNO | uint32(unix.EACCES)
	)
	stream := uint32(0xff) // no socket's type: all are refused
	if tcp {
		stream = unix.SOCK_STREAM
	}
	program := []unix.SockFilter{
		{Code: load, K: 4}, // seccomp_data.arch
		{Code: equal, K: arch, Jf: 11},
		{Code: load, K: 0},                               // seccomp_data.nr
		{Code: atLeast, K: 0x4000_0000, Jt: 9},           // x32 system calls
		{Code: equal, K: unix.SYS_IO_URING_SETUP, Jt: 8}, // makes sockets without socket(2)
		{Code: equal, K: unix.SYS_SOCKET, Jf: 6},
		{Code: load, K: 16}, // seccomp_data.args[0], low half: the family
		{Code: equal, K: unix.AF_INET, Jt: 1},
		{Code: equal, K: unix.AF_INET6, Jf: 3},
		{Code: load, K: 24}, // args[1]: the type and its flags
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: 0xf},
		{Code: equal, K: stream, Jf: 1},
		{Code: ret, K: unix.SECCOMP_RET_ALLOW},
		{Code: ret, K: refuse},
	}
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}                                         //nolint:gosec // G115: a dozen instructions
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog))) //nolint:gosec // a system call
	runtime.KeepAlive(program)
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}
