/* SPDX-License-Identifier: MIT */
/*
 * Samples from macOS, which tells of a process in several answers: the list what everybody
 * may know, and the task and its resources what only root may know of other users'. The pid
 * can be given to another process between two of them; but the list's start time is that of
 * the task if it is one process, and without a task the unique number tells.
 *
 * From the kernel's source (xnu of macOS 15), and tried out with recorded answers.
 */
#include "source/darwin/libproc.h"

#include "base/error.h"
#include "source/darwin/network.h"
#include "source/darwin/parse.h"
#include "source/users.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Most processes, and most descriptors of one. */
#define PROCESSES_MOST (1u << 20)
#define FDS_MOST (1u << 22)
#define PATH_SIZE 4096
/* A longer command line is cut. */
#define CMDLINE_SIZE (64u << 10)
#define TICK_NS 1000
/* launchd starts within this time after the clock since boot has begun. Times count from that
 * much before it did: so a process seems up to that much younger, and one that started after
 * the last collection of a run before this one never seems to have been there. (That is, if the
 * clock was not set back in between: see struct clock_step.) */
#define EPOCH_MARGIN_US (60 * UINT64_C(1000000))
#define HOST_TICK (NS_PER_S / 100 / TICK_NS)

/* Two that start at once may be numbered the other way round. */
#define SAME_TIME_US 100000

/* The clock was set back: from that process on this is added to the times at which processes
 * started, or children would seem to be older than their parents. It is found out from the
 * processes there are, and is not saved: another run, that finds others, can take for another
 * one, and as old, who started after the step. What it used meanwhile is lost then; it is not
 * counted twice, as those that are left make it seem older, not younger. */
struct clock_step {
    uint64_t first; /* unique number */
    uint64_t more_us;
};
#define CLOCK_STEPS 64

struct newcomer {
    uint64_t number;
    uint64_t start_us;
};

/* user, nice, system, idle */
enum { HOST_TIMES_HERE = 4 };

struct libproc {
    struct source source;
    struct darwin_calls calls;
    unsigned collect; /* bits of enum collect */
    uint64_t epoch_us; /* start_ticks of 0 */
    struct darwin_timebase timebase;

    struct darwin_process *processes; /* by ascending pid */
    struct darwin_unique *uniques;     /* theirs; number 0: not known */
    struct newcomer *newcomers;
    struct listed *listed;
    size_t count, size;
    uint64_t newest, newest_before; /* highest unique number of this list, and of the last */
    uint64_t latest_us;             /* latest start, steps of the clock taken out */
    struct clock_step steps[CLOCK_STEPS];
    size_t step_count;

    const struct darwin_process *open; /* NULL: none is */
    const struct darwin_unique *unique; /* of it */
    struct darwin_fd *fds;
    size_t fds_size;
    struct users *users;
    char *arguments; /* NULL until somebody asks */
    char command[CMDLINE_SIZE];
    char path[PATH_SIZE];

    struct network *network; /* NULL: not collected */

    struct darwin_host host;
    uint64_t times[HOST_TIMES_HERE]; /* in hundredths of a second */
    bool has_host;
};

static struct libproc *libproc_of(struct source *s) {
    return (struct libproc *)(void *)s;
}

static bool collects(const struct libproc *l, enum collect what) {
    return l->collect & 1u << what;
}

/* ---- Time ---------------------------------------------------------------------- */

/* A program for Intel that is translated for Apple's processors is told that a unit is a
 * nanosecond, and gets the real units all the same: so ask the kernel. */
static uint64_t ns_of(const struct libproc *l, uint64_t time) {
    const struct darwin_timebase *base = &l->timebase;
    if (base->hertz)
        return (uint64_t)((unsigned __int128)time * NS_PER_S / base->hertz);
    return (uint64_t)((unsigned __int128)time * base->numerator / base->denominator);
}

static uint64_t epoch_us_of(const struct darwin_process *processes, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (processes[i].pid == 1)
            return processes[i].start_us > EPOCH_MARGIN_US
                       ? processes[i].start_us - EPOCH_MARGIN_US
                       : 1;
    return 0;
}

