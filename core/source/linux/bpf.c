/* SPDX-License-Identifier: MIT */
/*
 * The source bpf: BPF programs (kernel/) list what is alive in one pass over all tasks, and
 * keep the usage of what has ended. /proc is read only to identify a process that is new or
 * has executed another program, to count very many descriptors, and for proportional set
 * sizes.
 */
#define _GNU_SOURCE
#include "source/linux/bpf.h"

#include "source/linux/bpf_index.h"
#include "source/linux/bpf_programs.h"
#include "source/linux/bpf_sockets.h"
#include "base/buf.h"
#include "source/linux/cgroups.h"
#include "source/linux/parse.h"
#include "base/error.h"
#include "source/linux/proc_identity.h"
#include "source/linux/procfs.h"
#include "settings.h"
#include "source/users.h"

#include <errno.h>
#include <stdio.h>
#include <fcntl.h>
#include <linux/oom.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As the kernel shows them in /proc/PID/stat. */
#define MAX_RT_PRIO 100
#define DEFAULT_PRIO 120
#define TASK_REPORT 0x7fu
#define TASK_UNINTERRUPTIBLE 0x2u
#define TASK_IDLE 0x402u
#define TASK_RTLOCK_WAIT 0x1000u /* since Linux 5.15 */
#define TASK_FROZEN 0x8000u      /* since Linux 6.1 */

#define CGROUP_SIZE 8192u

/* Who needs the user of unlisted processes: the time to match command lines is limited per
 * user. */
#define BY_USER (IDENTITY_NAMES | IDENTITY_CMDLINE)

/* Holds the texts of an identity. */
struct texts {
    struct program program;
    char exe[EXE_SIZE_MAX], command[ARGS_SIZE_MAX];
    char cgroup[CGROUP_SIZE], joined_cgroups[CGROUP_SIZE + 2];
};

struct bpf {
    struct source source;
    struct source *procfs;
    const struct io *io;
    struct bpf_programs *programs;
    struct bpf_sockets *sockets;    /* NULL: they are not to be collected, or can't be */
    struct tally_error no_sockets;  /* why they can't */
    struct users *users, *groups;
    struct cgroups *cgroups; /* NULL: no unified hierarchy, or nobody asks for it */
    uint64_t wanted;       /* BIT(field) of the counters that are to be collected */
    uint64_t counters;     /* … and can be */
    bool collects_fds, collects_threads, collects_memory_details, uses_cgroups, sees_terminals;
    bool collects_exits;
    uint64_t page_bytes;
    uint64_t total_pages; /* memory and swap space of the host; 0: not known */
    bool agrees_with_kernel; /* of OOM scores */
    int64_t proc_offset_ns; /* how far start times in /proc are ahead of the kernel's own */
    bool in_full; /* the next listing */
    uint64_t memory_moves, moves_read_ns; /* as of procfs, and when, since boot */

    struct bpf_index index; /* of the last listing */
    unsigned thread_fields; /* BIT(thread_field) of those of `counters` */
    struct thread_sample *samples;
    size_t sample_size;
    struct thread_samples open_threads; /* of the open process */

    const struct record_process *open;
    /* Of the open process; the last holds the texts of its identity. */
    struct sample until_exec, since_exec, in_procfs;
    struct bpf_identity above; /* returned by ancestor() */
    struct texts texts, texts_above; /* of the others, and of that: both are in use at once */
};

static struct bpf *bpf_of(struct source *s) {
    return (struct bpf *)(void *)s;
}

/* ---- What the kernel counts ------------------------------------------------------- */

static const enum usage_kind usage_of_field[FIELD_FOLDED_END] = {
    [FIELD_UTIME_NS] = USAGE_USER_NS,
    [FIELD_STIME_NS] = USAGE_SYSTEM_NS,
    [FIELD_MINFLT] = USAGE_MINFLT,
    [FIELD_MAJFLT] = USAGE_MAJFLT,
    [FIELD_VOLUNTARY_SWITCHES] = USAGE_VOLUNTARY_SWITCHES,
    [FIELD_INVOLUNTARY_SWITCHES] = USAGE_INVOLUNTARY_SWITCHES,
    [FIELD_RUN_QUEUE_WAIT_NS] = USAGE_RUN_QUEUE_WAIT_NS,
    [FIELD_BLKIO_DELAY_NS] = USAGE_BLKIO_DELAY_NS,
    [FIELD_IO_READ_BYTES] = USAGE_IO_READ_BYTES,
    [FIELD_IO_WRITTEN_BYTES] = USAGE_IO_WRITTEN_BYTES,
    [FIELD_IO_READS] = USAGE_IO_READS,
    [FIELD_IO_WRITES] = USAGE_IO_WRITES,
    [FIELD_DISK_READ_BYTES] = USAGE_DISK_READ_BYTES,
    [FIELD_DISK_WRITTEN_BYTES] = USAGE_DISK_WRITTEN_BYTES,
};

/* Of the counters that are wanted, those that this kernel does not have. */
static uint64_t lacking_fields(const struct bpf *b) {
    uint64_t fields = 0;
    for (size_t f = 0; f < FIELD_FOLDED_END; f++)
        if (bpf_programs_lacks(b->programs) & BIT(usage_of_field[f]))
            fields |= BIT(f);
    return fields & b->wanted;
}

/* ---- The OOM score ------------------------------------------------------------------ */

