/* SPDX-License-Identifier: MIT */
/* What the programs may do. They read what every process on the host shows, so
 * they keep the few capabilities that this takes, and give up all else: who finds
 * a hole in them gets little for it. Nothing here is for the collectd plugin: the
 * process that it lives in belongs to others. */
#ifndef RIGHTS_H
#define RIGHTS_H

#include "proctally.h"

#include <stdbool.h>
#include <stddef.h>

/* Gives up, for good, the capabilities that neither collecting nor replacing the
 * files at `paths` (some may be NULL or empty) needs, and the way to get new ones
 * by execve(2). Later reading of a changed configuration still works; a state file
 * that it moves into a directory that is not ours to write may not. -errno, with a
 * sentence. */
int rights_reduce(const char *const *paths, size_t count, struct tally_error *error);

/* Lets the kernel refuse the system calls that the program has no use for once it
 * is initialised; one that serves may also accept connections and start threads.
 * -errno, with a sentence; -ENOTSUP: this build has no filter, and no sentence. */
int rights_filter(bool serves, struct tally_error *error);

/* Whoever may start a copy with file capabilities, or set-user-ID, chooses what it
 * reads. A tree of their making can have links to any file in the places of command
 * lines, so there it must be /proc. -EPERM, with a sentence. */
int rights_check_procfs(const char *procfs, struct tally_error *error);

/* A file capability or a set-user-ID bit lets a program see what whoever started
 * it may not. From here on it is only as strong as that person. -errno. */
int rights_of_invoker(void);

#endif