/* ---- Listing ---------------------------------------------------------------------- */

static int by_pid(const void *a, const void *b) {
    uint32_t x = ((const struct darwin_process *)a)->pid;
    uint32_t y = ((const struct darwin_process *)b)->pid;
    return x < y ? -1 : x > y;
}

/* The array with another size; as it was if there is no memory. */
static void *resized(void *array, size_t count, size_t item_size, bool *failed) {
    void *other = realloc(array, count * item_size);
    *failed |= !other;
    return other ? other : array;
}

static int make_room(struct libproc *l, size_t count) {
    bool failed = false;
    l->processes = resized(l->processes, count, sizeof(*l->processes), &failed);
    l->uniques = resized(l->uniques, count, sizeof(*l->uniques), &failed);
    l->newcomers = resized(l->newcomers, count, sizeof(*l->newcomers), &failed);
    l->listed = resized(l->listed, count, sizeof(*l->listed), &failed);
    if (failed)
        return -ENOMEM;
    l->size = count;
    return 0;
}

/* A list that fills all the room may have been cut. */
static int read_list(struct libproc *l) {
    for (;;) {
        ssize_t n = l->calls.list(l->calls.data, l->processes, l->size);
        if (n < 0)
            return (int)n;
        if ((size_t)n < l->size) {
            l->count = (size_t)n;
            return 0;
        }
        if ((size_t)n >= PROCESSES_MOST)
            return -E2BIG;
        int r = make_room(l, ((size_t)n + 1) * 3 / 2);
        if (r < 0)
            return r;
    }
}

static uint64_t added_us(const struct libproc *l, uint64_t number) {
    for (size_t i = l->step_count; i-- > 0;)
        if (l->steps[i].first <= number)
            return l->steps[i].more_us;
    return 0;
}

static int by_number(const void *a, const void *b) {
    uint64_t x = ((const struct newcomer *)a)->number, y = ((const struct newcomer *)b)->number;
    return x < y ? -1 : x > y;
}

/* Who was born later has started later. */
static void find_clock_steps(struct libproc *l, size_t newcomers) {
    if (newcomers)
        qsort(l->newcomers, newcomers, sizeof(*l->newcomers), by_number);
    for (size_t i = 0; i < newcomers; i++) {
        const struct newcomer *n = &l->newcomers[i];
        uint64_t start_us = n->start_us + added_us(l, n->number);
        if (start_us + SAME_TIME_US < l->latest_us && l->step_count < CLOCK_STEPS) {
            l->steps[l->step_count++] =
                (struct clock_step){n->number, l->latest_us - n->start_us};
            start_us = l->latest_us;
        }
        if (start_us > l->latest_us)
            l->latest_us = start_us;
        l->newest = n->number;
    }
}

static void number_processes(struct libproc *l) {
    size_t newcomers = 0;
    l->newest_before = l->newest;
    for (size_t i = 0; i < l->count; i++) {
        const struct darwin_process *p = &l->processes[i];
        struct darwin_unique *u = &l->uniques[i];
        if (l->calls.unique(l->calls.data, p->pid, u) < 0)
            *u = (struct darwin_unique){0}; /* gone, most likely */
        if (u->number > l->newest_before)
            l->newcomers[newcomers++] = (struct newcomer){u->number, p->start_us};
    }
    find_clock_steps(l, newcomers);
}

/* Which of those that are listed that is. */
static bool resolve(void *data, uint32_t pid, uint64_t unique, uint64_t *ret_start_ticks) {
    const struct libproc *l = data;
    const struct darwin_process key = {.pid = pid};
    const struct darwin_process *p = bsearch(&key, l->processes, l->count, sizeof(key), by_pid);
    if (!p || l->uniques[p - l->processes].number != unique)
        return false;
    *ret_start_ticks = p->start_us - l->epoch_us + added_us(l, unique);
    return true;
}

