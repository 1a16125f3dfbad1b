/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What the chapters have in common: global variables and maps, and room to work in. One
 * chapter defines them, the others refer to these; bpftool links the chapters together.
 */
#ifndef MAPS_BPF_H
#define MAPS_BPF_H

#include "kernel.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "shared.h"

#ifdef DEFINES_SHARED
#define SHARED
#define INITIALLY(value) = value
#else
#define SHARED extern
#define INITIALLY(value)
#endif

/* What rules and group-by ask for. Set before loading, and when they change. */
SHARED __u32 want_program;  /* exe */
SHARED __u32 want_args;     /* with it; secrets are kept only if somebody asks for them */
SHARED __u32 want_user;
SHARED __u32 want_cgroup;
SHARED __u32 want_ancestor;
/* The next listing shows every process in full. */
SHARED __u32 want_all INITIALLY(1);
/* BPF_FORMAT of whoever loaded us. */
SHARED __u32 format;
/* Events that were lost for want of room. */
SHARED __u64 lost;
/* Programs since the last listing, and the most that there may be. */
SHARED __u32 new_programs, most_new_programs;
SHARED __u64 side; /* of unlisted and unlisted_rest, to add to: OTHER_SIDE or 0 */
SHARED __u64 lost_told; /* of these, what a reader has taken notice of */
/* The kernel tells who sends and receives on a socket (Linux 6.3), so that it is
 * known who took a connection over. */
SHARED __u32 sees_users;
/* How many links are pinned; 0: not all of them yet. */
SHARED __u32 pinned_links;
/* When the programs were attached, since boot; 0: not yet. */
SHARED __u64 attached_ns;
/* Threads that are gone although nobody told us. If there are any, list_tasks makes up
 * for these, and lists nothing: a reader can't, as entries change all the time. */
SHARED __u32 missed_count, missed[MISSED_MAX];

SHARED struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 65536);
    __type(key, __u32); /* pid */
    __type(value, struct entry);
} processes SEC(".maps");

/* So that it shows if the event never comes that a task was freed: the kernel drops
 * events where it could recurse, and not only there. */
SHARED struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 65536);
    __type(key, __u32); /* tid */
    __type(value, struct dying);
} dying SEC(".maps");

SHARED struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 65536);
    __type(key, struct ended_key);
    __type(value, struct ended);
} ended SEC(".maps");

SHARED struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 16384);
    __type(key, __u64); /* hash of who */
    __type(value, struct unlisted);
} unlisted SEC(".maps");

/* For what does not fit there. */
SHARED struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 4096);
    __type(key, __u64);
    __type(value, struct unlisted);
} unlisted_rest SEC(".maps");

/* The oldest make place for new ones. But between two listings no more are added than
 * leave room for those that the listing is to be told of. */
SHARED struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 4096);
    __type(key, __u64); /* hash of the program */
    __type(value, struct program);
} programs SEC(".maps");

SHARED struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 16384);
    __type(key, __u64); /* hash of who */
    __type(value, struct who);
} ancestors SEC(".maps");

SHARED struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 4096);
    __type(key, __u64); /* its id */
    __type(value, struct cgroup_path);
} cgroups SEC(".maps");

/* Room for what does not fit on a stack of 512 bytes, and for values that the
 * verifier would else follow one by one through every branch. One item for each program
 * that can interrupt another on the same CPU. */
enum scratch_user { SCRATCH_FORK, SCRATCH_EXEC, SCRATCH_FREE, SCRATCH_LIST, SCRATCH_MKDIR, SCRATCHES };
struct scratch {
    struct usages now, share;
    struct entry entry;
    struct unlisted unlisted;
    struct record_exec exec;
    struct record_process process;
    struct program program;
    __u64 program_key;
    struct cgroup_path cgroup;
    struct dying dying;
};
SHARED struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, SCRATCHES);
    __type(key, __u32);
    __type(value, struct scratch);
} scratches SEC(".maps");

static __always_inline struct scratch *scratch_of(__u32 user) {
    return bpf_map_lookup_elem(&scratches, &user);
}

/* A loop: the compiler would unroll memset(), or call it, and there is none. */
static __always_inline void zero(void *data, __u32 size) {
    __u64 *words = data;
    for (__u32 i = 0; i < size / 8; i++) {
        words[i] = 0;
        barrier();
    }
}

static __always_inline void count_lost(void) {
    __sync_fetch_and_add(&lost, 1);
}

/* The entry of a process that had none yet: this one, unless the listing and on_fork come
 * to it at the same time. NULL: there is no room. */
static __always_inline struct entry *enter(__u32 pid, const struct entry *e) {
    bpf_map_update_elem(&processes, &pid, e, BPF_NOEXIST);
    struct entry *there = bpf_map_lookup_elem(&processes, &pid);
    if (!there || there->start_ns == e->start_ns)
        return there;
    count_lost(); /* the end of one with the same pid was missed */
    bpf_map_update_elem(&processes, &pid, e, BPF_ANY);
    return bpf_map_lookup_elem(&processes, &pid);
}

#endif
