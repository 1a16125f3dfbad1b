/* SPDX-License-Identifier: MIT */
/* In plain words: why a process is in its group. */
#include "base/utf8.h"
#include "collector/collector.h"
#include "count/top.h"
#include "output/present.h"

#include <errno.h>

#define SHOWN_BYTES 256u
/* What a person asks for may take as long as it takes. */
#define MATCHING_NS (10 * NS_PER_S)

/* How many are named. */
#define LARGEST 20u

static void explain_refused(const tally *t, struct buf *to) {
    const struct refused *refused = &t->counting.tallies.refused;
    const struct refused_name *largest[LARGEST];
    const size_t count = refused_largest(refused, largest, LARGEST);
    const unsigned long long limit = t->settings.max_groups, names = refused->names;
    if (names == 0) {
        buf_printf(to, "max-groups: %llu, and all groups fit\n", limit);
        return;
    }
    buf_printf(to, "max-groups: %llu, and %llu more %s not fit\n", limit, names,
               names == 1 ? "does" : "do");
    for (size_t i = 0; i < count; i++)
        buf_printf(to, "  %8llu  %s\n",
                   (unsigned long long)(largest[i]->processes - largest[i]->excess),
                   largest[i]->name);
}

/* Those that are hidden stand in the order of their ranks. */
static void explain_hidden(tally *t, struct buf *to) {
    struct tallies *tallies = &t->counting.tallies;
    const size_t all = top_rank(tallies);
    size_t hidden = 0;
    for (size_t i = 0; i < all; i++)
        hidden += is_hidden(tallies->ranked[i]);
    buf_printf(to, "top: %zu %s not shown, as of this one look\n", hidden,
               hidden == 1 ? "group is" : "groups are");
    size_t count = 0;
    for (size_t i = 0; i < all && count < LARGEST; i++)
        if (is_hidden(tallies->ranked[i])) {
            buf_printf(to, "  %8llu  %s\n",
                       (unsigned long long)tallies->ranked[i]->value[METRIC_PROCESSES],
                       tallies->ranked[i]->texts->name);
            count++;
        }
}

int tally_explain_other(tally *t, tally_text *to, const char **ret_data, size_t *ret_len) {
    const tally_snapshot *snapshot;
    const struct tallies *tallies = &t->counting.tallies;
    int r = tally_collect(t, &snapshot);
    if (r < 0)
        return r;
    buf_reset(&to->data);
    const uint64_t processes =
        tallies->other ? tallies->groups[tallies->other]->value[METRIC_PROCESSES] : 0;
    buf_printf(&to->data, "group: other, of %llu %s\n", (unsigned long long)processes,
               processes == 1 ? "process" : "processes");
    explain_refused(t, &to->data);
    if (tallies->top_by != TOP_BY_NONE)
        explain_hidden(t, &to->data);
    return text_finish(to, ret_data, ret_len);
}

static int explain_open(tally *t, const struct process *p, struct sample *s, struct buf *why) {
    struct match_time time = {.left_ns = MATCHING_NS};
    struct lineage ancestors = {
        .group = p->inherited, .is_followed = p->followed, .parents = p->inherited_parents};
    struct decision decision;
    struct identity id;
    int r = t->source->ops->measure(t->source, s, (struct measure_hints){.idle = true});
    if (r == 0)
        r = t->source->ops->identify(t->source, s, t->grouping.needs, &id);
    if (r == 0) {
        buf_add_str(why, "name: ");
        utf8_clean(id.comm.at, id.comm.len, SHOWN_BYTES, why);
        buf_add_str(why, id.is_kernel ? " (a thread of the kernel's own)\n" : "\n");
        r = grouping_decide(&t->grouping, &id, ancestors, &time, &decision, why);
    }
    if (r < 0)
        return r;
    /* where it was put just now: with max-groups that can be `other` */
    const struct tallies *tallies = &t->counting.tallies;
    const struct group *g = tallies->groups[p->group];
    if (g->texts)
        buf_printf(why, "group: %s%s\n", g->texts->name,
                   is_hidden(g) ? ", which is shown as part of other (top)" : "");
    else
        buf_add_str(why, "in no group\n");
    if (tallies->other && p->group == tallies->other)
        explain_refused(t, why);
    return 0;
}

int tally_explain(tally *t, pid_t pid, tally_text *to, const char **ret_data, size_t *ret_len) {
    const struct source_ops *ops = t->source->ops;
    struct sample s;
    t->wants_all = true; /* so that it can be opened */
    /* which groups the top shows is chosen for a snapshot */
    const tally_snapshot *unused;
    int r = tally_collect(t, t->settings.top_by == TOP_BY_NONE ? NULL : &unused);
    if (r < 0)
        return r;
    if (pid <= 0)
        return -ESRCH;
    r = ops->open(t->source, &(struct listed){.pid = (uint32_t)pid}, 0, &s);
    process_id id = r == 0 ? proctable_find_incarnation(&t->counting.table, s.pid, s.start_ticks)
                           : NO_PROCESS;
    if (r == 0 && id == NO_PROCESS)
        r = -ESRCH;
    buf_reset(&to->data);
    if (r == 0)
        r = explain_open(t, proctable_at(&t->counting.table, id), &s, &to->data);
    ops->close(t->source);
    return r < 0 ? r : text_finish(to, ret_data, ret_len);
}