static int libproc_list(struct source *s, bool in_full, const struct listed **ret_listed,
                        size_t *ret_count) {
    struct libproc *l = libproc_of(s);
    (void)in_full; /* nobody is listed as asleep anyway */
    l->open = NULL;
    int r = read_list(l);
    if (r < 0)
        return r;
    if (l->count)
        qsort(l->processes, l->count, sizeof(*l->processes), by_pid);
    for (size_t i = 0; i < l->count; i++)
        l->listed[i] = (struct listed){.pid = l->processes[i].pid,
                                       .marker = l->processes[i].start_us};
    number_processes(l);
    r = l->network ? network_poll(l->network, resolve, l) : 0;
    *ret_listed = l->listed;
    *ret_count = l->count;
    return r;
}

static bool libproc_next_unlisted(struct source *s, unsigned parts, struct unlisted_usage *ret) {
    struct libproc *l = libproc_of(s);
    (void)parts; /* a name is all that is told of whoever is gone */
    return l->network && network_next(l->network, ret);
}

/* Of a flow the kernel tells who it was, and nothing of who started that process. */
static bool libproc_ancestor(struct source *s, unsigned parts, struct unlisted_usage *ret) {
    (void)s, (void)parts, (void)ret;
    return false;
}

/* ---- Opening ---------------------------------------------------------------------- */

static char state_letter(uint8_t status) {
    switch (status) {
    case DARWIN_ZOMBIE:
        return 'Z';
    case DARWIN_STOPPED:
        return 'T';
    case DARWIN_BEING_BORN:
        return 'I';
    default: /* the task tells whether it runs */
        return 'S';
    }
}

static void set_listed(const struct libproc *l, const struct darwin_process *p,
                       const struct darwin_unique *unique, struct sample *ret) {
    *ret = (struct sample){
        .pid = p->pid,
        .ppid = p->ppid,
        .start_ticks = p->start_us - l->epoch_us + added_us(l, unique->number),
        .uid = p->uid,
        .gid = p->gid,
        .has_credentials = true,
        .is_kernel = p->is_kernel,
        .state = state_letter(p->status),
        .has_terminal = true,
        .terminal = p->terminal,
        .leads_session = p->leads_session,
        .in_foreground = p->in_foreground,
        .comm_len = p->name_len,
    };
    memcpy(ret->comm, p->name, p->name_len);
    sample_set(ret, FIELD_NICE, (uint64_t)(int64_t)p->nice);
}

static int libproc_open(struct source *s, const struct listed *listed, uint64_t activity,
                        struct sample *ret) {
    struct libproc *l = libproc_of(s);
    const struct darwin_process key = {.pid = listed->pid};
    (void)activity; /* nothing here is cheaper than measuring */
    l->open = bsearch(&key, l->processes, l->count, sizeof(key), by_pid);
    if (!l->open)
        return -ESRCH;
    l->unique = &l->uniques[l->open - l->processes];
    set_listed(l, l->open, l->unique, ret);
    /* of a zombie only what it was can be told */
    ret->exec_marker = ret->state == 'Z' ? 0 : (uint64_t)l->unique->version << 1 | 1;
    ret->seen_from_birth = l->newest_before && l->unique->number > l->newest_before;
    return 0;
}

static void libproc_close(struct source *s) {
    libproc_of(s)->open = NULL;
}

/* Is it still the process that was opened? */
static int check_same(struct libproc *l) {
    struct darwin_unique now;
    int r = l->calls.unique(l->calls.data, l->open->pid, &now);
    return r == -ESRCH || (r == 0 && now.number != l->unique->number) ? -ESRCH : 0;
}

/* ---- Measuring ---------------------------------------------------------------------- */

/* A count that has reached its end is not known any more. */
static bool is_known(int32_t count) {
    return count >= 0 && count < INT32_MAX;
}

static void set_count(struct sample *s, enum field f, int32_t count) {
    if (is_known(count))
        sample_set(s, f, (uint64_t)count);
}

