/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "memproc.h"

#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* No descriptor of the fuzzer itself has such a number. */
#define FIRST_FD 1000000
#define FDS 32
#define FILES 512
#define PROCESSES 64
#define PATH_SIZE 64

struct file {
    char path[PATH_SIZE]; /* "": free */
    uint32_t hash;
    char *data;
    size_t len;
    int error;
};

struct process_of_tree {
    unsigned pid; /* 0: free */
    unsigned fds;
    uint64_t incarnation;
};

struct open_file {
    bool used, directory;
    char path[PATH_SIZE];
    uint64_t incarnation; /* of the process that it is of; 0: of none */
    size_t at;            /* in the file, or in the listing */
};

struct memproc {
    struct io io;
    struct file files[FILES];
    struct process_of_tree processes[PROCESSES];
    struct open_file open[FDS];
    uint64_t incarnations, now_ns;
    size_t read_size;
    char trigger[PATH_SIZE];
    void (*then)(void *);
    void *then_data;
};

/* ---- The tree --------------------------------------------------------------------- */

static unsigned pid_of(const char *path) {
    unsigned long pid = strtoul(path, NULL, 10);
    return path[0] > '0' && path[0] <= '9' && pid <= INT32_MAX ? (unsigned)pid : 0;
}

static struct process_of_tree *find_process(struct memproc *m, unsigned pid) {
    for (size_t i = 0; i < PROCESSES; i++)
        if (m->processes[i].pid == pid)
            return &m->processes[i];
    return NULL;
}

static struct process_of_tree *add_process(struct memproc *m, unsigned pid) {
    struct process_of_tree *p = find_process(m, pid);
    if (p)
        return p;
    p = find_process(m, 0);
    if (p)
        *p = (struct process_of_tree){.pid = pid, .incarnation = ++m->incarnations};
    return p;
}

/* Comparing texts is what a fuzzer watches: not more of it than needed. */
static uint32_t hash_path(const char *path) {
    uint32_t h = 2166136261u;
    for (; *path; path++)
        h = (h ^ (unsigned char)*path) * 16777619u;
    return h;
}

static struct file *find_file(struct memproc *m, const char *path) {
    uint32_t hash = hash_path(path);
    for (size_t i = 0; i < FILES; i++)
        if (m->files[i].hash == hash && m->files[i].path[0] &&
            strcmp(m->files[i].path, path) == 0)
            return &m->files[i];
    return NULL;
}

static struct file *find_free(struct memproc *m) {
    for (size_t i = 0; i < FILES; i++)
        if (!m->files[i].path[0])
            return &m->files[i];
    return NULL;
}

static struct file *add_file(struct memproc *m, const char *path) {
    size_t len = strlen(path);
    if (len == 0 || len >= PATH_SIZE || (pid_of(path) && !add_process(m, pid_of(path))))
        return NULL;
    struct file *f = find_file(m, path);
    if (!f) {
        f = find_free(m);
        if (f) {
            memcpy(f->path, path, len + 1);
            f->hash = hash_path(path);
        }
    }
    return f;
}

bool memproc_put(struct memproc *m, const char *path, const char *data, size_t len) {
    struct file *f = add_file(m, path);
    if (!f)
        return false;
    free(f->data);
    f->data = malloc(len ? len : 1);
    CHECK(f->data, "out of memory");
    if (len)
        memcpy(f->data, data, len);
    f->len = len;
    return true;
}

static void drop_file(struct file *f) {
    free(f->data);
    *f = (struct file){.path = ""};
}

void memproc_remove(struct memproc *m, const char *path) {
    size_t len = strlen(path);
    unsigned pid = pid_of(path);
    if (len == 0)
        return;
    for (size_t i = 0; i < FILES; i++)
        if (m->files[i].path[0] == path[0] && strncmp(m->files[i].path, path, len) == 0 &&
            (m->files[i].path[len] == '\0' || m->files[i].path[len] == '/'))
            drop_file(&m->files[i]);
    struct process_of_tree *p = pid && !strchr(path, '/') ? find_process(m, pid) : NULL;
    if (p)
        p->pid = 0;
}

