/* SPDX-License-Identifier: MIT */
/*
 * `top: COUNT by WHAT`: which groups are shown, and that the others are not lost.
 *
 * A group that is not shown gives what its counters go up by to `other`, and its own stand
 * still meanwhile: when it is shown again it goes on where it was. So each counter only rises
 * and has the rate of what it counts, and all that are shown add up to the whole. In the
 * interval in which a group comes or goes its increase is that of `other`: nobody sees both
 * ends of it in the group's own series. But a group that is shown from its first interval on
 * has it all, as without a top. So do its threads by name, with the same name of `other`.
 *
 * So that groups do not come and go, one that is shown stays until its rank is beyond COUNT
 * and a quarter; and what is used by time counts for half in the next interval. At most COUNT
 * and a quarter are shown then, beside those that are named in the configuration.
 */
#ifndef TOP_H
#define TOP_H

#include "count/tallies.h"

/* Before a collection is shown: chooses, and gives to `other`. -ENOMEM: what was given is
 * given, and the next call does the rest. */
int top_choose(struct tallies *t);
/* Lists the groups that have a rank in t->ranked, and returns how many: behind top_choose(). */
size_t top_rank(struct tallies *t);
/* The groups have been shown. */
void top_shown(struct tallies *t);
/* A group is to be removed: what it has not shown yet is not lost. */
void top_leave(struct tallies *t, struct group *g);

static inline bool is_hidden(const struct group *g) {
    return g->standing && g->standing->is_hidden;
}

/* Who shows what is counted for this group behind top_choose(): itself, or `other`. Of its
 * gauges, or of its increase in this interval. */
static inline struct group *top_shows(const struct tallies *t, uint32_t group, bool increase) {
    struct group *g = t->groups[group];
    const bool is_others = g->standing && (increase ? g->standing->gives : is_hidden(g));
    return is_others ? t->groups[t->other] : g;
}

#endif
