/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "faulty_io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

struct fault fault;
static const struct io *real;

static bool fails(enum call call) {
    if (fault.call != call || fault.after-- > 0)
        return false;
    fault.after = 0;
    errno = fault.error;
    return true;
}

static int faulty_openat(void *data, int dir_fd, const char *path, int flags, mode_t mode) {
    bool meant = fault.path ? strcmp(path, fault.path) == 0 : (flags & O_ACCMODE) != O_RDONLY;

    if (meant && fails(CALL_OPEN))
        return -1;
    int fd = real->openat(data, dir_fd, path, flags, mode);
    if (meant) {
        fault.fd = fd;
        if (fault.when_opened) {
            void (*then)(void) = fault.when_opened;
            fault.when_opened = NULL;
            then();
        }
    }
    return fd;
}

static int faulty_close(void *data, int fd) {
    struct stat closed, written;
    /* the file that is written, by whichever of its descriptors */
    bool meant = fault.fd >= 0 && fstat(fd, &closed) == 0 && fstat(fault.fd, &written) == 0 &&
                 closed.st_ino == written.st_ino && closed.st_dev == written.st_dev;
    int r = real->close(data, fd);

    if (fd == fault.fd)
        fault.fd = -1;
    return meant && fails(CALL_CLOSE) ? -1 : r;
}

static ssize_t faulty_write(void *data, int fd, const void *from, size_t len) {
    fault.writes++;
    if (fault.interrupted && fault.writes % 2) {
        errno = EINTR;
        return -1;
    }
    if (fails(CALL_WRITE))
        return fault.error < 0 ? 0 : -1;
    if (fault.at_most && len > fault.at_most)
        len = fault.at_most;
    return real->write(data, fd, from, len);
}

static int faulty_fsync(void *data, int fd) {
    fault.syncs++;
    return fails(CALL_FSYNC) ? -1 : real->fsync(data, fd);
}

static int faulty_rename(void *data, const char *from, const char *to) {
    return fails(CALL_RENAME) ? -1 : real->rename(data, from, to);
}

/* Only of what is open. */
static int faulty_fstatat(void *data, int dir_fd, const char *path, struct stat *ret, int flags) {
    if (!*path && fails(CALL_STAT))
        return -1;
    return real->fstatat(data, dir_fd, path, ret, flags);
}

struct io faulty_io(const struct io *of) {
    struct io io = *of;

    real = of;
    memset(&fault, 0, sizeof(fault));
    fault.fd = -1;
    io.openat = faulty_openat;
    io.close = faulty_close;
    io.fstatat = faulty_fstatat;
    io.write = faulty_write;
    io.fsync = faulty_fsync;
    io.rename = faulty_rename;
    return io;
}
