/* Makes the FAIL_AT-th write of a process to an LMDB file fail with errno FAIL_WITH, and every one after it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>
#include <stdio.h>

static long seen = 0;

static int on_store(int fd) {
    char link[64], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return strstr(path, "data.mdb") != NULL;
}

static int fails(int fd) {
    const char *at = getenv("FAIL_AT");
    if (!at || !on_store(fd)) return 0;
    if (++seen < atol(at)) return 0;
    errno = atoi(getenv("FAIL_WITH"));
    return 1;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    REAL(pwrite);
    return fails(fd) ? -1 : real(fd, data, length, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    REAL(pwrite64);
    return fails(fd) ? -1 : real(fd, data, length, offset);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    REAL(pwritev);
    return fails(fd) ? -1 : real(fd, parts, count, offset);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    REAL(pwritev64);
    return fails(fd) ? -1 : real(fd, parts, count, offset);
}
ssize_t write(int fd, const void *data, size_t length) {
    REAL(write);
    return fails(fd) ? -1 : real(fd, data, length);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev);
    return fails(fd) ? -1 : real(fd, parts, count);
}
int fdatasync(int fd) {
    REAL(fdatasync);
    return fails(fd) ? -1 : real(fd);
}
int fsync(int fd) {
    REAL(fsync);
    return fails(fd) ? -1 : real(fd);
}
