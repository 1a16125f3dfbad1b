/* SPDX-License-Identifier: MIT */
/*
 * All that counting has come to: what a restart of the agent must not lose, and so what
 * the state file holds and what one collector inherits from another.
 */
#ifndef COUNTING_H
#define COUNTING_H

#include "count/cgroup_table.h"
#include "count/fold.h"
#include "count/proctable.h"
#include "count/tallies.h"
#include "settings.h"

struct progress {
    bool started;          /* there was a collection to count from */
    uint64_t scan_boot_ns; /* when it began, since boot (CLOCK_BOOTTIME) */
    uint64_t scan_mono_ns; /* the same on CLOCK_MONOTONIC */
    /* Of the last one that made a snapshot: what is shown per interval begins there. */
    bool shown;
    uint64_t shown_mono_ns;
    uint64_t host_busy_ticks;
    bool has_host_busy;
    struct followed followed;
    /* What the bits of a process's parents stand for: a number that is the same in each run. */
    uint64_t parent_keys[RULE_PARENTS_MOST];
    uint32_t parent_count;
};

/* Values about the collector. Those of a restarted one begin at 0 again; what was counted
 * before is added when they are shown. */
#define SELF_METRICS (METRIC_SELF_LAST - METRIC_SELF_FIRST + 1)
struct self_values {
    uint64_t now[SELF_METRICS];
    uint64_t before[SELF_METRICS];
    bool known[SELF_METRICS];
};

struct counting {
    struct proctable table;
    struct tallies tallies;
    struct cgroup_table cgroups;
    struct fold fold;
    struct progress progress;
    struct self_values self;
    uint32_t number; /* of the current collection; processes know in which they were seen */
};

static inline void self_set(struct counting *c, enum metric m, uint64_t value) {
    c->self.now[m - METRIC_SELF_FIRST] = value;
    c->self.known[m - METRIC_SELF_FIRST] = true;
}

static inline void self_add(struct counting *c, enum metric m, uint64_t more) {
    self_set(c, m, c->self.now[m - METRIC_SELF_FIRST] + more);
}

static inline uint64_t self_now(const struct counting *c, enum metric m) {
    return c->self.now[m - METRIC_SELF_FIRST];
}

#endif