/* The list has the first 16 bytes of the name. */
static void set_long_name(struct sample *s, const struct darwin_task *task) {
    const size_t len = strnlen(task->name, sizeof(task->name));
    if (len <= s->comm_len || memcmp(task->name, s->comm, s->comm_len) != 0)
        return;
    memcpy(s->comm, task->name, len);
    s->comm_len = (uint8_t)len;
}

static void set_task(const struct libproc *l, struct sample *s, const struct darwin_task *task) {
    set_long_name(s, task);
    if (s->state == 'S' && task->threads_running > 0)
        s->state = 'R';
    sample_set(s, FIELD_UTIME_NS, ns_of(l, task->user_time));
    sample_set(s, FIELD_STIME_NS, ns_of(l, task->system_time));
    set_count(s, FIELD_MAJFLT, task->pageins);
    if (is_known(task->faults) && is_known(task->pageins) && task->faults >= task->pageins)
        sample_set(s, FIELD_MINFLT, (uint64_t)(task->faults - task->pageins));
    if (collects(l, COLLECT_CONTEXT_SWITCHES))
        set_count(s, FIELD_SWITCHES, task->switches);
    set_count(s, FIELD_UNIX_CALLS, task->unix_calls);
    set_count(s, FIELD_MACH_CALLS, task->mach_calls);
    set_count(s, FIELD_MESSAGES_SENT, task->messages_sent);
    set_count(s, FIELD_MESSAGES_RECEIVED, task->messages_received);
    set_count(s, FIELD_COW_FAULTS, task->cow_faults);
    sample_set(s, FIELD_RSS_BYTES, task->resident_bytes);
    sample_set(s, FIELD_VMS_BYTES, task->virtual_bytes);
    set_count(s, FIELD_THREADS, task->threads);
    set_count(s, FIELD_THREADS_RUNNING, task->threads_running);
    sample_set(s, FIELD_PRIORITY_UP, (uint64_t)(int64_t)task->priority);
}

/* What can be had of a zombie as well, and without a limit: it replaces the task's. */
static void set_usage(const struct libproc *l, struct sample *s, const struct darwin_usage *usage) {
    const uint64_t ran = usage->user_time + usage->system_time;
    sample_set(s, FIELD_UTIME_NS, ns_of(l, usage->user_time));
    sample_set(s, FIELD_STIME_NS, ns_of(l, usage->system_time));
    sample_set(s, FIELD_MAJFLT, usage->pageins);
    sample_set(s, FIELD_CUTIME_NS, ns_of(l, usage->child_user_time));
    sample_set(s, FIELD_CSTIME_NS, ns_of(l, usage->child_system_time));
    sample_set(s, FIELD_CMAJFLT, usage->child_pageins);
    sample_set(s, FIELD_FOOTPRINT_BYTES, usage->footprint_bytes);
    /* a virtual machine has no such counters */
    if (usage->instructions || usage->cycles) {
        sample_set(s, FIELD_INSTRUCTIONS, usage->instructions);
        sample_set(s, FIELD_CYCLES, usage->cycles);
    }
    if (usage->has_energy && usage->energy_nj)
        sample_set(s, FIELD_ENERGY_NJ, usage->energy_nj);
    if (collects(l, COLLECT_DELAYS) && usage->runnable_time >= ran)
        sample_set(s, FIELD_RUN_QUEUE_WAIT_NS, ns_of(l, usage->runnable_time - ran));
    if (collects(l, COLLECT_IO)) {
        sample_set(s, FIELD_DISK_READ_BYTES, usage->disk_read_bytes);
        sample_set(s, FIELD_DISK_WRITTEN_BYTES, usage->disk_written_bytes);
    }
}

static void set_zombie(const struct libproc *l, struct sample *s) {
    static const enum field nothing[] = {FIELD_RSS_BYTES, FIELD_VMS_BYTES, FIELD_FOOTPRINT_BYTES,
                                         FIELD_THREADS, FIELD_THREADS_RUNNING};
    s->state = 'Z';
    s->exec_marker = 0;
    for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++)
        sample_set(s, nothing[i], 0);
    if (collects(l, COLLECT_FDS))
        sample_set(s, FIELD_OPEN_FDS, 0);
}

