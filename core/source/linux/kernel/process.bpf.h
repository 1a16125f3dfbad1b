/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What a listing says of a process, for both ways to make one: list_tasks (listing.bpf.c) and
 * show_asked (survey.bpf.c).
 */
#ifndef PROCESS_BPF_H
#define PROCESS_BPF_H

#include "maps.bpf.h"
#include "usage.bpf.h"
#include "identity.bpf.h"
#include "../../turns.h"

/* Of the CPUs beyond this, memory lacks what they have not added to the common counters. */
#define CPUS_MAX 1024
#define FD_STEP 128
#define FD_STEPS_MAX 64
/* listing.bpf.c: loops, which the verifier is to go through once and not on every path */
extern __u32 cpu_offsets_known;
int learn_cpu_offsets(void);
int count_many_fds(void);
int add_pages_of_cpus(void);
/* life.bpf.c */
int retire_former(__u32 pid, __u64 start_ns, __u32 slot);

/* ---- File descriptors ------------------------------------------------------------------ */

static __always_inline __u32 count_bits(__u64 word) {
    word -= word >> 1 & 0x5555555555555555;
    word = (word & 0x3333333333333333) + (word >> 2 & 0x3333333333333333);
    return (word + (word >> 4) & 0x0f0f0f0f0f0f0f0f) * 0x0101010101010101 >> 56;
}

/* The kernel sizes a table of descriptors for 64, or for a multiple of FD_STEP. */
static __always_inline void count_fds(struct files_struct *files, struct scratch *scratch,
                                      struct record_process *r) {
    if (!files)
        return;
    struct fdtable *table = files->fdt;
    __u32 size = table->max_fds;
    const unsigned long *bits = table->open_fds;
    if (size > FD_STEP * FD_STEPS_MAX) {
        r->flags |= PROCESS_MANY_FDS;
        return;
    }
    if (size <= 64) {
        __u64 word = 0;
        bpf_probe_read_kernel(&word, sizeof(word), bits);
        r->fds = count_bits(word);
    } else {
        scratch->fds.bits = (__u64)bits;
        scratch->fds.size = size;
        if (count_many_fds() < 0)
            return;
        r->fds = scratch->fds.count;
    }
    r->flags |= PROCESS_HAS_FDS;
}

/* ---- Memory and state ------------------------------------------------------------------ */

/* What the kernel counts per CPU can be below 0 for a moment. */
static __always_inline __u64 not_negative(__s64 value) {
    return value < 0 ? 0 : value;
}

/* What a kernel does not have costs only that. `mm` may be NULL. */
static __always_inline void read_memory_details(struct signal_struct *signal, struct mm_struct *mm,
                                                struct record_detailed *d) {
    const bool has_locked = bpf_core_field_exists(mm->locked_vm);
    const bool has_page_tables = bpf_core_field_exists(mm->pgtables_bytes.counter);
    const bool has_mappings = bpf_core_field_exists(mm->map_count);
    if (bpf_core_field_exists(signal->oom_score_adj)) {
        d->oom_adjustment = signal->oom_score_adj;
        d->known |= MEMORY_OOM_ADJUSTMENT;
    }
    d->known |= (has_locked ? MEMORY_LOCKED : 0) | (has_mappings ? MEMORY_MAPPINGS : 0) |
                (has_page_tables ? MEMORY_PAGE_TABLES : 0);
    if (!mm)
        return;
    if (has_locked)
        d->locked_pages = mm->locked_vm;
    if (has_page_tables)
        d->page_table_bytes = BPF_CORE_READ(mm, pgtables_bytes.counter);
    if (has_mappings)
        d->mappings = mm->map_count;
}

/* execve(2) gives the process its new address space, then its new name, reads the program,
 * which can take long, and writes the arguments last. Until then /proc shows neither the old
 * nor the new command line; on_exec comes after that. */
static __always_inline bool is_in_exec(struct mm_struct *mm) {
    /* arg_start is set where the stack is made, arg_end when they are there */
    return !mm->arg_end;
}

