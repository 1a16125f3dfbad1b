/* SPDX-License-Identifier: MIT */
/* Files and directories of single processes below /proc, or a recorded tree that looks
 * like it. See proc(5). */
#ifndef PROC_FILES_H
#define PROC_FILES_H

#include "base/io.h"
#include "source/sample.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

/* The kernel hands out a file of one record in a single read(2) if it fits; the longest
 * is status, with the groups of its user. */
#define PROC_RECORD_SIZE (64u << 10)
#define PROC_LISTING_SIZE (32u << 10)

struct proc_dir {
    const struct io *io;
    int fd;                        /* of its root; -1: not open */
    bool counts_fds;               /* st_size of fd/ is the number of descriptors (Linux 6.2) */
    char record[PROC_RECORD_SIZE]; /* what was read last */
    char listing[PROC_LISTING_SIZE] __attribute__((aligned(8)));
    /* "PID/" of the last path, kept as the next one begins with it as a rule. */
    uint32_t path_pid;
    size_t path_len;
    char path[40];
};

/* -errno */
int proc_dir_open(struct proc_dir *d, const char *root, const struct io *io);
void proc_dir_close(struct proc_dir *d);

void proc_path_begin(struct proc_dir *d, uint32_t pid); /* for proc_path() */
/* "PID/NAME", relative to d->fd; valid until the next call. (Whole paths cost less than a
 * descriptor of the process's directory: the kernel has its name at hand.) */
static inline const char *proc_path(struct proc_dir *d, uint32_t pid, const char *name) {
    if (d->path_len == 0 || d->path_pid != pid)
        proc_path_begin(d, pid);
    memcpy(d->path + d->path_len, name, strlen(name) + 1);
    return d->path;
}
/* A descriptor, or -errno. */
static inline int proc_open(struct proc_dir *d, uint32_t pid, const char *name, int flags) {
    int fd = d->io->openat(d->io->data, d->fd, proc_path(d, pid, name),
                           O_RDONLY | O_CLOEXEC | flags, 0);
    return fd < 0 ? -errno : fd;
}

/* Reads a file of one record into d->record. Its length, or -errno. */
ssize_t proc_read_fd(struct proc_dir *d, int fd);
ssize_t proc_read_at(struct proc_dir *d, int dir_fd, const char *name);
static inline ssize_t proc_read(struct proc_dir *d, uint32_t pid, const char *name) {
    return proc_read_at(d, d->fd, proc_path(d, pid, name));
}

/* Calls back with each name in an open directory that is a number above 0; `inode` is its
 * d_ino. Stops after some `most` names: 1 is returned then, and the next call goes on from
 * there. What the callback returns below 0 ends it. */
int proc_list_numbers(struct proc_dir *d, int fd, uint64_t most,
                      int (*each)(void *data, uint32_t number, uint64_t inode), void *data);

/* -ESRCH: the process has ended. */
int proc_count_fds(struct proc_dir *d, uint32_t pid, uint64_t *ret_count);

/* Something of a process could not be read. -ESRCH, which ends its measurement, is handed
 * on. Else 0: a file that this kernel does not have is only absent, all other errors count
 * as a refusal. */
int proc_note_error(struct sample *s, enum origin origin, int error);

#endif
