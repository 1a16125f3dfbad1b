/* SPDX-License-Identifier: MIT */
/* The sockets that processes have: each counts once for a group, however many of its members
 * have it. */
#include "collector/collector.h"

#include <errno.h>

/* In the table the owners of a socket are groups; and processes, with this bit. */
#define IS_PROCESS (1u << 31)

/* What the source tells. */
struct telling {
    struct round *round;
    const struct process *p; /* that it is about; NULL: one that does not count */
    process_id id;
    struct snapshot_process *shown; /* in the snapshot; NULL: it is not */
};

static metric_set metrics_of_kinds(const struct round *round, unsigned kinds) {
    return (metric_set)kinds << METRIC_TCP_ESTABLISHED &
           ~round->t->counting.tallies.switched_off;
}

/* That it can't be read is counted once for a process, whatever it is. */
static bool is_readable(const struct round *round, const struct process *p) {
    const bool lacks_pss = round->t->settings.collect & 1u << COLLECT_PSS && p->pss_refused;
    return p->unreadable == 0 && !lacks_pss;
}

static void turn_to(void *data, uint32_t pid, uint64_t start_ticks, unsigned kinds) {
    struct telling *telling = data;
    struct round *round = telling->round;
    struct counting *c = &round->t->counting;
    telling->p = NULL;
    telling->shown = NULL;
    telling->id = proctable_find_incarnation(&c->table, pid, start_ticks);
    if (telling->id == NO_PROCESS)
        return;
    const struct process *p = proctable_at(&c->table, telling->id);
    if (p->seen != c->number || p->group == GROUP_LEFT_OUT)
        return;
    if (has_outlived_main_thread(p->state, p->threads))
        return;
    if (kinds == 0) {
        const bool is_first = is_readable(round, p);
        tallies_sockets_unknown(&c->tallies, p->group, is_first);
        round->partly_unreadable += is_first;
        return;
    }
    telling->p = p;
    tallies_sockets_known(&c->tallies, p->group, kinds);
    if (round->t->keep & TALLY_KEEP_PROCESSES)
        telling->shown = find_shown(round, p);
    if (telling->shown)
        telling->shown->known |= metrics_of_kinds(round, kinds);
}

static int count_socket(void *data, uint64_t inode, enum socket_kind kind) {
    struct telling *telling = data;
    struct tally *t = telling->round->t;
    const enum metric metric = METRIC_TCP_ESTABLISHED + (enum metric)kind;
    if (!telling->p)
        return 0;
    int r = socket_table_add(&t->sockets, inode, telling->p->group, (uint8_t)kind);
    if (r > 0)
        tallies_add(&t->counting.tallies, telling->p->group, metric, 1);
    if (r < 0 || !telling->shown)
        return r;
    r = socket_table_add(&t->sockets, inode, IS_PROCESS | telling->id, (uint8_t)kind);
    if (r > 0)
        telling->shown->value[metric]++;
    return r;
}

/* Part of them would look like all. */
static void forget_sockets(struct round *round) {
    const metric_set all = metrics_of_kinds(round, (1u << SOCKET_KINDS) - 1);
    tallies_forget_sockets(&round->t->counting.tallies);
    for (size_t i = 0; i < round->snapshot->process_count; i++)
        round->snapshot->processes[i].known &= ~all;
}

/* If they can't be had, the collection goes on without. */
void collect_sockets(struct round *round) {
    struct source *source = round->t->source;
    struct telling telling = {.round = round};
    socket_table_begin(&round->t->sockets);
    sort_processes(round);
    round->sockets_error = source->ops->sockets(
        source, &(struct socket_use){turn_to, count_socket, &telling});
    if (round->sockets_error < 0)
        forget_sockets(round);
}
