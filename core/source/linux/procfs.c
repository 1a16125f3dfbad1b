/* SPDX-License-Identifier: MIT */
/* Samples from /proc, or from a recorded tree that looks like it. */
#define _GNU_SOURCE
#include "source/linux/procfs.h"

#include "base/error.h"
#include "settings.h"
#include "source/linux/parse.h"
#include "source/linux/parse_host.h"
#include "source/linux/proc_files.h"
#include "source/linux/proc_identity.h"
#include "source/linux/proc_sockets.h"
#include "source/linux/proc_threads.h"
#include "source/linux/proc_tree.h"
#include "source/linux/taskstats_ahead.h"
#include "source/users.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Flags in field 9 of /proc/PID/stat, from the kernel's sched.h. */
#define PF_FORKNOEXEC 0x00000040u /* has not called execve(2) since its fork(2) */
#define SIGIGN_SIGCHLD BIT(16) /* SIGCHLD is 17 */

/* /proc/stat has a line for each CPU and a number for each interrupt. */
#define HOST_SIZE (1u << 20)
/* A longer command line is left to be read when it is asked for. */
#define CMDLINE_SIZE (64u << 10)

struct procfs {
    struct source source;
    struct proc_dir dir;
    unsigned collect;  /* bits of enum collect */
    bool brief;        /* status and what tells who slept are not read */
    bool spares_memory, spares_fd_limits; /* nobody asks for what status, limits have */
    bool reads_status;
    bool with_cmdlines;
    bool delayacct;    /* kernel.task_delayacct is on */
    bool shows_layout; /* stat has the places of code and stack (gVisor's has 0) */
    bool partial, lacks_rights;
    bool lacks_net_admin; /* nothing else keeps us from taskstats */
    bool lacks_io, lacks_schedstat; /* the kernel was built without these files */
    uint64_t page_bytes;

    struct listed *listed;
    size_t listed_count, listed_size;
    struct proc_tree *tree; /* lists them; NULL: all are listed */
    bool opened_since;      /* the listing: a process is open, or has been */

    uint64_t marker; /* of the open process */
    int status_fd; /* of the open process; -errno: it could not be opened; -ESRCH: none is open */
    struct taskstats_ahead *taskstats; /* NULL: not allowed */
    bool forgets_switches; /* taskstats does, those of ended threads */
    struct proc_threads *threads;
    struct proc_sockets *sockets; /* NULL: they are not to be collected, or can't be */
    struct tally_error no_sockets; /* why they can't */
    struct users *users, *groups;
    struct proc_identity identity; /* of the open process */
    struct thread_sample main_thread; /* of the open process … */
    struct thread_samples main_threads; /* … and that alone */
    char host[HOST_SIZE];
    char cmdline[CMDLINE_SIZE]; /* of the open process */
};

static struct procfs *procfs_of(struct source *s) {
    return (struct procfs *)(void *)s;
}

static bool collects(const struct procfs *p, enum collect what) {
    return p->collect & 1u << what;
}

/* ---- Listing ------------------------------------------------------------------------ */

/* A process's directory has an inode of its own, with a number that the kernel does not
 * give again before it has counted through 32 bits; or 1, if there was no memory for it. */
static int add_listed(void *data, uint32_t pid, uint64_t inode) {
    struct procfs *p = data;
    if (p->listed_count == p->listed_size) {
        size_t size = p->listed_size ? p->listed_size * 2 : 1024;
        struct listed *listed = realloc(p->listed, size * sizeof(*listed));
        if (!listed)
            return -ENOMEM;
        p->listed = listed;
        p->listed_size = size;
    }
    p->listed[p->listed_count++] = (struct listed){.pid = pid, .marker = inode > 1 ? inode : 0};
    return 0;
}

static int by_pid(const void *a, const void *b) {
    uint32_t x = ((const struct listed *)a)->pid, y = ((const struct listed *)b)->pid;
    return x < y ? -1 : x > y;
}

static void ask_tree(void *data, const uint32_t *pids, size_t count, struct proc_run *ret);

static int procfs_list(struct source *s, bool in_full, const struct listed **ret_listed,
                       size_t *ret_count) {
    struct procfs *p = procfs_of(s);
    const struct io *io = p->dir.io;
    (void)in_full; /* nobody is listed as asleep anyway */
    p->listed_count = 0;
    p->opened_since = false;
    if (!p->tree && io->rewind(io->data, p->dir.fd) < 0)
        return -errno;
    int r = p->tree ? proc_tree_list(p->tree, ask_tree, add_listed, p)
                    : proc_list_numbers(&p->dir, p->dir.fd, UINT64_MAX, add_listed, p);
    if (r < 0)
        return r;
    for (size_t i = 1; i < p->listed_count; i++)
        if (p->listed[i - 1].pid > p->listed[i].pid) { /* the kernel lists them in order */
            qsort(p->listed, p->listed_count, sizeof(*p->listed), by_pid);
            break;
        }
    if (p->taskstats)
        taskstats_ahead_begin(p->taskstats, p->listed, p->listed_count);
    proc_threads_begin(p->threads);
    if (p->sockets)
        proc_sockets_begin(p->sockets);
    *ret_listed = p->listed;
    *ret_count = p->listed_count;
    return 0;
}

/* ---- A process: stat ------------------------------------------------------------------ */

/* What changes when a process gets a new program: the places of its parts,
 * which the kernel draws anew (seen only with the right to trace it, else the first is
 * 1), and the flag of a process that was only forked. 0: it can't be told, as there is
 * no address space any more, or the new one is not laid out yet. */
