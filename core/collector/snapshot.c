/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "collector/snapshot.h"

#include "source/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct snapshot_words *words_unref(struct snapshot_words *w) {
    if (w && atomic_fetch_sub_explicit(&w->references, 1, memory_order_acq_rel) == 1) {
        free(w->prefix);
        free(w->self_prefix);
        free(w->measurement);
        free(w->procfs);
        string_list_free(&w->labels);
        free(w);
    }
    return NULL;
}

int snapshots_init(struct snapshots *s, const struct settings *settings) {
    struct snapshot_words *w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    atomic_init(&w->references, 1);
    w->schema = settings->schema;
    w->prefix = strdup(settings->prefix);
    w->self_prefix = strdup(settings->self_prefix);
    w->measurement = strdup(settings->measurement);
    w->procfs = strdup(settings->procfs);
    if (!w->prefix || !w->self_prefix || !w->measurement || !w->procfs ||
        string_list_copy(&w->labels, &settings->labels) < 0) {
        words_unref(w);
        return -ENOMEM;
    }
    *s = (struct snapshots){.words = w};
    return 0;
}

static void snapshot_free(tally_snapshot *s) {
    for (size_t i = 0; i < s->group_size; i++)
        group_texts_unref(s->groups[i].texts);
    free(s->groups);
    free(s->parts);
    free(s->processes);
    free(s->ended);
    buf_free(&s->texts);
    words_unref(s->words);
    free(s);
}

const tally_snapshot *tally_snapshot_ref(const tally_snapshot *s) {
    tally_snapshot *counted = (tally_snapshot *)(uintptr_t)s;
    atomic_fetch_add_explicit(&counted->references, 1, memory_order_relaxed);
    return s;
}

const tally_snapshot *tally_snapshot_unref(const tally_snapshot *s) {
    tally_snapshot *counted = (tally_snapshot *)(uintptr_t)s;
    if (s && atomic_fetch_sub_explicit(&counted->references, 1, memory_order_acq_rel) == 1)
        snapshot_free(counted);
    return NULL;
}

void snapshots_clear(struct snapshots *s) {
    tally_snapshot_unref(s->current);
    tally_snapshot_unref(s->spare);
    tally_snapshot_unref(s->inherited);
    words_unref(s->words);
    *s = (struct snapshots){0};
}

int snapshots_begin(struct snapshots *s, tally_snapshot **ret) {
    /* acquire: whoever held it has read all that is now to be written over */
    if (s->spare && atomic_load_explicit(&s->spare->references, memory_order_acquire) > 1) {
        tally_snapshot_unref(s->spare);
        s->spare = NULL;
    }
    if (!s->spare) {
        tally_snapshot *fresh = calloc(1, sizeof(*fresh));
        if (!fresh)
            return -ENOMEM;
        atomic_init(&fresh->references, 1);
        atomic_fetch_add_explicit(&s->words->references, 1, memory_order_relaxed);
        fresh->words = s->words;
        buf_init(&fresh->texts, (size_t)1 << 30);
        s->spare = fresh;
    }
    s->spare->process_count = s->spare->ended_count = 0;
    buf_reset(&s->spare->texts);
    *ret = s->spare;
    return 0;
}

void snapshots_publish(struct snapshots *s, tally_snapshot *snapshot) {
    s->spare = s->current;
    s->current = snapshot;
    s->inherited = tally_snapshot_unref(s->inherited);
}

void snapshots_inherit(struct snapshots *s, const struct snapshots *from) {
    const tally_snapshot *before = snapshots_before(from);
    s->inherited = before ? tally_snapshot_ref(before) : NULL;
}

static int reserve_parts(tally_snapshot *s, size_t more) {
    if (s->part_count + more <= s->part_size)
        return 0;
    const size_t size = s->part_size * 2 + more;
    struct snapshot_part *parts = realloc(s->parts, size * sizeof(*parts));
    if (!parts)
        return -ENOMEM;
    s->parts = parts;
    s->part_size = size;
    return 0;
}

