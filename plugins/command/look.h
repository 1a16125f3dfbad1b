/* SPDX-License-Identifier: MIT */
/* What the verbs share that look at the processes once: ps, files and ports. */
#ifndef LOOK_H
#define LOOK_H

#include "cli.h"

#include <stdio.h>

struct look {
    const struct cli_program *program;
    tally_config *config;
    tally *t;
    const tally_snapshot *snapshot; /* lent by the collector */
    const char *procfs;             /* of the configuration */
};

/* The words of the option collect, all off: what takes a file of its own for each process. */
#define LOOK_AT_LITTLE "no-context-switches,no-delays,no-fds,no-io,no-network,no-pss,no-states,no-threads"

/* A configuration from the command line, to be changed before look_at() makes a collector.
 * From here on the program is only as strong as whoever started it: what it shows, command
 * lines and open files, holds secrets. Says what is wrong, and returns the status to leave
 * with; or -1. */
int look_begin(struct look *look, const struct cli *cli);
/* Collects, with `brief` as in struct tally_new_opts; with over_ns a second time so much later. The same way. */
int look_at(struct look *look, unsigned keep, bool brief, uint64_t over_ns);
void look_end(struct look *look);

/* Sets an option of the configuration to what is known to be right. */
void look_set(struct look *look, const char *name, const char *value);

/* For the command line of a program: the option interval may be a plain number there, of
 * seconds, as top(1) takes it. Says what is wrong. -errno. */
int look_take_seconds(struct cli *cli);

/* Index of a process in the snapshot; SIZE_MAX: it is not there. */
size_t look_find(const struct look *look, pid_t pid);
/* The name of its group; NULL: it was left out. */
const char *look_group(const struct look *look, size_t process);

/* All that was printed is out: status 0. If not, says so (but not that the reader has gone,
 * who knows) and returns status 1. */
int look_finish_output(const struct cli_program *program);

#endif
