/* SPDX-License-Identifier: MIT */
/* The catalogue of options, and what a valid value of each type is. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "settings.h"

enum option {
    OPTION_INTERVAL,
    OPTION_GROUP_BY,
    OPTION_CONTAINER_NAMES,
    OPTION_KERNEL_THREADS,
    OPTION_INCLUDE,
    OPTION_EXCLUDE,
    OPTION_PROCESS_NAMES,
    OPTION_CHILDREN,
    OPTION_COLLECT,
    OPTION_METRICS,
    OPTION_CPU_MODE,
    OPTION_MAX_GROUPS,
    OPTION_MAX_THREAD_NAMES,
    OPTION_FOLD_THREAD_NAMES,
    OPTION_EXPIRE_AFTER,
    OPTION_TOP,
    OPTION_SCHEMA,
    OPTION_PREFIX,
    OPTION_LABELS,
    OPTION_STATE_FILE,
    OPTION_PROCFS,
    OPTION_SOURCE,
    OPTION_PIN,
    OPTION_MAX_PROCESSES,
    OPTIONS
};

/* The index of a name ('-' and '_' are the same), or -1. */
int option_find(const char *name, size_t len);

/* What a value must look like, as the object of "expected". */
const char *option_expected(enum option option);

/* Values. 0, or -EINVAL. */
int option_parse_duration(const char *text, uint64_t *ret_ns);
int option_parse_count(const char *text, uint64_t *ret);
/* "10", "10 by cpu" */
int option_parse_top(const char *text, uint64_t *ret_count, enum top_by *ret_by);
int option_parse_switch(const char *text, bool *ret);
/* The index of the choice; `len` bytes of text. */
int option_parse_choice(enum option option, const char *text, size_t len, unsigned *ret);
/* One word of `collect`: "pss" or "no-pss". */
int option_parse_collect(const char *text, size_t len, enum collect *ret, bool *ret_on);

#endif
