/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "memory.h"

#include "content.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define FD_ROOT 100000 /* no descriptor that the program has */
#define HANDLES 16
#define STAT_SIZE 384u

uint64_t memory_calls;

static struct memory_tree tree;
static char (*stats)[STAT_SIZE]; /* one for each process, ended by a NUL byte */
static char status[CONTENT_SIZE], limits[CONTENT_SIZE], host[CONTENT_SIZE];
static size_t status_len, limits_len, host_len;
static uint64_t runs[2]; /* of all, and of those that `share` picks */
static unsigned share = 1;
static uint64_t now_ns;

enum kind { UNUSED, ROOT, PROCESS, TASKS, FDS, RECORD };

static struct handle {
    enum kind kind;
    uint32_t pid;
    uint32_t at; /* in a listing */
    const char *text;
    size_t len, offset;
    char own[CONTENT_SIZE]; /* for what is not the same each time */
} handles[HANDLES];

bool memory_new(const struct memory_tree *wanted) {
    tree = *wanted;
    if (tree.roles == 0)
        tree.roles = 1;
    stats = malloc((size_t)tree.processes * sizeof(*stats));
    if (!stats)
        return false;
    for (uint32_t i = 0; i < tree.processes; i++) {
        char text[CONTENT_SIZE];
        uint32_t pid = CONTENT_FIRST_PID + i;
        size_t len = content_stat(text, pid, i % tree.names, tree.threads);
        if (len >= STAT_SIZE)
            abort();
        memcpy(stats[i], text, len + 1);
    }
    status_len = content_status(status, tree.threads);
    limits_len = content_limits(limits);
    host_len = content_host(host);
    runs[0] = runs[1] = 0;
    now_ns = UINT64_C(100000) * 1000000000;
    return true;
}

void memory_free(void) {
    free(stats);
    stats = NULL;
}

void memory_run(unsigned of) {
    share = of;
    runs[of > 1]++;
}

void memory_pass(double seconds) {
    now_ns += (uint64_t)(seconds * 1e9);
}

static uint64_t runs_of(uint32_t pid) {
    return runs[0] + (share > 1 && pid % share == 0 ? runs[1] : 0);
}

static int refuse(int error) {
    errno = error;
    return -1;
}

static struct handle *handle_of(int fd) {
    return fd >= FD_ROOT && fd < FD_ROOT + HANDLES && handles[fd - FD_ROOT].kind != UNUSED
               ? &handles[fd - FD_ROOT]
               : NULL;
}

static const char *number(const char *at, uint32_t *ret) {
    uint32_t value = 0;
    if (*at < '1' || *at > '9')
        return NULL;
    while (*at >= '0' && *at <= '9')
        value = value * 10 + (uint32_t)(*at++ - '0');
    *ret = value;
    return at;
}

/* Fills in what the name stands for. */
static int find(struct handle *h, const char *name) {
    unsigned n = (h->pid - CONTENT_FIRST_PID) % tree.names;
    h->kind = RECORD;
    h->text = h->own;
    h->offset = 0;
    if (!*name) {
        h->kind = PROCESS;
    } else if (strcmp(name, "stat") == 0) {
        h->text = stats[h->pid - CONTENT_FIRST_PID];
        h->len = strlen(h->text);
    } else if (strcmp(name, "status") == 0) {
        h->text = status;
        h->len = status_len;
    } else if (strcmp(name, "io") == 0) {
        h->len = content_io(h->own, runs_of(h->pid));
    } else if (strcmp(name, "schedstat") == 0) {
        h->len = content_schedstat(h->own, runs_of(h->pid));
    } else if (strcmp(name, "limits") == 0) {
        h->text = limits;
        h->len = limits_len;
    } else if (strcmp(name, "cmdline") == 0) {
        h->len = content_cmdline(h->own, n, h->pid, h->pid % tree.roles);
    } else if (strcmp(name, "cgroup") == 0) {
        h->len = content_cgroup(h->own, n);
    } else if (strcmp(name, "fd") == 0) {
        h->kind = FDS;
        h->at = 0;
    } else if (strcmp(name, "task") == 0) {
        h->kind = TASKS;
        h->at = 0;
    } else {
        return -ENOENT;
    }
    return 0;
}

static int find_from(struct handle *h, const struct handle *dir, const char *name) {
    uint32_t tid;
    const char *rest;
    if (dir->kind == TASKS) {
        h->pid = dir->pid;
        rest = number(name, &tid);
        return rest && *rest == '/' ? find(h, rest + 1) : -ENOENT;
    }
    if (dir->kind == PROCESS) {
        h->pid = dir->pid;
        return find(h, name);
    }
    if (strcmp(name, "stat") == 0) {
        h->kind = RECORD;
        h->text = host;
        h->len = host_len;
        h->offset = 0;
        return 0;
    }
    rest = number(name, &h->pid);
    if (!rest || h->pid < CONTENT_FIRST_PID || h->pid - CONTENT_FIRST_PID >= tree.processes ||
        (*rest && *rest != '/'))
        return -ENOENT;
    return find(h, *rest ? rest + 1 : rest);
}

