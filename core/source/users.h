/* SPDX-License-Identifier: MIT */
/* Names of users, asked once for each number: the answer may come from far away
 * (LDAP), and takes its time there. */
#ifndef USERS_H
#define USERS_H

#include "source/identity.h"

struct users;

int users_new(struct users **ret);
struct users *users_free(struct users *u);
/* The name, or the number as text if it has none or there is no memory. Valid
 * until the next call that finds the cache full (it is then emptied). */
struct text users_name(struct users *u, uint32_t uid);

#endif
