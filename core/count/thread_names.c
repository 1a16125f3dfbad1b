/* SPDX-License-Identifier: MIT */
#include "count/thread_names.h"

#include "base/buf.h"
#include "base/hash.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A thread whose end is not told by then is told of no more, as a rule. */
#define MISSING_MOST_S 60u
/* A thread that renames itself uses no clock tick for that: a process that seems idle is read
 * after this time. */
#define READ_AGAIN_S 60u

/* ---- Names ------------------------------------------------------------------------------- */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

size_t fold_thread_name(const char *name, size_t len, char to[THREAD_NAME_MAX]) {
    size_t n = 0;
    for (size_t i = 0; i < len && n < THREAD_NAME_MAX; i++) {
        if (!is_digit(name[i]))
            to[n++] = name[i];
        else if (i == 0 || !is_digit(name[i - 1]))
            to[n++] = 'N';
    }
    return n;
}

struct thread_names *thread_names_new(void) {
    struct thread_names *names = calloc(1, sizeof(*names));
    if (names) {
        names->references = 1;
        names->other = NO_NAME;
    }
    return names;
}

struct thread_names *thread_names_ref(struct thread_names *names) {
    names->references++;
    return names;
}

struct thread_names *thread_names_unref(struct thread_names *names) {
    if (names && --names->references == 0) {
        thread_names_unref(names->channels);
        free(names->items);
        free(names->table);
        free(names->order);
        free(names);
    }
    return NULL;
}

/* Where the name is in the table, or where it belongs. */
static uint32_t *place_of(const struct thread_names *names, const char *text) {
    const size_t mask = names->table_size - 1;
    size_t at = hash_bytes(text, strlen(text)) & mask;
    while (names->table[at] != NO_NAME && strcmp(names->items[names->table[at]].text, text) != 0)
        at = (at + 1) & mask;
    return &names->table[at];
}

static void fill_table(struct thread_names *names) {
    memset(names->table, 0xff, names->table_size * sizeof(*names->table)); /* NO_NAME */
    for (size_t i = 0; i < names->end; i++)
        if (names->items[i].text[0])
            *place_of(names, names->items[i].text) = (uint32_t)i;
}

static int grow_names(struct thread_names *names) {
    const size_t size = names->size ? names->size * 2 : 4;
    struct thread_name *items = realloc(names->items, size * sizeof(*items));
    if (!items)
        return -ENOMEM;
    names->items = items;
    uint32_t *table = realloc(names->table, 2 * size * sizeof(*table));
    if (!table)
        return -ENOMEM;
    names->table = table;
    names->table_size = 2 * size;
    names->size = size;
    fill_table(names);
    return 0;
}

static size_t free_slot(const struct thread_names *names) {
    for (size_t i = 0; names->count + (names->other != NO_NAME) < names->end && i < names->end; i++)
        if (!names->items[i].text[0])
            return i;
    return names->end;
}

static int add_name(struct thread_names *names, const char *text, uint32_t *ret_slot) {
    size_t slot = free_slot(names);
    if (slot == names->size) {
        int r = grow_names(names);
        if (r < 0)
            return r;
    }
    names->end += slot == names->end;
    names->items[slot] = (struct thread_name){.threads = 0};
    memcpy(names->items[slot].text, text, strlen(text) + 1);
    *place_of(names, text) = (uint32_t)slot;
    names->order_stale = true;
    *ret_slot = (uint32_t)slot;
    return 0;
}

/* Into a buffer on the stack: it is not asked to grow. */
static void clean_name(const struct thread_counting *c, const char *name, size_t len,
                       char to[THREAD_NAME_MAX + 1]) {
    char folded[THREAD_NAME_MAX], room[THREAD_NAME_MAX + 16];
    struct buf clean = {.data = room, .size = sizeof(room), .ceiling = sizeof(room)};
    if (c->folds) {
        len = fold_thread_name(name, len, folded);
        name = folded;
    }
    utf8_clean(name, len, THREAD_NAME_MAX, &clean);
    if (clean.len == 0 || clean.error || clean.len > THREAD_NAME_MAX) {
        memcpy(to, "unnamed", sizeof("unnamed"));
        return;
    }
    memcpy(to, clean.data, clean.len);
    to[clean.len] = '\0';
}