/* As oom_badness() and proc_oom_score() of the kernel work it out since Linux 5.9. */
static uint64_t oom_score(const struct bpf *b, const struct record_detailed *d) {
    const struct record_process *r = &d->process;
    const int64_t total = (int64_t)b->total_pages;
    if (r->flags & PROCESS_KTHREAD || r->pid == 1 || d->oom_adjustment == OOM_SCORE_ADJ_MIN)
        return 0;
    const uint64_t pages = r->file_pages + r->anon_pages + r->shmem_pages + r->swap_pages +
                           d->page_table_bytes / b->page_bytes;
    const int64_t badness = (int64_t)pages + d->oom_adjustment * (total / 1000);
    const int64_t score = (1000 + badness * 1000 / total) * 2 / 3;
    return score > 0 ? (uint64_t)score : 0;
}

static bool has_oom_score(const struct bpf *b, const struct record_detailed *d) {
    const unsigned needed = MEMORY_PAGE_TABLES | MEMORY_OOM_ADJUSTMENT;
    return b->total_pages && (d->known & needed) == needed;
}

/* The kernel says so of ourselves too: what is too far from that would be wrong of all. Its
 * own sum of pages lacks what CPUs keep to themselves. */
#define OOM_SCORE_ROOM 5
static bool agrees_with_kernel(struct bpf *b) {
    char text[24];
    uint64_t kernels = 0;
    const struct bpf_place *place = bpf_index_find(&b->index, (uint32_t)getpid());
    const struct record_detailed *own =
        place ? (const void *)bpf_index_process(&b->index, place) : NULL;
    if (!own || own->process.kind != RECORD_DETAILED)
        return b->agrees_with_kernel;
    ssize_t n = io_read_file(b->io, AT_FDCWD, "/proc/self/oom_score", text, sizeof(text), NULL);
    if (n <= 0 || parse_oom_score(text, (size_t)n, &kernels) < 0 || !has_oom_score(b, own))
        return false;
    const uint64_t ours = oom_score(b, own);
    return (ours > kernels ? ours - kernels : kernels - ours) <= OOM_SCORE_ROOM;
}

/* Scores are parts of all memory and swap space. */
static void prepare_oom_scores(struct bpf *b) {
    const unsigned needed = 1u << HOST_MEMORY_TOTAL | 1u << HOST_SWAP_TOTAL;
    struct host_details host;
    source_host_memory(b->io, "/proc", &host);
    b->total_pages = (host.memory_known & needed) == needed
                         ? (host.memory_bytes[HOST_MEMORY_TOTAL] +
                            host.memory_bytes[HOST_SWAP_TOTAL]) / b->page_bytes
                         : 0;
    b->agrees_with_kernel = agrees_with_kernel(b);
}

/* ---- The listing ---------------------------------------------------------------- */

/* The kernel adds up what all CPUs have counted for it, some 50 microseconds of work. */
#define READ_MOVES_AFTER_NS (UINT64_C(2) * NS_PER_S)

/* Has the kernel taken memory from processes, or given them some, since this was last read? */
static bool memory_has_moved(struct bpf *b) {
    const uint64_t now_ns = b->io->clock_ns(b->io->data, CLOCK_BOOTTIME), before = b->memory_moves;
    if (b->moves_read_ns && now_ns - b->moves_read_ns < READ_MOVES_AFTER_NS)
        return false;
    b->moves_read_ns = now_ns;
    return b->procfs->ops->memory_moves(b->procfs, &b->memory_moves) < 0 ||
           b->memory_moves != before;
}

static int index_listing(void *data, struct buf *listing) {
    struct bpf *b = data;
    return bpf_index_make(&b->index, listing);
}

static int bpf_list(struct source *s, bool in_full, const struct listed **ret_listed,
                    size_t *ret_count) {
    struct bpf *b = bpf_of(s);
    b->in_full |= in_full;
    if (b->cgroups)
        cgroups_begin(b->cgroups);
    int r = bpf_programs_round(b->programs, b->in_full, memory_has_moved(b), index_listing, b);
    if (r < 0)
        return r;
    b->counters &= ~lacking_fields(b);
    b->thread_fields = 0;
    for (enum thread_field f = 0; f < THREAD_FIELDS; f++)
        if (b->counters & BIT(field_of_thread(f)))
            b->thread_fields |= 1u << f;
    b->in_full = false;
    bpf_index_add_threads_up(&b->index);
    if (b->collects_memory_details)
        prepare_oom_scores(b);
    *ret_listed = b->index.listed;
    *ret_count = b->index.count;
    return 0;
}

/* ---- Samples -------------------------------------------------------------------- */

/* Per-thread figures include nothing of reaped children. */
#define WAITED_FOR                                                            \
    (BIT(FIELD_CUTIME_NS) | BIT(FIELD_CSTIME_NS) | BIT(FIELD_CMINFLT) | BIT(FIELD_CMAJFLT))

static void set_counters(const struct bpf *b, const struct usage *usage, struct sample *ret) {
    ret->have |= b->counters;
    for (size_t f = 0; f < FIELD_FOLDED_END; f++)
        if (b->counters & BIT(f))
            ret->value[f] = usage->of[usage_of_field[f]];
    ret->exact_cpu_ns = usage->of[USAGE_RUN_NS];
}

/* As task_state_index() of the kernel does it for /proc/PID/stat. A state can have further
 * bits, such as TASK_FREEZABLE. What /proc has no letter for it shows as D. */
