/* SPDX-License-Identifier: MIT */
/* Reads /proc, or a recorded tree that looks like it. See proc(5). */
#define _GNU_SOURCE
#include "source/linux/procfs.h"

#include "base/buf.h"
#include "source/linux/parse.h"
#include "settings.h"
#include "source/linux/taskstats.h"
#include "source/linux/thread_totals.h"
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
#define PF_KTHREAD 0x00200000u

/* Files of a process that hold one record. The kernel hands such a file out in
 * one read(2) if it fits; the longest is status, with the groups of its user. */
#define FILE_SIZE (64u << 10)
/* A command line can have megabytes; no rule needs more than this. */
#define CMDLINE_SIZE (64u << 10)
#define EXE_SIZE 4096u
#define CGROUP_SIZE (16u << 10)
#define LISTING_SIZE (32u << 10)
/* /proc/stat has a line for each CPU and a number for each interrupt. */
#define HOST_SIZE (1u << 20)

/* Threads to read in one collection. At some 20 µs each this is 40 ms. What is
 * left over is first in the next collection. A process that has more than this is
 * read in parts. */
#define THREAD_BUDGET 2000u

/* Where linux_dirent64 has what; glibc gives it no portable name. */
struct directory_entry {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

struct procfs {
    struct source source;
    const struct io *io;
    unsigned collect; /* bits of enum collect */
    int root_fd;
    bool counts_fds;       /* st_size of fd/ is the number of descriptors (Linux 6.2) */
    bool delayacct;        /* kernel.task_delayacct is on */
    bool shows_layout;     /* stat has the places of code and stack (gVisor's has 0) */
    bool partial, lacks_rights;
    bool lacks_net_admin; /* nothing else keeps us from taskstats */
    uint64_t page_bytes;

    struct listed *listed;
    size_t listed_count, listed_size;

    /* Of the open process. */
    char path[40];   /* "PID/", then the name of a file */
    size_t path_len; /* without that name */
    int status_fd;   /* -errno: can't be opened; -ESRCH: no process is open */

    struct taskstats_socket *taskstats; /* NULL: not allowed */
    struct { /* asked for before its turn, for a piece of the list */
        uint64_t asked_boot_ns;
        bool opened_since; /* a process was open, or has been since */
        const struct listed *listed;
        size_t count;
        struct taskstats_answer answers[TASKSTATS_BATCH];
    } ahead;
    struct thread_totals *threads;
    uint64_t thread_budget; /* what is left of it in this collection */
    uint32_t thread_turn;   /* first pid whose threads are read this time */
    uint32_t next_thread_turn;
    uint64_t threads_skipped;
    struct { /* a process whose threads are read in parts: one at a time */
        int task_fd; /* knows how far we are; -1: none */
        bool seen;   /* in this collection */
        uint32_t pid;
        uint64_t start_ticks;
    } parts;