static int find_clean(struct thread_names *names, const struct thread_counting *c,
                      const char *text, uint32_t *ret_slot) {
    const uint32_t found = names->table_size ? *place_of(names, text) : NO_NAME;
    const bool is_other = strcmp(text, OTHER_THREADS) == 0;
    if (found != NO_NAME) {
        *ret_slot = found;
        return 0;
    }
    if (!is_other && names->count >= c->max_names)
        return find_clean(names, c, OTHER_THREADS, ret_slot);
    int r = add_name(names, text, ret_slot);
    if (r < 0)
        return r;
    if (is_other)
        names->other = *ret_slot;
    else
        names->count++;
    return 0;
}

int thread_names_find(struct thread_names *names, const struct thread_counting *c,
                      const char *name, size_t len, uint32_t *ret_slot) {
    char text[THREAD_NAME_MAX + 1];
    clean_name(c, name, len, text);
    return find_clean(names, c, text, ret_slot);
}

void thread_names_expire(struct thread_names *names, uint64_t now_ns, uint64_t expire_after_ns) {
    bool any = false;
    for (size_t i = 0; i < names->end; i++) {
        struct thread_name *name = &names->items[i];
        if (!name->text[0] || name->threads || name->hidden_threads) {
            name->emptied_ns = 0;
            continue;
        }
        if (name->emptied_ns == 0) /* what its last threads used is shown at least once */
            name->emptied_ns = now_ns ? now_ns : 1;
        else if (now_ns > name->emptied_ns && now_ns - name->emptied_ns >= expire_after_ns) {
            names->count -= i != names->other;
            if (i == names->other)
                names->other = NO_NAME;
            name->text[0] = '\0';
            any = true;
        }
    }
    if (any) {
        fill_table(names);
        names->order_stale = true;
    }
}

struct ordered {
    const char *text;
    uint32_t slot;
};

static int by_text(const void *a, const void *b) {
    return strcmp(((const struct ordered *)a)->text, ((const struct ordered *)b)->text);
}

int thread_names_order(struct thread_names *names) {
    size_t count = 0;
    if (!names->order_stale)
        return 0;
    struct ordered *sorted = malloc((names->end + 1) * sizeof(*sorted));
    uint32_t *order = realloc(names->order, (names->size + 1) * sizeof(*order));
    if (order)
        names->order = order;
    if (!sorted || !order) {
        free(sorted);
        return -ENOMEM;
    }
    for (size_t i = 0; i < names->end; i++)
        if (names->items[i].text[0])
            sorted[count++] = (struct ordered){names->items[i].text, (uint32_t)i};
    if (count)
        qsort(sorted, count, sizeof(*sorted), by_text);
    for (size_t i = 0; i < count; i++)
        order[i] = sorted[i].slot;
    free(sorted);
    names->order_count = count;
    names->order_stale = false;
    return 0;
}

/* ---- With a top -------------------------------------------------------------------------- */

static int give_name(struct thread_name *from, struct thread_names *to,
                     const struct thread_counting *c, bool hides) {
    const bool has_increase = memcmp(from->used, from->shown, sizeof(from->used)) != 0;
    uint32_t slot;
    if (!from->text[0] || (!has_increase && !(hides && from->threads)))
        return 0;
    int r = find_clean(to, c, from->text, &slot);
    if (r < 0)
        return r;
    struct thread_name *name = &to->items[slot];
    for (size_t f = 0; f < THREAD_FIELDS; f++) {
        name->used[f] += from->used[f] - from->shown[f];
        from->used[f] = from->shown[f];
    }
    name->known |= from->known;
    if (has_increase)
        name->emptied_ns = 0;
    if (hides)
        name->hidden_threads += from->threads;
    return 0;
}

int thread_names_give(struct thread_names *from, struct thread_names *to,
                      const struct thread_counting *c, bool hides) {
    int r = 0;
    for (size_t i = 0; r == 0 && i < from->end; i++)
        r = give_name(&from->items[i], to, c, hides);
    if (r < 0 || !hides)
        return r;
    to->unknown += from->unknown;
    if (!from->channels)
        return 0;
    if (!to->channels)
        to->channels = thread_names_new();
    return to->channels ? thread_names_give(from->channels, to->channels, c, true) : -ENOMEM;
}

