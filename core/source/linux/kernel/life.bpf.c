/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The life of processes, from fork to exit.
 *
 *     on_fork          a process starts: it gets an entry in `processes`
 *     on_exec          it executes a program: its usage up to now is set aside
 *     on_exit          a thread exits
 *     on_free          the task of a thread is freed, and shows its final usage;
 *                      the last one retires the process
 *     on_cgroup_mkdir  a cgroup is created: its path is recorded
 *
 * The final usage of a process that has been listed goes to `ended` under its own key,
 * because the reader continues from what the listing said. That of a process that never
 * was is added up by identity in `unlisted`: there may be millions of those.
 *
 * The usage of a thread is final only when its task is freed: it keeps running for a while
 * after sched_process_exit, and its run time is updated when it is switched out for the
 * last time. Only per-thread figures are used, because signal_struct includes what reaped
 * children used.
 */
#define DEFINES_SHARED
#include "maps.bpf.h"
#include "usage.bpf.h"
#include "identity.bpf.h"
#include "ending.bpf.h"

#define LONGEST_TICK_NS 10000000LL /* HZ=100 */

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* ---- Where usage goes when a process ends ------------------------------------------- */

/* NULL: the map is full. */
static __always_inline struct unlisted *find_or_add_unlisted(void *map, __u32 is_used[2],
                                                             struct scratch *scratch,
                                                             const struct bpf_identity *identity) {
    __u64 key = hash_words(identity, sizeof(*identity)) | unlisted_side();
    struct unlisted *u = bpf_map_lookup_elem(map, &key);
    if (u)
        return u;
    zero(&scratch->unlisted, sizeof(scratch->unlisted));
    scratch->unlisted.identity = *identity;
    bpf_map_update_elem(map, &key, &scratch->unlisted, BPF_NOEXIST);
    mark_side_used(is_used, key);
    return bpf_map_lookup_elem(map, &key);
}

/* Credits usage to all unlisted processes of this identity. Where several end at the same
 * moment, the smaller of their peaks may be what stays: not every kernel has a way to tell. */
static __always_inline void add_to_unlisted(struct scratch *scratch,
                                            const struct bpf_identity *identity,
                                            const struct usage *usage, __u64 ended_count,
                                            __u32 ended_by, __u64 peak_pages) {
    __u32 *const adding_here = begin_adding();
    struct unlisted *u = find_or_add_unlisted(&unlisted, unlisted_is_used, scratch, identity);
    if (!u) {
        /* most identities differ in these: without them there are only a few */
        struct bpf_identity less = *identity;
        less.program = 0;
        less.ancestor = 0;
        u = find_or_add_unlisted(&unlisted_rest, unlisted_rest_is_used, scratch, &less);
        count_lost_event();
    }
    if (u) {
        usage_add_atomic(&u->usage, usage);
        if (ended_count) {
            __sync_fetch_and_add(&u->ended, ended_count);
            __sync_fetch_and_add(&u->ended_by[ended_by & (ENDED_BY_SLOTS - 1)], ended_count);
        }
        if (u->peak_pages < peak_pages)
            u->peak_pages = peak_pages;
    }
    end_adding(adding_here);
}

/* False: there is no room. */
static __always_inline bool add_process(struct scratch *scratch,
                                        const struct bpf_identity *identity,
                                        const struct process_key *process,
                                        const struct usage *usage, __u64 ended_count,
                                        __u32 ended_by, __u64 peak_pages) {
    struct unlisted *u = &scratch->unlisted;
    __u64 key = hash_words(process, sizeof(*process)) | unlisted_side();
    zero(u, sizeof(*u));
    u->identity = *identity;
    u->usage = *usage;
    u->ended = ended_count;
    /* also if the reader alone knows whether it counts */
    u->ended_by[ended_by & (ENDED_BY_SLOTS - 1)] = 1;
    u->peak_pages = peak_pages;
    u->process = *process;
    if (bpf_map_update_elem(&unlisted, &key, u, BPF_ANY) < 0)
        return false;
    mark_side_used(unlisted_is_used, key);
    return true;
}

/* Of the last program alone, if that is known. */
static __always_inline __u64 own_peak(const struct process_entry *e, __u64 peak_pages) {
    return peak_pages > e->exec_peak_pages ? peak_pages : 0;
}

