/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The listing: list_tasks is called for each task when bpf_listing.c reads from its
 * iterator, and writes a record of it. Or it synthesizes lost exits, if there are any in
 * lost_exits.
 */
#include "process.bpf.h"
#include "ending.bpf.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* life.bpf.c */
int synthesize_exit(__u32 tid, __u32 slot);

/* ---- Many descriptors ---------------------------------------------------------------------- */

/* Below 0: they can't be read. */
__noinline int count_many_fds(void) {
    struct scratch *scratch = scratch_for(SCRATCH_LIST);
    __u64 words[2];
    if (!scratch)
        return -1;
    scratch->fds.count = 0;
    for (__u32 i = 0; i < FD_STEPS_MAX; i++) {
        if (i * FD_STEP >= scratch->fds.size)
            break;
        if (bpf_probe_read_kernel(words, sizeof(words),
                                  (const char *)scratch->fds.bits + i * (FD_STEP / 8)) < 0)
            return -1;
        scratch->fds.count += count_bits(words[0]) + count_bits(words[1]);
    }
    return 0;
}

/* ---- Memory that CPUs keep to themselves ----------------------------------------------- */

/* What the address of a per-CPU variable is for each CPU, less its per-CPU pointer. */
__u64 cpu_offsets[CPUS_MAX];
__u32 cpu_offsets_known;
/* Pointers turn into numbers where they are written and read again. */
__u64 as_number;

/* The kernel has that in a table that not every kernel lets programs find. But of an item of
 * a per-CPU array both are to be had, the address and the pointer. */
__noinline int learn_cpu_offsets(void) {
    const struct bpf_array *array = NULL;
    struct mm_struct___atomic *old = NULL;
    __u32 key = 0;
    __u64 pointer = 0;
    if (bpf_core_field_exists(old->rss_stat.count) || !bpf_core_field_exists(array->pptrs))
        return 0;
    as_number = (__u64)&scratches;
    barrier();
    bpf_probe_read_kernel(&pointer, sizeof(pointer),
                          (void *)(as_number + bpf_core_field_offset(array->pptrs)));
    for (__u32 cpu = 0; cpu < CPUS_MAX; cpu++) {
        if (cpu >= cpus)
            break;
        void *item = bpf_map_lookup_percpu_elem(&scratches, &key, cpu);
        if (!item)
            return 0;
        as_number = (__u64)item;
        barrier();
        cpu_offsets[cpu] = as_number - pointer;
    }
    cpu_offsets_known = 1;
    return 0;
}

/* Since Linux 6.2 each CPU keeps up to 32 pages or more of each kind to itself. ps and
 * /proc/PID/status add them up, and so does this. */
__noinline int add_pages_of_cpus(void) {
    struct scratch *scratch = scratch_for(SCRATCH_LIST);
    if (!scratch)
        return 0;
    const __u64 *at = scratch->pages.of_cpus;
    __s32 *part = scratch->pages.part;
    /* since 6.6 they are allocated together */
    __u32 adjoin = at[1] - at[0] == 4 && at[2] - at[0] == 8 && at[3] - at[0] == 12;
    for (__u32 cpu = 0; cpu < CPUS_MAX; cpu++) {
        if (cpu >= cpus || cpu >= cpus_end)
            break;
        __u64 offset = cpu_offsets[cpu];
        if (bpf_probe_read_kernel(part, adjoin ? 16 : 4, (void *)(at[0] + offset)) < 0)
            break;
        if (!adjoin)
            for (__u32 i = 1; i < NR_MM_COUNTERS; i++)
                bpf_probe_read_kernel(&part[i], 4, (void *)(at[i] + offset));
        for (__u32 i = 0; i < NR_MM_COUNTERS; i++)
            scratch->pages.counts[i] += part[i];
    }
    return 0;
}

/* ---- Records --------------------------------------------------------------------------- */

