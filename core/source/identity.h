/* SPDX-License-Identifier: MIT */
/*
 * Who a process is: what rules and group-by look at. Raw bytes as the kernel
 * has them; read only when the process is new or can have become another.
 */
#ifndef IDENTITY_H
#define IDENTITY_H

#include "settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Parts that cost a read each. */
enum identity_part {
    IDENTITY_CMDLINE = 1 << 0,
    IDENTITY_EXE = 1 << 1,
    IDENTITY_CGROUP = 1 << 2, /* cgroup path, unit and container */
    IDENTITY_USER = 1 << 3,
    IDENTITY_GROUP = 1 << 4,
    IDENTITY_PID_FILE = 1 << 5 /* no part of it, but something that decides with it */
};
/* Those that are files of the process. */
#define IDENTITY_FILES (IDENTITY_CMDLINE | IDENTITY_EXE | IDENTITY_CGROUP)
/* Those that are names of a number which is known anyway. */
#define IDENTITY_NAMES (IDENTITY_USER | IDENTITY_GROUP)

struct text {
    const char *at;
    size_t len;
};

struct identity {
    uint32_t pid; /* 0: of processes that were not listed */
    uint32_t ppid, uid, gid;
    bool has_credentials;
    bool is_kernel;        /* a thread of the kernel's own */
    uint64_t start_ticks;  /* since boot; with the pid it is one incarnation */
    uint64_t start_time_s; /* since 1970 */
    struct text comm;
    struct text cmdline; /* arguments with a NUL byte between them, none at the end */
    struct text command; /* the same with spaces between them */
    struct text exe;     /* what /proc/PID/exe points to; empty: unknown or none */
    struct text user;    /* name of the effective user, or its number */
    struct text group;   /* of the effective group */
    struct text cgroups; /* the paths of all hierarchies, as process-exporter shows them */
    struct text cgroup;  /* one representative path */
    struct text unit, container; /* empty: none */
    /* The paths of the control groups that are these: the process is in it or below. */
    struct text unit_cgroup, container_cgroup;
    struct text container_texts[CONTAINER_LABELS]; /* empty: not asked for, or not known */
    bool refused;         /* something that was asked for may not be read */
    bool lacks_user_name; /* user (or group) is a number, which may have a name later */
    bool lacks_arguments; /* it has an address space, and no command line in it */
    bool cmdline_cut; /* longer than what is kept */
};

/* argv[0]; the name if there is no command line (kernel threads, zombies). */
struct text identity_argv0(const struct identity *id);
/* The same without what a program writes behind its name when it gives itself a title in
 * place of its arguments ("postgres: app shop 10.0.0.1(53411) idle"). */
struct text identity_first_word(const struct identity *id);
struct text text_base_name(struct text path);
bool text_is(struct text text, const char *other);

#endif
