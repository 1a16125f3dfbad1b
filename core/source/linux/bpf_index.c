/* SPDX-License-Identifier: MIT */
#include "source/linux/bpf_index.h"

#include <errno.h>
#include <stdlib.h>

#define NO_THREAD UINT32_MAX

struct bpf_thread_places {
    uint32_t main;        /* a record_named_thread; BPF_NO_RECORD: none */
    uint32_t first, last; /* among the threads; NO_THREAD: it has no others */
};

void bpf_index_free(struct bpf_index *x) {
    free(x->listed);
    free(x->places);
    free(x->threads.at);
    free(x->next_thread);
    free(x->thread_places);
}

static const void *record_at(const struct bpf_index *x, uint32_t at) {
    return x->listing->data + at;
}

/* ---- Making it -------------------------------------------------------------------------- */

static int add_process(struct bpf_index *x, uint32_t pid, uint64_t start_ns,
                       enum listed_state state, struct bpf_place place) {
    if (x->count == x->size) {
        size_t size = x->size ? x->size * 2 : 1024;
        struct listed *listed = realloc(x->listed, size * sizeof(*listed));
        if (listed)
            x->listed = listed;
        struct bpf_place *places = realloc(x->places, size * sizeof(*places));
        if (places)
            x->places = places;
        struct bpf_thread_places *of_threads =
            x->names_threads ? realloc(x->thread_places, size * sizeof(*of_threads)) : NULL;
        if (of_threads)
            x->thread_places = of_threads;
        if (!listed || !places || (x->names_threads && !of_threads))
            return -ENOMEM;
        x->size = size;
    }
    x->listed[x->count] = (struct listed){pid, state, start_ns};
    if (x->names_threads) {
        x->thread_places[x->count] =
            (struct bpf_thread_places){x->main_thread, NO_THREAD, NO_THREAD};
        x->main_thread = BPF_NO_RECORD;
    }
    x->places[x->count++] = place;
    return 0;
}

static int add_thread(struct bpf_index *x, uint32_t at) {
    if (x->threads.count == x->threads.size) {
        size_t size = x->threads.size ? x->threads.size * 2 : 1024;
        uint32_t *places = realloc(x->threads.at, size * sizeof(*places));
        if (places)
            x->threads.at = places;
        uint32_t *next =
            x->names_threads ? realloc(x->next_thread, size * sizeof(*next)) : NULL;
        if (next)
            x->next_thread = next;
        if (!places || (x->names_threads && !next))
            return -ENOMEM;
        x->threads.size = size;
    }
    x->threads.at[x->threads.count++] = at;
    return 0;
}

/* The kernel hands tasks out by ascending pid. */
int bpf_index_make(struct bpf_index *x, struct buf *listing) {
    uint32_t exec = BPF_NO_RECORD;
    x->listing = listing;
    x->count = x->threads.count = x->at = 0;
    x->main_thread = BPF_NO_RECORD;
    for (size_t at = 0; at < listing->len;) {
        const struct record_same *record = record_at(x, (uint32_t)at);
        const struct record_process *process;
        size_t len = 0;
        int r = 0;
        switch (record->kind) {
        case RECORD_EXEC:
            len = sizeof(struct record_exec);
            exec = (uint32_t)at;
            break;
        case RECORD_PROCESS:
        case RECORD_DETAILED:
            len = record->kind == RECORD_PROCESS ? sizeof(struct record_process)
                                                 : sizeof(struct record_detailed);
            process = (const void *)record;
            r = add_process(x, process->pid, process->start_ns, LISTED_ACTIVE,
                            (struct bpf_place){(uint32_t)at, exec});
            exec = BPF_NO_RECORD;
            break;
        case RECORD_SAME:
            len = sizeof(struct record_same);
            r = add_process(x, record->pid, record->start_ns, LISTED_ASLEEP,
                            (struct bpf_place){(uint32_t)at, BPF_NO_RECORD});
            break;
        case RECORD_THREAD:
            len = sizeof(struct record_thread);
            r = add_thread(x, (uint32_t)at);
            break;
        case RECORD_NAMED_THREAD:
        case RECORD_SUMMED_THREAD:
            len = sizeof(struct record_named_thread);
            r = add_thread(x, (uint32_t)at);
            break;
        case RECORD_MAIN_THREAD:
            len = sizeof(struct record_named_thread);
            x->main_thread = (uint32_t)at;
            break;
        default:
            return -EBADMSG;
        }
        if (r < 0)
            return r;
        at += len;
    }
    return 0;
}

/* Puts a thread behind the others of its process. */
static void link_thread(struct bpf_index *x, const struct bpf_place *place, uint32_t thread) {
    struct bpf_thread_places *of = &x->thread_places[place - x->places];
    x->next_thread[thread] = NO_THREAD;
    if (of->first == NO_THREAD)
        of->first = thread;
    else
        x->next_thread[of->last] = thread;
    of->last = thread;
}

void bpf_index_add_threads_up(struct bpf_index *x) {
    for (size_t i = 0; i < x->threads.count; i++) {
        const struct record_thread *thread = record_at(x, x->threads.at[i]);
        const struct bpf_place *place = bpf_index_find(x, thread->pid);
        struct record_process *process =
            place ? (void *)(x->listing->data + place->process) : NULL;
        if (!process || process->kind == RECORD_SAME)
            continue;
        if (thread->kind != RECORD_THREAD)
            link_thread(x, place, (uint32_t)i);
        if (thread->kind == RECORD_SUMMED_THREAD)
            continue;
        for (size_t k = 0; k < USAGES; k++)
            process->usage.of[k] += thread->usage.of[k];
        process->running += thread->state == 0 && thread->exit_state == 0;
    }
    x->at = 0;
}

/* ---- Looking into it ---------------------------------------------------------------------- */

const struct bpf_place *bpf_index_find(struct bpf_index *x, uint32_t pid) {
    for (size_t i = x->at; i < x->count && i < x->at + 2; i++)
        if (x->listed[i].pid == pid) {
            x->at = i;
            return &x->places[i];
        }
    size_t low = 0, high = x->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (x->listed[middle].pid < pid)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == x->count || x->listed[low].pid != pid)
        return NULL;
    x->at = low;
    return &x->places[low];
}

int bpf_index_threads(const struct bpf_index *x, const struct bpf_place *place,
                      bpf_use_thread *use, void *data) {
    const struct bpf_thread_places *of = &x->thread_places[place - x->places];
    if (of->main == BPF_NO_RECORD)
        return 0;
    int r = use(data, record_at(x, of->main));
    for (uint32_t i = of->first; r == 0 && i != NO_THREAD; i = x->next_thread[i])
        r = use(data, record_at(x, x->threads.at[i]));
    return r;
}
