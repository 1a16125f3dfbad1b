/* SPDX-License-Identifier: MIT */
/*
 * The programs in the kernel that bpf.c reads from: asking them, and taking what they
 * gathered. kernel/ is what they do.
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

/* Loads and attaches. -errno, and why in one sentence. Everything is taken away
 * again with the process that loaded it, however that ends, unless it is pinned at
 * pin_dir (NULL: nowhere). What is pinned there already is used. */
int bpf_programs_open(const struct bpf_wants *wants, const char *pin_dir, struct bpf_programs **ret,
                      struct tally_error *why);
/* Is traffic counted? If not although it is wanted, why_not says why. */
bool bpf_programs_see_traffic(const struct bpf_programs *p, struct tally_error *why_not);
struct bpf_programs *bpf_programs_free(struct bpf_programs *p);

/* Is handed the listing: a sequence of records, valid until the next round. Called again with
 * the same one if the round fails and is gone on with. -errno: the round fails. */
typedef int bpf_use_listing(void *data, struct buf *listing);

/* One round: takes the ends of processes that were listed before, lists those there are, and
 * takes what was used unlisted. in_full: those that sleep as well, but not in a listing that
 * a round that failed had begun. Ends that the kernel never told us of are made up for, as
 * far as the figures are known. -errno: what was taken by then is kept. */
int bpf_programs_round(struct bpf_programs *p, bool in_full, bpf_use_listing *use, void *data);

struct bpf_ended {
    struct ended_key key;
    struct ended value;
};
/* The next one of what was taken; NULL: no more. Valid until the next round. What nobody
 * asks for, because the collection failed, is there again after that. */
const struct bpf_ended *bpf_programs_next_ended(struct bpf_programs *p);
const struct unlisted *bpf_programs_next_unlisted(struct bpf_programs *p);

/* -ENOENT: forgotten. */
int bpf_programs_program(struct bpf_programs *p, uint64_t key, struct program *ret);
int bpf_programs_ancestor(struct bpf_programs *p, uint64_t key, struct who *ret);
int bpf_programs_cgroup(struct bpf_programs *p, uint64_t id, struct cgroup_path *ret);
/* Events lost since these were opened, and before that since the last reader. */
uint64_t bpf_programs_lost(struct bpf_programs *p);

#endif
