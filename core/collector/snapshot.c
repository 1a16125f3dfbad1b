/* SPDX-License-Identifier: MIT */
/* Reading a snapshot, and how a dialect shows a value. */
#include "collector/collector.h"

uint64_t tally_snapshot_time(const tally_snapshot *s) {
    return s->time_ns;
}

size_t tally_snapshot_groups(const tally_snapshot *s) {
    return s->tally->tallies.order_count;
}

const char *tally_snapshot_group_name(const tally_snapshot *s, size_t group) {
    return s->tally->tallies.order[group]->name;
}

bool tally_snapshot_label(const tally_snapshot *s, size_t group, size_t i, const char **ret_key,
                          const char **ret_value) {
    const struct group *g = s->tally->tallies.order[group];
    if (i >= g->label_count)
        return false;
    *ret_key = g->labels[i].key;
    *ret_value = g->labels[i].value;
    return true;
}

bool tally_snapshot_value(const tally_snapshot *s, size_t group, size_t metric,
                          uint64_t *ret_value) {
    if (metric >= METRIC_SELF_FIRST) {
        size_t i = metric - METRIC_SELF_FIRST;
        if (i >= METRICS - METRIC_SELF_FIRST || !s->tally->self_known[i])
            return false;
        *ret_value = s->tally->self_value[i] + s->tally->self_before[i];
        return true;
    }
    const struct group *g = s->tally->tallies.order[group];
    if (!(g->known & BIT(metric)))
        return false;
    *ret_value = g->value[metric];
    return true;
}

struct tally_number tally_present(const tally_snapshot *s, const struct tally_metric *metric,
                                  enum tally_form form, uint64_t value) {
    struct tally_number n = {0};
    uint64_t billionths = value; /* of the unit that is shown */
    switch (form) {
    case TALLY_NATURAL:
        if (metric->unit == TALLY_COUNT || metric->unit == TALLY_BYTES) {
            n.is_whole = true;
            n.whole = value;
            return n;
        }
        if (metric->unit == TALLY_SIGNED) {
            n.is_whole = true;
            n.negative = (int64_t)value < 0;
            n.whole = n.negative ? -value : value;
            return n;
        }
        break;
    case TALLY_PERCENT:
        if (__builtin_mul_overflow(value, 100, &billionths))
            billionths = UINT64_MAX;
        break;
    case TALLY_MICROSECONDS:
        n.is_whole = true;
        n.whole = value / 1000;
        return n;
    case TALLY_WHOLE_NS:
        n.is_whole = true;
        n.whole = value;
        return n;
    case TALLY_UPTIME:
        n.is_whole = true;
        n.whole = s->time_ns > value ? (s->time_ns - value) / NS_PER_S : 0;
        return n;
    }
    n.whole = billionths / NS_PER_S;
    n.billionths = (uint32_t)(billionths % NS_PER_S);
    return n;
}
