/* SPDX-License-Identifier: MIT */
#include "source/linux/thread_totals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(entry) ((entry)->hashed = false)
#include <uthash.h>

struct thread {
    uint32_t tid;
    bool seen; /* since begin() anew */
    struct thread_values last;
};

struct entry {
    uint32_t pid;
    bool hashed, used;
    bool known;  /* all threads were read once */
    bool behind; /* it ran since begin() anew */
    uint64_t start_ticks;
    struct thread_values total;
    struct thread *threads; /* sorted by tid, then new ones */
    size_t count, sorted, size;
    UT_hash_handle hh;
};

struct thread_totals {
    struct entry *by_pid;
    struct entry *current;
};

int thread_totals_new(struct thread_totals **ret) {
    struct thread_totals *t = calloc(1, sizeof(*t));
    if (!t)
        return -ENOMEM;
    *ret = t;
    return 0;
}

static void forget(struct thread_totals *t, struct entry *e) {
    HASH_DEL(t->by_pid, e);
    free(e->threads);
    free(e);
}

struct thread_totals *thread_totals_free(struct thread_totals *t) {
    if (t) {
        struct entry *e, *next;
        HASH_ITER(hh, t->by_pid, e, next)
            forget(t, e);
        free(t);
    }
    return NULL;
}

static struct entry *find(struct thread_totals *t, uint32_t pid, uint64_t start_ticks) {
    struct entry *e;
    HASH_FIND(hh, t->by_pid, &pid, sizeof(pid), e);
    if (e && e->start_ticks != start_ticks) { /* the pid was used again */
        forget(t, e);
        e = NULL;
    }
    return e;
}

bool thread_totals_has(struct thread_totals *t, uint32_t pid, uint64_t start_ticks) {
    return find(t, pid, start_ticks) != NULL;
}

int thread_totals_begin(struct thread_totals *t, uint32_t pid, uint64_t start_ticks, bool anew) {
    struct entry *e = find(t, pid, start_ticks);
    if (!e) {
        e = calloc(1, sizeof(*e));
        if (!e)
            return -ENOMEM;
        e->pid = pid;
        e->start_ticks = start_ticks;
        e->hashed = true;
        HASH_ADD(hh, t->by_pid, pid, sizeof(e->pid), e);
        if (!e->hashed) {
            free(e);
            return -ENOMEM;
        }
    }
    if (anew) {
        for (size_t i = 0; i < e->count; i++)
            e->threads[i].seen = false;
        e->behind = false;
    }
    e->used = true;
    t->current = e;
    return 0;
}

static int by_tid(const void *a, const void *b) {
    const struct thread *x = a, *y = b;
    return x->tid < y->tid ? -1 : x->tid > y->tid;
}

static void add_increase(uint64_t *total, uint64_t now, uint64_t before) {
    /* lower than before: the number was given to another thread */
    *total += now >= before ? now - before : now;
}

/* The thread's record, made if there is none. */
static struct thread *thread_of(struct entry *e, uint32_t tid) {
    const struct thread key = {.tid = tid};
    struct thread *found = NULL;
    if (e->sorted)
        found = bsearch(&key, e->threads, e->sorted, sizeof(key), by_tid);
    if (found)
        return found;
    if (e->count == e->size) {
        size_t size = e->size ? e->size * 2 : 8;
        struct thread *threads = realloc(e->threads, size * sizeof(*threads));
        if (!threads)
            return NULL;
        e->threads = threads;
        e->size = size;
    }
    e->threads[e->count] = key;
    return &e->threads[e->count++];
}

int thread_totals_add(struct thread_totals *t, uint32_t tid, const struct thread_values *values) {
    struct entry *e = t->current;
    struct thread *thread = thread_of(e, tid);
    if (!thread) {
        /* with half a list the other half would be counted anew next time */
        forget(t, e);
        t->current = NULL;
        return -ENOMEM;
    }
    const struct thread_values *last = &thread->last;
    add_increase(&e->total.voluntary_switches, values->voluntary_switches,
                 last->voluntary_switches);
    add_increase(&e->total.involuntary_switches, values->involuntary_switches,
                 last->involuntary_switches);
    add_increase(&e->total.run_queue_wait_ns, values->run_queue_wait_ns, last->run_queue_wait_ns);
    e->total.knows_wait |= values->knows_wait;
    thread->last = *values;
    thread->seen = true;
    return 0;
}

bool thread_totals_end(struct thread_totals *t, bool (*is_alive)(void *data, uint32_t tid),
                       void *data, struct thread_values *ret) {
    struct entry *e = t->current;
    if (is_alive) {
        size_t count = 0;
        for (size_t i = 0; i < e->count; i++)
            if (e->threads[i].seen || is_alive(data, e->threads[i].tid))
                e->threads[count++] = e->threads[i];
        e->count = count;
        e->known = true;
    }
    /* the kernel lists them ascending; a recorded tree may not */
    for (size_t i = 1; i < e->count; i++)
        if (e->threads[i - 1].tid > e->threads[i].tid) {
            qsort(e->threads, e->count, sizeof(*e->threads), by_tid);
            break;
        }
    e->sorted = e->count;
    *ret = e->total;
    t->current = NULL;
    return e->known;
}

bool thread_totals_keep(struct thread_totals *t, uint32_t pid, uint64_t start_ticks, bool ran,
                        struct thread_values *ret) {
    struct entry *e = find(t, pid, start_ticks);
    if (!e)
        return false;
    e->used = true;
    e->behind |= ran;
    *ret = e->total;
    return e->known;
}

bool thread_totals_is_due(struct thread_totals *t, uint32_t pid, uint64_t start_ticks) {
    const struct entry *e = find(t, pid, start_ticks);
    return !e || !e->known || e->behind;
}

void thread_totals_sweep(struct thread_totals *t) {
    struct entry *e, *next;
    HASH_ITER(hh, t->by_pid, e, next) {
        if (!e->used)
            forget(t, e);
        else
            e->used = false;
    }
}
