/* SPDX-License-Identifier: MIT */
#include "source/linux/taskstats_ahead.h"

#include <errno.h>
#include <stdlib.h>

struct taskstats_ahead {
    struct proc_dir *dir;
    struct taskstats_socket *socket;
    const struct listed *listed; /* the whole list */
    size_t listed_count;

    /* The batch: a piece of the list. */
    const struct listed *first;
    size_t count; /* 0: none yet */
    uint64_t asked_boot_ns;
    bool opened_since; /* a process is open, or has been since */
    struct taskstats_answer answers[TASKSTATS_BATCH];
};

int taskstats_ahead_new(struct proc_dir *dir, struct taskstats_ahead **ret) {
    struct taskstats_ahead *a = calloc(1, sizeof(*a));
    if (!a)
        return -ENOMEM;
    int r = taskstats_new(&a->socket);
    if (r < 0) {
        free(a);
        return r;
    }
    a->dir = dir;
    *ret = a;
    return 0;
}

struct taskstats_ahead *taskstats_ahead_free(struct taskstats_ahead *a) {
    if (a) {
        taskstats_free(a->socket);
        free(a);
    }
    return NULL;
}

bool taskstats_ahead_forget_switches(const struct taskstats_ahead *a) {
    return taskstats_forget_switches(a->socket);
}

void taskstats_ahead_query(struct taskstats_ahead *a, const uint32_t *pids, size_t count,
                           struct taskstats_answer *ret) {
    taskstats_query(a->socket, pids, count, ret);
}

void taskstats_ahead_begin(struct taskstats_ahead *a, const struct listed *listed, size_t count) {
    a->listed = listed;
    a->listed_count = count;
    a->count = 0;
}

void taskstats_ahead_note_opened(struct taskstats_ahead *a) {
    a->opened_since = true;
}

static int by_pid(const void *a, const void *b) {
    uint32_t x = ((const struct listed *)a)->pid, y = ((const struct listed *)b)->pid;
    return x < y ? -1 : x > y;
}

static const struct listed *find(const struct listed *listed, size_t count, uint32_t pid) {
    const struct listed key = {.pid = pid};
    return count ? bsearch(&key, listed, count, sizeof(key), by_pid) : NULL;
}

static void ask_from(struct taskstats_ahead *a, const struct listed *first, bool is_open) {
    const struct io *io = a->dir->io;
    uint32_t pids[TASKSTATS_BATCH];
    size_t count = (size_t)(a->listed + a->listed_count - first);
    if (count > TASKSTATS_BATCH)
        count = TASKSTATS_BATCH;
    for (size_t i = 0; i < count; i++)
        pids[i] = first[i].pid;
    a->first = first;
    a->count = count;
    a->opened_since = is_open;
    a->asked_boot_ns = io->clock_ns(io->data, CLOCK_BOOTTIME);
    taskstats_query(a->socket, pids, count, a->answers);
}

/* The place of a process in the batch, or in a new one that begins with it. false: it is
 * not in the list. */
static bool find_in_batch(struct taskstats_ahead *a, uint32_t pid, bool is_open, size_t *ret) {
    const struct listed *found = find(a->first, a->count, pid);
    if (!found) {
        found = find(a->listed, a->listed_count, pid);
        if (!found)
            return false;
        ask_from(a, found, is_open);
    }
    *ret = (size_t)(found - a->first);
    return true;
}

/* What was asked ahead is of whoever had the pid at that time. That is this process if it
 * had started by then: a process has its pid before its start time is drawn (which is cut
 * to a tick). What could not be found then may have been about to appear. The rest of the
 * sample is younger than this, which does no harm: activity in between is found the next
 * time. */
void taskstats_ahead_of_open(struct taskstats_ahead *a, uint32_t pid, uint64_t started_by_ns,
                             struct taskstats_answer *ret) {
    size_t at;
    if (find_in_batch(a, pid, true, &at) && a->answers[at].error == 0 &&
        started_by_ns <= a->asked_boot_ns)
        *ret = a->answers[at];
    else
        taskstats_query(a->socket, &pid, 1, ret);
}

/* It must be alive now: if it has ended since it was asked about, and its parent was read
 * since, then the parent shows what it used already, as if nobody had seen it (see
 * count/fold.h). As long as no process was open in between, none was read. Else the inode
 * of its directory tells: it goes with the process. */
void taskstats_ahead_of_sleeper(struct taskstats_ahead *a, uint32_t pid,
                                struct taskstats_answer *ret) {
    const struct proc_dir *d = a->dir;
    struct stat st;
    size_t at;
    if (!find_in_batch(a, pid, false, &at))
        taskstats_query(a->socket, &pid, 1, ret);
    else if (!a->opened_since ||
             (d->io->fstatat(d->io->data, d->fd, proc_path(a->dir, pid, ""), &st, 0) == 0 &&
              st.st_ino == a->first[at].marker))
        *ret = a->answers[at];
    else
        *ret = (struct taskstats_answer){.error = -ESRCH};
}
