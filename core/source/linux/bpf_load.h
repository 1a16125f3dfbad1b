/* SPDX-License-Identifier: MIT */
/*
 * Loading the BPF programs: which of them this kernel can run, how large their maps are,
 * what they attach to, and why it failed.
 */
#ifndef BPF_LOAD_H
#define BPF_LOAD_H

#include "base/io.h"
#include "proctally.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* of bpf_skeleton.h */
struct proctally_bpf;
struct proctally_bpf__data;
struct proctally_bpf__bss;

/* What rules and group-by need to know about processes that end before they are listed. */
struct bpf_wants {
    bool program; /* the file that was executed */
    bool args;    /* and its arguments */
    bool user, cgroup;
    unsigned ancestor; /* enum want_ancestor */
    bool traffic;
    bool terminal; /* in listings */
    bool thread_names; /* in listings */
    bool each_end; /* of what ends unlisted each by itself */
    bool endings;  /* how processes end */
    bool memory_details; /* in listings */
    uint32_t max_processes;
    /* How far CLOCK_BOOTTIME is ahead of the kernel's own time, in this time namespace. */
    int64_t boot_offset_ns;
};

/* The maps that are read, or mapped. */
enum map_id {
    MAP_PROCESSES,
    MAP_SLOTS,
    MAP_DYING,
    MAP_ENDED,
    MAP_UNLISTED,
    MAP_UNLISTED_REST,
    MAP_PROGRAMS,
    MAP_ANCESTORS,
    MAP_CGROUPS,
    MAP_THREAD_ENDS,
    MAP_DATA, /* global variables */
    MAP_BSS,
    MAP_FOUND, /* the last ones not always: these three where the kernel can do surveys, … */
    MAP_ANSWERS,
    MAP_NAMED,
    MAP_TRAFFIC_PLACES, /* … this with traffic */
    MAPS
};
#define MAPS_ALWAYS ((size_t)MAP_FOUND)
struct map_shape {
    const char *name; /* by which it is pinned */
    size_t key_size, value_size;
};
extern const struct map_shape map_shapes[MAPS];

/* Handles to the programs and maps in the kernel. */
struct bpf_handles {
    struct proctally_bpf *skeleton; /* owns the rest; NULL: adopted from where it was pinned, or
                                     * kept by bpf_keep_handles() */
    int *links;                     /* what keeps the programs attached; NULL: skeleton, or pins */
    size_t link_count;
    int map_fds[MAPS];              /* -1: none */
    int list_fd;                    /* the link of list_tasks */
    int survey_fd, show_fd;         /* the programs; -1: none */
    struct answer *answers;         /* ASKED_MOST; NULL: there can be no surveys */
    const struct record_named_thread *named; /* NAMED_MOST; NULL: none of threads by name */
    const struct found *found;      /* what the last one has found, as far as it is mapped */
    size_t found_mapped;
    uint32_t found_most; /* there is room for */
    struct proctally_bpf__data *data;
    struct proctally_bpf__bss *bss;
    int64_t boot_offset_ns;        /* as wanted */
    struct traffic_place *places;  /* of both sides */
    size_t place_count;            /* 0: traffic is not counted */
    bool sees_traffic;
    struct tally_error no_traffic; /* why not */
    bool misses_old_sockets;       /* of those made before the programs none is seen; if new */
    bool is_adopted;               /* from where it was pinned */
};
void bpf_handles_reset(struct bpf_handles *h);

/* Loads and attaches the programs, with traffic if that is possible. To be called between
 * bpf_log_begin() and bpf_log_end(). Destroying the skeleton unloads them. -errno, and perhaps
 * a warning of libbpf in why; see bpf_explain(). */
int bpf_load(struct bpf_handles *h, const struct bpf_wants *wants, bool will_be_pinned,
             struct tally_error *why);
/* Afterwards they are owned by h alone, and the skeleton is gone with all that libbpf keeps of
 * the programs, half a megabyte. Where that fails they stay as they are. */
void bpf_keep_handles(struct bpf_handles *h);
/* Gives back to the kernel what was freed. Loading takes 13 MB, and once malloc() has had pieces
 * of that size it keeps what is freed later, up to twice as much. */
void bpf_give_memory_back(void);
/* Closes what was adopted or kept. */
void bpf_close_handles(struct bpf_handles *h);
/* The map's one value, to be read and written. NULL: out of memory. */
void *bpf_map_memory(int fd, enum map_id map);
/* Makes surveys possible, if the descriptors of their programs and maps are there. */
void bpf_map_survey(struct bpf_handles *h, bool names_threads);
void bpf_unmap_survey(struct bpf_handles *h);
/* The places where traffic is counted, if there are any. -errno. */
int bpf_map_places(struct bpf_handles *h);
void bpf_unmap_places(struct bpf_handles *h);
/* What a survey has found, so many that there was room. Only they are mapped, or little more:
 * mapped pages count as resident. NULL: out of memory. */
const struct found *bpf_found(struct bpf_handles *h, size_t count);
/* What the programs record from now on. */
void bpf_set_wants(struct proctally_bpf__bss *bss, const struct bpf_wants *wants);

/* Makes one sentence for the user of what loading returned, and libbpf said. */
void bpf_explain(const struct io *io, int error, struct tally_error *why);

/* Now, since boot, by the kernel's own time. */
uint64_t boot_ns(int64_t boot_offset_ns);

/* By its own word: what a vendor has added to an older one is not known. */
bool linux_is_before(unsigned major, unsigned minor);

#endif
