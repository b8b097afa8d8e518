//go:build unix

package config

import (
	"os"
	"syscall"
)

// writableBy names who else may write a file, or is empty.
func writableBy(info os.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	mode := info.Mode()
	switch {
	case !ok:
		return ""
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return "its owner, another user"
	case mode.Perm()&0o002 != 0 && (mode&os.ModeSticky == 0 || !mode.IsDir()):
		return "everyone"
	case mode.Perm()&0o020 != 0 && int(st.Gid) != os.Getegid() && st.Gid != 0:
		return "its group"
	}
	return ""
}
