/* SPDX-License-Identifier: MIT */
#include "count/proctable.h"

#include <stdlib.h>
#include <string.h>

void proctable_init(struct proctable *t) {
    *t = (struct proctable){.free = NO_PROCESS};
}

void proctable_clear(struct proctable *t) {
    for (process_id id = proctable_next(t, 0); id != NO_PROCESS; id = proctable_next(t, id + 1))
        free(proctable_at(t, id)->pending);
    for (size_t i = 0; i < t->chunk_count; i++) {
        free(t->chunks[i]);
        if (t->keeps_details)
            free(t->details[i]);
        if (t->keeps_darwin_fields)
            free(t->darwin[i]);
    }
    free(t->chunks);
    free(t->details);
    free(t->darwin);
    free(t->buckets);
    proctable_init(t);
}

static struct process_details *details_at(const struct proctable *t, process_id id) {
    return &t->details[id >> CHUNK_BITS][id & (CHUNK_RECORDS - 1)];
}

process_id proctable_find(const struct proctable *t, uint32_t pid) {
    if (t->bucket_count == 0)
        return NO_PROCESS;
    process_id id = t->buckets[proctable_bucket(t, pid)];
    while (id != NO_PROCESS && proctable_at(t, id)->pid != pid)
        id = proctable_at(t, id)->next;
    return id;
}

process_id proctable_find_parent(const struct proctable *t, uint32_t ppid, uint64_t start_ticks) {
    process_id id = proctable_find(t, ppid);
    while (id != NO_PROCESS && (proctable_at(t, id)->pid != ppid ||
                                proctable_at(t, id)->start_ticks > start_ticks))
        id = proctable_at(t, id)->next;
    return id;
}

process_id proctable_find_incarnation(const struct proctable *t, uint32_t pid,
                                      uint64_t start_ticks) {
    /* another one may have had that number, or may have it now */
    process_id id = proctable_find_parent(t, pid, start_ticks);
    if (id != NO_PROCESS &&
        (proctable_at(t, id)->start_ticks != start_ticks || proctable_at(t, id)->ended))
        return NO_PROCESS;
    return id;
}

process_id proctable_find_known(const struct proctable *t, uint32_t pid, uint64_t start_ticks) {
    process_id id = proctable_find_parent(t, pid, start_ticks);
    return id != NO_PROCESS && proctable_at(t, id)->start_ticks == start_ticks ? id : NO_PROCESS;
}

static int grow_buckets(struct proctable *t) {
    size_t count = t->bucket_count ? t->bucket_count * 2 : 1024;
    process_id *buckets = malloc(count * sizeof(*buckets));
    if (!buckets)
        return -1;
    memset(buckets, 0xff, count * sizeof(*buckets)); /* NO_PROCESS */
    process_id *old = t->buckets;
    size_t old_count = t->bucket_count;
    t->buckets = buckets;
    t->bucket_count = count;
    for (size_t b = 0; b < old_count; b++) {
        /* keep the order of a chain: a newer incarnation stands before an older */
        process_id chain[2] = {NO_PROCESS, NO_PROCESS}, *tail[2] = {&chain[0], &chain[1]};
        for (process_id id = old[b]; id != NO_PROCESS;) {
            struct process *p = proctable_at(t, id);
            process_id next = p->next;
            size_t side = proctable_bucket(t, p->pid) >= old_count;
            *tail[side] = id;
            p->next = NO_PROCESS;
            tail[side] = &p->next;
            id = next;
        }
        buckets[b] = chain[0];
        buckets[b + old_count] = chain[1];
    }
    free(old);
    return 0;
}

/* Of the chunk that is about to be added. */
static int add_details(struct proctable *t) {
    struct process_details **details =
        realloc(t->details, (t->chunk_count + 1) * sizeof(*details));
    if (!details)
        return -1;
    t->details = details;
    details[t->chunk_count] = calloc(CHUNK_RECORDS, sizeof(**details));
    return details[t->chunk_count] ? 0 : -1;
}

static int add_darwin(struct proctable *t) {
    struct process_darwin **darwin = realloc(t->darwin, (t->chunk_count + 1) * sizeof(*darwin));
    if (!darwin)
        return -1;
    t->darwin = darwin;
    darwin[t->chunk_count] = calloc(CHUNK_RECORDS, sizeof(**darwin));
    return darwin[t->chunk_count] ? 0 : -1;
}

static int add_chunk(struct proctable *t) {
    struct process **chunks = realloc(t->chunks, (t->chunk_count + 1) * sizeof(*chunks));
    if (!chunks)
        return -1;
    t->chunks = chunks;
    if (t->keeps_details && add_details(t) < 0)
        return -1;
    if (t->keeps_darwin_fields && add_darwin(t) < 0)
        goto no_darwin;
    chunks[t->chunk_count] = calloc(CHUNK_RECORDS, sizeof(**chunks));
    if (!chunks[t->chunk_count])
        goto no_records;
    t->chunk_count++;
    return 0;

no_records:
    if (t->keeps_darwin_fields)
        free(t->darwin[t->chunk_count]);
no_darwin:
    if (t->keeps_details)
        free(t->details[t->chunk_count]);
    return -1;
}

