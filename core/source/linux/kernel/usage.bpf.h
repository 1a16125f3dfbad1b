/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What a thread used, and arithmetic with that. */
#ifndef USAGE_BPF_H
#define USAGE_BPF_H

#include "kernel.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "shared.h"

/* CONFIG_TASK_DELAY_ACCT */
static __always_inline bool has_delays(void) {
    struct task_struct *task = NULL;
    struct task_delay_info *delays = NULL;
    return bpf_core_field_exists(task->delays) && bpf_core_field_exists(delays->blkio_delay);
}

/* What a kernel can be built to do without, each with the field that it is then without:
 * CONFIG_SCHED_INFO, CONFIG_TASK_XACCT, CONFIG_TASK_IO_ACCOUNTING. A figure that it lacks is
 * absent, not 0, and without asking first libbpf would refuse all of the programs. */
#define FOR_EACH_OPTIONAL(DO)                        \
    DO(USAGE_RUN_QUEUE_WAIT_NS, sched_info.run_delay) \
    DO(USAGE_IO_READ_BYTES, ioac.rchar)               \
    DO(USAGE_IO_WRITTEN_BYTES, ioac.wchar)            \
    DO(USAGE_IO_READS, ioac.syscr)                    \
    DO(USAGE_IO_WRITES, ioac.syscw)                   \
    DO(USAGE_DISK_READ_BYTES, ioac.read_bytes)        \
    DO(USAGE_DISK_WRITTEN_BYTES, ioac.write_bytes)

/* 1 << enum usage_kind. */
static __always_inline __u64 lacking_usage(void) {
    struct task_struct *task = NULL;
    __u64 lacking = 0;
#define NOTE_IF_LACKING(kind, field)       \
    if (!bpf_core_field_exists(task->field)) \
        lacking |= 1 << kind;
    FOR_EACH_OPTIONAL(NOTE_IF_LACKING)
    if (!has_delays())
        lacking |= 1 << USAGE_BLKIO_DELAY_NS;
    return lacking;
}

/* All but the delay. */
static __always_inline void read_usage_in_task(struct task_struct *task, struct usage *ret) {
    ret->of[USAGE_RUN_NS] = task->se.sum_exec_runtime;
    ret->of[USAGE_USER_NS] = task->utime;
    ret->of[USAGE_SYSTEM_NS] = task->stime;
    ret->of[USAGE_MINFLT] = task->min_flt;
    ret->of[USAGE_MAJFLT] = task->maj_flt;
    ret->of[USAGE_VOLUNTARY_SWITCHES] = task->nvcsw;
    ret->of[USAGE_INVOLUNTARY_SWITCHES] = task->nivcsw;
    for (int i = USAGE_RUN_QUEUE_WAIT_NS; i < USAGES; i++)
        ret->of[i] = 0;
#define READ_IF_THERE(kind, field)        \
    if (bpf_core_field_exists(task->field)) \
        ret->of[kind] = task->field;
    FOR_EACH_OPTIONAL(READ_IF_THERE)
}

/* For listings: it costs the verifier more, and the CPU less. */
static __always_inline void read_thread_usage(struct task_struct *task, struct usage *ret) {
    read_usage_in_task(task, ret);
    if (has_delays()) {
        struct task_delay_info *delays = task->delays;
        if (delays)
            ret->of[USAGE_BLKIO_DELAY_NS] = delays->blkio_delay;
    }
}

/* For events. */
static __always_inline void read_usage_at_event(struct task_struct *task, struct usage *ret) {
    read_usage_in_task(task, ret);
    if (has_delays())
        ret->of[USAGE_BLKIO_DELAY_NS] = BPF_CORE_READ(task, delays, blkio_delay);
}

/* What the exited threads of a process used, as far as the kernel keeps that apart from
 * what reaped children used; the other figures are left alone. Includes threads whose tasks
 * have not been freed yet. */
static __always_inline void read_ended_usage(struct signal_struct *signal, struct usage *ret) {
    ret->of[USAGE_RUN_NS] = signal->sum_sched_runtime;
    ret->of[USAGE_USER_NS] = signal->utime;
    ret->of[USAGE_SYSTEM_NS] = signal->stime;
    ret->of[USAGE_MINFLT] = signal->min_flt;
    ret->of[USAGE_MAJFLT] = signal->maj_flt;
    ret->of[USAGE_VOLUNTARY_SWITCHES] = signal->nvcsw;
    ret->of[USAGE_INVOLUNTARY_SWITCHES] = signal->nivcsw;
}

static __always_inline void usage_add(struct usage *to, const struct usage *more) {
#pragma unroll
    for (int i = 0; i < USAGES; i++)
        to->of[i] += more->of[i];
}

static __always_inline void usage_add_atomic(struct usage *to, const struct usage *more) {
#pragma unroll
    for (int i = 0; i < USAGES; i++)
        if (more->of[i])
            __sync_fetch_and_add(&to->of[i], more->of[i]);
}

static __always_inline void usage_subtract(struct usage *from, const struct usage *less) {
#pragma unroll
    for (int i = 0; i < USAGES; i++)
        from->of[i] = from->of[i] > less->of[i] ? from->of[i] - less->of[i] : 0;
}

static __always_inline void usage_at_least(struct usage *to, const struct usage *least) {
#pragma unroll
    for (int i = 0; i < USAGES; i++)
        if (to->of[i] < least->of[i])
            to->of[i] = least->of[i];
}

#endif
