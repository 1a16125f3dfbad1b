/* SPDX-License-Identifier: MIT */
/* Lists only the processes that are followed: what that costs does not grow with the host. */
#ifndef PROC_TREE_H
#define PROC_TREE_H

#include "source/linux/proc_files.h"
#include "source/source.h"

struct proc_tree;

/* Goes up whenever a process runs: one of both when it gets a CPU, or at the latest when it gives
 * the CPU back. */
struct proc_run {
    uint64_t activity; /* as in a sample; 0: not known */
    uint64_t slices;
};
/* How processes are asked for it, so many at a time at most. */
#define PROC_TREE_BATCH 16u
typedef void proc_tree_ask(void *data, const uint32_t *pids, size_t count, struct proc_run *ret);

/* `dir` and `roots` stay the caller's, and have to live as long. -ENOTSUP: the kernel does
 * not tell the children of a process (CONFIG_PROC_CHILDREN), or all are to be listed;
 * -ENOMEM. */
int proc_tree_new(struct proc_dir *dir, const struct followed *roots, struct proc_tree **ret);
void proc_tree_free(struct proc_tree *tree);

/* Calls back with each process that is a root or descends from one, or did when it was listed
 * before; `inode` is that of its directory. In no order. -errno; what the callback returns
 * below 0 ends it. */
int proc_tree_list(struct proc_tree *tree, proc_tree_ask *ask,
                   int (*each)(void *data, uint32_t pid, uint64_t inode), void *data);

/* After the listing: the only thread that this process has is not running. Until it has run
 * again, its children are not looked for. */
void proc_tree_note_asleep(struct proc_tree *tree, uint32_t pid);
/* What it answered during the listing; 0: it was not asked, or did not know. */
uint64_t proc_tree_activity(const struct proc_tree *tree, uint32_t pid);

#endif
