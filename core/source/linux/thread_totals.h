/* SPDX-License-Identifier: MIT */
/*
 * Totals over all threads a process ever had, from what can be read of those
 * alive now. /proc/PID/status and schedstat speak of the main thread only, and
 * the sum over live threads falls when one ends; the sum of each thread's
 * increases does not.
 */
#ifndef THREADS_H
#define THREADS_H

#include <stdbool.h>
#include <stdint.h>

struct thread_totals;

struct thread_values {
    uint64_t voluntary_switches, involuntary_switches, run_queue_wait_ns;
    bool knows_wait; /* of a total: of some thread */
};

int thread_totals_new(struct thread_totals **ret);
struct thread_totals *thread_totals_free(struct thread_totals *t);

/* Is anything known of this process? */
bool thread_totals_has(struct thread_totals *t, uint32_t pid, uint64_t start_ticks);

/* The process is there still, and has run since it was seen last, or not. Returns
 * whether its totals are known: not before each of its threads was read once. */
bool thread_totals_keep(struct thread_totals *t, uint32_t pid, uint64_t start_ticks, bool ran,
                        struct thread_values *ret);
/* Has anything run that was not read since? */
bool thread_totals_is_due(struct thread_totals *t, uint32_t pid, uint64_t start_ticks);

/* begin(), add() for each thread, end(); in several such parts if there are many:
 * the first `anew`, the last with an is_alive(), which is asked about those that
 * were in no part: a listing can miss one while others end, and would bring it
 * back as a new one. -ENOMEM: what was known of the process is forgotten, and
 * end() must not be called. end() returns what keep() does. */
int thread_totals_begin(struct thread_totals *t, uint32_t pid, uint64_t start_ticks, bool anew);
int thread_totals_add(struct thread_totals *t, uint32_t tid, const struct thread_values *values);
bool thread_totals_end(struct thread_totals *t, bool (*is_alive)(void *data, uint32_t tid),
                       void *data, struct thread_values *ret);

/* Forgets the processes that neither end() nor keep() was called for since the
 * last sweep. */
void thread_totals_sweep(struct thread_totals *t);

#endif
