/* SPDX-License-Identifier: MIT */
#ifndef BPF_SOURCE_H
#define BPF_SOURCE_H

#include "source/source.h"

/* Asks programs in the kernel, and the tree at /proc for what only that knows. Without the rights or the kernel for it -errno, and
 * why in one sentence. */
int bpf_new(const struct settings *settings, const struct io *io,
            const struct source_needs *needs, struct source **ret, struct tally_error *why);

#endif