/* Below 0: there was no room, and this will be called for the task again. */
static __always_inline long list_named_thread(struct seq_file *seq, struct task_struct *task,
                                              __u32 kind) {
    struct record_named_thread r = {.thread.kind = kind,
                                    .thread.pid = task->tgid,
                                    .thread.state = state_of(task),
                                    .thread.exit_state = task->exit_state,
                                    .start_ns = task->start_boottime,
                                    .tid = task->pid};
    read_thread_usage(task, &r.thread.usage);
    bpf_probe_read_kernel(r.comm, sizeof(r.comm), task->comm);
    return bpf_seq_write(seq, &r, sizeof(r));
}

static __always_inline int list_thread(struct seq_file *seq, struct task_struct *task) {
    if (want_thread_names) {
        list_named_thread(seq, task, RECORD_NAMED_THREAD);
        return 0;
    }
    struct record_thread r = {.kind = RECORD_THREAD,
                              .pid = task->tgid,
                              .state = state_of(task),
                              .exit_state = task->exit_state};
    read_thread_usage(task, &r.usage);
    bpf_seq_write(seq, &r, sizeof(r));
    return 0;
}

static __always_inline void synthesize_lost_exits(void) {
    for (__u32 i = 0; i < LOST_EXITS_MAX; i++) {
        if (i >= lost_exit_count)
            break;
        synthesize_exit(lost_exits[i], SCRATCH_LIST);
    }
}

static __always_inline long write_process(struct seq_file *seq, struct shown *shown) {
    struct record_detailed *r = &shown->process;
    if (shown->exec.kind && bpf_seq_write(seq, &shown->exec, sizeof(shown->exec)) < 0)
        return -1;
    return r->process.kind == RECORD_DETAILED
               ? bpf_seq_write(seq, r, sizeof(*r))
               : bpf_seq_write(seq, &r->process, sizeof(r->process));
}

SEC("iter/task")
int list_tasks(struct bpf_iter__task *ctx) {
    struct task_struct *task = ctx->task;
    struct seq_file *seq = ctx->meta->seq;
    if (!task) { /* the end of the iteration */
        lacks = lacking_usage() | (has_cgroups() ? 0 : LACKS_CGROUPS) |
                (has_oom_mark() ? 0 : LACKS_OOM_MARK);
        return 0;
    }
    if (lost_exit_count) { /* no listing: see synthesize_noted() */
        synthesize_lost_exits();
        const char done[EXITS_DONE_SIZE] = {0};
        bpf_seq_write(seq, done, sizeof(done));
        return 0;
    }
    /* A task that has been reaped is left out: on_free reads its final usage. */
    if (task->exit_state & EXIT_DEAD)
        return 0;
    if (task->pid != task->tgid)
        return list_thread(seq, task);
    struct scratch *scratch = scratch_for(SCRATCH_LIST);
    if (!scratch)
        return 0;
    __u32 pid = task->tgid;
    const __u64 mark = mark_of(task, scratch); /* before the figures that it stands for */
    if (!list_in_full && has_slept(pid, mark)) {
        struct record_same same = {RECORD_SAME, pid, task->start_boottime};
        bpf_seq_write(seq, &same, sizeof(same));
        return 0;
    }
    struct shown *shown = &scratch->shown;
    if (!cpu_offsets_known)
        learn_cpu_offsets();
    read_process(task, scratch, &shown->process);
    struct process_entry *e = entry_of(task, scratch);
    const bool all_freed = are_all_freed(e);
    if (!describe(task, scratch, e, shown))
        return 0;
    /* When the buffer is full, the kernel drops what was written for this task and calls us
     * for it again, so the entry must not change before the last write has succeeded. */
    if (want_thread_names && list_named_thread(seq, task, RECORD_MAIN_THREAD) < 0)
        return 0;
    if (write_process(seq, shown) < 0 || !e || !shown->settles)
        return 0;
    settle(e);
    const struct record_process *r = &shown->process.process;
    if (has_threads(r, 1, all_freed) && !r->running && !r->exit_state)
        remember(pid, mark);
    return 0;
}
