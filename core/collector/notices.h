/* SPDX-License-Identifier: MIT */
/* Conditions that a person should hear of: once, until they have gone away. */
#ifndef NOTICES_H
#define NOTICES_H

#include "proctally.h"

enum notice {
    NOTICE_SOURCE,
    NOTICE_TRAFFIC,
    NOTICE_STATE_REJECTED,
    NOTICE_STATE_UNSAVED,
    NOTICE_PARTIAL,
    NOTICE_NOT_READABLE,
    NOTICE_OVERFLOW,
    NOTICE_PATTERN_LIMIT,
    NOTICES
};

struct notices {
    struct {
        bool pending; /* to be told */
        bool told;
        struct tally_error text;
    } items[NOTICES];
};

__attribute__((format(printf, 3, 4))) void notice_raise(struct notices *n, enum notice which,
                                                        const char *format, ...);
void notice_clear(struct notices *n, enum notice which);

#endif
