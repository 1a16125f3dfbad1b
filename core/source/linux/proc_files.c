/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "source/linux/proc_files.h"

#include "base/number.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* Without a name an entry has 19 bytes, padded to 24; the longest name has 255 and a NUL. */
#define SHORTEST_ENTRY 24u
#define LONGEST_ENTRY 280u

int proc_dir_open(struct proc_dir *d, const char *root, const struct io *io) {
    d->io = io;
    d->path_len = 0;
    d->fd = io->openat(io->data, AT_FDCWD, root, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    return d->fd < 0 ? -errno : 0;
}

void proc_dir_close(struct proc_dir *d) {
    if (d->fd >= 0)
        d->io->close(d->io->data, d->fd);
    d->fd = -1;
}

void proc_path_begin(struct proc_dir *d, uint32_t pid) {
    d->path_pid = pid;
    d->path_len = format_u64(d->path, pid);
    d->path[d->path_len++] = '/';
}

static inline ssize_t read_record(struct proc_dir *d, int fd) {
    const struct io *io = d->io;
    size_t len = 0;
    ssize_t n;
    do {
        n = io->read(io->data, fd, d->record + len, sizeof(d->record) - len);
        if (n > 0)
            len += (size_t)n;
        /* a record ends with a newline: if it does not, there is more of it */
    } while ((n < 0 && errno == EINTR) ||
             (n > 0 && d->record[len - 1] != '\n' && len < sizeof(d->record)));
    return n < 0 ? -errno : (ssize_t)len;
}

ssize_t proc_read_fd(struct proc_dir *d, int fd) {
    return read_record(d, fd);
}

ssize_t proc_read_at(struct proc_dir *d, int dir_fd, const char *name) {
    const struct io *io = d->io;
    int fd = io->openat(io->data, dir_fd, name, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    ssize_t n = read_record(d, fd);
    io->close(io->data, fd);
    return n;
}

int proc_list_numbers(struct proc_dir *d, int fd, uint64_t most,
                      int (*each)(void *data, uint32_t number, uint64_t inode), void *data) {
    const struct io *io = d->io;
    for (;;) {
        size_t size = sizeof(d->listing);
        if (most < size / SHORTEST_ENTRY)
            size = (size_t)most * SHORTEST_ENTRY;
        if (size < LONGEST_ENTRY)
            size = LONGEST_ENTRY;
        ssize_t n = io->getdents(io->data, fd, d->listing, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        for (ssize_t at = 0; at < n; most -= most > 0) {
            const struct directory_entry *entry = (const void *)(d->listing + at);
            at += entry->length;
            const char *digits = entry->name, *end = digits + strlen(digits);
            uint64_t number;
            if (digits[0] == '0' || parse_u64(&digits, end, &number) < 0 || digits != end ||
                number > UINT32_MAX)
                continue;
            int r = each(data, (uint32_t)number, entry->inode);
            if (r < 0)
                return r;
        }
        if (most == 0)
            return 1;
    }
}

static int count_one(void *data, uint32_t number, uint64_t inode) {
    (void)number, (void)inode;
    ++*(uint64_t *)data;
    return 0;
}

static int count_fds_by_listing(struct proc_dir *d, uint32_t pid, uint64_t *ret_count) {
    const struct io *io = d->io;
    int fd = proc_open(d, pid, "fd", O_DIRECTORY);
    if (fd < 0)
        return fd;
    uint64_t count = 0;
    int r = proc_list_numbers(d, fd, UINT64_MAX, count_one, &count);
    io->close(io->data, fd);
    if (r < 0)
        return r;
    struct stat unused;
    /* 0 is not among the numbers listed: it is a descriptor, but no pid */
    if (io->fstatat(io->data, d->fd, proc_path(d, pid, "fd/0"), &unused, AT_SYMLINK_NOFOLLOW) == 0)
        count++;
    /* The listing of a process that has ended is empty without an error. */
    if (count == 0 && io->fstatat(io->data, d->fd, proc_path(d, pid, "stat"), &unused,
                                  AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    *ret_count = count;
    return 0;
}

int proc_count_fds(struct proc_dir *d, uint32_t pid, uint64_t *ret_count) {
    struct stat st;
    if (!d->counts_fds)
        return count_fds_by_listing(d, pid, ret_count);
    if (d->io->fstatat(d->io->data, d->fd, proc_path(d, pid, "fd"), &st, 0) < 0)
        return -errno;
    *ret_count = (uint64_t)st.st_size;
    return 0;
}

int proc_note_error(struct sample *s, enum origin origin, int error) {
    if (error == -ESRCH)
        return -ESRCH;
    if (error != -ENOENT)
        s->unreadable |= 1u << origin;
    return 0;
}
