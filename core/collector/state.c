/* SPDX-License-Identifier: MIT */
/*
 * Layout: the line "proctally state 2", then a sequence of numbers and texts,
 * then eight bytes of checksum over all before. Numbers are in base 128, low
 * part first, the high bit of a byte saying that more follow; a text is its
 * length and its bytes. Nothing in it depends on the machine. Figures of
 * control groups, and threads by name, come last, if they are counted. Version 1 (proctally
 * 0.1.0), which lacks what was not shown yet, is read too.
 */
#include "collector/state.h"
#include "collector/state_parts.h"

#include "base/hash.h"

#include "settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char magic[] = "proctally state ";
static const char version[] = "2\n";
#define HEADER_LEN (sizeof(magic) - 1 + sizeof(version) - 1)
#define CHECKSUM_LEN 8

/* ---- Writing --------------------------------------------------------------------- */

/* Those that some group has: the others need not be written. */
static metric_set counters_in_use(const struct tallies *t) {
    metric_set used = 0;
    for (size_t i = 0; i < t->end; i++) {
        const struct group *g = t->groups[i];
        if (!g)
            continue;
        used |= g->have;
        for (size_t m = 0; m < METRICS_OF_GROUP; m++)
            if (g->value[m])
                used |= METRIC_SET(m);
    }
    return used & t->counters;
}

/* With a top a group has more numbers, which look like counters: who does not know them
 * passes over them. */
static const char standing_id[] = "top standing", score_id[] = "top score";
enum { STANDING_KNOWN = 1, STANDING_HIDDEN = 2 };

static void put_counter_ids(struct buf *to, const struct tallies *t, metric_set counters) {
    size_t count = 0;
    for (size_t m = 0; m < METRICS_OF_GROUP; m++)
        count += (counters & METRIC_SET(m)) != 0;
    put_number(to, t->top_by == TOP_BY_NONE ? count : 2 * count + 2);
    for (size_t m = 0; m < METRICS_OF_GROUP; m++)
        if (counters & METRIC_SET(m))
            put_text(to, metric_table[m].metric.id);
    if (t->top_by == TOP_BY_NONE)
        return;
    for (size_t m = 0; m < METRICS_OF_GROUP; m++)
        if (counters & METRIC_SET(m))
            put_unshown_id(to, metric_table[m].metric.id);
    put_text(to, standing_id);
    put_text(to, score_id);
}

static void put_counter(struct buf *to, bool have, uint64_t value) {
    put_number(to, have);
    put_number(to, value);
}

static void put_standing(struct buf *to, const struct group *g, metric_set counters) {
    const struct standing *s = g->standing; /* what is left out has none */
    for (size_t m = 0; m < METRICS_OF_GROUP; m++)
        if (counters & METRIC_SET(m))
            put_counter(to, s != NULL, s ? g->value[m] - s->shown[m] : 0);
    const bool is_known = s && !s->is_new;
    put_counter(to, is_known,
                is_known ? STANDING_KNOWN | (s->is_hidden ? STANDING_HIDDEN : 0) : 0);
    put_counter(to, is_known, is_known ? s->score : 0);
}

static void put_group(struct buf *to, const struct tallies *t, const struct group *g,
                      metric_set counters) {
    put_text(to, g->texts ? g->texts->name : "");
    put_number(to, g->had_members);
    put_number(to, g->owner.pid);
    put_number(to, g->owner.start_ticks);
    put_number(to, g->emptied_ns);
    put_number(to, g->cpu_ns);
    const size_t labels = g->texts ? g->texts->label_count : 0;
    put_number(to, labels);
    for (size_t i = 0; i < labels; i++) {
        put_text(to, g->texts->labels[i].key);
        put_text(to, g->texts->labels[i].value);
    }
    for (size_t m = 0; m < METRICS_OF_GROUP; m++)
        if (counters & METRIC_SET(m))
            put_counter(to, g->have >> m & 1, g->value[m]);
    if (t->top_by != TOP_BY_NONE)
        put_standing(to, g, counters);
}

