/* SPDX-License-Identifier: MIT */
/* The files of control groups, of both versions. Each is opened anew: kept open they would
 * take a dozen descriptors for each control group. */
#define _GNU_SOURCE
#include "source/linux/host_root.h"
#include "source/linux/parse_cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* More than the longest of them has. */
#define FILE_SIZE 4096
#define PATH_SIZE 4096

/* The unified one, and those of version 1 that a controller can be in instead. */
enum hierarchy { UNIFIED, MEMORY_V1, CPU_V1, TASKS_V1, HIERARCHIES };

struct cgroup_files {
    const struct io *io;
    int roots[HIERARCHIES]; /* -1: it is not there, or not needed */
    enum hierarchy where[CGROUP_PARTS];
};

enum cgroup_part cgroup_part_of(enum cgroup_figure figure) {
    switch (figure) {
    case CGROUP_CPU_PERIODS:
    case CGROUP_CPU_THROTTLED_PERIODS:
    case CGROUP_CPU_THROTTLED_NS:
    case CGROUP_CPU_LIMIT:
        return CGROUP_CPU;
    case CGROUP_CPU_SOME_NS:
    case CGROUP_CPU_FULL_NS:
    case CGROUP_MEMORY_SOME_NS:
    case CGROUP_MEMORY_FULL_NS:
    case CGROUP_IO_SOME_NS:
    case CGROUP_IO_FULL_NS:
        return CGROUP_PRESSURE;
    case CGROUP_PIDS:
    case CGROUP_PIDS_LIMIT:
        return CGROUP_TASKS;
    case CGROUP_MEMORY_HIGH:
    case CGROUP_MEMORY_MAX:
    case CGROUP_MEMORY_OOM:
    case CGROUP_MEMORY_OOM_KILL:
    case CGROUP_MEMORY_BYTES:
    case CGROUP_SWAP_BYTES:
    case CGROUP_MEMORY_PEAK_BYTES:
    case CGROUP_MEMORY_LIMIT_BYTES:
    case CGROUP_FIGURES:
        break;
    }
    return CGROUP_MEMORY;
}

/* ---- Where they are -------------------------------------------------------------------------- */

/* -1: there is no such directory. */
static int open_root(const struct io *io, const char *procfs, const char *name) {
    char path[PATH_SIZE];
    if (host_path(procfs, name, path, sizeof(path)) < 0)
        return -1;
    return io->openat(io->data, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
}

/* On hosts that use both versions the unified hierarchy stands beside the others. */
static int open_unified(const struct io *io, const char *procfs) {
    static const char *const names[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct stat st;
        int fd = open_root(io, procfs, names[i]);
        if (fd >= 0 && io->fstatat(io->data, fd, "cgroup.controllers", &st, 0) == 0)
            return fd;
        if (fd >= 0)
            io->close(io->data, fd);
    }
    return -1;
}

static int open_v1(const struct io *io, const char *procfs, enum hierarchy hierarchy) {
    static const char *const names[HIERARCHIES][3] = {
        [MEMORY_V1] = {"/sys/fs/cgroup/memory"},
        [CPU_V1] = {"/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/cpu",
                    "/sys/fs/cgroup/cpuacct,cpu"},
        [TASKS_V1] = {"/sys/fs/cgroup/pids"},
    };
    int fd = -1;
    for (size_t i = 0; fd < 0 && i < 3 && names[hierarchy][i]; i++)
        fd = open_root(io, procfs, names[hierarchy][i]);
    return fd;
}

/* Is the word among those of the text? */
static bool has_word(const char *text, const char *word) {
    const size_t len = strlen(word);
    for (const char *at = text; (at = strstr(at, word)); at += len)
        if ((at == text || at[-1] == ' ') && strchr(" \n", at[len]))
            return true;
    return false;
}

/* A controller is in the unified hierarchy or in one of its own, never in both. */
static void find_controllers(struct cgroup_files *f, const char *procfs) {
    static const struct {
        enum cgroup_part part;
        const char *controller;
        enum hierarchy v1;
    } parts[] = {{CGROUP_MEMORY, "memory", MEMORY_V1},
                 {CGROUP_CPU, "cpu", CPU_V1},
                 {CGROUP_TASKS, "pids", TASKS_V1}};
    char unified[FILE_SIZE];
    ssize_t n = f->roots[UNIFIED] < 0 ? -1
                                      : io_read_file(f->io, f->roots[UNIFIED], "cgroup.controllers",
                                                     unified, sizeof(unified) - 1, NULL);
    unified[n > 0 ? n : 0] = '\0';
    f->where[CGROUP_PRESSURE] = UNIFIED; /* of no controller, and there alone */
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        f->where[parts[i].part] = parts[i].v1;
        if (has_word(unified, parts[i].controller))
            f->where[parts[i].part] = UNIFIED;
        else
            f->roots[parts[i].v1] = open_v1(f->io, procfs, parts[i].v1);
    }
}

