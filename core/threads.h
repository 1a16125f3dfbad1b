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
};

int thread_totals_new(struct thread_totals **ret);
struct thread_totals *thread_totals_free(struct thread_totals *t);

/* Is anything known of this process? */
bool thread_totals_has(struct thread_totals *t, uint32_t pid, uint64_t start_ticks);

/* begin(), add() for each thread that is alive, end(). -ENOMEM: what was known of
 * the process is forgotten, and end() must not be called. */
int thread_totals_begin(struct thread_totals *t, uint32_t pid, uint64_t start_ticks);
int thread_totals_add(struct thread_totals *t, uint32_t tid, const struct thread_values *values);
void thread_totals_end(struct thread_totals *t, struct thread_values *ret);

/* Nothing new is to be read of this process this time: keeps it, and returns
 * what is known, false if nothing is. */
bool thread_totals_keep(struct thread_totals *t, uint32_t pid, uint64_t start_ticks,
                        struct thread_values *ret);

/* Forgets the processes that neither end() nor keep() was called for since the
 * last sweep. */
void thread_totals_sweep(struct thread_totals *t);

#endif