static char state_letter(uint32_t state, uint32_t exit_state) {
    static const char letters[] = "RSDTtXZP";
    unsigned bits = (state | exit_state) & TASK_REPORT;
    if (state & (TASK_RTLOCK_WAIT | TASK_FROZEN))
        bits = TASK_UNINTERRUPTIBLE;
    else if ((state & TASK_IDLE) == TASK_IDLE)
        return 'I';
    return letters[bits ? 32 - __builtin_clz(bits) : 0];
}

/* Of one that has an address space, or is a thread of the kernel, which has nothing of all
 * that. */
static void set_memory_details(const struct bpf *b, const struct record_process *r,
                               struct sample *ret) {
    const struct record_detailed *d = (const void *)r;
    const uint64_t page = b->page_bytes;
    sample_set(ret, FIELD_RSS_PEAK_BYTES, r->peak_pages * page);
    sample_set(ret, FIELD_SHARED_BYTES, (r->file_pages + r->shmem_pages) * page);
    sample_set(ret, FIELD_SHMEM_BYTES, r->shmem_pages * page);
    if (r->kind != RECORD_DETAILED)
        return; /* they were not asked for when the listing was made */
    if (d->known & MEMORY_LOCKED)
        sample_set(ret, FIELD_LOCKED_BYTES, d->locked_pages * page);
    if (d->known & MEMORY_PAGE_TABLES)
        sample_set(ret, FIELD_PAGE_TABLE_BYTES, d->page_table_bytes);
    if (d->known & MEMORY_MAPPINGS)
        sample_set(ret, FIELD_MAPPINGS, d->mappings);
    if (b->agrees_with_kernel && has_oom_score(b, d))
        sample_set(ret, FIELD_OOM_SCORE, oom_score(b, d));
}

static void set_gauges(const struct bpf *b, const struct record_process *r, struct sample *ret) {
    const uint64_t page = b->page_bytes;
    sample_set(ret, FIELD_RSS_BYTES, (r->file_pages + r->anon_pages + r->shmem_pages) * page);
    sample_set(ret, FIELD_FOOTPRINT_BYTES, (r->anon_pages + r->swap_pages) * page);
    sample_set(ret, FIELD_SWAP_BYTES, r->swap_pages * page);
    sample_set(ret, FIELD_VMS_BYTES, r->total_pages * page);
    if (b->collects_memory_details && r->flags & (PROCESS_HAS_MEMORY | PROCESS_KTHREAD))
        set_memory_details(b, r, ret);
    sample_set(ret, FIELD_DATA_BYTES, r->data_pages * page);
    sample_set(ret, FIELD_STACK_BYTES, r->stack_pages * page);
    sample_set(ret, FIELD_CODE_BYTES, r->code_pages * page);
    sample_set(ret, FIELD_THREADS, r->threads);
    sample_set(ret, FIELD_PRIORITY, (uint64_t)(int64_t)(r->priority - MAX_RT_PRIO));
    sample_set(ret, FIELD_NICE, (uint64_t)(int64_t)(r->static_priority - DEFAULT_PRIO));
    if (b->collects_threads)
        sample_set(ret, FIELD_THREADS_RUNNING, r->running);
    if (!b->collects_fds)
        return;
    sample_set(ret, FIELD_FD_LIMIT, r->fd_limit);
    if (!(r->flags & PROCESS_MANY_FDS)) /* without a table (zombies) there are none */
        sample_set(ret, FIELD_OPEN_FDS, r->fds);
}

/* As /proc has it, from the kernel's own time. */
static uint64_t ticks_of(const struct bpf *b, uint64_t ns) {
    return (ns + (uint64_t)b->proc_offset_ns) / b->source.tick_ns;
}

/* What it was started by. */
static void set_ancestor(const struct bpf *b, uint64_t ancestor, uint32_t *ret_pid,
                         uint64_t *ret_start_ticks, uint64_t *ret_ancestor) {
    if (ancestor & KNOWN_ANCESTOR) {
        *ret_pid = ancestor_pid(ancestor);
        *ret_start_ticks = ticks_of(b, ancestor_start_ns(ancestor));
    } else {
        *ret_ancestor = ancestor;
    }
}

static uint64_t exec_marker(const struct record_process *r) {
    if (r->flags & PROCESS_IN_EXEC)
        return 0;
    return (uint64_t)r->exec_id << 2 | (uint64_t)!(r->flags & PROCESS_FORKED_ONLY) << 1 | 1;
}

static void set_thread(const struct bpf *b, uint32_t tid, uint64_t start_ns,
                       const struct usage *usage, const char comm[COMM_SIZE],
                       struct thread_sample *ret) {
    ret->tid = tid;
    ret->start_ticks = ticks_of(b, start_ns);
    ret->exact_cpu_ns = usage->of[USAGE_RUN_NS];
    ret->have = b->thread_fields;
    for (enum thread_field f = 0; f < THREAD_FIELDS; f++)
        ret->value[f] = usage->of[usage_of_field[field_of_thread(f)]];
    ret->comm_len = (uint8_t)strnlen(comm, COMM_SIZE);
    memcpy(ret->comm, comm, ret->comm_len);
}

static int add_sample(void *data, const struct record_named_thread *r) {
    struct bpf *b = data;
    struct thread_samples *to = &b->open_threads;
    if (to->count == b->sample_size) {
        const size_t size = b->sample_size ? b->sample_size * 2 : 64;
        struct thread_sample *samples = realloc(b->samples, size * sizeof(*samples));
        if (!samples)
            return -ENOMEM;
        b->samples = samples;
        b->sample_size = size;
    }
    set_thread(b, r->tid, r->start_ns, &r->thread.usage, r->comm, &b->samples[to->count++]);
    return 0;
}

