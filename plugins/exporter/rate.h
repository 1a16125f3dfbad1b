/* SPDX-License-Identifier: MIT */
/* A limit to requests: a bucket that holds `burst` tokens and gets one more each interval.
 * Any thread may take. */
#ifndef RATE_H
#define RATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct rate {
    uint64_t interval_ns; /* 0: no limit */
    uint64_t window_ns;   /* in which an empty bucket is filled */
    _Atomic uint64_t full_at_ns;
};

/* A full bucket. */
static inline void rate_init(struct rate *rate, uint64_t interval_ns, unsigned burst) {
    rate->interval_ns = interval_ns > INT64_MAX ? INT64_MAX : interval_ns;
    if (__builtin_mul_overflow(rate->interval_ns, burst, &rate->window_ns) ||
        rate->window_ns > INT64_MAX)
        rate->window_ns = INT64_MAX;
    atomic_init(&rate->full_at_ns, 0);
}

/* False: none is left now, on a clock that does not go back (CLOCK_MONOTONIC). */
static inline bool rate_take(struct rate *rate, uint64_t now_ns) {
    if (rate->interval_ns == 0)
        return true;
    uint64_t full_at_ns = atomic_load(&rate->full_at_ns), from_ns;
    do {
        from_ns = full_at_ns > now_ns ? full_at_ns : now_ns;
        if (from_ns - now_ns > rate->window_ns - rate->interval_ns)
            return false;
    } while (!atomic_compare_exchange_weak(&rate->full_at_ns, &full_at_ns,
                                           from_ns + rate->interval_ns));
    return true;
}

#endif