/* Counters about the collector, but for what is part of the tallies. */
static bool is_self_counter(size_t m) {
    return m >= METRIC_SELF_FIRST && metric_table[m].metric.kind == TALLY_KIND_COUNTER &&
           m != METRIC_SELF_OVERFLOWED;
}

static void put_self(struct buf *to, const struct self_values *self) {
    size_t count = 0;
    for (size_t m = METRIC_SELF_FIRST; m < METRICS; m++)
        count += is_self_counter(m);
    put_number(to, count);
    for (size_t m = METRIC_SELF_FIRST; m < METRICS; m++)
        if (is_self_counter(m)) {
            put_text(to, metric_table[m].metric.id);
            put_number(to, self->now[m - METRIC_SELF_FIRST] + self->before[m - METRIC_SELF_FIRST]);
        }
}

enum {
    FROM_BIRTH = 1,
    IGNORES_CHILDREN = 2,
    HAS_PENDING = 4,
    HAS_VIA_ANCESTOR = 8,
    ORPHAN = 16,
    START_COUNTED = 32, /* or it started before us; since version 2 */
    ADOPTED = 64,
    FOLLOWED = 128,
    HAS_SWAP_PSS = 256,
    HAS_PARENTS = 512
};

/* By what they stand for: the rules of the next run may be others. */
static void put_parents(struct buf *to, const struct progress *progress, uint32_t parents) {
    put_number(to, (uint64_t)__builtin_popcount(parents));
    for (uint32_t i = 0; i < progress->parent_count; i++)
        if (parents >> i & 1)
            put_number(to, progress->parent_keys[i]);
}

static void put_process(struct buf *to, const struct counting *c, process_id id) {
    const struct progress *progress = &c->progress;
    const struct process *p = proctable_at(&c->table, id);
    const bool has_parents = p->inherited_parents | p->lineage_parents;
    put_number(to, p->pid);
    put_number(to, p->ppid);
    put_number(to, p->start_ticks);
    put_number(to, p->exec_marker);
    put_number(to, p->comm_hash);
    put_number(to, p->uid);
    put_group_number(to, &c->tallies, p->group);
    put_group_number(to, &c->tallies, p->inherited);
    put_group_number(to, &c->tallies, p->lineage);
    put_number(to, p->threads);
    put_number(to, (p->from_birth ? FROM_BIRTH : 0) |
                       (p->ignores_children ? IGNORES_CHILDREN : 0) |
                       (p->pending ? HAS_PENDING | HAS_VIA_ANCESTOR : 0) |
                       (p->orphan ? ORPHAN : 0) | (p->adopted ? ADOPTED : 0) |
                       (p->start_counted ? START_COUNTED : 0) | (p->followed ? FOLLOWED : 0) |
                       (p->has_swap_pss ? HAS_SWAP_PSS : 0) | (has_parents ? HAS_PARENTS : 0));
    if (has_parents) {
        put_parents(to, progress, p->inherited_parents);
        put_parents(to, progress, p->lineage_parents);
    }
    put_number(to, p->pss_bytes);
    if (p->has_swap_pss)
        put_number(to, p->swap_pss_bytes);
    put_number(to, p->pss_refused ? 0 : p->pss_s);
    put_number(to, p->have);
    for (size_t f = 0; f < FIELD_COUNTERS; f++)
        if (p->have & BIT(f))
            put_number(to, *proctable_last(&c->table, id, (enum field)f));
    for (size_t k = 0; p->pending && k < FIELD_FOLDED; k++)
        put_number(to, p->pending->all[k]);
    for (size_t k = 0; p->pending && k < FIELD_FOLDED; k++)
        put_number(to, p->pending->via_ancestor[k]);
}

/* A part that only some states have begins with its name. */
static const char part_cgroups[] = "cgroups", part_threads[] = "threads";