void memproc_refuse(struct memproc *m, const char *path, int error) {
    struct file *f = add_file(m, path);
    if (f)
        f->error = error;
}

void memproc_set_fds(struct memproc *m, unsigned pid, unsigned count) {
    struct process_of_tree *p = pid ? find_process(m, pid) : NULL;
    if (p)
        p->fds = count;
}

void memproc_set_read_size(struct memproc *m, size_t most) {
    m->read_size = most;
}

void memproc_when_opened(struct memproc *m, const char *path, void (*then)(void *data),
                         void *data) {
    snprintf(m->trigger, sizeof(m->trigger), "%s", path);
    m->then = then;
    m->then_data = data;
}

void memproc_pass_time(struct memproc *m, uint64_t ns) {
    m->now_ns += ns;
}

size_t memproc_processes(const struct memproc *m) {
    size_t count = 0;
    for (size_t i = 0; i < PROCESSES; i++)
        count += m->processes[i].pid != 0;
    return count;
}

size_t memproc_open_files(const struct memproc *m) {
    size_t count = 0;
    for (size_t i = 0; i < FDS; i++)
        count += m->open[i].used;
    return count;
}

/* ---- Calls --------------------------------------------------------------------------- */

static int fail(int error) {
    errno = error;
    return -1;
}

static struct open_file *open_of(struct memproc *m, int fd) {
    CHECK(fd >= FIRST_FD && fd < FIRST_FD + FDS && m->open[fd - FIRST_FD].used,
          "descriptor %d is not open", fd);
    return &m->open[fd - FIRST_FD];
}

/* The path from the root, and the incarnation that the descriptor pins. */
static int resolve(struct memproc *m, int dir_fd, const char *path, char *ret,
                   uint64_t *ret_incarnation) {
    size_t root = strlen(MEMPROC_ROOT);
    int len;
    *ret_incarnation = 0;
    if (dir_fd == AT_FDCWD) {
        if (strncmp(path, MEMPROC_ROOT, root) != 0 || (path[root] && path[root] != '/'))
            return ENOENT;
        path += root + (path[root] == '/');
        len = snprintf(ret, PATH_SIZE, "%s", path);
    } else {
        const struct open_file *dir = open_of(m, dir_fd);
        CHECK(dir->directory, "a path relative to the file %s", dir->path);
        *ret_incarnation = dir->incarnation;
        len = snprintf(ret, PATH_SIZE, "%s%s%s", dir->path, dir->path[0] ? "/" : "", path);
    }
    return len < PATH_SIZE ? 0 : ENAMETOOLONG;
}

/* 0, or what the kernel says of a path below a process that is gone. */
static int look_up(struct memproc *m, const char *path, uint64_t pinned,
                   struct process_of_tree **ret) {
    unsigned pid = pid_of(path);
    *ret = pid ? find_process(m, pid) : NULL;
    if (pid && !*ret)
        return pinned ? ESRCH : ENOENT;
    return pinned && (*ret)->incarnation != pinned ? ESRCH : 0;
}

static int mem_openat(void *data, int dir_fd, const char *path, int flags, mode_t mode) {
    struct memproc *m = data;
    struct process_of_tree *p;
    char whole[PATH_SIZE];
    uint64_t pinned;
    (void)mode;
    int error = resolve(m, dir_fd, path, whole, &pinned);
    if (!error)
        error = look_up(m, whole, pinned, &p);
    if (error)
        return fail(error);
    const struct file *f = whole[0] ? find_file(m, whole) : NULL;
    if (f && f->error)
        return fail(f->error);
    bool directory = flags & O_DIRECTORY;
    if (!directory && (!f || !f->data))
        return fail(ENOENT);
    size_t i = 0;
    while (i < FDS && m->open[i].used)
        i++;
    if (i == FDS)
        return fail(EMFILE);
    m->open[i] = (struct open_file){
        .used = true, .directory = directory, .incarnation = p ? p->incarnation : 0};
    memcpy(m->open[i].path, whole, sizeof(whole));
    if (m->then && strcmp(m->trigger, whole) == 0) {
        void (*then)(void *) = m->then;
        m->then = NULL;
        then(m->then_data);
    }
    return FIRST_FD + (int)i;
}

