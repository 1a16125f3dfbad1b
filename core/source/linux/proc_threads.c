/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "source/linux/proc_threads.h"

#include "base/number.h"
#include "source/linux/parse.h"
#include "source/linux/thread_totals.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

struct proc_threads {
    struct proc_dir *dir;
    struct thread_totals *totals;
    uint64_t budget;    /* what is left of it in this collection */
    uint32_t turn;      /* first pid whose threads are read this time */
    uint32_t next_turn; /* in the next collection; 0: nobody was left out yet */
    uint64_t skipped;
    struct { /* a process that is read in parts: one at a time */
        int task_fd; /* knows how far we are; -1: none */
        bool seen;   /* in this collection */
        uint32_t pid;
        uint64_t start_ticks;
    } parts;
};

int proc_threads_new(struct proc_dir *dir, struct proc_threads **ret) {
    struct proc_threads *t = calloc(1, sizeof(*t));
    int r = t ? thread_totals_new(&t->totals) : -ENOMEM;
    if (r < 0) {
        free(t);
        return r;
    }
    t->dir = dir;
    t->parts.task_fd = -1;
    *ret = t;
    return 0;
}

static void close_parts(struct proc_threads *t) {
    const struct io *io = t->dir->io;
    if (t->parts.task_fd >= 0)
        io->close(io->data, t->parts.task_fd);
    t->parts.task_fd = -1;
}

struct proc_threads *proc_threads_free(struct proc_threads *t) {
    if (t) {
        close_parts(t);
        thread_totals_free(t->totals);
        free(t);
    }
    return NULL;
}

void proc_threads_begin(struct proc_threads *t) {
    t->budget = PROC_THREADS_BUDGET;
    t->turn = t->next_turn;
    t->next_turn = 0;
    thread_totals_sweep(t->totals);
    if (!t->parts.seen)
        close_parts(t);
    t->parts.seen = false;
}

bool proc_threads_has(const struct proc_threads *t, const struct sample *s) {
    return thread_totals_has(t->totals, s->pid, s->start_ticks);
}

uint64_t proc_threads_skipped(const struct proc_threads *t) {
    return t->skipped;
}

/* ---- One thread ------------------------------------------------------------------- */

struct walk {
    struct proc_threads *t;
    int task_fd;
    struct proc_threads_wanted wanted;
    uint64_t count, running;
};

static ssize_t read_of_thread(const struct walk *walk, uint32_t tid, const char *file) {
    char name[40];
    size_t len = format_u64(name, tid);
    name[len++] = '/';
    memcpy(name + len, file, strlen(file) + 1);
    return proc_read_at(walk->t->dir, walk->task_fd, name);
}

static int read_thread_state(struct walk *walk, uint32_t tid) {
    struct stat_line stat;
    ssize_t n = read_of_thread(walk, tid, "stat");
    if (n >= 0 && parse_stat(walk->t->dir->record, (size_t)n, &stat) == 0)
        walk->running += stat.state == 'R';
    return 0; /* a thread that vanished runs no more */
}

/* That a thread has ended, or that this kernel has no such file, is no failure. What
 * failed for another reason would be taken for 0, and all of it be counted anew the next
 * time: then nothing of the thread is taken. */
static bool is_failure(ssize_t n) {
    return n < 0 && n != -ENOENT && n != -ESRCH;
}

static int walk_thread(void *data, uint32_t tid, uint64_t inode) {
    (void)inode;
    struct walk *walk = data;
    const struct proc_dir *d = walk->t->dir;
    struct thread_values values = {0};
    struct status_file status;
    walk->count++;
    if (!walk->wanted.totals)
        return read_thread_state(walk, tid);
    ssize_t n = read_of_thread(walk, tid, "status");
    if (is_failure(n))
        return (int)n;
    if (n < 0 || parse_status(d->record, (size_t)n, &status) < 0 || !status.has_switches)
        return 0;
    walk->running += status.state == 'R';
    values.voluntary_switches = status.voluntary_switches;
    values.involuntary_switches = status.involuntary_switches;
    if (walk->wanted.waits) {
        struct schedstat_file sched;
        n = read_of_thread(walk, tid, "schedstat");
        if (is_failure(n))
            return (int)n;
        if (n == -ESRCH)
            return 0;
        if (n >= 0 && parse_schedstat(d->record, (size_t)n, &sched) == 0) {
            values.run_queue_wait_ns = sched.wait_ns;
            values.knows_wait = schedstat_is_known(&sched);
        }
    }
    return thread_totals_add(walk->t->totals, tid, &values);
}

static bool is_thread_alive(void *data, uint32_t tid) {
    const struct walk *walk = data;
    const struct io *io = walk->t->dir->io;
    struct stat unused;
    char name[24];
    name[format_u64(name, tid)] = '\0';
    return io->fstatat(io->data, walk->task_fd, name, &unused, AT_SYMLINK_NOFOLLOW) == 0 ||
           errno != ENOENT;
}

/* ---- The threads of one process ------------------------------------------------------ */

static void sample_set_totals(struct sample *s, const struct thread_values *totals) {
    sample_set(s, FIELD_VOLUNTARY_SWITCHES, totals->voluntary_switches);
    sample_set(s, FIELD_INVOLUNTARY_SWITCHES, totals->involuntary_switches);
    if (totals->knows_wait)
        sample_set(s, FIELD_RUN_QUEUE_WAIT_NS, totals->run_queue_wait_ns);
}

