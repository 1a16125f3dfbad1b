/* SPDX-License-Identifier: MIT */
/*
 * What the kernel keeps of a control group as such, beside what its processes add up to:
 * its limits, and what it had to wait for because of them. Control groups are told apart by
 * their path, which is taken to be the same in every hierarchy.
 */
#ifndef CGROUP_H
#define CGROUP_H

#include "base/io.h"
#include "base/number.h"
#include "source/identity.h"

/* Counters first; then gauges, and among them those first of which several control groups
 * have a sum. The metrics of the catalogue have the same order. */
enum cgroup_figure {
    CGROUP_CPU_PERIODS,
    CGROUP_CPU_THROTTLED_PERIODS,
    CGROUP_CPU_THROTTLED_NS,
    CGROUP_CPU_SOME_NS, /* pressure: some of its tasks waited, or all of them did */
    CGROUP_CPU_FULL_NS,
    CGROUP_MEMORY_SOME_NS,
    CGROUP_MEMORY_FULL_NS,
    CGROUP_IO_SOME_NS,
    CGROUP_IO_FULL_NS,
    CGROUP_MEMORY_HIGH, /* events */
    CGROUP_MEMORY_MAX,
    CGROUP_MEMORY_OOM,
    CGROUP_MEMORY_OOM_KILL,
    CGROUP_COUNTERS,

    CGROUP_MEMORY_BYTES = CGROUP_COUNTERS,
    CGROUP_SWAP_BYTES,
    CGROUP_PIDS,
    CGROUP_SUMS_END,

    CGROUP_MEMORY_PEAK_BYTES = CGROUP_SUMS_END,
    CGROUP_MEMORY_LIMIT_BYTES, /* limits are absent where there is none */
    CGROUP_CPU_LIMIT,          /* billionths of a CPU */
    CGROUP_PIDS_LIMIT,
    CGROUP_FIGURES
};

/* Who keeps a figure. Each of the v1 hierarchies has a directory of its own for a control
 * group, which can be removed and made again without the others. */
enum cgroup_part { CGROUP_MEMORY, CGROUP_CPU, CGROUP_TASKS, CGROUP_PRESSURE, CGROUP_PARTS };
enum cgroup_part cgroup_part_of(enum cgroup_figure figure);

struct cgroup_figures {
    uint32_t have; /* BIT(figure) */
    uint64_t value[CGROUP_FIGURES];
    /* The directory: inode numbers are never used again. It was made, or first looked at by
     * anybody in a while, then; in nanoseconds since 1970. Of a part without one: 0. */
    uint64_t inode[CGROUP_PARTS], made_unix_ns[CGROUP_PARTS];
};
_Static_assert(CGROUP_FIGURES <= 32, "one presence bit for each figure in 32 bits");

static inline void cgroup_set(struct cgroup_figures *f, enum cgroup_figure figure,
                              uint64_t value) {
    f->value[figure] = value;
    f->have |= 1u << figure;
}

/* Where control groups are mounted on the host of this proc file system. */
struct cgroup_files;

/* They are looked for beside `procfs`, as in /proc and /sys, or /host/proc and /host/sys;
 * io has to live as long. A host without any is no error. -ENOMEM. */
int cgroup_files_new(const struct io *io, const char *procfs, struct cgroup_files **ret);
struct cgroup_files *cgroup_files_free(struct cgroup_files *f); /* returns NULL */

/* All that this host tells of it; what can't be read is absent. -ENOENT: it is not there
 * (any more), or is nothing but the root, whose figures are the whole host's. */
int cgroup_files_read(const struct cgroup_files *f, struct text path, struct cgroup_figures *ret);

#endif
