/* SPDX-License-Identifier: MIT */
#include "count/fold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NO_ENTRY UINT32_MAX
#define NO_CREDIT UINT32_MAX
/* Deeper chains of processes that all ended in one interval are cut. */
#define DEPTH_MAX 64

#define INDEX(field) ((field) - FIELD_FOLDED_FIRST)

/* Which of a process's own counters the kernel adds to which of its reaper's. */
static const struct {
    enum field own, folded;
} own_to_folded[] = {
    {FIELD_UTIME_NS, FIELD_CUTIME_NS},
    {FIELD_STIME_NS, FIELD_CSTIME_NS},
    {FIELD_MINFLT, FIELD_CMINFLT},
    {FIELD_MAJFLT, FIELD_CMAJFLT},
};

_Static_assert(FIELD_CMAJFLT + 1 == FIELD_IO_READ_BYTES && INDEX(FIELD_CUTIME_NS) == 0,
               "first the waited-for counters, then I/O");
#define IO_FIRST INDEX(FIELD_IO_READ_BYTES)

void fold_begin(struct fold *f) {
    f->count = 0;
    f->credit_count = 0;
    f->dead_count = 0;
}

void fold_free(struct fold *f) {
    free(f->entries);
    free(f->credits);
    free(f->dead);
    while (f->spares) {
        struct pending_credit *next = f->spares->next_spare;
        free(f->spares);
        f->spares = next;
    }
    *f = (struct fold){0};
}

void fold_undo(struct fold *f, struct proctable *table) {
    for (size_t i = 0; i < f->count; i++) {
        struct process *p = proctable_at(table, f->entries[i].parent);
        for (size_t k = 0; k < FIELD_FOLDED; k++)
            p->last[FIELD_FOLDED_FIRST + k] -= f->entries[i].increase[k];
    }
    fold_begin(f);
}

/* The array with room for one more item, or NULL. */
static void *with_room(void *items, size_t count, size_t *size, size_t item_size) {
    if (count < *size)
        return items;
    size_t more = *size ? *size * 2 : 64;
    void *grown = realloc(items, more * item_size);
    if (grown)
        *size = more;
    return grown;
}

static int reserve_credit(struct fold *f) {
    struct fold_credit *credits =
        with_room(f->credits, f->credit_count, &f->credit_size, sizeof(*credits));
    if (!credits)
        return -ENOMEM;
    f->credits = credits;
    return 0;
}

