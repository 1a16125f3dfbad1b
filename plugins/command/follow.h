/* SPDX-License-Identifier: MIT */
/* Watches a command, or processes that run already, from sample to sample until its end. */
#ifndef FOLLOW_H
#define FOLLOW_H

#include "cli.h"
#include "summary.h"

enum watch_cgroup { CGROUP_AUTO, CGROUP_YES, CGROUP_NO };

struct watch_options {
    enum watch_cgroup cgroup; /* for a command */
    bool excludes_children; /* in samples; totals are always of all */
    bool from_process_start; /* attached processes count from when they began */
    bool waits_for_orphans;
    bool is_live, is_quiet, writes_env;
    bool writes_json, writes_csv; /* on standard output */
    bool output_is_ours;          /* standard output is, in any case */
    const char *out;              /* JSON lines to this file too; or NULL */
    int control_fd;               /* a socket: records go there, requests come; 0: none */
    bool gets_session;            /* the command, of its own */
    uint64_t base_ns, most_ns;    /* between two samples: at first, and after ten seconds */
    uint64_t duration_ns;         /* 0: until the end */
};

/* Exit statuses of our own, as of env(1) and timeout(1). */
enum {
    WATCH_TIMED_OUT = 124,
    WATCH_FAILED = 125,
    WATCH_NOT_EXECUTABLE = 126,
    WATCH_NOT_FOUND = 127
};

/* Runs the command (ended by NULL). Returns the status to exit with, which is its own if it
 * could be run; 128 + n if signal n ended it. Fills *ret_summary if it was run; it is empty
 * otherwise. */
int watch_command(const struct cli *cli, const struct watch_options *options, char *const *command,
                  struct summary *ret_summary);
/* Watches processes that run already, at most WATCH_MOST of them. */
#define WATCH_MOST 64
int watch_processes(const struct cli *cli, const struct watch_options *options, const pid_t *pids,
                    size_t count, struct summary *ret_summary);

#endif
