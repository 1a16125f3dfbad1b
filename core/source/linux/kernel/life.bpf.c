/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Processes begin, change and end.
 *
 *     on_fork          a process begins: an entry for it
 *     on_exec          it becomes another: what it used so far is set apart
 *     on_exit          a thread ends
 *     on_free          a thread is gone for good, with its final figures; with
 *                      the last one so is the process
 *
 * A process that has been listed gets its final figures into `ended`, by its own
 * key, since whoever listed it goes on from what the listing said. One that never
 * was is added to others of its kind in `unlisted`: there may be a million of them.
 *
 * A thread's figures are final only when its task is freed: it runs for a while
 * after sched_process_exit, and the clock is brought up to date when it is
 * switched away for the last time. Only what the thread has of its own is used:
 * signal_struct mixes in what reaped children did.
 */
#define DEFINES_SHARED
#include "maps.bpf.h"
#include "usage.bpf.h"
#include "who.bpf.h"

#define BARRIER_MS 100
#define LONGEST_TICK_NS 10000000LL

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* The item of this identity, made if there is room. */
static __always_inline struct unlisted *unlisted_of(void *map, struct scratch *scratch,
                                                    const struct who *who) {
    __u64 key = hash_words(who, sizeof(*who)) | side;
    struct unlisted *u = bpf_map_lookup_elem(map, &key);
    if (u)
        return u;
    zero(&scratch->unlisted, sizeof(scratch->unlisted));
    scratch->unlisted.who = *who;
    bpf_map_update_elem(map, &key, &scratch->unlisted, BPF_NOEXIST);
    return bpf_map_lookup_elem(map, &key);
}

/* Adds usage to what processes like this one left. */
static __always_inline void leave(struct scratch *scratch, const struct who *who,
                                  const struct usages *usage, __u64 ended_count) {
    struct unlisted *u = unlisted_of(&unlisted, scratch, who);
    if (!u) {
        /* without what makes most identities differ there are few */
        struct who less = *who;
        less.program = 0;
        less.ancestor = 0;
        u = unlisted_of(&unlisted_rest, scratch, &less);
        count_lost();
    }
    if (!u)
        return;
    usage_add_atomic(&u->usage, usage);
    if (ended_count)
        __sync_fetch_and_add(&u->ended, ended_count);
}

/* The last thread is gone. */
static __always_inline void finish(struct scratch *scratch, struct entry *e, __u32 pid) {
    scratch->entry = *e;
    e = &scratch->entry;
    if (bpf_map_delete_elem(&processes, &pid) < 0)
        return; /* another CPU freed another thread of it, and was first */
    if (e->listed || e->execed) {
        struct ended_key key = {.start_ns = e->start_ns, .pid = pid};
        const struct usages *total = e->execed ? &e->until_exec : &e->gone;
        if (bpf_map_update_elem(&ended, &key, total, BPF_ANY) < 0)
            count_lost();
    }
    if (e->listed)
        return;
    if (e->rebased)
        usage_subtract(&e->gone, &e->since_exec);
    leave(scratch, &e->who, &e->gone, !e->execed);
}

/* A thread is gone; what it used was added. */
static __always_inline void drop_thread(struct scratch *scratch, struct entry *e, __u32 pid,
                                        bool is_leader) {
    __sync_fetch_and_add(&e->threads, -1);
    if (is_leader)
        e->leader_gone = 1;
    if (e->leader_gone && (e->threads <= 0 || e->found))
        finish(scratch, e, pid);
}

/* What follows here and for execs is in functions of their own, which are not static:
 * the verifier looks at each of them once, not at each way through them and those
 * before. They can be handed nothing but numbers (until Linux 5.12), so they find their
 * room and the task themselves. */

/* It is gone, but we were not told in all this time. What is known is what it had used
 * when it began to end. Nothing if it has not ended, or that is not long ago. */
__noinline int make_up(__u32 tid, __u32 user) {
    struct scratch *scratch = scratch_of(user);
    const struct dying *noted = bpf_map_lookup_elem(&dying, &tid);
    if (!scratch || !noted ||
        bpf_ktime_get_boot_ns() - noted->end_ns < MISSED_AFTER_MS * 1000000ULL)
        return 0;
    struct dying *d = &scratch->dying;
    *d = *noted;
    if (bpf_map_delete_elem(&dying, &tid) < 0)
        return 0; /* on_free on another CPU was first */
    __u32 pid = d->pid;
    struct entry *e = bpf_map_lookup_elem(&processes, &pid);
    if (e && e->start_ns <= d->start_ns) {
        count_lost();
        usage_add_atomic(&e->gone, &d->usage);
        drop_thread(scratch, e, pid, tid == pid);
    } else if (d->unknown) {
        count_lost();
        leave(scratch, &d->who, &d->usage, tid == pid);
    }
    return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child) {
    __u32 pid = child->tgid;
    make_up(child->pid, SCRATCH_FORK); /* its number was that of another */
    if (child->pid != child->tgid) {
        struct entry *e = bpf_map_lookup_elem(&processes, &pid);
        if (e)
            __sync_fetch_and_add(&e->threads, 1);
        return 0;
    }
    struct scratch *scratch = scratch_of(SCRATCH_FORK);
    if (!scratch)
        return 0;
    __u32 parent_pid = parent->tgid;
    const struct entry *from = bpf_map_lookup_elem(&processes, &parent_pid);
    struct entry *e = &scratch->entry;
    zero(e, sizeof(*e));
    e->start_ns = child->start_boottime;
    e->threads = 1;
    e->who.program = from ? from->who.program : 0;
    e->who.ancestor = as_ancestor(parent, from);
    look_at(child, &e->who);
    e = enter(pid, e);
    if (e)
        e->found = 0; /* it can be listed already: a child shows before this is called */
    else
        count_lost();
    return 0;
}

