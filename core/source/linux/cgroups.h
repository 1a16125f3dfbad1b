/* SPDX-License-Identifier: MIT */
/* Paths of control groups in the unified hierarchy by their numbers, which are the
 * inode numbers of their directories. */
#ifndef CGROUPS_H
#define CGROUPS_H

#include "source/identity.h"

struct cgroups;

/* -ENOENT: there is no unified hierarchy. */
int cgroups_new(struct cgroups **ret);
struct cgroups *cgroups_free(struct cgroups *c);

/* Where the hierarchy is mounted. */
const char *cgroups_root(const struct cgroups *c);

/* Once per collection: the tree may be looked through again. */
void cgroups_begin(struct cgroups *c);
/* A path that was heard of otherwise; one that is known already stays. */
void cgroups_add(struct cgroups *c, uint64_t id, const char *path);
/* The path as in /proc/PID/cgroup; empty if it is not to be found. Valid until the
 * next call. */
struct text cgroups_path(struct cgroups *c, uint64_t id);

#endif
