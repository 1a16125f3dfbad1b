/* SPDX-License-Identifier: MIT */
/* In plain words: why a process is in its group. */
#include "base/utf8.h"
#include "collector/collector.h"
#include "output/present.h"

#include <errno.h>

#define SHOWN_BYTES 256u
/* What a person asks for may take as long as it takes. */
#define MATCHING_NS (10 * NS_PER_S)

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
    const struct group *g = t->counting.tallies.groups[p->group];
    if (g->texts)
        buf_printf(why, "group: %s\n", g->texts->name);
    else
        buf_add_str(why, "in no group\n");
    return 0;
}

int tally_explain(tally *t, pid_t pid, tally_text *to, const char **ret_data, size_t *ret_len) {
    const struct source_ops *ops = t->source->ops;
    struct sample s;
    t->wants_all = true; /* so that it can be opened */
    int r = tally_collect(t, NULL);
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