static uint64_t exec_marker(const struct procfs *p, const struct stat_line *stat) {
    const bool is_zombie = stat->state == 'Z' || stat->state == 'X';
    if (stat->flags & PF_KTHREAD)
        return 1;
    if (is_zombie || (p->shows_layout && stat->start_code == 0))
        return 0;
    uint64_t h = stat->start_code;
    h = h * UINT64_C(0x9e3779b97f4a7c15) + stat->start_stack;
    h = h * UINT64_C(0x9e3779b97f4a7c15) + stat->start_data;
    h = h * UINT64_C(0x9e3779b97f4a7c15) + stat->arg_start;
    return h << 2 | (uint64_t)!(stat->flags & PF_FORKNOEXEC) << 1 | 1;
}

static void sample_from_stat(const struct procfs *p, const struct stat_line *stat,
                             struct sample *ret) {
    *ret = (struct sample){
        .pid = stat->pid,
        .ppid = stat->ppid,
        .start_ticks = stat->start_ticks,
        .exec_marker = exec_marker(p, stat),
        .is_kernel = stat->flags & PF_KTHREAD,
        .state = stat->state,
        .has_terminal = true,
        .terminal = stat->terminal,
        .leads_session = stat->leads_session,
        .in_foreground = stat->in_foreground,
    };
    const uint64_t tick_ns = p->source.tick_ns;
    size_t comm_len = comm_len_of(stat);
    ret->comm_len = (uint8_t)(comm_len < sizeof(ret->comm) ? comm_len : sizeof(ret->comm));
    memcpy(ret->comm, stat->comm, ret->comm_len);
    sample_set(ret, FIELD_UTIME_NS, stat->utime_ticks * tick_ns);
    sample_set(ret, FIELD_STIME_NS, stat->stime_ticks * tick_ns);
    sample_set(ret, FIELD_CUTIME_NS, stat->cutime_ticks * tick_ns);
    sample_set(ret, FIELD_CSTIME_NS, stat->cstime_ticks * tick_ns);
    sample_set(ret, FIELD_MINFLT, stat->minflt);
    sample_set(ret, FIELD_MAJFLT, stat->majflt);
    sample_set(ret, FIELD_CMINFLT, stat->cminflt);
    sample_set(ret, FIELD_CMAJFLT, stat->cmajflt);
    sample_set(ret, FIELD_RSS_BYTES, stat->rss_pages * p->page_bytes);
    sample_set(ret, FIELD_VMS_BYTES, stat->vsize_bytes);
    sample_set(ret, FIELD_THREADS, stat->threads);
    sample_set(ret, FIELD_PRIORITY, (uint64_t)stat->priority);
    sample_set(ret, FIELD_NICE, (uint64_t)stat->nice);
    if (stat->has_blkio_delay && p->delayacct && stat->threads == 1)
        sample_set(ret, FIELD_BLKIO_DELAY_NS, stat->blkio_delay_ticks * tick_ns);
}

/* Where status is left out: what else it would tell, of the line that was read last. */
static void sample_from_stat_alone(const struct procfs *p, size_t len, struct sample *ret) {
    uint64_t ignored;
    if (parse_stat_ignored(p->dir.record, len, &ignored) == 0)
        ret->ignores_children = ignored & SIGIGN_SIGCHLD;
}

static int read_stat(struct procfs *p, uint32_t pid, struct sample *ret) {
    struct stat_line stat;
    ssize_t n = proc_read(&p->dir, pid, "stat");
    int r = n < 0 ? (int)n : parse_stat(p->dir.record, (size_t)n, &stat);
    if (r == -ENOENT)
        return -ESRCH;
    if (r == 0 && stat.pid != pid)
        return -EBADMSG;
    if (r == 0) {
        sample_from_stat(p, &stat, ret);
        if (p->spares_memory)
            sample_from_stat_alone(p, (size_t)n, ret);
    }
    return r;
}

/* ---- The rest of it -------------------------------------------------------------------- */

/* Is the open process there still? Its file then is the one that its path leads to.
 * Without that file the start time tells. */
static bool is_still_there(struct procfs *p, const struct sample *s) {
    struct proc_dir *d = &p->dir;
    const struct io *io = d->io;
    struct sample now;
    struct stat ours, found;
    if (p->status_fd < 0)
        return read_stat(p, s->pid, &now) == 0 && now.start_ticks == s->start_ticks;
    return io->fstatat(io->data, p->status_fd, "", &ours, AT_EMPTY_PATH) == 0 &&
           io->fstatat(io->data, d->fd, proc_path(d, s->pid, "status"), &found, 0) == 0 &&
           ours.st_ino == found.st_ino;
}

/* Of the file of which the text was just read. */
static int set_memory_details(struct procfs *p, struct sample *s, size_t len) {
    static const enum field fields[MEMORY_LINES] = {
        [MEMORY_LINE_SHMEM] = FIELD_SHMEM_BYTES,
        [MEMORY_LINE_LOCKED] = FIELD_LOCKED_BYTES,
        [MEMORY_LINE_PAGE_TABLES] = FIELD_PAGE_TABLE_BYTES,
    };
    const unsigned shared = 1u << MEMORY_LINE_FILE | 1u << MEMORY_LINE_SHMEM;
    struct status_memory m;
    int r = parse_status_memory(p->dir.record, len, &m);
    if (r < 0)
        return r;
    if (s->is_kernel) /* it has none of it */
        m = (struct status_memory){.known = (1u << MEMORY_LINES) - 1};
    for (size_t i = MEMORY_LINE_SHMEM; i < MEMORY_LINES; i++)
        if (m.known & 1u << i)
            sample_set(s, fields[i], m.bytes[i]);
    if ((m.known & shared) == shared)
        sample_set(s, FIELD_SHARED_BYTES, m.bytes[MEMORY_LINE_FILE] + m.bytes[MEMORY_LINE_SHMEM]);
    return 0;
}

