/* SPDX-License-Identifier: MIT */
/* The root of the host whose processes are read: the directory that the proc file system is
 * mounted in, as in /host/proc of a container that looks after its host. */
#ifndef HOST_ROOT_H
#define HOST_ROOT_H

#include <stddef.h>

/* Writes the path of `name` below it, which begins with a slash. -ENAMETOOLONG. */
int host_path(const char *procfs, const char *name, char *to, size_t size);

#endif