    struct users *users;
    char listing[LISTING_SIZE] __attribute__((aligned(8)));
    char file[FILE_SIZE];
    char cmdline[CMDLINE_SIZE], command[CMDLINE_SIZE];
    char exe[EXE_SIZE];
    char cgroup[CGROUP_SIZE], cgroups[CGROUP_SIZE + 2]; /* with brackets around */
    char host[HOST_SIZE];
};

static struct procfs *procfs_of(struct source *s) {
    return (struct procfs *)(void *)s;
}

/* A file of one record: whole after the first read(2) that leaves room. */
static ssize_t read_opened(struct procfs *p, int fd) {
    const struct io *io = p->io;
    size_t len = 0;
    ssize_t n;
    do {
        n = io->read(io->data, fd, p->file + len, sizeof(p->file) - len);
        if (n > 0)
            len += (size_t)n;
        /* a record ends with a newline: if it does not, more is to come */
    } while ((n < 0 && errno == EINTR) ||
             (n > 0 && p->file[len - 1] != '\n' && len < sizeof(p->file)));
    return n < 0 ? -errno : (ssize_t)len;
}

static ssize_t read_record(struct procfs *p, int dir_fd, const char *name) {
    const struct io *io = p->io;
    int fd = io->openat(io->data, dir_fd, name, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    ssize_t n = read_opened(p, fd);
    io->close(io->data, fd);
    return n;
}

/* ---- Listing ------------------------------------------------------------- */

/* Calls back with each name in the directory that is a number. 1: stopped after
 * some `most` names, and the next call goes on from there. */
static int list_numbers(struct procfs *p, int fd, uint64_t most,
                        int (*each)(void *data, uint32_t number, uint64_t inode), void *data) {
    const struct io *io = p->io;
    for (;;) {
        /* the shortest entry has 24 bytes, and there must be room for the longest */
        size_t size = most < sizeof(p->listing) / 24 ? (size_t)most * 24 : sizeof(p->listing);
        if (size < 280)
            size = 280;
        ssize_t n = io->getdents(io->data, fd, p->listing, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        for (ssize_t at = 0; at < n; most -= most > 0) {
            const struct directory_entry *entry = (const void *)(p->listing + at);
            at += entry->length;
            const char *digits = entry->name, *end = digits + strlen(digits);
            uint64_t number;
            if (digits[0] == '0' || parse_u64(&digits, end, &number) < 0 || digits != end ||
                number > UINT32_MAX)
                continue;
            int r = each(data, (uint32_t)number, entry->inode);
            if (r < 0)
                return r;
        }
        if (most == 0)
            return 1;
    }
}

/* A process's directory has an inode of its own, with a number that the kernel
 * does not give again before it has counted through 32 bits. 1 says that there
 * was no memory for it. */
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

static void close_parts(struct procfs *p) {
    if (p->parts.task_fd >= 0)
        p->io->close(p->io->data, p->parts.task_fd);
    p->parts.task_fd = -1;
}

static int procfs_list(struct source *s, bool in_full, const struct listed **ret_listed,
                       size_t *ret_count) {
    struct procfs *p = procfs_of(s);
    (void)in_full; /* nobody is listed as asleep anyway */
    p->listed_count = 0;
    if (p->io->rewind(p->io->data, p->root_fd) < 0)
        return -errno;
    int r = list_numbers(p, p->root_fd, UINT64_MAX, add_listed, p);
    if (r < 0)
        return r;
    for (size_t i = 1; i < p->listed_count; i++)
        if (p->listed[i - 1].pid > p->listed[i].pid) { /* not so in the kernel's listing */
            qsort(p->listed, p->listed_count, sizeof(*p->listed), by_pid);
            break;
        }
    p->ahead.count = 0;
    p->thread_budget = THREAD_BUDGET;
    p->thread_turn = p->next_thread_turn;
    p->next_thread_turn = 0;
    thread_totals_sweep(p->threads);
    if (!p->parts.seen)
        close_parts(p);
    p->parts.seen = false;
    *ret_listed = p->listed;
    *ret_count = p->listed_count;
    return 0;
}

/* ---- One process ----------------------------------------------------------- */

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

/* The kernel appends to a worker's name what it did last ("kworker/0:1-events"):
 * that is no part of who it is, and would make a new group of every task. */
static size_t comm_len_of(const struct stat_line *stat) {
    static const char worker[] = "kworker/";
    size_t at = sizeof(worker) - 1, len = stat->comm_len;
    if (!(stat->flags & PF_KTHREAD) || len <= at || memcmp(stat->comm, worker, at) != 0)
        return len;
    const char *colon = memchr(stat->comm, ':', len);
    if (!colon) /* a rescuer, "kworker/R-NAME": named for good */
        return len;
    for (at = (size_t)(colon - stat->comm); at < len; at++)
        if (stat->comm[at] == '-' || stat->comm[at] == '+')
            return at;
    return len;
}

static void sample_from_stat(const struct procfs *p, const struct stat_line *stat,
                             struct sample *ret) {
    *ret = (struct sample){
        .pid = stat->pid,
        .ppid = stat->ppid,
        .start_ticks = stat->start_ticks,
        .exec_marker = exec_marker(p, stat),
        .state = stat->state,
        .has_terminal = true,
        .terminal = stat->terminal,
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

/* Whole paths cost less than a descriptor of the directory: the kernel has its
 * name at hand. The result is valid until the next call. */
static const char *path_to(struct procfs *p, const char *file) {
    memcpy(p->path + p->path_len, file, strlen(file) + 1);
    return p->path;
}

static void turn_to(struct procfs *p, uint32_t pid) {
    p->path_len = format_u64(p->path, pid);
    p->path[p->path_len++] = '/';
}

static ssize_t read_of_process(struct procfs *p, const char *file) {
    return read_record(p, p->root_fd, path_to(p, file));
}

static void procfs_close(struct source *s) {
    struct procfs *p = procfs_of(s);
    if (p->status_fd >= 0)
        p->io->close(p->io->data, p->status_fd);
    p->status_fd = -ESRCH;
}

static int read_stat(struct procfs *p, uint32_t pid, struct sample *ret) {
    struct stat_line stat;
    ssize_t n = read_of_process(p, "stat");
    int r = n < 0 ? (int)n : parse_stat(p->file, (size_t)n, &stat);
    if (r == -ENOENT)
        return -ESRCH;
    if (r == 0 && stat.pid != pid)
        return -EBADMSG;
    if (r == 0)
        sample_from_stat(p, &stat, ret);
    return r;
}

/* Is the open process there still? Its file then is the one that its path leads
 * to. Without that file the start time tells. */
static bool is_still_there(struct procfs *p, const struct sample *s) {
    const struct io *io = p->io;
    struct sample now;
    struct stat ours, found;
    if (p->status_fd < 0)
        return read_stat(p, s->pid, &now) == 0 && now.start_ticks == s->start_ticks;
    return io->fstatat(io->data, p->status_fd, "", &ours, AT_EMPTY_PATH) == 0 &&
           io->fstatat(io->data, p->root_fd, path_to(p, "status"), &found, 0) == 0 &&
           ours.st_ino == found.st_ino;
}

/* A read of the open process failed. ESRCH ends the measurement; a file that
 * this kernel does not have is no refusal. */
static int refused(struct sample *sample, enum origin origin, int error) {
    if (error == -ESRCH)
        return -ESRCH;
    if (error != -ENOENT)
        sample->unreadable |= 1u << origin;
    return 0;
}

static int measure_status(struct procfs *p, struct sample *s, struct status_file *status) {
    ssize_t n = p->status_fd < 0 ? p->status_fd : read_opened(p, p->status_fd);
    int r = n < 0 ? (int)n : parse_status(p->file, (size_t)n, status);
    if (r < 0) {
        *status = (struct status_file){0};
        r = refused(s, ORIGIN_STATUS, r);
        return r < 0 || is_still_there(p, s) ? r : -ESRCH;
    }
    if (status->has_ids) {
        s->uid = status->uid;
        s->gid = status->gid;
        s->has_credentials = true;
    }
    s->ignores_children = status->sigign & BIT(16); /* SIGCHLD is 17 */
    /* Without an address space (kernel threads, zombies) the lines are missing,
     * and what they would say is known: nothing. */
    if (status->has_swap || !status->has_memory)
        sample_set(s, FIELD_SWAP_BYTES, status->swap_bytes);
    if (status->has_anon || !status->has_memory)
        sample_set(s, FIELD_ANON_BYTES, status->anon_bytes);
    sample_set(s, FIELD_DATA_BYTES, status->data_bytes);
    sample_set(s, FIELD_STACK_BYTES, status->stack_bytes);
    sample_set(s, FIELD_CODE_BYTES, status->code_bytes);
    return 0;
}

static int measure_io(struct procfs *p, struct sample *s) {
    struct io_file io;
    ssize_t n = read_of_process(p, "io");
    int r = n < 0 ? (int)n : parse_io(p->file, (size_t)n, &io);
    if (r < 0)
        return refused(s, ORIGIN_IO, r);
    sample_set(s, FIELD_IO_READ_BYTES, io.rchar);
    sample_set(s, FIELD_IO_WRITTEN_BYTES, io.wchar);
    sample_set(s, FIELD_IO_READS, io.syscr);
    sample_set(s, FIELD_IO_WRITES, io.syscw);
    sample_set(s, FIELD_DISK_READ_BYTES, io.read_bytes);
    sample_set(s, FIELD_DISK_WRITTEN_BYTES, io.write_bytes);
    return 0;
}

static int count_one(void *data, uint32_t number, uint64_t inode) {
    (void)number, (void)inode;
    ++*(uint64_t *)data;
    return 0;
}

/* list_numbers() passes over 0, which is a descriptor but no pid */
static int count_fds_by_listing(struct procfs *p, uint64_t *ret_count) {
    int fd = p->io->openat(p->io->data, p->root_fd, path_to(p, "fd"),
                           O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    uint64_t count = 0;
    int r = list_numbers(p, fd, UINT64_MAX, count_one, &count);
    p->io->close(p->io->data, fd);
    if (r < 0)
        return r;
    struct stat unused;
    if (p->io->fstatat(p->io->data, p->root_fd, path_to(p, "fd/0"), &unused,
                       AT_SYMLINK_NOFOLLOW) == 0)
        count++;
    /* The listing of a process that has ended is empty without an error. */
    if (count == 0 &&
        p->io->fstatat(p->io->data, p->root_fd, path_to(p, "stat"), &unused,
                       AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    *ret_count = count;
    return 0;
}

static int measure_fds(struct procfs *p, struct sample *s, bool with_limit) {
    uint64_t count = 0;
    int r = 0;
    if (p->counts_fds) {
        struct stat st;
        if (p->io->fstatat(p->io->data, p->root_fd, path_to(p, "fd"), &st, 0) < 0)
            r = -errno;
        else
            count = (uint64_t)st.st_size;
    } else {
        r = count_fds_by_listing(p, &count);
    }
    if (r < 0)
        return refused(s, ORIGIN_FD, r);
    sample_set(s, FIELD_OPEN_FDS, count);
    if (!with_limit)
        return 0;

    uint64_t limit;
    ssize_t n = read_of_process(p, "limits");
    r = n < 0 ? (int)n : parse_fd_limit(p->file, (size_t)n, &limit);
    if (r < 0)
        return refused(s, ORIGIN_LIMITS, r);
    sample_set(s, FIELD_FD_LIMIT, limit);
    return 0;
}

/* ---- Threads ------------------------------------------------------------------ */

struct thread_walk {
    struct procfs *p;
    int task_fd;
    bool totals; /* add up switches and waits, not only who runs */
    uint64_t count, running;
};

/* The files of a thread, by names relative to task/. */
static ssize_t read_of_thread(struct procfs *p, int task_fd, uint32_t tid, const char *file) {
    char name[40];
    size_t len = format_u64(name, tid);
    name[len++] = '/';
    memcpy(name + len, file, strlen(file) + 1);
    return read_record(p, task_fd, name);
}

/* That a thread has ended, or that this kernel has no such file, is no failure. What
 * failed for another reason would be taken for 0, and all of it be counted anew the
 * next time: then nothing of the thread is taken. */
static bool is_failure(ssize_t n) {
    return n < 0 && n != -ENOENT && n != -ESRCH;
}

static int walk_thread(void *data, uint32_t tid, uint64_t inode) {
    (void)inode;
    struct thread_walk *walk = data;
    struct procfs *p = walk->p;
    struct thread_values values = {0};
    ssize_t n;
    walk->count++;
    if (!walk->totals) {
        struct stat_line stat;
        n = read_of_thread(p, walk->task_fd, tid, "stat");
        if (n >= 0 && parse_stat(p->file, (size_t)n, &stat) == 0)
            walk->running += stat.state == 'R';
        return 0; /* a thread that vanished runs no more */
    }
    struct status_file status;
    n = read_of_thread(p, walk->task_fd, tid, "status");
    if (is_failure(n))
        return (int)n;
    if (n < 0 || parse_status(p->file, (size_t)n, &status) < 0 || !status.has_switches)
        return 0;
    walk->running += status.state == 'R';
    values.voluntary_switches = status.voluntary_switches;
    values.involuntary_switches = status.involuntary_switches;
    if (p->collect & 1u << COLLECT_DELAYS) {
        struct schedstat_file sched;
        n = read_of_thread(p, walk->task_fd, tid, "schedstat");
        if (is_failure(n))
            return (int)n;
        if (n == -ESRCH)
            return 0;
        if (n >= 0 && parse_schedstat(p->file, (size_t)n, &sched) == 0)
            values.run_queue_wait_ns = sched.wait_ns;
    }
    return thread_totals_add(p->threads, tid, &values);
}

/* May all threads of the process be read this time? If not, those of the first
 * that is left out are read first next time. */
static bool take_from_budget(struct procfs *p, const struct sample *s) {
    uint64_t threads = s->value[FIELD_THREADS];
    if (s->pid >= p->thread_turn && threads <= p->thread_budget) {
        p->thread_budget -= threads;
        return true;
    }
    if (s->pid >= p->thread_turn && p->next_thread_turn == 0 && threads <= THREAD_BUDGET)
        p->next_thread_turn = s->pid;
    p->threads_skipped += threads;
    return false;
}

static void sample_set_totals(struct sample *s, const struct thread_values *totals) {
    sample_set(s, FIELD_VOLUNTARY_SWITCHES, totals->voluntary_switches);
    sample_set(s, FIELD_INVOLUNTARY_SWITCHES, totals->involuntary_switches);
    sample_set(s, FIELD_RUN_QUEUE_WAIT_NS, totals->run_queue_wait_ns);
}

static int open_task(struct procfs *p) {
    int fd = p->io->openat(p->io->data, p->root_fd, path_to(p, "task"),
                           O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

static bool is_thread_alive(void *data, uint32_t tid) {
    const struct thread_walk *walk = data;
    const struct io *io = walk->p->io;
    struct stat unused;
    char name[24];
    name[format_u64(name, tid)] = '\0';
    return io->fstatat(io->data, walk->task_fd, name, &unused, AT_SYMLINK_NOFOLLOW) == 0 ||
           errno != ENOENT;
}

/* Reads task/, or as much of it as `most`. 1: there is more. */
static int walk_threads(struct procfs *p, struct sample *s, struct thread_walk *walk, bool anew,
                        uint64_t most) {
    struct thread_values values;
    int r = 0;
    if (walk->totals)
        r = thread_totals_begin(p->threads, s->pid, s->start_ticks, anew);
    if (r == 0)
        r = list_numbers(p, walk->task_fd, most, walk_thread, walk);
    if (!walk->totals || r == -ENOMEM)
        return r;
    if (thread_totals_end(p->threads, r == 0 ? is_thread_alive : NULL, walk, &values))
        sample_set_totals(s, &values);
    if (r < 0) /* all of it is to be read again */
        thread_totals_keep(p->threads, s->pid, s->start_ticks, true, &values);
    return r;
}

static int walk_all_threads(struct procfs *p, struct sample *s, bool totals) {
    struct thread_walk walk = {.p = p, .totals = totals};
    walk.task_fd = open_task(p);
    if (walk.task_fd < 0)
        return refused(s, ORIGIN_SCHED, walk.task_fd);
    int r = walk_threads(p, s, &walk, true, UINT64_MAX);
    p->io->close(p->io->data, walk.task_fd);
    if (r != -ENOMEM && p->collect & 1u << COLLECT_THREADS)
        sample_set(s, FIELD_THREADS_RUNNING, walk.running);
    return r < 0 ? refused(s, ORIGIN_SCHED, r) : 0;
}

static bool has_parts(const struct procfs *p, const struct sample *s) {
    return p->parts.task_fd >= 0 && p->parts.pid == s->pid &&
           p->parts.start_ticks == s->start_ticks;
}

/* As many threads as are left in the budget, from where the last part ended. The
 * directory stays open: the kernel keeps the place, however many threads come
 * and go, and nothing has to be passed over to get there. */
static int walk_some_threads(struct procfs *p, struct sample *s) {
    struct thread_walk walk = {.p = p, .totals = true};
    bool anew = !has_parts(p, s);
    if (anew) {
        int fd = open_task(p);
        if (fd < 0)
            return refused(s, ORIGIN_SCHED, fd);
        close_parts(p);
        p->parts.task_fd = fd;
        p->parts.pid = s->pid;
        p->parts.start_ticks = s->start_ticks;
    }
    p->parts.seen = true;
    walk.task_fd = p->parts.task_fd;
    int r = walk_threads(p, s, &walk, anew, p->thread_budget);
    if (r <= 0)
        close_parts(p);
    p->thread_budget -= walk.count < p->thread_budget ? walk.count : p->thread_budget;
    uint64_t threads = s->value[FIELD_THREADS];
    p->threads_skipped += walk.count < threads ? threads - walk.count : 0;
    return r < 0 ? refused(s, ORIGIN_SCHED, r) : 0;
}

/* Finds the answer about a process; if need be asks for it, and in the same batch
 * for those of the processes whose turn comes next. false: it is not in the list. */
static bool look_ahead(struct procfs *p, uint32_t pid, size_t *ret) {
    const struct listed key = {.pid = pid}, *found = NULL;
    if (p->ahead.count)
        found = bsearch(&key, p->ahead.listed, p->ahead.count, sizeof(key), by_pid);
    if (!found && p->listed_count)
        found = bsearch(&key, p->listed, p->listed_count, sizeof(key), by_pid);
    if (!found)
        return false;
    if (p->ahead.count == 0 || found < p->ahead.listed ||
        found >= p->ahead.listed + p->ahead.count) {
        uint32_t pids[TASKSTATS_BATCH];
        size_t count = (size_t)(p->listed + p->listed_count - found);
        if (count > TASKSTATS_BATCH)
            count = TASKSTATS_BATCH;
        for (size_t i = 0; i < count; i++)
            pids[i] = found[i].pid;
        p->ahead.listed = found;
        p->ahead.count = count;
        p->ahead.opened_since = p->status_fd != -ESRCH; /* it is still being read */
        p->ahead.asked_boot_ns = p->io->clock_ns(p->io->data, CLOCK_BOOTTIME);
        taskstats_query(p->taskstats, pids, count, p->ahead.answers);
    }
    *ret = (size_t)(found - p->ahead.listed);
    return true;
}

/* Switches and waits of all threads from netlink. Every run of a thread ends in
 * a switch, and one that has not ended yet shows in the time: as long as both
 * stand still, nothing has run. */
static int sample_set_taskstats(struct procfs *p, struct sample *s,
                                const struct taskstats_answer *answer) {
    if (answer->error)
        return refused(s, ORIGIN_SCHED, answer->error);
    sample_set(s, FIELD_VOLUNTARY_SWITCHES, answer->voluntary_switches);
    sample_set(s, FIELD_INVOLUNTARY_SWITCHES, answer->involuntary_switches);
    sample_set(s, FIELD_RUN_QUEUE_WAIT_NS, answer->run_queue_wait_ns);
    if (p->delayacct)
        sample_set(s, FIELD_BLKIO_DELAY_NS, answer->blkio_delay_ns);
    s->activity = answer->run_ns + answer->voluntary_switches + answer->involuntary_switches + 1;
    return 0;
}

/* Of the open process. What was asked ahead is of whoever had the pid then: it
 * is taken if that was this process, which is so if it had started by then, as
 * it had its pid before its start time was drawn (which is cut to a tick). What
 * could not be found then may have been about to appear. The rest of the sample
 * is younger than this, which does no harm: activity in between is found the
 * next time. */
static int measure_taskstats(struct procfs *p, struct sample *s) {
    struct taskstats_answer answer;
    size_t at;
    if (look_ahead(p, s->pid, &at) && p->ahead.answers[at].error == 0 &&
        (s->start_ticks + 1) * p->source.tick_ns <= p->ahead.asked_boot_ns)
        answer = p->ahead.answers[at];
    else
        taskstats_query(p->taskstats, &s->pid, 1, &answer);
    return sample_set_taskstats(p, s, &answer);
}

/* Of a process that is not opened if it sleeps. It must be alive now: if it has
 * ended since it was asked about, and its parent was read since, then the parent
 * shows what it used already, as if nobody had seen it (see fold.c). As long as
 * no process was open in between, none was read. Else the inode of its directory
 * tells: it goes with the process. */
static int taskstats_activity(struct procfs *p, struct sample *s) {
    struct taskstats_answer answer;
    struct stat st;
    size_t at;
    if (!look_ahead(p, s->pid, &at))
        taskstats_query(p->taskstats, &s->pid, 1, &answer);
    else if (!p->ahead.opened_since ||
             (p->io->fstatat(p->io->data, p->root_fd, path_to(p, ""), &st, 0) == 0 &&
              st.st_ino == p->ahead.listed[at].marker))
        answer = p->ahead.answers[at];
    else
        return -ESRCH;
    return sample_set_taskstats(p, s, &answer);
}

/* A process whose only thread ever was the main one: its own file says all. */
static int measure_schedstat(struct procfs *p, struct sample *s) {
    struct schedstat_file sched;
    ssize_t n = read_of_process(p, "schedstat");
    int r = n < 0 ? (int)n : parse_schedstat(p->file, (size_t)n, &sched);
    if (r < 0)
        return refused(s, ORIGIN_SCHED, r);
    sample_set(s, FIELD_RUN_QUEUE_WAIT_NS, sched.wait_ns);
    s->activity = sched.run_ns + 1;
    return 0;
}

static bool is_single_threaded(struct procfs *p, const struct sample *s) {
    return s->value[FIELD_THREADS] <= 1 &&
           (p->taskstats || !thread_totals_has(p->threads, s->pid, s->start_ticks));
}

/* More threads than any budget has room for. One such process is read at a time;
 * the others wait until it is through. */
static int measure_many_threads(struct procfs *p, struct sample *s) {
    bool is_ours = has_parts(p, s);
    p->parts.seen |= is_ours;
    if (s->pid >= p->thread_turn && p->thread_budget > 0 && (is_ours || p->parts.task_fd < 0))
        return walk_some_threads(p, s);
    if (s->pid >= p->thread_turn && p->next_thread_turn == 0 && p->thread_budget == 0)
        p->next_thread_turn = s->pid;
    p->threads_skipped += s->value[FIELD_THREADS];
    return 0;
}

static int measure_threads(struct procfs *p, struct sample *s, bool idle) {
    bool want_totals = !p->taskstats && p->collect & (1u << COLLECT_CONTEXT_SWITCHES |
                                                      1u << COLLECT_DELAYS);
    bool want_running = p->collect & 1u << COLLECT_THREADS;
    bool is_due = want_running && !idle;
    struct thread_values values;
    int r = 0;
    if (want_running && idle)
        sample_set(s, FIELD_THREADS_RUNNING, 0);
    /* Nothing ran since the last time: nothing to read thread by thread. What a
     * thread did within less than a clock tick is read when the process has used
     * one; none of it is lost. */
    if (want_totals) {
        if (thread_totals_keep(p->threads, s->pid, s->start_ticks, !idle, &values))
            sample_set_totals(s, &values);
        is_due = is_due || has_parts(p, s) ||
                 thread_totals_is_due(p->threads, s->pid, s->start_ticks);
    }
    if (!is_due)
        return 0;
    if (want_totals && s->value[FIELD_THREADS] > THREAD_BUDGET)
        r = measure_many_threads(p, s);
    else if (take_from_budget(p, s))
        r = walk_all_threads(p, s, want_totals);
    if (r == 0 && want_totals && !(s->have & BIT(FIELD_VOLUNTARY_SWITCHES)))
        s->unreadable |= 1u << ORIGIN_SCHED;
    return r;
}

static void measure_single_thread(struct procfs *p, struct sample *s,
                                  const struct status_file *status) {
    if (!p->taskstats && status->has_switches) {
        sample_set(s, FIELD_VOLUNTARY_SWITCHES, status->voluntary_switches);
        sample_set(s, FIELD_INVOLUNTARY_SWITCHES, status->involuntary_switches);
    }
    if (p->collect & 1u << COLLECT_THREADS)
        sample_set(s, FIELD_THREADS_RUNNING, s->state == 'R');
}

static int measure(struct procfs *p, struct sample *s, struct measure_hints hints) {
    struct status_file status;
    bool single = is_single_threaded(p, s);
    int r = 0;
    /* Before the files: if the process ends in between and its number is given
     * to another, they say ESRCH and the whole sample is dropped. */
    if (p->taskstats)
        r = measure_taskstats(p, s);
    else if (single)
        r = measure_schedstat(p, s);
    if (r == 0 && p->collect & 1u << COLLECT_IO)
        r = measure_io(p, s);
    if (r == 0 && p->collect & 1u << COLLECT_FDS)
        r = measure_fds(p, s, hints.fd_limit);
    if (r == 0 && !single)
        r = measure_threads(p, s, hints.idle);
    if (r == 0)
        r = measure_status(p, s, &status); /* last: see procfs_open() */
    if (r == 0 && single)
        measure_single_thread(p, s, &status);
    return r;
}

static int procfs_measure(struct source *source, struct sample *s, struct measure_hints hints) {
    struct procfs *p = procfs_of(source);
    int r = measure(p, s, hints);
    if (!(p->collect & 1u << COLLECT_CONTEXT_SWITCHES))
        s->have &= ~(BIT(FIELD_VOLUNTARY_SWITCHES) | BIT(FIELD_INVOLUNTARY_SWITCHES));
    if (!(p->collect & 1u << COLLECT_DELAYS))
        s->have &= ~(BIT(FIELD_RUN_QUEUE_WAIT_NS) | BIT(FIELD_BLKIO_DELAY_NS));
    return r;
}

/* The number that measuring puts into a sample's activity, in the cheapest way. 0: it
 * can't be told, or the process is gone. */
static uint64_t activity_of(struct procfs *p, uint32_t pid) {
    struct sample s = {.pid = pid};
    int r = p->taskstats ? taskstats_activity(p, &s) : measure_schedstat(p, &s);
    return r < 0 ? 0 : s.activity;
}

/* The pid can be given to another process at any time, so that two paths may
 * lead to two processes. But what is open stays with the one that it was opened
 * of, and says ESRCH once that has ended: status is opened first and read last,
 * and if it can be read, all that was read in between is of the same process. */
static int procfs_open(struct source *s, const struct listed *listed, uint64_t activity,
                       struct sample *ret) {
    struct procfs *p = procfs_of(s);
    procfs_close(s);
    turn_to(p, listed->pid);
    if (activity && activity_of(p, listed->pid) == activity)
        return 1;
    p->ahead.opened_since = true;
    p->status_fd = p->io->openat(p->io->data, p->root_fd, path_to(p, "status"),
                                 O_RDONLY | O_CLOEXEC, 0);
    if (p->status_fd < 0)
        p->status_fd = -errno;
    int r = read_stat(p, listed->pid, ret);
    if (r < 0)
        procfs_close(s);
    return r;
}

/* ---- Identity ---------------------------------------------------------------- */

static int identify_cmdline(struct procfs *p, struct identity *id) {
    int cut = 0;
    ssize_t n = io_read_file(p->io, p->root_fd, path_to(p, "cmdline"), p->cmdline,
                             sizeof(p->cmdline), &cut);
    if (n < 0)
        return (int)n;
    size_t len = (size_t)n;
    while (len && p->cmdline[len - 1] == '\0')
        len--;
    for (size_t i = 0; i < len; i++)
        p->command[i] = p->cmdline[i] ? p->cmdline[i] : ' ';
    id->cmdline = (struct text){p->cmdline, len};
    id->command = (struct text){p->command, len};
    id->cmdline_cut = cut;
    id->lacks_arguments = len == 0;
    return 0;
}

static int identify_exe(struct procfs *p, struct identity *id) {
    static const char deleted[] = " (deleted)";
    ssize_t n =
        p->io->readlinkat(p->io->data, p->root_fd, path_to(p, "exe"), p->exe, sizeof(p->exe));
    if (n < 0)
        /* kernel threads and zombies have none; so has every process, to
         * readlink(2), the moment it ends */
        return errno == ENOENT ? 0 : -errno;
    size_t len = (size_t)n, suffix = sizeof(deleted) - 1;
    if (len > suffix && memcmp(p->exe + len - suffix, deleted, suffix) == 0)
        len -= suffix; /* the program was replaced, by an upgrade perhaps */
    id->exe = (struct text){p->exe, len};
    return 0;
}

static int identify_cgroup(struct procfs *p, struct identity *id) {
    ssize_t n = io_read_file(p->io, p->root_fd, path_to(p, "cgroup"), p->cgroup,
                             sizeof(p->cgroup), NULL);
    return n < 0 ? (int)n : identity_set_cgroups(id, p->cgroup, (size_t)n, p->cgroups);
}

static int procfs_identify(struct source *source, const struct sample *s, unsigned parts,
                           struct identity *ret) {
    static const struct {
        unsigned part;
        int (*read)(struct procfs *, struct identity *);
    } readers[] = {{IDENTITY_CMDLINE, identify_cmdline},
                   {IDENTITY_EXE, identify_exe},
                   {IDENTITY_CGROUP, identify_cgroup}};
    struct procfs *p = procfs_of(source);
    *ret = (struct identity){
        .pid = s->pid,
        .ppid = s->ppid,
        .uid = s->uid,
        .gid = s->gid,
        .has_credentials = s->has_credentials,
        .start_ticks = s->start_ticks,
        .start_time_s = (source->boot_unix_ns + s->start_ticks * source->tick_ns) / NS_PER_S,
        .comm = {s->comm, s->comm_len},
    };
    for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++) {
        if (!(parts & readers[i].part))
            continue;
        int r = readers[i].read(p, ret);
        if (r == -ESRCH)
            return r;
        if (r < 0 && r != -ENOENT)
            ret->refused = true;
    }
    if (parts & (IDENTITY_CMDLINE | IDENTITY_EXE | IDENTITY_CGROUP) && !is_still_there(p, s))
        return -ESRCH;
    ret->lacks_arguments = ret->lacks_arguments && s->value[FIELD_VMS_BYTES] > 0;
    if (parts & IDENTITY_USER && s->has_credentials)
        ret->user = users_name(p->users, s->uid);
    return 0;
}

/* ---- The rest ------------------------------------------------------------------- */

static int procfs_pss(struct source *s, uint32_t pid, uint64_t *ret_bytes) {
    struct procfs *p = procfs_of(s);
    turn_to(p, pid);
    ssize_t n = read_of_process(p, "smaps_rollup");
    if (n == 0) { /* a kernel thread */
        *ret_bytes = 0;
        return 0;
    }
    return n < 0 ? (int)n : parse_pss(p->file, (size_t)n, ret_bytes);
}

static bool procfs_is_alive(struct source *s, uint32_t pid, uint64_t start_ticks) {
    struct procfs *p = procfs_of(s);
    struct sample sample = {0};
    turn_to(p, pid);
    return read_stat(p, pid, &sample) == 0 && sample.start_ticks == start_ticks;
}

static int procfs_host(struct source *s, struct host_stat *ret) {
    struct procfs *p = procfs_of(s);
    ssize_t n = io_read_file(p->io, p->root_fd, "stat", p->host, sizeof(p->host), NULL);
    int r = n < 0 ? (int)n : parse_host_stat(p->host, (size_t)n, ret);
    if (r == 0)
        s->boot_unix_ns = ret->boot_time * NS_PER_S;
    return r;
}

static void procfs_health(struct source *s, struct source_health *ret) {
    const struct procfs *p = procfs_of(s);
    const unsigned by_thread = 1u << COLLECT_CONTEXT_SWITCHES | 1u << COLLECT_DELAYS;
    *ret = (struct source_health){
        .is_partial = p->partial,
        .lacks_rights = p->lacks_rights,
        .reads_by_thread = p->lacks_net_admin && p->collect & by_thread,
        .threads_skipped = p->threads_skipped,
    };
}

static struct source *procfs_free(struct source *s) {
    struct procfs *p = procfs_of(s);
    procfs_close(s);
    close_parts(p);
    if (p->root_fd >= 0)
        p->io->close(p->io->data, p->root_fd);
    taskstats_free(p->taskstats);
    thread_totals_free(p->threads);
    users_free(p->users);
    free(p->listed);
    free(p);
    return NULL;
}

/* Are pids here the ones that the kernel knows us by? Not if the tree is of
 * another pid namespace: then asking netlink about them would be about others. */
static bool has_our_pids(struct procfs *p) {
    char target[24];
    ssize_t n = p->io->readlinkat(p->io->data, p->root_fd, "self", target, sizeof(target));
    char own[24];
    return n > 0 && (size_t)n == format_u64(own, (uint64_t)getpid()) &&
           memcmp(own, target, (size_t)n) == 0;
}

/* hidepid=2 hides all but our own processes, hidepid=1 lists but closes them:
 * process 1 is never ours, unless we may see everything or it is us. */
static bool hides_processes(struct procfs *p) {
    ssize_t n = read_record(p, p->root_fd, "1/stat");
    return n < 0;
}

/* Root's rights are these; collectd's unit takes them away from root, too. */
static bool has_rights(void) {
    const uint32_t needed = 1u << CAP_SYS_PTRACE | 1u << CAP_DAC_READ_SEARCH;
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    return syscall(SYS_capget, &header, data) == 0 && (data[0].effective & needed) == needed;
}

static void find_abilities(struct procfs *p) {
    struct stat st;
    struct statfs fs;
    p->lacks_rights = true; /* those of whoever recorded a tree are not known */
    bool is_kernels = fstatfs(p->root_fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
    if (is_kernels) { /* a mounted procfs, not a recorded tree */
        p->counts_fds =
            p->io->fstatat(p->io->data, p->root_fd, "self/fd", &st, 0) == 0 && st.st_size > 0;
        p->partial = hides_processes(p);
        p->lacks_rights = !has_rights();
        /* else thread by thread */
        p->lacks_net_admin = has_our_pids(p) && taskstats_new(&p->taskstats) == -EPERM;
    }
    ssize_t n = read_record(p, p->root_fd, "sys/kernel/task_delayacct");
    p->delayacct = n > 0 && p->file[0] == '1';
    struct stat_line own;
    n = read_record(p, p->root_fd, "self/stat");
    p->shows_layout = n > 0 && parse_stat(p->file, (size_t)n, &own) == 0 && own.start_code != 0;
}

static const struct source_ops procfs_ops = {
    .free = procfs_free,
    .list = procfs_list,
    .open = procfs_open,
    .measure = procfs_measure,
    .identify = procfs_identify,
    .close = procfs_close,
    .pss = procfs_pss,
    .host = procfs_host,
    .health = procfs_health,
    .is_alive = procfs_is_alive,
};

int procfs_new(const char *root, const struct io *io, unsigned collect, struct source **ret) {
    struct procfs *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->source.ops = &procfs_ops;
    p->source.name = "procfs";
    p->source.ends = ENDS_BY_FOLDING;
    p->io = io;
    p->collect = collect;
    p->status_fd = -ESRCH;
    p->parts.task_fd = -1;
    p->source.tick_ns = NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);
    p->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    p->root_fd = io->openat(io->data, AT_FDCWD, root, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    int r = p->root_fd < 0 ? -errno : 0;
    if (r == 0)
        r = users_new(&p->users);
    if (r == 0)
        r = thread_totals_new(&p->threads);
    if (r < 0) {
        procfs_free(&p->source);
        return r;
    }
    find_abilities(p);
    *ret = &p->source;
    return 0;
}