int state_encode(const struct counting *c, const struct state_origin *origin, struct buf *to) {
    const struct progress *progress = &c->progress;
    const struct tallies *tallies = &c->tallies;
    uint32_t groups = 0;
    buf_reset(to);
    buf_add_str(to, magic);
    buf_add_str(to, version);
    put_text(to, origin->boot_id);
    put_text(to, origin->source);
    put_number(to, progress->scan_boot_ns);
    put_number(to, progress->scan_mono_ns);
    put_number(to, progress->has_host_busy);
    put_number(to, progress->host_busy_ticks);
    put_number(to, progress->shown);
    put_number(to, progress->shown_mono_ns);
    put_number(to, progress->followed.count);
    for (uint32_t i = 0; i < progress->followed.count; i++) {
        put_number(to, progress->followed.roots[i].pid);
        put_number(to, progress->followed.roots[i].start_ticks);
    }
    put_number(to, tallies->cpu_ns);
    put_number(to, tallies->refused.names);
    put_number(to, tallies->refused.hash_count);
    for (size_t i = 0; tallies->refused.hash_count && i < REFUSED_SLOTS; i++)
        if (tallies->refused.hashes[i])
            put_number(to, tallies->refused.hashes[i]);

    put_self(to, &c->self);

    /* counters by their names, so that a later version can have more of them */
    const metric_set counters = counters_in_use(tallies);
    put_counter_ids(to, tallies, counters);

    /* without gaps: what was read is written the same again */
    for (size_t i = 0; i < tallies->end; i++)
        if (tallies->groups[i])
            tallies->groups[i]->written_as = groups++;
    put_number(to, groups);
    for (size_t i = 0; i < tallies->end; i++)
        if (tallies->groups[i]) {
            put_group_number(to, tallies, (uint32_t)i);
            put_group(to, tallies, tallies->groups[i], counters);
        }

    put_number(to, FIELD_COUNTERS);
    size_t processes = 0;
    for (process_id id = proctable_next(&c->table, 0); id != NO_PROCESS;
         id = proctable_next(&c->table, id + 1))
        processes += !proctable_at(&c->table, id)->ended;
    put_number(to, processes);
    for (process_id id = proctable_next(&c->table, 0); id != NO_PROCESS;
         id = proctable_next(&c->table, id + 1))
        if (!proctable_at(&c->table, id)->ended)
            put_process(to, c, id);
    if (c->cgroups.count) {
        put_text(to, part_cgroups);
        put_cgroups(to, c);
    }
    if (tallies->threads.is_on) {
        put_text(to, part_threads);
        put_threads(to, c);
    }

    if (to->error)
        return to->error;
    uint64_t sum = hash_bytes(to->data, to->len);
    for (int i = 0; i < CHECKSUM_LEN; i++)
        buf_add_char(to, (char)(sum >> 8 * i));
    return to->error;
}

/* ---- Reading --------------------------------------------------------------------- */

/* Label keys are constants of the program. */
static const char *known_key(struct text key) {
    static const char *const others[] = {"ppid", "uid", "gid", "path"};
    for (size_t i = 0; i < GROUP_KEYS; i++)
        if (text_is(key, group_key_names[i]))
            return group_key_names[i];
    for (size_t i = 0; i < CONTAINER_LABELS; i++)
        if (text_is(key, container_label_names[i]))
            return container_label_names[i];
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (text_is(key, others[i]))
            return others[i];
    return NULL;
}

/* The counters of a process that all sources count alike. I/O is one's own here,
 * and one's own with that of reaped children there. */
#define SAME_EVERYWHERE                                                            \
    ((uint32_t)(BIT(FIELD_UTIME_NS) | BIT(FIELD_STIME_NS) | BIT(FIELD_MINFLT) | \
                BIT(FIELD_MAJFLT)))

/* Values stand before what is unshown of them, and several of the file may have become
 * `other`. */
static void take_counter(struct group *g, const struct counter_place *place, bool have,
                         uint64_t value) {
    struct standing *s = g->standing;
    switch (place->what) {
    case PLACE_NONE: /* of a version that had it */
        return;
    case PLACE_VALUE:
        if (have)
            g->have |= METRIC_SET(place->metric);
        g->value[place->metric] += value;
        if (s)
            s->shown[place->metric] += value;
        return;
    case PLACE_UNSHOWN:
        if (s)
            s->shown[place->metric] -= value;
        return;
    case PLACE_STANDING:
        if (s && have) {
            s->is_new = false;
            s->is_hidden = value & STANDING_HIDDEN && !g->literal;
        }
        return;
    case PLACE_SCORE:
        if (s)
            s->score = value;
        return;
    }
}