/* ---- Threads by name ------------------------------------------------------------------ */

/* Keeps what a thread used that was freed, apart from its process. One that can have been listed
 * has an item of its own, as the reader continues from that; the others have one for each name:
 * there may be millions. */
static __always_inline void keep_thread_end(const struct process_entry *e, __u32 pid, __u32 tid,
                                            __u64 start_ns, const struct usage *usage,
                                            const char *comm) {
    if (!names_threads())
        return;
    /* of short-lived processes nobody asks for the threads, and most have only this one */
    if (tid == pid && !e->listed && !e->execed)
        return;
    const bool alone = start_ns < listed_until_ns;
    __u32 *const adding_here = begin_adding();
    struct thread_end_key key = {.process = {.start_ns = e->start_ns, .pid = pid},
                                 .start_ns = alone ? start_ns : 0,
                                 .tid = alone ? tid : 0,
                                 .on_side = unlisted_round & 1};
    bpf_probe_read_kernel(key.comm, sizeof(key.comm), comm);
    struct usage *there = bpf_map_lookup_elem(&thread_ends, &key);
    const bool is_first =
        !there && bpf_map_update_elem(&thread_ends, &key, usage, BPF_NOEXIST) == 0;
    if (!there && !is_first) /* there is no room, or another CPU was first */
        there = bpf_map_lookup_elem(&thread_ends, &key);
    if (there)
        usage_add_atomic(there, usage);
    end_adding(adding_here);
    __sync_fetch_and_add(there || is_first ? &thread_end_count : &thread_ends_lost, 1);
}

/* ---- The end of a process ------------------------------------------------------------- */

/* After its last thread was freed. */
static __always_inline void retire_process(struct scratch *scratch, struct process_entry *e,
                                           __u32 pid) {
    scratch->entry = *e;
    e = &scratch->entry;
    if (forget_process(pid) < 0)
        return; /* another CPU freed another of its threads, and got here first */
    const struct process_key key = {.start_ns = e->start_ns, .pid = pid};
    const __u64 peak_pages = own_peak(e, e->end_peak_pages);
    if (e->listed || e->execed) {
        scratch->ended.usage = e->execed ? e->until_exec : e->freed_threads;
        scratch->ended.peak_pages = e->execed ? e->until_exec_peak_pages : peak_pages;
        scratch->ended.ended_by = e->ended_by;
        if (bpf_map_update_elem(&ended, &key, &scratch->ended, BPF_ANY) < 0)
            count_lost_event();
        else
            __sync_fetch_and_add(&ended_count, 1);
    }
    if (e->listed)
        return;
    if (e->rebased)
        usage_subtract(&e->freed_threads, &e->since_exec);
    if (want_each_end && !e->execed && each_ends < max_each_ends &&
        add_process(scratch, &e->identity, &key, &e->freed_threads, 1, e->ended_by, peak_pages)) {
        __sync_fetch_and_add(&each_ends, 1);
        return;
    }
    add_to_unlisted(scratch, &e->identity, &e->freed_threads, !e->execed, e->ended_by, peak_pages);
}

/* After the usage of a freed thread was added to its process. The last one to be freed retires
 * that. All other threads have exited before the main one can be freed, but on a busy host, or on
 * other CPUs, they may be freed after it. */
static __always_inline void drop_thread(struct scratch *scratch, struct process_entry *e,
                                        __u32 pid, bool is_leader, bool is_counted) {
    struct slot *slot = is_leader ? NULL : slot_of(pid);
    __sync_fetch_and_add(&e->unfreed, -(is_counted + (is_leader ? LEADER_UNFREED : 0)));
    if (slot)
        slot->mark = 0; /* its main thread may sleep, but what it used has gone up */
    if (*(volatile __s64 *)&e->unfreed <= 0)
        retire_process(scratch, e, pid);
}

/* Does the process get what this thread of it used, when it is freed? Not if it had exited before
 * there was an entry, which began with the usage of such threads. (One that had exited but was
 * still there, for some microseconds or because it was traced, is missing then.) */
static __always_inline bool is_due(bool is_leader, bool is_counted) {
    return is_leader || is_counted;
}

/* Credits a process that had no entry, over its whole life. `ended` is 0 if that began before
 * us: then it counts only if it was listed. Of its other threads signal_struct tells less than
 * their own tasks, but these may have been counted in a listing. */
