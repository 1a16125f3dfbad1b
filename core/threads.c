/* SPDX-License-Identifier: MIT */
#include "threads.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(entry) ((entry)->hashed = false)
#include <uthash.h>

struct thread {
    uint32_t tid;
    struct thread_values last;
};

struct entry {
    uint32_t pid;
    bool hashed, used;
    uint64_t start_ticks;
    struct thread_values total;
    struct thread *threads, *before; /* sorted by tid; this time's and last time's */
    size_t count, size, before_count, before_size;
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
    free(e->before);
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

int thread_totals_begin(struct thread_totals *t, uint32_t pid, uint64_t start_ticks) {
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
    struct thread *threads = e->before;
    size_t size = e->before_size;
    e->before = e->threads;
    e->before_count = e->count;
    e->before_size = e->size;
    e->threads = threads;
    e->size = size;
    e->count = 0;
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

int thread_totals_add(struct thread_totals *t, uint32_t tid, const struct thread_values *values) {
    struct entry *e = t->current;
    if (e->count == e->size) {
        size_t size = e->size ? e->size * 2 : 8;
        struct thread *threads = realloc(e->threads, size * sizeof(*threads));
        if (!threads) {
            /* with half a list the other half would be counted anew next time */
            forget(t, e);
            t->current = NULL;
            return -ENOMEM;
        }
        e->threads = threads;
        e->size = size;
    }
    e->threads[e->count++] = (struct thread){tid, *values};
    const struct thread key = {.tid = tid};
    const struct thread *before = NULL;
    if (e->before_count)
        before = bsearch(&key, e->before, e->before_count, sizeof(key), by_tid);
    const struct thread_values none = {0}, *last = before ? &before->last : &none;
    add_increase(&e->total.voluntary_switches, values->voluntary_switches,
                 last->voluntary_switches);
    add_increase(&e->total.involuntary_switches, values->involuntary_switches,
                 last->involuntary_switches);
    add_increase(&e->total.run_queue_wait_ns, values->run_queue_wait_ns, last->run_queue_wait_ns);
    return 0;
}

void thread_totals_end(struct thread_totals *t, struct thread_values *ret) {
    struct entry *e = t->current;
    /* the kernel lists them ascending; a recorded tree may not */
    for (size_t i = 1; i < e->count; i++)
        if (e->threads[i - 1].tid > e->threads[i].tid) {
            qsort(e->threads, e->count, sizeof(*e->threads), by_tid);
            break;
        }
    *ret = e->total;
    t->current = NULL;
}

bool thread_totals_keep(struct thread_totals *t, uint32_t pid, uint64_t start_ticks,
                        struct thread_values *ret) {
    struct entry *e = find(t, pid, start_ticks);
    if (!e)
        return false;
    e->used = true;
    *ret = e->total;
    return true;
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
