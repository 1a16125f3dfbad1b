/* SPDX-License-Identifier: MIT */
/* What the exporter says about itself, behind the groups: the process_* series that client
 * libraries of Prometheus have, answers by status, its version; and with the names of
 * process-exporter those that its dashboards ask for. */
#ifndef ABOUT_H
#define ABOUT_H

#include "proctally.h"

#include <stdio.h>

struct about {
    uint64_t start_unix_ns; /* of this process */
    uint64_t answered[3];   /* enum answered */
    /* since the start */
    uint64_t failed_collections;
    uint64_t partly_read; /* processes of which something could not be read, at each collection */
    uint64_t not_read;    /* processes that could not be read at all, at each collection */
    /* does the option metrics leave in what they are made of? */
    bool knows_partly_read, knows_not_read;
};

/* Adds what a snapshot of this configuration says about processes that could not be read. */
void about_count(struct about *about, const tally_snapshot *snapshot, const tally_config *config);

void about_write(const struct about *about, enum tally_schema schema, bool openmetrics, FILE *to);

#endif
