/* SPDX-License-Identifier: MIT */
/*
 * A listing of what is alive, as a sequence of records (kernel/shared.h), by ascending pid. It
 * is made by a survey of all tasks and questions about those that are awake, where the kernel
 * has what that takes (kernel/survey.bpf.c); else by an iterator.
 */
#ifndef BPF_LISTING_H
#define BPF_LISTING_H

#include "base/buf.h"
#include "source/linux/bpf_load.h"
#include "source/linux/kernel/shared.h"

#include <stdbool.h>
#include <stddef.h>

struct bpf_listing {
    struct buf records;
    bool is_begun; /* … and has not ended */
    bool is_survey, is_surveyed; /* it is to be made by a survey, which has been made */
    int fd;        /* of the iterator that is being read; -1: none */
    /* What the survey has found, by ascending pid, and how many of them are in `records`. */
    struct found *found, *sorting;
    size_t found_count, found_size, sorting_size, done;
    unsigned skip; /* so many listings make no survey: there are too many tasks */
};

void bpf_listing_init(struct bpf_listing *l);
void bpf_listing_free(struct bpf_listing *l);

/* Chooses how it is made. -errno: it has not begun. */
int bpf_listing_begin(struct bpf_listing *l, const struct bpf_handles *kernel, bool in_full);
/* Up to its end. -errno: what was listed stays, and another call goes on behind it. */
int bpf_listing_read(struct bpf_listing *l, struct bpf_handles *kernel);
void bpf_listing_end(struct bpf_listing *l);

#endif
