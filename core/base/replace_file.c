/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "base/replace_file.h"

#include "proctally.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* "dir/name" becomes "dir/.name.tmp". Always the same name: what a SIGKILL leaves behind
 * is reused by the next write. */
int tally_temporary_name(const char *path, char *ret, size_t size) {
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    if (!*name)
        return -EISDIR;
    int len = snprintf(ret, size, "%.*s.%s.tmp", (int)(name - path), path, name);
    return len < 0 || (size_t)len >= size ? -ENAMETOOLONG : 0;
}

/* Opens and locks the temporary file. The writer before us may have renamed it
 * between our open(2) and flock(2): then what we hold is the published file,
 * not to be touched, and we try again. A file that belongs to
 * another user, who may have put it there to read what we write, is removed first. */
static int open_temporary(const struct io *io, const char *name, mode_t mode) {
    const int flags = O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    for (int attempt = 0; attempt < 100; attempt++) {
        struct stat held, named;
        int fd = io->openat(io->data, AT_FDCWD, name, flags | O_CREAT | O_EXCL, mode);
        /* whatever owner the file system shows: over NFS that may be nobody */
        bool is_ours = fd >= 0;
        if (fd < 0 && errno == EEXIST) {
            fd = io->openat(io->data, AT_FDCWD, name, flags, 0);
            if (fd < 0 && errno == ENOENT)
                continue;
        }
        if (fd < 0)
            return -errno;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0 ||
            io->fstatat(io->data, fd, "", &held, AT_EMPTY_PATH) < 0) {
            int r = errno == EWOULDBLOCK ? -EBUSY : -errno;
            io->close(io->data, fd);
            return r;
        }
        if (S_ISREG(held.st_mode) && held.st_nlink == 1 &&
            io->fstatat(io->data, AT_FDCWD, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
            held.st_ino == named.st_ino && held.st_dev == named.st_dev) {
            if (is_ours || held.st_uid == geteuid())
                return fd;
            /* nobody is writing it: we have the lock */
            int r = io->unlink(io->data, name) < 0 ? -errno : 0;
            io->close(io->data, fd);
            if (r < 0)
                return r;
            continue;
        }
        io->close(io->data, fd);
        if (!S_ISREG(held.st_mode) || held.st_nlink > 1)
            return -EEXIST; /* somebody else's thing: a second name of another file, a pipe */
    }
    return -EBUSY;
}

static int write_all(const struct io *io, int fd, const char *data, size_t len) {
    while (len) {
        ssize_t n = io->write(io->data, fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EIO;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Some file systems tell of a failed write only when a descriptor is closed.
 * A second one: the first has the lock, which is needed until the rename. */
static int close_once(const struct io *io, int fd) {
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return -errno;
    return io->close(io->data, copy) < 0 && errno != EINTR ? -errno : 0;
}

int replace_file(const struct io *io, const char *path, const void *data, size_t len, mode_t mode,
                 bool durable) {
    char name[PATH_MAX];
    struct stat target;
    int r = tally_temporary_name(path, name, sizeof(name));
    if (r < 0)
        return r;
    /* a rename would put a file in the place of /dev/null, a pipe, a link */
    if (io->fstatat(io->data, AT_FDCWD, path, &target, AT_SYMLINK_NOFOLLOW) == 0 &&
        !S_ISREG(target.st_mode))
        return -ENOTSUP;
    int fd = open_temporary(io, name, mode);
    if (fd < 0)
        return fd;
    if (ftruncate(fd, 0) < 0 || fchmod(fd, mode) < 0) /* whatever the umask */
        r = -errno;
    if (r == 0)
        r = write_all(io, fd, data, len);
    if (r == 0 && durable && io->fsync(io->data, fd) < 0)
        r = -errno;
    if (r == 0)
        r = close_once(io, fd);
    if (r == 0 && io->rename(io->data, name, path) < 0)
        r = -errno;
    if (r < 0)
        io->unlink(io->data, name);
    io->close(io->data, fd); /* until here nobody else could write into it */
    return r;
}

int tally_replace_file(const char *path, const void *data, size_t len, mode_t mode, bool durable) {
    return replace_file(&io_kernel, path, data, len, mode, durable);
}
