package wasmrun

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/tetratelabs/wazero/experimental/sys"
	wasys "github.com/tetratelabs/wazero/sys"
)

// The two directories that a guest sees in its root.
const (
	inDir  = "in"
	outDir = "out"
)

// maxOpenFiles bounds what one guest may have open, so that it can not take the
// descriptors of the others.
const maxOpenFiles = 128

// sandbox is all that a guest sees of the disk: a private directory with its
// inputs under /in, which it can read, and /out, where it may make files and
// directories within its quota. Every path goes through os.Root; there are no
// links, times are the epoch, inode numbers come from names and listings are
// sorted, so that nothing differs from machine to machine.
//
// wazero's own writable mount is not used: through it a guest can make a symbolic
// link and read outside of the mount.
//
// It is used by the guest's goroutine alone.
type sandbox struct {
	sys.UnimplementedFS
	root  *os.Root
	epoch int64 // nanoseconds
	quota quota
	open  int // files and directories that are open
	write int // of these, files that may be written
}

// quota counts what stands under /out.
type quota struct {
	bytes, maxBytes int64
	files, maxFiles int64
}

// grow counts n more bytes; beyond the limit it stops the guest.
func (q *quota) grow(n int64) {
	if n > 0 && n > q.maxBytes-q.bytes {
		panic(&limitError{reason: fmt.Sprintf("outputs: more than %d bytes", q.maxBytes)})
	}
	q.bytes += n
}

// add counts one more file or directory; beyond the limit it stops the guest.
func (q *quota) add() {
	if q.files >= q.maxFiles {
		panic(&limitError{reason: fmt.Sprintf("outputs: more than %d files and directories", q.maxFiles)})
	}
	q.files++
}

// local turns a guest's path into one below the root. Escapes are refused here
// already; os.Root would refuse them again.
func local(p string) (string, sys.Errno) {
	if strings.ContainsRune(p, 0) || len(p) > 4096 {
		return "", sys.EINVAL
	}
	p = strings.TrimPrefix(path.Clean(p), "/")
	switch {
	case p == "" || p == ".":
		return ".", 0
	case p == ".." || strings.HasPrefix(p, "../"):
		return "", sys.EPERM
	}
	return p, 0
}

// writable says whether a path below the root may be made, changed or removed.
func writable(p string) bool { return strings.HasPrefix(p, outDir+"/") }

// writablePath is local for a path that is to be changed.
func writablePath(p string) (string, sys.Errno) {
	p, errno := local(p)
	if errno == 0 && !writable(p) {
		errno = sys.EROFS
	}
	return p, errno
}

// OpenFile implements sys.FS.
func (s *sandbox) OpenFile(name string, flag sys.Oflag, _ fs.FileMode) (sys.File, sys.Errno) {
	p, errno := local(name)
	if errno != 0 {
		return nil, errno
	}
	info, err := s.root.Lstat(p)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return nil, toErrno(err)
	}
	if errno := checkOpen(p, flag, info); errno != 0 {
		return nil, errno
	}
	if s.open >= maxOpenFiles {
		return nil, sys.EACCES
	}
	if missing {
		s.quota.add()
	} else if flag&sys.O_TRUNC != 0 {
		s.quota.grow(-info.Size())
	}
	f, err := s.root.OpenFile(p, hostFlags(flag), 0o600)
	if err != nil {
		if missing {
			s.quota.files--
		}
		return nil, toErrno(err)
	}
	s.open++
	if info != nil && info.IsDir() {
		return &dirFile{guestFile: guestFile{box: s, path: p, file: f}}, 0
	}
	write := flag&(sys.O_WRONLY|sys.O_RDWR) != 0
	if write {
		s.write++
	}
	return &guestFile{box: s, path: p, file: f, write: write, read: flag&sys.O_WRONLY == 0, appends: flag&sys.O_APPEND != 0}, 0
}

// checkOpen refuses what is not to be opened; info is nil where nothing is there.
func checkOpen(p string, flag sys.Oflag, info fs.FileInfo) sys.Errno {
	changes := flag&(sys.O_WRONLY|sys.O_RDWR|sys.O_TRUNC) != 0
	switch {
	case info == nil && flag&sys.O_CREAT == 0:
		return sys.ENOENT
	case info == nil && flag&sys.O_DIRECTORY != 0:
		return sys.EINVAL
	case info != nil && flag&sys.O_CREAT != 0 && flag&sys.O_EXCL != 0:
		return sys.EEXIST
	case info != nil && info.IsDir() && changes:
		return sys.EISDIR
	case info != nil && info.IsDir():
		return 0
	case info != nil && flag&sys.O_DIRECTORY != 0:
		return sys.ENOTDIR
	case info != nil && !info.Mode().IsRegular():
		return sys.ELOOP
	case (info == nil || changes) && !writable(p):
		return sys.EROFS
	}
	return 0
}

