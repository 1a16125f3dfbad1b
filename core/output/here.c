/* SPDX-License-Identifier: MIT */
/* For people: which metrics there are here, by which means, and what is missing for the rest. */
#include "collector/collector.h"
#include "output/present.h"

#include <string.h>

struct here {
    const tally *t;
    const tally_snapshot *snapshot;
    struct source_health health;
};

static bool has_value(const struct here *h, enum metric m) {
    uint64_t value;
    const enum tally_scope scope = metric_table[m].metric.scope;
    const size_t groups = tally_snapshot_groups(h->snapshot);
    if (scope == TALLY_SCOPE_SELF)
        return tally_snapshot_value(h->snapshot, 0, m, &value);
    for (size_t g = 0; g < groups; g++) {
        if (tally_snapshot_value(h->snapshot, g, m, &value))
            return true;
        for (size_t i = 0; i < tally_snapshot_parts(h->snapshot, g, scope); i++)
            if (tally_snapshot_part_value(h->snapshot, g, i, m, &value))
                return true;
    }
    return false;
}

static uint64_t sum(const struct here *h, enum metric m) {
    uint64_t total = 0, value;
    for (size_t g = 0; g < tally_snapshot_groups(h->snapshot); g++)
        if (tally_snapshot_value(h->snapshot, g, m, &value))
            total += value;
    return total;
}

static const char *means(const struct here *h, enum metric m) {
    const struct metric_row *row = &metric_table[m];
    if (row->metric.scope == TALLY_SCOPE_SELF)
        return "proctally";
    if (row->origins & 1u << ORIGIN_PSS || row->metric.scope == TALLY_SCOPE_WAIT_CHANNEL)
        return "procfs";
    if (row->origins & 1u << ORIGIN_SOCKETS && h->t->source->ends == ENDS_BY_FOLDING)
        return "sock_diag";
    if (row->metric.scope == TALLY_SCOPE_GROUP && row->origins & 1u << ORIGIN_SCHED &&
        h->health.by_taskstats)
        return "taskstats";
    return h->t->source->name;
}

/* Nobody asks for it. */
static bool add_choice(const struct here *h, enum metric m, struct buf *to) {
    const struct settings *settings = &h->t->settings;
    bool is_unsent = false;
    if (m < METRICS_OF_GROUP)
        is_unsent = settings->unsent & METRIC_SET(m);
    else if (m <= METRIC_SELF_LAST)
        is_unsent = settings->unsent_self >> (m - METRIC_SELF_FIRST) & 1;
    else if (m >= METRIC_THREAD_FIRST)
        is_unsent = settings->unsent_parts >> (m - METRIC_THREAD_FIRST) & 1;
    if (is_unsent)
        buf_add_str(to, "metrics, which leaves it out");
    return is_unsent;
}

/* The option that switches it on, if that is off. */
static bool add_switch(const struct here *h, enum metric m, struct buf *to) {
    unsigned collect = metric_table[m].collect;
    const char *between = "";
    if (collect == 0 || h->t->settings.collect & collect)
        collect = metric_table[m].also_collect;
    if (collect == 0 || h->t->settings.collect & collect)
        return false;
    if (h->t->source->lacks_collect & collect) {
        buf_add_str(to, "Linux");
        return true;
    }
    for (enum collect c = 0; c < COLLECTS; c++)
        if (collect & 1u << c) {
            buf_printf(to, "%scollect: [%s]", between, collect_names[c]);
            between = " or ";
        }
    return true;
}

static bool add_kernel_part(const struct here *h, enum metric m, struct buf *to) {
    for (enum kernel_part part = 0; part < KERNEL_PARTS; part++)
        for (enum field f = 0; f < FIELD_COUNTERS; f++)
            if (h->health.lacks[part] & BIT(f) && metric_of_counter(f) == m) {
                buf_printf(to, "%s in the kernel", kernel_part_name(part));
                return true;
            }
    return false;
}

static bool add_source(const struct here *h, enum metric m, struct buf *to) {
    const tally *t = h->t;
    if (!metric_table[m].by_bpf)
        return false;
    if (m == METRIC_EXITS_OOM && h->health.endings)
        buf_add_str(to, "a kernel that marks those it kills for want of memory");
    else if (t->source->ends == ENDS_BY_EVENTS)
        buf_add_str(to, metric_table[m].origins & 1u << ORIGIN_SOCKETS ? h->health.no_sockets.text
                                                                       : h->health.no_traffic.text);
    else if (h->health.no_traffic.text[0])
        buf_add_str(to, h->health.no_traffic.text);
    else if (h->health.sees_later_traffic)
        buf_add_str(to, "a run that stays: it is counted from the first collection on");
    else if (t->why_not_bpf.text[0])
        buf_printf(to, "source: bpf, which can't be used: %s", t->why_not_bpf.text);
    else
        buf_add_str(to, "source: bpf");
    return true;
}

