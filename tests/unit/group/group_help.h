/* SPDX-License-Identifier: MIT */
/* Processes as the grouping sees them, and patterns, for its tests. */
#ifndef GROUP_HELP_H
#define GROUP_HELP_H

#include "group/pattern.h"
#include "source/identity.h"

#define LONG_COMMAND (64 << 10)

/* The test fails if there is a mistake in it. */
struct pattern *regex(const char *text);
/* With more time than any match may take. */
int match(struct pattern *p, const char *text, size_t len);

struct text text_of(const char *s);

/* Who a process is, in short: the arguments are separated by '|'. */
struct person {
    const char *comm, *arguments, *exe, *user, *cgroup, *unit, *container, *group;
    uint32_t pid, ppid, uid, gid;
    bool no_credentials, is_kernel;
};

extern const struct person bash;
/* A kernel thread. */
extern const struct person kthread;
/* Nothing but a name could be read. */
extern const struct person closed;

struct held_identity {
    struct identity id;
    char cmdline[512], command[512];
};

/* The same at length; what it points to is in `h`. */
const struct identity *hold(struct held_identity *h, const struct person *p);

#endif
