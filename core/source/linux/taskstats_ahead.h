/* SPDX-License-Identifier: MIT */
/* Taskstats of the processes of a list, one after another in the list's order. The kernel
 * is asked in batches, about those whose turn comes next as well: half the price. So an
 * answer can be older than its turn, and of a process that is gone by then. */
#ifndef TASKSTATS_AHEAD_H
#define TASKSTATS_AHEAD_H

#include "source/linux/proc_files.h"
#include "source/linux/taskstats.h"
#include "source/source.h"

struct taskstats_ahead;

/* The directory stays the caller's, and has to live as long. -EPERM: the right to ask is
 * missing; … */
int taskstats_ahead_new(struct proc_dir *dir, struct taskstats_ahead **ret);
struct taskstats_ahead *taskstats_ahead_free(struct taskstats_ahead *a);

/* See taskstats.h. */
bool taskstats_ahead_forget_switches(const struct taskstats_ahead *a);

/* As taskstats_query(), at once. */
void taskstats_ahead_query(struct taskstats_ahead *a, const uint32_t *pids, size_t count,
                           struct taskstats_answer *ret);

/* There is a new list, by ascending pid. */
void taskstats_ahead_begin(struct taskstats_ahead *a, const struct listed *listed, size_t count);
/* A process is opened: what is in its files from now on, earlier answers do not know. */
void taskstats_ahead_note_opened(struct taskstats_ahead *a);

/* Of the process that is open, which had started by then (since boot). */
void taskstats_ahead_of_open(struct taskstats_ahead *a, uint32_t pid, uint64_t started_by_ns,
                             struct taskstats_answer *ret);
/* Of a process that will not be opened if the answer says that it has slept. */
void taskstats_ahead_of_sleeper(struct taskstats_ahead *a, uint32_t pid,
                                struct taskstats_answer *ret);

#endif