static int mem_close(void *data, int fd) {
    open_of(data, fd)->used = false;
    return 0;
}

static ssize_t mem_read(void *data, int fd, void *to, size_t len) {
    struct memproc *m = data;
    struct open_file *o = open_of(m, fd);
    struct process_of_tree *p;
    CHECK(!o->directory, "read() of the directory %s", o->path);
    int error = look_up(m, o->path, o->incarnation, &p);
    const struct file *f = error ? NULL : find_file(m, o->path);
    if (error || !f || !f->data)
        return fail(error ? error : ESRCH);
    size_t left = o->at < f->len ? f->len - o->at : 0;
    if (len > left)
        len = left;
    if (m->read_size && len > m->read_size)
        len = m->read_size;
    if (len)
        memcpy(to, f->data + o->at, len);
    o->at += len;
    return (ssize_t)len;
}

static ssize_t mem_write(void *data, int fd, const void *from, size_t len) {
    (void)data, (void)fd, (void)from, (void)len;
    return fail(EROFS);
}

/* One entry of struct linux_dirent64. */
static bool add_entry(char *to, size_t size, size_t *at, const char *name, size_t name_len) {
    struct {
        uint64_t inode;
        int64_t offset;
        uint16_t length;
        uint8_t type;
    } head = {.inode = 1, .offset = 1};
    size_t length = (19 + name_len + 1 + 7) & ~(size_t)7;
    if (size - *at < length)
        return false;
    head.length = (uint16_t)length;
    memset(to + *at, 0, length);
    memcpy(to + *at, &head, 19);
    memcpy(to + *at + 19, name, name_len);
    *at += length;
    return true;
}

/* The n-th name in a directory; false past the last. */
static bool nth_name(struct memproc *m, const struct open_file *o, size_t n, char *ret) {
    size_t dir_len = strlen(o->path);
    unsigned pid = pid_of(o->path);
    const struct process_of_tree *p = pid ? find_process(m, pid) : NULL;
    if (dir_len == 0) {
        if (n >= PROCESSES)
            return false;
        snprintf(ret, PATH_SIZE, "%u", m->processes[n].pid); /* of free ones "0" */
        return true;
    }
    if (dir_len > 3 && strcmp(o->path + dir_len - 3, "/fd") == 0) {
        if (!p || n >= p->fds)
            return false;
        snprintf(ret, PATH_SIZE, "%zu", n);
        return true;
    }
    if (n >= FILES)
        return false;
    const char *path = m->files[n].path;
    ret[0] = '\0';
    if (path[0] == o->path[0] && strncmp(path, o->path, dir_len) == 0 && path[dir_len] == '/') {
        size_t len = strcspn(path + dir_len + 1, "/");
        memcpy(ret, path + dir_len + 1, len);
        ret[len] = '\0';
        /* once, however many files are below it */
        for (size_t i = 0; i < n; i++)
            if (m->files[i].path[0] == path[0] &&
                strncmp(m->files[i].path, path, dir_len + 1 + len) == 0 &&
                m->files[i].path[dir_len + 1 + len] == '/')
                ret[0] = '\0';
    }
    return true;
}

static ssize_t mem_getdents(void *data, int fd, void *to, size_t len) {
    struct memproc *m = data;
    struct open_file *o = open_of(m, fd);
    struct process_of_tree *p;
    char name[PATH_SIZE];
    size_t at = 0;
    CHECK(o->directory, "getdents() of the file %s", o->path);
    if (look_up(m, o->path, o->incarnation, &p))
        return 0; /* a directory of a process that has ended is empty */
    for (; nth_name(m, o, o->at, name); o->at++)
        if (name[0] && !add_entry(to, len, &at, name, strlen(name)))
            break;
    return (ssize_t)at;
}

