/* SPDX-License-Identifier: MIT */
/* What was used out of sight of the list, from a source that is told of every end. (With
 * others count/fold.c works out what the ended used.) */
#include "collector/collector.h"

/* The final figures of a process, and those of its children, arrive a little after it has
 * left the listing; on a busy host that can be seconds. */
#define WAIT_FOR_END_S 15u

static bool is_shown(const struct round *round, uint32_t group) {
    return round->snapshot && round->t->keep & TALLY_KEEP_ENDED &&
           (round->t->grouping.followed.count == 0 || group != GROUP_LEFT_OUT);
}

/* With its final figures. */
static int credit_end(struct round *round, process_id id, struct sample *s) {
    struct counting *c = &round->t->counting;
    int r = credit(round, id, s);
    struct process *p = proctable_at(&c->table, id);
    if (r == 0 && is_shown(round, p->group))
        r = show_ended(round, id, p->group, NULL, s);
    tallies_add(&c->tallies, p->group, METRIC_EXITS, 1);
    tallies_add_endings(&c->tallies, p->group, s->ending, 1);
    tallies_ended(&c->tallies, p->group, s);
    /* what its children did may be told later, and refer to it */
    p->thread_list = thread_list_free(p->thread_list, &c->tallies.threads);
    p->ended = true;
    p->gone_s = round->boot_s;
    return r;
}

/* Of a process that was listed, but has no record: there was no memory for one, or it was given
 * up. Lost, unless it has been told before, or was listed for somebody else, before we began. */
static void note_unknown_end(struct tally *t, const struct sample *s) {
    const struct counting *c = &t->counting;
    if (c->progress.started &&
        proctable_find_known(&c->table, s->pid, s->start_ticks) == NO_PROCESS)
        t->unknown_ends++;
}

/* Processes that were listed once. */
int credit_ended(struct round *round) {
    struct tally *t = round->t;
    struct counting *c = &t->counting;
    struct sample s;
    int r = 0;
    while (r == 0 && t->source->ops->next_ended(t->source, &s)) {
        process_id id = proctable_find_incarnation(&c->table, s.pid, s.start_ticks);
        if (id == NO_PROCESS)
            note_unknown_end(t, &s);
        else
            r = credit_end(round, id, &s);
    }
    return r;
}

/* Those that came and went, and what the others did before they became what they are.
 * Where there is no memory for a group, the rest is counted all the same. -ENOMEM. */
int credit_unlisted(struct round *round) {
    struct tally *t = round->t;
    struct tallies *tallies = &t->counting.tallies;
    struct unlisted_usage usage;
    int r = 0;
    while (t->source->ops->next_unlisted(t->source, t->grouping.needs, &usage)) {
        uint32_t group = GROUP_LEFT_OUT;
        if (usage.identity.pid) {
            process_id id = proctable_find_incarnation(
                &t->counting.table, usage.identity.pid, usage.identity.start_ticks);
            if (id != NO_PROCESS) {
                int e = credit_end(round, id, &usage.counters);
                r = e < 0 ? e : r;
            }
            if (id != NO_PROCESS || usage.ended == 0)
                continue;
        }
        if (t->passes_unlisted)
            continue;
        int e = classify_unlisted(round, &usage, &group);
        if (e < 0) {
            r = e;
            continue;
        }
        divide_cpu_time(NULL, &usage.counters);
        if (usage.identity.pid && is_shown(round, group)) {
            e = show_ended(round, NO_PROCESS, group, &usage, &usage.counters);
            r = e < 0 ? e : r;
        }
        for (enum field f = 0; f < FIELD_COUNTERS; f++)
            if (usage.counters.have & BIT(f))
                tallies_credit(tallies, group, f, usage.counters.value[f]);
        for (size_t i = 0; i < TRAFFIC_COUNTERS; i++)
            if (usage.traffic[i])
                tallies_add(tallies, group, METRIC_RECEIVED_BYTES_TCP + (enum metric)i,
                            usage.traffic[i]);
        tallies_add(tallies, group, METRIC_STARTS, usage.ended);
        tallies_add(tallies, group, METRIC_EXITS, usage.ended);
        for (enum ending how = ENDING_OK; how < ENDINGS; how++)
            tallies_add_endings(tallies, group, how, usage.ended_by[how]);
        tallies_ended(tallies, group, &usage.counters);
        tallies_passed_by(tallies, group);
    }
    return r;
}

void forget_ended(struct round *round) {
    struct counting *c = &round->t->counting;
    for (process_id id = proctable_next(&c->table, 0); id != NO_PROCESS;
         id = proctable_next(&c->table, id + 1)) {
        struct process *p = proctable_at(&c->table, id);
        if (p->seen == c->number && !p->ended) {
            p->gone_s = 0;
            continue;
        }
        if (p->gone_s == 0)
            p->gone_s = round->boot_s;
        /* its threads are not alive any more, whenever its end and theirs are told */
        if (p->thread_list && c->tallies.threads.ends_are_told)
            threads_leave(p->thread_list, round->boot_s);
        else
            p->thread_list = thread_list_free(p->thread_list, &c->tallies.threads);
        p->threads_unseen |= !p->thread_list;
        if (round->boot_s - p->gone_s < WAIT_FOR_END_S)
            continue;
        if (!p->ended)
            tallies_add(&c->tallies, p->group, METRIC_EXITS, 1);
        p->thread_list = thread_list_free(p->thread_list, &c->tallies.threads);
        proctable_remove(&c->table, id);
    }
}
