/* SPDX-License-Identifier: MIT */
/* Basic authentication. A password costs as much time as its bcrypt hash was meant to cost,
 * so a thread of its own works it out, one at a time, while requests go on; answers are
 * kept. Whoever tries passwords gets one core at most, and pushes no right answer out. */
#ifndef AUTH_H
#define AUTH_H

#include "web_config.h"

struct auth;

/* Copies the users (there may be none yet: nobody is let in) and starts the thread, with all
 * signals blocked: call it before a filter forbids new threads. -EINVAL: what web_config has
 * not let through; else -errno. */
int auth_new(const struct web_user *users, size_t count, struct auth **ret);

/* Others from now on, with the same thread. Answers stay known for users whose hash is the
 * same. -EINVAL and -ENOMEM: nothing has changed. Any thread may call it. */
int auth_set_users(struct auth *auth, const struct web_user *users, size_t count);

/* Waits for the password that is being worked out, and calls the `done` of all who wait.
 * Nobody may ask any more; not to be called from a `done`. NULL is fine; returns NULL. */
struct auth *auth_free(struct auth *auth);

/* The value of a request's Authorization header (NULL: there is none; any bytes). 1: a user
 * with the right password. 0: not. -EINPROGRESS: `done(data)` will be called once, from the
 * thread, and perhaps before this returns (so suspend a connection first); then ask again.
 * -EBUSY: too many passwords wait already; `done` is not called. -ENOMEM. Any thread may ask. */
int auth_ask(struct auth *auth, const char *authorization, void (*done)(void *data), void *data);

#endif