void thread_names_unhide(struct thread_names *names) {
    for (size_t i = 0; i < names->end; i++)
        names->items[i].hidden_threads = 0;
    if (names->channels)
        thread_names_unhide(names->channels);
}

void thread_names_shown(struct thread_names *names) {
    for (size_t i = 0; i < names->end; i++)
        memcpy(names->items[i].shown, names->items[i].used, sizeof(names->items[i].shown));
}

/* ---- The list of a process ------------------------------------------------------------------ */

struct thread_list *thread_list_new(void) {
    return calloc(1, sizeof(struct thread_list));
}

static void leave_channel(const struct thread_list *list, struct thread *thread) {
    if (list->names && thread->channel != NO_NAME)
        list->names->channels->items[thread->channel].threads--;
    thread->channel = NO_NAME;
}

static void leave(const struct thread_list *list, struct thread *thread) {
    if (list->names && thread->name != NO_NAME)
        list->names->items[thread->name].threads--;
    leave_channel(list, thread);
}

struct thread_list *thread_list_free(struct thread_list *list, struct thread_counting *c) {
    if (!list)
        return NULL;
    for (size_t i = 0; i < list->count; i++)
        leave(list, &list->items[i]);
    c->threads -= list->count;
    thread_names_unref(list->names);
    free(list->items);
    free(list);
    return NULL;
}

/* What its threads are called is told by the names that they had. */
int threads_join(struct thread_list *list, struct thread_counting *c, struct thread_names *names) {
    struct thread_names *before = list->names;
    if (before == names)
        return 0;
    for (size_t i = 0; before && names && i < list->count; i++) {
        const uint32_t slot = list->items[i].name;
        uint32_t unused;
        /* all of them first: then nothing can fail half way */
        if (slot != NO_NAME && find_clean(names, c, before->items[slot].text, &unused) < 0)
            return -ENOMEM;
    }
    const bool comes_back = !before && list->began_ticks;
    for (size_t i = 0; i < list->count; i++) {
        struct thread *thread = &list->items[i];
        const uint32_t slot = thread->name;
        leave(list, thread);
        thread->stale = list->stale = true;
        if (comes_back) /* what it used in the meantime is nobody's */
            thread->have = 0;
        thread->name = NO_NAME;
        if (before && names && slot != NO_NAME) { /* it is there: see above */
            (void)find_clean(names, c, before->items[slot].text, &thread->name);
            names->items[thread->name].threads++;
        }
    }
    /* without names to go by they are read again */
    list->whole = list->whole && before && names;
    if (comes_back)
        list->began_ticks = list->known_ticks = UINT64_MAX;
    list->names = names ? thread_names_ref(names) : NULL;
    thread_names_unref(before);
    return 0;
}

/* Worked out for each thread each time, so by whole words. */
static uint64_t hash_of_comm(const char *comm, size_t len) {
    uint64_t h = len;
    for (size_t at = 0; at < len; at += 8) {
        uint64_t word = 0;
        memcpy(&word, comm + at, len - at < 8 ? len - at : 8);
        h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 32;
    }
    return h;
}

bool threads_are_due(const struct thread_list *list, const struct sample *s, bool idle,
                     uint32_t now_s) {
    return !list || !idle || !list->whole || list->behind ||
           list->count != s->value[FIELD_THREADS] ||
           list->main_hash != hash_of_comm(s->comm, s->comm_len) ||
           now_s - list->read_s >= READ_AGAIN_S - s->pid % 16;
}

/* ---- A thread ----------------------------------------------------------------------------- */

static int by_tid(const void *a, const void *b) {
    const struct thread *x = a, *y = b;
    return x->tid < y->tid ? -1 : x->tid > y->tid;
}

/* Sources list them ascending as a rule: `cursor` is where the one before was. */
static struct thread *find_thread(const struct thread_list *list, uint32_t tid, size_t *cursor) {
    const struct thread key = {.tid = tid};
    size_t at = *cursor;
    while (at < list->sorted && at < *cursor + 4 && list->items[at].tid < tid)
        at++;
    struct thread *found = NULL;
    if (at < list->sorted && list->items[at].tid == tid)
        found = &list->items[at];
    else if (list->sorted)
        found = bsearch(&key, list->items, list->sorted, sizeof(key), by_tid);
    if (found)
        *cursor = (size_t)(found - list->items);
    return found;
}