/* Which rights are missing to have it of all processes. Where every right is there, the kernel
 * closes a few all the same. */
static bool add_rights(const struct here *h, enum metric m, struct buf *to) {
    const struct source_health *health = &h->health;
    const unsigned origins = metric_table[m].origins;
    const size_t begin = to->len;
    uint64_t refused = 0;
    if (metric_table[m].metric.scope != TALLY_SCOPE_GROUP)
        return false;
    for (size_t o = 0; o < ORIGINS; o++)
        if (origins & 1u << o) {
            uint64_t more = sum(h, METRIC_UNREADABLE_STATUS + (enum metric)o);
            refused = more > refused ? more : refused;
        }
    if (health->is_partial)
        buf_add_str(to, "CAP_SYS_PTRACE, for processes that /proc hides");
    if (refused && health->lacks_rights)
        buf_printf(to, "%sCAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, for %llu of %llu processes",
                   to->len > begin ? "; " : "", (unsigned long long)refused,
                   (unsigned long long)sum(h, METRIC_PROCESSES));
    if (origins & 1u << ORIGIN_SCHED && health->reads_by_thread)
        buf_printf(to, "%sCAP_NET_ADMIN, for threads that have ended",
                   to->len > begin ? "; " : "");
    return to->len > begin;
}

/* Of a metric that has no value. False: nothing is known to be missing. */
static bool add_missing(const struct here *h, enum metric m, struct buf *to) {
    if (add_choice(h, m, to) || add_switch(h, m, to) || add_kernel_part(h, m, to) || add_source(h, m, to))
        return true;
    if (metric_table[m].origins & 1u << ORIGIN_SOCKETS && h->health.no_sockets.text[0]) {
        buf_add_str(to, h->health.no_sockets.text);
        return true;
    }
    if (metric_table[m].needs)
        buf_add_str(to, metric_table[m].needs);
    return metric_table[m].needs || add_rights(h, m, to);
}

static void add_row(const struct here *h, enum metric m, int widest, struct buf *missing,
                    struct buf *to) {
    const struct tally_metric *metric = &metric_table[m].metric;
    bool is_here = has_value(h, m);
    buf_reset(missing);
    if (is_here)
        add_rights(h, m, missing);
    else if (!add_missing(h, m, missing))
        is_here = metric->scope == TALLY_SCOPE_SELF; /* some of that comes only with an event */
    if (!is_here && missing->len == 0)
        buf_add_str(missing, "a process that has it");
    buf_printf(to, "%-*s  %-4s  ", widest, metric->id, is_here ? "yes" : "no");
    if (missing->len)
        buf_printf(to, "%-9s  %s\n", is_here ? means(h, m) : "-", buf_text(missing));
    else
        buf_printf(to, "%s\n", means(h, m));
}

int tally_list_here(tally *t, tally_text *to, const char **ret_data, size_t *ret_len) {
    struct here h = {.t = t};
    struct buf missing;
    size_t widest = strlen("METRIC");
    /* what is shown per interval needs two */
    int r = tally_collect(t, &h.snapshot);
    if (r == 0)
        r = tally_collect(t, &h.snapshot);
    if (r < 0)
        return r;
    t->source->ops->health(t->source, &h.health);
    for (enum metric m = 0; m < METRICS_IN_ALL; m++)
        if (strlen(metric_table[m].metric.id) > widest)
            widest = strlen(metric_table[m].metric.id);
    buf_init(&missing, 4096);
    buf_reset(&to->data);
    buf_printf(&to->data, "%-*s  %-4s  %-9s  %s\n", (int)widest, "METRIC", "HERE", "SOURCE",
               "MISSING");
    for (enum metric m = 0; m < METRICS_IN_ALL; m++)
        if (metric_table[m].metric.scope != TALLY_SCOPE_HOST)
            add_row(&h, m, (int)widest, &missing, &to->data);
    r = missing.error;
    buf_free(&missing);
    return r < 0 ? r : text_finish(to, ret_data, ret_len);
}
