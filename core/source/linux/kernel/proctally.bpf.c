/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The part of source_bpf.c that runs in the kernel.
 *
 *     list_tasks       reads every live thread, when source_bpf.c asks for it; or makes
 *                      up for ends that we were not told of
 *     on_fork          a process begins: an entry for it
 *     on_exec          it becomes another: what it used so far is set apart
 *     on_exit          a thread ends
 *     on_free          a thread is gone for good, with its final figures; with
 *                      the last one so is the process
 *     count_…          traffic, by the identity of the process that uses the socket
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
#include "kernel.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "shared.h"

#define BARRIER_MS 100
#define LONGEST_TICK_NS 10000000LL

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* What rules and group-by ask for. Set before loading, and when they change. */
__u32 want_program = 0;  /* exe */
__u32 want_args = 0;     /* with it; secrets are kept only if somebody asks for them */
__u32 want_user = 0;
__u32 want_cgroup = 0;
__u32 want_ancestor = 0;
/* The next listing shows every process in full. */
__u32 want_all = 1;
/* BPF_FORMAT of whoever loaded us. */
__u32 format = 0;
/* Events that were lost for want of room. */
__u64 lost = 0;
/* Programs since the last listing, and the most that there may be. */
__u32 new_programs = 0, most_new_programs = 0;
__u64 side = 0; /* of unlisted and unlisted_rest, to add to: OTHER_SIDE or 0 */
__u64 lost_told = 0; /* of these, what a reader has taken notice of */
/* The kernel tells who sends and receives on a socket (Linux 6.3), so that it is
 * known who took a connection over. */
__u32 sees_users = 0;
/* How many links are pinned; 0: not all of them yet. */
__u32 pinned_links = 0;
/* When the programs were attached, since boot; 0: not yet. */
__u64 attached_ns = 0;
/* Threads that are gone although nobody told us. If there are any, list_tasks makes up
 * for these, and lists nothing: a reader can't, as entries change all the time. */
__u32 missed[MISSED_MAX], missed_count = 0;

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 65536);
    __type(key, __u32); /* pid */
    __type(value, struct entry);
} processes SEC(".maps");

/* So that it shows if the event never comes that a task was freed: the kernel drops
 * events where it could recurse, and not only there. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 65536);
    __type(key, __u32); /* tid */
    __type(value, struct dying);
} dying SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 65536);
    __type(key, struct ended_key);
    __type(value, struct ended);
} ended SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 16384);
    __type(key, __u64); /* hash of who */
    __type(value, struct unlisted);
} unlisted SEC(".maps");

/* For what does not fit there. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 4096);
    __type(key, __u64);
    __type(value, struct unlisted);
} unlisted_rest SEC(".maps");

/* The oldest make place for new ones. But between two listings no more are added than
 * leave room for those that the listing is to be told of. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 4096);
    __type(key, __u64); /* hash of the program */
    __type(value, struct program);
} programs SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 16384);
    __type(key, __u64); /* hash of who */
    __type(value, struct who);
} ancestors SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 4096);
    __type(key, __u64); /* its id */
    __type(value, struct cgroup_path);
} cgroups SEC(".maps");

/* Room for what does not fit on a stack of 512 bytes, and for values that the
 * verifier would else follow one by one through every branch. One item for each program
 * that can interrupt another on the same CPU. */
enum scratch_user { SCRATCH_FORK, SCRATCH_EXEC, SCRATCH_FREE, SCRATCH_LIST, SCRATCH_MKDIR, SCRATCHES };
struct scratch {
    struct usages now, share;
    struct entry entry;
    struct unlisted unlisted;
    struct record_exec exec;
    struct record_process process;
    struct program program;
    __u64 program_key;
    struct cgroup_path cgroup;
    struct dying dying;
};
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, SCRATCHES);
    __type(key, __u32);
    __type(value, struct scratch);
} scratches SEC(".maps");

static __always_inline struct scratch *scratch_of(__u32 user) {
    return bpf_map_lookup_elem(&scratches, &user);
}

/* A loop: the compiler would unroll memset(), or call it, and there is none. */
static __always_inline void zero(void *data, __u32 size) {
    __u64 *words = data;
    for (__u32 i = 0; i < size / 8; i++) {
        words[i] = 0;
        barrier();
    }
}

static __always_inline void count_lost(void) {
    __sync_fetch_and_add(&lost, 1);
}