/* A record for a thread that has none. NULL: no memory; or no room, then *ret_full is set. */
static struct thread *add_thread(struct thread_list *list, struct thread_counting *c,
                                 bool *ret_full) {
    *ret_full = c->threads >= THREADS_MAX;
    if (*ret_full)
        return NULL;
    if (list->count == list->size) {
        const size_t size = list->size ? list->size * 2 : 1;
        struct thread *items = realloc(list->items, size * sizeof(*items));
        if (!items)
            return NULL;
        list->items = items;
        list->size = size;
    }
    c->threads++;
    struct thread *thread = &list->items[list->count++];
    *thread = (struct thread){.name = NO_NAME, .channel = NO_NAME};
    return thread;
}

int thread_list_restore(struct thread_list *list, struct thread_counting *c,
                        const struct thread *thread) {
    bool is_full;
    struct thread *to = add_thread(list, c, &is_full);
    if (!to && !is_full)
        return -ENOMEM;
    if (!to) {
        list->overfull = true;
        list->whole = false;
        return 0;
    }
    *to = *thread;
    to->channel = NO_NAME;
    to->seen = false;
    to->stale = list->stale = true;
    if (to->name != NO_NAME)
        list->names->items[to->name].threads++;
    return 0;
}

static uint64_t part_of(uint64_t whole, uint64_t share, uint64_t of) {
    return of ? (uint64_t)((unsigned __int128)whole * share / of) : 0;
}

/* Exact time in the proportion of what the clock tick has found, neither part ever falling. */
static void divide_cpu(const struct thread *thread, const struct thread_sample *s,
                       uint64_t *user, uint64_t *system) {
    const uint64_t exact = s->exact_cpu_ns, user_before = thread->last[THREAD_UTIME_NS],
                   system_before = thread->last[THREAD_STIME_NS];
    if (exact == 0)
        return;
    if (exact <= user_before + system_before) {
        *user = user_before;
        *system = system_before;
        return;
    }
    const uint64_t more = exact - user_before - system_before;
    uint64_t system_share = part_of(exact, *system, *user + *system);
    system_share = system_share > system_before ? system_share - system_before : 0;
    if (system_share > more)
        system_share = more;
    *system = system_before + system_share;
    *user = exact - *system;
}

/* `is_new`: all that it used is its name's; else what it has used so far is not. */
static void take_use(struct thread *thread, struct thread_name *name, const struct thread_sample *s,
                     bool is_new) {
    uint64_t value[THREAD_FIELDS];
    memcpy(value, s->value, sizeof(value));
    divide_cpu(thread, s, &value[THREAD_UTIME_NS], &value[THREAD_STIME_NS]);
    for (size_t f = 0; f < THREAD_FIELDS; f++) {
        if (!(s->have & 1u << f))
            continue;
        const bool had = thread->have & 1u << f;
        uint64_t increase = had || is_new ? value[f] - thread->last[f] : 0;
        /* Lower: execve(2) of another thread has made it the main thread, whose own figures
         * are no more. What it used itself was counted with it. */
        if (had && value[f] < thread->last[f])
            increase = 0;
        if (!had || value[f] != thread->last[f])
            thread->stale = true;
        thread->last[f] = value[f];
        if (name) {
            name->used[f] += increase;
            name->known |= 1u << f;
            if (increase) /* it is to be shown, though no thread may have the name any more */
                name->emptied_ns = 0;
        }
    }
    thread->have |= (uint8_t)s->have;
}

/* Where its time is known exactly, and has not grown, it did nothing else either. */
static bool has_slept(const struct thread *thread, const struct thread_sample *s, uint64_t hash) {
    return s->exact_cpu_ns && thread->comm_hash == hash && thread->name != NO_NAME &&
           thread->start_ticks == s->start_ticks && thread->have == s->have &&
           thread->last[THREAD_UTIME_NS] + thread->last[THREAD_STIME_NS] == s->exact_cpu_ns &&
           thread->last[THREAD_VOLUNTARY_SWITCHES] == s->value[THREAD_VOLUNTARY_SWITCHES];
}

