/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The listing where the kernel has open-coded iterators and lets programs find tasks that are
 * run like these (since Linux 6.10). It costs half of what an iterator costs that is read:
 *
 *     survey      goes over all threads, and says of each process whether it has slept
 *     show_asked  describes the processes whose pids it is given
 *
 * bpf_listing.c runs both. All of survey is one RCU section, which keeps the CPU for 0.2
 * microseconds per task where the kernel does not preempt.
 */
#include "process.bpf.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

enum { ALL_PROCS, ALL_THREADS, PROC_THREADS }; /* BPF_TASK_ITER_… */
struct bpf_iter_task {
    __u64 opaque[3];
} __attribute__((aligned(8)));

extern int bpf_iter_task_new(struct bpf_iter_task *it, struct task_struct *task,
                             unsigned int flags) __weak __ksym;
extern struct task_struct *bpf_iter_task_next(struct bpf_iter_task *it) __weak __ksym;
extern void bpf_iter_task_destroy(struct bpf_iter_task *it) __weak __ksym;
extern struct task_struct *bpf_task_from_pid(int pid) __weak __ksym;
extern void bpf_task_release(struct task_struct *task) __weak __ksym;
extern void bpf_rcu_read_lock(void) __weak __ksym;
extern void bpf_rcu_read_unlock(void) __weak __ksym;

/* ---- Survey ------------------------------------------------------------------------------ */

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 65536);
    __type(key, __u32);
    __type(value, struct found);
} found SEC(".maps");

/* In map memory: what loops keep in registers the verifier follows through every turn. */
struct {
    __u64 mark, activity, start_ns;
    __u32 pid; /* 0: none */
    __u32 is_awake, tasks;
    __u32 threads; /* of the process, if they are told by name */
    __u32 has_too_many;
} surveyed;

static __always_inline void note_surveyed(void) {
    __u32 at = found_count;
    if (surveyed.pid == 0)
        return;
    found_count = at + 1;
    struct found *f = bpf_map_lookup_elem(&found, &at);
    if (!f)
        return; /* found_count tells */
    const __u64 mark = mix(surveyed.mark, surveyed.activity);
    f->same.pid = surveyed.pid;
    if (!surveyed.is_awake && has_slept(surveyed.pid, mark)) {
        f->same.kind = RECORD_SAME;
        f->same.start_ns = surveyed.start_ns;
    } else {
        f->same.kind = FOUND_AWAKE;
        f->mark = mark;
        if (names_threads() && surveyed.threads > NAMED_MOST)
            surveyed.has_too_many = 1;
    }
}

/* The threads of a process come one after the other, the main thread first. */
SEC("syscall")
int survey(void *unused) {
    struct scratch *scratch = scratch_for(SCRATCH_LIST);
    struct bpf_iter_task it;
    struct task_struct *task;
    if (!scratch)
        return 0;
    found_count = 0;
    surveyed.pid = surveyed.tasks = surveyed.has_too_many = 0;
    bpf_rcu_read_lock();
    bpf_iter_task_new(&it, NULL, ALL_THREADS);
    while ((task = bpf_iter_task_next(&it))) {
        note_pointers(task, scratch);
        if (++surveyed.tasks > surveyed_most) {
            found_count = FOUND_TOO_MANY;
            surveyed.pid = 0;
            break;
        }
        if (task->pid == task->tgid) {
            note_surveyed();
            /* on_free reads the final usage of one that has been reaped */
            surveyed.pid = task->exit_state & EXIT_DEAD ? 0 : task->pid;
            surveyed.start_ns = task->start_boottime;
            surveyed.mark = mark_of_leader(task, scratch);
            surveyed.activity = activity_of(task);
            surveyed.is_awake = state_of(task) == TASK_RUNNING || task->exit_state;
        } else {
            surveyed.activity += activity_of(task) + 0x9e3779b97f4a7c15;
            surveyed.is_awake |= state_of(task) == TASK_RUNNING;
        }
        if (names_threads())
            surveyed.threads = task->pid == task->tgid ? 1 : surveyed.threads + 1;
    }
    bpf_iter_task_destroy(&it);
    bpf_rcu_read_unlock();
    note_surveyed();
    if (surveyed.has_too_many)
        found_count = FOUND_TOO_MANY;
    return 0;
}