/* Reads task/, or as much of it as `most`. 1: there is more. */
static int walk_threads(struct walk *walk, struct sample *s, bool anew, uint64_t most) {
    struct proc_threads *t = walk->t;
    struct thread_values values;
    int r = 0;
    if (walk->wanted.totals)
        r = thread_totals_begin(t->totals, s->pid, s->start_ticks, anew);
    if (r == 0)
        r = proc_list_numbers(t->dir, walk->task_fd, most, walk_thread, walk);
    if (!walk->wanted.totals || r == -ENOMEM)
        return r;
    if (thread_totals_end(t->totals, r == 0 ? is_thread_alive : NULL, walk, &values))
        sample_set_totals(s, &values);
    if (r < 0) /* all of it is to be read again */
        thread_totals_keep(t->totals, s->pid, s->start_ticks, true, &values);
    return r;
}

static int read_all(struct proc_threads *t, struct sample *s, struct proc_threads_wanted wanted) {
    struct walk walk = {.t = t, .wanted = wanted};
    walk.task_fd = proc_open(t->dir, s->pid, "task", O_DIRECTORY);
    if (walk.task_fd < 0)
        return walk.task_fd;
    int r = walk_threads(&walk, s, true, UINT64_MAX);
    t->dir->io->close(t->dir->io->data, walk.task_fd);
    if (r != -ENOMEM && wanted.running)
        sample_set(s, FIELD_THREADS_RUNNING, walk.running);
    return r;
}

/* May all threads of the process be read this time? If not, those of the first one that
 * is left out are read first the next time. */
static bool take_from_budget(struct proc_threads *t, const struct sample *s) {
    uint64_t threads = s->value[FIELD_THREADS];
    if (s->pid >= t->turn && threads <= t->budget) {
        t->budget -= threads;
        return true;
    }
    if (s->pid >= t->turn && t->next_turn == 0 && threads <= PROC_THREADS_BUDGET)
        t->next_turn = s->pid;
    t->skipped += threads;
    return false;
}

/* ---- In parts -------------------------------------------------------------------------- */

static bool has_parts(const struct proc_threads *t, const struct sample *s) {
    return t->parts.task_fd >= 0 && t->parts.pid == s->pid &&
           t->parts.start_ticks == s->start_ticks;
}

/* As many threads as are left in the budget, from where the last part ended. The
 * directory stays open: the kernel keeps the place, however many threads come and go, and
 * nothing has to be passed over to get there. */
static int read_part(struct proc_threads *t, struct sample *s,
                     struct proc_threads_wanted wanted) {
    struct walk walk = {.t = t, .wanted = wanted};
    const bool anew = !has_parts(t, s);
    if (anew) {
        int fd = proc_open(t->dir, s->pid, "task", O_DIRECTORY);
        if (fd < 0)
            return fd;
        close_parts(t);
        t->parts.task_fd = fd;
        t->parts.pid = s->pid;
        t->parts.start_ticks = s->start_ticks;
    }
    t->parts.seen = true;
    walk.task_fd = t->parts.task_fd;
    int r = walk_threads(&walk, s, anew, t->budget);
    if (r <= 0)
        close_parts(t);
    t->budget -= walk.count < t->budget ? walk.count : t->budget;
    uint64_t threads = s->value[FIELD_THREADS];
    t->skipped += walk.count < threads ? threads - walk.count : 0;
    return r;
}

/* More threads than any budget has room for. One such process is read at a time; the
 * others wait until it is through. */
static int read_in_parts(struct proc_threads *t, struct sample *s,
                         struct proc_threads_wanted wanted) {
    bool is_ours = has_parts(t, s);
    t->parts.seen |= is_ours;
    if (s->pid >= t->turn && t->budget > 0 && (is_ours || t->parts.task_fd < 0))
        return read_part(t, s, wanted);
    if (s->pid >= t->turn && t->next_turn == 0 && t->budget == 0)
        t->next_turn = s->pid;
    t->skipped += s->value[FIELD_THREADS];
    return 0;
}

/* ---- The whole --------------------------------------------------------------------------- */

int proc_threads_measure(struct proc_threads *t, struct sample *s,
                         struct proc_threads_wanted wanted, bool idle) {
    bool is_due = wanted.running && !idle;
    struct thread_values values;
    int r = 0;
    if (wanted.running && idle)
        sample_set(s, FIELD_THREADS_RUNNING, 0);
    /* An idle process has nothing to read thread by thread. What a thread did within less
     * than a clock tick is read when the process has used one: none of it is lost. */
    if (wanted.totals) {
        if (thread_totals_keep(t->totals, s->pid, s->start_ticks, !idle, &values))
            sample_set_totals(s, &values);
        is_due = is_due || has_parts(t, s) ||
                 thread_totals_is_due(t->totals, s->pid, s->start_ticks);
    }
    if (!is_due)
        return 0;
    if (wanted.totals && s->value[FIELD_THREADS] > PROC_THREADS_BUDGET)
        r = read_in_parts(t, s, wanted);
    else if (take_from_budget(t, s))
        r = read_all(t, s, wanted);
    return r < 0 ? proc_note_error(s, ORIGIN_SCHED, r) : 0;
}