/* The kernel works it out anew each time. Before the other files, see procfs_open(). */
static int measure_oom_score(struct procfs *p, struct sample *s) {
    uint64_t score = 0;
    if (s->value[FIELD_VMS_BYTES] == 0 && !s->is_kernel)
        return 0; /* it has ended, and has nothing to give any more */
    if (!s->is_kernel) {
        const ssize_t n = proc_read(&p->dir, s->pid, "oom_score");
        int r = n < 0 ? (int)n : parse_oom_score(p->dir.record, (size_t)n, &score);
        if (r < 0)
            return proc_note_error(s, ORIGIN_STATUS, r);
    }
    sample_set(s, FIELD_OOM_SCORE, score);
    return 0;
}

static int measure_status(struct procfs *p, struct sample *s, struct status_file *status) {
    ssize_t n = p->status_fd < 0 ? p->status_fd : proc_read_fd(&p->dir, p->status_fd);
    int r = n < 0 ? (int)n : parse_status(p->dir.record, (size_t)n, status);
    if (r == 0 && collects(p, COLLECT_MEMORY_DETAILS))
        r = set_memory_details(p, s, (size_t)n);
    if (r < 0) {
        *status = (struct status_file){0};
        r = proc_note_error(s, ORIGIN_STATUS, r);
        return r < 0 || is_still_there(p, s) ? r : -ESRCH;
    }
    if (status->has_ids) {
        s->uid = status->uid;
        s->gid = status->gid;
        s->has_credentials = true;
    }
    s->ignores_children = status->sigign & SIGIGN_SIGCHLD;
    /* since Linux 6.2 stat lags behind this, by up to some pages for each CPU */
    if (status->has_rss)
        sample_set(s, FIELD_RSS_BYTES, status->rss_bytes);
    /* Without an address space (kernel threads, zombies) the lines are missing,
     * and what they would say is known: nothing. */
    if (status->has_swap || !status->has_memory)
        sample_set(s, FIELD_SWAP_BYTES, status->swap_bytes);
    /* half of it would be too little */
    if ((status->has_anon && status->has_swap) || !status->has_memory)
        sample_set(s, FIELD_FOOTPRINT_BYTES, status->anon_bytes + status->swap_bytes);
    if (collects(p, COLLECT_MEMORY_DETAILS) && (status->has_rss_peak || s->is_kernel))
        sample_set(s, FIELD_RSS_PEAK_BYTES, status->rss_peak_bytes);
    sample_set(s, FIELD_DATA_BYTES, status->data_bytes);
    sample_set(s, FIELD_STACK_BYTES, status->stack_bytes);
    sample_set(s, FIELD_CODE_BYTES, status->code_bytes);
    return 0;
}

static int measure_io(struct procfs *p, struct sample *s) {
    struct io_file io;
    ssize_t n = proc_read(&p->dir, s->pid, "io");
    int r = n < 0 ? (int)n : parse_io(p->dir.record, (size_t)n, &io);
    if (r < 0)
        return proc_note_error(s, ORIGIN_IO, r);
    sample_set(s, FIELD_IO_READ_BYTES, io.rchar);
    sample_set(s, FIELD_IO_WRITTEN_BYTES, io.wchar);
    sample_set(s, FIELD_IO_READS, io.syscr);
    sample_set(s, FIELD_IO_WRITES, io.syscw);
    sample_set(s, FIELD_DISK_READ_BYTES, io.read_bytes);
    sample_set(s, FIELD_DISK_WRITTEN_BYTES, io.write_bytes);
    return 0;
}

static int measure_fds(struct procfs *p, struct sample *s, bool with_limit) {
    uint64_t count, limit;
    int r = proc_count_fds(&p->dir, s->pid, &count);
    if (r < 0)
        return proc_note_error(s, ORIGIN_FD, r);
    sample_set(s, FIELD_OPEN_FDS, count);
    if (!with_limit || p->spares_fd_limits)
        return 0;
    ssize_t n = proc_read(&p->dir, s->pid, "limits");
    r = n < 0 ? (int)n : parse_fd_limit(p->dir.record, (size_t)n, &limit);
    if (r < 0)
        return proc_note_error(s, ORIGIN_LIMITS, r);
    sample_set(s, FIELD_FD_LIMIT, limit);
    return 0;
}

/* Switches and waits of all threads. Every run of a thread begins with a slice and ends in a
 * switch, and one that has not ended yet shows in the time: as long as all stand still, nothing
 * has run. (The last run of a thread that ends may show in its slice alone: it is left out of
 * the sums before its last switch, and perhaps before the next tick.) */
static int sample_set_taskstats(const struct procfs *p, struct sample *s,
                                const struct taskstats_answer *answer) {
    if (answer->error)
        return proc_note_error(s, ORIGIN_SCHED, answer->error);
    sample_set(s, FIELD_VOLUNTARY_SWITCHES, answer->voluntary_switches);
    sample_set(s, FIELD_INVOLUNTARY_SWITCHES, answer->involuntary_switches);
    if (p->delayacct)
        sample_set(s, FIELD_BLKIO_DELAY_NS, answer->blkio_delay_ns);
    if (answer->run_ns == 0) /* a kernel without CONFIG_TASK_DELAY_ACCT leaves it and the wait 0 */
        return 0;
    sample_set(s, FIELD_RUN_QUEUE_WAIT_NS, answer->run_queue_wait_ns);
    s->activity = answer->run_ns + answer->slices + answer->voluntary_switches +
                  answer->involuntary_switches + 1;
    return 0;
}

