/* SPDX-License-Identifier: MIT */
/* What metrics are called as files: as --list-metrics shows them, and with their unit, for a
 * file shows a bare number. */
#ifndef NAMES_H
#define NAMES_H

#include "proctally.h"

/* The metrics of one scope, which stand together in the catalogue. */
struct names {
    size_t first, count;
    char (*names)[48];
};

/* -ENOMEM. */
int names_new(enum tally_scope scope, struct names *ret);
void names_free(struct names *names);

/* False: no metric is called so. */
bool names_find(const struct names *names, const char *name, size_t *ret_metric);

static inline const char *names_of(const struct names *names, size_t metric) {
    return names->names[metric - names->first];
}

#endif
