/* SPDX-License-Identifier: MIT */
/* The directories of the groups: a name that can be a directory's, and a number. Both come from
 * the group's name alone, so that a group that goes and comes back is the same directory. */
#ifndef GROUPS_H
#define GROUPS_H

#include "proctally.h"

struct groups;

#define GROUPS_NUMBER_BITS 54

/* -ENOMEM. */
int groups_new(struct groups **ret);
struct groups *groups_free(struct groups *groups);

/* The groups are those of this snapshot from now on. -ENOMEM: they are of none, but those that
 * stay keep their numbers at the next try. */
int groups_update(struct groups *groups, const tally_snapshot *s);

/* By the group's index in the snapshot. An empty name: it has no directory, as another group has
 * its name or its number already, which somebody who wants it can bring about with two groups of
 * his own. */
uint64_t groups_number(const struct groups *groups, size_t group);
const char *groups_directory(const struct groups *groups, size_t group);

/* The index of the group with this number, or this directory; -ENOENT. */
int groups_find_number(const struct groups *groups, uint64_t number, size_t *ret_group);
int groups_find_directory(const struct groups *groups, const char *directory, size_t *ret_group);

#endif