static struct counter_place place_of(struct text id) {
    if (text_is(id, standing_id))
        return (struct counter_place){.what = PLACE_STANDING};
    if (text_is(id, score_id))
        return (struct counter_place){.what = PLACE_SCORE};
    const bool is_unshown = take_unshown(&id);
    for (size_t m = 0; m < METRICS_OF_GROUP; m++)
        if (metric_table[m].metric.kind == TALLY_KIND_COUNTER &&
            text_is(id, metric_table[m].metric.id))
            return (struct counter_place){is_unshown ? PLACE_UNSHOWN : PLACE_VALUE,
                                          (enum metric)m};
    return (struct counter_place){PLACE_NONE, METRICS};
}

static int get_group(struct reader *r, struct counting *c, const struct translation *names,
                     uint32_t *ret_index) {
    struct group_labels labels = {0};
    struct text name = get_text(r);
    bool had_members = get_number(r);
    struct group_owner owner = {.pid = get_number32(r)};
    owner.start_ticks = r->version >= 2 ? get_number(r) : 0; /* else told by its process */
    uint64_t emptied_ns = get_number(r);
    uint64_t cpu_ns = r->version >= 2 ? get_number(r) : 0;
    uint64_t label_count = get_number(r);
    if (r->bad || label_count > LABELS_MAX)
        return -EBADMSG;
    for (size_t i = 0; i < label_count; i++) {
        const char *key = known_key(get_text(r));
        struct text value = get_text(r);
        if (r->bad || !key)
            return -EBADMSG;
        labels.items[labels.count].key = key;
        labels.items[labels.count++].value = value;
    }
    if (name.len == 0) {
        *ret_index = GROUP_LEFT_OUT;
    } else {
        int e = tallies_group(&c->tallies, name, &labels, false, owner, ret_index);
        if (e < 0)
            return e;
    }
    struct group *g = c->tallies.groups[*ret_index];
    g->had_members = g->had_members || had_members;
    g->emptied_ns = emptied_ns;
    g->cpu_ns += cpu_ns;
    for (size_t i = 0; i < names->counter_count; i++) {
        const bool have = get_number(r);
        take_counter(g, &names->counters[i], have, get_number(r));
    }
    return r->bad ? -EBADMSG : 0;
}

/* Those that no rule asks for any more are forgotten. */
static uint32_t get_parents(struct reader *r, const struct progress *progress) {
    uint32_t parents = 0;
    uint64_t count = get_number(r);
    if (count > RULE_PARENTS_MOST)
        r->bad = true;
    while (!r->bad && count--) {
        const uint64_t key = get_number(r);
        for (uint32_t i = 0; i < progress->parent_count; i++)
            if (progress->parent_keys[i] == key)
                parents |= UINT32_C(1) << i;
    }
    return parents;
}

/* A process's own group is removed once another process has its pid, so that nobody else may
 * be in it, which a damaged file may claim. */
static uint32_t unless_others(const struct counting *c, uint32_t group, struct group_owner its) {
    const struct group_owner owner = c->tallies.groups[group]->owner;
    return owner.pid == 0 || is_owner(owner, its) ? group : GROUP_LEFT_OUT;
}

