/* SPDX-License-Identifier: MIT */
/* Conditions that a person should hear of: once, until they have gone away. */
#ifndef NOTICES_H
#define NOTICES_H

#include "proctally.h"

enum notice {
    NOTICE_SOURCE,
    NOTICE_TRAFFIC,
    NOTICE_ENDINGS,
    NOTICE_SOCKETS,
    NOTICE_LACKS,
    NOTICE_COLLECT,
    NOTICE_STATE_REJECTED,
    NOTICE_STATE_UNSAVED,
    NOTICE_PARTIAL,
    NOTICE_NOT_READABLE,
    NOTICE_OVERFLOW,
    NOTICE_PATTERN_LIMIT,
    NOTICE_TOP,
    NOTICE_PID_FILE,
    NOTICES
};

struct notices {
    struct {
        bool pending; /* to be told */
        bool told;
        uint32_t held_s; /* when the condition held last, seconds of CLOCK_BOOTTIME */
        struct tally_error text;
    } items[NOTICES];
    /* counters as they were at the last collection, so that what it added can be seen */
    uint64_t refused_before, pattern_limits_before;
};

__attribute__((format(printf, 3, 4))) void notice_raise(struct notices *n, enum notice which,
                                                        const char *format, ...);
void notice_clear(struct notices *n, enum notice which);
/* Has been told or is about to be. */
static inline bool notice_is_up(const struct notices *n, enum notice which) {
    return n->items[which].pending || n->items[which].told;
}
/* The condition does not hold now: it has gone away if it has not held for so long. */
void notice_lapse(struct notices *n, enum notice which, uint32_t now_s, uint32_t after_s);
/* It holds now. */
static inline void notice_hold(struct notices *n, enum notice which, uint32_t now_s) {
    n->items[which].held_s = now_s;
}
/* What another collector has told, this one need not say again. */
void notices_inherit(struct notices *n, const struct notices *from);

#endif
