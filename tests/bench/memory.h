/* SPDX-License-Identifier: MIT */
/* A /proc in memory: the core is measured with it without any system call. */
#ifndef MEMORY_H
#define MEMORY_H

#include "base/io.h"

#include <stdbool.h>

#define MEMORY_ROOT "/memory"

struct memory_tree {
    uint32_t processes;
    unsigned threads; /* of each */
    unsigned names;   /* distinct ones */
    unsigned roles;   /* in the command lines; 0: 1 */
    unsigned fds;
};

/* There is one such tree at a time. */
bool memory_new(const struct memory_tree *tree);
void memory_free(void);
/* Every process has run, or the n-th share of them: pid % of == 0. */
void memory_run(unsigned of);
/* Moves the clocks that the tree comes with. */
void memory_pass(double seconds);

extern const struct io memory_io;
extern uint64_t memory_calls; /* made so far */

#endif