/* ---- Usage ---------------------------------------------------------------------- */

static __always_inline void usage_of_thread(struct task_struct *task, struct usages *ret) {
    struct task_delay_info *delays = task->delays;
    ret->of[USAGE_RUN_NS] = task->se.sum_exec_runtime;
    ret->of[USAGE_USER_NS] = task->utime;
    ret->of[USAGE_SYSTEM_NS] = task->stime;
    ret->of[USAGE_MINFLT] = task->min_flt;
    ret->of[USAGE_MAJFLT] = task->maj_flt;
    ret->of[USAGE_VOLUNTARY_SWITCHES] = task->nvcsw;
    ret->of[USAGE_INVOLUNTARY_SWITCHES] = task->nivcsw;
    ret->of[USAGE_RUN_QUEUE_WAIT_NS] = task->sched_info.run_delay;
    ret->of[USAGE_BLKIO_DELAY_NS] = delays ? delays->blkio_delay : 0;
    ret->of[USAGE_IO_READ_BYTES] = task->ioac.rchar;
    ret->of[USAGE_IO_WRITTEN_BYTES] = task->ioac.wchar;
    ret->of[USAGE_IO_READS] = task->ioac.syscr;
    ret->of[USAGE_IO_WRITES] = task->ioac.syscw;
    ret->of[USAGE_DISK_READ_BYTES] = task->ioac.read_bytes;
    ret->of[USAGE_DISK_WRITTEN_BYTES] = task->ioac.write_bytes;
}

/* What threads that have ended did of their own, as far as the kernel keeps it: the
 * rest is mixed with that of children. Their tasks may not have been freed yet. */
static __always_inline void usage_of_ended(struct signal_struct *signal, struct usages *ret) {
    ret->of[USAGE_RUN_NS] = signal->sum_sched_runtime;
    ret->of[USAGE_USER_NS] = signal->utime;
    ret->of[USAGE_SYSTEM_NS] = signal->stime;
    ret->of[USAGE_MINFLT] = signal->min_flt;
    ret->of[USAGE_MAJFLT] = signal->maj_flt;
    ret->of[USAGE_VOLUNTARY_SWITCHES] = signal->nvcsw;
    ret->of[USAGE_INVOLUNTARY_SWITCHES] = signal->nivcsw;
}

static __always_inline void usage_add(struct usages *to, const struct usages *more) {
#pragma unroll
    for (int i = 0; i < USAGES; i++)
        to->of[i] += more->of[i];
}

static __always_inline void usage_add_atomic(struct usages *to, const struct usages *more) {
#pragma unroll
    for (int i = 0; i < USAGES; i++)
        if (more->of[i])
            __sync_fetch_and_add(&to->of[i], more->of[i]);
}

static __always_inline void usage_subtract(struct usages *from, const struct usages *less) {
#pragma unroll
    for (int i = 0; i < USAGES; i++)
        from->of[i] = from->of[i] > less->of[i] ? from->of[i] - less->of[i] : 0;
}

static __always_inline void usage_raise(struct usages *to, const struct usages *least) {
#pragma unroll
    for (int i = 0; i < USAGES; i++)
        if (to->of[i] < least->of[i])
            to->of[i] = least->of[i];
}

/* ---- Who ------------------------------------------------------------------------- */

/* FNV's step, by words. Never 0. */
static __always_inline __u64 hash_words(const void *data, __u32 size) {
    const __u64 *words = data;
    __u64 h = 0xcbf29ce484222325;
    for (__u32 i = 0; i < size / 8; i++) {
        h ^= words[i];
        h *= 0x9e3779b97f4a7c15;
        h ^= h >> 29;
    }
    return h & ~KNOWN_ANCESTOR ? h & ~KNOWN_ANCESTOR : 1;
}

/* What a task shows now; its program and its ancestor are not seen in it. */
static __always_inline void look_at(struct task_struct *task, struct who *who) {
    bpf_probe_read_kernel(who->comm, sizeof(who->comm), task->comm);
    if (want_user) {
        who->uid = task->real_cred->euid.val;
        who->gid = task->real_cred->egid.val;
    }
    if (want_cgroup)
        who->cgroup = task->cgroups->dfl_cgrp->kn->id;
}

