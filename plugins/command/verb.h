/* SPDX-License-Identifier: MIT */
/* What the command proctally can be told to do. */
#ifndef VERB_H
#define VERB_H

#include "cli.h"

struct verb {
    const char *name;
    const char *short_help; /* a line in the list of verbs */
    const struct cli_program *program;
    const char *why_not; /* this system lacks it; NULL: it does not, and what follows is there */
    /* When the command line has been read; the status to exit with. */
    int (*main)(struct cli *cli);
};

extern const struct verb verb_attach;
extern const struct verb verb_compare;
extern const struct verb verb_config;
extern const struct verb verb_explain;
extern const struct verb verb_files;
extern const struct verb verb_metrics;
extern const struct verb verb_ports;
extern const struct verb verb_ps;
extern const struct verb verb_run;
extern const struct verb verb_summary;
extern const struct verb verb_top;

#endif