int cgroup_files_new(const struct io *io, const char *procfs, struct cgroup_files **ret) {
    struct cgroup_files *f = calloc(1, sizeof(*f));
    if (!f)
        return -ENOMEM;
    f->io = io;
    for (enum hierarchy h = 0; h < HIERARCHIES; h++)
        f->roots[h] = -1;
    f->roots[UNIFIED] = open_unified(io, procfs);
    find_controllers(f, procfs);
    *ret = f;
    return 0;
}

struct cgroup_files *cgroup_files_free(struct cgroup_files *f) {
    for (enum hierarchy h = 0; f && h < HIERARCHIES; h++)
        if (f->roots[h] >= 0)
            f->io->close(f->io->data, f->roots[h]);
    free(f);
    return NULL;
}

/* ---- One control group ------------------------------------------------------------------------- */

static const struct file {
    enum hierarchy hierarchy;
    enum cgroup_part part;
    const char *name;
    /* one of them: of a file with several figures, and with a single one */
    int (*parse)(const char *buf, size_t len, struct cgroup_figures *ret);
    int (*parse_one)(const char *buf, size_t len, uint64_t *ret);
    enum cgroup_figure figure;
} files[] = {
    {UNIFIED, CGROUP_MEMORY, "memory.current", NULL, parse_cgroup_number, CGROUP_MEMORY_BYTES},
    {UNIFIED, CGROUP_MEMORY, "memory.peak", NULL, parse_cgroup_number, CGROUP_MEMORY_PEAK_BYTES},
    {UNIFIED, CGROUP_MEMORY, "memory.max", NULL, parse_cgroup_number, CGROUP_MEMORY_LIMIT_BYTES},
    {UNIFIED, CGROUP_MEMORY, "memory.swap.current", NULL, parse_cgroup_number, CGROUP_SWAP_BYTES},
    {UNIFIED, CGROUP_MEMORY, "memory.events", parse_memory_events, NULL, 0},
    {UNIFIED, CGROUP_CPU, "cpu.max", NULL, parse_cpu_max, CGROUP_CPU_LIMIT},
    {UNIFIED, CGROUP_CPU, "cpu.stat", parse_cpu_stat, NULL, 0},
    {UNIFIED, CGROUP_TASKS, "pids.current", NULL, parse_cgroup_number, CGROUP_PIDS},
    {UNIFIED, CGROUP_TASKS, "pids.max", NULL, parse_cgroup_number, CGROUP_PIDS_LIMIT},
    {UNIFIED, CGROUP_PRESSURE, "cpu.pressure", parse_cpu_pressure, NULL, 0},
    {UNIFIED, CGROUP_PRESSURE, "memory.pressure", parse_memory_pressure, NULL, 0},
    {UNIFIED, CGROUP_PRESSURE, "io.pressure", parse_io_pressure, NULL, 0},

    /* what is swapped out is told only in memory.stat there, which is costly to read */
    {MEMORY_V1, CGROUP_MEMORY, "memory.usage_in_bytes", NULL, parse_cgroup_number,
     CGROUP_MEMORY_BYTES},
    {MEMORY_V1, CGROUP_MEMORY, "memory.max_usage_in_bytes", NULL, parse_cgroup_number,
     CGROUP_MEMORY_PEAK_BYTES},
    {MEMORY_V1, CGROUP_MEMORY, "memory.limit_in_bytes", NULL, parse_cgroup_number,
     CGROUP_MEMORY_LIMIT_BYTES},
    {MEMORY_V1, CGROUP_MEMORY, "memory.failcnt", NULL, parse_cgroup_number, CGROUP_MEMORY_MAX},
    {MEMORY_V1, CGROUP_MEMORY, "memory.oom_control", parse_memory_events, NULL, 0},
    {CPU_V1, CGROUP_CPU, "cpu.stat", parse_cpu_stat, NULL, 0},
    {TASKS_V1, CGROUP_TASKS, "pids.current", NULL, parse_cgroup_number, CGROUP_PIDS},
    {TASKS_V1, CGROUP_TASKS, "pids.max", NULL, parse_cgroup_number, CGROUP_PIDS_LIMIT},
};

