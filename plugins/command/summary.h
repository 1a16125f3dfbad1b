/* SPDX-License-Identifier: MIT */
/* What is said of a run at its end. */
#ifndef SUMMARY_H
#define SUMMARY_H

#include "figures.h"

#include <stdbool.h>

struct program { /* what one of the groups has used: as a rule a program */
    char *name;
    uint64_t count; /* processes */
    uint64_t cpu_ns;
    uint64_t largest_rss_bytes; /* of a single process; 0: not known */
};

struct summary {
    char *command;
    const char *source; /* of the collector */
    bool has_ended;     /* else exit_code and signal_number are not known */
    int exit_code;
    int signal_number; /* that ended it; 0: none */
    uint64_t wall_ns;
    bool is_of_lifetimes; /* figures are of more than that time */
    struct figures figures;
    uint64_t largest_rss_bytes;    /* of a single process; 0: not known */
    bool largest_rss_is_exact;
    uint64_t rss_sum_peak_bytes;   /* of the sums over all processes, as samples saw them */
    uint64_t pss_peak_bytes;       /* the same of the proportional set size; 0: not known */
    uint64_t cgroup_peak_bytes;    /* as the kernel knows it; 0: not known */
    double rss_sum_byte_s;         /* for the average over time */
    uint64_t most_processes, most_threads;
    uint64_t processes_seen, orphans_left, samples;
    uint64_t own_cpu_ns;
    struct program *programs; /* by CPU time, the most first */
    bool programs_are_exact;  /* but for the largest process of each */
    size_t program_count;
};

static inline void note_most(uint64_t *most, uint64_t value) {
    if (value > *most)
        *most = value;
}

/* The largest known peak of memory of the whole, and what it is. NULL: none is known. */
const char *summary_peak_memory(const struct summary *s, uint64_t *ret_bytes);

void summary_print(FILE *to, const struct summary *s);
/* One line: a record with the kind "summary". */
void summary_json(FILE *to, const struct summary *s);
void summary_clear(struct summary *s);

#endif