/* All threads of the open process, or none. */
static int tell_threads(struct bpf *b, const struct bpf_place *place, struct sample *ret) {
    b->open_threads = (struct thread_samples){.first_part = true, .last_part = true};
    int r = bpf_index_threads(&b->index, place, add_sample, b);
    if (r < 0 || b->open_threads.count == 0)
        return r;
    b->open_threads.items = b->samples;
    ret->threads = &b->open_threads;
    return 0;
}

static int bpf_open(struct source *s, const struct listed *listed, uint64_t activity,
                    struct sample *ret) {
    struct bpf *b = bpf_of(s);
    const uint32_t pid = listed->pid;
    (void)activity; /* the list has told who is asleep */
    const struct bpf_place *place = bpf_index_find(&b->index, pid);
    if (!place)
        return -ESRCH;
    const struct record_process *r = bpf_index_process(&b->index, place);
    if (r->kind == RECORD_SAME)
        return -EAGAIN;
    b->open = r;
    size_t comm_len = strnlen(r->comm, sizeof(r->comm));
    *ret = (struct sample){
        .pid = r->pid,
        .ppid = r->ppid,
        .start_ticks = ticks_of(b, r->start_ns),
        .exec_marker = exec_marker(r),
        .cgroups_marker = r->cgroups_mark,
        .uid = r->uid,
        .gid = r->gid,
        .has_credentials = true,
        .is_kernel = r->flags & PROCESS_KTHREAD,
        .seen_from_birth = r->flags & PROCESS_FROM_BIRTH,
        .state = state_letter(r->state, r->exit_state),
        .has_terminal = b->sees_terminals,
        .terminal = r->terminal,
        .leads_session = r->flags & PROCESS_LEADS_SESSION,
        .in_foreground = r->flags & PROCESS_IN_FOREGROUND,
        .comm_len = (uint8_t)comm_len,
    };
    memcpy(ret->comm, r->comm, comm_len);
    if (r->ancestor != known_ancestor(pid, r->start_ns)) /* else it is from before us */
        set_ancestor(b, r->ancestor, &ret->ancestor_pid, &ret->ancestor_start_ticks,
                     &ret->ancestor);
    set_counters(b, &r->usage, ret);
    set_gauges(b, r, ret);
    sample_drop_main_threads(ret);
    if (b->index.names_threads && tell_threads(b, place, ret) < 0)
        return -ENOMEM;
    const struct record_exec *exec = bpf_index_exec(&b->index, place);
    if (!exec)
        return 0;
    b->since_exec = (struct sample){.pid = pid};
    set_counters(b, &exec->since_exec, &b->since_exec);
    ret->since_exec = &b->since_exec;
    if (exec->was_listed) {
        b->until_exec = (struct sample){.pid = pid};
        set_counters(b, &exec->until_exec, &b->until_exec);
        ret->until_exec = &b->until_exec;
    }
    return 0;
}

/* Opens the same process in /proc. */
static int open_in_procfs(struct bpf *b, const struct sample *sample, struct sample *ret) {
    int r = b->procfs->ops->open(b->procfs, &(struct listed){.pid = sample->pid}, 0, ret);
    if (r == 0 && ret->start_ticks != sample->start_ticks)
        r = -ESRCH;
    return r;
}

/* Where it is not known, it is absent. */
static void set_final_peak(const struct bpf *b, uint64_t pages, struct sample *ret) {
    if (b->collects_memory_details && pages)
        sample_set(ret, FIELD_RSS_PEAK_BYTES, pages * b->page_bytes);
}

static int bpf_measure(struct source *s, struct sample *sample, struct measure_hints hints) {
    struct bpf *b = bpf_of(s);
    struct sample there;
    if (!b->collects_fds || sample->have & BIT(FIELD_OPEN_FDS) || sample->state == 'Z')
        return 0;
    /* its table of descriptors is too large for a BPF program */
    hints.idle = true;
    int r = open_in_procfs(b, sample, &there);
    if (r == 0)
        r = b->procfs->ops->measure(b->procfs, &there, hints);
    if (r == 0 && there.have & BIT(FIELD_OPEN_FDS))
        sample_set(sample, FIELD_OPEN_FDS, there.value[FIELD_OPEN_FDS]);
    else if (r == 0)
        sample->unreadable |= 1u << ORIGIN_FD;
    b->procfs->ops->close(b->procfs);
    return r == -ESRCH ? 0 : r;
}

static void bpf_close(struct source *s) {
    struct bpf *b = bpf_of(s);
    b->procfs->ops->close(b->procfs);
}

/* ---- Identity ---------------------------------------------------------------------- */

static int identify_in_procfs(struct bpf *b, const struct sample *sample, unsigned parts,
                              struct identity *ret) {
    struct sample *there = &b->in_procfs;
    int r = open_in_procfs(b, sample, there);
    there->uid = sample->uid;
    there->gid = sample->gid;
    there->has_credentials = true;
    b->procfs->boot_unix_ns = b->source.boot_unix_ns;
    return r < 0 ? r : b->procfs->ops->identify(b->procfs, there, parts, ret);
}

static void set_args(struct texts *texts, struct identity *id) {
    const struct program *p = &texts->program;
    size_t len = p->args_len < sizeof(p->args) ? p->args_len : sizeof(p->args);
    while (len && p->args[len - 1] == '\0')
        len--;
    for (size_t i = 0; i < len; i++)
        texts->command[i] = p->args[i] ? p->args[i] : ' ';
    id->cmdline = (struct text){p->args, len};
    id->command = (struct text){texts->command, len};
    id->cmdline_cut = p->args_total > p->args_len;
}

