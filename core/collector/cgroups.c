/* SPDX-License-Identifier: MIT */
/* The figures of control groups themselves, beside what their processes add up to: each is
 * read once in a collection, however many processes it has. */
#include "collector/collector.h"
#include "count/top.h"

#include <errno.h>

/* The kernel's clock of files goes on in ticks. */
#define FILE_TICK_NS (NS_PER_S / 100)

/* Only groups that group-by makes have these figures, as only they have all processes of a
 * control group; and not those of "other", which are of many groups. */
int note_cgroup(struct round *round, struct process *p, const struct identity *id) {
    struct counting *c = &round->t->counting;
    const bool has_cgroup = round->decided_by == BY_KEYS && p->group != c->tallies.other;
    const struct text none = {"", 0};
    const struct text path = has_cgroup ? grouping_cgroup(&round->t->grouping, id) : none;
    return cgroup_table_find(&c->cgroups, path, &p->cgroup);
}

static void begin_records(struct counting *c) {
    struct cgroup_table *t = &c->cgroups;
    for (size_t i = 0; i < c->tallies.end; i++)
        if (c->tallies.groups[i])
            c->tallies.groups[i]->cgroups = 0;
    for (size_t i = NO_CGROUP + 1; i < t->end; i++)
        if (t->records[i]) {
            t->records[i]->in_use = false;
            t->records[i]->is_young = true;
        }
}

/* Which of them have processes, and whose those are. */
static void look_for_members(struct round *round) {
    struct counting *c = &round->t->counting;
    const uint64_t tick_ns = round->t->source->tick_ns;
    for (process_id id = proctable_next(&c->table, 0); id != NO_PROCESS;
         id = proctable_next(&c->table, id + 1)) {
        const struct process *p = proctable_at(&c->table, id);
        if (p->cgroup == CGROUP_NOT_KEPT && p->seen == c->number)
            top_shows(&c->tallies, p->group, false)->cgroups = CGROUPS_TOO_MANY;
        if (p->cgroup == NO_CGROUP || p->cgroup == CGROUP_NOT_KEPT)
            continue;
        struct cgroup_record *r = c->cgroups.records[p->cgroup];
        r->in_use = true;
        if (p->seen != c->number)
            continue;
        r->group = p->group;
        r->is_young &= (p->start_ticks + 1) * tick_ns >= c->progress.scan_boot_ns;
    }
}

static bool is_shown(const struct counting *c, const struct cgroup_record *r, bool increase) {
    return r->group != GROUP_LEFT_OUT &&
           !cgroup_table_is_covered(&c->cgroups, &c->tallies, r, increase);
}

/* A group may show several: then some figures have no sum. */
static void count_in_groups(struct counting *c) {
    const struct cgroup_table *t = &c->cgroups;
    for (size_t i = NO_CGROUP + 1; i < t->end; i++) {
        const struct cgroup_record *r = t->records[i];
        if (!r || r->is_gone || !is_shown(c, r, false))
            continue;
        struct group *g = top_shows(&c->tallies, r->group, false);
        if (g->cgroups != CGROUPS_TOO_MANY)
            g->cgroups++;
    }
}

static void read_one(struct round *round, struct cgroup_record *r,
                     const struct cgroup_first_sight *first) {
    struct counting *c = &round->t->counting;
    const struct text path = {r->path, r->path_len};
    struct cgroup_figures figures;
    int e = cgroup_files_read(round->t->cgroup_files, path, &figures);
    r->is_gone = e == -ENOENT;
    if (e == 0)
        cgroup_credit(r, &figures, first, is_shown(c, r, true), is_shown(c, r, false),
                      &c->tallies);
}

void collect_cgroups(struct round *round) {
    struct tally *t = round->t;
    struct counting *c = &t->counting;
    const struct progress *before = &c->progress;
    struct cgroup_first_sight first = {.counts_all = !before->started && t->count_lifetimes};
    if (before->started)
        first.since_unix_ns =
            round->unix_ns - (round->boot_ns - before->scan_boot_ns) - FILE_TICK_NS;
    begin_records(c);
    look_for_members(round);
    for (uint32_t i = NO_CGROUP + 1; i < c->cgroups.end; i++) {
        const struct cgroup_record *r = c->cgroups.records[i];
        if (r && !r->in_use && (r->is_gone || r->group == GROUP_LEFT_OUT))
            cgroup_table_remove(&c->cgroups, i);
    }
    count_in_groups(c);
    for (size_t i = NO_CGROUP + 1; i < c->cgroups.end; i++)
        if (c->cgroups.records[i] && c->cgroups.records[i]->group != GROUP_LEFT_OUT)
            read_one(round, c->cgroups.records[i], &first);
}
