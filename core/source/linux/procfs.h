/* SPDX-License-Identifier: MIT */
#ifndef PROCFS_H
#define PROCFS_H

#include "source/source.h"

/* Reads the tree at `root`. -ENOENT, -ENOTDIR,
 * -EACCES, -ENOMEM. */
struct procfs_wants {
    unsigned collect;                /* bits of enum collect */
    bool brief, with_cmdlines;       /* as in struct settings */
    bool spares_memory, spares_fd_limits; /* the same */
    const struct followed *followed; /* NULL: everybody is listed */
};
int procfs_new(const char *root, const struct io *io, const struct procfs_wants *wants,
               struct source **ret);

#endif
