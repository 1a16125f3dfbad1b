/* SPDX-License-Identifier: MIT */
/* Lists only the processes that are followed: what that costs does not grow with the host. */
#ifndef PROC_TREE_H
#define PROC_TREE_H

#include "source/linux/proc_files.h"
#include "source/source.h"

struct proc_tree;

/* `dir` and `roots` stay the caller's, and have to live as long. -ENOTSUP: the kernel does
 * not tell the children of a process (CONFIG_PROC_CHILDREN), or all are to be listed;
 * -ENOMEM. */
int proc_tree_new(struct proc_dir *dir, const struct followed *roots, struct proc_tree **ret);
void proc_tree_free(struct proc_tree *tree);

/* Calls back with each process that is a root or descends from one, or did when it was listed
 * before; `inode` is that of its directory. In no order. -errno; what the callback returns
 * below 0 ends it. */
int proc_tree_list(struct proc_tree *tree,
                   int (*each)(void *data, uint32_t pid, uint64_t inode), void *data);

/* After the listing: the only thread that this process has is not running. Until it has run
 * again, its children are not looked for. */
void proc_tree_note_asleep(struct proc_tree *tree, uint32_t pid);
/* How long it had been on a CPU by the listing; false if that was not read. */
bool proc_tree_run_ns(const struct proc_tree *tree, uint32_t pid, uint64_t *ret_ns);

#endif
