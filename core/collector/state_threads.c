/* SPDX-License-Identifier: MIT */
/*
 * Threads by name: the names of each group, then the threads of each process. What they were
 * called, as a hash, is not kept: after a restart each is looked up by its name once, as there
 * may be other rules for names, and room for more of them or for fewer.
 */
#include "collector/state_parts.h"

#include <errno.h>
#include <stdlib.h>

/* Free slots are left out: what was read is written the same again. */
static void put_thread_names(struct buf *to, struct thread_names *names, bool has_top) {
    uint32_t number = 0;
    put_number(to, names->count + (names->other != NO_NAME));
    for (size_t i = 0; i < names->end; i++) {
        struct thread_name *name = &names->items[i];
        if (!name->text[0])
            continue;
        name->written_as = number++;
        put_text(to, name->text);
        put_number(to, name->known);
        put_number(to, name->emptied_ns);
        for (size_t f = 0; f < THREAD_FIELDS; f++)
            put_number(to, name->used[f]);
        for (size_t f = 0; has_top && f < THREAD_FIELDS; f++)
            put_number(to, name->used[f] - name->shown[f]);
    }
}

enum { WHOLE = 1, BEHIND = 2, HAS_OTHERS = 4 };

static void put_thread_list(struct buf *to, const struct tallies *t, const struct process *p) {
    const struct thread_list *list = p->thread_list;
    put_number(to, p->pid);
    put_number(to, p->start_ticks);
    put_group_number(to, t, p->group);
    put_number(to, list->began_ticks);
    put_number(to, list->read_s);
    put_number(to, (list->whole ? WHOLE : 0) | (list->behind ? BEHIND : 0) |
                       (list->has_others ? HAS_OTHERS : 0));
    put_number(to, list->count);
    for (size_t i = 0; i < list->count; i++) {
        const struct thread *thread = &list->items[i];
        put_number(to, thread->tid);
        put_number(to, thread->start_ticks);
        put_number(to, thread->name == NO_NAME
                           ? 0
                           : list->names->items[thread->name].written_as + UINT64_C(1));
        put_number(to, thread->have);
        for (size_t f = 0; f < THREAD_FIELDS; f++)
            if (thread->have & 1u << f)
                put_number(to, thread->last[f]);
    }
}

/* A list that is of another group's names by now is not kept: they are begun anew then. */
static bool is_kept_list(const struct counting *c, const struct process *p) {
    return !p->ended && p->thread_list && p->thread_list->names &&
           c->tallies.groups[p->group]->thread_names == p->thread_list->names;
}

void put_threads(struct buf *to, const struct counting *c) {
    const struct tallies *tallies = &c->tallies;
    size_t groups = 0, lists = 0;
    const bool has_top = tallies->top_by != TOP_BY_NONE;
    put_number(to, has_top ? THREAD_NUMBERS_MOST : THREAD_FIELDS);
    for (size_t f = 0; f < THREAD_FIELDS; f++)
        put_text(to, metric_table[METRIC_THREAD_CPU_USER + f].metric.id);
    for (size_t f = 0; has_top && f < THREAD_FIELDS; f++)
        put_unshown_id(to, metric_table[METRIC_THREAD_CPU_USER + f].metric.id);
    for (size_t i = 0; i < tallies->end; i++)
        groups += tallies->groups[i] && tallies->groups[i]->thread_names;
    put_number(to, groups);
    for (size_t i = 0; i < tallies->end; i++)
        if (tallies->groups[i] && tallies->groups[i]->thread_names) {
            put_group_number(to, tallies, (uint32_t)i);
            put_thread_names(to, tallies->groups[i]->thread_names, has_top);
        }
    for (process_id id = proctable_next(&c->table, 0); id != NO_PROCESS;
         id = proctable_next(&c->table, id + 1))
        lists += is_kept_list(c, proctable_at(&c->table, id));
    put_number(to, lists);
    for (process_id id = proctable_next(&c->table, 0); id != NO_PROCESS;
         id = proctable_next(&c->table, id + 1))
        if (is_kept_list(c, proctable_at(&c->table, id)))
            put_thread_list(to, tallies, proctable_at(&c->table, id));
}

static int get_thread_name(struct reader *r, struct thread_names *to,
                           const struct thread_counting *counting,
                           const struct translation *names, uint32_t *ret_slot) {
    const struct text text = get_text(r);
    const unsigned known = get_number32(r);
    const uint64_t emptied_ns = get_number(r);
    uint64_t used[THREAD_FIELDS] = {0}, unshown[THREAD_FIELDS] = {0};
    unsigned have = 0;
    for (size_t i = 0; i < names->thread_field_count; i++) {
        const uint64_t value = get_number(r);
        const struct thread_place place = names->thread_places[i];
        if (place.field == THREAD_FIELDS)
            continue;
        (place.is_unshown ? unshown : used)[place.field] = value;
        have |= (known >> i & 1) << place.field;
    }
    *ret_slot = NO_NAME;
    if (r->bad || text.len == 0)
        return r->bad ? -EBADMSG : 0;
    int e = thread_names_find(to, counting, text.at, text.len, ret_slot);
    if (e < 0)
        return e;
    struct thread_name *name = &to->items[*ret_slot];
    name->known |= have;
    name->emptied_ns = emptied_ns;
    for (size_t f = 0; f < THREAD_FIELDS; f++) { /* several of the file may have become `other` */
        name->used[f] += used[f];
        name->shown[f] += used[f] - unshown[f];
    }
    return 0;
}

