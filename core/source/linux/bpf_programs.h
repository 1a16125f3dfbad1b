/* SPDX-License-Identifier: MIT */
/*
 * Reading from the BPF programs in kernel/, once they are loaded (bpf_load.h) or found
 * pinned (bpf_pins.h): a listing of what is alive, what has ended since the last one, and
 * lookups of who that was.
 */
#ifndef BPF_PROGRAMS_H
#define BPF_PROGRAMS_H

#include "base/buf.h"
#include "source/linux/bpf_load.h"
#include "source/linux/kernel/shared.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bpf_programs;

/* Loads and attaches the programs. -errno, and perhaps why; see bpf_explain(). The kernel
 * removes them when this process ends, however it does, unless they are pinned at pin_dir
 * (NULL: they are not). If they are pinned there already, they are used as they are. */
int bpf_programs_open(const struct bpf_wants *wants, const char *pin_dir, struct bpf_programs **ret,
                      struct tally_error *why);
/* Were they loaded now, so that they know of nothing that was over before? */
bool bpf_programs_are_new(const struct bpf_programs *p);
/* Is traffic counted? If it is not although it was asked for, why_not says why. */
bool bpf_programs_see_traffic(const struct bpf_programs *p, struct tally_error *why_not);
/* … but not that of sockets that are older than the programs, if these were loaded now? */
bool bpf_programs_miss_old_sockets(const struct bpf_programs *p);
struct bpf_programs *bpf_programs_free(struct bpf_programs *p);

/* Receives the listing: a sequence of records, valid until the next round. Is called again with
 * the same listing if this round fails after it. -errno: the round fails. */
typedef int bpf_use_listing(void *data, struct buf *listing);

/* One round: takes what has ended of what was listed before, lists what is alive, and takes
 * what was used unlisted. Exits that the kernel has not reported are synthesized first, with
 * the usage that is known.
 * in_full: the listing shows also processes that have not run since the last one.
 * memory_moves: since the round before the kernel may have taken memory from processes that
 * sleep, or given them some.
 * If this round resumes the listing of a failed one, both hold for the next listing.
 * -errno: nothing is lost. The next round keeps what this one took, and resumes its listing. */
int bpf_programs_round(struct bpf_programs *p, bool in_full, bool memory_moves,
                       bpf_use_listing *use, void *data);

struct bpf_ended {
    struct process_key key;
    struct ended value;
};
/* The next item of what was taken; NULL: no more. Valid until the next round. What was not
 * fetched by then, because a collection failed, is returned after it. */
const struct bpf_ended *bpf_programs_next_ended(struct bpf_programs *p);
const struct unlisted *bpf_programs_next_unlisted(struct bpf_programs *p);

/* What threads have used that have ended, of processes that are alive or among the ended. */
struct bpf_thread_end {
    struct thread_end_key key;
    struct usage usage;
    bool is_used; /* to be set: it is not to be told of again */
};
/* Those taken that are not used, also in rounds before. Valid until the next round. */
struct bpf_thread_end *bpf_programs_thread_ends(struct bpf_programs *p, size_t *ret_count);
/* Those that there was no room for, and of which nothing is known, so far. */
uint64_t bpf_programs_thread_ends_lost(const struct bpf_programs *p);

/* What a key in an identity or a record stands for. -ENOENT: it has been evicted. */
int bpf_programs_program(struct bpf_programs *p, uint64_t key, struct program *ret);
int bpf_programs_ancestor(struct bpf_programs *p, uint64_t key, struct bpf_identity *ret);
int bpf_programs_cgroup(struct bpf_programs *p, uint64_t id, struct cgroup_path *ret);
/* What this kernel was built without: 1 << enum usage_kind, LACKS_CGROUPS. Known after the
 * first round. */
uint64_t bpf_programs_lacks(const struct bpf_programs *p);
/* Events lost since bpf_programs_open(); of pinned programs, since the last reader looked. */
uint64_t bpf_programs_lost(struct bpf_programs *p);

#endif