/* The components of the path come from the file up to the root: reverses them. */
static void set_exe(struct texts *texts, struct identity *id) {
    const struct program *p = &texts->program;
    /* a longer one was cut off: better no path than a wrong one */
    size_t len = p->exe_len < sizeof(texts->exe) ? p->exe_len : 0, at = sizeof(texts->exe);
    for (size_t from = 0; from < len;) {
        size_t name_len = strnlen(p->exe + from, len - from);
        if (name_len + 1 > at)
            return;
        at -= name_len;
        memcpy(texts->exe + at, p->exe + from, name_len);
        texts->exe[--at] = '/';
        from += name_len + 1;
    }
    id->exe = (struct text){texts->exe + at, sizeof(texts->exe) - at};
}

static void identify_program(struct bpf *b, uint64_t key, struct texts *texts,
                             struct identity *id) {
    if (key == 0 || bpf_programs_program(b->programs, key, &texts->program) < 0)
        return;
    set_args(texts, id);
    set_exe(texts, id);
}

/* As /proc/PID/cgroup would have it on a host with only this hierarchy. */
static void identify_cgroup(struct bpf *b, uint64_t cgroup, struct texts *texts,
                            struct identity *id) {
    struct cgroup_path made = {{0}};
    struct text path;
    if (!b->cgroups || cgroup == 0)
        return;
    if (bpf_programs_cgroup(b->programs, cgroup, &made) == 0)
        cgroups_add(b->cgroups, cgroup, made.text);
    path = cgroups_path(b->cgroups, cgroup);
    int len = snprintf(texts->cgroup, sizeof(texts->cgroup), "0::%.*s\n", (int)path.len, path.at);
    if (path.len && len > 0 && (size_t)len < sizeof(texts->cgroup))
        identity_set_cgroups(id, texts->cgroup, (size_t)len, texts->joined_cgroups);
}

/* A process that was only forked is still what the process was that started it. If that is
 * still there, it is looked up. */
static void identify_forked(struct bpf *b, const struct record_process *r, unsigned parts,
                            struct identity *id) {
    struct sample *there = &b->in_procfs;
    struct identity parent = {.cmdline_cut = false};
    const uint32_t pid = ancestor_pid(r->ancestor);
    if (!(r->ancestor & KNOWN_ANCESTOR) || pid == r->pid)
        return;
    int e = b->procfs->ops->open(b->procfs, &(struct listed){.pid = pid}, 0, there);
    if (e == 0 && there->start_ticks != ticks_of(b, ancestor_start_ns(r->ancestor)))
        e = -ESRCH;
    if (e == 0)
        e = b->procfs->ops->identify(b->procfs, there, parts & (IDENTITY_CMDLINE | IDENTITY_EXE),
                                     &parent);
    if (e < 0)
        return;
    id->cmdline = parent.cmdline;
    id->command = parent.command;
    id->exe = parent.exe;
    id->cmdline_cut = parent.cmdline_cut;
}

/* Who it was when it was listed, by what the programs have noted. */
static void identify_as_listed(struct bpf *b, const struct sample *sample, unsigned parts,
                               struct identity *ret) {
    const struct record_process *r = b->open;
    *ret = (struct identity){
        .pid = sample->pid,
        .ppid = sample->ppid,
        .uid = sample->uid,
        .gid = sample->gid,
        .has_credentials = true,
        .is_kernel = sample->is_kernel,
        .start_ticks = sample->start_ticks,
        .start_time_s =
            (b->source.boot_unix_ns + sample->start_ticks * b->source.tick_ns) / NS_PER_S,
        .comm = {sample->comm, sample->comm_len},
    };
    proc_set_names(b->users, b->groups, parts, ret);
    if (parts & (IDENTITY_CMDLINE | IDENTITY_EXE)) {
        if (r->program == 0 && r->flags & PROCESS_FORKED_ONLY)
            identify_forked(b, r, parts, ret);
        else
            identify_program(b, r->program, &b->texts, ret);
    }
    if (parts & IDENTITY_CGROUP)
        identify_cgroup(b, r->cgroup, &b->texts, ret);
}

static int bpf_identify(struct source *s, const struct sample *sample, unsigned parts,
                        struct identity *ret) {
    struct bpf *b = bpf_of(s);
    const struct record_process *r = b->open;
    const bool has_more_there = parts & IDENTITY_FILES || r->flags & PROCESS_KTHREAD;
    /* At its end a process has no address space any more, and /proc only a name. */
    const bool is_ending = !(r->flags & (PROCESS_HAS_MEMORY | PROCESS_KTHREAD));
    const bool is_noted = r->program != 0 || r->flags & PROCESS_FROM_BIRTH;
    if (!has_more_there || (is_ending && is_noted) ||
        identify_in_procfs(b, sample, parts, ret) < 0) {
        /* It may have exited since it was listed. It counts as known from then on, so this is
         * the last chance to say who it was. */
        identify_as_listed(b, sample, parts, ret);
        return 0;
    }
    if (r->flags & PROCESS_KTHREAD)
        return 0;
    /* since the listing it may have begun to execute a program, and is neither any more */
    if (ret->lacks_arguments && is_noted) {
        identify_as_listed(b, sample, parts, ret);
        return 0;
    }
    /* its end may have come between the listing and this */
    if ((parts & IDENTITY_CMDLINE && ret->cmdline.len == 0) ||
        (parts & IDENTITY_EXE && ret->exe.len == 0))
        identify_program(b, r->program, &b->texts, ret);
    ret->lacks_arguments = ret->lacks_arguments && ret->cmdline.len == 0;
    return 0;
}