/* ---- Those that are awake ------------------------------------------------------------------ */

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, ASKED_MOST);
    __type(key, __u32);
    __type(value, struct answer);
} answers SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, NAMED_MOST);
    __type(key, __u32);
    __type(value, struct record_named_thread);
} named SEC(".maps");
__u32 named_count; /* so far in this call */

/* Adds a thread to those of an answer, if there is room. */
static __always_inline void name_thread(struct task_struct *task, struct answer *a, __u32 kind,
                                        const struct usage *usage) {
    __u32 at = named_count;
    struct record_named_thread *r = bpf_map_lookup_elem(&named, &at);
    if (!r)
        return;
    named_count = at + 1;
    a->named++;
    r->thread.kind = kind;
    r->thread.pid = task->tgid;
    r->thread.state = state_of(task);
    r->thread.exit_state = task->exit_state;
    r->thread.usage = *usage;
    r->start_ns = task->start_boottime;
    r->tid = task->pid;
    bpf_probe_read_kernel(r->comm, sizeof(r->comm), task->comm);
}

/* The __noinline functions look the task up by themselves: what is called within a loop over
 * tasks the verifier would go through again for all that each call may have left. */

/* To a process: what its threads beside the main one use, and how many they are. */
__noinline int add_threads(__u32 at) {
    struct answer *a = bpf_map_lookup_elem(&answers, &at);
    struct scratch *scratch = scratch_for(SCRATCH_LIST);
    struct bpf_iter_task it;
    struct task_struct *task;
    if (!a || !scratch)
        return 0;
    struct record_process *r = &a->shown.process.process;
    struct task_struct *process = bpf_task_from_pid(a->pid);
    if (!process)
        return 0;
    bpf_rcu_read_lock();
    bpf_iter_task_new(&it, process, PROC_THREADS);
    while ((task = bpf_iter_task_next(&it))) {
        if (task->pid == task->tgid)
            continue;
        read_thread_usage(task, &scratch->now);
        usage_add(&r->usage, &scratch->now);
        r->running += state_of(task) == TASK_RUNNING && !task->exit_state;
        a->threads++;
        if (names_threads())
            name_thread(task, a, RECORD_SUMMED_THREAD, &scratch->now);
    }
    bpf_iter_task_destroy(&it);
    bpf_rcu_read_unlock();
    bpf_task_release(process);
    return 0;
}

/* True: its threads have no room any more, and it is to be asked about again. */
static __always_inline bool answer_for(struct task_struct *task, struct scratch *scratch,
                                       struct answer *a, __u32 at) {
    struct record_process *r = &a->shown.process.process;
    /* the pid may be that of another process's thread by now */
    if (task->pid != task->tgid || task->exit_state & EXIT_DEAD)
        return false;
    read_process(task, scratch, &a->shown.process);
    if (names_threads()) {
        if (named_count && named_count + r->threads > NAMED_MOST)
            return true;
        a->first_named = named_count;
        a->named = 0;
        name_thread(task, a, RECORD_MAIN_THREAD, &r->usage);
    }
    struct process_entry *e = entry_of(task, scratch);
    const bool all_freed = are_all_freed(e);
    if (!describe(task, scratch, e, &a->shown))
        return false;
    a->is_there = 1;
    a->threads = 1;
    if (e && a->shown.settles)
        settle(e);
    if (r->threads > 1)
        add_threads(at);
    /* a thread that was not seen may have been running */
    if (e && a->shown.settles && has_threads(r, a->threads, all_freed) && !r->running &&
        !r->exit_state)
        remember(r->pid, a->mark);
    return false;
}

/* 1: it is put off. */
__noinline int answer_one(__u32 at) {
    struct answer *a = bpf_map_lookup_elem(&answers, &at);
    struct scratch *scratch = scratch_for(SCRATCH_LIST);
    if (!a || !scratch)
        return 0;
    a->is_there = 0;
    struct task_struct *task = bpf_task_from_pid(a->pid);
    if (!task)
        return 0;
    bpf_rcu_read_lock();
    const bool is_put_off = answer_for(task, scratch, a, at);
    bpf_rcu_read_unlock();
    bpf_task_release(task);
    return is_put_off;
}

SEC("syscall")
int show_asked(void *unused) {
    if (!cpu_offsets_known)
        learn_cpu_offsets();
    named_count = 0;
    for (__u32 at = 0; at < ASKED_MOST; at++) {
        if (at >= asked_count)
            break;
        const int is_put_off = answer_one(at);
        if (may_name_threads && is_put_off) {
            asked_count = at;
            break;
        }
    }
    return 0;
}
