/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What the chapters share: global variables, maps and scratch space. life.bpf.c defines
 * them, the others see them as extern; bpftool links the chapters into one object.
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

/* What rules and group-by need. Set before loading, and again when they change. */
SHARED __u32 want_program;
SHARED __u32 want_args; /* of the program; they may hold secrets, so only if a rule needs them */
SHARED __u32 want_user;
SHARED __u32 want_cgroup;
SHARED __u32 want_ancestor; /* enum want_ancestor */
/* Terminals in listings; and each process that ended unlisted by itself: so many at most
 * between two listings, which `unlisted` has room for besides what it holds by identity. */
SHARED __u32 want_terminal, want_each_end, max_each_ends, each_ends;
/* How processes end; and struct record_detailed in listings. */
SHARED __u32 want_endings, want_memory_details;
/* The next listing shows every process in full, also those that have not run. */
SHARED __u32 list_in_full INITIALLY(1);
/* More tasks than that a survey does not go over, as it can't be interrupted. */
SHARED __u32 surveyed_most INITIALLY(SURVEYED_MOST);
/* When it began, since boot, and how many seconds after the one before. */
SHARED __u64 list_ns;
SHARED __u32 list_s, since_s;
/* … in seconds, the last one that began after the kernel had taken memory from processes, or
 * given them some. */
SHARED __u32 moved_s;
/* How many processes the last survey has found; how many are asked about, and then how many were
 * answered for. */
SHARED __u32 found_count, asked_count;
/* Of `slots`, less 1: a power of two, less 1. */
SHARED __u32 slot_mask;
/* BPF_FORMAT of the process that loaded the programs. Another one looks here first, so it
 * stays where it is. */
SHARED __u32 format;
/* Events that were lost, because a map was full or the kernel dropped them. */
SHARED __u64 lost_events;
/* Added to the map `programs` since the last listing, and the limit for that. */
SHARED __u32 new_programs, max_new_programs;
/* How often the sides of `unlisted` and the like were switched. The lowest bit says which one to
 * add to. */
SHARED __u32 unlisted_round;
/* Of each side of `traffic_places`, less 1: a power of two, less 1. */
SHARED __u32 place_mask;
/* Was anything added to a map, or to a side of it, since the reader last went through it? To go
 * through a map that is empty takes up to 80 µs. */
SHARED __u32 dying_is_used, unlisted_is_used[2], unlisted_rest_is_used[2];
SHARED __u32 adding[ADDING_SLOTS][ADDING_STRIDE];
/* How many were ever added to `ended`. */
SHARED __u64 ended_count;
/* … and to `thread_ends`; and threads that it had no room for. */
SHARED __u64 thread_end_count, thread_ends_lost;
/* How many of lost_events readers have already reported. */
SHARED __u64 lost_reported;
/* The kernel has tracepoints for sending and receiving (since Linux 6.3), so the owner of
 * an accepted connection is seen. */
SHARED __u32 sees_owners;
/* What started before this, since boot, can have been listed. While a listing is being made
 * that is everything. */
SHARED __u64 listed_until_ns;
/* How many there can be, numbered from 0. Constant, so that the verifier goes through loops over
 * them as often as there are some, and not as there might be. */
SHARED const volatile __u32 cpus;
/* One more than the highest number of those that are online. Only these keep pages to themselves:
 * when one goes offline, what it kept is added to what all have. Many hypervisors announce a
 * hundred that never come. */
SHARED __u32 cpus_end;
/* Threads are told by name, or may be by a later reader of what is pinned: then
 * want_thread_names says whether. */
SHARED const volatile __u32 may_name_threads;
/* What this kernel was built without: 1 << enum usage_kind, LACKS_CGROUPS, LACKS_OOM_MARK.
 * Known after the first listing. */