static bool is_refusal(int r) {
    return r < 0 && r != -ESRCH;
}

/* How many there are tells only a list of them: asked for nothing but a number, the kernel
 * says how many there is room for. */
static int measure_fds(struct libproc *l, struct sample *s) {
    for (;;) {
        ssize_t n = l->calls.fds(l->calls.data, s->pid, l->fds, l->fds_size);
        if (is_refusal((int)n))
            s->unreadable |= 1u << ORIGIN_FD;
        if (n < 0)
            return 0;
        if ((size_t)n < l->fds_size) {
            sample_set(s, FIELD_OPEN_FDS, (uint64_t)n);
            return 0;
        }
        const size_t size = l->fds_size * 2;
        struct darwin_fd *fds = size <= FDS_MOST ? realloc(l->fds, size * sizeof(*fds)) : NULL;
        if (!fds)
            return size <= FDS_MOST ? -ENOMEM : 0;
        l->fds = fds;
        l->fds_size = size;
    }
}

/* The task comes last: if it is that of the process that was listed, all that was read
 * before was so, too. Without a task it has ended, and is a zombie if it is still there; but
 * the kernel itself, process 0, does not end. */
static int libproc_measure(struct source *source, struct sample *s, struct measure_hints hints) {
    struct libproc *l = libproc_of(source);
    const bool was_zombie = s->state == 'Z';
    struct darwin_usage usage;
    struct darwin_task task;
    (void)hints;
    const int resources = l->calls.usage(l->calls.data, s->pid, &usage);
    int r = collects(l, COLLECT_FDS) && !was_zombie ? measure_fds(l, s) : 0;
    if (r < 0)
        return r;
    r = was_zombie ? -ESRCH : l->calls.task(l->calls.data, s->pid, &task);
    if (r == 0 ? task.start_us != l->open->start_us : check_same(l) < 0)
        return -ESRCH;
    const bool is_zombie = r == -ESRCH && s->pid != 0;
    if (r == 0)
        set_task(l, s, &task);
    if (resources == 0)
        set_usage(l, s, &usage);
    if (is_zombie)
        set_zombie(l, s);
    if ((r < 0 && !is_zombie) || is_refusal(resources))
        s->unreadable |= 1u << ORIGIN_STATUS | 1u << ORIGIN_SCHED;
    if (resources < 0 && collects(l, COLLECT_IO))
        s->unreadable |= 1u << ORIGIN_IO;
    return 0;
}

/* ---- Who it is ---------------------------------------------------------------------- */

static int identify_cmdline(struct libproc *l, struct identity *id) {
    struct darwin_arguments found;
    if (!l->arguments)
        l->arguments = malloc(DARWIN_ARGUMENTS_SIZE);
    if (!l->arguments)
        return -ENOMEM;
    ssize_t n = l->calls.arguments(l->calls.data, id->pid, l->arguments, DARWIN_ARGUMENTS_SIZE);
    const uint32_t user = l->calls.user(l->calls.data);
    if (n == -EINVAL && (user == 0 || user == id->uid))
        return 0; /* a zombie, or the kernel's own */
    if (n < 0)
        return (int)n;
    int r = darwin_parse_arguments(l->arguments, (size_t)n, &found);
    if (r < 0)
        return r;
    id->cmdline_cut = found.len > CMDLINE_SIZE;
    id->cmdline = (struct text){found.at, id->cmdline_cut ? CMDLINE_SIZE : found.len};
    for (size_t i = 0; i < id->cmdline.len; i++)
        l->command[i] = found.at[i] ? found.at[i] : ' ';
    id->command = (struct text){l->command, id->cmdline.len};
    return 0;
}

static int identify_exe(struct libproc *l, struct identity *id) {
    ssize_t n = l->calls.path(l->calls.data, id->pid, l->path, sizeof(l->path));
    if (n == -ESRCH || n == -ENOENT) /* a zombie, or its program's file was removed */
        return 0;
    if (n < 0)
        return (int)n;
    id->exe = (struct text){l->path, (size_t)n};
    return 0;
}

