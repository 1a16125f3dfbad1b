/* SPDX-License-Identifier: MIT */
/* The processes that are watched, from sample to sample. */
#ifndef TRACKING_H
#define TRACKING_H

#include "proctally.h"

/* A process of the tree. */
#define TREE_METRICS 16 /* at most */
#define TREE_NAME_SIZE 64
struct tracked {
    pid_t pid, ppid;
    uint64_t start_ns;
    uint64_t exec_marker;
    uint64_t gone_ns;  /* of the first sample that did not show it any more */
    uint64_t base[TREE_METRICS]; /* of counters and the peak, when it was seen first */
    char name[TREE_NAME_SIZE]; /* another one after execve(2) */
};

struct tree {
    const pid_t *roots; /* the first is the parent in records */
    size_t root_count;
    bool excludes_children;
    bool counts_from_now; /* else a process's counters are those of its life */
    uint64_t begun_unix_ns;
    size_t metrics[TREE_METRICS]; /* that have a base */
    size_t metric_count;
    size_t peak; /* which of them is the highest memory so far */
    struct tracked *items, *spare; /* by pid */
    size_t count, size;
    struct tracked *gone; /* those whose end may be told yet */
    size_t gone_count, gone_size;
    uint64_t seen; /* different processes so far */
};

/* Is it one of the roots? */
bool tree_begins_with(const struct tree *tree, pid_t pid);
/* Is the i-th process of the snapshot one of the tree? */
bool tree_has(const struct tree *tree, const tally_snapshot *s, size_t i);

/* Takes up a sample. Calls back with each process of it that is new or has executed another
 * program. -ENOMEM. */
int tree_update(struct tree *tree, const tally_snapshot *s,
                void (*each_new)(void *data, const tally_snapshot *s, size_t i), void *data);
/* The k-th metric of the i-th process of the snapshot since it is watched. False: it is not
 * known, as of a peak that was before. */
bool tree_value(const struct tree *tree, const struct tracked *process, const tally_snapshot *s,
                size_t i, size_t k, uint64_t *ret);
/* What is known of the i-th process of the snapshot, one of the ended: as samples have shown it,
 * or else what the snapshot has. */
struct tracked tree_ended(struct tree *tree, const tally_snapshot *s, size_t i);
void tree_clear(struct tree *tree);

#endif
