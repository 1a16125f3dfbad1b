/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "source/linux/bpf_listing.h"

#include "source/linux/bpf_skeleton.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_SIZE (64u << 10)
#define CEILING ((size_t)1 << 31)
#define KEPT_SIZE ((size_t)1 << 20)
/* After a survey that found too many, or was refused: how often it is not tried again. */
#define SKIP 15u

void bpf_listing_init(struct bpf_listing *l) {
    *l = (struct bpf_listing){.fd = -1};
    buf_init(&l->records, CEILING);
}

void bpf_listing_end(struct bpf_listing *l) {
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
    l->is_begun = false;
}

void bpf_listing_free(struct bpf_listing *l) {
    bpf_listing_end(l);
    buf_free(&l->records);
    free(l->found);
    free(l->sorting);
}

static int open_iterator(struct bpf_listing *l, const struct bpf_handles *kernel) {
    l->fd = bpf_iter_create(kernel->list_fd);
    return l->fd < 0 ? -errno : 0;
}

static int read_iterator(struct bpf_listing *l) {
    struct buf *records = &l->records;
    for (;;) {
        int r = buf_reserve(records, READ_SIZE);
        if (r < 0)
            return r;
        ssize_t n = read(l->fd, records->data + records->len, records->size - records->len);
        if (n == 0)
            return 0;
        if (n > 0)
            records->len += (size_t)n;
        else if (errno != EINTR && errno != EAGAIN)
            return -errno;
    }
}

/* ---- Surveys ------------------------------------------------------------------------- */

static int run_program(int fd) {
    struct bpf_test_run_opts opts = {.sz = sizeof(opts)};
    return bpf_prog_test_run_opts(fd, &opts) < 0 ? -errno : 0;
}

/* Tasks come by the order of their creation, which is that of their pids until these wrap. */
static bool is_sorted(const struct found *found, size_t count) {
    for (size_t i = 1; i < count; i++)
        if (found[i - 1].pid >= found[i].pid)
            return false;
    return true;
}

#define SORT_BITS 11 /* at a time: pids have 22 at most */

static void sort_by_bits(const struct found *from, struct found *to, size_t count,
                         unsigned shift) {
    uint32_t places[1u << SORT_BITS] = {0}, place = 0;
    const uint32_t mask = (1u << SORT_BITS) - 1;
    for (size_t i = 0; i < count; i++)
        places[from[i].pid >> shift & mask]++;
    for (size_t i = 0; i <= mask; i++) {
        const uint32_t here = places[i];
        places[i] = place;
        place += here;
    }
    for (size_t i = 0; i < count; i++)
        to[places[from[i].pid >> shift & mask]++] = from[i];
}

static int make_room(struct found **at, size_t *size, size_t count) {
    if (count <= *size)
        return 0;
    const size_t more = count + count / 4;
    struct found *room = realloc(*at, more * sizeof(*room));
    if (!room)
        return -ENOMEM;
    *at = room;
    *size = more;
    return 0;
}

static int sort_found(struct bpf_listing *l) {
    if (is_sorted(l->found, l->found_count))
        return 0;
    int r = make_room(&l->sorting, &l->sorting_size, l->found_count);
    if (r < 0)
        return r;
    sort_by_bits(l->found, l->sorting, l->found_count, 0);
    sort_by_bits(l->sorting, l->found, l->found_count, SORT_BITS);
    return 0;
}

/* False: in vain. */
static bool make_survey(struct bpf_listing *l, struct bpf_handles *kernel) {
    const bool has_run = run_program(kernel->survey_fd) == 0;
    const size_t count = kernel->bss->found_count;
    if (!has_run || count > kernel->found_most) {
        l->skip = SKIP;
        return false;
    }
    const struct found *found = bpf_found(kernel, count);
    if (!found || make_room(&l->found, &l->found_size, count) < 0)
        return false;
    memcpy(l->found, found, count * sizeof(*l->found));
    l->found_count = count;
    l->done = 0;
    return sort_found(l) == 0;
}