static int add_thread_names(tally_snapshot *s, struct snapshot_group *to, enum part_kind kind,
                            const struct thread_names *names, unsigned shown) {
    const enum metric first = part_table[kind].first, last = part_table[kind].last;
    const size_t count = names && shown & ((2u << (last - first)) - 1) ? names->order_count : 0;
    to->parts[kind].first = s->part_count;
    to->parts[kind].count = count;
    int r = reserve_parts(s, count);
    for (size_t i = 0; r == 0 && i < count; i++) {
        const struct thread_name *name = &names->items[names->order[i]];
        struct snapshot_part *part = &s->parts[s->part_count++];
        memcpy(part->name, name->text, sizeof(part->name));
        part->known = 0;
        for (enum metric m = first; m <= last; m++)
            if (shown >> (m - first) & 1 &&
                thread_name_value(names, name, m, &part->value[m - first]))
                part->known |= 1u << (m - first);
    }
    return r;
}

int snapshot_set_groups(tally_snapshot *s, const struct tallies *tallies) {
    s->part_count = 0;
    const size_t count = tallies->order_count;
    if (count > s->group_size) {
        size_t size = s->group_size ? s->group_size : 64;
        while (size < count)
            size *= 2;
        struct snapshot_group *groups = realloc(s->groups, size * sizeof(*groups));
        if (!groups)
            return -ENOMEM;
        memset(groups + s->group_size, 0, (size - s->group_size) * sizeof(*groups));
        s->groups = groups;
        s->group_size = size;
    }
    s->known = 0;
    for (size_t i = 0; i < count; i++) {
        struct snapshot_group *to = &s->groups[i];
        const struct group *from = tallies->order[i];
        if (to->texts != from->texts) { /* they are the same in most collections */
            group_texts_unref(to->texts);
            to->texts = group_texts_ref(from->texts);
        }
        to->known = from->known;
        s->known |= from->known;
        memcpy(to->value, from->value, sizeof(to->value));
        if (tallies->threads.is_on) {
            const struct thread_names *names = from->thread_names;
            int r = add_thread_names(s, to, PART_THREAD_NAME, names, tallies->threads.shown);
            if (r == 0)
                r = add_thread_names(s, to, PART_WAIT_CHANNEL, names ? names->channels : NULL,
                                     tallies->threads.shown / CHANNELS_SHOWN);
            if (r < 0)
                return r;
        }
    }
    /* those that are shown no more are not to be kept by what is not read */
    for (size_t i = count; i < s->group_count; i++)
        s->groups[i].texts = group_texts_unref(s->groups[i].texts);
    s->group_count = count;
    return 0;
}

void snapshot_set_self(tally_snapshot *s, const struct self_values *self, uint64_t unsent) {
    memcpy(s->self_known, self->known, sizeof(s->self_known));
    for (size_t i = 0; unsent && i < SELF_METRICS; i++)
        s->self_known[i] &= !(unsent >> i & 1);
    for (size_t i = 0; i < SELF_METRICS; i++)
        s->self_value[i] = self->now[i] + self->before[i];
}

static struct snapshot_process *add(struct snapshot_process **items, size_t *count, size_t *size) {
    if (*count == *size) {
        const size_t more = *size ? *size * 2 : 256;
        struct snapshot_process *grown = realloc(*items, more * sizeof(*grown));
        if (!grown)
            return NULL;
        *items = grown;
        *size = more;
    }
    return &(*items)[(*count)++];
}

struct snapshot_process *snapshot_add_process(tally_snapshot *s) {
    return add(&s->processes, &s->process_count, &s->process_size);
}

struct snapshot_process *snapshot_add_ended(tally_snapshot *s) {
    return add(&s->ended, &s->ended_count, &s->ended_size);
}

/* ---- Reading ------------------------------------------------------------------------ */

uint64_t tally_snapshot_time(const tally_snapshot *s) {
    return s->time_ns;
}