SHARED __u64 lacks;
/* How many links are pinned; 0: pinning has not finished. */
SHARED __u32 pinned_links;
/* When the programs were attached, since boot; 0: not yet. */
SHARED __u64 attached_ns;
/* Threads that are gone without on_free having been called. If there are any, list_tasks
 * synthesizes their exits instead of listing: user space can't, since it could not update
 * entries atomically. */
SHARED __u32 lost_exit_count, lost_exits[LOST_EXITS_MAX];
/* Was one with such a pid ever in the map `processes`? It is large, and few of its lines are in a
 * cache: a fork is not to look there for nothing. */
#define PID_HASHES 32768
SHARED __u8 may_be_in_processes[PID_HASHES];
/* Threads in listings have their names, main threads too. Set as what rules need. */
SHARED __u32 want_thread_names;

SHARED struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 65536);
    __type(key, __u32); /* pid */
    __type(value, struct process_entry);
} processes SEC(".maps");

/* Of processes that have started since the programs were attached, as many as there is room
 * for; all others are in `processes`. These are allocated beforehand, which makes short processes
 * cheaper by a third; to do that for as many as there may ever be would take up 40 MB. */
SHARED struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 2048);
    __type(key, __u32); /* pid */
    __type(value, struct process_entry);
} recent_processes SEC(".maps");

SHARED struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 65536);
    __type(key, __u32);
    __type(value, struct slot);
} slots SEC(".maps");

/* Threads between on_exit and on_free. Those that stay here show that on_free was never
 * called: the kernel drops an event where handling it could recurse, and not only there.
 * Allocated beforehand, as those come in bursts, of all that ended in an RCU period. */
SHARED struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 4096);
    __type(key, __u32); /* tid */
    __type(value, struct dying_thread);
} dying SEC(".maps");

SHARED struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 65536);
    __type(key, struct process_key);
    __type(value, struct ended);
} ended SEC(".maps");

SHARED struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 16384);
    __type(key, __u64); /* hash of the identity, with the side */
    __type(value, struct unlisted);
} unlisted SEC(".maps");

/* What each thread used that has ended, with want_thread_names. Its process has that as well: what
 * has no room here is missing only where threads are told by name. */
SHARED struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 65536);
    __type(key, struct thread_end_key);
    __type(value, struct usage);
} thread_ends SEC(".maps");

/* Takes what `unlisted` has no room for, with less of the identity. */
SHARED struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 4096);
    __type(key, __u64);
    __type(value, struct unlisted);
} unlisted_rest SEC(".maps");

/* LRU: new programs evict the oldest. Between two listings only so many are added
 * (max_new_programs) that those the reader will look up survive. */
SHARED struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 4096);
    __type(key, __u64); /* hash of the program */
    __type(value, struct program);
} programs SEC(".maps");

SHARED struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 16384);
    __type(key, __u64); /* hash of the identity */
    __type(value, struct bpf_identity);
} ancestors SEC(".maps");

SHARED struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 4096);
    __type(key, __u64); /* id of the cgroup */
    __type(value, struct cgroup_path);
} cgroups SEC(".maps");

/* Scratch space for what does not fit on the stack (512 bytes), and for values that the
 * verifier would otherwise track one by one through every branch. One slot for each program
 * that can interrupt another on the same CPU. */
enum scratch_slot {
    SCRATCH_FORK,
    SCRATCH_EXEC,
    SCRATCH_FREE,
    SCRATCH_LIST,
    SCRATCH_MKDIR,
    SCRATCHES
};
struct scratch {
    struct usage now, share;
    struct process_entry entry;
    struct process_entry born; /* in SCRATCH_FORK; what on_fork does not set stays 0 */
    struct unlisted unlisted;
    struct shown shown;
    struct program program;
    __u64 program_key;
    struct cgroup_path cgroup;
    struct dying_thread dying;
    struct ended ended;
    struct {
        __s64 counts[NR_MM_COUNTERS];
        __u64 of_cpus[NR_MM_COUNTERS]; /* per-CPU pointers */
        __s32 part[NR_MM_COUNTERS];
    } pages;
    struct {
        __u64 bits; /* pointer to the bitmap */
        __u32 size, count;
    } fds;
    /* Pointers turn into numbers where they are written and read again. */
    struct {
        __u64 parent, cgroups;
    } as_numbers;
};
SHARED struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, SCRATCHES);
    __type(key, __u32);
    __type(value, struct scratch);
} scratches SEC(".maps");