_Static_assert(TRAFFIC_COUNTERS == PROTOCOLS * TRAFFICS, "one counter for each");
_Static_assert((int)ENDED_BYS == ENDINGS && (int)ENDED_BY_OK == ENDING_OK &&
                   (int)ENDED_BY_ERROR == ENDING_ERROR && (int)ENDED_BY_SIGNAL == ENDING_SIGNAL &&
                   (int)ENDED_BY_CORE == ENDING_CORE && (int)ENDED_BY_OOM == ENDING_OOM,
               "the programs count by the same numbers");

static void identify_unlisted(struct bpf *b, const struct bpf_identity *identity, unsigned parts,
                              struct texts *texts, struct unlisted_usage *ret) {
    const size_t comm_len = strnlen(identity->comm, sizeof(identity->comm));
    *ret = (struct unlisted_usage){.identity = {
                                     .uid = identity->uid,
                                     .gid = identity->gid,
                                     .has_credentials = parts & BY_USER,
                                     .comm = {identity->comm, comm_len},
                                 }};
    set_ancestor(b, identity->ancestor, &ret->known_pid, &ret->known_start_ticks, &ret->ancestor);
    ret->is_known = ret->known_pid && identity->ancestor & ITSELF;
    ret->forked_only = ret->known_pid && identity->program == 0;
    proc_set_names(b->users, b->groups, parts, &ret->identity);
    if (parts & (IDENTITY_CMDLINE | IDENTITY_EXE))
        identify_program(b, identity->program, texts, &ret->identity);
    if (parts & IDENTITY_CGROUP)
        identify_cgroup(b, identity->cgroup, texts, &ret->identity);
}

static bool bpf_next_unlisted(struct source *s, unsigned parts, struct unlisted_usage *ret) {
    struct bpf *b = bpf_of(s);
    const struct unlisted *u = bpf_programs_next_unlisted(b->programs);
    if (!u)
        return false;
    identify_unlisted(b, &u->identity, parts, &b->texts, ret);
    set_counters(b, &u->usage, &ret->counters);
    set_final_peak(b, u->peak_pages, &ret->counters);
    ret->ended = u->ended;
    for (enum ending e = ENDING_OK; b->collects_exits && e < ENDINGS; e++) {
        ret->ended_by[e] = u->ended_by[e];
        if (u->process.pid && u->ended_by[e])
            ret->counters.ending = (uint8_t)e;
    }
    ret->identity.pid = u->process.pid;
    if (u->process.pid)
        ret->identity.start_ticks = ticks_of(b, u->process.start_ns);
    for (size_t i = 0; i < TRAFFIC_COUNTERS; i++)
        ret->traffic[i] = u->traffic.of[i % PROTOCOLS][i / PROTOCOLS];
    return true;
}

static bool bpf_ancestor(struct source *s, unsigned parts, struct unlisted_usage *ret) {
    struct bpf *b = bpf_of(s);
    if (ret->ancestor == 0 || bpf_programs_ancestor(b->programs, ret->ancestor, &b->above) < 0)
        return false;
    identify_unlisted(b, &b->above, parts, &b->texts_above, ret);
    return true;
}

/* ---- Ends --------------------------------------------------------------------------- */

static bool bpf_next_ended(struct source *s, struct sample *ret) {
    struct bpf *b = bpf_of(s);
    const struct bpf_ended *e = bpf_programs_next_ended(b->programs);
    if (!e)
        return false;
    *ret = (struct sample){.pid = e->key.pid, .start_ticks = ticks_of(b, e->key.start_ns)};
    set_counters(b, &e->value.usage, ret);
    set_final_peak(b, e->value.peak_pages, ret);
    if (b->collects_exits && e->value.ended_by < ENDINGS)
        ret->ending = (uint8_t)e->value.ended_by;
    return true;
}

static void bpf_thread_ends(struct source *s, use_thread_end *use, void *data) {
    struct bpf *b = bpf_of(s);
    size_t count;
    struct bpf_thread_end *ends = bpf_programs_thread_ends(b->programs, &count);
    for (size_t i = 0; i < count; i++) {
        const struct thread_end_key *key = &ends[i].key;
        struct thread_end end = {.pid = key->process.pid,
                                 .start_ticks = ticks_of(b, key->process.start_ns)};
        if (ends[i].is_used)
            continue;
        set_thread(b, key->tid, key->start_ns, &ends[i].usage, key->comm, &end.thread);
        ends[i].is_used = use(data, &end);
    }
}

/* ---- The rest ------------------------------------------------------------------------ */

static int bpf_pss(struct source *s, uint32_t pid, struct pss *ret) {
    struct bpf *b = bpf_of(s);
    return b->procfs->ops->pss(b->procfs, pid, ret);
}

static ssize_t bpf_wait_channel(struct source *s, uint32_t pid, uint32_t tid, char *to,
                                size_t size) {
    struct bpf *b = bpf_of(s);
    return b->procfs->ops->wait_channel(b->procfs, pid, tid, to, size);
}

/* Both come by ascending pid: the list, and the sockets. */
struct socket_merge {
    const struct bpf *b;
    const struct socket_use *use;
    size_t told; /* of those listed, the first so many */
};

