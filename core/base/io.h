/* SPDX-License-Identifier: MIT */
/* The calls through which the core touches the world, as parameters: tests put
 * faults, recorded trees and a clock of their own here. They return what the
 * kernel does: a result, or -1 with errno. */
#ifndef IO_H
#define IO_H

#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

/* Where the C library has no such names: fstatat() of a descriptor itself, with the path "",
 * and a clock that begins at boot and goes on while the host sleeps. */
#ifdef __APPLE__
#define AT_EMPTY_PATH 0x40000000
#define CLOCK_BOOTTIME CLOCK_MONOTONIC_RAW
#endif

/* What getdents() fills its room with, one after the other: the kernel's struct linux_dirent64,
 * which not every C library has a name for. */
struct directory_entry {
    uint64_t inode;
    int64_t offset;
    uint16_t length; /* of the entry, in bytes: the next begins there */
    uint8_t type;
    char name[];
};

struct io {
    int (*openat)(void *data, int dir_fd, const char *path, int flags, mode_t mode);
    int (*close)(void *data, int fd);
    ssize_t (*read)(void *data, int fd, void *to, size_t len);
    ssize_t (*write)(void *data, int fd, const void *from, size_t len);
    ssize_t (*getdents)(void *data, int fd, void *to, size_t len); /* of Linux */
    off_t (*rewind)(void *data, int fd);
    ssize_t (*readlinkat)(void *data, int dir_fd, const char *path, char *to, size_t len);
    int (*fstatat)(void *data, int dir_fd, const char *path, struct stat *ret, int flags);
    int (*fsync)(void *data, int fd);
    int (*rename)(void *data, const char *from, const char *to);
    int (*unlink)(void *data, const char *path);
    uint64_t (*clock_ns)(void *data, clockid_t clock);
    void *data;
};

extern const struct io io_kernel;

/* Reads to the end, retrying EINTR. Fills at most `size` bytes; more than that
 * in the file sets *ret_cut (which may be NULL). Returns the length or -errno. */
ssize_t io_read_all(const struct io *io, int fd, char *to, size_t size, int *ret_cut);

/* Opens dir_fd/name, reads it whole, closes it. */
ssize_t io_read_file(const struct io *io, int dir_fd, const char *name, char *to, size_t size,
                     int *ret_cut);

#endif