static int libproc_identify(struct source *source, const struct sample *s, unsigned parts,
                            struct identity *ret) {
    struct libproc *l = libproc_of(source);
    int cmdline = 0, exe = 0;
    *ret = (struct identity){
        .pid = s->pid,
        .ppid = s->ppid,
        .uid = s->uid,
        .gid = s->gid,
        .has_credentials = true,
        .is_kernel = s->is_kernel,
        .start_ticks = s->start_ticks,
        .start_time_s = (source->boot_unix_ns + s->start_ticks * TICK_NS) / NS_PER_S,
        .comm = {s->comm, s->comm_len},
    };
    if (parts & IDENTITY_CMDLINE && !s->is_kernel)
        cmdline = identify_cmdline(l, ret);
    if (parts & IDENTITY_EXE && !s->is_kernel)
        exe = identify_exe(l, ret);
    if (cmdline == -ENOMEM || check_same(l) < 0)
        return cmdline == -ENOMEM ? cmdline : -ESRCH;
    ret->refused = is_refusal(cmdline) || is_refusal(exe);
    if (parts & IDENTITY_USER)
        ret->user = users_name(l->users, s->uid, &ret->lacks_user_name);
    return 0;
}

/* ---- The rest ---------------------------------------------------------------------- */

static int libproc_pss(struct source *s, uint32_t pid, struct pss *ret) {
    (void)s, (void)pid, (void)ret;
    return -ENOENT; /* there is no such figure */
}

/* A zombie has not ended yet: nobody has reaped it. */
static bool libproc_is_alive(struct source *s, uint32_t pid, uint64_t start_ticks) {
    struct libproc *l = libproc_of(s);
    struct darwin_task task;
    struct darwin_unique unique;
    if (l->calls.unique(l->calls.data, pid, &unique) < 0)
        return false;
    return l->calls.task(l->calls.data, pid, &task) < 0 ||
           task.start_us + added_us(l, unique.number) == start_ticks + l->epoch_us;
}

/* A little back is no turn. The first time it is all there is. */
static uint64_t increase(uint32_t now, uint32_t before, bool has_before) {
    const uint32_t more = now - before;
    return more < UINT32_MAX / 2 || !has_before ? more : 0;
}

static void add_times(struct libproc *l, const struct darwin_host *now) {
    const struct darwin_host *before = &l->host; /* all 0 at first */
    l->times[0] += increase(now->user, before->user, l->has_host);
    l->times[1] += increase(now->nice, before->nice, l->has_host);
    l->times[2] += increase(now->system, before->system, l->has_host);
    l->times[3] += increase(now->idle, before->idle, l->has_host);
    l->host = *now;
    l->has_host = true;
}

static int libproc_host(struct source *s, struct host_stat *ret) {
    struct libproc *l = libproc_of(s);
    struct darwin_host now;
    int r = l->calls.host(l->calls.data, &now);
    if (r < 0)
        return r;
    add_times(l, &now);
    *ret = (struct host_stat){.busy_ticks = (l->times[0] + l->times[1] + l->times[2]) * HOST_TICK,
                              .times_known = HOST_TIMES_HERE,
                              .cpus = now.cpus,
                              .boot_time = l->epoch_us / (NS_PER_S / TICK_NS)};
    for (size_t i = 0; i < HOST_TIMES_HERE; i++)
        ret->times_ticks[i] = l->times[i] * HOST_TICK;
    return 0;
}

static void libproc_health(struct source *s, struct source_health *ret) {
    const struct libproc *l = libproc_of(s);
    *ret = (struct source_health){.lacks_rights = l->calls.user(l->calls.data) != 0};
    if (l->network) {
        ret->no_traffic = *network_why_not(l->network);
        ret->sees_traffic = !ret->no_traffic.text[0];
        ret->sees_later_traffic = true;
    }
}