__noinline int clear_program(void) {
    struct scratch *scratch = scratch_of(SCRATCH_EXEC);
    if (scratch)
        zero(&scratch->program, sizeof(scratch->program));
    return 0;
}

/* The path of the task's file, from its name up; the reader turns it around. */
__noinline int read_exe(void) {
    struct task_struct *task = (void *)bpf_get_current_task();
    struct scratch *scratch = scratch_of(SCRATCH_EXEC);
    struct file *file = BPF_CORE_READ(task, mm, exe_file);
    if (!scratch || !file)
        return 0;
    struct program *program = &scratch->program;
    struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
    struct vfsmount *vfsmount = BPF_CORE_READ(file, f_path.mnt);
    struct mount *mount = (void *)((char *)vfsmount - bpf_core_field_offset(struct mount, mnt));
    for (int i = 0; i < 32; i++) {
        /* kept in memory, of which the verifier knows nothing: it need not follow
         * every length that can have come about so far */
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
            break; /* longer than we keep */
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
    struct scratch *scratch = scratch_of(SCRATCH_EXEC);
    unsigned long start = BPF_CORE_READ(task, mm, arg_start), end = BPF_CORE_READ(task, mm, arg_end);
    if (!scratch || end <= start)
        return 0;
    struct program *program = &scratch->program;
    program->args_total = end - start;
    __u64 len = end - start;
    barrier_var(len); /* or the verifier does not see what the comparison says of it */
    if (len > ARGS_SIZE_MAX)
        len = ARGS_SIZE_MAX;
    if (bpf_probe_read_user(program->args, len, (const void *)start) == 0)
        program->args_len = len;
    return 0;
}

__noinline int hash_program(void) {
    struct scratch *scratch = scratch_of(SCRATCH_EXEC);
    if (scratch)
        scratch->program_key = hash_words(&scratch->program, sizeof(scratch->program));
    return 0;
}

static __always_inline __u64 note_program(struct scratch *scratch) {
    clear_program();
    read_exe();
    if (want_args)
        read_args();
    hash_program();
    __u64 key = scratch->program_key;
    if (bpf_map_lookup_elem(&programs, &key))
        return key;
    if (new_programs >= most_new_programs ||
        bpf_map_update_elem(&programs, &key, &scratch->program, BPF_ANY) < 0) {
        count_lost();
        return PROGRAM_UNKNOWN;
    }
    __sync_fetch_and_add(&new_programs, 1);
    return key;
}

/* A thread that executes a program becomes the main thread. The one that was gets its
 * number in exchange, and is freed under that. */
static __always_inline void rename_note(__u32 pid, __u32 tid) {
    const struct dying *d = tid == pid ? NULL : bpf_map_lookup_elem(&dying, &pid);
    if (!d)
        return;
    bpf_map_update_elem(&dying, &tid, d, BPF_ANY);
    if (bpf_map_delete_elem(&dying, &pid) < 0)
        bpf_map_delete_elem(&dying, &tid); /* on_free on another CPU has taken it meanwhile */
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm) {
    __u32 pid = task->tgid;
    rename_note(pid, old_pid);
    struct scratch *scratch = scratch_of(SCRATCH_EXEC);
    struct entry *e = bpf_map_lookup_elem(&processes, &pid);
    if (!scratch || !e)
        return 0; /* not listed yet, and from before us: nothing to keep apart */
    struct usages *now = &scratch->now;
    usage_of_thread(task, now);
    /* an exec ends all other threads, which belong to what the process was */
    struct usages *ended_threads = &scratch->share;
    *ended_threads = e->gone;
    usage_of_ended(task->signal, ended_threads);
    usage_raise(ended_threads, &e->gone);
    usage_add(now, ended_threads);
    if (e->listed) {
        e->until_exec = *now;
        e->execed = 1;
        e->listed = 0;
        if (want_ancestor)
            e->who.ancestor = KNOWN_ANCESTOR | pid;
    } else {
        scratch->share = *now;
        if (e->rebased)
            usage_subtract(&scratch->share, &e->since_exec);
        leave(scratch, &e->who, &scratch->share, 0);
    }
    e->since_exec = *now;
    e->rebased = 1;
    look_at(task, &e->who);
    e->who.program = want_program ? note_program(scratch) : 0;
    return 0;
}

/* How far the scheduler's clock of each CPU is behind the time since boot; 0: not known. */
#define CLOCKS 1024
__u64 clock_lags[CLOCKS];

/* The run time of a running task is brought up to date with the clock tick only; most
 * short ones have nearly all of it still to come. */
static __always_inline __u64 run_since_update(const struct dying *d) {
    const __u64 lag = clock_lags[d->cpu % CLOCKS];
    __s64 since = (__s64)(d->end_ns - lag - d->run_end_ns);
    return lag == 0 || since < 0 || since > LONGEST_TICK_NS ? 0 : since;
}

/* When a task is freed it shows how long it ran after its figures were noted, so when it
 * was switched away. That is a little after its end, so that the lag seems smaller. */
static __always_inline void learn_clock_lag(const struct dying *d, __u64 run_ns) {
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
    struct dying d = {.pid = task->tgid,
                      .cpu = bpf_get_smp_processor_id(),
                      .task = (__u64)task,
                      .start_ns = task->start_boottime,
                      .end_ns = bpf_ktime_get_boot_ns(),
                      .run_end_ns = task->se.exec_start,
                      .run_ns = task->se.sum_exec_runtime};
    usage_of_thread(task, &d.usage);
    d.usage.of[USAGE_RUN_NS] = d.run_ns + run_since_update(&d);
    /* on_free looks again, but may be dropped */
    struct entry *e = bpf_map_lookup_elem(&processes, &d.pid);
    if (!e || e->start_ns > d.start_ns) {
        e = NULL;
        d.unknown = attached_ns && d.start_ns > attached_ns;
        look_at(task, &d.who);
    } else if (tid == d.pid) {
        look_at(task, &e->who);
    }
    if (bpf_map_update_elem(&dying, &tid, &d, BPF_ANY) < 0 && e)
        __sync_fetch_and_add(&e->unnoted, 1);
    return 0;
}

/* Was its end noted, and not made up for by now? */
static __always_inline bool take_note(struct task_struct *task) {
    __u32 tid = task->pid;
    const struct dying *d = bpf_map_lookup_elem(&dying, &tid);
    if (!d || d->task != (__u64)task) {
        tid = task->tgid; /* on_exec has still to come */
        d = bpf_map_lookup_elem(&dying, &tid);
        if (!d || d->task != (__u64)task)
            return false;
    }
    learn_clock_lag(d, task->se.sum_exec_runtime);
    return bpf_map_delete_elem(&dying, &tid) == 0;
}

SEC("tp_btf/sched_process_free")
int BPF_PROG(on_free, struct task_struct *task) {
    __u32 pid = task->tgid, tid = task->pid;
    bool is_leader = tid == pid;
    bool is_from_before = !attached_ns || task->start_boottime <= attached_ns;
    bool is_noted = take_note(task);
    struct scratch *scratch = scratch_of(SCRATCH_FREE);
    struct entry *e = bpf_map_lookup_elem(&processes, &pid);
    if (!scratch)
        return 0;
    if (e && e->start_ns > task->start_boottime)
        e = NULL; /* the pid is another's already */
    if (!is_noted && !is_from_before) {
        /* On a very busy host this comes when it was made up for. */
        if (!e || (!e->unnoted && !(is_leader && !e->leader_gone)))
            return 0;
        if (e->unnoted)
            __sync_fetch_and_add(&e->unnoted, -1);
    }
    struct usages *usage = &scratch->now;
    usage_of_thread(task, usage);
    if (!e) {
        /* its beginning was missed, or it is from before us and was never listed */
        if (!is_from_before) {
            struct who who = {0};
            look_at(task, &who);
            leave(scratch, &who, usage, is_leader);
            count_lost();
        }
        return 0;
    }
    /* What was found was found with the figures of threads that had been taken off
     * already, though their tasks may not have been freed: not a second time. */
    if (!e->found || is_leader ||
        bpf_ktime_get_boot_ns() - e->found_ns > BARRIER_MS * 1000000ULL)
        usage_add_atomic(&e->gone, usage);
    if (is_leader)
        look_at(task, &e->who);
    drop_thread(scratch, e, pid, is_leader);
    return 0;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(on_cgroup_mkdir, struct cgroup *cgroup, const char *path) {
    struct scratch *scratch = scratch_of(SCRATCH_MKDIR);
    if (!want_cgroup || !scratch || cgroup->root->hierarchy_id != 0)
        return 0;
    __u64 id = cgroup->kn->id;
    zero(&scratch->cgroup, sizeof(scratch->cgroup));
    long n = bpf_probe_read_kernel_str(scratch->cgroup.text, CGROUP_PATH_SIZE, path);
    if (n > 0 && n < CGROUP_PATH_SIZE)
        bpf_map_update_elem(&cgroups, &id, &scratch->cgroup, BPF_ANY);
    return 0;
}
