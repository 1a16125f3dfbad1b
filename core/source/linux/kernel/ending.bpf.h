/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* How a process ended. */
#ifndef ENDING_BPF_H
#define ENDING_BPF_H

#include "maps.bpf.h"

static __always_inline bool has_oom_mark(void) {
    struct signal_struct *signal = NULL;
    return bpf_core_field_exists(signal->oom_mm);
}

/* What ends all threads at once, exit_group(2) or a signal, leaves its code with the process.
 * Else each thread has its own, and that of the main one counts, whoever is last. (Since Linux
 * 5.19 the code of the last thread to exit is taken for that of all.) */
static __always_inline bool has_group_code(struct signal_struct *signal) {
    return signal->flags & SIGNAL_GROUP_EXIT;
}

/* As wait4(2) tells it, of a main thread that has exited, as have all others. A process that
 * was chosen to be killed for want of memory may still end by itself first. */
static __always_inline __u32 ending_by(struct task_struct *leader, struct signal_struct *signal) {
    const __u32 code = has_group_code(signal) ? signal->group_exit_code : leader->exit_code;
    if (!want_endings || leader->flags & PF_KTHREAD)
        return ENDED_BY_UNKNOWN; /* what a thread of the kernel leaves behind is no status */
    if ((code & 0x7f) == 0)
        return code >> 8 & 0xff ? ENDED_BY_ERROR : ENDED_BY_OK;
    if (code & 0x80)
        return ENDED_BY_CORE;
    return (code & 0x7f) == SIGKILL && has_oom_mark() && BPF_CORE_READ(signal, oom_mm)
               ? ENDED_BY_OOM
               : ENDED_BY_SIGNAL;
}
static __always_inline __u32 ending_of(struct task_struct *leader) {
    return ending_by(leader, leader->signal);
}

/* The same as soon as the main thread exits, if that is certain by then. */
static __always_inline __u32 ending_foreseen(struct task_struct *leader) {
    struct signal_struct *signal = leader->signal;
    const bool is_certain = has_group_code(signal) || signal->nr_threads == 1;
    return is_certain ? ending_by(leader, signal) : ENDED_BY_UNKNOWN;
}

#endif