static void read_file(const struct io *io, int dir, const struct file *file,
                      struct cgroup_figures *ret) {
    char text[FILE_SIZE];
    uint64_t value;
    ssize_t n = io_read_file(io, dir, file->name, text, sizeof(text), NULL);
    if (n <= 0)
        return;
    if (file->parse)
        (void)file->parse(text, (size_t)n, ret); /* what can't be understood is absent */
    else if (file->parse_one(text, (size_t)n, &value) == 0 && value != UINT64_MAX)
        cgroup_set(ret, file->figure, value);
}

static uint64_t read_number(const struct io *io, int dir, const char *name) {
    char text[64];
    uint64_t value;
    ssize_t n = io_read_file(io, dir, name, text, sizeof(text), NULL);
    return n > 0 && parse_cgroup_number(text, (size_t)n, &value) == 0 ? value : UINT64_MAX;
}

/* Version 1 has the limit of CPU time in two files. */
static void read_cpu_limit_v1(const struct io *io, int dir, struct cgroup_figures *ret) {
    const uint64_t quota_us = read_number(io, dir, "cpu.cfs_quota_us");
    if (quota_us == UINT64_MAX)
        return;
    const uint64_t limit = cpu_limit(quota_us, read_number(io, dir, "cpu.cfs_period_us"));
    if (limit != UINT64_MAX)
        cgroup_set(ret, CGROUP_CPU_LIMIT, limit);
}

/* From another control group namespace paths can begin with "/..": that is outside of what
 * is mounted here. */
static bool is_below_root(struct text path) {
    if (path.len < 2 || path.len >= PATH_SIZE || path.at[0] != '/')
        return false;
    for (size_t at = 0; at + 2 < path.len; at++)
        if (memcmp(path.at + at, "/..", 3) == 0 && (at + 3 == path.len || path.at[at + 3] == '/'))
            return false;
    return true;
}

/* Its directories; negative: why there is none. Returns 0 if there is one at all. */
static int open_dirs(const struct cgroup_files *f, const char *path, int dirs[HIERARCHIES]) {
    int r = -ENOENT;
    for (enum hierarchy h = 0; h < HIERARCHIES; h++) {
        dirs[h] = -ENOENT;
        if (f->roots[h] < 0)
            continue;
        dirs[h] = f->io->openat(f->io->data, f->roots[h], path,
                                O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
        if (dirs[h] < 0)
            dirs[h] = -errno;
        if (dirs[h] >= 0)
            r = 0;
        else if (r < 0 && dirs[h] != -ENOENT)
            r = dirs[h];
    }
    return r;
}

static void tell_births(const struct cgroup_files *f, const int dirs[HIERARCHIES],
                        struct cgroup_figures *ret) {
    struct stat st;
    for (enum hierarchy h = 0; h < HIERARCHIES; h++) {
        if (dirs[h] < 0 || f->io->fstatat(f->io->data, dirs[h], "", &st, AT_EMPTY_PATH) < 0)
            continue;
        for (enum cgroup_part part = 0; part < CGROUP_PARTS; part++)
            if (f->where[part] == h) {
                ret->inode[part] = st.st_ino;
                ret->made_unix_ns[part] =
                    (uint64_t)st.st_mtim.tv_sec * NS_PER_S + (uint64_t)st.st_mtim.tv_nsec;
            }
    }
}

int cgroup_files_read(const struct cgroup_files *f, struct text path, struct cgroup_figures *ret) {
    char relative[PATH_SIZE];
    int dirs[HIERARCHIES];
    if (!is_below_root(path))
        return -ENOENT;
    memcpy(relative, path.at + 1, path.len - 1);
    relative[path.len - 1] = '\0';
    int r = open_dirs(f, relative, dirs);
    if (r < 0)
        return r;
    struct cgroup_figures figures = {0};
    tell_births(f, dirs, &figures);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        if (dirs[files[i].hierarchy] >= 0 && f->where[files[i].part] == files[i].hierarchy)
            read_file(f->io, dirs[files[i].hierarchy], &files[i], &figures);
    if (dirs[CPU_V1] >= 0)
        read_cpu_limit_v1(f->io, dirs[CPU_V1], &figures);
    for (enum hierarchy h = 0; h < HIERARCHIES; h++)
        if (dirs[h] >= 0)
            f->io->close(f->io->data, dirs[h]);
    *ret = figures;
    return 0;
}
