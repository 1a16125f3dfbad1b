/* SPDX-License-Identifier: MIT */
/* Samples of a tree of processes as records: JSON, a line each, or CSV. Keys are denet's
 * (github.com/btraven00/denet) where they mean the same, else the catalogue's. */
#ifndef RECORD_H
#define RECORD_H

#include "tracking.h"

#include <stdio.h>

/* The metrics that records have, for the tree to know their bases. */
void record_metrics(struct tree *tree);

/* The host and where we are on it. */
void record_env(FILE *to);
/* What is watched; command may be NULL, for a process that runs already. */
void record_metadata(FILE *to, const struct tree *tree, char *const *command);
/* The i-th process of the snapshot, which is new or has executed another program. */
void record_child(FILE *to, const tally_snapshot *s, size_t i);
/* The i-th process of the snapshot has ended: its figures until then. */
void record_end(FILE *to, const struct tree *tree, const struct tracked *ended,
                const tally_snapshot *s, size_t i);
/* The whole sample. */
void record_sample(FILE *to, const struct tree *tree, const tally_snapshot *s);
void record_csv_header(FILE *to);
void record_csv(FILE *to, const struct tree *tree, const tally_snapshot *s);
/* Lines that people read while it runs. */
void record_live(FILE *to, const tally_snapshot *s, uint64_t begun_unix_ns, bool has_colour);

#endif
