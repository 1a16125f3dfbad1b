/* SPDX-License-Identifier: MIT */
#ifndef LIBPROC_SOURCE_H
#define LIBPROC_SOURCE_H

#include "source/darwin/calls.h"
#include "source/source.h"

/* The source of macOS. It owns the calls, and frees them with itself, also if this fails.
 * -errno. */
int libproc_new(const struct darwin_calls *calls, const struct io *io, unsigned collect,
                struct source **ret);

/* Since when times of processes count, in microseconds since 1970. 0: it can't be told. */
uint64_t libproc_epoch_us(const struct darwin_process *processes, size_t count);

/* What a list tells of a process, without who it is. */
void libproc_sample(const struct darwin_process *p, uint64_t epoch_us, struct sample *ret);

#endif
