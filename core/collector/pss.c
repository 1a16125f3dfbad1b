/* SPDX-License-Identifier: MIT */
/* Proportional set sizes are costly to read: each collection refreshes the oldest values,
 * as far as its budget goes. */
#include "collector/collector.h"

#include <errno.h>
#include <stdlib.h>

/* Time for reading in one collection. A single read can take longer; then it is the only
 * one. */
#define BUDGET_NS (50 * UINT64_C(1000000))

/* Those of one age in the order of their records. */
static int by_age(const void *a, const void *b) {
    const struct pss_turn *x = a, *y = b;
    if (x->pss_s != y->pss_s)
        return x->pss_s < y->pss_s ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static int list_by_age(struct tally *t, size_t *ret_count) {
    struct pss_order *order = &t->pss_order;
    struct proctable *table = &t->counting.table;
    size_t count = 0;
    if (order->size < table->count) {
        struct pss_turn *turns = realloc(order->turns, table->count * 2 * sizeof(*turns));
        if (!turns)
            return -ENOMEM;
        order->turns = turns;
        order->size = table->count * 2;
    }
    for (process_id id = proctable_next(table, 0); id != NO_PROCESS;
         id = proctable_next(table, id + 1)) {
        const struct process *p = proctable_at(table, id);
        if (p->seen == t->counting.number)
            order->turns[count++] = (struct pss_turn){id, p->pss_s};
    }
    if (count)
        qsort(order->turns, count, sizeof(*order->turns), by_age);
    *ret_count = count;
    return 0;
}

/* Nobody's fault: it has ended, or this kernel has no such file. */
static bool is_refusal(int error) {
    return error < 0 && error != -ESRCH && error != -ENOENT;
}

static void keep_pss(const struct round *round, struct process *p, const struct pss *pss) {
    p->pss_bytes = pss->bytes;
    p->swap_pss_bytes = pss->swap_bytes;
    p->has_swap_pss = pss->has_swap;
    p->pss_refused = false;
    p->pss_s = round->boot_s;
}

static void read_pss(struct round *round, struct process *p) {
    struct source *source = round->t->source;
    struct pss pss;
    int r = source->ops->pss(source, p->pid, &pss);
    if (r == 0)
        keep_pss(round, p, &pss);
    if (!is_refusal(r))
        return; /* what was read before stands */
    p->pss_refused = true;
    p->pss_s = round->boot_s;
}

/* The PSS of one whose turn has not come yet is not known, and not refused either. */
static void show_pss(struct round *round, const struct process *p) {
    struct tallies *tallies = &round->t->counting.tallies;
    const bool is_first = p->unreadable == 0;
    if (p->pss_refused) {
        tallies_pss_refused(tallies, p->group, is_first);
        round->partly_unreadable += is_first;
    } else if (p->pss_s) {
        const struct pss pss = {p->pss_bytes, p->swap_pss_bytes, p->has_swap_pss};
        tallies_pss(tallies, p->group, &pss, (round->boot_s - p->pss_s) * NS_PER_S);
    }
}

int collect_pss(struct round *round) {
    struct tally *t = round->t;
    size_t count;
    int r = list_by_age(t, &count);
    if (r < 0)
        return r;
    uint64_t start_ns = clock_ns(t, CLOCK_MONOTONIC);
    bool spent = false;
    for (size_t i = 0; i < count; i++) {
        struct process *p = proctable_at(&t->counting.table, t->pss_order.turns[i].id);
        bool has_memory = p->gauge[FIELD_VMS_BYTES - FIELD_CACHED_FIRST] > 0;
        if (!has_memory) { /* a kernel thread or a zombie */
            keep_pss(round, p, &(struct pss){.has_swap = true});
        } else if (!spent && p->group != GROUP_LEFT_OUT) {
            read_pss(round, p);
            spent = clock_ns(t, CLOCK_MONOTONIC) - start_ns >= BUDGET_NS;
        }
        show_pss(round, p);
    }
    return 0;
}
