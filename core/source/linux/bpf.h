/* SPDX-License-Identifier: MIT */
#ifndef BPF_SOURCE_H
#define BPF_SOURCE_H

#include "source/source.h"

/* The source bpf: BPF programs, and /proc for what only that knows. -errno, and why in one
 * sentence, if the rights or the kernel for it are missing. */
int bpf_new(const struct settings *settings, const struct io *io,
            const struct source_needs *needs, struct source **ret, struct tally_error *why);

#endif
