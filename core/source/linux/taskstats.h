/* SPDX-License-Identifier: MIT */
/*
 * What the kernel knows of all threads of a process, ended ones included, by
 * netlink (Documentation/accounting/taskstats.rst). Needs CAP_NET_ADMIN. One
 * question costs some 4 µs, one of a batch 2, where one thread's status costs 13.
 */
#ifndef TASKSTATS_H
#define TASKSTATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Questions in one batch. Their answers fit into the receive buffer that a socket
 * has by default (208 KiB, of which an answer takes some 1.3). */
#define TASKSTATS_BATCH 16u

struct taskstats_socket;

struct taskstats_answer {
    int error; /* 0; -ESRCH: no such process; … */
    uint64_t voluntary_switches, involuntary_switches;
    uint64_t run_queue_wait_ns, blkio_delay_ns;
    uint64_t run_ns; /* on a CPU; brought up to date at each tick */
    uint64_t slices; /* times that it got a CPU */
};

/* -EPERM without the right, -ENOTSUP in a build without libmnl, … */
int taskstats_new(struct taskstats_socket **ret);
struct taskstats_socket *taskstats_free(struct taskstats_socket *s);
/* Does this kernel leave out the context switches of ended threads? Kernels before 2026 do,
 * unless the fix ("taskstats: retain dead thread stats in TGID queries") was added to them, so
 * their version does not tell: it is tried out once, with a short thread of our own. */
bool taskstats_forget_switches(struct taskstats_socket *s);
/* At most TASKSTATS_BATCH processes; each answer has an error of its own. */
void taskstats_query(struct taskstats_socket *s, const uint32_t *pids, size_t count,
                     struct taskstats_answer *ret);

#endif
