/* SPDX-License-Identifier: MIT */
/* A control group of its own for a command: the kernel's account of it is exact even for
 * what nobody waited for. See the kernel's Documentation/admin-guide/cgroup-v2.rst. */
#ifndef JOB_CGROUP_H
#define JOB_CGROUP_H

#include "proctally.h"

struct job_cgroup {
    char path[4096]; /* its directory; "": there is none */
};

struct job_usage {
    bool has_cpu;
    uint64_t user_ns, system_ns;
    uint64_t peak_bytes; /* 0: not known */
};

/* Makes one below our own, so that all limits stay in force, and puts the process there.
 * -errno, with a sentence. */
int job_cgroup_begin(struct job_cgroup *job, pid_t pid, struct tally_error *error);
void job_cgroup_read(const struct job_cgroup *job, struct job_usage *ret);
/* Ends all in it by SIGKILL, also those that are forked meanwhile. -errno: as before Linux 5.14,
 * or there is none. */
int job_cgroup_kill(const struct job_cgroup *job);
/* Takes it away. Who is left in it goes to where it would have been without. -errno. */
int job_cgroup_end(struct job_cgroup *job);

#endif
