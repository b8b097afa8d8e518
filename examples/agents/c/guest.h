/* guest.h: the few things that the C agents share. They call WASI themselves,
 * where open and stdio of wasi-libc would make a module five times as large. */
#ifndef GUEST_H
#define GUEST_H

#include <string.h>
#include <wasi/api.h>

/* die ends the program with a message on standard error. */
static inline _Noreturn void die(int code, const char *message)
{
	__wasi_ciovec_t text = {(const uint8_t *)message, strlen(message)};
	__wasi_size_t written;
	if (__wasi_fd_write(2, &text, 1, &written) != 0)
		code = 1;
	__wasi_proc_exit((__wasi_exitcode_t)code);
}

/* out is a buffer that is written at once; what does not fit ends the program. */
struct out {
	unsigned length;
	char text[8192];
};

static inline void put_bytes(struct out *o, const char *s, unsigned n)
{
	if (n > sizeof o->text - o->length)
		die(1, "error: the answer is too long\n");
	memcpy(o->text + o->length, s, n);
	o->length += n;
}

static inline void put(struct out *o, const char *s)
{
	put_bytes(o, s, strlen(s));
}

static inline void put_number(struct out *o, unsigned long long v)
{
	char digits[20];
	unsigned n = sizeof digits;
	do
		digits[--n] = (char)('0' + v % 10);
	while (v /= 10);
	put_bytes(o, digits + n, sizeof digits - n);
}

/* place finds the directory among those that the host opened for us that holds
 * an absolute path, and points rest at what follows its name. */
static inline __wasi_fd_t place(const char *path, const char **rest)
{
	__wasi_fd_t best = 0;
	unsigned longest = 0;
	__wasi_prestat_t stat;
	for (__wasi_fd_t fd = 3; __wasi_fd_prestat_get(fd, &stat) == 0; fd++) {
		char name[16];
		unsigned n = stat.u.dir.pr_name_len;
		if (n > sizeof name || __wasi_fd_prestat_dir_name(fd, (uint8_t *)name, n) != 0)
			continue;
		while (n > 0 && name[n - 1] == '/')
			n--;
		if (strlen(path) > n && memcmp(path, name, n) == 0 && path[n] == '/' && (!best || n > longest)) {
			best = fd;
			longest = n;
		}
	}
	if (!best)
		die(1, "error: the host opened no directory for the file\n");
	*rest = path + longest + 1;
	return best;
}

/* open_input opens a file to read. */
static inline __wasi_fd_t open_input(const char *path)
{
	__wasi_fd_t fd, dir = place(path, &path);
	if (__wasi_path_open(dir, 0, path, 0, __WASI_RIGHTS_FD_READ, 0, 0, &fd) != 0)
		die(1, "error: can not open the input\n");
	return fd;
}

/* read_block reads up to size bytes, 0 at the end of the file. */
static inline unsigned read_block(__wasi_fd_t fd, unsigned char *to, unsigned size)
{
	__wasi_iovec_t block = {to, size};
	__wasi_size_t n;
	if (__wasi_fd_read(fd, &block, 1, &n) != 0)
		die(1, "error: can not read the input\n");
	return n;
}

static inline void write_all(__wasi_fd_t fd, const struct out *o)
{
	for (unsigned at = 0; at < o->length;) {
		__wasi_ciovec_t rest = {(const uint8_t *)o->text + at, o->length - at};
		__wasi_size_t n;
		if (__wasi_fd_write(fd, &rest, 1, &n) != 0 || n == 0)
			die(1, "error: can not write\n");
		at += n;
	}
}

/* write_output makes a file. */
static inline void write_output(const char *path, const struct out *o)
{
	__wasi_fd_t fd, dir = place(path, &path);
	if (__wasi_path_open(dir, 0, path, __WASI_OFLAGS_CREAT | __WASI_OFLAGS_TRUNC, __WASI_RIGHTS_FD_WRITE, 0, 0, &fd) != 0)
		die(1, "error: can not make the output\n");
	write_all(fd, o);
	if (__wasi_fd_close(fd) != 0)
		die(1, "error: can not finish the output\n");
}

/* say writes the summary for people. */
static inline void say(const struct out *o)
{
	write_all(1, o);
}

#endif