static __always_inline void add_untracked(struct scratch *scratch,
                                          const struct bpf_identity *identity,
                                          const struct process_key *process,
                                          const struct usage *usage, __u64 ended,
                                          __u32 ended_by) {
    if (!add_process(scratch, identity, process, usage, ended, ended_by, 0))
        count_lost_event();
}

/* The __noinline functions are global, not static, so that the verifier checks each of them
 * once by itself, and not on every path that leads to it. Before Linux 5.12 a global function
 * takes only numbers, so they look up scratch space and the task themselves. */

/* Does what on_free should have done for a thread that exited long ago, with its usage as of
 * on_exit. Does nothing if the thread has not exited, or only recently. listing.bpf.c calls
 * it as well. In SCRATCH_FORK it is called as another thread gets this tid, so the exit was
 * long ago however little time has passed. */
__noinline int synthesize_exit(__u32 tid, __u32 slot) {
    struct scratch *scratch = scratch_for(slot);
    const struct dying_thread *found = bpf_map_lookup_elem(&dying, &tid);
    if (!scratch || !found ||
        (slot != SCRATCH_FORK &&
         bpf_ktime_get_boot_ns() - found->end_ns < LOST_EXIT_AFTER_MS * 1000000ULL))
        return 0;
    struct dying_thread *d = &scratch->dying;
    *d = *found;
    if (bpf_map_delete_elem(&dying, &tid) < 0)
        return 0; /* on_free on another CPU got here first */
    __u32 pid = d->pid;
    struct process_entry *e = find_process(pid);
    if (e && e->start_ns <= d->start_ns) {
        count_lost_event();
        if (is_due(tid == pid, d->counted)) {
            usage_add_atomic(&e->freed_threads, &d->usage);
            keep_thread_end(e, pid, tid, d->start_ns, &d->usage, d->identity.comm);
        }
        drop_thread(scratch, e, pid, tid == pid, d->counted);
    } else if (d->missed_birth) {
        count_lost_event();
        if (d->start_ns >= listed_until_ns) {
            add_to_unlisted(scratch, &d->identity, &d->usage, tid == pid, d->ended_by, 0);
        } else if (tid == pid) {
            struct process_key process = {.start_ns = d->start_ns, .pid = pid};
            add_untracked(scratch, &d->identity, &process, &d->usage, 1, d->ended_by);
        }
    }
    return 0;
}

/* A pid can be used again before the task that had it last was freed, or when that exit was
 * lost. What is known of the former process is all that counts of it then: if it waited for
 * on_free it would come after its successor was listed. */
__noinline int retire_former(__u32 pid, __u64 start_ns, __u32 slot) {
    struct scratch *scratch = scratch_for(slot);
    struct process_entry *e = find_process(pid);
    if (!scratch || !e || e->start_ns >= start_ns)
        return 0;
    count_lost_event();
    retire_process(scratch, e, pid);
    return 0;
}

/* ---- Fork ------------------------------------------------------------------------------ */

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child) {
    __u32 pid = child->tgid;
    synthesize_exit(child->pid, SCRATCH_FORK); /* of the last thread with this tid */
    if (child->pid != child->tgid)
        return 0;
    retire_former(pid, child->start_boottime, SCRATCH_FORK);
    struct scratch *scratch = scratch_for(SCRATCH_FORK);
    if (!scratch)
        return 0;
    __u32 parent_pid = parent->tgid;
    const struct process_entry *from = find_process(parent_pid);
    struct process_entry *e = &scratch->born;
    zero(&e->identity, sizeof(e->identity)); /* what is wanted of it may be less than it was */
    e->start_ns = child->start_boottime;
    e->unfreed = LEADER_UNFREED;
    e->identity.program = from ? from->identity.program : 0;
    e->identity.ancestor = ancestor_key(parent, from);
    read_identity(child, &e->identity);
    if (e->start_ns > attached_ns &&
        bpf_map_update_elem(&recent_processes, &pid, e, BPF_NOEXIST) == 0)
        return 0; /* as track_process() does, but without looking it up */
    e = track_process(pid, e);
    if (e)
        e->found_late = 0; /* the listing can see a child before this tracepoint is reached */
    else
        count_lost_event();
    return 0;
}

/* ---- Exec ------------------------------------------------------------------------------ */

