/* SPDX-License-Identifier: MIT */
/*
 * The programs in the kernel that bpf.c reads from: asking them, and taking what they
 * gathered. kernel/ is what they do.
 */
#ifndef BPF_PROGRAMS_H
#define BPF_PROGRAMS_H

#include "source/linux/bpf_load.h"

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "source/linux/kernel/shared.h"

struct bpf_programs;

/* Loads and attaches. -errno, and why in one sentence. Everything is taken away
 * again with the process that loaded it, however that ends, unless it is pinned at
 * pin_dir (NULL: nowhere). What is pinned there already is used. */
int bpf_programs_open(const struct bpf_wants *wants, const char *pin_dir, struct bpf_programs **ret,
                      struct tally_error *why);
/* Is traffic counted? If not although it is wanted, why_not says why. */
bool bpf_programs_see_traffic(const struct bpf_programs *p, struct tally_error *why_not);
struct bpf_programs *bpf_programs_free(struct bpf_programs *p);

/* A descriptor to read the listing from: a sequence of records. -errno. */
int bpf_programs_list(struct bpf_programs *p, bool all_in_full);

struct bpf_ended {
    struct ended_key key;
    struct ended value;
};
/* Takes what has come together since the last time: before a listing the ends of what was
 * listed, after it the rest. The arrays are valid until the next call. *ret is what is
 * left of the last time (nothing at first). Ends that the kernel never told us of are made
 * up for, as far as the figures are known. -errno. */
struct bpf_taken {
    const struct bpf_ended *ended;
    size_t ended_count;
    const struct unlisted *unlisted;
    size_t unlisted_count;
};
int bpf_programs_take(struct bpf_programs *p, struct bpf_taken *ret);

/* After a listing: adds what was used unlisted to what was taken, of which nothing may have
 * been used yet. -errno. */
int bpf_programs_take_unlisted(struct bpf_programs *p, struct bpf_taken *taken);

/* -ENOENT: forgotten. */
int bpf_programs_program(struct bpf_programs *p, uint64_t key, struct program *ret);
int bpf_programs_ancestor(struct bpf_programs *p, uint64_t key, struct who *ret);
int bpf_programs_cgroup(struct bpf_programs *p, uint64_t id, struct cgroup_path *ret);
/* Events lost since these were opened, and before that since the last reader. */
uint64_t bpf_programs_lost(struct bpf_programs *p);

#endif
