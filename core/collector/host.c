/* SPDX-License-Identifier: MIT */
/* The host's metrics of a snapshot, where they are kept. */
#include "collector/collector.h"

static void set(tally_snapshot *s, enum metric m, bool is_known, uint64_t value) {
    s->host_value[m - METRIC_HOST_FIRST] = value;
    s->host_known[m - METRIC_HOST_FIRST] = is_known;
}

/* Every process is in one group, be it the one that is never shown. */
static uint64_t sum_of(const struct tallies *tallies, enum metric m) {
    uint64_t sum = 0;
    for (size_t i = 0; i < tallies->end; i++)
        if (tallies->groups[i])
            sum += tallies->groups[i]->value[m];
    return sum;
}

static void set_times(tally_snapshot *s, const uint64_t *ticks, size_t count, uint64_t tick_ns) {
    for (size_t i = 0; i < HOST_TIMES; i++)
        set(s, METRIC_HOST_CPU_USER + (enum metric)i, i < count,
            i < count ? ticks[i] * tick_ns : 0);
}

void show_host(struct round *round) {
    static const enum metric states[] = {METRIC_STATE_RUNNING,    METRIC_STATE_SLEEPING,
                                         METRIC_STATE_DISK_SLEEP, METRIC_STATE_STOPPED,
                                         METRIC_STATE_ZOMBIE,     METRIC_STATE_IDLE};
    tally_snapshot *s = round->snapshot;
    const struct tally *t = round->t;
    const struct tallies *tallies = &t->counting.tallies;
    struct host_details host;
    source_host_details(&t->io, t->settings.procfs, &host);
    set(s, METRIC_HOST_UPTIME, host.has_uptime, host.uptime_ns);
    for (size_t i = 0; i < 3; i++)
        set(s, METRIC_HOST_LOAD_1 + (enum metric)i, host.has_load, host.load_billionths[i]);
    set(s, METRIC_HOST_USERS, host.has_users, host.users);
    set(s, METRIC_HOST_CPUS, round->has_host, round->host.cpus);
    if (round->has_host && round->host.times_known)
        set_times(s, round->host.times_ticks, round->host.times_known, t->source->tick_ns);
    else
        set_times(s, host.times_ticks, host.times_known, host.tick_ns);
    for (size_t i = 0; i < HOST_MEMORIES; i++)
        set(s, METRIC_HOST_MEMORY_TOTAL + (enum metric)i, host.memory_known >> i & 1,
            host.memory_bytes[i]);
    set(s, METRIC_HOST_TASKS, true, sum_of(tallies, METRIC_PROCESSES));
    set(s, METRIC_HOST_THREADS, tallies->available & METRIC_SET(METRIC_THREADS),
        sum_of(tallies, METRIC_THREADS));
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        set(s, METRIC_HOST_TASKS_RUNNING + (enum metric)i, true, sum_of(tallies, states[i]));
}