__noinline int clear_program(void) {
    struct scratch *scratch = scratch_for(SCRATCH_EXEC);
    if (scratch)
        zero(&scratch->program, sizeof(scratch->program));
    return 0;
}

/* The path of the executed file, from its name up to the root; the reader reverses it. */
__noinline int read_exe(void) {
    struct task_struct *task = (void *)bpf_get_current_task();
    struct scratch *scratch = scratch_for(SCRATCH_EXEC);
    struct file *file = BPF_CORE_READ(task, mm, exe_file);
    if (!scratch || !file)
        return 0;
    struct program *program = &scratch->program;
    struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
    struct vfsmount *vfsmount = BPF_CORE_READ(file, f_path.mnt);
    struct mount *mount = (void *)((char *)vfsmount - bpf_core_field_offset(struct mount, mnt));
    for (int i = 0; i < 32; i++) {
        /* kept in a map value, which the verifier does not track: else it would follow
         * every possible length through the loop */
        __u32 len = program->exe_len;
        struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
        struct dentry *root = BPF_CORE_READ(mount, mnt.mnt_root);
        if (dentry == root || dentry == parent) {
            struct mount *above = BPF_CORE_READ(mount, mnt_parent);
            if (above == mount)
                break;
            dentry = BPF_CORE_READ(mount, mnt_mountpoint);
            mount = above;
            continue;
        }
        const unsigned char *name = BPF_CORE_READ(dentry, d_name.name);
        if (len >= EXE_SIZE_MAX)
            break; /* too long to keep */
        long n = bpf_probe_read_kernel_str(program->exe + (len & (EXE_SIZE_MAX - 1)), NAME_SIZE_MAX,
                                           name);
        if (n <= 0)
            break;
        program->exe_len = len + n;
        dentry = parent;
    }
    return 0;
}

__noinline int read_args(void) {
    struct task_struct *task = (void *)bpf_get_current_task();
    struct scratch *scratch = scratch_for(SCRATCH_EXEC);
    unsigned long start = BPF_CORE_READ(task, mm, arg_start);
    unsigned long end = BPF_CORE_READ(task, mm, arg_end);
    if (!scratch || end <= start)
        return 0;
    struct program *program = &scratch->program;
    program->args_total = end - start;
    __u64 len = end - start;
    barrier_var(len); /* else the verifier does not learn the bound from the comparison */
    if (len > ARGS_SIZE_MAX)
        len = ARGS_SIZE_MAX;
    if (bpf_probe_read_user(program->args, len, (const void *)start) == 0)
        program->args_len = len;
    return 0;
}

__noinline int hash_program(void) {
    struct scratch *scratch = scratch_for(SCRATCH_EXEC);
    if (scratch)
        scratch->program_key = hash_words(&scratch->program, sizeof(scratch->program));
    return 0;
}

/* The key of what the current task has executed, in the map `programs`. */
static __always_inline __u64 record_program(struct scratch *scratch) {
    clear_program();
    read_exe();
    if (want_args)
        read_args();
    hash_program();
    __u64 key = scratch->program_key;
    if (bpf_map_lookup_elem(&programs, &key))
        return key;
    if (new_programs >= max_new_programs ||
        bpf_map_update_elem(&programs, &key, &scratch->program, BPF_ANY) < 0) {
        count_lost_event();
        return PROGRAM_UNKNOWN;
    }
    __sync_fetch_and_add(&new_programs, 1);
    return key;
}

/* When another thread than the main one calls execve(), the kernel swaps their tids: the
 * former main thread is freed under the tid of the other. */