static void tell_up_to(struct socket_merge *m, uint32_t pid) {
    const unsigned all = (1u << SOCKET_KINDS) - 1;
    const struct bpf *b = m->b;
    const struct listed *listed = b->index.listed;
    for (; m->told < b->index.count && listed[m->told].pid <= pid; m->told++)
        m->use->process(m->use->data, listed[m->told].pid, ticks_of(b, listed[m->told].marker),
                        all);
}

static int kind_of(const struct record_socket *socket) {
    switch (socket->family) {
    case SOCKET_OF_TCP:
        return socket_kind_of_tcp(socket->state);
    case SOCKET_OF_UDP:
        return SOCKET_UDP;
    default:
        return SOCKET_UNIX;
    }
}

static int merge_socket(void *data, const struct record_socket *socket) {
    struct socket_merge *m = data;
    const struct listed *listed = m->b->index.listed;
    const int kind = kind_of(socket);
    tell_up_to(m, socket->pid);
    if (kind < 0 || m->told == 0 || listed[m->told - 1].pid != socket->pid ||
        listed[m->told - 1].marker != socket->start_ns)
        return 0; /* it has come since the list was made */
    return m->use->socket(m->use->data, socket->inode, (enum socket_kind)kind);
}

static int bpf_tell_sockets(struct source *s, const struct socket_use *use) {
    struct bpf *b = bpf_of(s);
    struct socket_merge merge = {.b = b, .use = use};
    int r = b->sockets ? bpf_sockets_walk(b->sockets, merge_socket, &merge) : -ENOTSUP;
    if (r == 0)
        tell_up_to(&merge, UINT32_MAX);
    return r;
}

static int bpf_host(struct source *s, struct host_stat *ret) {
    struct bpf *b = bpf_of(s);
    int r = b->procfs->ops->host(b->procfs, ret);
    s->boot_unix_ns = b->procfs->boot_unix_ns;
    return r;
}

/* What the kernel keeps only if it was built to. */
static const uint64_t kept_by[KERNEL_PARTS] = {
    [KERNEL_SCHED_INFO] = BIT(FIELD_RUN_QUEUE_WAIT_NS),
    [KERNEL_DELAY_ACCT] = BIT(FIELD_BLKIO_DELAY_NS),
    [KERNEL_XACCT] = BIT(FIELD_IO_READ_BYTES) | BIT(FIELD_IO_WRITTEN_BYTES) |
                     BIT(FIELD_IO_READS) | BIT(FIELD_IO_WRITES),
    [KERNEL_IO_ACCOUNTING] = BIT(FIELD_DISK_READ_BYTES) | BIT(FIELD_DISK_WRITTEN_BYTES),
};

/* The programs see all processes, whatever /proc hides. */
static void bpf_health(struct source *s, struct source_health *ret) {
    struct bpf *b = bpf_of(s);
    struct source_health procfs;
    b->procfs->ops->health(b->procfs, &procfs);
    *ret = (struct source_health){
        .lacks_rights = procfs.lacks_rights,
        .lost_events = bpf_programs_lost(b->programs),
        .threads_skipped = b->index.names_threads ? bpf_programs_thread_ends_lost(b->programs) : 0,
    };
    for (size_t i = 0; i < KERNEL_PARTS; i++)
        ret->lacks[i] = lacking_fields(b) & kept_by[i];
    ret->lacks_cgroups = b->uses_cgroups && bpf_programs_lacks(b->programs) & LACKS_CGROUPS;
    if (b->collects_exits)
        ret->endings = BIT(ENDINGS) - BIT(ENDING_OK);
    if (bpf_programs_lacks(b->programs) & LACKS_OOM_MARK)
        ret->endings &= ~(1u << ENDING_OOM);
    ret->no_sockets = b->no_sockets;
    ret->sees_traffic = bpf_programs_see_traffic(b->programs, &ret->no_traffic);
    ret->misses_old_sockets = bpf_programs_miss_old_sockets(b->programs);
}

static struct source *bpf_free(struct source *s) {
    struct bpf *b = bpf_of(s);
    if (b->procfs)
        b->procfs->ops->free(b->procfs);
    bpf_programs_free(b->programs);
    bpf_sockets_free(b->sockets);
    users_free(b->users);
    users_free(b->groups);
    cgroups_free(b->cgroups);
    bpf_index_free(&b->index);
    free(b->samples);
    free(b);
    return NULL;
}

static const struct source_ops bpf_ops = {
    .free = bpf_free,
    .list = bpf_list,
    .open = bpf_open,
    .measure = bpf_measure,
    .identify = bpf_identify,
    .close = bpf_close,
    .pss = bpf_pss,
    .wait_channel = bpf_wait_channel,
    .sockets = bpf_tell_sockets,
    .host = bpf_host,
    .health = bpf_health,
    .next_ended = bpf_next_ended,
    .next_unlisted = bpf_next_unlisted,
    .thread_ends = bpf_thread_ends,
    .ancestor = bpf_ancestor,
};

static uint64_t wanted_counters(unsigned collect) {
    uint64_t counters = (BIT(FIELD_FOLDED_END) - 1) & ~WAITED_FOR;
    if (!(collect & 1u << COLLECT_CONTEXT_SWITCHES))
        counters &= ~(BIT(FIELD_VOLUNTARY_SWITCHES) | BIT(FIELD_INVOLUNTARY_SWITCHES));
    if (!(collect & 1u << COLLECT_DELAYS))
        counters &= ~(kept_by[KERNEL_SCHED_INFO] | kept_by[KERNEL_DELAY_ACCT]);
    if (!(collect & 1u << COLLECT_IO))
        counters &= ~(kept_by[KERNEL_XACCT] | kept_by[KERNEL_IO_ACCOUNTING]);
    return counters;
}