process_id proctable_add(struct proctable *t, uint32_t pid) {
    if (t->count >= t->bucket_count && grow_buckets(t) < 0 && t->bucket_count == 0)
        return NO_PROCESS;
    process_id id = t->free;
    if (id != NO_PROCESS) {
        t->free = proctable_at(t, id)->next;
    } else {
        if (t->end == t->chunk_count * CHUNK_RECORDS && add_chunk(t) < 0)
            return NO_PROCESS;
        id = (process_id)t->end++;
    }
    if (t->keeps_details)
        details_at(t, id)->have = 0;
    struct process *p = proctable_at(t, id);
    size_t b = proctable_bucket(t, pid);
    *p = (struct process){.pid = pid, .used = true, .next = t->buckets[b]};
    t->buckets[b] = id;
    t->count++;
    return id;
}

void proctable_remove(struct proctable *t, process_id id) {
    struct process *p = proctable_at(t, id);
    process_id *link = &t->buckets[proctable_bucket(t, p->pid)];
    while (*link != id)
        link = &proctable_at(t, *link)->next;
    *link = p->next;
    free(p->pending);
    *p = (struct process){.next = t->free};
    t->free = id;
    t->count--;
}

process_id proctable_next(const struct proctable *t, process_id from) {
    for (size_t id = from; id < t->end; id++)
        if (proctable_at(t, (process_id)id)->used)
            return (process_id)id;
    return NO_PROCESS;
}

void process_remember_memory(struct process *p, const struct sample *s, uint32_t now_s) {
    for (enum field f = FIELD_CACHED_FIRST; f < FIELD_CACHED_END; f++)
        p->gauge[f - FIELD_CACHED_FIRST] = s->value[f];
    p->known = s->have & (BIT(FIELD_CACHED_END) - 1);
    p->unreadable = (uint8_t)s->unreadable;
    p->measured_s = now_s;
}

void process_remember(struct process *p, const struct sample *s, uint64_t marker, uint32_t now_s) {
    p->adopted |= p->orphan || (p->measured_s && p->ppid != s->ppid);
    p->ppid = s->ppid;
    p->orphan = false;
    p->threads = (uint32_t)s->value[FIELD_THREADS];
    p->counts_threads = s->have & BIT(FIELD_THREADS_RUNNING);
    p->state = s->state;
    p->priority = (int16_t)s->value[FIELD_PRIORITY];
    p->nice = (int8_t)s->value[FIELD_NICE];
    p->ignores_children = s->ignores_children;
    p->asleep = s->activity && s->activity == p->activity && s->state != 'R' && !p->unsure &&
                p->unclear_s == 0;
    p->activity = s->activity;
    p->marker = marker;
    process_remember_memory(p, s, now_s);
    if (s->have & BIT(FIELD_FD_LIMIT)) {
        p->fd_limit = s->value[FIELD_FD_LIMIT];
        p->fd_limit_s = now_s;
    }
}

void process_recall_gauges(const struct process *p, struct sample *ret) {
    ret->state = p->state;
    ret->unreadable = p->unreadable;
    ret->have = p->known;
    for (enum field f = FIELD_CACHED_FIRST; f < FIELD_CACHED_END; f++)
        ret->value[f] = p->gauge[f - FIELD_CACHED_FIRST];
    sample_set(ret, FIELD_THREADS, p->threads);
    sample_set(ret, FIELD_PRIORITY, (uint64_t)p->priority);
    sample_set(ret, FIELD_NICE, (uint64_t)p->nice);
    if (p->counts_threads)
        sample_set(ret, FIELD_THREADS_RUNNING, 0);
    if (p->fd_limit_s)
        sample_set(ret, FIELD_FD_LIMIT, p->fd_limit);
}

void process_recall(const struct process *p, struct sample *ret) {
    *ret = (struct sample){.pid = p->pid, .ppid = p->ppid, .start_ticks = p->start_ticks};
    process_recall_gauges(p, ret);
    /* others come from a source that never finds anybody asleep */
    for (enum field f = 0; f < FIELD_FOLDED_END; f++)
        ret->value[f] = p->last[f];
}

#define DETAILS (BIT(FIELDS) - BIT(FIELD_DETAIL_FIRST))

void proctable_remember_details(struct proctable *t, process_id id, const struct sample *s) {
    struct process_details *d = details_at(t, id);
    d->have = s->have & DETAILS;
    memcpy(d->value, &s->value[FIELD_DETAIL_FIRST], sizeof(d->value));
}

void proctable_recall_details(const struct proctable *t, process_id id, struct sample *s) {
    const struct process_details *d = details_at(t, id);
    s->have |= d->have;
    memcpy(&s->value[FIELD_DETAIL_FIRST], d->value, sizeof(d->value));
}