static __always_inline void read_memory(struct mm_struct *mm, struct scratch *scratch,
                                        struct record_process *r) {
    if (!mm)
        return;
    r->flags |= PROCESS_HAS_MEMORY | (is_in_exec(mm) ? PROCESS_IN_EXEC : 0);
    r->total_pages = mm->total_vm;
    r->data_pages = mm->data_vm;
    r->stack_pages = mm->stack_vm;
    r->code_pages = mm->exec_vm;
    struct mm_struct___atomic *old = (void *)mm;
    __s64 *pages = scratch->pages.counts;
    if (bpf_core_field_exists(old->rss_stat.count)) {
        /* that verifier follows no typed pointer into an array of a typedef */
        pages[MM_FILEPAGES] = BPF_CORE_READ(old, rss_stat.count[MM_FILEPAGES].counter);
        pages[MM_ANONPAGES] = BPF_CORE_READ(old, rss_stat.count[MM_ANONPAGES].counter);
        pages[MM_SWAPENTS] = BPF_CORE_READ(old, rss_stat.count[MM_SWAPENTS].counter);
        pages[MM_SHMEMPAGES] = BPF_CORE_READ(old, rss_stat.count[MM_SHMEMPAGES].counter);
    } else {
        pages[MM_FILEPAGES] = mm->rss_stat[MM_FILEPAGES].count;
        pages[MM_ANONPAGES] = mm->rss_stat[MM_ANONPAGES].count;
        pages[MM_SWAPENTS] = mm->rss_stat[MM_SWAPENTS].count;
        pages[MM_SHMEMPAGES] = mm->rss_stat[MM_SHMEMPAGES].count;
        __u64 *at = scratch->pages.of_cpus;
        at[0] = (__u64)BPF_CORE_READ(mm, rss_stat[0].counters);
        at[1] = (__u64)BPF_CORE_READ(mm, rss_stat[1].counters);
        at[2] = (__u64)BPF_CORE_READ(mm, rss_stat[2].counters);
        at[3] = (__u64)BPF_CORE_READ(mm, rss_stat[3].counters);
        if (cpu_offsets_known)
            add_pages_of_cpus();
    }
    r->file_pages = not_negative(pages[MM_FILEPAGES]);
    r->anon_pages = not_negative(pages[MM_ANONPAGES]);
    r->swap_pages = not_negative(pages[MM_SWAPENTS]);
    r->shmem_pages = not_negative(pages[MM_SHMEMPAGES]);
    const __u64 resident = r->file_pages + r->anon_pages + r->shmem_pages;
    r->peak_pages = mm->hiwater_rss > resident ? mm->hiwater_rss : resident;
}

/* As new_encode_dev() of the kernel does it for /proc/PID/stat. */
static __always_inline __u32 device_number(__u32 major, __u32 minor) {
    return (minor & 0xff) | major << 8 | (minor & ~0xff) << 12;
}

static __always_inline void read_terminal(struct task_struct *task, struct record_process *r) {
    struct tty_struct *tty = BPF_CORE_READ(task, signal, tty);
    if (!tty)
        return;
    struct tty_struct___pgrp *old = (void *)tty;
    struct pid *heard = bpf_core_field_exists(old->pgrp) ? BPF_CORE_READ(old, pgrp)
                                                         : BPF_CORE_READ(tty, ctrl.pgrp);
    r->terminal = device_number(BPF_CORE_READ(tty, driver, major),
                                BPF_CORE_READ(tty, driver, minor_start) +
                                    BPF_CORE_READ(tty, index));
    if (task->signal->leader)
        r->flags |= PROCESS_LEADS_SESSION;
    if (heard && heard == BPF_CORE_READ(task, signal, pids[PIDTYPE_PGID]))
        r->flags |= PROCESS_IN_FOREGROUND;
}

static __always_inline __u32 state_of(struct task_struct *task) {
    struct task_struct___state *old = (void *)task;
    if (bpf_core_field_exists(old->state))
        return old->state;
    return task->__state;
}

/* An execve(2) takes milliseconds. */
#define IN_EXEC_MOST_NS 2000000000ULL

/* ---- Entries --------------------------------------------------------------------------- */

/* An entry for a process that started before us, or when the map was full. */
static __always_inline struct process_entry *track_late(struct task_struct *task,
                                                        struct scratch *scratch, __u32 pid) {
    struct signal_struct *signal = task->signal;
    struct process_entry *e = &scratch->entry;
    zero(e, sizeof(*e));
    e->start_ns = task->start_boottime;
    e->found_late = 1;
    e->unfreed = LEADER_UNFREED;
    e->exec_peak_pages = signal->maxrss;
    read_ended_usage(signal, &e->freed_threads);
    read_identity(task, &e->identity);
    e->identity.ancestor = known_ancestor(pid, e->start_ns);
    return track_process(pid, e);
}

