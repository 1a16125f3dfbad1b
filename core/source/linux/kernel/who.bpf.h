/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Who a process is. */
#ifndef WHO_BPF_H
#define WHO_BPF_H

#include "maps.bpf.h"

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

#endif