int fold_reserve(struct fold *f) {
    struct fold_entry *entries = with_room(f->entries, f->count, &f->size, sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    f->entries = entries;
    return reserve_credit(f);
}

/* The credit of an entry, made if there is none. NULL: no memory. */
static struct fold_credit *credit_of(struct fold *f, struct fold_entry *e) {
    if (e->credit == NO_CREDIT) {
        if (reserve_credit(f) < 0)
            return NULL;
        e->credit = (uint32_t)f->credit_count++;
        f->credits[e->credit] = (struct fold_credit){0};
    }
    return &f->credits[e->credit];
}

static uint64_t already_credited(const struct fold *f, const struct fold_entry *e, size_t k) {
    return e->credit == NO_CREDIT ? 0 : f->credits[e->credit].already[k];
}

int fold_increase(struct fold *f, struct proctable *table, process_id parent,
                  const uint64_t increase[FIELD_FOLDED], uint64_t known) {
    int r = fold_reserve(f);
    if (r < 0)
        return r;
    struct process *p = proctable_at(table, parent);
    struct fold_entry *e = &f->entries[f->count];
    *e = (struct fold_entry){.parent = parent, .known = (uint32_t)known, .credit = NO_CREDIT};
    memcpy(e->increase, increase, sizeof(e->increase));
    if (p->pending) {
        struct fold_credit *credit = credit_of(f, e);
        memcpy(credit->already, p->pending->all, sizeof(credit->already));
        memcpy(credit->via_ancestor, p->pending->via_ancestor, sizeof(credit->via_ancestor));
    }
    p->fold = (uint32_t)f->count++;
    return 0;
}

static struct fold_entry *entry_of(const struct fold *f, const struct proctable *table,
                                   process_id id) {
    uint32_t fold = proctable_at(table, id)->fold;
    return fold < f->count && f->entries[fold].parent == id ? &f->entries[fold] : NULL;
}

/* ---- Who reaped whom ------------------------------------------------------------- */

/* The nearest living ancestor, and whether that is not the parent. NO_PROCESS: none that
 * we know. */
static process_id find_living(const struct proctable *table, const struct process *p, uint32_t now,
                              bool *ret_via_ancestor) {
    *ret_via_ancestor = p->orphan;
    for (int depth = 0; depth < DEPTH_MAX; depth++) {
        process_id id = proctable_find_parent(table, p->ppid, p->start_ticks);
        if (id == NO_PROCESS) { /* its parent was gone before we came */
            *ret_via_ancestor = true;
            return p->ppid <= 1 ? NO_PROCESS : proctable_find(table, 1);
        }
        const struct process *parent = proctable_at(table, id);
        if (parent == p)
            return NO_PROCESS;
        if (parent->seen == now)
            return id;
        *ret_via_ancestor = true;
        p = parent;
    }
    return NO_PROCESS;
}

/* The living process that a dead one was folded into, as far as we know. If it is not its
 * parent (via_ancestor), it can be one above that too. NO_PROCESS: none. */
static process_id find_reaper(const struct proctable *table, const struct process *dead,
                              uint32_t now, bool *ret_via_ancestor) {
    process_id id = find_living(table, dead, now, ret_via_ancestor);
    if (id == NO_PROCESS)
        return id;
    const struct process *p = proctable_at(table, id);
    return p->seen != now || p->ignores_children ? NO_PROCESS : id;
}

static int add_dead(struct fold *f, process_id id) {
    struct fold_dead *dead = with_room(f->dead, f->dead_count, &f->dead_size, sizeof(*dead));
    if (!dead)
        return -ENOMEM;
    f->dead = dead;
    f->dead[f->dead_count++] = (struct fold_dead){.entry = NO_ENTRY, .id = id};
    return 0;
}

static bool has_reaped(const struct fold_entry *e) {
    for (size_t k = 0; k < IO_FIRST; k++)
        if (e->increase[k])
            return true;
    return false;
}

/* A parent is read before its child, as pids ascend, so that what the parent
 * shows can't contain a child that is seen alive afterwards. Where pids have
 * wrapped around, the child was read first and may have ended in between: the
 * parent's figures have then gone up. Look again. */
static void recheck_early_children(const struct fold *f, const struct proctable *table,
                                   struct source *source, uint32_t now) {
    for (process_id id = proctable_next(table, 0); id != NO_PROCESS;
         id = proctable_next(table, id + 1)) {
        struct process *p = proctable_at(table, id);
        if (p->seen != now || p->pid > p->ppid)
            continue;
        process_id parent = proctable_find_parent(table, p->ppid, p->start_ticks);
        const struct fold_entry *e = parent == NO_PROCESS ? NULL : entry_of(f, table, parent);
        if (e && has_reaped(e) && !source->ops->is_alive(source, p->pid, p->start_ticks))
            p->seen = now - 1;
    }
}

static int find_dead(struct fold *f, const struct proctable *table, uint32_t now) {
    for (process_id id = proctable_next(table, 0); id != NO_PROCESS;
         id = proctable_next(table, id + 1)) {
        if (proctable_at(table, id)->seen == now)
            continue;
        int r = add_dead(f, id);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Gives each dead process its reaper's entry, making one where there is none. */
static int match_reapers(struct fold *f, struct proctable *table, const struct source *source,
                         uint32_t now) {
    static const uint64_t nothing[FIELD_FOLDED];
    for (size_t i = 0; i < f->dead_count; i++) {
        const struct process *dead = proctable_at(table, f->dead[i].id);
        bool via_ancestor;
        process_id reaper = find_reaper(table, dead, now, &via_ancestor);
        if (reaper == NO_PROCESS)
            continue;
        struct fold_entry *e = entry_of(f, table, reaper);
        if (!e) {
            int r = fold_increase(f, table, reaper, nothing, proctable_at(table, reaper)->have >>
                                                                 FIELD_FOLDED_FIRST);
            if (r < 0)
                return r;
            e = &f->entries[f->count - 1];
        }
        f->dead[i].entry = (uint32_t)(e - f->entries);
        struct fold_credit *credit = credit_of(f, e);
        if (!credit)
            return -ENOMEM;

        /* what the reaper shows of it, as far as it was credited already */
        uint64_t credited[FIELD_FOLDED] = {0};
        for (size_t k = 0; k < FIELD_FOLDED; k++)
            if (dead->have & BIT(FIELD_FOLDED_FIRST + k))
                credited[k] = dead->last[FIELD_FOLDED_FIRST + k];
        for (size_t k = 0; k < sizeof(own_to_folded) / sizeof(own_to_folded[0]); k++)
            if (dead->have & BIT(own_to_folded[k].own))
                credited[INDEX(own_to_folded[k].folded)] += dead->last[own_to_folded[k].own];
        for (size_t k = 0; k < FIELD_FOLDED; k++) {
            if (dead->pending)
                credited[k] += dead->pending->all[k];
            if (source->keeps_apart & BIT(FIELD_FOLDED_FIRST + k))
                credited[k] = 0;
            credit->already[k] += credited[k];
            credit->fresh[k] += credited[k];
            if (via_ancestor)
                credit->via_ancestor[k] += credited[k];
        }
    }
    return 0;
}

/* An orphan whose parent died first was not reaped by its grandparent, as was
 * assumed, but by init or a subreaper above it: what the grandparent can't have
 * taken in is looked for in its ancestors. */
static int pass_upward(struct fold *f, const struct proctable *table) {
    for (size_t i = 0; i < f->count; i++) {
        struct fold_entry *e = &f->entries[i];
        if (e->credit == NO_CREDIT)
            continue;
        for (size_t k = 0; k < FIELD_FOLDED; k++) {
            struct fold_credit *credit = &f->credits[e->credit];
            if (credit->already[k] <= e->increase[k] || credit->via_ancestor[k] == 0)
                continue;
            uint64_t left = credit->already[k] - e->increase[k];
            if (left > credit->via_ancestor[k])
                left = credit->via_ancestor[k];
            const struct process *q = proctable_at(table, e->parent);
            for (int depth = 0; left && depth < DEPTH_MAX; depth++) {
                process_id id = proctable_find_parent(table, q->ppid, q->start_ticks);
                if (id == NO_PROCESS)
                    break;
                q = proctable_at(table, id);
                struct fold_entry *above = entry_of(f, table, id);
                if (!above || above->increase[k] <= already_credited(f, above, k))
                    continue;
                uint64_t room = above->increase[k] - already_credited(f, above, k);
                uint64_t moved = left < room ? left : room;
                struct fold_credit *to = credit_of(f, above);
                if (!to)
                    return -ENOMEM;
                credit = &f->credits[e->credit]; /* the array may have moved */
                to->already[k] += moved;
                credit->already[k] -= moved;
                credit->via_ancestor[k] -= moved;
                credit->fresh[k] -= moved < credit->fresh[k] ? moved : credit->fresh[k];
                left -= moved;
            }
        }
    }
    return 0;
}

/* ---- Crediting -------------------------------------------------------------------- */

static int by_entry(const void *a, const void *b) {
    const struct fold_dead *x = a, *y = b;
    return x->entry < y->entry ? -1 : x->entry > y->entry;
}

static uint64_t part_of(uint64_t whole, uint64_t share, uint64_t of) {
    return of ? (uint64_t)((unsigned __int128)whole * share / of) : 0;
}

static uint64_t times(uint64_t a, uint64_t b) {
    uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

/* Without an address space it can't run any more, and its last sample is final. */
static bool is_through(const struct process *p) {
    return (p->state == 'Z' || p->state == 'X') && p->threads <= 1;
}

/* What it did before is a poor witness if it was about to run when it was seen last. */
static bool is_waiting(const struct process *p) {
    return p->state == 'S' || p->state == 'I' || p->state == 'T' || p->state == 't';
}

/* How much CPU time a dead process can have used since it was seen last, and how much it
 * is likely to have used: if it was waiting then, it was not more than so many times as
 * busy at last as in its life before. (A sleep that was seen once has used a millisecond of
 * half a second; a job that had to wait for its input has used a tenth or more.) */
#define BUSIER_MOST 10u
static void estimate(struct fold_dead *dead, const struct process *p, const struct source *source,
                     const struct fold_interval *interval) {
    static const enum field spent[] = {FIELD_UTIME_NS, FIELD_STIME_NS, FIELD_CUTIME_NS,
                                       FIELD_CSTIME_NS};
    const uint64_t started_ns = times(p->start_ticks, source->tick_ns);
    uint64_t age_ns =
        interval->since_boot_ns > started_ns ? interval->since_boot_ns - started_ns : 0;
    uint64_t used_ns = 0;
    dead->pid = p->pid;
    dead->share_ns = 0;
    dead->most_ns = times(interval->length_ns, p->threads ? p->threads : 1);
    if (is_through(p)) /* both times were cut to whole ticks */
        dead->most_ns = 2 * source->tick_ns;
    dead->likely_ns = dead->most_ns;
    if (!is_waiting(p))
        return;
    for (size_t i = 0; i < sizeof(spent) / sizeof(spent[0]); i++)
        if (p->have & BIT(spent[i]))
            used_ns += p->last[spent[i]];
    if (age_ns < NS_PER_S) /* a single tick would look busy */
        age_ns = NS_PER_S;
    const uint64_t busy_ns = times(used_ns, BUSIER_MOST);
    if (busy_ns < age_ns) {
        const uint64_t likely_ns = part_of(interval->length_ns, busy_ns, age_ns);
        if (likely_ns < dead->likely_ns)
            dead->likely_ns = likely_ns;
    }
}

static int by_room(const void *a, const void *b) {
    const struct fold_dead *x = a, *y = b;
    if (x->room_ns != y->room_ns)
        return x->room_ns < y->room_ns ? -1 : 1;
    return x->pid < y->pid ? -1 : x->pid > y->pid;
}

/* Shares CPU time out evenly among those who have room for it; returns what is left. The
 * one with the least room comes first, so that the others get what it can't take. */
static uint64_t share_out(struct fold_dead *dead, size_t count, uint64_t left_ns) {
    if (count > 1)
        qsort(dead, count, sizeof(*dead), by_room);
    for (size_t i = 0; i < count; i++) {
        uint64_t share_ns = left_ns / (count - i);
        if (share_ns > dead[i].room_ns)
            share_ns = dead[i].room_ns;
        dead[i].share_ns += share_ns;
        left_ns -= share_ns;
    }
    return left_ns;
}

/* A fork(2) costs a child some 17 page faults, and with the smallest program 40: with less
 * than that in the rest nobody came and went unseen who used CPU time worth sharing. */
#define UNSEEN_FAULTS 40u

/* Splits what one reaper's children left. What nobody is likely to have used who was known
 * was done by children that nobody saw, and goes to the reaper's group. */
static void credit_waited(struct tallies *tallies, const struct proctable *table,
                          struct fold_dead *dead, size_t count, const struct process *reaper,
                          uint64_t rest[FIELD_FOLDED], const struct source *source,
                          const struct fold_interval *interval) {
    const uint64_t cpu_ns = rest[INDEX(FIELD_CUTIME_NS)] + rest[INDEX(FIELD_CSTIME_NS)];
    uint64_t left_ns = cpu_ns;
    uint64_t given[IO_FIRST] = {0};
    for (size_t i = 0; i < count; i++) {
        estimate(&dead[i], proctable_at(table, dead[i].id), source, interval);
        dead[i].room_ns = dead[i].likely_ns;
    }
    left_ns = share_out(dead, count, left_ns);
    if (left_ns && rest[INDEX(FIELD_CMINFLT)] < UNSEEN_FAULTS) {
        for (size_t i = 0; i < count; i++)
            dead[i].room_ns = dead[i].most_ns - dead[i].share_ns;
        share_out(dead, count, left_ns);
    }
    for (size_t i = 0; i < count; i++) {
        const struct process *d = proctable_at(table, dead[i].id);
        for (size_t k = 0; k < IO_FIRST; k++) {
            uint64_t amount =
                cpu_ns ? part_of(rest[k], dead[i].share_ns, cpu_ns) : part_of(rest[k], 1, count);
            if (amount)
                tallies_credit(tallies, d->group, FIELD_FOLDED_FIRST + (enum field)k, amount);
            given[k] += amount;
        }
    }
    for (size_t k = 0; k < IO_FIRST; k++)
        if (rest[k] > given[k])
            tallies_credit(tallies, reaper->group, FIELD_FOLDED_FIRST + (enum field)k,
                           rest[k] - given[k]);
}

/* What the parent's numbers do not show yet, although it was credited: the
 * child ended after the parent had been read. The next collection will show
 * it; if even that does not, the kernel never folded it, and it is forgotten. */
static bool find_pending(const struct fold *f, const struct fold_entry *e,
                         struct pending_credit *ret) {
    bool any = false;
    *ret = (struct pending_credit){0};
    for (size_t k = 0; k < FIELD_FOLDED; k++) {
        uint64_t already = already_credited(f, e, k);
        if (already <= e->increase[k])
            continue;
        const struct fold_credit *credit = &f->credits[e->credit];
        uint64_t over = already - e->increase[k];
        if (e->known & BIT(k) && over > credit->fresh[k])
            over = credit->fresh[k];
        ret->all[k] = over;
        ret->via_ancestor[k] = over < credit->via_ancestor[k] ? over : credit->via_ancestor[k];
        any = any || over;
    }
    return any;
}

/* Room for all of it, before anything is credited: without, it would be counted twice. */
static int reserve_pending(struct fold *f, const struct proctable *table) {
    struct pending_credit unused;
    size_t needed = 0;
    for (size_t i = 0; i < f->count; i++)
        needed += !proctable_at(table, f->entries[i].parent)->pending &&
                  find_pending(f, &f->entries[i], &unused);
    while (f->spare_count < needed) {
        struct pending_credit *spare = malloc(sizeof(*spare));
        if (!spare)
            return -ENOMEM;
        spare->next_spare = f->spares;
        f->spares = spare;
        f->spare_count++;
    }
    return 0;
}

static void keep_pending(struct fold *f, struct process *p, const struct fold_entry *e) {
    struct pending_credit pending;
    if (find_pending(f, e, &pending)) {
        if (!p->pending) {
            p->pending = f->spares;
            f->spares = f->spares->next_spare;
            f->spare_count--;
        }
        *p->pending = pending;
    } else if (p->pending) {
        p->pending->next_spare = f->spares;
        f->spares = p->pending;
        f->spare_count++;
        p->pending = NULL;
    }
}

static void credit_entry(struct fold *f, size_t i, struct proctable *table, struct tallies *tallies,
                         struct fold_dead *dead, size_t dead_count, const struct source *source,
                         const struct fold_interval *interval) {
    const struct fold_entry *e = &f->entries[i];
    struct process *p = proctable_at(table, e->parent);
    uint64_t rest[FIELD_FOLDED];
    for (size_t k = 0; k < FIELD_FOLDED; k++) {
        const uint64_t already = already_credited(f, e, k);
        rest[k] = e->increase[k] > already ? e->increase[k] - already : 0;
    }
    credit_waited(tallies, table, dead, dead_count, p, rest, source, interval);
    /* the process's own and its unseen children's I/O can't be told apart */
    for (size_t k = IO_FIRST; k < FIELD_FOLDED; k++)
        if (rest[k])
            tallies_credit(tallies, p->group, FIELD_FOLDED_FIRST + (enum field)k, rest[k]);
    keep_pending(f, p, e);
}

/* Somebody else waits for the children of the dead from now on: an ancestor that is
 * a subreaper, or init. They are read again though they sleep, as that shows who it
 * is. Should one end before, it is somebody from its nearest living ancestor up. */
static void rehome_orphans(const struct fold *f, const struct proctable *table, uint32_t now) {
    if (f->dead_count == 0)
        return;
    for (process_id id = proctable_next(table, 0); id != NO_PROCESS;
         id = proctable_next(table, id + 1)) {
        struct process *p = proctable_at(table, id);
        if (p->seen != now)
            continue;
        process_id parent = proctable_find_parent(table, p->ppid, p->start_ticks);
        if (parent == NO_PROCESS || proctable_at(table, parent)->seen == now)
            continue;
        bool via_ancestor;
        process_id above = find_living(table, p, now, &via_ancestor);
        p->ppid = above == NO_PROCESS ? 1 : proctable_at(table, above)->pid;
        p->orphan = true;
        p->asleep = false;
    }
}

/* It ended before anybody could tell what it was going to be (in the middle of execve(2)):
 * all that is known is that it was its parent's copy. */
static void join_reaper(const struct fold *f, const struct proctable *table,
                        struct tallies *tallies, const struct fold_dead *dead) {
    struct process *p = proctable_at(table, dead->id);
    if (p->group != GROUP_LEFT_OUT || p->have || dead->entry == NO_ENTRY)
        return;
    p->group = proctable_at(table, f->entries[dead->entry].parent)->group;
    if (!p->start_counted)
        tallies_add(tallies, p->group, METRIC_STARTS, 1);
}

int fold_settle(struct fold *f, struct proctable *table, struct tallies *tallies,
                struct source *source, const struct fold_interval *interval) {
    const uint32_t now = interval->number;
    recheck_early_children(f, table, source, now);
    int r = find_dead(f, table, now);
    if (r == 0)
        r = match_reapers(f, table, source, now);
    if (r == 0)
        r = pass_upward(f, table);
    if (r == 0)
        r = reserve_pending(f, table);
    if (r < 0)
        return r;
    if (f->dead_count > 1)
        qsort(f->dead, f->dead_count, sizeof(*f->dead), by_entry);
    for (size_t i = 0; i < f->dead_count; i++)
        join_reaper(f, table, tallies, &f->dead[i]);
    size_t at = 0;
    for (size_t i = 0; i < f->count; i++) {
        size_t first = at;
        while (at < f->dead_count && f->dead[at].entry == i)
            at++;
        credit_entry(f, i, table, tallies, at > first ? f->dead + first : NULL, at - first, source,
                     interval);
    }
    rehome_orphans(f, table, now);
    for (size_t i = 0; i < f->dead_count; i++) {
        struct process *p = proctable_at(table, f->dead[i].id);
        tallies_add(tallies, p->group, METRIC_EXITS, 1);
        p->thread_list = thread_list_free(p->thread_list, &tallies->threads);
        proctable_remove(table, f->dead[i].id);
    }
    return 0;
}
