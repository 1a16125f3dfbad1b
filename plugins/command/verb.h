/* SPDX-License-Identifier: MIT */
/* What the command proctally can be told to do. */
#ifndef VERB_H
#define VERB_H

#include "cli.h"

struct verb {
    const char *name;
    const char *short_help; /* a line in the list of verbs */
    const struct cli_program *program;
    /* When the command line has been read; the status to exit with. */
    int (*main)(struct cli *cli);
};

extern const struct verb verb_attach, verb_compare, verb_config, verb_explain, verb_metrics,
    verb_run, verb_summary;

#endif
