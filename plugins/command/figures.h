/* SPDX-License-Identifier: MIT */
/* What a command and all that descends from it has used, as far as it is known: from the
 * collector, and from what the kernel tells whoever waits for a process. */
#ifndef FIGURES_H
#define FIGURES_H

#include "proctally.h"

#include <stdio.h>
#include <sys/resource.h>

enum figure {
    FIGURE_CPU_USER, /* times in nanoseconds */
    FIGURE_CPU_SYSTEM,
    FIGURE_FAULTS_MINOR,
    FIGURE_FAULTS_MAJOR,
    FIGURE_SWITCHES_VOLUNTARY,
    FIGURE_SWITCHES_INVOLUNTARY,
    FIGURE_IO_READ, /* bytes by system calls */
    FIGURE_IO_WRITTEN,
    FIGURE_IO_READS,
    FIGURE_IO_WRITES,
    FIGURE_DISK_READ,
    FIGURE_DISK_WRITTEN,
    FIGURE_RECEIVED_TCP,
    FIGURE_RECEIVED_UDP,
    FIGURE_SENT_TCP,
    FIGURE_SENT_UDP,
    FIGURE_STARTS,
    FIGURES
};
#define FIGURE(f) (1u << (f))
#define FIGURES_CPU (FIGURE(FIGURE_CPU_USER) | FIGURE(FIGURE_CPU_SYSTEM))

struct figures {
    uint64_t value[FIGURES];
    unsigned known; /* FIGURE(f) of each */
    unsigned exact; /* … that is all there was, not only what samples saw of it */
};

/* The key of a figure in records. */
const char *figure_key(enum figure f);
/* … and whether it is in seconds there. */
bool figure_is_time(enum figure f);
/* The metric of the catalogue that has it. */
size_t figure_metric(enum figure f);

static inline uint64_t figures_cpu_ns(const struct figures *f) {
    return f->value[FIGURE_CPU_USER] + f->value[FIGURE_CPU_SYSTEM];
}

/* A metric of all groups of a snapshot together; false: it is known of none. */
bool figures_sum(const tally_snapshot *s, size_t metric, uint64_t *ret);
/* The figures as such sums. */
void figures_of_snapshot(const tally_snapshot *s, struct figures *ret);
/* Adds what a process that was waited for has used, its own children included. */
void figures_add_waited(struct figures *to, const struct rusage *usage);
/* Adds what a process that is still alive has used, and what it has waited for. -errno. */
int figures_add_alive(struct figures *to, pid_t pid);
/* I/O of all that this process has waited for, as the kernel adds it to its own. */
int figures_add_waited_io(struct figures *to);
/* Both tell at most what there was, so the larger one is nearer to it. */
void figures_take_larger(struct figures *to, const struct figures *other);

#endif