// hostFlags are the flags of os.OpenFile. Appending is done by guestFile, and a
// file that is written is also readable, so that its size can be asked for.
func hostFlags(flag sys.Oflag) int {
	out := os.O_RDONLY
	if flag&(sys.O_WRONLY|sys.O_RDWR) != 0 {
		out = os.O_RDWR
	}
	if flag&sys.O_CREAT != 0 {
		out |= os.O_CREATE
	}
	if flag&sys.O_TRUNC != 0 {
		out |= os.O_TRUNC
	}
	return out
}

// Lstat implements sys.FS.
func (s *sandbox) Lstat(name string) (wasys.Stat_t, sys.Errno) {
	p, errno := local(name)
	if errno != 0 {
		return wasys.Stat_t{}, errno
	}
	info, err := s.root.Lstat(p)
	if err != nil {
		return wasys.Stat_t{}, toErrno(err)
	}
	return s.stat(p, info), 0
}

// Stat implements sys.FS. There are no links, so it is Lstat.
func (s *sandbox) Stat(name string) (wasys.Stat_t, sys.Errno) { return s.Lstat(name) }

// stat is what a guest may know of a file.
func (s *sandbox) stat(p string, info fs.FileInfo) wasys.Stat_t {
	st := wasys.Stat_t{Dev: 1, Ino: inode(p), Mode: 0o444, Nlink: 1, Atim: s.epoch, Mtim: s.epoch, Ctim: s.epoch}
	switch {
	case info.IsDir():
		st.Mode = fs.ModeDir | 0o755
	case !info.Mode().IsRegular():
		st.Mode = fs.ModeIrregular
	case writable(p):
		st.Mode, st.Size = 0o644, info.Size()
	default:
		st.Size = info.Size()
	}
	return st
}

// inode numbers a path, the same on every machine.
func inode(p string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(p)) //nolint:errcheck,gosec // a hash never fails
	return h.Sum64() | 1
}

// Mkdir implements sys.FS.
func (s *sandbox) Mkdir(name string, _ fs.FileMode) sys.Errno {
	p, errno := local(name)
	if errno != 0 {
		return errno
	}
	if _, err := s.root.Lstat(p); err == nil {
		return sys.EEXIST
	}
	if !writable(p) {
		return sys.EROFS
	}
	s.quota.add()
	if err := s.root.Mkdir(p, 0o700); err != nil {
		s.quota.files--
		return toErrno(err)
	}
	return 0
}

// Rename implements sys.FS, for files and directories under /out.
func (s *sandbox) Rename(from, to string) sys.Errno {
	from, errno := writablePath(from)
	if errno != 0 {
		return errno
	}
	to, errno = writablePath(to)
	if errno != 0 {
		return errno
	}
	var lost fs.FileInfo
	if info, err := s.root.Lstat(to); err == nil && from != to {
		lost = info
	}
	if err := s.root.Rename(from, to); err != nil {
		return toErrno(err)
	}
	s.forget(lost)
	return 0
}

// forget takes what is gone out of the quota. While a file is open for writing,
// its bytes may still stand on the disk under no name, so they stay counted.
func (s *sandbox) forget(info fs.FileInfo) {
	if info == nil {
		return
	}
	s.quota.files--
	if !info.IsDir() && s.write == 0 {
		s.quota.bytes -= info.Size()
	}
}

// Rmdir implements sys.FS.
func (s *sandbox) Rmdir(name string) sys.Errno { return s.remove(name, true) }

// Unlink implements sys.FS.
func (s *sandbox) Unlink(name string) sys.Errno { return s.remove(name, false) }

func (s *sandbox) remove(name string, dir bool) sys.Errno {
	p, errno := writablePath(name)
	if errno != 0 {
		return errno
	}
	info, err := s.root.Lstat(p)
	switch {
	case err != nil:
		return toErrno(err)
	case dir && !info.IsDir():
		return sys.ENOTDIR
	case !dir && info.IsDir():
		return sys.EISDIR
	}
	if err := s.root.Remove(p); err != nil {
		return toErrno(err)
	}
	s.forget(info)
	return 0
}

// Link implements sys.FS: there are no links.
func (s *sandbox) Link(_, _ string) sys.Errno { return sys.EPERM }

// Symlink implements sys.FS: there are no links.
func (s *sandbox) Symlink(_, _ string) sys.Errno { return sys.EPERM }

// Readlink implements sys.FS: there are no links.
func (s *sandbox) Readlink(string) (string, sys.Errno) { return "", sys.EINVAL }

// Chmod implements sys.FS: modes are fixed.
func (s *sandbox) Chmod(string, fs.FileMode) sys.Errno { return sys.EPERM }

// Utimens implements sys.FS: every time is the epoch, and stays it.
func (s *sandbox) Utimens(name string, _, _ int64) sys.Errno {
	_, errno := s.Lstat(name)
	return errno
}

// toErrno turns an error of the os package into one for the guest.
func toErrno(err error) sys.Errno {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, fs.ErrNotExist):
		return sys.ENOENT
	case errors.Is(err, fs.ErrExist):
		return sys.EEXIST
	case errors.Is(err, fs.ErrPermission):
		return sys.EACCES
	}
	return sys.UnwrapOSError(err)
}