static __always_inline void rename_dying(__u32 pid, __u32 tid) {
    const struct dying_thread *d = tid == pid ? NULL : bpf_map_lookup_elem(&dying, &pid);
    if (!d)
        return;
    const bool has_room = bpf_map_update_elem(&dying, &tid, d, BPF_ANY) == 0;
    mark_used(&dying_is_used);
    if (bpf_map_delete_elem(&dying, &pid) < 0) {
        bpf_map_delete_elem(&dying, &tid); /* on_free on another CPU got here first */
        return;
    }
    struct process_entry *e = has_room ? NULL : find_process(pid);
    if (e)
        __sync_fetch_and_add(&e->unrecorded, 1);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm) {
    __u32 pid = task->tgid;
    rename_dying(pid, old_pid);
    struct scratch *scratch = scratch_for(SCRATCH_EXEC);
    struct process_entry *e = find_process(pid);
    if (!scratch || !e)
        return 0; /* started before us and not listed yet: nothing to set aside */
    struct usage *now = &scratch->now;
    read_usage_at_event(task, now);
    /* an exec kills all other threads; they belong to what the process was before */
    struct usage *ended_threads = &scratch->share;
    *ended_threads = e->freed_threads;
    read_ended_usage(task->signal, ended_threads);
    usage_at_least(ended_threads, &e->freed_threads);
    usage_add(now, ended_threads);
    const __u64 peak_pages = task->signal->maxrss;
    if (e->listed) {
        e->until_exec = *now;
        e->until_exec_peak_pages = own_peak(e, peak_pages);
        e->execed = 1;
        e->listed = 0;
        if (want_ancestor)
            e->identity.ancestor = known_ancestor(pid, e->start_ns);
    } else {
        scratch->share = *now;
        if (e->rebased)
            usage_subtract(&scratch->share, &e->since_exec);
        add_to_unlisted(scratch, &e->identity, &scratch->share, 0, 0, own_peak(e, peak_pages));
    }
    e->exec_peak_pages = peak_pages;
    e->since_exec = *now;
    e->rebased = 1;
    read_identity(task, &e->identity);
    e->identity.program = want_program ? record_program(scratch) : 0;
    return 0;
}

/* ---- Exit ------------------------------------------------------------------------------ */

/* How far the scheduler's clock on each CPU is behind the boot clock; 0: not known yet. */
#define CLOCKS 1024
__u64 clock_lags[CLOCKS];

/* The kernel updates the run time of a running task only at clock ticks. For most short
 * tasks nearly all of it has not been accounted yet when they exit. */
static __always_inline __u64 run_since_update(const struct dying_thread *d) {
    const __u64 lag = clock_lags[d->cpu % CLOCKS];
    __s64 since = (__s64)(d->end_ns - lag - d->run_end_ns);
    return lag == 0 || since < 0 || since > LONGEST_TICK_NS ? 0 : since;
}

/* A freed task shows how long it ran after on_exit read its usage, and so when it was
 * switched out by the scheduler's clock. That is slightly after end_ns, so the lag seems
 * smaller than it is: a larger estimate is believed at once, a smaller one slowly. */
static __always_inline void learn_clock_lag(const struct dying_thread *d, __u64 run_ns) {
    __u64 *lag = &clock_lags[d->cpu % CLOCKS];
    __s64 more = (__s64)(d->end_ns - (d->run_end_ns + run_ns - d->run_ns) - *lag);
    if (*lag == 0 || more > 0 || more < -LONGEST_TICK_NS)
        *lag += more;
    else
        *lag += more / 16;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task) {
    __u32 tid = task->pid;
    struct dying_thread d = {.pid = task->tgid,
                             .cpu = bpf_get_smp_processor_id(),
                             .task = (__u64)task,
                             .start_ns = task->start_boottime,
                             .end_ns = bpf_ktime_get_boot_ns(),
                             .run_end_ns = task->se.exec_start,
                             .run_ns = task->se.sum_exec_runtime};
    read_usage_at_event(task, &d.usage);
    d.usage.of[USAGE_RUN_NS] = d.run_ns + run_since_update(&d);
    /* on_free reads the identity again, but its event may be dropped */
    struct process_entry *e = find_process(d.pid);
    if (!e || e->start_ns > d.start_ns) {
        e = NULL;
        d.missed_birth = attached_ns && d.start_ns > attached_ns;
        read_identity(task, &d.identity);
        d.ended_by = tid == d.pid ? ending_foreseen(task) : ENDED_BY_UNKNOWN;
        d.process_start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
    } else {
        d.counted = 1;
        __sync_fetch_and_add(&e->unfreed, 1);
        if (tid == d.pid) {
            read_identity(task, &e->identity);
            e->ended_by = ending_foreseen(task);
        }
    }
    if (e && names_threads())
        bpf_probe_read_kernel(d.identity.comm, sizeof(d.identity.comm), task->comm);
    if (bpf_map_update_elem(&dying, &tid, &d, BPF_ANY) == 0) {
        mark_used(&dying_is_used);
        return 0;
    }
    if (e)
        __sync_fetch_and_add(&e->unrecorded, 1);
    else if (d.missed_birth)
        count_lost_event(); /* on_free will take it for one that was synthesized */
    return 0;
}