/* What children take for their ancestor. */
static __always_inline __u64 as_ancestor(struct task_struct *task, const struct entry *e) {
    if (!want_ancestor && !want_program)
        return 0;
    if (!e || e->listed)
        return KNOWN_ANCESTOR | (__u32)task->tgid;
    if (!want_ancestor && e->who.program != 0)
        return 0;
    struct who who = e->who;
    look_at(task, &who);
    __u64 key = hash_words(&who, sizeof(who));
    if (!bpf_map_lookup_elem(&ancestors, &key))
        bpf_map_update_elem(&ancestors, &key, &who, BPF_ANY);
    return key;
}

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

/* ---- Processes begin, change and end ----------------------------------------------- */

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

/* The entry of a process that had none yet: this one, unless the listing and on_fork come
 * to it at the same time. NULL: there is no room. */
static __always_inline struct entry *enter(__u32 pid, const struct entry *e) {
    bpf_map_update_elem(&processes, &pid, e, BPF_NOEXIST);
    struct entry *there = bpf_map_lookup_elem(&processes, &pid);
    if (!there || there->start_ns == e->start_ns)
        return there;
    count_lost(); /* the end of one with the same pid was missed */
    bpf_map_update_elem(&processes, &pid, e, BPF_ANY);
    return bpf_map_lookup_elem(&processes, &pid);
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

/* ---- The listing -------------------------------------------------------------------- */

static __always_inline __u32 count_bits(__u64 word) {
    word -= word >> 1 & 0x5555555555555555;
    word = (word & 0x3333333333333333) + (word >> 2 & 0x3333333333333333);
    return (word + (word >> 4) & 0x0f0f0f0f0f0f0f0f) * 0x0101010101010101 >> 56;
}

/* A table has room for 64 descriptors, or for a multiple of 128. */
#define FD_STEP 128
#define FD_STEPS_MAX 64

static __always_inline void count_fds(struct task_struct *task, struct record_process *r) {
    struct files_struct *files = task->files;
    if (!files)
        return;
    struct fdtable *table = files->fdt;
    __u32 size = table->max_fds;
    const unsigned long *bits = table->open_fds;
    __u64 words[2];
    __u32 count = 0;
    if (size <= 64) {
        bpf_probe_read_kernel(words, sizeof(words[0]), bits);
        count = count_bits(words[0]);
    } else if (size > FD_STEP * FD_STEPS_MAX) {
        r->flags |= PROCESS_MANY_FDS;
        return;
    } else {
        for (__u32 i = 0; i < FD_STEPS_MAX; i++) {
            if (i * FD_STEP >= size)
                break;
            if (bpf_probe_read_kernel(words, sizeof(words), (const char *)bits + i * (FD_STEP / 8)) < 0)
                return;
            count += count_bits(words[0]) + count_bits(words[1]);
        }
    }
    r->fds = count;
    r->flags |= PROCESS_HAS_FDS;
}

static __always_inline __u64 not_negative(__s64 value) {
    return value < 0 ? 0 : value;
}

static __always_inline void look_at_memory(struct task_struct *task, struct record_process *r) {
    struct mm_struct *mm = task->mm;
    if (!mm)
        return;
    r->flags |= PROCESS_HAS_MEMORY;
    r->total_pages = mm->total_vm;
    r->data_pages = mm->data_vm;
    r->stack_pages = mm->stack_vm;
    r->code_pages = mm->exec_vm;
    struct mm_struct___atomic *old = (void *)mm;
    if (bpf_core_field_exists(old->rss_stat.count)) {
        r->file_pages = not_negative(old->rss_stat.count[MM_FILEPAGES].counter);
        r->anon_pages = not_negative(old->rss_stat.count[MM_ANONPAGES].counter);
        r->swap_pages = not_negative(old->rss_stat.count[MM_SWAPENTS].counter);
        r->shmem_pages = not_negative(old->rss_stat.count[MM_SHMEMPAGES].counter);
    } else {
        r->file_pages = not_negative(mm->rss_stat[MM_FILEPAGES].count);
        r->anon_pages = not_negative(mm->rss_stat[MM_ANONPAGES].count);
        r->swap_pages = not_negative(mm->rss_stat[MM_SWAPENTS].count);
        r->shmem_pages = not_negative(mm->rss_stat[MM_SHMEMPAGES].count);
    }
}

static __always_inline __u32 state_of(struct task_struct *task) {
    struct task_struct___state *old = (void *)task;
    if (bpf_core_field_exists(old->state))
        return old->state;
    return task->__state;
}

/* An entry for a process that was there before us, or that there was no room for
 * when it began. */
static __always_inline struct entry *find_late(struct task_struct *task, struct scratch *scratch,
                                               __u32 pid) {
    struct signal_struct *signal = task->signal;
    struct entry *e = &scratch->entry;
    zero(e, sizeof(*e));
    e->start_ns = task->start_boottime;
    e->found_ns = bpf_ktime_get_boot_ns();
    e->found = 1;
    e->threads = signal->nr_threads;
    usage_of_ended(signal, &e->gone);
    look_at(task, &e->who);
    e->who.ancestor = KNOWN_ANCESTOR | pid;
    return enter(pid, e);
}

static __always_inline int list_thread(struct seq_file *seq, struct task_struct *task) {
    struct record_thread r = {.kind = RECORD_THREAD,
                              .pid = task->tgid,
                              .state = state_of(task),
                              .exit_state = task->exit_state};
    usage_of_thread(task, &r.usage);
    bpf_seq_write(seq, &r, sizeof(r));
    return 0;
}

/* Every run of a thread ends in a switch, and one that has not ended yet shows in
 * the time: as long as these stand still, it has not run. Never 0. */
static __always_inline __u64 activity_of(struct task_struct *task) {
    return task->se.sum_exec_runtime + task->nvcsw + task->nivcsw + 1;
}

/* A process whose only thread has not run since it was listed in full is as it
 * was then, but for what others do to it: swap its memory out, renice it … So it
 * is looked at all the same after a while, not all of them in the same listing. */
static __always_inline bool has_slept(struct task_struct *task, const struct entry *e, __u32 pid,
                                      __u64 now_ns) {
    return e->listed && !e->execed && !e->rebased && e->threads == 1 && e->activity == activity_of(task) && state_of(task) != TASK_RUNNING &&
           !task->exit_state && now_ns - e->shown_ns < (25 - pid % 16) * 1000000000ULL;
}

static __always_inline void make_up_for_missed(void) {
    for (__u32 i = 0; i < MISSED_MAX; i++) {
        if (i >= missed_count)
            break;
        make_up(missed[i], SCRATCH_LIST);
    }
}

SEC("iter/task")
int list_tasks(struct bpf_iter__task *ctx) {
    struct task_struct *task = ctx->task;
    struct seq_file *seq = ctx->meta->seq;
    if (!task) /* the end of the list */
        make_up_for_missed();
    /* One that has been reaped is gone: its figures come when it is freed. */
    if (!task || missed_count || task->exit_state & EXIT_DEAD)
        return 0;
    if (task->pid != task->tgid)
        return list_thread(seq, task);
    struct scratch *scratch = scratch_of(SCRATCH_LIST);
    if (!scratch)
        return 0;
    __u32 pid = task->tgid;
    struct entry *e = bpf_map_lookup_elem(&processes, &pid);
    if (e && e->start_ns != task->start_boottime)
        e = NULL; /* of its predecessor, whose end was missed */
    __u64 now_ns = bpf_ktime_get_boot_ns();
    if (e && !want_all && has_slept(task, e, pid, now_ns)) {
        struct record_same same = {RECORD_SAME, pid, e->start_ns};
        bpf_seq_write(seq, &same, sizeof(same));
        return 0;
    }
    if (!e)
        e = find_late(task, scratch, pid);

    __u64 activity = activity_of(task); /* before the figures that it stands for */
    struct record_process *r = &scratch->process;
    zero(r, sizeof(*r));
    r->kind = RECORD_PROCESS;
    r->pid = pid;
    r->ppid = task->real_parent->tgid;
    r->start_ns = task->start_boottime;
    r->exec_id = task->self_exec_id;
    r->flags = (task->flags & PF_KTHREAD ? PROCESS_KTHREAD : 0) |
               (task->flags & PF_FORKNOEXEC ? PROCESS_FORKED_ONLY : 0);
    r->threads = task->signal->nr_threads;
    r->fd_limit = task->signal->rlim[RLIMIT_NOFILE].rlim_cur;
    r->uid = task->real_cred->euid.val;
    r->gid = task->real_cred->egid.val;
    r->priority = task->prio;
    r->static_priority = task->static_prio;
    r->state = state_of(task);
    r->exit_state = task->exit_state;
    r->running = r->state == TASK_RUNNING && !r->exit_state;
    bpf_probe_read_kernel(r->comm, sizeof(r->comm), task->comm);
    usage_of_thread(task, &r->usage);
    look_at_memory(task, r);
    count_fds(task, r);
    if (!e) {
        r->flags |= PROCESS_UNTRACKED;
        bpf_seq_write(seq, r, sizeof(*r));
        return 0;
    }
    usage_add(&r->usage, &e->gone);
    if (!e->found)
        r->flags |= PROCESS_FROM_BIRTH;
    r->program = e->who.program;
    r->ancestor = e->who.ancestor;
    r->cgroup = e->who.cgroup;
    if (e->rebased) {
        struct record_exec *exec = &scratch->exec;
        exec->kind = RECORD_EXEC;
        exec->was_listed = e->execed;
        exec->until_exec = e->until_exec;
        exec->since_exec = e->since_exec;
        if (bpf_seq_write(seq, exec, sizeof(*exec)) < 0)
            return 0;
    }
    /* When the buffer is full all that was written for this task is dropped, and
     * it is shown to us again: nothing may have changed by then. Between here and
     * there an exec on another CPU may get lost; that moves a few microseconds of
     * use to another group. */
    if (bpf_seq_write(seq, r, sizeof(*r)) < 0)
        return 0;
    e->execed = 0;
    e->rebased = 0;
    e->listed = 1;
    e->activity = activity;
    e->shown_ns = now_ns;
    return 0;
}

/* ---- Traffic ------------------------------------------------------------------------ */

/*
 * Packets come and go where the current task is anybody, so the socket has to tell
 * whose they are. It is the process that made it, until another one sends or
 * receives on it: after accept(2), fork(2), or when its descriptor was passed on.
 * What a connection receives before anybody has used it waits, and goes to who does
 * so first. If nobody ever does, it is the listener's.
 */
struct user {
    __u64 key;    /* hash of who; 0: not known */
    __u64 cookie; /* of the socket: another one in a copy, which accept(2) makes */
    __u64 exec_id;
    __u32 pid;
    __u32 is_new; /* nobody has used this connection yet */
    struct who who;
    __u64 waiting[TRAFFICS];
};
struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
    __type(key, int);
    __type(value, struct user);
} sockets SEC(".maps");