static int get_thread_names(struct reader *r, struct counting *c, struct translation *names) {
    const uint32_t number = get_number32(r);
    const uint64_t count = get_number(r);
    /* each takes more than a byte of the file */
    if (r->bad || number >= names->group_count || names->groups[number] == UINT32_MAX ||
        names->groups[number] == GROUP_LEFT_OUT || count > (uint64_t)(r->end - r->at) ||
        names->thread_groups[number].slots)
        return -EBADMSG;
    struct thread_slots *group = &names->thread_groups[number];
    struct thread_names *to = tallies_thread_names(&c->tallies, names->groups[number]);
    group->slots = calloc(count + 1, sizeof(*group->slots));
    if (!to || !group->slots)
        return -ENOMEM;
    for (; group->count < count; group->count++) {
        int e = get_thread_name(r, to, &c->tallies.threads, names, &group->slots[group->count]);
        if (e < 0)
            return e;
    }
    return 0;
}

static int get_thread(struct reader *r, struct counting *c, struct thread_list *list,
                      const struct thread_slots *group, const struct translation *names) {
    struct thread thread = {.tid = get_number32(r)};
    thread.start_ticks = get_number(r);
    const uint64_t name = get_number(r);
    const uint32_t have = get_number32(r);
    for (size_t i = 0; i < names->thread_field_count; i++)
        if (have >> i & 1) {
            const uint64_t value = get_number(r);
            const enum thread_field f = names->thread_places[i].field;
            if (f == THREAD_FIELDS)
                continue;
            thread.last[f] = value;
            thread.have |= (uint8_t)(1u << f);
        }
    if (r->bad || name > group->count || (name && group->slots[name - 1] == NO_NAME))
        return -EBADMSG;
    if (!names->same_source) /* which may know more of it, or less */
        thread.have = 0;
    thread.name = name ? group->slots[name - 1] : NO_NAME;
    return thread_list_restore(list, &c->tallies.threads, &thread);
}

static int get_thread_list(struct reader *r, struct counting *c, const struct translation *names) {
    const uint32_t pid = get_number32(r);
    const uint64_t start_ticks = get_number(r);
    const uint32_t number = get_number32(r);
    process_id id = r->bad ? NO_PROCESS
                           : proctable_find_incarnation(&c->table, pid, start_ticks);
    if (id == NO_PROCESS || number >= names->group_count || !names->thread_groups[number].slots)
        return -EBADMSG;
    struct process *p = proctable_at(&c->table, id);
    if (p->thread_list || p->group != names->groups[number])
        return -EBADMSG;
    struct thread_list *list = p->thread_list = thread_list_new();
    if (!list)
        return -ENOMEM;
    list->names = thread_names_ref(c->tallies.groups[p->group]->thread_names);
    p->threads_unseen = false;
    list->began_ticks = list->known_ticks = get_number(r);
    list->read_s = get_number32(r);
    const uint64_t flags = get_number(r), count = get_number(r);
    list->whole = flags & WHOLE;
    list->behind = flags & BEHIND;
    list->has_others = flags & HAS_OTHERS;
    for (uint64_t i = 0; !r->bad && i < count; i++) {
        int e = get_thread(r, c, list, &names->thread_groups[number], names);
        if (e < 0)
            return e;
    }
    return r->bad ? -EBADMSG : 0;
}

int get_threads(struct reader *r, struct counting *c, struct translation *names) {
    names->thread_field_count = get_number(r);
    if (r->bad || names->thread_field_count > THREAD_NUMBERS_MOST)
        return -EBADMSG;
    for (size_t i = 0; i < names->thread_field_count; i++) {
        struct text id = get_text(r);
        const bool is_unshown = take_unshown(&id);
        names->thread_places[i] = (struct thread_place){THREAD_FIELDS, is_unshown};
        for (enum thread_field f = 0; f < THREAD_FIELDS; f++)
            if (text_is(id, metric_table[METRIC_THREAD_CPU_USER + (size_t)f].metric.id))
                names->thread_places[i].field = f;
    }
    names->thread_groups = calloc(names->group_count + 1, sizeof(*names->thread_groups));
    if (!names->thread_groups)
        return -ENOMEM;
    int e = 0;
    for (uint64_t count = get_number(r); e == 0 && !r->bad && count > 0; count--)
        e = get_thread_names(r, c, names);
    if (e < 0)
        return e;
    for (uint64_t count = get_number(r); e == 0 && !r->bad && count > 0; count--)
        e = get_thread_list(r, c, names);
    return e;
}

void forget_threads(struct counting *c) {
    for (process_id id = proctable_next(&c->table, 0); id != NO_PROCESS;
         id = proctable_next(&c->table, id + 1))
        proctable_at(&c->table, id)->threads_unseen = true;
}