static int memory_openat(void *data, int dir_fd, const char *path, int flags, mode_t mode) {
    (void)data, (void)flags, (void)mode;
    const struct handle *dir = handle_of(dir_fd);
    int fd = 0;
    memory_calls++;
    while (fd < HANDLES && handles[fd].kind != UNUSED)
        fd++;
    if (fd == HANDLES)
        return refuse(EMFILE);
    struct handle *h = &handles[fd];
    if (!dir) {
        if (strcmp(path, MEMORY_ROOT) != 0)
            return refuse(ENOENT);
        h->kind = ROOT;
        h->at = 0;
        return FD_ROOT + fd;
    }
    int r = find_from(h, dir, path);
    if (r < 0) {
        h->kind = UNUSED;
        return refuse(-r);
    }
    return FD_ROOT + fd;
}

static int memory_close(void *data, int fd) {
    (void)data;
    struct handle *h = handle_of(fd);
    memory_calls++;
    if (!h)
        return refuse(EBADF);
    h->kind = UNUSED;
    return 0;
}

static ssize_t memory_read(void *data, int fd, void *to, size_t len) {
    (void)data;
    struct handle *h = handle_of(fd);
    memory_calls++;
    if (!h || h->kind != RECORD)
        return refuse(EBADF);
    size_t left = h->len - h->offset;
    if (len > left)
        len = left;
    memcpy(to, h->text + h->offset, len);
    h->offset += len;
    return (ssize_t)len;
}

static ssize_t memory_write(void *data, int fd, const void *from, size_t len) {
    (void)data, (void)fd, (void)from, (void)len;
    return refuse(EROFS);
}

struct entry {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[21];
};

static ssize_t memory_getdents(void *data, int fd, void *to, size_t len) {
    (void)data;
    struct handle *h = handle_of(fd);
    size_t used = 0;
    memory_calls++;
    if (!h || (h->kind != ROOT && h->kind != FDS && h->kind != TASKS))
        return refuse(EBADF);
    uint32_t end = h->kind == ROOT ? tree.processes : h->kind == FDS ? tree.fds : tree.threads;
    uint32_t first = h->kind == ROOT ? CONTENT_FIRST_PID : h->kind == FDS ? 0 : h->pid;
    for (; h->at < end && len - used >= 40; h->at++) {
        struct entry entry = {.inode = UINT64_C(1000000) + h->at, .length = 40};
        char digits[12];
        size_t at = sizeof(digits);
        uint32_t value = first + h->at;
        digits[--at] = '\0';
        do
            digits[--at] = (char)('0' + value % 10);
        while ((value /= 10) != 0);
        memcpy(entry.name, digits + at, sizeof(digits) - at);
        memcpy((char *)to + used, &entry, sizeof(entry));
        used += entry.length;
    }
    return (ssize_t)used;
}

static off_t memory_rewind(void *data, int fd) {
    (void)data;
    struct handle *h = handle_of(fd);
    if (!h)
        return refuse(EBADF);
    h->at = 0;
    return 0;
}

static ssize_t memory_readlinkat(void *data, int dir_fd, const char *path, char *to, size_t len) {
    (void)data, (void)dir_fd, (void)path;
    static const char exe[] = "/usr/lib/app/bin/server";
    memory_calls++;
    if (len > sizeof(exe) - 1)
        len = sizeof(exe) - 1;
    memcpy(to, exe, len);
    return (ssize_t)len;
}

static int memory_fstatat(void *data, int dir_fd, const char *path, struct stat *ret, int flags) {
    (void)data, (void)flags, (void)dir_fd;
    memory_calls++;
    if (strcmp(path, "fd/0") == 0 && tree.fds == 0)
        return refuse(ENOENT);
    memset(ret, 0, sizeof(*ret));
    return 0;
}

static int memory_fsync(void *data, int fd) {
    (void)data, (void)fd;
    return 0;
}

static int memory_rename(void *data, const char *from, const char *to) {
    (void)data, (void)from, (void)to;
    return refuse(EROFS);
}

static int memory_unlink(void *data, const char *path) {
    (void)data, (void)path;
    return refuse(EROFS);
}

static uint64_t memory_clock_ns(void *data, clockid_t clock) {
    (void)data;
    return clock == CLOCK_REALTIME ? UINT64_C(1700000000) * 1000000000 + now_ns : now_ns;
}

const struct io memory_io = {
    .openat = memory_openat,
    .close = memory_close,
    .read = memory_read,
    .write = memory_write,
    .getdents = memory_getdents,
    .rewind = memory_rewind,
    .readlinkat = memory_readlinkat,
    .fstatat = memory_fstatat,
    .fsync = memory_fsync,
    .rename = memory_rename,
    .unlink = memory_unlink,
    .clock_ns = memory_clock_ns,
};
