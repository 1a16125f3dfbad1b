/* SPDX-License-Identifier: MIT */
#ifndef PROCFS_H
#define PROCFS_H

#include "source/source.h"

/* Reads the tree at `root`. `collect` has bits of enum collect. -ENOENT, -ENOTDIR,
 * -EACCES, -ENOMEM. */
int procfs_new(const char *root, const struct io *io, unsigned collect, bool brief,
               const struct followed *followed, struct source **ret);

#endif
