/* SPDX-License-Identifier: MIT */
/* What was read last of the control groups whose figures are shown. */
#include "collector/state_parts.h"

#include <errno.h>

void put_cgroups(struct buf *to, const struct counting *c) {
    const struct cgroup_table *t = &c->cgroups;
    put_number(to, CGROUP_PARTS);
    put_number(to, CGROUP_COUNTERS);
    for (size_t f = 0; f < CGROUP_COUNTERS; f++)
        put_text(to, metric_table[METRIC_CGROUP_FIRST + f].metric.id);
    put_number(to, t->count);
    for (size_t i = NO_CGROUP + 1; i < t->end; i++) {
        const struct cgroup_record *r = t->records[i];
        if (!r)
            continue;
        put_number(to, r->path_len);
        buf_add(to, r->path, r->path_len);
        put_group_number(to, &c->tallies, r->group);
        put_number(to, r->was_read);
        for (size_t p = 0; p < CGROUP_PARTS; p++)
            put_number(to, r->inode[p]);
        for (size_t f = 0; f < CGROUP_COUNTERS; f++) {
            put_number(to, r->have >> f & 1);
            put_number(to, r->last[f]);
        }
    }
}

/* Which counter the file means by number i: CGROUP_COUNTERS, none that is known here. */
static int get_cgroup_counters(struct reader *r, enum cgroup_figure *counters, size_t size,
                               size_t *ret_count) {
    const uint64_t count = get_number(r);
    if (r->bad || count > size)
        return -EBADMSG;
    for (size_t i = 0; i < count; i++) {
        const struct text id = get_text(r);
        counters[i] = CGROUP_COUNTERS;
        for (enum cgroup_figure f = 0; f < CGROUP_COUNTERS; f++)
            if (text_is(id, metric_table[METRIC_CGROUP_FIRST + (size_t)f].metric.id))
                counters[i] = f;
    }
    *ret_count = count;
    return r->bad ? -EBADMSG : 0;
}

/* Read to its end even if there is no room for it. */
static int get_cgroup(struct reader *r, struct counting *c, const struct translation *names,
                      const enum cgroup_figure *counters, size_t counter_count) {
    const struct text path = get_text(r);
    struct cgroup_record skipped, *record = &skipped;
    uint32_t index;
    if (r->bad || path.len == 0)
        return -EBADMSG;
    int e = cgroup_table_find(&c->cgroups, path, &index);
    if (e < 0)
        return e;
    if (index != CGROUP_NOT_KEPT)
        record = c->cgroups.records[index];
    record->group = translate(names, r);
    record->was_read = get_number(r);
    record->have = 0;
    for (size_t p = 0; p < CGROUP_PARTS; p++)
        record->inode[p] = get_number(r);
    for (size_t i = 0; i < counter_count; i++) {
        const bool have = get_number(r);
        const uint64_t last = get_number(r);
        if (counters[i] == CGROUP_COUNTERS)
            continue;
        record->last[counters[i]] = last;
        record->have |= (unsigned)have << counters[i];
    }
    return r->bad ? -EBADMSG : 0;
}

int get_cgroups(struct reader *r, struct counting *c, const struct translation *names) {
    enum cgroup_figure counters[2 * CGROUP_COUNTERS];
    size_t counter_count;
    if (get_number(r) != CGROUP_PARTS)
        return -EBADMSG;
    int e = get_cgroup_counters(r, counters, sizeof(counters) / sizeof(counters[0]),
                                 &counter_count);
    const uint64_t count = e == 0 ? get_number(r) : 0;
    for (uint64_t i = 0; e == 0 && !r->bad && i < count; i++)
        e = get_cgroup(r, c, names, counters, counter_count);
    return e;
}