/* ---- Sleepers ------------------------------------------------------------------------- */

/* Changes whenever the thread runs: each run ends in a context switch, and one that is still
 * going on shows in the run time. */
static __always_inline __u64 activity_of(struct task_struct *task) {
    return task->se.sum_exec_runtime + task->nvcsw + task->nivcsw;
}

static __always_inline __u64 mix(__u64 hash, __u64 more) {
    hash = (hash ^ more) * 0x9e3779b97f4a7c15;
    return hash ^ hash >> 29;
}

/* For mark_of_leader() and read_process(). Apart from those, as pointers are to be loaded before
 * the paths part. */
static __always_inline void note_pointers(struct task_struct *task, struct scratch *scratch) {
    scratch->as_numbers.parent = (__u64)task->real_parent;
    if (has_cgroups())
        scratch->as_numbers.cgroups = (__u64)task->cgroups;
    barrier();
}

/* Changes when others do to the process what a listing shows: reparent it, move it to another
 * control group, renice it, freeze it (it does not run for that since Linux 6.1). */
static __always_inline __u64 mark_of_leader(struct task_struct *task,
                                            const struct scratch *scratch) {
    __u64 mark = mix(task->start_boottime, (__u64)task->tgid << 32 | state_of(task));
    mark = mix(mark, (__u64)task->prio << 32 | (__u32)task->static_prio);
    mark = mix(mark, scratch->as_numbers.parent);
    return mix(mark, scratch->as_numbers.cgroups);
}

/* Of a process with one thread: changes also when that runs. */
static __always_inline __u64 mark_of(struct task_struct *task, struct scratch *scratch) {
    note_pointers(task, scratch);
    return mix(mark_of_leader(task, scratch), activity_of(task));
}

static __always_inline bool has_turn(__u32 pid, __u32 period_s) {
    return is_turn_of(pid, list_s, since_s, period_s);
}

/* A process that has not run since it was last listed in full has not changed, but for what
 * mark_of_leader() does not see: its memory, limits, oom_score_adj, the place of its process
 * group, descriptors that it shares. So in its turn it is listed in full. */
static __always_inline bool has_slept(__u32 pid, __u64 mark) {
    const struct slot *slot = slot_of(pid);
    return slot && slot->mark == mark && !has_turn(pid, TURN_S) &&
           !(has_turn(pid, MEMORY_TURN_S) && (moved_s >= slot->shown_s || want_terminal));
}

/* The slot may be that of another process, which another listing is about to look at. */
static __always_inline void remember(__u32 pid, __u64 mark) {
    struct slot *slot = slot_of(pid);
    if (!slot)
        return;
    slot->mark = mark;
    slot->shown_s = list_s;
}

/* One that no listing has shown is not shown yet: it would be taken for something that
 * nobody has started. Unless it is stuck there. */
static __always_inline bool is_put_off(struct process_entry *e) {
    if (!e || e->listed || e->execed)
        return false;
    if (!e->in_exec_ns)
        e->in_exec_ns = list_ns;
    return list_ns - e->in_exec_ns < IN_EXEC_MOST_NS;
}

/* ---- The record ------------------------------------------------------------------------- */

/* The entry of a process that is alive; NULL: there is none, and no room for one. */
static __always_inline struct process_entry *entry_of(struct task_struct *task,
                                                      struct scratch *scratch) {
    __u32 pid = task->tgid;
    struct process_entry *e = find_process(pid);
    if (e && e->start_ns == task->start_boottime)
        return e;
    if (e)
        retire_former(pid, task->start_boottime, SCRATCH_LIST);
    return track_late(task, scratch, pid);
}

/* What the process is by itself. Of its usage only that of its main thread. To be called before
 * anything that the verifier has to follow on several paths: for each typed pointer that is
 * loaded, on each path, newer kernels search all of their types by name. */