static struct source *libproc_free(struct source *s) {
    struct libproc *l = libproc_of(s);
    if (l->calls.free)
        l->calls.free(l->calls.data);
    users_free(l->users);
    network_free(l->network);
    free(l->processes);
    free(l->uniques);
    free(l->newcomers);
    free(l->listed);
    free(l->fds);
    free(l->arguments);
    free(l);
    return NULL;
}

static const struct source_ops libproc_ops = {
    .free = libproc_free,
    .list = libproc_list,
    .open = libproc_open,
    .measure = libproc_measure,
    .identify = libproc_identify,
    .close = libproc_close,
    .pss = libproc_pss,
    .host = libproc_host,
    .health = libproc_health,
    .is_alive = libproc_is_alive,
    .next_unlisted = libproc_next_unlisted,
    .ancestor = libproc_ancestor,
};

/* What does not change while the host runs. */
static int find_out(struct libproc *l) {
    int r = l->calls.timebase(l->calls.data, &l->timebase);
    if (r == 0 && l->timebase.hertz == 0 && l->timebase.denominator == 0)
        r = -ENOTSUP;
    if (r == 0)
        r = l->calls.boot_id(l->calls.data, l->source.boot_id, sizeof(l->source.boot_id));
    if (r == 0)
        r = read_list(l);
    if (r < 0)
        return r;
    l->epoch_us = epoch_us_of(l->processes, l->count);
    l->source.boot_unix_ns = l->epoch_us * TICK_NS;
    return l->epoch_us ? 0 : -ESRCH;
}

int libproc_new(const struct darwin_calls *calls, const struct io *io, unsigned collect,
                struct source **ret) {
    struct libproc *l = calloc(1, sizeof(*l));
    if (!l) {
        if (calls->free)
            calls->free(calls->data);
        return -ENOMEM;
    }
    l->source.ops = &libproc_ops;
    l->source.name = "darwin";
    l->source.ends = ENDS_BY_FOLDING;
    l->source.tick_ns = TICK_NS;
    l->source.marks_by_inode = true;
    l->source.full_rights = "root";
    l->source.has_darwin_fields = true;
    l->source.lacks_collect = 1u << COLLECT_CGROUP | 1u << COLLECT_EXITS |
                              1u << COLLECT_MEMORY_DETAILS | 1u << COLLECT_PSS |
                              1u << COLLECT_SOCKETS | 1u << COLLECT_THREAD_NAMES;
    /* of reaped children the kernel adds up CPU time and page-ins */
    l->source.keeps_apart = BIT(FIELD_CMINFLT) | BIT(FIELD_IO_READ_BYTES) |
                            BIT(FIELD_IO_WRITTEN_BYTES) | BIT(FIELD_IO_READS) |
                            BIT(FIELD_IO_WRITES) | BIT(FIELD_DISK_READ_BYTES) |
                            BIT(FIELD_DISK_WRITTEN_BYTES);
    l->calls = *calls;
    l->collect = collect;
    l->fds_size = 1024;
    l->fds = malloc(l->fds_size * sizeof(*l->fds));
    int r = l->fds ? make_room(l, 1024) : -ENOMEM;
    if (r == 0)
        r = users_new(io, &l->users);
    if (r == 0)
        r = find_out(l);
    if (r == 0 && collects(l, COLLECT_NETWORK))
        r = network_new(calls, &l->network);
    l->source.tells_from_now_on = l->network;
    if (r < 0) {
        libproc_free(&l->source);
        return r;
    }
    *ret = &l->source;
    return 0;
}

int libproc_lookup(const struct darwin_calls *calls, const struct io *io, uint32_t pid,
                   struct sample *ret) {
    const struct listed *listed;
    struct source *s;
    size_t count;
    int r = libproc_new(calls, io, 0, &s);
    if (r < 0)
        return r;
    r = libproc_list(s, true, &listed, &count);
    if (r == 0)
        r = libproc_open(s, &(struct listed){.pid = pid}, 0, ret);
    libproc_free(s);
    return r;
}