/* What on_exit has noted of a thread that is freed. */
struct noted {
    bool is_there, is_counted;
    __u64 process_start_ns;
};

/* Takes the thread out of `dying`. It is not there if on_exit was not called, or if its exit has
 * been synthesized. */
static __always_inline void take_dying(struct task_struct *task, struct noted *ret) {
    __u32 tid = task->pid;
    const struct dying_thread *d = bpf_map_lookup_elem(&dying, &tid);
    if (!d || d->task != (__u64)task) {
        tid = task->tgid; /* the tids are swapped already, but on_exec is still to come */
        d = bpf_map_lookup_elem(&dying, &tid);
        if (!d || d->task != (__u64)task)
            return;
    }
    learn_clock_lag(d, task->se.sum_exec_runtime);
    const bool is_counted = d->counted;
    ret->process_start_ns = d->process_start_ns;
    ret->is_there = bpf_map_delete_elem(&dying, &tid) == 0;
    ret->is_counted = ret->is_there && is_counted;
}

SEC("tp_btf/sched_process_free")
int BPF_PROG(on_free, struct task_struct *task) {
    __u32 pid = task->tgid, tid = task->pid;
    bool is_leader = tid == pid;
    bool predates_us = !attached_ns || task->start_boottime <= attached_ns;
    struct noted noted = {0};
    take_dying(task, &noted);
    struct scratch *scratch = scratch_for(SCRATCH_FREE);
    struct process_entry *e = find_process(pid);
    if (!scratch)
        return 0;
    if (e && e->start_ns > task->start_boottime)
        e = NULL; /* the pid has been reused */
    if (!noted.is_there) {
        if (e && e->unrecorded) {
            __sync_fetch_and_add(&e->unrecorded, -1);
            noted.is_counted = true;
        } else if (!is_leader || (e ? is_leader_freed(e) : !predates_us)) {
            /* It exited before us; or on a very busy host this comes after the exit was
             * synthesized. */
            return 0;
        }
    }
    struct usage *usage = &scratch->now;
    read_usage_at_event(task, usage);
    if (!e) {
        /* there was no room for it, its fork was lost, or it started before us */
        struct process_key process = {
            .start_ns = is_leader ? task->start_boottime : noted.process_start_ns, .pid = pid};
        struct bpf_identity identity = {0};
        read_identity(task, &identity);
        if (process.start_ns >= listed_until_ns) {
            if (predates_us)
                return 0;
            add_to_unlisted(scratch, &identity, usage, is_leader, is_leader ? ending_of(task) : 0,
                            0);
            count_lost_event();
        } else if (is_leader) {
            struct usage *total = &scratch->share;
            *total = *usage;
            read_ended_usage(task->signal, total);
            usage_at_least(total, usage);
            add_untracked(scratch, &identity, &process, total, !predates_us, ending_of(task));
        }
        return 0;
    }
    if (is_due(is_leader, noted.is_counted)) {
        usage_add_atomic(&e->freed_threads, usage);
        keep_thread_end(e, pid, tid, task->start_boottime, usage, task->comm);
    }
    if (is_leader) {
        read_identity(task, &e->identity);
        e->ended_by = ending_of(task);
    }
    e->end_peak_pages = task->signal->maxrss;
    drop_thread(scratch, e, pid, is_leader, noted.is_counted);
    return 0;
}

/* ---- Cgroups --------------------------------------------------------------------------- */

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(on_cgroup_mkdir, struct cgroup *cgroup, const char *path) {
    struct scratch *scratch = scratch_for(SCRATCH_MKDIR);
    if (!want_cgroup || !scratch || cgroup->root->hierarchy_id != 0)
        return 0;
    __u64 id = cgroup->kn->id;
    zero(&scratch->cgroup, sizeof(scratch->cgroup));
    long n = bpf_probe_read_kernel_str(scratch->cgroup.text, CGROUP_PATH_SIZE, path);
    if (n > 0 && n < CGROUP_PATH_SIZE)
        bpf_map_update_elem(&cgroups, &id, &scratch->cgroup, BPF_ANY);
    return 0;
}