static int measure_taskstats(struct procfs *p, struct sample *s) {
    struct taskstats_answer answer;
    /* the start time is cut to a whole tick */
    taskstats_ahead_of_open(p->taskstats, s->pid, (s->start_ticks + 1) * p->source.tick_ns,
                            &answer);
    return sample_set_taskstats(p, s, &answer);
}

static uint64_t activity_of_schedstat(const struct schedstat_file *sched) {
    return sched->run_ns + sched->slices + 1;
}

/* A process whose only thread ever was the main one: its own file says all. */
static int measure_schedstat(struct procfs *p, struct sample *s) {
    struct schedstat_file sched;
    ssize_t n = proc_read(&p->dir, s->pid, "schedstat");
    int r = n < 0 ? (int)n : parse_schedstat(p->dir.record, (size_t)n, &sched);
    if (r < 0)
        return proc_note_error(s, ORIGIN_SCHED, r);
    if (!schedstat_is_known(&sched))
        return 0;
    sample_set(s, FIELD_RUN_QUEUE_WAIT_NS, sched.wait_ns);
    s->activity = activity_of_schedstat(&sched);
    return 0;
}

static void ask_schedstat(struct procfs *p, uint32_t pid, struct proc_run *ret) {
    struct schedstat_file sched;
    const ssize_t n = proc_read(&p->dir, pid, "schedstat");
    if (n > 0 && parse_schedstat(p->dir.record, (size_t)n, &sched) == 0 &&
        schedstat_is_known(&sched))
        *ret = (struct proc_run){.activity = activity_of_schedstat(&sched),
                                 .slices = sched.slices};
}

_Static_assert(PROC_TREE_BATCH <= TASKSTATS_BATCH, "a question for each");

/* For the tree, whose answers do for activity_of() too. */
static void ask_tree(void *data, const uint32_t *pids, size_t count, struct proc_run *ret) {
    struct procfs *p = data;
    struct taskstats_answer answers[PROC_TREE_BATCH] = {{0}};
    if (p->taskstats)
        taskstats_ahead_query(p->taskstats, pids, count, answers);
    for (size_t i = 0; i < count; i++) {
        struct sample s = {.pid = pids[i]};
        if (p->taskstats && sample_set_taskstats(p, &s, &answers[i]) == 0 && s.activity)
            ret[i] = (struct proc_run){.activity = s.activity, .slices = answers[i].slices};
        else if (answers[i].error == 0)
            ask_schedstat(p, pids[i], &ret[i]);
    }
}

static void add_to(struct sample *s, enum field f, uint64_t more) {
    sample_set(s, f, (s->have & BIT(f) ? s->value[f] : 0) + more);
}

/* taskstats has what ended threads did, and leaves out the main one once it is a zombie.
 * -ESRCH. */
static int add_zombie(struct procfs *p, struct sample *s, const struct status_file *status) {
    struct sample own = {.pid = s->pid};
    int r = measure_schedstat(p, &own);
    if (r < 0)
        return r;
    if (own.have & BIT(FIELD_RUN_QUEUE_WAIT_NS))
        add_to(s, FIELD_RUN_QUEUE_WAIT_NS, own.value[FIELD_RUN_QUEUE_WAIT_NS]);
    if (status->has_switches) {
        add_to(s, FIELD_VOLUNTARY_SWITCHES, status->voluntary_switches);
        add_to(s, FIELD_INVOLUNTARY_SWITCHES, status->involuntary_switches);
    }
    return 0;
}

static bool is_single_threaded(const struct procfs *p, const struct sample *s) {
    return s->value[FIELD_THREADS] <= 1 &&
           ((p->taskstats && !p->forgets_switches) || !proc_threads_has(p->threads, s));
}

/* Are they known only thread by thread? */
static bool adds_waits_up(const struct procfs *p) {
    return !p->taskstats && collects(p, COLLECT_DELAYS);
}
static bool adds_switches_up(const struct procfs *p) {
    return (!p->taskstats || p->forgets_switches) && collects(p, COLLECT_CONTEXT_SWITCHES);
}

static int measure_threads(struct procfs *p, struct sample *s, bool idle, bool names) {
    const bool waits = adds_waits_up(p), switches = adds_switches_up(p);
    if (p->forgets_switches)
        s->have &= ~(BIT(FIELD_VOLUNTARY_SWITCHES) | BIT(FIELD_INVOLUNTARY_SWITCHES));
    const struct proc_threads_wanted wanted = {
        .running = collects(p, COLLECT_THREADS),
        .totals = switches || waits,
        .waits = waits,
        .names = names,
        .names_switches = collects(p, COLLECT_CONTEXT_SWITCHES),
        .names_io = collects(p, COLLECT_IO),
    };
    return proc_threads_measure(p->threads, s, wanted, idle);
}

static void measure_single_thread(const struct procfs *p, struct sample *s,
                                  const struct status_file *status) {
    if (!p->taskstats && status->has_switches) {
        sample_set(s, FIELD_VOLUNTARY_SWITCHES, status->voluntary_switches);
        sample_set(s, FIELD_INVOLUNTARY_SWITCHES, status->involuntary_switches);
    }
    if (collects(p, COLLECT_THREADS))
        sample_set(s, FIELD_THREADS_RUNNING, s->state == 'R');
}

