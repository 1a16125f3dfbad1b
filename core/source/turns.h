/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A process that has not run is taken to be as it was, but for what others do to it: so it is
 * looked at nevertheless when its turn comes. That is decided by collect.c for sources that do
 * not tell who is asleep, and for source bpf in the kernel (linux/kernel/process.bpf.h), which
 * includes nothing that needs a C library.
 */
#ifndef TURNS_H
#define TURNS_H

/* Its memory is what others change as a rule, and where the kernel tells that it has taken some
 * from anybody, or given some, it is looked at after this time at the latest. (A parent that ends
 * is seen at once: see rehome_orphans() in count/fold.c.) */
#define MEMORY_TURN_S 60u
/* All of it after this: somebody can give it another nice value or other limits, cut a file
 * that it has mapped, write to its memory. A multiple of the former. */
#define TURN_S 300u

/* Once in such a period each process has its turn, whenever collections are: this one is at
 * `now_s` since boot, `since_s` after the one before. The pid spreads them: not all are due in
 * the same one. */
static inline _Bool is_turn_of(unsigned pid, unsigned now_s, unsigned since_s, unsigned period_s) {
    return (now_s + pid) % period_s < since_s;
}

#endif
