/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

static int kernel_openat(void *data, int dir_fd, const char *path, int flags, mode_t mode) {
    (void)data;
    return openat(dir_fd, path, flags, mode);
}

static int kernel_close(void *data, int fd) {
    (void)data;
    return close(fd);
}

static ssize_t kernel_read(void *data, int fd, void *to, size_t len) {
    (void)data;
    return read(fd, to, len);
}

static ssize_t kernel_write(void *data, int fd, const void *from, size_t len) {
    (void)data;
    return write(fd, from, len);
}

/* glibc's getdents64() is too young (2.30) and readdir() allocates */
static ssize_t kernel_getdents(void *data, int fd, void *to, size_t len) {
    (void)data;
#ifdef __linux__
    return syscall(SYS_getdents64, fd, to, len);
#else /* nor is there anything to list */
    (void)fd, (void)to, (void)len;
    errno = ENOSYS;
    return -1;
#endif
}

static off_t kernel_rewind(void *data, int fd) {
    (void)data;
    return lseek(fd, 0, SEEK_SET);
}

static ssize_t kernel_readlinkat(void *data, int dir_fd, const char *path, char *to, size_t len) {
    (void)data;
    return readlinkat(dir_fd, path, to, len);
}

static int kernel_fstatat(void *data, int dir_fd, const char *path, struct stat *ret, int flags) {
    (void)data;
#ifdef __APPLE__
    if (flags & AT_EMPTY_PATH)
        return fstat(dir_fd, ret);
#endif
    return fstatat(dir_fd, path, ret, flags);
}

static int kernel_fsync(void *data, int fd) {
    (void)data;
    return fsync(fd);
}

static int kernel_rename(void *data, const char *from, const char *to) {
    (void)data;
    return rename(from, to);
}

static int kernel_unlink(void *data, const char *path) {
    (void)data;
    return unlink(path);
}

static uint64_t kernel_clock_ns(void *data, clockid_t clock) {
    (void)data;
    struct timespec t = {0};
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

const struct io io_kernel = {
    .openat = kernel_openat,
    .close = kernel_close,
    .read = kernel_read,
    .write = kernel_write,
    .getdents = kernel_getdents,
    .rewind = kernel_rewind,
    .readlinkat = kernel_readlinkat,
    .fstatat = kernel_fstatat,
    .fsync = kernel_fsync,
    .rename = kernel_rename,
    .unlink = kernel_unlink,
    .clock_ns = kernel_clock_ns,
};

ssize_t io_read_all(const struct io *io, int fd, char *to, size_t size, int *ret_cut) {
    size_t len = 0;
    int cut = 0;
    for (;;) {
        char probe;
        ssize_t n = len < size ? io->read(io->data, fd, to + len, size - len)
                               : io->read(io->data, fd, &probe, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        if (len == size) {
            cut = 1;
            break;
        }
        len += (size_t)n;
    }
    if (ret_cut)
        *ret_cut = cut;
    return (ssize_t)len;
}

ssize_t io_read_file(const struct io *io, int dir_fd, const char *name, char *to, size_t size,
                     int *ret_cut) {
    int fd = io->openat(io->data, dir_fd, name, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    ssize_t n = io_read_all(io, fd, to, size, ret_cut);
    io->close(io->data, fd);
    return n;
}