/* Else the kernel leaves them 0. */
static bool counts_delays(const struct io *io) {
    char delayacct[4] = "";
    return io_read_file(io, AT_FDCWD, "/proc/sys/kernel/task_delayacct", delayacct,
                        sizeof(delayacct), NULL) > 0 &&
           delayacct[0] == '1';
}

/* In a time namespace CLOCK_BOOTTIME is shifted, but not the times that the programs see. 0
 * also where the kernel has no such namespaces (before Linux 5.6). */
static int64_t boot_offset_ns(const struct io *io) {
    char text[256];
    long long seconds, ns;
    if (io_read_file(io, AT_FDCWD, "/proc/self/timens_offsets", text, sizeof(text), NULL) <= 0)
        return 0;
    const char *line = strstr(text, "boottime");
    if (!line)
        return 0;
    char *end;
    seconds = strtoll(line + strlen("boottime"), &end, 10);
    ns = strtoll(end, NULL, 10);
    return seconds * (int64_t)NS_PER_S + ns;
}

/* The programs see the pids of the host, but the iterator lists only our namespace. */
static bool is_hosts_pid_namespace(const struct io *io) {
    static const char initial[] = "pid:[4026531836]"; /* PROC_PID_INIT_INO */
    char target[32];
    ssize_t n = io->readlinkat(io->data, AT_FDCWD, "/proc/self/ns/pid", target, sizeof(target));
    return n == (ssize_t)sizeof(initial) - 1 && memcmp(target, initial, (size_t)n) == 0;
}

int bpf_new(const struct settings *settings, const struct io *io,
            const struct source_needs *needs, struct source **ret, struct tally_error *why) {
    const unsigned collect = settings->collect;
    struct bpf_wants wants = {
        .program = needs->identity & (IDENTITY_CMDLINE | IDENTITY_EXE),
        .args = needs->identity & IDENTITY_CMDLINE,
        .user = needs->identity & BY_USER,
        .cgroup = needs->identity & IDENTITY_CGROUP,
        .ancestor = needs->ancestors == ANCESTORS_ALL      ? WANT_ANCESTORS
                    : needs->ancestors == ANCESTORS_LISTED ? WANT_LISTED_ANCESTOR
                                                           : WANT_NO_ANCESTOR,
        .max_processes = (uint32_t)settings->max_processes,
        .traffic = collect & 1u << COLLECT_NETWORK,
        .terminal = needs->terminals,
        .each_end = needs->each_end,
        .thread_names = collect & 1u << COLLECT_THREAD_NAMES,
        .endings = collect & 1u << COLLECT_EXITS,
        .memory_details = collect & 1u << COLLECT_MEMORY_DETAILS,
    };
    if (!is_hosts_pid_namespace(io)) {
        error_set(why, "this is not the host's pid namespace");
        return -ENOTSUP;
    }
    struct bpf *b = calloc(1, sizeof(*b));
    if (!b)
        return -ENOMEM;
    wants.boot_offset_ns = boot_offset_ns(io);
    /* Linux 5.6 has these namespaces, but shifts /proc/PID/stat (and btime) from 5.11 on. */
    b->proc_offset_ns = linux_is_before(5, 11) ? 0 : wants.boot_offset_ns;
    b->source.ops = &bpf_ops;
    b->source.name = "bpf";
    b->source.ends = ENDS_BY_EVENTS;
    b->source.restarts_lower = true;
    b->io = io;
    b->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    b->source.tick_ns = NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);
    b->counters = b->wanted = wanted_counters(collect);
    if (!counts_delays(io))
        b->counters &= ~kept_by[KERNEL_DELAY_ACCT];
    b->uses_cgroups = wants.cgroup;
    b->index.names_threads = wants.thread_names;
    b->collects_fds = collect & 1u << COLLECT_FDS;
    b->collects_threads = collect & 1u << COLLECT_THREADS;
    b->collects_exits = collect & 1u << COLLECT_EXITS;
    b->collects_memory_details = collect & 1u << COLLECT_MEMORY_DETAILS;
    b->sees_terminals = needs->terminals;
    int r = users_new(io, &b->users);
    if (r == 0)
        r = users_new_of_groups(io, &b->groups);
    if (r == 0 && wants.cgroup && cgroups_new(&b->cgroups) == -ENOMEM)
        r = -ENOMEM;
    /* Cgroups of now may be removed before anybody asks for them. None has this id, so this
     * searches the whole tree. */
    if (r == 0 && b->cgroups)
        (void)cgroups_path(b->cgroups, 0);
    if (r == 0)
        r = procfs_new("/proc", io,
                       &(struct procfs_wants){.collect = collect & ~(1u << COLLECT_SOCKETS)},
                       &b->procfs);
    if (r == 0) {
        r = bpf_programs_open(&wants, settings->pin_dir, &b->programs, why);
        if (r < 0)
            bpf_explain(io, r, why);
    }
    if (r < 0) {
        bpf_free(&b->source);
        return r;
    }
    b->source.tells_from_now_on = bpf_programs_are_new(b->programs);
    if (collect & 1u << COLLECT_SOCKETS)
        (void)bpf_sockets_open(&b->sockets, &b->no_sockets);
    *ret = &b->source;
    return 0;
}
