/* SPDX-License-Identifier: MIT */
/* Names of users, asked once for each number: the answer may come from far away
 * (LDAP), and takes its time there. Who has no name is asked for again after some minutes,
 * where it could not be told after some seconds. */
#ifndef USERS_H
#define USERS_H

#include "base/io.h"
#include "source/identity.h"

struct users;

/* io, for its clock, stays the caller's. -ENOMEM. */
int users_new(const struct io *io, struct users **ret);
/* The same with the names of groups, by gid. */
int users_new_of_groups(const struct io *io, struct users **ret);
struct users *users_free(struct users *u);
/* The name, or the number as text if there is none, or none yet. Valid until the next call
 * that finds the cache full (it is then emptied) or no memory. */
struct text users_name(struct users *u, uint32_t uid, bool *ret_is_number);

#endif
