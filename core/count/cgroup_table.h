/* SPDX-License-Identifier: MIT */
/*
 * The control groups whose figures are shown: what their counters were when they were read
 * last, and the group that the increase goes to. A record keeps its index as long as it
 * lives; processes know theirs by it.
 */
#ifndef CGROUP_TABLE_H
#define CGROUP_TABLE_H

#include "count/tallies.h"
#include "source/cgroup.h"

#define NO_CGROUP 0u
#define CGROUP_NOT_KEPT UINT32_MAX /* there was no room */

struct cgroup_record {
    uint32_t index, group;
    bool hashed;
    bool in_use;   /* some process has its index */
    bool is_young; /* all its processes started since the previous collection */
    bool was_read; /* have, last and inode are known, even if they are nothing */
    bool is_gone;  /* it was not there when it was looked for last */
    uint32_t have; /* BIT(figure) of the counters that have a last value */
    uint64_t last[CGROUP_COUNTERS];
    uint64_t inode[CGROUP_PARTS];
    UT_hash_handle hh;
    size_t path_len;
    char path[];
};

struct cgroup_table {
    struct cgroup_record **records; /* by index; NULL: free. The first is never used */
    size_t end, size;
    size_t count, limit;
    struct cgroup_record *by_path;
};

void cgroup_table_init(struct cgroup_table *t, size_t limit);
void cgroup_table_clear(struct cgroup_table *t);

/* The record of this path, made if there is none; NO_CGROUP for an empty path, and
 * CGROUP_NOT_KEPT beyond the limit. -ENOMEM. */
int cgroup_table_find(struct cgroup_table *t, struct text path, uint32_t *ret_index);
void cgroup_table_remove(struct cgroup_table *t, uint32_t index);
/* A cgroup above this one is in the table, and the same group shows its gauges (or its increase,
 * see top_shows()): these have those of this one in them. */
bool cgroup_table_is_covered(const struct cgroup_table *t, const struct tallies *tallies,
                             const struct cgroup_record *r, bool increase);
/* The groups that have expired show nothing any more. */
void cgroup_table_forget_groups(struct cgroup_table *t, const struct tallies *tallies);

/* Since when what a cgroup used is ours, if it was not read before. */
struct cgroup_first_sight {
    bool counts_all;        /* whole lives are shown */
    uint64_t since_unix_ns; /* all of what was made after this; 0: nothing */
};
/* Adds what its counters went up by, if it `counts`, and with `shows` its gauges, to the group of
 * the record, or who shows that. Counters that fall have begun anew. */
void cgroup_credit(struct cgroup_record *r, const struct cgroup_figures *figures,
                   const struct cgroup_first_sight *first, bool counts, bool shows,
                   struct tallies *tallies);

#endif
