/* SPDX-License-Identifier: MIT */
#ifndef LIBPROC_SOURCE_H
#define LIBPROC_SOURCE_H

#include "source/darwin/calls.h"
#include "source/source.h"

/* The source of macOS. It owns the calls, and frees them with itself, also if this fails.
 * -errno. */
int libproc_new(const struct darwin_calls *calls, const struct io *io, unsigned collect,
                struct source **ret);

/* What a first list of a source tells of one process. The calls are freed as by libproc_new().
 * -ESRCH, -errno. */
int libproc_lookup(const struct darwin_calls *calls, const struct io *io, uint32_t pid,
                   struct sample *ret);

#endif