uint64_t tally_snapshot_interval(const tally_snapshot *s) {
    return s->interval_ns;
}

const char *tally_snapshot_measurement(const tally_snapshot *s) {
    return s->words->measurement;
}

size_t tally_snapshot_groups(const tally_snapshot *s) {
    return s->group_count;
}

const char *tally_snapshot_group_name(const tally_snapshot *s, size_t group) {
    return s->groups[group].texts->name;
}

bool tally_snapshot_label(const tally_snapshot *s, size_t group, size_t i, const char **ret_key,
                          const char **ret_value) {
    const struct group_texts *texts = s->groups[group].texts;
    if (i >= texts->label_count)
        return false;
    *ret_key = texts->labels[i].key;
    *ret_value = texts->labels[i].value;
    return true;
}

bool tally_snapshot_value(const tally_snapshot *s, size_t group, size_t metric,
                          uint64_t *ret_value) {
    uint64_t value;
    if (!snapshot_value(s, group, metric, &value))
        return false;
    *ret_value = value;
    return true;
}

static const struct snapshot_part *part_at(const tally_snapshot *s, size_t group,
                                           enum tally_scope scope, size_t i, enum part_kind *ret_kind) {
    for (enum part_kind kind = 0; kind < PARTS; kind++)
        if (part_table[kind].scope == scope) {
            *ret_kind = kind;
            return snapshot_part(s, group, kind, i);
        }
    return NULL;
}

size_t tally_snapshot_parts(const tally_snapshot *s, size_t group, enum tally_scope scope) {
    for (enum part_kind kind = 0; kind < PARTS; kind++)
        if (part_table[kind].scope == scope)
            return s->groups[group].parts[kind].count;
    return 0;
}

const char *tally_snapshot_part_name(const tally_snapshot *s, size_t group,
                                     enum tally_scope scope, size_t i) {
    enum part_kind kind;
    const struct snapshot_part *part = part_at(s, group, scope, i, &kind);
    return part ? part->name : NULL;
}

bool tally_snapshot_part_value(const tally_snapshot *s, size_t group, size_t i, size_t metric,
                               uint64_t *ret_value) {
    enum part_kind kind;
    uint64_t value;
    if (metric >= METRICS_IN_ALL)
        return false;
    const struct snapshot_part *part =
        part_at(s, group, metric_table[metric].metric.scope, i, &kind);
    if (!part || !snapshot_part_value(part, kind, metric, &value))
        return false;
    *ret_value = value;
    return true;
}

size_t tally_snapshot_processes(const tally_snapshot *s) {
    return s->process_count;
}

size_t tally_snapshot_ended(const tally_snapshot *s) {
    return s->ended_count;
}

static const struct snapshot_process *process_at(const tally_snapshot *s, size_t i) {
    return i < s->process_count ? &s->processes[i] : &s->ended[i - s->process_count];
}

const struct tally_process *tally_snapshot_process(const tally_snapshot *s, size_t i) {
    return &process_at(s, i)->shown;
}

bool tally_snapshot_process_value(const tally_snapshot *s, size_t i, size_t metric,
                                  uint64_t *ret_value) {
    const struct snapshot_process *p = process_at(s, i);
    if (metric >= METRICS_OF_GROUP || !(p->known & METRIC_SET(metric)))
        return false;
    *ret_value = p->value[metric];
    return true;
}

ssize_t tally_snapshot_process_text(const tally_snapshot *s, size_t i,
                                    enum tally_process_text which, char *to, size_t size) {
    const struct snapshot_process *p = process_at(s, i);
    if (which == TALLY_PROCESS_CMDLINE && p->cmdline != NO_TEXT) {
        const size_t len = p->cmdline_len < size ? p->cmdline_len : size;
        memcpy(to, s->texts.data + p->cmdline, len);
        return (ssize_t)len;
    }
    return source_process_text(&io_kernel, s->words->procfs, (uint32_t)p->shown.pid,
                               p->start_ticks, p->inode, which, to, size);
}
