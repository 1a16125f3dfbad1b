/* SPDX-License-Identifier: MIT */
/*
 * The finished result of a collection. A collector has two that take turns, so that in the
 * steady state none is allocated. One that somebody else still holds when its turn comes
 * is left to them, and a new one takes its place.
 */
#ifndef SNAPSHOT_H
#define SNAPSHOT_H

#include "base/buf.h"
#include "count/counting.h"
#include "settings.h"

#include <stdatomic.h>

/* What the configuration says about how values are called; shared by all snapshots of a
 * collector. */
struct snapshot_words {
    atomic_uint references;
    enum tally_schema schema;
    char *prefix, *self_prefix, *measurement;
    struct string_list labels; /* KEY=VALUE */
    char *procfs;              /* where texts of processes are read from */
};

struct snapshot_group {
    struct group_texts *texts;
    metric_set known;
    uint64_t value[METRICS_OF_GROUP];
    struct { /* among the snapshot's */
        size_t first, count;
    } parts[PARTS];
};

/* Of what a group is divided into. */
struct snapshot_part {
    char name[THREAD_NAME_MAX + 1];
    unsigned known; /* 1 << (metric - the first of its kind) */
    uint64_t value[THREAD_METRICS];
};

struct snapshot_process {
    struct tally_process shown;
    uint64_t start_ticks;
    uint64_t inode; /* of its directory in /proc; 0: not known */
    process_id id;
    uint32_t group_index;   /* in the tallies; while the snapshot is made */
    bool is_recalled;       /* it slept, and was not read */
    size_t name, user, cmdline; /* offsets in texts; NO_TEXT */
    size_t cmdline_len;
    metric_set known;
    uint64_t value[METRICS_OF_GROUP];
};
#define NO_TEXT SIZE_MAX

struct tally_snapshot {
    atomic_uint references;
    struct snapshot_words *words;
    uint64_t time_ns; /* since 1970 */
    uint64_t interval_ns;

    struct snapshot_group *groups;
    size_t group_count, group_size;
    struct snapshot_part *parts;
    size_t part_count, part_size;
    metric_set known; /* of any of them */

    uint64_t self_value[SELF_METRICS];
    bool self_known[SELF_METRICS];

    uint64_t host_value[HOST_METRICS];
    bool host_known[HOST_METRICS];

    struct snapshot_process *processes;
    size_t process_count, process_size;
    struct snapshot_process *ended;
    size_t ended_count, ended_size;
    struct buf texts; /* their names and users, a NUL byte after each; command lines */
};

struct snapshots {
    struct snapshot_words *words;
    tally_snapshot *current; /* the one that was lent last; or NULL */
    tally_snapshot *spare;
    const tally_snapshot *inherited; /* the last one of another collector; or NULL */
};

/* -ENOMEM. */
int snapshots_init(struct snapshots *s, const struct settings *settings);
void snapshots_clear(struct snapshots *s);

/* One that nobody reads, to be filled. -ENOMEM. */
int snapshots_begin(struct snapshots *s, tally_snapshot **ret);
/* It is finished, and becomes the current one. */
void snapshots_publish(struct snapshots *s, tally_snapshot *snapshot);

/* The last one that was published, here or by the collector that this one goes on from;
 * NULL: none. */
static inline const tally_snapshot *snapshots_before(const struct snapshots *s) {
    return s->current ? s->current : s->inherited;
}
/* Goes on from what another collector has published. */
void snapshots_inherit(struct snapshots *s, const struct snapshots *from);

/* The groups in the order in which they are shown. -ENOMEM. */
int snapshot_set_groups(tally_snapshot *s, const struct tallies *tallies);
/* … and about the collector, but for those in `unsent`: 1 << number from the first on. */
void snapshot_set_self(tally_snapshot *s, const struct self_values *self, uint64_t unsent);
/* Room for one more process, alive or ended. NULL: no memory. */
struct snapshot_process *snapshot_add_process(tally_snapshot *s);
struct snapshot_process *snapshot_add_ended(tally_snapshot *s);

/* The i-th part of a group; NULL: there are no more. */
static inline const struct snapshot_part *snapshot_part(const tally_snapshot *s, size_t group,
                                                        enum part_kind kind, size_t i) {
    const struct snapshot_group *g = &s->groups[group];
    return i < g->parts[kind].count ? &s->parts[g->parts[kind].first + i] : NULL;
}

static inline bool snapshot_part_value(const struct snapshot_part *part, enum part_kind kind,
                                       size_t metric, uint64_t *ret) {
    const size_t i = metric - part_table[kind].first;
    if (metric < part_table[kind].first || metric > part_table[kind].last ||
        !(part->known >> i & 1))
        return false;
    *ret = part->value[i];
    return true;
}

/* The value of a metric; false if it is not known. */
static inline bool snapshot_value(const tally_snapshot *s, size_t group, size_t metric,
                                  uint64_t *ret) {
    if (metric >= METRIC_HOST_FIRST) {
        size_t i = metric - METRIC_HOST_FIRST;
        if (i >= HOST_METRICS || !s->host_known[i])
            return false;
        *ret = s->host_value[i];
        return true;
    }
    if (metric >= METRIC_SELF_FIRST) {
        size_t i = metric - METRIC_SELF_FIRST;
        *ret = s->self_value[i];
        return s->self_known[i];
    }
    const struct snapshot_group *g = &s->groups[group];
    *ret = g->value[metric];
    return g->known & METRIC_SET(metric);
}

#endif
