/* SPDX-License-Identifier: MIT */
/* What `struct tally` is made of. */
#ifndef COLLECTOR_H
#define COLLECTOR_H

#include "proctally.h"
#include "settings.h"
#include "count/fold.h"
#include "group/grouping.h"
#include "base/io.h"
#include "collector/notices.h"
#include "count/proctable.h"
#include "source/source.h"
#include "count/tallies.h"

struct tally_snapshot {
    const struct tally *tally;
    uint64_t time_ns; /* since 1970 */
};

/* Kept between collections, and in the state file. */
struct progress {
    bool started;            /* there was a collection to count from */
    uint64_t scan_boot_ns;   /* when it began, since boot (CLOCK_BOOTTIME) */
    uint64_t scan_mono_ns;   /* the same on CLOCK_MONOTONIC */
    uint64_t host_busy_ticks;
    bool has_host_busy;
};

struct pss_order {
    process_id *ids;
    size_t size;
};

/* Of the time that matching may take of a collection, what went to one user's
 * processes; the last is shared by those who find no room before it. */
#define MATCH_USERS 8
struct match_user {
    uint32_t uid;
    uint64_t used_ns; /* 0: the entry is free */
};

struct tally {
    struct io io;
    struct settings settings;

    struct source *source;
    struct proctable table;
    struct grouping grouping;
    struct tallies tallies;
    struct fold fold;
    struct notices notices;
    struct pss_order pss_order;

    struct progress progress;
    bool collected;       /* at least once since tally_new() */
    bool count_lifetimes; /* the first collection shows whole lives */
    uint32_t number;      /* of the current collection */
    uint64_t now_boot_ns; /* when it began */
    uint32_t now_boot_s;  /* the same, as records keep it */
    uint64_t interval_ns; /* since the one before; 0: none */
    struct host_stat host;
    bool has_host;
    uint64_t not_fully_read; /* processes with something refused, in this collection */
    struct match_user match_users[MATCH_USERS + 1];
    bool unsure; /* the process in hand: a match was given up that may be made the next time */

    uint64_t self_value[METRICS - METRIC_SELF_FIRST];
    bool self_known[METRICS - METRIC_SELF_FIRST];
    uint64_t self_before[METRICS - METRIC_SELF_FIRST]; /* counted before a restart */
    bool state_saved; /* by the last collection */

    struct tally_snapshot snapshot;
    struct buf text, state, self_labels;
};

/* tally_new() with the calls and the clock as a parameter. */
int collector_new(const tally_config *config, const struct io *io, tally **ret_tally,
                  struct tally_error *error);

static inline void self_set(struct tally *t, enum metric m, uint64_t value) {
    t->self_value[m - METRIC_SELF_FIRST] = value;
    t->self_known[m - METRIC_SELF_FIRST] = true;
}

static inline void self_add(struct tally *t, enum metric m, uint64_t more) {
    self_set(t, m, t->self_value[m - METRIC_SELF_FIRST] + more);
}

#endif
