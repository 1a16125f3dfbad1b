/* SPDX-License-Identifier: MIT */
/*
 * Puts the programs into the kernel: how large their maps are, what they attach to, and
 * why they can't be had.
 */
#ifndef BPF_LOAD_H
#define BPF_LOAD_H

#include "proctally.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* of bpf_skeleton.h */
struct proctally_bpf;
struct proctally_bpf__data;
struct proctally_bpf__bss;

/* What rules and group-by ask about processes that nobody will have seen. */
struct bpf_wants {
    bool program; /* file */
    bool args;    /* with it */
    bool user, cgroup, ancestor;
    bool traffic;
    uint32_t max_processes;
};

/* The maps that we read. */
enum map_id {
    MAP_PROCESSES,
    MAP_DYING,
    MAP_ENDED,
    MAP_UNLISTED,
    MAP_UNLISTED_REST,
    MAP_PROGRAMS,
    MAP_ANCESTORS,
    MAP_CGROUPS,
    MAP_DATA, /* global variables */
    MAP_BSS,
    MAPS
};
struct map_shape {
    const char *name; /* by which it is pinned */
    size_t key_size, value_size;
};
extern const struct map_shape map_shapes[MAPS];

/* Our hold on what is in the kernel. */
struct bpf_handles {
    struct proctally_bpf *skeleton; /* owns the rest; NULL: it is pinned, and others loaded it */
    int map_fds[MAPS];              /* -1: none */
    int list_fd;                    /* link of list_tasks */
    struct proctally_bpf__data *data;
    struct proctally_bpf__bss *bss;
    bool sees_traffic;
    struct tally_error no_traffic; /* why not */
};
void bpf_handles_reset(struct bpf_handles *h);

/* Loads and attaches the programs, between bpf_log_begin() and bpf_log_end(). They go with
 * the skeleton. -errno, and perhaps why; see bpf_explain(). */
int bpf_load(struct bpf_handles *h, const struct bpf_wants *wants, bool is_to_stay,
             struct tally_error *why);
/* What they are to gather from now on. */
void bpf_set_wants(struct proctally_bpf__bss *bss, const struct bpf_wants *wants);

/* One sentence about an error, if libbpf has not said anything that a user understands. */
void bpf_explain(int error, struct tally_error *why);

/* Now, since boot. */
uint64_t boot_ns(void);

#endif