static __always_inline void count_for(const struct who *who, __u64 key, __u32 protocol,
                                      const __u64 *traffic) {
    __u64 item = key | side;
    struct unlisted *u = bpf_map_lookup_elem(&unlisted, &item);
    if (!u) {
        struct unlisted none = {0};
        none.who = *who;
        /* another CPU may be changing it right now: then not this time */
        if (hash_words(&none.who, sizeof(none.who)) == key)
            bpf_map_update_elem(&unlisted, &item, &none, BPF_NOEXIST);
        u = bpf_map_lookup_elem(&unlisted, &item);
    }
    if (!u) {
        count_lost();
        return;
    }
    for (int i = 0; i < TRAFFICS; i++)
        if (traffic[i])
            __sync_fetch_and_add(&u->traffic.of[protocol][i], traffic[i]);
}

static __always_inline void flush(struct user *user, __u32 protocol) {
    __u64 traffic[TRAFFICS];
    bool any = false;
    for (int i = 0; i < TRAFFICS; i++) {
        traffic[i] = user->waiting[i];
        if (traffic[i]) {
            any = true;
            __sync_fetch_and_add(&user->waiting[i], -traffic[i]);
        }
    }
    if (any && user->key)
        count_for(&user->who, user->key, protocol, traffic);
}

