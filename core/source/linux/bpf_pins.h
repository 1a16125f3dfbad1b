/* SPDX-License-Identifier: MIT */
/*
 * Pinning the BPF programs in a directory of a bpf file system: they stay loaded and keep
 * counting when the process that loaded them has ended.
 */
#ifndef BPF_PINS_H
#define BPF_PINS_H

#include "source/linux/bpf_load.h"

/* Adopts what is pinned at dir. If nothing is, or something incomplete or of another
 * version, loads the programs and pins them there. Otherwise as bpf_load(). */
int bpf_pins_open(struct bpf_handles *h, const struct bpf_wants *wants, const char *dir,
                  struct tally_error *why);

/* Removes what is pinned at dir, and dir. -ENOENT: nothing of ours is pinned there. */
int bpf_pins_remove(const char *dir);

#endif