/* Threads that had no room are left out, all of the process: it came to have more since the
 * survey than that allows. */
static void add_answer(struct buf *records, const struct answer *a,
                       const struct record_named_thread *named) {
    const struct shown *s = &a->shown;
    if (!a->is_there)
        return; /* it has ended, or is not to be shown yet */
    const bool names_threads = named && a->named == a->threads;
    if (names_threads)
        buf_add(records, &named[a->first_named], sizeof(*named));
    if (s->exec.kind)
        buf_add(records, &s->exec, sizeof(s->exec));
    if (s->process.process.kind == RECORD_DETAILED)
        buf_add(records, &s->process, sizeof(s->process));
    else
        buf_add(records, &s->process.process, sizeof(s->process.process));
    if (names_threads)
        buf_add(records, &named[a->first_named + 1], (a->named - 1) * sizeof(*named));
}

/* The next processes, up to as many that are awake as one call answers for. What has been
 * answered counts as shown, so there is room for it first. */
static int show_some(struct bpf_listing *l, const struct bpf_handles *kernel) {
    const struct record_named_thread *named =
        kernel->bss->want_thread_names ? kernel->named : NULL;
    uint32_t asked = 0, answered = 0;
    size_t end = l->done;
    for (; end < l->found_count; end++) {
        const struct found *f = &l->found[end];
        if (f->kind != FOUND_AWAKE)
            continue;
        if (asked == ASKED_MOST)
            break;
        kernel->answers[asked].pid = f->pid;
        kernel->answers[asked++].mark = f->mark;
    }
    int r = buf_reserve(&l->records, (end - l->done) * sizeof(struct record_same) +
                                         asked * sizeof(struct shown) +
                                         (named ? NAMED_MOST * sizeof(*named) : 0));
    kernel->bss->asked_count = asked;
    if (r == 0 && asked > 0)
        r = run_program(kernel->show_fd);
    if (r < 0)
        return r;
    asked = kernel->bss->asked_count; /* those that there was room for */
    for (; l->done < end; l->done++) {
        if (l->found[l->done].kind == FOUND_AWAKE && answered == asked)
            break;
        if (l->found[l->done].kind == FOUND_AWAKE)
            add_answer(&l->records, &kernel->answers[answered++], named);
        else
            buf_add(&l->records, &l->found[l->done].same, sizeof(struct record_same));
    }
    return 0;
}

/* ---- Both ------------------------------------------------------------------------------ */

/* A listing in full, as the first one is, takes much more room than the others. */
static void reset_records(struct buf *records) {
    if (records->size >= KEPT_SIZE && records->len < records->size / 4) {
        buf_free(records);
        bpf_give_memory_back();
    }
    buf_reset(records);
}

int bpf_listing_begin(struct bpf_listing *l, const struct bpf_handles *kernel, bool in_full) {
    bool may_survey = kernel->answers && !in_full &&
                      (kernel->named || !kernel->bss->want_thread_names);
    if (may_survey && l->skip) {
        l->skip--;
        may_survey = false;
    }
    int r = may_survey ? 0 : open_iterator(l, kernel);
    l->is_survey = may_survey;
    l->is_surveyed = false;
    l->is_begun = r == 0;
    reset_records(&l->records);
    return r;
}

int bpf_listing_read(struct bpf_listing *l, struct bpf_handles *kernel) {
    int r = 0;
    l->records.error = 0; /* of the first try */
    if (l->is_survey && !l->is_surveyed)
        l->is_surveyed = l->is_survey = make_survey(l, kernel);
    if (!l->is_survey && l->fd < 0)
        r = open_iterator(l, kernel);
    if (!l->is_survey)
        return r < 0 ? r : read_iterator(l);
    while (r == 0 && l->done < l->found_count)
        r = show_some(l, kernel);
    return r;
}
