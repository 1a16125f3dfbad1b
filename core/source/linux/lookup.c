/* SPDX-License-Identifier: MIT */
/* One process of a proc file system, outside of any collection and any source. */
#include "base/number.h"
#include "source/linux/parse.h"
#include "source/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* A file of a process, by a path such as "/proc/12/stat". -ESRCH: no such process. */
static ssize_t read_file(const struct io *io, const char *root, uint32_t pid, const char *file,
                         char *to, size_t size) {
    char path[4096 + 64];
    int len = snprintf(path, sizeof(path), "%.4096s/%u/%s", root, pid, file);
    if (len < 0 || (size_t)len >= sizeof(path))
        return -ENAMETOOLONG;
    ssize_t n;
    if (strcmp(file, "exe") == 0) {
        n = io->readlinkat(io->data, AT_FDCWD, path, to, size);
        n = n < 0 ? -errno : n;
    } else {
        n = io_read_file(io, AT_FDCWD, path, to, size, NULL);
    }
    return n == -ENOENT ? -ESRCH : n;
}

static void look_up_user(const struct io *io, const char *root, uint32_t pid, struct sample *ret) {
    char text[8192];
    struct status_file status;
    ssize_t n = read_file(io, root, pid, "status", text, sizeof(text));
    if (n < 0 || parse_status(text, (size_t)n, &status) < 0 || !status.has_ids)
        return;
    ret->uid = status.uid;
    ret->gid = status.gid;
    ret->has_credentials = true;
}

int source_lookup(const struct io *io, const char *root, uint32_t pid, bool with_user,
                  struct sample *ret) {
    char text[4096];
    struct stat_line stat;
    ssize_t n = read_file(io, root, pid, "stat", text, sizeof(text));
    int r = n < 0 ? (int)n : parse_stat(text, (size_t)n, &stat);
    if (r < 0)
        return r;
    *ret = (struct sample){
        .pid = stat.pid,
        .ppid = stat.ppid,
        .start_ticks = stat.start_ticks,
        .state = stat.state,
        .has_terminal = true,
        .terminal = stat.terminal,
        .leads_session = stat.leads_session,
        .in_foreground = stat.in_foreground,
    };
    ret->comm_len = (uint8_t)(stat.comm_len < sizeof(ret->comm) ? stat.comm_len : sizeof(ret->comm));
    memcpy(ret->comm, stat.comm, ret->comm_len);
    if (with_user)
        look_up_user(io, root, pid, ret);
    return 0;
}

static ssize_t read_cgroup(const struct io *io, const char *root, uint32_t pid,
                           enum tally_process_text which, char *to, size_t size) {
    char text[16384];
    struct cgroup_file cgroup;
    ssize_t n = read_file(io, root, pid, "cgroup", text, sizeof(text));
    int r = n < 0 ? (int)n : parse_cgroup(text, (size_t)n, &cgroup);
    if (r < 0)
        return r;
    const char *found = cgroup.path;
    size_t len = cgroup.path_len;
    if (which == TALLY_PROCESS_UNIT)
        len = parse_unit(cgroup.systemd, cgroup.systemd_len, &found);
    else if (which == TALLY_PROCESS_CONTAINER)
        len = parse_container(text, (size_t)n, &found);
    len = len < size ? len : size;
    memcpy(to, found, len);
    return (ssize_t)len;
}

/* Of its directory; 0: it has none. */
static uint64_t inode_of(const struct io *io, const char *root, uint32_t pid) {
    char path[4096 + 64];
    struct stat st;
    int len = snprintf(path, sizeof(path), "%.4096s/%u", root, pid);
    return len > 0 && (size_t)len < sizeof(path) &&
                   io->fstatat(io->data, AT_FDCWD, path, &st, 0) == 0
               ? st.st_ino
               : 0;
}

static int check_start(const struct io *io, const char *root, uint32_t pid, uint64_t start_ticks) {
    struct sample now;
    int r = source_lookup(io, root, pid, false, &now);
    return r < 0 ? r : now.start_ticks == start_ticks ? 0 : -ESRCH;
}

ssize_t source_process_text(const struct io *io, const char *root, uint32_t pid,
                            uint64_t start_ticks, uint64_t inode, enum tally_process_text which,
                            char *to, size_t size) {
    ssize_t n = -EINVAL;
    char whole[4096]; /* readlink(2) refuses to fill nothing */
    switch (which) {
    case TALLY_PROCESS_CMDLINE:
        n = read_file(io, root, pid, "cmdline", to, size);
        while (n > 0 && to[n - 1] == '\0')
            n--;
        break;
    case TALLY_PROCESS_EXE:
        n = read_file(io, root, pid, "exe", whole, sizeof(whole));
        n = n > (ssize_t)size ? (ssize_t)size : n;
        if (n > 0)
            memcpy(to, whole, (size_t)n);
        break;
    case TALLY_PROCESS_CGROUP:
    case TALLY_PROCESS_UNIT:
    case TALLY_PROCESS_CONTAINER:
        n = read_cgroup(io, root, pid, which, to, size);
        break;
    }
    /* afterwards: if it is still the same, it was then */
    int r = inode && inode_of(io, root, pid) == inode ? 0 : check_start(io, root, pid, start_ticks);
    if (r < 0)
        return r;
    /* it is there, so it is the text that is not: a kernel thread has no program file, nor
     * has a zombie, and not every kernel has cgroups */
    return n == -ESRCH ? 0 : n;
}
