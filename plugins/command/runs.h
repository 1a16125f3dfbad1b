/* SPDX-License-Identifier: MIT */
/* The summaries of runs, read back from their records. */
#ifndef RUNS_H
#define RUNS_H

#include "summary.h"

struct runs {
    struct summary *items;
    size_t count;
};

/* Adds the runs of a file of JSON records, of proctally or denet; of one without a summary
 * (it was cut off) what its samples tell. What is no record is passed over if records follow
 * or stand before. -EINVAL: there is no run in it; -ENOTSUP: this build can't read JSON; and
 * what open(2) says. The sentence is in `error`. */
int runs_read(struct runs *runs, const char *path, struct tally_error *error);
/* Adds one, which then belongs to them. -ENOMEM. */
int runs_add(struct runs *runs, struct summary *summary);
void runs_clear(struct runs *runs);

#endif