/* A short read is the end of it. */
static void read_cmdline(struct procfs *p, struct sample *s) {
    const struct io *io = p->dir.io;
    const int fd = proc_open(&p->dir, s->pid, "cmdline", 0);
    if (fd < 0)
        return;
    ssize_t n = io->read(io->data, fd, p->cmdline, sizeof(p->cmdline));
    io->close(io->data, fd);
    if (n < 0 || (size_t)n == sizeof(p->cmdline))
        return;
    while (n > 0 && p->cmdline[n - 1] == '\0')
        n--;
    s->cmdline = p->cmdline;
    s->cmdline_len = (size_t)n;
}

/* Resident memory as in status, for less. */
static int measure_brief(struct procfs *p, struct sample *s) {
    struct proc_dir *d = &p->dir;
    uint64_t rss_pages;
    if (s->value[FIELD_VMS_BYTES] > 0) { /* it has an address space */
        const ssize_t n = proc_read(d, s->pid, "statm");
        int r = n < 0 ? (int)n : parse_statm(d->record, (size_t)n, &rss_pages);
        if (r == 0)
            sample_set(s, FIELD_RSS_BYTES, rss_pages * p->page_bytes);
        else
            r = proc_note_error(s, ORIGIN_STATUS, r);
        if (r < 0)
            return r;
        if (p->with_cmdlines)
            read_cmdline(p, s);
    }
    return 0;
}

/* The user, without status; and whether it still is the process that was listed. The directory
 * of a process, unlike what is in it, belongs to its effective user whatever the process is;
 * and it is another one, of another inode, if the pid has been given to another process since
 * the list was made. */
