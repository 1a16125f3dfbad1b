/* SPDX-License-Identifier: MIT */
#include "watching.h"

#include "record.h"
#include "text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void write_sample(FILE *to, void *data) {
    const struct watch *w = data;
    record_sample(to, &w->tree, w->snapshot);
}

static void write_csv_sample(FILE *to, void *data) {
    const struct watch *w = data;
    record_csv(to, &w->tree, w->snapshot);
}

static int compare_names(const void *a, const void *b) {
    const struct program *x = a, *y = b;
    return strcmp(x->name, y->name);
}

struct program *watch_largest(const struct watch *w, const char *name) {
    const struct program key = {.name = (char *)(uintptr_t)name};
    return w->largest_count ? bsearch(&key, w->largest, w->largest_count, sizeof(*w->largest),
                                      compare_names)
                            : NULL;
}

static int note_largest(struct watch *w, const char *name, uint64_t rss_bytes) {
    struct program *found = watch_largest(w, name);
    if (!found) {
        struct program *more = realloc(w->largest, (w->largest_count + 1) * sizeof(*w->largest));
        char *copy = strdup(name);
        if (more)
            w->largest = more;
        if (!more || !copy) {
            free(copy);
            return -ENOMEM;
        }
        w->largest[w->largest_count++] = (struct program){.name = copy};
        qsort(w->largest, w->largest_count, sizeof(*w->largest), compare_names);
        found = watch_largest(w, name);
    }
    if (found)
        note_most(&found->largest_rss_bytes, rss_bytes);
    note_most(&w->summary.largest_rss_bytes, rss_bytes);
    return 0;
}

/* Of a process that was attached to, what it had before does not count. */
static int note_largest_process(struct watch *w, const struct tracked *process, size_t i) {
    const tally_snapshot *s = w->snapshot;
    const size_t group = tally_snapshot_process(s, i)->group;
    uint64_t rss = 0, peak;
    if (group == TALLY_NO_GROUP)
        return 0;
    (void)tally_snapshot_process_value(s, i, w->rss, &rss);
    if (tree_value(&w->tree, process, s, i, w->tree.peak, &peak))
        note_most(&rss, peak);
    return rss ? note_largest(w, tally_snapshot_group_name(s, group), rss) : 0;
}

/* Of those that are alive; and of a command also of those that ended without having been
 * shown one by one, which only their group tells. */
static int note_largest_of_all(struct watch *w) {
    const tally_snapshot *s = w->snapshot;
    size_t at = 0;
    int r = 0;
    for (size_t i = 0; r == 0 && i < tally_snapshot_processes(s); i++)
        if (tree_has(&w->tree, s, i))
            r = note_largest_process(w, &w->tree.items[at++], i);
    for (size_t i = 0; r == 0 && w->is_run && i < tally_snapshot_groups(s); i++) {
        uint64_t peak;
        if (tally_snapshot_value(s, i, w->rss_peak, &peak))
            r = note_largest(w, tally_snapshot_group_name(s, i), peak);
    }
    return r;
}

static void note_who_ignores_children(struct watch *w) {
    for (size_t i = 0; i < tally_snapshot_processes(w->snapshot); i++)
        w->ignores_children |= tally_snapshot_process(w->snapshot, i)->ignores_children;
}

/* What a sample has besides the figures: who is new, and who has ended. */
struct changes {
    struct watch *watch;
    FILE *to; /* NULL: nobody wants to read of them */
    int error;
};

static void write_child(void *data, const tally_snapshot *s, size_t i) {
    const struct changes *c = data;
    if (c->to)
        record_child(c->to, s, i);
}

static void write_changes(FILE *to, void *data) {
    struct changes *c = data;
    const tally_snapshot *s = c->watch->snapshot;
    const size_t alive = tally_snapshot_processes(s);
    c->to = to;
    c->error = tree_update(&c->watch->tree, s, write_child, c);
    for (size_t i = alive; c->error == 0 && i < alive + tally_snapshot_ended(s); i++) {
        const struct tracked ended = tree_ended(&c->watch->tree, s, i);
        if (ended.pid == c->watch->tree.roots[0])
            c->watch->root_end_told = true;
        c->error = note_largest_process(c->watch, &ended, i);
        if (to && tree_has(&c->watch->tree, s, i))
            record_end(to, &c->watch->tree, &ended, s, i);
    }
}

static uint64_t sum_of(const tally_snapshot *s, size_t metric) {
    uint64_t sum;
    (void)figures_sum(s, metric, &sum); /* 0 if it is not known */
    return sum;
}

/* The sums that the summary is made of. */
static void note_sums(struct watch *w) {
    struct summary *s = &w->summary;
    const uint64_t now = now_ns(CLOCK_MONOTONIC), rss = sum_of(w->snapshot, w->rss);
    /* as if it had gone from the one to the other in a straight line; a zombie has no memory,
     * but had it until then */
    if (w->sampled_ns)
        s->rss_sum_byte_s +=
            ((double)(w->root_ended ? w->last_rss_bytes : rss) + (double)w->last_rss_bytes) / 2 *
            (double)(now - w->sampled_ns) / (double)NS_PER_S;
    w->sampled_ns = now;
    w->last_rss_bytes = rss;
    s->samples++;
    note_most(&s->rss_sum_peak_bytes, rss);
    note_most(&s->pss_peak_bytes, sum_of(w->snapshot, w->pss));
    note_most(&s->most_processes, sum_of(w->snapshot, w->processes));
    note_most(&s->most_threads, sum_of(w->snapshot, w->threads));
}

static void say_notices(struct watch *w) {
    struct tally_error text;
    while (tally_notice(w->t, &text))
        /* of a zombie less can be read, which is no news */
        if (!w->options->is_quiet && !w->root_ended)
            cli_say(w->cli->program, 'W', "%s", text.text);
}

/* -errno: there is none this time. */
int watch_collect(struct watch *w) {
    int r = tally_collect(w->t, &w->snapshot);
    if (r < 0 && !w->has_failed)
        cli_say(w->cli->program, 'E', "cannot collect: %s", strerror(-r));
    w->has_failed = r < 0;
    say_notices(w);
    return r;
}

/* Who has come and gone. -errno: the sample is lost. */
int watch_take_changes(struct watch *w) {
    struct changes changes = {.watch = w, .error = 1};
    int r = watch_collect(w);
    if (r < 0)
        return r;
    note_who_ignores_children(w);
    watch_emit(w, false, write_changes, &changes);
    if (changes.error == 1)
        write_changes(NULL, &changes);
    r = changes.error < 0 ? changes.error : note_largest_of_all(w);
    if (r < 0)
        cli_say(w->cli->program, 'E', "a sample is lost: %s", strerror(-r));
    return r;
}

void watch_take_sample(struct watch *w) {
    if (watch_take_changes(w) < 0)
        return;
    note_sums(w);
    watch_emit(w, false, write_sample, w);
    watch_emit(w, true, write_csv_sample, w);
    if (w->options->is_live) {
        record_live(stderr, w->snapshot, w->tree.begun_unix_ns,
                    isatty(STDERR_FILENO) && text_may_be_coloured());
    }
}
