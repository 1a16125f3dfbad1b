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
    struct thread_sample *items; /* what `samples` has */
    size_t size;
    struct thread_samples samples; /* of the process that was read last */
    uint64_t tick_ns;
};

int proc_threads_new(struct proc_dir *dir, uint64_t tick_ns, struct proc_threads **ret) {
    struct proc_threads *t = calloc(1, sizeof(*t));
    int r = t ? thread_totals_new(&t->totals) : -ENOMEM;
    if (r < 0) {
        free(t);
        return r;
    }
    t->dir = dir;
    t->tick_ns = tick_ns;
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
        free(t->items);
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

void thread_sample_set(struct thread_sample *s, enum thread_field f, uint64_t value) {
    s->value[f] = value;
    s->have |= 1u << f;
}

void thread_sample_set_io(struct thread_sample *s, const struct io_file *io) {
    thread_sample_set(s, THREAD_DISK_READ_BYTES, io->read_bytes);
    thread_sample_set(s, THREAD_DISK_WRITTEN_BYTES, io->write_bytes);
}

/* Room for one more; NULL: no memory. */
static struct thread_sample *next_sample(struct proc_threads *t) {
    if (t->samples.count == t->size) {
        const size_t size = t->size ? t->size * 2 : 64;
        struct thread_sample *items = realloc(t->items, size * sizeof(*items));
        if (!items)
            return NULL;
        t->items = items;
        t->size = size;
        t->samples.items = items;
    }
    return &t->items[t->samples.count];
}

/* What can be refused, or is not there in this kernel, is left out. A thread that has ended
 * meanwhile has no record: 1. */
static int read_thread_sample(struct walk *walk, uint32_t tid) {
    struct proc_threads *t = walk->t;
    struct stat_line stat;
    struct io_file io;
    struct thread_sample *s = next_sample(t);
    if (!s)
        return -ENOMEM;
    ssize_t n = read_of_thread(walk, tid, "stat");
    if (n < 0 || parse_stat(t->dir->record, (size_t)n, &stat) < 0)
        return is_failure(n) ? (int)n : 1;
    walk->running += stat.state == 'R';
    const size_t len = comm_len_of(&stat);
    *s = (struct thread_sample){.tid = tid, .start_ticks = stat.start_ticks};
    s->comm_len = (uint8_t)(len < sizeof(s->comm) ? len : sizeof(s->comm));
    memcpy(s->comm, stat.comm, s->comm_len);
    thread_sample_set(s, THREAD_UTIME_NS, stat.utime_ticks * t->tick_ns);
    thread_sample_set(s, THREAD_STIME_NS, stat.stime_ticks * t->tick_ns);
    thread_sample_set(s, THREAD_MINFLT, stat.minflt);
    thread_sample_set(s, THREAD_MAJFLT, stat.majflt);
    if (walk->wanted.names_io) {
        n = read_of_thread(walk, tid, "io");
        if (n >= 0 && parse_io(t->dir->record, (size_t)n, &io) == 0)
            thread_sample_set_io(s, &io);
        else if (n == -ESRCH)
            return 1;
    }
    t->samples.count++;
    return 0;
}

static int walk_thread(void *data, uint32_t tid, uint64_t inode) {
    (void)inode;
    struct walk *walk = data;
    const struct proc_dir *d = walk->t->dir;
    const struct proc_threads_wanted *wanted = &walk->wanted;
    struct thread_values values = {0};
    struct status_file status;
    struct thread_sample *sample = NULL;
    walk->count++;
    if (wanted->names) {
        int r = read_thread_sample(walk, tid);
        if (r != 0)
            return r < 0 ? r : 0;
        sample = &walk->t->items[walk->t->samples.count - 1];
    }
    if (!wanted->totals && !(sample && wanted->names_switches))
        return sample ? 0 : read_thread_state(walk, tid);
    ssize_t n = read_of_thread(walk, tid, "status");
    if (is_failure(n))
        return (int)n;
    if (n < 0 || parse_status(d->record, (size_t)n, &status) < 0 || !status.has_switches)
        return 0;
    if (sample && wanted->names_switches) {
        thread_sample_set(sample, THREAD_VOLUNTARY_SWITCHES, status.voluntary_switches);
        thread_sample_set(sample, THREAD_INVOLUNTARY_SWITCHES, status.involuntary_switches);
    }
    if (!wanted->totals)
        return 0;
    if (!sample)
        walk->running += status.state == 'R';
    values.voluntary_switches = status.voluntary_switches;
    values.involuntary_switches = status.involuntary_switches;
    if (wanted->waits) {
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
    t->samples.count = 0;
    t->samples.first_part = anew;
    t->samples.main_only = false;
    if (walk->wanted.totals)
        r = thread_totals_begin(t->totals, s->pid, s->start_ticks, anew);
    if (r == 0)
        r = proc_list_numbers(t->dir, walk->task_fd, most, walk_thread, walk);
    t->samples.last_part = r == 0;
    if (r >= 0 && walk->wanted.names)
        s->threads = &t->samples;
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
    if (!is_due && !wanted.names)
        return 0;
    if ((wanted.totals || wanted.names) && s->value[FIELD_THREADS] > PROC_THREADS_BUDGET)
        r = read_in_parts(t, s, wanted);
    else if (take_from_budget(t, s))
        r = read_all(t, s, wanted);
    return r < 0 ? proc_note_error(s, ORIGIN_SCHED, r) : 0;
}

int proc_threads_read_io(struct proc_threads *t, uint32_t pid, struct io_file *ret) {
    char name[64] = "task/";
    size_t len = strlen(name);
    if (t->budget == 0)
        return -EAGAIN;
    t->budget--;
    len += format_u64(name + len, pid);
    memcpy(name + len, "/io", sizeof("/io"));
    ssize_t n = proc_read(t->dir, pid, name);
    return n < 0 ? (int)n : parse_io(t->dir->record, (size_t)n, ret);
}
