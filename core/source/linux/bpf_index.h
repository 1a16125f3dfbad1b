/* SPDX-License-Identifier: MIT */
/*
 * The records of a listing (bpf_listing.h) by process: where its own are, and those of its
 * threads.
 */
#ifndef BPF_INDEX_H
#define BPF_INDEX_H

#include "base/buf.h"
#include "source/linux/kernel/shared.h"
#include "source/source.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where the records of a process are in the listing. */
struct bpf_place {
    uint32_t process; /* a record_process, a record_detailed, or a record_same */
    uint32_t exec;    /* a record_exec; BPF_NO_RECORD: none */
};
#define BPF_NO_RECORD UINT32_MAX

/* All zero is an empty one. */
struct bpf_index {
    bool names_threads; /* they are told one by one; to be set before there is a listing */

    struct buf *listing;
    struct listed *listed; /* by ascending pid */
    struct bpf_place *places;
    size_t count, size, at; /* at: where the last one was looked up */
    struct { /* offsets of thread records */
        uint32_t *at;
        size_t count, size;
    } threads;
    /* With names_threads: */
    uint32_t *next_thread; /* as many as threads.at: the next of the same process */
    struct bpf_thread_places *thread_places; /* as many as places */
    uint32_t main_thread; /* of the process whose record comes next */
};

/* Frees what is in it. */
void bpf_index_free(struct bpf_index *x);

/* Goes through a listing, which it refers to from then on; what it knew of another is gone. It
 * may be the same one again. -ENOMEM, -EBADMSG. */
int bpf_index_make(struct bpf_index *x, struct buf *listing);
/* Adds what threads have used to the records of their processes. Once for each listing. */
void bpf_index_add_threads_up(struct bpf_index *x);

/* NULL: it is not listed. Fastest where they are looked up in order. */
const struct bpf_place *bpf_index_find(struct bpf_index *x, uint32_t pid);

/* Its record; kind says which. */
static inline const struct record_process *bpf_index_process(const struct bpf_index *x,
                                                             const struct bpf_place *place) {
    return (const void *)(x->listing->data + place->process);
}
/* NULL: it has executed no program since it was last listed. */
static inline const struct record_exec *bpf_index_exec(const struct bpf_index *x,
                                                       const struct bpf_place *place) {
    return place->exec == BPF_NO_RECORD ? NULL : (const void *)(x->listing->data + place->exec);
}

/* -errno ends it. */
typedef int bpf_use_thread(void *data, const struct record_named_thread *thread);
/* Calls `use` for each thread, the main one first; for none if they are not told one by one.
 * After bpf_index_add_threads_up(). */
int bpf_index_threads(const struct bpf_index *x, const struct bpf_place *place,
                      bpf_use_thread *use, void *data);

#endif