static int get_process(struct reader *r, struct counting *c, const struct translation *names) {
    uint32_t pid = get_number32(r);
    if (r->bad)
        return -EBADMSG;
    process_id id = proctable_add(&c->table, pid);
    if (id == NO_PROCESS)
        return -ENOMEM;
    struct process *p = proctable_at(&c->table, id);
    p->restored = true;
    p->ppid = get_number32(r);
    p->start_ticks = get_number(r);
    p->exec_marker = get_number(r);
    p->comm_hash = get_number(r);
    p->uid = get_number32(r);
    p->group = translate(names, r);
    struct group_owner *owner = &c->tallies.groups[p->group]->owner;
    if (owner->pid && owner->pid == pid && owner->start_ticks == 0)
        owner->start_ticks = p->start_ticks;
    p->group = unless_others(c, p->group, (struct group_owner){pid, p->start_ticks});
    p->inherited = unless_others(c, translate(names, r), NO_OWNER);
    p->lineage = unless_others(c, translate(names, r), NO_OWNER);
    p->threads = get_number32(r);
    uint64_t flags = get_number(r);
    p->from_birth = flags & FROM_BIRTH;
    p->ignores_children = flags & IGNORES_CHILDREN;
    p->orphan = flags & ORPHAN;
    p->adopted = flags & ADOPTED;
    p->followed = flags & FOLLOWED;
    p->start_counted = r->version < 2 || flags & START_COUNTED;
    p->has_swap_pss = flags & HAS_SWAP_PSS;
    if (flags & HAS_PARENTS) {
        p->inherited_parents = get_parents(r, &c->progress);
        p->lineage_parents = get_parents(r, &c->progress);
    }
    p->pss_bytes = get_number(r);
    p->swap_pss_bytes = p->has_swap_pss ? get_number(r) : 0;
    p->pss_s = get_number32(r);
    p->have = get_number32(r);
    if (r->bad || p->have >> FIELD_COUNTERS)
        return -EBADMSG;
    for (uint32_t left = p->have; left; left &= left - 1) {
        const enum field f = (enum field)__builtin_ctz(left);
        const uint64_t value = get_number(r);
        uint64_t *last = proctable_last(&c->table, id, f);
        if (last)
            *last = value;
        else
            p->have &= ~(uint32_t)BIT(f);
    }
    if (!names->same_source) {
        p->have &= SAME_EVERYWHERE;
        p->from_birth = false; /* what else it did was counted then, the other way */
    }
    if (flags & HAS_PENDING) {
        p->pending = calloc(1, sizeof(*p->pending));
        if (!p->pending)
            return -ENOMEM;
        for (size_t k = 0; k < FIELD_FOLDED; k++)
            p->pending->all[k] = get_number(r);
        for (size_t k = 0; flags & HAS_VIA_ANCESTOR && k < FIELD_FOLDED; k++)
            p->pending->via_ancestor[k] = get_number(r);
        if (!names->same_source) {
            free(p->pending);
            p->pending = NULL;
        }
    }
    return r->bad ? -EBADMSG : 0;
}

static int get_groups(struct reader *r, struct counting *c, struct translation *names) {
    names->counter_count = get_number(r);
    if (r->bad || names->counter_count > COUNTERS_MOST)
        return -EBADMSG;
    for (size_t i = 0; i < names->counter_count; i++)
        names->counters[i] = place_of(get_text(r));
    uint64_t count = get_number(r);
    for (uint64_t i = 0; !r->bad && i < count; i++) {
        uint32_t number = get_number32(r);
        /* each takes more than a byte of the file, so that this is bounded */
        if (r->bad || number > (1u << 20))
            return -EBADMSG;
        if (number >= names->group_count) {
            uint32_t *groups = realloc(names->groups, (number + 1) * sizeof(*groups));
            if (!groups)
                return -ENOMEM;
            names->groups = groups;
            while (names->group_count <= number)
                groups[names->group_count++] = UINT32_MAX;
        }
        int e = get_group(r, c, names, &names->groups[number]);
        if (e < 0)
            return e;
    }
    return r->bad ? -EBADMSG : 0;
}

static void get_self(struct reader *r, struct counting *c) {
    uint64_t count = get_number(r);
    for (uint64_t i = 0; !r->bad && i < count; i++) {
        struct text id = get_text(r);
        uint64_t value = get_number(r);
        for (size_t m = METRIC_SELF_FIRST; !r->bad && m < METRICS; m++)
            if (is_self_counter(m) && text_is(id, metric_table[m].metric.id))
                c->self.before[m - METRIC_SELF_FIRST] = value;
    }
}

static void get_followed(struct reader *r, struct followed *followed) {
    followed->count = r->version >= 2 ? get_number32(r) : 0;
    if (followed->count > FOLLOWED_MAX) {
        followed->count = 0;
        r->bad = true;
    }
    for (uint32_t i = 0; i < followed->count; i++) {
        followed->roots[i].pid = get_number32(r);
        followed->roots[i].start_ticks = get_number(r);
    }
}