static __always_inline struct scratch *scratch_for(__u32 slot) {
    return bpf_map_lookup_elem(&scratches, &slot);
}

/* memset() would be unrolled, or called, and BPF has no such function; barrier() keeps the
 * compiler from turning this loop back into it. */
static __always_inline void zero(void *data, __u32 size) {
    __u64 *words = data;
    for (__u32 i = 0; i < size / 8; i++) {
        words[i] = 0;
        barrier();
    }
}

static __always_inline struct slot *slot_of(__u32 pid) {
    __u32 index = pid & slot_mask;
    return bpf_map_lookup_elem(&slots, &index);
}

/* What the key of an item in `unlisted` or `unlisted_rest` is to have: UNLISTED_SIDE or 0. */
static __always_inline __u64 unlisted_side(void) {
    return side_of_round(unlisted_round);
}

/* After adding to what it is about: the reader takes the mark away before it looks. */
static __always_inline void mark_used(__u32 *is_used) {
    if (!*(volatile __u32 *)is_used)
        *(volatile __u32 *)is_used = 1;
}

/* Of a map with sides, that of the key. */
static __always_inline void mark_side_used(__u32 is_used[2], __u64 key) {
    mark_used(&is_used[key & UNLISTED_SIDE ? 1 : 0]);
}

static __always_inline bool names_threads(void) {
    return may_name_threads && want_thread_names;
}

static __always_inline void count_lost_event(void) {
    __sync_fetch_and_add(&lost_events, 1);
}

/* Before looking for an item to add to. For end_adding(). */
static __always_inline __u32 *begin_adding(void) {
    __u32 *count = &adding[bpf_get_smp_processor_id() % ADDING_SLOTS][0];
    __sync_fetch_and_add(count, 1);
    return count;
}

static __always_inline void end_adding(__u32 *count) {
    __sync_fetch_and_add(count, -1);
}

static __always_inline struct process_entry *find_process(__u32 pid) {
    struct process_entry *e = bpf_map_lookup_elem(&recent_processes, &pid);
    if (e || !may_be_in_processes[pid % PID_HASHES])
        return e;
    return bpf_map_lookup_elem(&processes, &pid);
}

static __always_inline bool is_leader_freed(const struct process_entry *e) {
    return *(const volatile __s64 *)&e->unfreed < LEADER_UNFREED / 2;
}

/* Below 0: it is not there. */
static __always_inline long forget_process(__u32 pid) {
    return bpf_map_delete_elem(&recent_processes, &pid) == 0
               ? 0
               : bpf_map_delete_elem(&processes, &pid);
}

/* Adds the entry of a process that has none; retire_former() has been called. The listing and
 * on_fork may get here at the same time: then the one that was first stays, so both must choose
 * the same map. NULL: it is full. */
static __always_inline struct process_entry *track_process(__u32 pid,
                                                           const struct process_entry *e) {
    if (e->start_ns > attached_ns)
        bpf_map_update_elem(&recent_processes, &pid, e, BPF_NOEXIST);
    struct process_entry *there = bpf_map_lookup_elem(&recent_processes, &pid);
    if (!there) {
        may_be_in_processes[pid % PID_HASHES] = 1;
        bpf_map_update_elem(&processes, &pid, e, BPF_NOEXIST);
        there = bpf_map_lookup_elem(&processes, &pid);
    }
    return there && there->start_ns == e->start_ns ? there : NULL;
}

#endif