static off_t mem_rewind(void *data, int fd) {
    open_of(data, fd)->at = 0;
    return 0;
}

static ssize_t mem_readlinkat(void *data, int dir_fd, const char *path, char *to, size_t len) {
    struct memproc *m = data;
    struct process_of_tree *p;
    char whole[PATH_SIZE];
    uint64_t pinned;
    int error = resolve(m, dir_fd, path, whole, &pinned);
    if (!error)
        error = look_up(m, whole, pinned, &p);
    const struct file *f = error ? NULL : find_file(m, whole);
    if (f && f->error)
        error = f->error;
    if (error || !f || !f->data)
        return fail(error == ESRCH || !error ? ENOENT : error);
    if (len > f->len)
        len = f->len;
    if (len)
        memcpy(to, f->data, len);
    return (ssize_t)len;
}

static int mem_fstatat(void *data, int dir_fd, const char *path, struct stat *ret, int flags) {
    struct memproc *m = data;
    struct process_of_tree *p;
    char whole[PATH_SIZE];
    uint64_t pinned;
    if (flags & AT_EMPTY_PATH && !path[0]) {
        *ret = (struct stat){.st_mode = S_IFREG, .st_ino = open_of(m, dir_fd)->incarnation};
        return 0;
    }
    int error = resolve(m, dir_fd, path, whole, &pinned);
    if (!error)
        error = look_up(m, whole, pinned, &p);
    if (error)
        return fail(error);
    const struct file *f = find_file(m, whole);
    size_t len = strlen(whole);
    bool is_fd = len > 5 && strcmp(whole + len - 5, "/fd/0") == 0 && p && p->fds > 0;
    if (f && f->error)
        return fail(f->error);
    if (!f && !is_fd)
        return fail(ENOENT);
    *ret = (struct stat){.st_mode = S_IFREG, .st_ino = p ? p->incarnation : 0};
    return 0;
}

static int mem_fsync(void *data, int fd) {
    (void)data, (void)fd;
    return fail(EROFS);
}

static int mem_rename(void *data, const char *from, const char *to) {
    (void)data, (void)from, (void)to;
    return fail(EROFS);
}

static int mem_unlink(void *data, const char *path) {
    (void)data, (void)path;
    return fail(EROFS);
}

static uint64_t mem_clock_ns(void *data, clockid_t clock) {
    struct memproc *m = data;
    m->now_ns += 1000;
    return clock == CLOCK_REALTIME ? m->now_ns + UINT64_C(1700000000000000000) : m->now_ns;
}

/* ---- Life ----------------------------------------------------------------------------- */

struct memproc *memproc_new(void) {
    struct memproc *m = calloc(1, sizeof(*m));
    CHECK(m, "out of memory");
    m->now_ns = UINT64_C(1000000000000);
    m->io = (struct io){
        .openat = mem_openat,
        .close = mem_close,
        .read = mem_read,
        .write = mem_write,
        .getdents = mem_getdents,
        .rewind = mem_rewind,
        .readlinkat = mem_readlinkat,
        .fstatat = mem_fstatat,
        .fsync = mem_fsync,
        .rename = mem_rename,
        .unlink = mem_unlink,
        .clock_ns = mem_clock_ns,
        .data = m,
    };
    memproc_put(m, "sys/kernel/random/boot_id", MEMPROC_BOOT_ID "\n",
                sizeof(MEMPROC_BOOT_ID));
    memproc_put(m, "sys/kernel/task_delayacct", "1\n", 2);
    memproc_put(m, "stat", "cpu  100 0 0 0\ncpu0 1\ncpu1 1\nbtime 1700000000\n", 46);
    return m;
}

void memproc_free(struct memproc *m) {
    CHECK(memproc_open_files(m) == 0, "%zu descriptors are left open", memproc_open_files(m));
    for (size_t i = 0; i < FILES; i++)
        free(m->files[i].data);
    free(m);
}

const struct io *memproc_io(const struct memproc *m) {
    return &m->io;
}