static void get_progress(struct reader *r, struct counting *c) {
    struct progress *progress = &c->progress;
    progress->scan_boot_ns = get_number(r);
    progress->scan_mono_ns = get_number(r);
    progress->has_host_busy = get_number(r);
    progress->host_busy_ticks = get_number(r);
    progress->shown = r->version >= 2 ? get_number(r) : true;
    progress->shown_mono_ns = r->version >= 2 ? get_number(r) : progress->scan_mono_ns;
    get_followed(r, &progress->followed);
    c->tallies.cpu_ns = r->version >= 2 ? get_number(r) : 0;
}

static int get_part(struct reader *r, struct counting *c, struct translation *names) {
    const struct text name = get_text(r);
    if (!r->bad && text_is(name, part_cgroups))
        return get_cgroups(r, c, names);
    if (r->bad || !text_is(name, part_threads))
        return -EBADMSG;
    if (c->tallies.threads.is_on)
        return get_threads(r, c, names);
    r->at = r->end; /* they are the last, and not counted any more */
    return 0;
}

static int get_all(struct reader *r, struct counting *c, const struct state_origin *origin,
                   uint64_t now_boot_ns, struct translation *names) {
    const struct text boot_id = get_text(r);
    if (!r->bad && !text_is(boot_id, origin->boot_id))
        return boot_id.len && origin->boot_id[0] ? -ESTALE : -ENXIO;
    names->same_source = text_is(get_text(r), origin->source);
    get_progress(r, c);
    uint64_t overflowed = get_number(r);
    uint64_t refused = get_number(r);
    for (uint64_t i = 0; !r->bad && i < refused; i++)
        refused_note_hash(&c->tallies.refused, get_number(r));
    /* where the boot id can't be read, at least this clock tells boots apart */
    if (!r->bad && c->progress.scan_boot_ns > now_boot_ns)
        return -ESTALE;
    get_self(r, c);
    int e = get_groups(r, c, names);
    if (e < 0)
        return e;
    c->tallies.refused.names = overflowed;
    if (get_number(r) > FIELD_COUNTERS) /* fewer: an earlier version's, the same ones first */
        return -EBADMSG;
    uint64_t processes = get_number(r);
    for (uint64_t i = 0; !r->bad && i < processes; i++) {
        e = get_process(r, c, names);
        if (e < 0)
            return e;
    }
    if (c->tallies.threads.is_on)
        forget_threads(c);
    while (!r->bad && r->at != r->end) {
        e = get_part(r, c, names);
        if (e < 0)
            return e;
    }
    if (r->bad || r->at != r->end)
        return -EBADMSG;
    c->progress.started = true;
    return 0;
}

int state_decode(struct counting *c, const struct state_origin *origin, uint64_t now_boot_ns,
                 const char *data, size_t len) {
    size_t magic_len = sizeof(magic) - 1;
    if (len < HEADER_LEN + CHECKSUM_LEN || memcmp(data, magic, magic_len) != 0)
        return -EBADMSG;
    const char digit = data[magic_len];
    if (digit < '1' || digit > version[0] || data[magic_len + 1] != '\n')
        return -EPROTO;
    uint64_t sum = 0;
    for (int i = 0; i < CHECKSUM_LEN; i++)
        sum |= (uint64_t)(unsigned char)data[len - CHECKSUM_LEN + (size_t)i] << 8 * i;
    if (sum != hash_bytes(data, len - CHECKSUM_LEN))
        return -EBADMSG;
    struct reader r = {.version = (unsigned)(digit - '0'),
                       .at = data + HEADER_LEN,
                       .end = data + len - CHECKSUM_LEN};
    struct translation names = {0};
    int e = get_all(&r, c, origin, now_boot_ns, &names);
    for (size_t i = 0; names.thread_groups && i < names.group_count; i++)
        free(names.thread_groups[i].slots);
    free(names.thread_groups);
    free(names.groups);
    return e;
}
