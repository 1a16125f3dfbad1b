/* SPDX-License-Identifier: MIT */
#include "count/cgroup_table.h"

#include "count/top.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#undef uthash_nonfatal_oom
#define uthash_nonfatal_oom(entry) ((entry)->hashed = false)

void cgroup_table_init(struct cgroup_table *t, size_t limit) {
    *t = (struct cgroup_table){.limit = limit, .end = NO_CGROUP + 1};
}

void cgroup_table_clear(struct cgroup_table *t) {
    HASH_CLEAR(hh, t->by_path);
    for (size_t i = NO_CGROUP + 1; i < t->end; i++)
        free(t->records[i]);
    free(t->records);
    *t = (struct cgroup_table){0};
}

static struct cgroup_record *find(const struct cgroup_table *t, const char *path, size_t len) {
    struct cgroup_record *r;
    HASH_FIND(hh, t->by_path, path, len, r);
    return r;
}

/* -ENOMEM. */
static int add_slot(struct cgroup_table *t, uint32_t *ret_index) {
    size_t index = NO_CGROUP + 1;
    while (index < t->end && t->records[index])
        index++;
    if (index >= t->size) {
        size_t size = t->size ? t->size * 2 : 64;
        struct cgroup_record **records = realloc(t->records, size * sizeof(*records));
        if (!records)
            return -ENOMEM;
        records[NO_CGROUP] = NULL;
        t->records = records;
        t->size = size;
    }
    if (index == t->end)
        t->records[t->end++] = NULL;
    *ret_index = (uint32_t)index;
    return 0;
}

int cgroup_table_find(struct cgroup_table *t, struct text path, uint32_t *ret_index) {
    uint32_t index;
    struct cgroup_record *r = path.len ? find(t, path.at, path.len) : NULL;
    if (r || path.len == 0 || t->count >= t->limit) {
        *ret_index = r ? r->index : path.len ? CGROUP_NOT_KEPT : NO_CGROUP;
        return 0;
    }
    r = calloc(1, sizeof(*r) + path.len);
    int e = r ? add_slot(t, &index) : -ENOMEM;
    if (e < 0) {
        free(r);
        return e;
    }
    r->index = index;
    r->path_len = path.len;
    memcpy(r->path, path.at, path.len);
    r->hashed = true;
    HASH_ADD_KEYPTR(hh, t->by_path, r->path, r->path_len, r);
    if (!r->hashed) {
        free(r);
        return -ENOMEM;
    }
    t->records[index] = r;
    t->count++;
    *ret_index = index;
    return 0;
}

void cgroup_table_remove(struct cgroup_table *t, uint32_t index) {
    struct cgroup_record *r = t->records[index];
    HASH_DEL(t->by_path, r);
    free(r);
    t->records[index] = NULL;
    t->count--;
}

bool cgroup_table_is_covered(const struct cgroup_table *t, const struct tallies *tallies,
                             const struct cgroup_record *r, bool increase) {
    const struct group *shown_by = top_shows(tallies, r->group, increase);
    for (size_t len = r->path_len - 1; len > 0; len--) {
        if (r->path[len] != '/')
            continue;
        const struct cgroup_record *above = find(t, r->path, len);
        if (above && above->group != GROUP_LEFT_OUT && !above->is_gone &&
            top_shows(tallies, above->group, increase) == shown_by)
            return true;
    }
    return false;
}

void cgroup_table_forget_groups(struct cgroup_table *t, const struct tallies *tallies) {
    for (size_t i = NO_CGROUP + 1; i < t->end; i++)
        if (t->records[i] && !tallies->groups[t->records[i]->group]) {
            t->records[i]->group = GROUP_LEFT_OUT;
            t->records[i]->was_read = false; /* what comes next is no other group's */
        }
}

/* ---- Figures ------------------------------------------------------------------------------- */

/* What a counter went up by since it was read last. */
static uint64_t increase(const struct cgroup_record *r, const struct cgroup_figures *figures,
                         enum cgroup_figure f, const struct cgroup_first_sight *first) {
    const enum cgroup_part part = cgroup_part_of(f);
    const uint64_t now = figures->value[f];
    if (!r->was_read) {
        const bool is_new = first->since_unix_ns && r->is_young &&
                            figures->made_unix_ns[part] >= first->since_unix_ns;
        return first->counts_all || is_new ? now : 0;
    }
    /* removed and made again: it was there when it was read last, so that all of this is new */
    if (figures->inode[part] != r->inode[part])
        return r->inode[part] ? now : 0;
    if (!(r->have & 1u << f))
        return 0; /* it could not be read before */
    return now >= r->last[f] ? now - r->last[f] : now;
}

static enum metric metric_of(enum cgroup_figure f) {
    return METRIC_CGROUP_FIRST + (enum metric)f;
}

static void add(struct group *g, enum cgroup_figure f, uint64_t value) {
    g->value[metric_of(f)] += value;
    g->have |= METRIC_SET(metric_of(f));
}

void cgroup_credit(struct cgroup_record *r, const struct cgroup_figures *figures,
                   const struct cgroup_first_sight *first, bool counts, bool shows,
                   struct tallies *tallies) {
    struct group *counted_by = top_shows(tallies, r->group, true);
    struct group *shown_by = top_shows(tallies, r->group, false);
    for (enum cgroup_figure f = 0; f < CGROUP_COUNTERS; f++) {
        const enum cgroup_part part = cgroup_part_of(f);
        if (figures->have & 1u << f) {
            if (counts)
                add(counted_by, f, increase(r, figures, f, first));
            if (shows)
                add(shown_by, f, 0); /* it is known there */
            r->last[f] = figures->value[f];
            r->have |= 1u << f;
        } else if (figures->inode[part] && figures->inode[part] != r->inode[part]) {
            r->have &= ~(1u << f); /* that was the one before */
        }
    }
    for (enum cgroup_part part = 0; part < CGROUP_PARTS; part++)
        if (figures->inode[part])
            r->inode[part] = figures->inode[part];
    r->was_read = true;
    if (!shows || shown_by->cgroups == CGROUPS_TOO_MANY)
        return;
    const bool has_one = shown_by->cgroups == 1 && shown_by->index == r->group;
    const enum cgroup_figure end = has_one ? CGROUP_FIGURES : CGROUP_SUMS_END;
    for (enum cgroup_figure f = CGROUP_COUNTERS; f < end; f++)
        if (figures->have & 1u << f)
            add(shown_by, f, figures->value[f]);
}
