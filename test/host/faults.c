// Faults at the level of system calls, for tests: preloaded into a process, it fails or kills it in calls on a store's files, as files in $STORE_FAULTS say.
// `<fault>-<file>.<n>` happens once, and is gone then; `<fault>-<file>.always` as long as it is there.
// Faults: sync, write, cut (EIO), and killsync (SIGKILL before the sync). Files: db, wal, jsonl.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int told(const char *dir, const char *fault, const char *file) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s-%s.always", dir, fault, file);
  if (access(path, F_OK) == 0) return 1;
  for (int n = 0; n < 10; n++) {
    snprintf(path, sizeof path, "%s/%s-%s.%d", dir, fault, file, n);
    if (unlink(path) == 0) return 1;
  }
  return 0;
}

static const char *file_of(int fd, char *path, size_t size) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, size - 1);
  if (length < 0) return NULL;
  path[length] = 0;
  if (strstr(path, "railgate.db-wal")) return "wal";
  if (strstr(path, "railgate.db-shm")) return NULL;
  if (strstr(path, "railgate.db")) return "db";
  if (strstr(path, ".jsonl")) return "jsonl";
  return NULL;
}

static int fails(const char *fault, int fd) {
  const char *dir = getenv("STORE_FAULTS");
  char path[4096];
  const char *file = dir ? file_of(fd, path, sizeof path) : NULL;
  if (!file) return 0;
  if (strcmp(fault, "sync") == 0 && told(dir, "killsync", file)) kill(getpid(), SIGKILL);
  if (!told(dir, fault, file)) return 0;
  errno = EIO;
  return 1;
}

#define REAL(name, type) static __typeof__(type) *real; if (!real) real = (__typeof__(type) *)dlsym(RTLD_NEXT, name)

int fsync(int fd) {
  REAL("fsync", int(int));
  return fails("sync", fd) ? -1 : real(fd);
}
int fdatasync(int fd) {
  REAL("fdatasync", int(int));
  return fails("sync", fd) ? -1 : real(fd);
}
ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) {
  REAL("pwrite", ssize_t(int, const void *, size_t, off_t));
  return fails("write", fd) ? -1 : real(fd, bytes, size, at);
}
ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
  REAL("pwrite64", ssize_t(int, const void *, size_t, off64_t));
  return fails("write", fd) ? -1 : real(fd, bytes, size, at);
}
int ftruncate(int fd, off_t size) {
  REAL("ftruncate", int(int, off_t));
  return fails("cut", fd) ? -1 : real(fd, size);
}
int ftruncate64(int fd, off64_t size) {
  REAL("ftruncate64", int(int, off64_t));
  return fails("cut", fd) ? -1 : real(fd, size);
}