static int measure_owner(struct procfs *p, struct sample *s) {
    struct proc_dir *d = &p->dir;
    struct stat st;
    if (d->io->fstatat(d->io->data, d->fd, proc_path(d, s->pid, ""), &st, 0) < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    if (p->source.marks_by_inode && p->marker && st.st_ino != p->marker)
        return -ESRCH;
    s->uid = st.st_uid;
    s->gid = st.st_gid;
    s->has_credentials = true;
    return 0;
}

/* The only thread of a process, by the figures of the process. What it read and wrote is told
 * only if it has reaped no child: each has page faults, which would have become its own. Else
 * the thread's own file tells. */
static int tell_main_thread(struct procfs *p, struct sample *s) {
    struct thread_sample *thread = &p->main_thread;
    struct io_file io;
    *thread = (struct thread_sample){
        .tid = s->pid, .start_ticks = s->start_ticks, .comm_len = s->comm_len};
    memcpy(thread->comm, s->comm, s->comm_len);
    for (enum thread_field f = 0; f < THREAD_FIELDS; f++)
        if (s->have & BIT(field_of_thread(f)))
            thread_sample_set(thread, f, s->value[field_of_thread(f)]);
    if (s->value[FIELD_CMINFLT] && s->have & BIT(FIELD_DISK_READ_BYTES)) {
        thread->have &= ~(1u << THREAD_DISK_READ_BYTES | 1u << THREAD_DISK_WRITTEN_BYTES);
        int r = proc_threads_read_io(p->threads, s->pid, &io);
        if (r == -ESRCH)
            return r;
        if (r == 0)
            thread_sample_set_io(thread, &io);
    }
    p->main_threads = (struct thread_samples){thread, 1, true, true, true};
    s->threads = &p->main_threads;
    return 0;
}

static int measure_without_status(struct procfs *p, struct sample *s) {
    int r = p->brief ? measure_brief(p, s) : 0;
    return r < 0 ? r : measure_owner(p, s);
}

static int measure(struct procfs *p, struct sample *s, struct measure_hints hints) {
    struct status_file status = {0};
    const bool is_single = is_single_threaded(p, s);
    int r = 0;
    /* Before the files: if the process ends in between and its number is given
     * to another, they say ESRCH and the whole sample is dropped. */
    if (p->taskstats)
        r = measure_taskstats(p, s);
    else if (is_single && (!p->brief || collects(p, COLLECT_DELAYS)))
        r = measure_schedstat(p, s);
    if (r == 0 && collects(p, COLLECT_IO))
        r = measure_io(p, s);
    if (r == 0 && collects(p, COLLECT_FDS))
        r = measure_fds(p, s, hints.fd_limit);
    if (r == 0 && collects(p, COLLECT_MEMORY_DETAILS) && !p->brief)
        r = measure_oom_score(p, s);
    if (r == 0 && p->sockets && !hints.left_out)
        r = proc_sockets_measure(p->sockets, s);
    if (r == 0 && (!is_single || hints.threads == THREADS_ALL))
        r = measure_threads(p, s, hints.idle, hints.threads == THREADS_ALL);
    if (r == 0) /* last: see procfs_open() */
        r = p->reads_status ? measure_status(p, s, &status) : measure_without_status(p, s);
    if (r == 0 && is_single)
        measure_single_thread(p, s, &status);
    if (r == 0 && p->taskstats && s->state == 'Z' && is_single)
        r = add_zombie(p, s, &status);
    if (r == 0 && hints.threads == THREADS_MAIN)
        r = tell_main_thread(p, s);
    return r;
}

/* ---- The operations of the source -------------------------------------------------------- */

static void procfs_close(struct source *s) {
    struct procfs *p = procfs_of(s);
    if (p->status_fd >= 0)
        p->dir.io->close(p->dir.io->data, p->status_fd);
    p->status_fd = -ESRCH;
}

/* Is what the tree was told still true? See taskstats_ahead_of_sleeper(). */
static bool is_still_listed(struct procfs *p, const struct listed *listed) {
    const struct proc_dir *d = &p->dir;
    struct stat st;
    return !p->opened_since ||
           (d->io->fstatat(d->io->data, d->fd, proc_path(&p->dir, listed->pid, ""), &st, 0) == 0 &&
            st.st_ino == listed->marker);
}

/* The number that measuring puts into a sample's activity, in the cheapest way. 0: it
 * can't be told, or the process is gone. */
static uint64_t activity_of(struct procfs *p, const struct listed *listed) {
    struct sample s = {.pid = listed->pid};
    struct taskstats_answer answer;
    const uint64_t told = p->tree ? proc_tree_activity(p->tree, listed->pid) : 0;
    int r;
    if (told)
        return is_still_listed(p, listed) ? told : 0;
    if (p->taskstats) {
        taskstats_ahead_of_sleeper(p->taskstats, listed->pid, &answer);
        r = sample_set_taskstats(p, &s, &answer);
    } else {
        r = measure_schedstat(p, &s);
    }
    return r < 0 ? 0 : s.activity;
}

/* See count/proctable.h: kernel threads and zombies have no memory. */
static int procfs_measure_memory(struct source *source, const struct listed *listed,
                                 struct sample *s) {
    struct procfs *p = procfs_of(source);
    const struct proc_dir *d = &p->dir;
    struct status_file status = {0};
    struct stat st;
    if (s->value[FIELD_VMS_BYTES] == 0 || p->spares_memory)
        return 0;
    if (!p->reads_status)
        return -EAGAIN;
    s->unreadable &= ~(1u << ORIGIN_STATUS);
    int r = collects(p, COLLECT_MEMORY_DETAILS) ? measure_oom_score(p, s) : 0;
    p->status_fd = proc_open(&p->dir, s->pid, "status", 0);
    if (r == 0)
        r = measure_status(p, s, &status);
    s->has_credentials = false; /* by that a sample is told which has a name, too */
    procfs_close(source);
    if (r == 0 && !status.has_rss) /* it could not be read, or stat's has to do */
        r = -EAGAIN;
    /* last: if the pid has been given to another process since, its directory is another */
    if (r == 0 && (d->io->fstatat(d->io->data, d->fd, proc_path(&p->dir, s->pid, ""), &st, 0) < 0 ||
                   st.st_ino != listed->marker))
        r = -ESRCH;
    return r;
}

static int procfs_memory_moves(struct source *s, uint64_t *ret) {
    struct procfs *p = procfs_of(s);
    ssize_t n = io_read_file(p->dir.io, p->dir.fd, "vmstat", p->host, sizeof(p->host), NULL);
    return n < 0 ? (int)n : parse_vmstat_moves(p->host, (size_t)n, ret);
}

/* The pid can be given to another process at any time, so that two paths may lead to two
 * processes. But what is open stays with the process that it was opened of, and says
 * ESRCH once that has ended: status is opened first and read last, and if it can be read,
 * all that was read in between is of the same process. */
static int procfs_open(struct source *s, const struct listed *listed, uint64_t activity,
                       struct sample *ret) {
    struct procfs *p = procfs_of(s);
    procfs_close(s);
    if (activity && activity_of(p, listed) == activity) {
        const int r = p->sockets ? proc_sockets_keep(p->sockets, listed->pid) : 0;
        return r < 0 ? r : 1;
    }
    p->opened_since = true;
    if (p->taskstats)
        taskstats_ahead_note_opened(p->taskstats);
    p->marker = listed->marker;
    if (p->reads_status)
        p->status_fd = proc_open(&p->dir, listed->pid, "status", 0);
    int r = read_stat(p, listed->pid, ret);
    if (r < 0)
        procfs_close(s);
    else if (p->tree && ret->state != 'R' && ret->value[FIELD_THREADS] == 1)
        proc_tree_note_asleep(p->tree, ret->pid);
    return r;
}

static int procfs_measure(struct source *source, struct sample *s, struct measure_hints hints) {
    struct procfs *p = procfs_of(source);
    int r = measure(p, s, hints);
    if (!collects(p, COLLECT_CONTEXT_SWITCHES))
        s->have &= ~(BIT(FIELD_VOLUNTARY_SWITCHES) | BIT(FIELD_INVOLUNTARY_SWITCHES));
    if (!collects(p, COLLECT_DELAYS))
        s->have &= ~(BIT(FIELD_RUN_QUEUE_WAIT_NS) | BIT(FIELD_BLKIO_DELAY_NS));
    sample_drop_main_threads(s);
    return r;
}

static int procfs_identify(struct source *source, const struct sample *s, unsigned parts,
                           struct identity *ret) {
    const unsigned files = parts & IDENTITY_FILES;
    struct procfs *p = procfs_of(source);
    *ret = (struct identity){
        .pid = s->pid,
        .ppid = s->ppid,
        .uid = s->uid,
        .gid = s->gid,
        .has_credentials = s->has_credentials,
        .is_kernel = s->is_kernel,
        .start_ticks = s->start_ticks,
        .start_time_s = (source->boot_unix_ns + s->start_ticks * source->tick_ns) / NS_PER_S,
        .comm = {s->comm, s->comm_len},
    };
    if (files) {
        int r = proc_identify(&p->dir, s->pid, files, &p->identity, ret);
        if (r < 0 || !is_still_there(p, s))
            return -ESRCH;
    }
    ret->lacks_arguments = ret->lacks_arguments && s->value[FIELD_VMS_BYTES] > 0;
    if (parts & IDENTITY_NAMES && s->has_credentials)
        proc_set_names(p->users, p->groups, parts, ret);
    return 0;
}

static int procfs_pss(struct source *s, uint32_t pid, struct pss *ret) {
    struct procfs *p = procfs_of(s);
    ssize_t n = proc_read(&p->dir, pid, "smaps_rollup");
    if (n == 0) { /* a kernel thread */
        *ret = (struct pss){.has_swap = true};
        return 0;
    }
    return n < 0 ? (int)n : parse_pss(p->dir.record, (size_t)n, ret);
}

/* "0": it runs, or we may not know. */
static ssize_t procfs_wait_channel(struct source *s, uint32_t pid, uint32_t tid, char *to,
                                   size_t size) {
    struct procfs *p = procfs_of(s);
    char name[32] = "task/";
    size_t len = strlen(name);
    len += format_u64(name + len, tid);
    memcpy(name + len, "/wchan", sizeof("/wchan"));
    /* not by proc_read(), which would ask once more for the line feed that is not there */
    const int fd = proc_open(&p->dir, pid, name, 0);
    if (fd < 0)
        return fd;
    ssize_t n = p->dir.io->read(p->dir.io->data, fd, to, size);
    n = n < 0 ? -errno : n;
    p->dir.io->close(p->dir.io->data, fd);
    return n == 1 && to[0] == '0' ? 0 : n;
}

static int procfs_sockets(struct source *s, const struct socket_use *use) {
    struct procfs *p = procfs_of(s);
    return p->sockets ? proc_sockets_tell(p->sockets, use) : -ENOTSUP;
}

static bool procfs_is_alive(struct source *s, uint32_t pid, uint64_t start_ticks) {
    struct sample sample = {0};
    return read_stat(procfs_of(s), pid, &sample) == 0 && sample.start_ticks == start_ticks;
}

static int procfs_host(struct source *s, struct host_stat *ret) {
    struct procfs *p = procfs_of(s);
    ssize_t n = io_read_file(p->dir.io, p->dir.fd, "stat", p->host, sizeof(p->host), NULL);
    int r = n < 0 ? (int)n : parse_host_stat(p->host, (size_t)n, ret);
    if (r == 0)
        s->boot_unix_ns = ret->boot_time * NS_PER_S;
    return r;
}

#define IN_IO                                                                      \
    (BIT(FIELD_IO_READ_BYTES) | BIT(FIELD_IO_WRITTEN_BYTES) | BIT(FIELD_IO_READS) | \
     BIT(FIELD_IO_WRITES) | BIT(FIELD_DISK_READ_BYTES) | BIT(FIELD_DISK_WRITTEN_BYTES))

static void procfs_health(struct source *s, struct source_health *ret) {
    const struct procfs *p = procfs_of(s);
    *ret = (struct source_health){
        .is_partial = p->partial,
        .lacks_rights = p->lacks_rights,
        .reads_by_thread = p->lacks_net_admin && (collects(p, COLLECT_CONTEXT_SWITCHES) ||
                                                  collects(p, COLLECT_DELAYS)),
        .threads_skipped = proc_threads_skipped(p->threads),
        .by_taskstats = p->taskstats != NULL,
    };
    ret->no_sockets = p->sockets ? *proc_sockets_missing(p->sockets) : p->no_sockets;
    if (p->lacks_io && collects(p, COLLECT_IO))
        ret->lacks[KERNEL_IO_ACCOUNTING] = IN_IO;
    if (p->lacks_schedstat && !p->taskstats && collects(p, COLLECT_DELAYS))
        ret->lacks[KERNEL_SCHED_INFO] = BIT(FIELD_RUN_QUEUE_WAIT_NS);
}

static struct source *procfs_free(struct source *s) {
    struct procfs *p = procfs_of(s);
    procfs_close(s);
    taskstats_ahead_free(p->taskstats);
    proc_threads_free(p->threads);
    proc_sockets_free(p->sockets);
    proc_tree_free(p->tree);
    users_free(p->users);
    users_free(p->groups);
    proc_dir_close(&p->dir);
    free(p->listed);
    free(p);
    return NULL;
}

/* ---- What this /proc has to offer --------------------------------------------------------- */

/* Are pids here the ones that the kernel knows us by? Not if the tree is of another pid
 * namespace: then netlink would answer about other processes. */
static bool has_our_pids(const struct procfs *p) {
    const struct io *io = p->dir.io;
    char target[24], own[24];
    ssize_t n = io->readlinkat(io->data, p->dir.fd, "self", target, sizeof(target));
    return n > 0 && (size_t)n == format_u64(own, (uint64_t)getpid()) &&
           memcmp(own, target, (size_t)n) == 0;
}

/* hidepid=2 hides all but our own processes, hidepid=1 lists but closes them: process 1
 * is never ours, unless we may see everything or it is us. */
static bool hides_processes(struct procfs *p) {
    return proc_read(&p->dir, 1, "stat") < 0;
}

/* Root's rights are these; collectd's unit takes them away from root, too. */
static bool has_rights(void) {
    const uint32_t needed = 1u << CAP_SYS_PTRACE | 1u << CAP_DAC_READ_SEARCH;
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    return syscall(SYS_capget, &header, data) == 0 && (data[0].effective & needed) == needed;
}

/* Each process has the files that this one has, or the kernel was built without. */
static bool lacks_file(const struct proc_dir *d, const char *file) {
    struct stat st;
    return d->io->fstatat(d->io->data, d->fd, file, &st, 0) < 0 && errno == ENOENT &&
           d->io->fstatat(d->io->data, d->fd, "self/stat", &st, 0) == 0;
}

static int note_one(void *data, uint32_t number, uint64_t inode) {
    (void)number, (void)inode;
    *(bool *)data = true;
    return -EEXIST;
}

/* A directory to mount /proc on looks like a host on which nothing runs. */
static bool is_recorded(struct procfs *p) {
    const struct proc_dir *d = &p->dir;
    bool found = false;
    struct stat st;
    return d->io->fstatat(d->io->data, d->fd, "sys/kernel/random/boot_id", &st, 0) == 0 ||
           proc_list_numbers(&p->dir, d->fd, UINT64_MAX, note_one, &found) < 0 || found;
}

/* -ENOMEM; else it is only said why there are none. */
static int open_sockets(struct procfs *p, bool is_kernels) {
    if (!collects(p, COLLECT_SOCKETS))
        return 0;
    if (!is_kernels) {
        error_set(&p->no_sockets, "this is no mounted proc file system");
        return 0;
    }
    const int r = proc_sockets_new(&p->dir, &p->sockets);
    if (r == -ENOTSUP)
        error_set(&p->no_sockets, "this proctally was built without libmnl");
    else if (r < 0)
        error_set(&p->no_sockets, "sock_diag can't be asked: %s", strerror(-r));
    return r == -ENOMEM ? r : 0;
}

static int find_abilities(struct procfs *p) {
    struct proc_dir *d = &p->dir;
    struct stat st;
    struct statfs fs;
    struct stat_line own;
    p->lacks_rights = true; /* those of whoever recorded a tree are not known */
    bool is_kernels = fstatfs(d->fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
    if (is_kernels) { /* a mounted procfs, not a recorded tree */
        d->counts_fds =
            d->io->fstatat(d->io->data, d->fd, "self/fd", &st, 0) == 0 && st.st_size > 0;
        p->lacks_io = lacks_file(d, "self/io");
        p->lacks_schedstat = lacks_file(d, "self/schedstat");
        p->partial = hides_processes(p);
        p->lacks_rights = !has_rights();
        /* else thread by thread */
        p->source.marks_by_inode = true;
        const bool asks = !p->brief || collects(p, COLLECT_CONTEXT_SWITCHES) ||
                          collects(p, COLLECT_DELAYS);
        p->lacks_net_admin =
            asks && has_our_pids(p) && taskstats_ahead_new(d, &p->taskstats) == -EPERM;
        p->forgets_switches = p->taskstats && taskstats_ahead_forget_switches(p->taskstats);
    } else if (!is_recorded(p)) {
        return -ENOENT;
    }
    /* it may take several collections to read all threads once */
    if (adds_switches_up(p))
        p->source.known_late |=
            BIT(FIELD_VOLUNTARY_SWITCHES) | BIT(FIELD_INVOLUNTARY_SWITCHES);
    if (adds_waits_up(p))
        p->source.known_late |= BIT(FIELD_RUN_QUEUE_WAIT_NS);
    /* without taskstats it has the switches of a process with one thread */
    p->reads_status = !p->brief && (!p->spares_memory ||
                                    (!p->taskstats && collects(p, COLLECT_CONTEXT_SWITCHES)));
    ssize_t n = proc_read_at(d, d->fd, "sys/kernel/task_delayacct");
    p->delayacct = n > 0 && d->record[0] == '1';
    n = proc_read_at(d, d->fd, "self/stat");
    p->shows_layout = n > 0 && parse_stat(d->record, (size_t)n, &own) == 0 && own.start_code != 0;
    return open_sockets(p, is_kernels);
}

static const struct source_ops procfs_ops = {
    .free = procfs_free,
    .list = procfs_list,
    .open = procfs_open,
    .measure = procfs_measure,
    .measure_memory = procfs_measure_memory,
    .memory_moves = procfs_memory_moves,
    .identify = procfs_identify,
    .close = procfs_close,
    .pss = procfs_pss,
    .wait_channel = procfs_wait_channel,
    .sockets = procfs_sockets,
    .host = procfs_host,
    .health = procfs_health,
    .is_alive = procfs_is_alive,
};

int procfs_new(const char *root, const struct io *io, const struct procfs_wants *wants,
               struct source **ret) {
    struct procfs *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->source.ops = &procfs_ops;
    p->source.name = "procfs";
    p->source.ends = ENDS_BY_FOLDING;
    p->source.tick_ns = NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);
    p->collect = wants->collect;
    p->brief = wants->brief;
    p->with_cmdlines = wants->with_cmdlines;
    p->spares_memory = wants->spares_memory;
    p->spares_fd_limits = wants->spares_fd_limits;
    p->status_fd = -ESRCH;
    p->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    int r = proc_dir_open(&p->dir, root, io);
    if (r == 0)
        r = users_new(io, &p->users);
    if (r == 0)
        r = users_new_of_groups(io, &p->groups);
    if (r == 0)
        r = proc_threads_new(&p->dir, p->source.tick_ns, &p->threads);
    if (r == 0 && wants->followed) {
        r = proc_tree_new(&p->dir, wants->followed, &p->tree);
        r = r == -ENOTSUP ? 0 : r;
    }
    if (r == 0)
        r = find_abilities(p);
    if (r < 0) {
        procfs_free(&p->source);
        return r;
    }
    *ret = &p->source;
    return 0;
}