/* The current process uses it from now on. */
static __always_inline void take_over(struct user *user, struct task_struct *task, __u32 pid,
                                      __u64 exec_id) {
    const struct entry *e = bpf_map_lookup_elem(&processes, &pid);
    struct who who = {0};
    if (e) {
        who.program = e->who.program;
        who.ancestor = e->who.ancestor;
    }
    if (!e || e->listed)
        who.ancestor = KNOWN_ANCESTOR | ITSELF | pid;
    BPF_CORE_READ_INTO(&who.comm, task, group_leader, comm);
    if (want_user) {
        who.uid = BPF_CORE_READ(task, real_cred, euid.val);
        who.gid = BPF_CORE_READ(task, real_cred, egid.val);
    }
    if (want_cgroup)
        who.cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
    user->key = 0;
    user->who = who;
    user->pid = pid;
    user->exec_id = exec_id;
    user->is_new = 0;
    user->key = hash_words(&who, sizeof(who));
}

SEC("cgroup/sock_create")
int on_socket(struct bpf_sock *sk) {
    if (sk->protocol != IPPROTO_TCP && sk->protocol != IPPROTO_UDP)
        return 1;
    struct user *user = bpf_sk_storage_get(&sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
    struct task_struct *task = (void *)bpf_get_current_task();
    if (user) {
        user->cookie = bpf_get_socket_cookie(sk);
        take_over(user, task, bpf_get_current_pid_tgid() >> 32, BPF_CORE_READ(task, self_exec_id));
    }
    return 1;
}

static __always_inline int protocol_index(__u32 protocol) {
    return protocol == IPPROTO_TCP ? PROTOCOL_TCP : protocol == IPPROTO_UDP ? PROTOCOL_UDP : -1;
}

static __always_inline int count_packet(struct __sk_buff *skb, int bytes, int packets) {
    struct bpf_sock *sk = skb->sk;
    if (!sk)
        return 1;
    sk = bpf_sk_fullsock(sk);
    if (!sk)
        return 1;
    int protocol = protocol_index(sk->protocol);
    if (protocol < 0)
        return 1;
    struct user *user = bpf_sk_storage_get(&sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
    if (!user)
        return 1;
    __u64 cookie = bpf_get_socket_cookie(skb);
    if (user->cookie != cookie) {
        user->cookie = cookie;
        user->is_new = sees_users;
        user->pid = 0;
        for (int i = 0; i < TRAFFICS; i++)
            user->waiting[i] = 0;
    }
    __u64 count = skb->gso_segs > 1 ? skb->gso_segs : 1;
    if (user->is_new || user->key == 0) {
        __sync_fetch_and_add(&user->waiting[bytes & 3], skb->len);
        __sync_fetch_and_add(&user->waiting[packets & 3], count);
        return 1;
    }
    __u64 traffic[TRAFFICS] = {0};
    traffic[bytes & 3] = skb->len;
    traffic[packets & 3] = count;
    count_for(&user->who, user->key, protocol, traffic);
    return 1;
}

SEC("cgroup_skb/ingress")
int count_received(struct __sk_buff *skb) {
    return count_packet(skb, TRAFFIC_RECEIVED_BYTES, TRAFFIC_RECEIVED_PACKETS);
}

SEC("cgroup_skb/egress")
int count_transmitted(struct __sk_buff *skb) {
    return count_packet(skb, TRAFFIC_TRANSMITTED_BYTES, TRAFFIC_TRANSMITTED_PACKETS);
}

static __always_inline int used_by_current(struct sock *sk) {
    int protocol = protocol_index(sk->sk_protocol);
    if (protocol < 0)
        return 0;
    struct user *user = bpf_sk_storage_get(&sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
    __u32 pid = bpf_get_current_pid_tgid() >> 32;
    if (!user)
        return 0;
    struct task_struct *task = (void *)bpf_get_current_task();
    __u64 exec_id = BPF_CORE_READ(task, self_exec_id);
    if (user->pid == pid && user->exec_id == exec_id && !user->is_new)
        return 0;
    take_over(user, task, pid, exec_id);
    flush(user, protocol);
    return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(on_send, struct sock *sk, int length, int flags) {
    return used_by_current(sk);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(on_receive, struct sock *sk, int length, int flags) {
    return used_by_current(sk);
}

/* Those two come when a call is over, and one that sends may take minutes. This comes
 * before anything is sent (since Linux 6.16). */
SEC("tp_btf/tcp_sendmsg_locked")
int BPF_PROG(on_send_begin, struct sock *sk) {
    return used_by_current(sk);
}

/* splice(2) from a socket shows in nothing but this. The kernel calls it for itself too,
 * in whatever task it is: it tells who uses a connection only if nobody else does. */
SEC("tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(on_read, struct sock *sk) {
    struct user *user = bpf_sk_storage_get(&sockets, sk, NULL, 0);
    return user && user->is_new ? used_by_current(sk) : 0;
}

/* Nobody has used it, and nobody will. */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state, struct sock *sk, int from, int to) {
    int protocol = protocol_index(sk->sk_protocol);
    if (to != TCP_CLOSE || protocol < 0)
        return 0;
    struct user *user = bpf_sk_storage_get(&sockets, sk, NULL, 0);
    if (user)
        flush(user, protocol);
    return 0;
}
