/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* A bare iterator: the least that somebody pays who lists the processes with BPF. */
#include "kernel.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

SEC("iter/task")
int list_bare(struct bpf_iter__task *ctx) {
    struct task_struct *task = ctx->task;
    struct {
        __u32 pid, kind;
        __u64 start_ns;
    } record;
    if (!task || task->pid != task->tgid)
        return 0;
    record.pid = task->pid;
    record.kind = 0;
    record.start_ns = task->start_boottime;
    bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
    return 0;
}
