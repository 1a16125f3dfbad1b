/* SPDX-License-Identifier: MIT */
/*
 * The kernel folds what a child used into its parent when the parent reaps it:
 * CPU time and faults into the parent's cutime, cstime, cminflt and cmajflt,
 * I/O into the parent's own /proc/PID/io. Part of it was credited to the
 * child's group already, while the child lived. This takes that part off, and
 * credits the rest, which is what the child did since its last sample and what
 * children did that came and went unseen.
 */
#ifndef FOLD_H
#define FOLD_H

#include "count/proctable.h"
#include "source/source.h"
#include "count/tallies.h"

/* An increase of the folded counters of a living process that reaped children. */
struct fold_entry {
    process_id parent;
    uint32_t known;  /* BIT(folded index) that could be read */
    uint32_t credit; /* index of what was credited before; NO_CREDIT: nothing */
    uint64_t increase[FIELD_FOLDED];
};

/* What of an increase was credited to the reaped children before. */
struct fold_credit {
    uint64_t settled[FIELD_FOLDED];
    uint64_t fresh[FIELD_FOLDED];    /* of it: of children gone since last time */
    uint64_t indirect[FIELD_FOLDED]; /* of it: of children's children */
};

struct fold_dead {
    uint32_t entry; /* index of its reaper's entry; NO_ENTRY */
    process_id id;
};

struct fold {
    struct fold_entry *entries;
    size_t count, size;
    struct fold_credit *credits;
    size_t credit_count, credit_size;
    struct fold_dead *dead;
    size_t dead_count, dead_size;
};

void fold_begin(struct fold *f);
void fold_free(struct fold *f);

/* The collection failed: as if none of its increases had been seen. */
void fold_undo(struct fold *f, struct proctable *table);

/* A living process's folded counters went up by this much (0 where not known).
 * -ENOMEM. */
int fold_increase(struct fold *f, struct proctable *table, process_id parent,
                  const uint64_t increase[FIELD_FOLDED], uint64_t known);

/* When all living processes have been seen (their `seen` is `now`): finds the
 * dead, credits what they left, counts their exits and removes them. -ENOMEM:
 * nothing was done. */
int fold_settle(struct fold *f, struct proctable *table, struct tallies *tallies,
                struct source *source, uint32_t now, uint64_t interval_ns);

#endif
