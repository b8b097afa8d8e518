// The guest of the tests: its first argument says what it does.
//
// Built by (clang 14, wasi-libc of Debian 12):
//   clang --target=wasm32-wasi -Os -s -Wl,--strip-all -o guest.wasm guest.c
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int copy(const char *from, const char *to) {
  char buf[4096];
  ssize_t n;
  int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (in < 0 || out < 0) return 9;
  while ((n = read(in, buf, sizeof buf)) > 0) {
    if (write(out, buf, n) != n) return 8;
  }
  return close(out);
}

static int list(const char *path) {
  struct dirent *e;
  DIR *d = opendir(path);
  if (!d) return 9;
  while ((e = readdir(d))) printf("%s\n", e->d_name);
  return closedir(d);
}

static void try_path(const char *what, const char *path, int flags) {
  int fd = open(path, flags, 0644);
  printf("%s %s\n", what, fd < 0 ? "refused" : "OPENED");
}

static int escape(void) {
  printf("symlink %s\n", symlink("../../../../etc/passwd", "/out/link") ? "refused" : "MADE");
  printf("hard link %s\n", link("/in/doc", "/out/doc") ? "refused" : "MADE");
  try_path("link", "/out/link", O_RDONLY);
  try_path("dots", "/out/../../../../etc/passwd", O_RDONLY);
  try_path("absolute", "/etc/passwd", O_RDONLY);
  try_path("write input", "/in/doc", O_WRONLY);
  try_path("new input", "/in/new", O_WRONLY | O_CREAT);
  try_path("new file", "/new", O_WRONLY | O_CREAT);
  try_path("truncate input", "/in/doc", O_RDWR | O_TRUNC);
  printf("remove input %s\n", unlink("/in/doc") ? "refused" : "DONE");
  printf("move input %s\n", rename("/in/doc", "/out/doc") ? "refused" : "DONE");
  printf("move out %s\n", rename("/out", "/elsewhere") ? "refused" : "DONE");
  return 0;
}

static int files(void) {
  char name[32], buf[8];
  struct stat st;
  DIR *d;
  if (mkdir("/out/dir", 0755) || mkdir("/out/dir", 0755) == 0) return 1;
  for (int i = 2; i >= 0; i--) {
    snprintf(name, sizeof name, "/out/dir/f%d", i);
    int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0644);
    if (fd < 0 || write(fd, "hello", 5) != 5 || lseek(fd, 1, SEEK_SET) != 1 || read(fd, buf, 4) != 4 || memcmp(buf, "ello", 4)) return 2;
    if (ftruncate(fd, 3) || fstat(fd, &st) || st.st_size != 3 || fsync(fd)) return 3;
    close(fd);
  }
  int fd = open("/out/dir/f0", O_WRONLY | O_APPEND);
  if (fd < 0 || write(fd, "++", 2) != 2 || close(fd)) return 4;
  if (stat("/out/dir/f0", &st) || st.st_size != 5 || !S_ISREG(st.st_mode)) return 5;
  if (rename("/out/dir/f1", "/out/dir/g") || unlink("/out/dir/f2") || rmdir("/out/dir") == 0) return 6;
  if (unlink("/out/dir") == 0 || rmdir("/out/dir/g") == 0) return 7;
  if (open("/out/dir/f1", O_RDONLY) >= 0 || open("/out/dir", O_WRONLY) >= 0 || open("/out/dir/g", O_RDONLY | O_DIRECTORY) >= 0) return 8;
  if (stat("/out", &st) || !S_ISDIR(st.st_mode)) return 9;
  printf("mtime %ld\n", (long)st.st_mtime);
  if (list("/out/dir") || list("/in") || list("/")) return 10;
  d = opendir("/out/dir");
  while (readdir(d)) {
  }
  rewinddir(d);
  int n = 0;
  while (readdir(d)) n++;
  printf("again %d\n", n);
  return 0;
}

static __attribute__((noinline)) int recurse(volatile int *above) {
  volatile int here = *above + 1;
  return here == 0 ? 0 : recurse(&here) + here;
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "hello";
  if (!strcmp(what, "hello")) {
    fprintf(stderr, "to stderr\n");
    printf("hello from %s\n", argv[0]);
    for (char **e = environ; *e; e++) puts(*e);
    return 0;
  }
  if (!strcmp(what, "copy")) return copy("/in/doc", "/out/page");
  if (!strcmp(what, "exit")) return 3;
  if (!strcmp(what, "code")) exit(300);
  if (!strcmp(what, "trap")) __builtin_trap();
  if (!strcmp(what, "loop")) {
    puts("started");
    fflush(stdout);
    for (volatile int i = 0;; i++) {
    }
  }
  if (!strcmp(what, "recurse")) {
    volatile int one = 1;
    return recurse(&one);
  }
  if (!strcmp(what, "memory")) {
    for (;;) {
      volatile char *p = malloc(1 << 20);
      if (!p) abort();
      *p = 1;
    }
  }
  if (!strcmp(what, "flood")) {
    for (;;) puts("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
  }
  if (!strcmp(what, "flood-stderr")) {
    for (;;) fputs("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", stderr);
  }
  if (!strcmp(what, "flood-file")) {
    FILE *f = fopen("/out/page", "w");
    for (;;) fputs("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", f);
  }
  if (!strcmp(what, "hole")) {
    int fd = open("/out/page", O_WRONLY | O_CREAT, 0644);
    lseek(fd, 1LL << 40, SEEK_SET);
    write(fd, "x", 1);
    return 0;
  }
  if (!strcmp(what, "many-files")) {
    for (int i = 0;; i++) {
      char name[32];
      snprintf(name, sizeof name, "/out/%d", i);
      int fd = open(name, O_WRONLY | O_CREAT, 0644);
      if (fd >= 0) close(fd);
    }
  }
  if (!strcmp(what, "many-open")) {
    int n = 0;
    while (open("/in/doc", O_RDONLY) >= 0) n++;
    printf("%d\n", n);
    return 0;
  }
  if (!strcmp(what, "dir")) return mkdir("/out/page", 0755);
  if (!strcmp(what, "escape")) return escape();
  if (!strcmp(what, "files")) return files();
  if (!strcmp(what, "random")) {
    unsigned char b[32];
    if (getentropy(b, sizeof b)) return 1;
    for (int i = 0; i < 32; i++) printf("%02x", b[i]);
    return 0;
  }
  if (!strcmp(what, "clock")) {
    struct timespec a, b;
    clock_gettime(CLOCK_REALTIME, &a);
    sleep(3600);
    clock_gettime(CLOCK_REALTIME, &b);
    printf("%lld %lld\n", (long long)a.tv_sec, (long long)(b.tv_sec - a.tv_sec));
    return 0;
  }
  return 64;
}
