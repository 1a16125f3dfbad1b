/* SPDX-License-Identifier: MIT */
/*
 * The programs pinned in a directory of a bpf file system: there they stay, and go on
 * counting, when the process that loaded them is gone.
 */
#ifndef BPF_PINS_H
#define BPF_PINS_H

#include "source/linux/bpf_load.h"

/* Adopts what is pinned at dir. If there is nothing, or nothing that we know how to use,
 * loads the programs and pins them there. As bpf_load(). */
int bpf_pins_open(struct bpf_handles *h, const struct bpf_wants *wants, const char *dir,
                  struct tally_error *why);
/* Of what was adopted. It stays pinned. */
void bpf_pins_close(struct bpf_handles *h);

/* Removes what is pinned at dir. -ENOENT: nothing is. */
int bpf_pins_remove(const char *dir);

#endif
