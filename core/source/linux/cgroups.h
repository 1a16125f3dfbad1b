/* SPDX-License-Identifier: MIT */
/* Paths of cgroups in the unified hierarchy by their ids, which are the inode numbers of
 * their directories. */
#ifndef CGROUPS_H
#define CGROUPS_H

#include "source/identity.h"

struct cgroups;

/* -ENOENT: there is no unified hierarchy. */
int cgroups_new(struct cgroups **ret);
struct cgroups *cgroups_free(struct cgroups *c);

/* Where the hierarchy is mounted. */
const char *cgroups_root(const struct cgroups *c);

/* At the start of a collection, which searches the tree at most once. */
void cgroups_begin(struct cgroups *c);
/* Adds a path that is known from elsewhere. A path that is known already is kept. */
void cgroups_add(struct cgroups *c, uint64_t id, const char *path);
/* The path as in /proc/PID/cgroup; empty if the cgroup can't be found. Valid until the next
 * call. */
struct text cgroups_path(struct cgroups *c, uint64_t id);

#endif