/* Some of it was counted, and there is no record of how much: its end tells nothing new. */
static void forget(struct thread_list *list, uint64_t start_ticks) {
    if (list->known_ticks < start_ticks + 2)
        list->known_ticks = start_ticks + 2;
}

static int take_thread(struct thread_list *list, struct thread_counting *c,
                       const struct thread_sample *s, const struct thread_moment *moment,
                       size_t *cursor) {
    const uint64_t hash = hash_of_comm(s->comm, s->comm_len);
    struct thread *thread = find_thread(list, s->tid, cursor);
    bool is_full, is_new = false;
    uint32_t slot = NO_NAME;
    if (thread && has_slept(thread, s, hash)) {
        thread->seen = true;
        return 0;
    }
    if (!thread || thread->name == NO_NAME || thread->comm_hash != hash) {
        if (list->names && thread_names_find(list->names, c, s->comm, s->comm_len, &slot) < 0)
            return -ENOMEM;
    } else {
        slot = thread->name;
    }
    if (!thread)
        thread = add_thread(list, c, &is_full);
    if (!thread && is_full) {
        c->skipped++;
        list->overfull = true;
        forget(list, s->start_ticks);
        return 0;
    }
    if (!thread)
        return -ENOMEM;
    if (thread->start_ticks != s->start_ticks || thread->tid != s->tid) {
        /* A tick more, as start times are cut. One that a reading has missed, while others
         * ended, started before that: what it used is lost, but not counted twice. */
        const uint64_t since = list->began_ticks ? list->began_ticks : moment->since_ticks;
        is_new = (moment->from_birth && !list->began_ticks) ||
                 (since && s->start_ticks + 1 >= since);
        leave(list, thread);
        *thread = (struct thread){.tid = s->tid,
                                  .name = NO_NAME,
                                  .channel = NO_NAME,
                                  .stale = true,
                                  .start_ticks = s->start_ticks};
    }
    if (thread->name != slot) {
        if (thread->name != NO_NAME)
            list->names->items[thread->name].threads--;
        thread->name = slot;
        list->names->items[slot].threads++;
    }
    thread->comm_hash = hash;
    thread->seen = true;
    thread->is_missing = false;
    take_use(thread, slot == NO_NAME ? NULL : &list->names->items[slot], s, is_new);
    list->stale |= thread->stale;
    return 0;
}

static void set_missing(const struct thread_list *list, struct thread *thread, uint32_t now_s) {
    if (thread->is_missing)
        return;
    leave(list, thread);
    thread->name = NO_NAME;
    thread->is_missing = true;
    thread->is_told = false;
    thread->missing_s = (uint16_t)now_s;
}

void threads_leave(struct thread_list *list, uint32_t now_s) {
    for (size_t i = 0; i < list->count; i++)
        set_missing(list, &list->items[i], now_s);
}

static bool is_over(const struct thread *thread, uint32_t now_s) {
    return thread->is_told || (uint16_t)(now_s - thread->missing_s) >= MISSING_MOST_S;
}

static void drop_unseen(struct thread_list *list, struct thread_counting *c, uint32_t now_s) {
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct thread *thread = &list->items[i];
        if (!thread->seen)
            set_missing(list, thread, now_s);
        if (thread->seen || (c->ends_are_told && !is_over(thread, now_s)))
            list->items[count++] = *thread;
        else if (!thread->is_told)
            forget(list, thread->start_ticks);
    }
    c->threads -= list->count - count;
    list->count = count;
}

static void sort(struct thread_list *list) {
    for (size_t i = 1; i < list->count; i++)
        if (list->items[i - 1].tid > list->items[i].tid) {
            qsort(list->items, list->count, sizeof(*list->items), by_tid);
            break;
        }
    list->sorted = list->count;
}