static __always_inline void read_process(struct task_struct *task, struct scratch *scratch,
                                         struct record_detailed *detailed) {
    struct record_process *r = &detailed->process;
    struct signal_struct *signal = task->signal;
    const struct cred *cred = task->real_cred;
    struct files_struct *files = task->files;
    struct mm_struct *mm = task->mm;
    const __u32 ppid = task->real_parent->tgid;
    note_pointers(task, scratch);
    if (want_memory_details)
        zero(detailed, sizeof(*detailed));
    else
        zero(r, sizeof(*r));
    r->kind = want_memory_details ? RECORD_DETAILED : RECORD_PROCESS;
    r->pid = task->tgid;
    r->ppid = ppid;
    r->start_ns = task->start_boottime;
    r->exec_id = task->self_exec_id;
    if (has_cgroups())
        r->cgroups_mark = mix(0, scratch->as_numbers.cgroups) | 1;
    r->flags = (task->flags & PF_KTHREAD ? PROCESS_KTHREAD : 0) |
               (task->flags & PF_FORKNOEXEC ? PROCESS_FORKED_ONLY : 0);
    r->threads = signal->nr_threads;
    r->fd_limit = signal->rlim[RLIMIT_NOFILE].rlim_cur;
    r->uid = cred->euid.val;
    r->gid = cred->egid.val;
    r->priority = task->prio;
    r->static_priority = task->static_prio;
    r->state = state_of(task);
    r->exit_state = task->exit_state;
    r->running = r->state == TASK_RUNNING && !r->exit_state;
    bpf_probe_read_kernel(r->comm, sizeof(r->comm), task->comm);
    read_thread_usage(task, &r->usage);
    read_memory(mm, scratch, r);
    if (want_memory_details)
        read_memory_details(signal, mm, detailed);
    count_fds(files, scratch, r);
    if (want_terminal)
        read_terminal(task, r);
}

/* Adds to what read_process() has found what is known of it by its entry `e`. False: it is not
 * to be shown yet. `exec` of it is to be shown if exec.kind is not 0. */
static __always_inline bool describe(struct task_struct *task, struct scratch *scratch,
                                     struct process_entry *e, struct shown *ret) {
    struct record_process *r = &ret->process.process;
    const bool in_exec = r->flags & PROCESS_IN_EXEC;
    ret->exec.kind = 0;
    ret->settles = 0;
    if (in_exec && is_put_off(e))
        return false;
    if (!e) {
        /* its ended threads are in signal_struct, as far as that tells */
        struct usage *ended_threads = &scratch->share;
        zero(ended_threads, sizeof(*ended_threads));
        read_ended_usage(task->signal, ended_threads);
        usage_add(&r->usage, ended_threads);
        return true;
    }
    usage_add(&r->usage, &e->freed_threads);
    if (!e->found_late)
        r->flags |= PROCESS_FROM_BIRTH;
    r->program = e->identity.program;
    r->ancestor = e->identity.ancestor;
    r->cgroup = e->identity.cgroup;
    if (in_exec && (e->listed || e->execed)) {
        /* it still is who it was; what it has become is told when on_exec has been called */
        if (e->execed)
            r->usage = e->until_exec;
        return true;
    }
    ret->settles = 1;
    if (e->rebased) {
        ret->exec.kind = RECORD_EXEC;
        ret->exec.was_listed = e->execed;
        ret->exec.until_exec = e->until_exec;
        ret->exec.since_exec = e->since_exec;
    }
    return true;
}

/* Of its threads that have exited, for has_threads(). To be asked before describe() adds what the
 * freed ones have used: what one used that is freed right after that is in no listing, and by the
 * time of remember() it may have taken the slot already. */
static __always_inline bool are_all_freed(const struct process_entry *e) {
    const bool yes = e && e->unfreed == LEADER_UNFREED;
    barrier();
    return yes;
}

/* Are these all of its threads, those too that have exited? */
static __always_inline bool has_threads(const struct record_process *r, __s64 threads,
                                        bool all_freed) {
    return all_freed && r->threads == threads;
}

/* After a record of it was written. An exec on another CPU between describe(), which reads these
 * flags, and this goes unnoticed: that moves a few microseconds of usage to another group. Of a
 * process that no listing had shown before, what it used between its fork and that exec counts
 * twice; with 1,000 a second and a listing each 10 seconds that is some milliseconds in an hour. */
static __always_inline void settle(struct process_entry *e) {
    e->execed = 0;
    e->rebased = 0;
    e->listed = 1;
}

#endif
