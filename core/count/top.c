/* SPDX-License-Identifier: MIT */
#include "count/top.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Ranks ------------------------------------------------------------------------------ */

static uint64_t since_shown(const struct group *g, enum metric m) {
    return g->value[m] - g->standing->shown[m];
}

/* What was used since the groups were last shown. */
static uint64_t used(const struct tallies *t, const struct group *g) {
    switch (t->top_by) {
    case TOP_BY_CPU:
        return g->cpu_ns;
    case TOP_BY_IO:
        return since_shown(g, METRIC_DISK_READ) + since_shown(g, METRIC_DISK_WRITTEN);
    case TOP_BY_NETWORK:
        return since_shown(g, METRIC_RECEIVED_BYTES_TCP) + since_shown(g, METRIC_RECEIVED_BYTES_UDP) +
               since_shown(g, METRIC_TRANSMITTED_BYTES_TCP) +
               since_shown(g, METRIC_TRANSMITTED_BYTES_UDP);
    case TOP_BY_MEMORY:
    case TOP_BY_NONE:
        break;
    }
    return 0;
}

static void rate(const struct tallies *t, struct group *g) {
    struct standing *s = g->standing;
    s->score = t->top_by == TOP_BY_MEMORY ? g->value[METRIC_RSS] : s->score / 2 + used(t, g);
}

static bool was_shown(const struct group *g) {
    return !g->standing->is_new && !g->standing->is_hidden;
}

/* Of equals those first that are shown already. */
static int by_rank(const void *a, const void *b) {
    const struct group *x = *(struct group *const *)a, *y = *(struct group *const *)b;
    if (x->standing->score != y->standing->score)
        return x->standing->score < y->standing->score ? 1 : -1;
    if (was_shown(x) != was_shown(y))
        return was_shown(x) ? -1 : 1;
    if (x->value[METRIC_RSS] != y->value[METRIC_RSS])
        return x->value[METRIC_RSS] < y->value[METRIC_RSS] ? 1 : -1;
    return strcmp(x->texts->name, y->texts->name);
}

static int reserve(struct tallies *t) {
    if (t->ranked_size >= t->end)
        return 0;
    struct group **ranked = realloc(t->ranked, t->size * sizeof(*ranked));
    if (!ranked)
        return -ENOMEM;
    t->ranked = ranked;
    t->ranked_size = t->size;
    return 0;
}

size_t top_rank(struct tallies *t) {
    size_t count = 0;
    for (size_t i = 1; i < t->end; i++)
        if (t->groups[i] && !t->groups[i]->literal)
            t->ranked[count++] = t->groups[i];
    if (count)
        qsort(t->ranked, count, sizeof(*t->ranked), by_rank);
    return count;
}

/* ---- To `other` ---------------------------------------------------------------------------- */

static void give_increase(const struct tallies *t, struct group *g, struct group *other) {
    for (size_t m = 0; m < METRICS_OF_GROUP; m++)
        if (t->counters & METRIC_SET(m)) {
            other->value[m] += since_shown(g, (enum metric)m);
            g->value[m] = g->standing->shown[m];
        }
    other->have |= g->have & t->counters;
    other->had_members |= g->had_members;
}

static int give_threads(struct tallies *t, struct group *g, bool hides) {
    if (!g->thread_names)
        return 0;
    struct thread_names *to = tallies_thread_names(t, t->other);
    return to ? thread_names_give(g->thread_names, to, &t->threads, hides) : -ENOMEM;
}

static int place(struct tallies *t, struct group *g, bool hidden, struct group *other) {
    struct standing *s = g->standing;
    const bool gives = hidden || (!s->is_new && s->is_hidden);
    if (gives) {
        int r = give_threads(t, g, hidden);
        if (r < 0)
            return r;
        give_increase(t, g, other);
    }
    if (hidden) {
        tallies_add_gauges(t, other, g);
        t->hidden_cpu_ns += g->cpu_ns;
    }
    t->order_stale |= s->is_new || s->is_hidden != hidden;
    s->is_hidden = hidden;
    s->gives = gives;
    s->is_new = false;
    return 0;
}

/* A name that is in the configuration by now. */
static int show_literals(struct tallies *t, struct group *other) {
    int r = 0;
    for (size_t i = 1; r == 0 && i < t->end; i++)
        if (t->groups[i] && t->groups[i]->literal && t->groups[i] != other)
            r = place(t, t->groups[i], false, other);
    return r;
}

int top_choose(struct tallies *t) {
    uint32_t other;
    int r = tallies_other(t, &other);
    if (r == 0)
        r = reserve(t);
    if (r < 0)
        return r;
    t->hidden_cpu_ns = 0;
    for (size_t i = 1; i < t->end; i++)
        if (t->groups[i])
            rate(t, t->groups[i]);
    const size_t count = top_rank(t);
    const size_t most = t->top < t->limit ? t->top : t->limit;
    const size_t stays = most + (most + 3) / 4 < t->limit ? most + (most + 3) / 4 : t->limit;
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct group *g = t->ranked[i];
        const bool is_shown = i < most || (i < stays && was_shown(g));
        r = place(t, g, !is_shown, t->groups[other]);
    }
    return r < 0 ? r : show_literals(t, t->groups[other]);
}

void top_shown(struct tallies *t) {
    for (size_t i = 1; i < t->end; i++) {
        struct group *g = t->groups[i];
        if (!g)
            continue;
        memcpy(g->standing->shown, g->value, sizeof(g->standing->shown));
        if (g->thread_names)
            thread_names_shown(g->thread_names);
    }
}

void top_leave(struct tallies *t, struct group *g) {
    if (!t->other || t->groups[t->other] == g)
        return;
    give_increase(t, g, t->groups[t->other]);
    /* Fails without memory: then what its threads used is still there without their names. */
    (void)give_threads(t, g, false);
}
