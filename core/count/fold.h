/* SPDX-License-Identifier: MIT */
/*
 * When a parent reaps a child, the kernel adds what the child used to the parent: CPU
 * time and faults to its cutime, cstime, cminflt and cmajflt, I/O to its own
 * /proc/PID/io.
 *
 *      parent   reads:  100 at the last collection, 170 now:  increase        70
 *        child          40 at the last collection, gone now:  already         40
 *                                                             the rest        30
 *
 * What the child had used when it was last seen was credited to the child's group then
 * (already). The rest is what it used after that, and what children did that came and
 * went unseen: that is credited now, and nothing twice.
 *
 * How much of the rest was whose, nobody knows. The known children get what they are
 * likely to have used; what is left goes to the parent's group if there is a trace of
 * children that were not seen (their page faults), else to the known ones again, as far as
 * they can have used it.
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
    uint64_t already[FIELD_FOLDED];
    uint64_t fresh[FIELD_FOLDED];        /* of it: of children gone since last time */
    uint64_t via_ancestor[FIELD_FOLDED]; /* of it: of children's children */
};

struct fold_dead {
    uint32_t entry; /* index of its reaper's entry; NO_ENTRY */
    process_id id;
    uint32_t pid;
    uint64_t likely_ns; /* CPU time that it will have used, going by what it did before */
    uint64_t most_ns;   /* that it can have used */
    uint64_t share_ns;  /* that it gets */
    uint64_t room_ns;   /* that it can still get */
};

struct fold {
    struct fold_entry *entries;
    size_t count, size;
    struct fold_credit *credits;
    size_t credit_count, credit_size;
    struct fold_dead *dead;
    size_t dead_count, dead_size;
    struct pending_credit *spares;
    size_t spare_count;
};

void fold_begin(struct fold *f);
void fold_free(struct fold *f);

/* The collection failed: as if none of its increases had been seen. */
void fold_undo(struct fold *f, struct proctable *table);

/* Makes room for one fold_increase(), which then can't fail. -ENOMEM. */
int fold_reserve(struct fold *f);
/* A living process's folded counters went up by this much (0 where not known).
 * -ENOMEM. */
int fold_increase(struct fold *f, struct proctable *table, process_id parent,
                  const uint64_t increase[FIELD_FOLDED], uint64_t known);

/* From the collection before to this one. */
struct fold_interval {
    uint32_t number; /* of this collection: the `seen` of who lives */
    uint64_t since_boot_ns, length_ns;
};

/* When all living processes have been seen: finds the dead, credits what they left, counts
 * their exits and removes them. -ENOMEM: nothing was done. */
int fold_settle(struct fold *f, struct proctable *table, struct tallies *tallies,
                struct source *source, const struct fold_interval *interval);

#endif
