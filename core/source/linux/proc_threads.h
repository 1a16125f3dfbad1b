/* SPDX-License-Identifier: MIT */
/*
 * What can only be read thread by thread: how many run, and without taskstats the
 * switches and waits of all of them. At most so many threads are read in one collection;
 * the first process that is left out is the first to be read in the next one. A process
 * with more threads than that is read in parts.
 */
#ifndef PROC_THREADS_H
#define PROC_THREADS_H

#include "source/linux/parse.h"
#include "source/linux/proc_files.h"

struct proc_threads;

/* Threads to read in one collection. At some 20 µs each this is 40 ms. */
#define PROC_THREADS_BUDGET 2000u

/* What to read of a process. With `names` it is read whatever it did. */
struct proc_threads_wanted {
    bool running; /* FIELD_THREADS_RUNNING */
    bool totals;  /* switches and waits */
    bool waits;   /* of them the waits as well */
    bool names;   /* each of them; and of each … */
    bool names_switches, names_io;
};

/* The directory stays the caller's, and has to live as long. -ENOMEM. */
int proc_threads_new(struct proc_dir *dir, uint64_t tick_ns, struct proc_threads **ret);
struct proc_threads *proc_threads_free(struct proc_threads *t);

/* At the start of a collection. */
void proc_threads_begin(struct proc_threads *t);
/* Was this process ever read thread by thread? Then its main thread never speaks for it. */
bool proc_threads_has(const struct proc_threads *t, const struct sample *s);
/* Adds to the sample of a process with several threads. `idle`: it has used no CPU time
 * since the last time. -ESRCH. */
int proc_threads_measure(struct proc_threads *t, struct sample *s,
                         struct proc_threads_wanted wanted, bool idle);
/* What a main thread alone has read and written, without its children; within the budget.
 * -EAGAIN: that is used up. */
int proc_threads_read_io(struct proc_threads *t, uint32_t pid, struct io_file *ret);
void thread_sample_set(struct thread_sample *s, enum thread_field f, uint64_t value);
void thread_sample_set_io(struct thread_sample *s, const struct io_file *io);
/* Threads left out so far, for want of budget. */
uint64_t proc_threads_skipped(const struct proc_threads *t);

#endif
