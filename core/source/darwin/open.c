/* SPDX-License-Identifier: MIT */
/* What there is to read from on macOS, and what is asked outside of any collection. */
#include "base/error.h"
#include "source/cgroup.h"
#include "source/containers.h"
#include "source/darwin/libproc.h"
#include "source/darwin/parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* There is no proc file system, and so nothing to choose between; but what asks for another
 * source asks for what this has not. */
int source_open(const struct settings *settings, const struct io *io,
                const struct source_needs *needs, struct source **ret, struct tally_error *error,
                struct tally_error *why_not) {
    struct darwin_calls calls;
    (void)needs, (void)why_not;
    if (settings->source != SOURCE_AUTO || settings->pin_dir) {
        error_set(error, "%s%s is not there on macOS; expected source auto%s",
                  settings->source == SOURCE_AUTO ? "" : "source ",
                  settings->source == SOURCE_AUTO ? "what pin is for"
                                                  : source_names[settings->source],
                  settings->pin_dir ? ", without pin" : "");
        return -ENOTSUP;
    }
    int r = darwin_calls_open(&calls);
    if (r == 0)
        r = libproc_new(&calls, io, settings->collect, ret);
    if (r < 0)
        error_set(error, "can't list processes: %s", strerror(-r));
    return r;
}

int tally_unpin(const char *dir, struct tally_error *error) {
    error_set(error, "nothing of proctally can be pinned at %.300s: there is no source bpf on macOS",
              dir);
    return -ENOTSUP;
}

/* ---- What is Linux' own ------------------------------------------------------------------- */

int cgroup_files_new(const struct io *io, const char *procfs, struct cgroup_files **ret) {
    (void)io, (void)procfs;
    *ret = NULL;
    return 0;
}

struct cgroup_files *cgroup_files_free(struct cgroup_files *f) {
    (void)f;
    return NULL;
}

int cgroup_files_read(const struct cgroup_files *f, struct text path, struct cgroup_figures *ret) {
    (void)f, (void)path, (void)ret;
    return -ENOENT;
}

enum cgroup_part cgroup_part_of(enum cgroup_figure figure) {
    (void)figure;
    return CGROUP_MEMORY;
}

int containers_new(const struct io *io, const char *procfs, struct containers **ret) {
    (void)io, (void)procfs;
    *ret = NULL;
    return 0;
}

struct containers *containers_free(struct containers *c) {
    (void)c;
    return NULL;
}

void containers_begin(struct containers *c) {
    (void)c;
}

int containers_name(struct containers *c, struct identity *id) {
    (void)c, (void)id;
    return 0;
}

/* ---- One process -------------------------------------------------------------------------- */

int source_lookup(const struct io *io, const char *root, uint32_t pid, bool with_user,
                  struct sample *ret) {
    struct darwin_calls calls;
    (void)root, (void)with_user;
    int r = darwin_calls_open(&calls);
    return r < 0 ? r : libproc_lookup(&calls, io, pid, ret);
}

/* When it started, as the kernel has it. -ESRCH: there is none. */
static int find_start(const struct darwin_calls *calls, uint32_t pid, uint64_t *ret_us) {
    struct darwin_process *list = NULL;
    size_t room = 1024;
    ssize_t n;
    for (;;) {
        struct darwin_process *more = realloc(list, room * sizeof(*list));
        if (!more) {
            free(list);
            return -ENOMEM;
        }
        list = more;
        n = calls->list(calls->data, list, room);
        if (n < 0 || (size_t)n < room)
            break;
        room *= 2;
    }
    int r = n < 0 ? (int)n : -ESRCH;
    for (ssize_t i = 0; i < n; i++)
        if (list[i].pid == pid) {
            *ret_us = list[i].start_us;
            r = 0;
        }
    free(list);
    return r;
}

static ssize_t read_cmdline(const struct darwin_calls *calls, uint32_t pid, char *to, size_t size) {
    struct darwin_arguments found;
    char *buf = malloc(DARWIN_ARGUMENTS_SIZE);
    if (!buf)
        return -ENOMEM;
    ssize_t n = calls->arguments(calls->data, pid, buf, DARWIN_ARGUMENTS_SIZE);
    int r = n < 0 ? (int)n : darwin_parse_arguments(buf, (size_t)n, &found);
    n = r < 0 ? r : (ssize_t)(found.len < size ? found.len : size);
    if (n > 0)
        memcpy(to, found.at, (size_t)n);
    free(buf);
    return n == -EINVAL ? -EACCES : n;
}

static ssize_t read_exe(const struct darwin_calls *calls, uint32_t pid, char *to, size_t size) {
    char path[4096];
    ssize_t n = calls->path(calls->data, pid, path, sizeof(path));
    n = n > (ssize_t)size ? (ssize_t)size : n;
    if (n > 0)
        memcpy(to, path, (size_t)n);
    return n == -ENOENT ? 0 : n;
}

ssize_t source_process_text(const struct io *io, const char *root, uint32_t pid,
                            uint64_t start_ticks, uint64_t inode, enum tally_process_text which,
                            char *to, size_t size) {
    struct darwin_calls calls;
    uint64_t started_us = 0;
    ssize_t n = 0;
    (void)io, (void)root;
    (void)start_ticks; /* after the clock was set they are made up, and not by this */
    int r = darwin_calls_open(&calls);
    if (r < 0)
        return r;
    switch (which) {
    case TALLY_PROCESS_CMDLINE:
        n = read_cmdline(&calls, pid, to, size);
        break;
    case TALLY_PROCESS_EXE:
        n = read_exe(&calls, pid, to, size);
        break;
    case TALLY_PROCESS_CGROUP: /* there are none */
    case TALLY_PROCESS_UNIT:
    case TALLY_PROCESS_CONTAINER:
        break;
    }
    /* afterwards: if it is still the same, it was then */
    r = find_start(&calls, pid, &started_us);
    calls.free(calls.data);
    if (r < 0 || started_us != inode)
        return r < 0 ? r : -ESRCH;
    return n == -ESRCH ? 0 : n; /* a zombie has none */
}

/* ---- The host ------------------------------------------------------------------------------- */

static void set_memory(struct host_details *to, enum host_memory which, uint64_t bytes) {
    to->memory_bytes[which] = bytes;
    to->memory_known |= 1u << which;
}


void source_host_memory(const struct io *io, const char *root, struct host_details *ret) {
    source_host_details(io, root, ret); /* it is all one call after another */
}

void source_host_details(const struct io *io, const char *root, struct host_details *ret) {
    struct darwin_calls calls;
    struct darwin_memory memory;
    double load[3];
    (void)root;
    *ret = (struct host_details){0}; /* times wrap around: the source tells them */
    ret->uptime_ns = io->clock_ns(io->data, CLOCK_BOOTTIME);
    ret->has_uptime = true;
    ret->has_load = getloadavg(load, 3) == 3;
    for (size_t i = 0; ret->has_load && i < 3; i++)
        ret->load_billionths[i] = (uint64_t)(load[i] * 1e9 + 0.5);
    if (darwin_calls_open(&calls) < 0)
        return;
    if (calls.memory(calls.data, &memory) == 0) {
        set_memory(ret, HOST_MEMORY_TOTAL, memory.total_bytes);
        set_memory(ret, HOST_MEMORY_FREE, memory.free_bytes);
        set_memory(ret, HOST_MEMORY_CACHED, memory.cached_bytes);
        set_memory(ret, HOST_SWAP_TOTAL, memory.swap_total_bytes);
        set_memory(ret, HOST_SWAP_FREE, memory.swap_free_bytes);
    }
    calls.free(calls.data);
}