int threads_take(struct thread_list *list, struct thread_counting *c, const struct sample *s,
                 const struct thread_moment *moment) {
    const struct thread_samples *samples = s->threads;
    size_t cursor = 0;
    int r = 0;
    if (list->sorted < list->count) /* it was restored */
        sort(list);
    if (samples->first_part) {
        for (size_t i = 0; i < list->count; i++)
            list->items[i].seen = false;
        list->next_began_ticks = moment->now_ticks;
        if (list->known_ticks == 0 || list->known_ticks == UINT64_MAX)
            list->known_ticks =
                moment->from_birth && !list->began_ticks ? 1 : moment->now_ticks;
        list->main_hash = hash_of_comm(s->comm, s->comm_len);
        list->behind = list->overfull = false;
    }
    for (size_t i = 0; r == 0 && i < samples->count; i++)
        r = take_thread(list, c, &samples->items[i], moment, &cursor);
    if (r == 0 && samples->last_part) {
        drop_unseen(list, c, moment->now_s);
        list->began_ticks = list->next_began_ticks;
        list->read_s = moment->now_s;
        list->whole = !list->overfull;
    }
    sort(list);
    list->has_others = list->has_others || !samples->main_only;
    return r;
}

int threads_take_end(struct thread_list *list, struct thread_counting *c,
                     const struct thread_sample *s) {
    struct thread unknown = {.name = NO_NAME, .channel = NO_NAME};
    size_t cursor = 0;
    if (list->sorted < list->count) /* it was restored */
        sort(list);
    struct thread *thread = s->tid ? find_thread(list, s->tid, &cursor) : NULL;
    if (thread && thread->start_ticks != s->start_ticks)
        thread = NULL; /* the tid has been reused */
    uint32_t slot = NO_NAME;
    if (list->names && thread_names_find(list->names, c, s->comm, s->comm_len, &slot) < 0)
        return -ENOMEM;
    take_use(thread ? thread : &unknown, slot == NO_NAME ? NULL : &list->names->items[slot], s,
             !thread && list->known_ticks && s->start_ticks + 1 >= list->known_ticks);
    if (thread) {
        set_missing(list, thread, 0);
        thread->is_told = true;
    }
    return 0;
}

/* ---- Where they wait ------------------------------------------------------------------------ */

void channels_begin(struct thread_counting *c) {
    c->channels_left = CHANNELS_BUDGET;
    c->turn = c->next_turn;
    c->next_turn = 0;
}

struct thread *channels_next(struct thread_list *list, struct thread_counting *c, uint32_t pid,
                             size_t *i) {
    if (!list->stale || pid < c->turn)
        return NULL;
    for (; *i < list->count; ++*i)
        if (list->items[*i].stale && !list->items[*i].is_missing) {
            if (c->channels_left == 0) {
                if (c->next_turn == 0)
                    c->next_turn = pid;
                return NULL;
            }
            c->channels_left--;
            return &list->items[(*i)++];
        }
    list->stale = false;
    return NULL;
}

int channels_set(struct thread_list *list, const struct thread_counting *c,
                 struct thread *thread, const char *channel, size_t len) {
    struct thread_counting as_they_are = *c;
    uint32_t slot = NO_NAME;
    as_they_are.folds = false;
    if (len > 0 && list->names) {
        if (!list->names->channels)
            list->names->channels = thread_names_new();
        if (!list->names->channels ||
            thread_names_find(list->names->channels, &as_they_are, channel, len, &slot) < 0)
            return -ENOMEM;
    }
    leave_channel(list, thread);
    thread->channel = slot;
    thread->stale = false;
    if (slot != NO_NAME)
        list->names->channels->items[slot].threads++;
    return 0;
}

bool thread_name_value(const struct thread_names *names, const struct thread_name *name,
                       enum metric metric, uint64_t *ret) {
    if (metric == METRIC_WAIT_CHANNEL || metric == METRIC_THREAD_COUNT) {
        *ret = name->threads + name->hidden_threads;
        return metric == METRIC_WAIT_CHANNEL || names->unknown == 0;
    }
    const size_t f = (size_t)metric - METRIC_THREAD_CPU_USER;
    *ret = name->used[f];
    return name->known >> f & 1;
}

_Static_assert(METRIC_THREAD_SWITCHES_INVOLUNTARY - METRIC_THREAD_CPU_USER + 1 == THREAD_FIELDS,
               "a metric for each field, in its order");
