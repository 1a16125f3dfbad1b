/* SPDX-License-Identifier: MIT */
/* Samples of a tree of processes as records: JSON, a line each, or CSV. Keys are denet's
 * (github.com/btraven00/denet) where they mean the same, else the catalogue's. */
#ifndef RECORD_H
#define RECORD_H

#include "proctally.h"

#include <stdio.h>

#define RECORD_MEMBERS 15 /* at most; record.c checks */

/* A process of the tree, from sample to sample. */
struct tracked {
    pid_t pid;
    uint64_t start_ns;
    uint64_t name_hash; /* another one after execve(2) */
    uint64_t base[RECORD_MEMBERS]; /* of counters, when it was seen first */
};

struct tree {
    const pid_t *roots; /* the first is the parent in records */
    size_t root_count;
    bool excludes_children;
    bool counts_from_now; /* else a process's counters are those of its life */
    uint64_t begun_unix_ns;
    struct tracked *items, *spare; /* by pid */
    size_t count, size;
    uint64_t seen; /* different processes so far */
};

/* Is it one of the roots? */
bool tree_begins_with(const struct tree *tree, pid_t pid);
/* Is the i-th process of the snapshot one of the tree? */
bool tree_has(const struct tree *tree, const tally_snapshot *s, size_t i);

/* Takes up a sample. Writes a record to `to`, unless that is NULL, for each process that is
 * new or has executed another program. -ENOMEM. */
int tree_update(struct tree *tree, const tally_snapshot *s, FILE *to);
void tree_clear(struct tree *tree);

/* The host and where we are on it. */
void record_env(FILE *to);
/* What is watched; command may be NULL, for a process that runs already. */
void record_metadata(FILE *to, const struct tree *tree, char *const *command);
/* The whole sample. */
void record_sample(FILE *to, const struct tree *tree, const tally_snapshot *s);
void record_csv_header(FILE *to);
void record_csv(FILE *to, const struct tree *tree, const tally_snapshot *s);
/* Lines that people read while it runs. */
void record_live(FILE *to, const tally_snapshot *s, uint64_t begun_unix_ns, bool has_colour);

#endif
