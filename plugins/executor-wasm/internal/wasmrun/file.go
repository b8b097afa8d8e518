package wasmrun

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sort"

	"github.com/tetratelabs/wazero/experimental/sys"
	wasys "github.com/tetratelabs/wazero/sys"
)

// fileOffset is int64 under a name of its own: sys.File's Seek answers an Errno,
// which go vet takes for a mistaken io.Seeker.
type fileOffset = int64

// guestFile is an open file of a sandbox.
type guestFile struct {
	box     *sandbox
	path    string // below the sandbox's root, when it was opened
	file    *os.File
	read    bool
	write   bool
	appends bool
	closed  bool
}

// Dev implements sys.File.
func (f *guestFile) Dev() (uint64, sys.Errno) { return 1, 0 }

// Ino implements sys.File.
func (f *guestFile) Ino() (wasys.Inode, sys.Errno) { return inode(f.path), 0 }

// IsDir implements sys.File.
func (f *guestFile) IsDir() (bool, sys.Errno) { return false, 0 }

// IsAppend implements sys.File.
func (f *guestFile) IsAppend() bool { return f.appends }

// SetAppend implements sys.File.
func (f *guestFile) SetAppend(enable bool) sys.Errno {
	f.appends = enable
	return 0
}

// Stat implements sys.File.
func (f *guestFile) Stat() (wasys.Stat_t, sys.Errno) {
	info, err := f.file.Stat()
	if err != nil {
		return wasys.Stat_t{}, toErrno(err)
	}
	return f.box.stat(f.path, info), 0
}

// Read implements sys.File.
func (f *guestFile) Read(buf []byte) (int, sys.Errno) {
	if !f.read {
		return 0, sys.EBADF
	}
	n, err := f.file.Read(buf)
	return readResult(n, err)
}

// Pread implements sys.File.
func (f *guestFile) Pread(buf []byte, off int64) (int, sys.Errno) {
	if !f.read {
		return 0, sys.EBADF
	}
	if off < 0 {
		return 0, sys.EINVAL
	}
	n, err := f.file.ReadAt(buf, off)
	return readResult(n, err)
}

func readResult(n int, err error) (int, sys.Errno) {
	if errors.Is(err, io.EOF) {
		return n, 0
	}
	return n, toErrno(err)
}

// Seek implements sys.File.
func (f *guestFile) Seek(offset fileOffset, whence int) (int64, sys.Errno) {
	if whence < io.SeekStart || whence > io.SeekEnd {
		return 0, sys.EINVAL
	}
	at, err := f.file.Seek(offset, whence)
	return at, toErrno(err)
}

// Readdir implements sys.File.
func (f *guestFile) Readdir(int) ([]sys.Dirent, sys.Errno) { return nil, sys.ENOTDIR }

// Write implements sys.File: where the file appends, at its end.
func (f *guestFile) Write(buf []byte) (int, sys.Errno) {
	whence := io.SeekCurrent
	if f.appends {
		whence = io.SeekEnd
	}
	at, err := f.file.Seek(0, whence)
	if err != nil {
		return 0, toErrno(err)
	}
	n, errno := f.Pwrite(buf, at)
	if errno != 0 {
		return n, errno
	}
	_, err = f.file.Seek(at+int64(n), io.SeekStart)
	return n, toErrno(err)
}

// Pwrite implements sys.File. What makes the file longer counts, a hole too.
func (f *guestFile) Pwrite(buf []byte, off int64) (int, sys.Errno) {
	if !f.write {
		return 0, sys.EBADF
	}
	if off < 0 || off > 1<<62 {
		return 0, sys.EINVAL
	}
	if len(buf) == 0 {
		return 0, 0
	}
	info, err := f.file.Stat()
	if err != nil {
		return 0, toErrno(err)
	}
	f.box.quota.grow(max(0, off+int64(len(buf))-info.Size()))
	n, err := f.file.WriteAt(buf, off)
	return n, toErrno(err)
}

// Truncate implements sys.File.
func (f *guestFile) Truncate(size int64) sys.Errno {
	if !f.write {
		return sys.EBADF
	}
	if size < 0 {
		return sys.EINVAL
	}
	info, err := f.file.Stat()
	if err != nil {
		return toErrno(err)
	}
	f.box.quota.grow(size - info.Size())
	return toErrno(f.file.Truncate(size))
}

// Sync implements sys.File. The files of a run do not outlive it.
func (f *guestFile) Sync() sys.Errno { return 0 }

// Datasync implements sys.File. The files of a run do not outlive it.
func (f *guestFile) Datasync() sys.Errno { return 0 }

// Utimens implements sys.File: every time is the epoch, and stays it.
func (f *guestFile) Utimens(_, _ int64) sys.Errno { return 0 }

// Close implements sys.File.
func (f *guestFile) Close() sys.Errno {
	if f.closed {
		return 0
	}
	f.closed = true
	f.box.open--
	if f.write {
		f.box.write--
	}
	return toErrno(f.file.Close())
}

// dirFile is an open directory of a sandbox.
type dirFile struct {
	guestFile
	entries []sys.Dirent // what Readdir still has to answer, once it was asked
	listed  bool
}

// IsDir implements sys.File.
func (d *dirFile) IsDir() (bool, sys.Errno) { return true, 0 }

// SetAppend implements sys.File.
func (d *dirFile) SetAppend(bool) sys.Errno { return sys.EISDIR }

// Read implements sys.File.
func (d *dirFile) Read([]byte) (int, sys.Errno) { return 0, sys.EISDIR }

// Pread implements sys.File.
func (d *dirFile) Pread([]byte, int64) (int, sys.Errno) { return 0, sys.EISDIR }

// Write implements sys.File.
func (d *dirFile) Write([]byte) (int, sys.Errno) { return 0, sys.EISDIR }

// Pwrite implements sys.File.
func (d *dirFile) Pwrite([]byte, int64) (int, sys.Errno) { return 0, sys.EISDIR }

// Truncate implements sys.File.
func (d *dirFile) Truncate(int64) sys.Errno { return sys.EISDIR }

// Seek implements sys.File: only back to the start, to list again.
func (d *dirFile) Seek(offset fileOffset, whence int) (int64, sys.Errno) {
	if offset != 0 || whence != io.SeekStart {
		return 0, sys.EINVAL
	}
	d.entries, d.listed = nil, false
	return 0, 0
}

// Readdir implements sys.File: sorted by name, so that every machine answers the
// same.
func (d *dirFile) Readdir(n int) ([]sys.Dirent, sys.Errno) {
	if !d.listed {
		list, err := d.box.list(d.path)
		if err != nil {
			return nil, toErrno(err)
		}
		d.entries, d.listed = list, true
	}
	if n <= 0 || n > len(d.entries) {
		n = len(d.entries)
	}
	out := d.entries[:n]
	d.entries = d.entries[n:]
	return out, 0
}

// list reads a directory.
func (s *sandbox) list(p string) ([]sys.Dirent, error) {
	f, err := s.root.Open(p)
	if err != nil {
		return nil, err
	}
	found, err := f.ReadDir(-1)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	out := make([]sys.Dirent, 0, len(found))
	for _, e := range found {
		name := e.Name()
		full := name
		if p != "." {
			full = p + "/" + name
		}
		out = append(out, sys.Dirent{Ino: inode(full), Name: name, Type: e.Type() & fs.ModeType})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, nil
}
