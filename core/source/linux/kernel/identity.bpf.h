/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Who a process is. */
#ifndef IDENTITY_BPF_H
#define IDENTITY_BPF_H

#include "maps.bpf.h"

/* Like FNV-1a, but a word at a time. Never 0, and the bit of KNOWN_ANCESTOR and
 * UNLISTED_SIDE stays clear. */
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

/* CONFIG_CGROUPS */
static __always_inline bool has_cgroups(void) {
    struct task_struct *task = NULL;
    return bpf_core_field_exists(task->cgroups);
}

/* Pointers that a typed pointer points to are loaded by calls: for each plain load the verifier
 * of newer kernels searches all of the kernel's types by name, for a millisecond or more. That
 * is worth it in listings only. */

/* What the task itself can tell of its identity: all but its program and its ancestor. */
static __always_inline void read_identity(struct task_struct *task,
                                          struct bpf_identity *identity) {
    bpf_probe_read_kernel(identity->comm, sizeof(identity->comm), task->comm);
    if (want_user) {
        const struct cred *cred = BPF_CORE_READ(task, real_cred);
        identity->uid = BPF_CORE_READ(cred, euid.val);
        identity->gid = BPF_CORE_READ(cred, egid.val);
    }
    if (want_cgroup && has_cgroups())
        identity->cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
}

/* What a child of the task keeps as its ancestor; e is the entry of the task. */
static __always_inline __u64 ancestor_key(struct task_struct *task,
                                          const struct process_entry *e) {
    if (!want_ancestor && !want_program)
        return 0;
    if (!e || e->listed)
        /* both by a plain load would become one instruction for two kinds of pointers */
        return known_ancestor(task->tgid, e ? e->start_ns
                                            : BPF_CORE_READ(task, group_leader, start_boottime));
    if (!want_ancestor && e->identity.program != 0)
        return 0;
    if (want_ancestor == WANT_LISTED_ANCESTOR)
        return e->identity.ancestor;
    struct bpf_identity identity = e->identity;
    read_identity(task, &identity);
    __u64 key = hash_words(&identity, sizeof(identity));
    if (!bpf_map_lookup_elem(&ancestors, &key))
        bpf_map_update_elem(&ancestors, &key, &identity, BPF_ANY);
    return key;
}

#endif
