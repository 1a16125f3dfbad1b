/* SPDX-License-Identifier: MIT */
/* For people: what each part of a collection costs here, measured with it and without it. */
#include "base/error.h"
#include "collector/collector.h"
#include "config/config.h"
#include "output/present.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Each is measured so often, unless that takes too long; the least counts, as whatever else
 * the host does only adds to it. */
#define ROUNDS 7
#define ROUNDS_AT_LEAST 2
#define LONGEST_NS (2 * NS_PER_S)

/* CPU time of collections. */
struct cost {
    uint64_t first_ns; /* all processes are new, and read in full */
    uint64_t later_ns; /* right after that: who has slept is not read again */
    uint64_t processes;
};

static uint64_t least(uint64_t a, uint64_t b) {
    return a == 0 || b < a ? b : a;
}

static int time_collection(tally *t, uint64_t *ret_ns) {
    const tally_snapshot *unused;
    const uint64_t before_ns = clock_ns(t, CLOCK_THREAD_CPUTIME_ID);
    int r = tally_collect(t, &unused);
    *ret_ns = clock_ns(t, CLOCK_THREAD_CPUTIME_ID) - before_ns;
    return r;
}

/* One measure more. */
static int measure(const tally_config *config, const struct io *io, struct cost *cost,
                   struct tally_error *error) {
    const struct tally_new_opts opts = {.size = sizeof(opts), .only_looks = true};
    uint64_t first_ns, later_ns;
    tally *t;
    int r = collector_new(config, &opts, io, &t, error);
    if (r < 0)
        return r;
    r = time_collection(t, &first_ns);
    if (r == 0)
        r = time_collection(t, &later_ns);
    if (r == 0) {
        cost->first_ns = least(cost->first_ns, first_ns);
        cost->later_ns = least(cost->later_ns, later_ns);
        cost->processes = self_now(&t->counting, METRIC_SELF_PROCESSES);
    } else {
        error_set(error, "can't collect: %s", strerror(-r));
    }
    tally_free(t);
    return r;
}

/* ---- Configurations that differ in one word ----------------------------------------------- */

/* All options are those of `from`, but `metrics`, which would hide what a part costs; and
 * behind the words of `collect` there is one more. */
static int vary(const tally_config *from, const char *word, tally_config **ret,
                struct tally_error *error) {
    tally_config *c;
    int r = tally_config_new(&c);
    if (r < 0)
        return r;
    for (enum option o = 0; r == 0 && o < OPTIONS; o++)
        if (o != OPTION_METRICS) {
            c->values[o].layer = from->values[o].layer;
            r = string_list_copy(&c->values[o].items, &from->values[o].items);
        }
    c->rule_layer = from->rule_layer;
    c->rules = from->rule_count && r == 0 ? calloc(from->rule_count, sizeof(*c->rules)) : NULL;
    if (from->rule_count && r == 0 && !c->rules)
        r = -ENOMEM;
    for (size_t i = 0; r == 0 && i < from->rule_count; i++) {
        r = rule_text_copy(&c->rules[i], &from->rules[i]);
        c->rule_count += r == 0;
    }
    struct config_value *collect = &c->values[OPTION_COLLECT];
    if (collect->layer == LAYER_DEFAULT)
        collect->layer = LAYER_CALLER;
    if (r == 0)
        r = string_list_add(&collect->items, word, strlen(word));
    if (r < 0) {
        error_set(error, "out of memory");
        tally_config_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

/* By turns, so that whatever happens meanwhile happens to both; without `b` only the one. */
static int measure_by_turns(const tally_config *a, const tally_config *b, const struct io *io,
                            struct cost *ret_a, struct cost *ret_b, struct tally_error *error) {
    const uint64_t begin_ns = io->clock_ns(io->data, CLOCK_MONOTONIC);
    int r = 0;
    *ret_a = *ret_b = (struct cost){0};
    for (int i = 0; r == 0 && i < ROUNDS; i++) {
        if (i >= ROUNDS_AT_LEAST && io->clock_ns(io->data, CLOCK_MONOTONIC) - begin_ns > LONGEST_NS)
            break;
        r = measure(a, io, ret_a, error);
        if (r == 0 && b)
            r = measure(b, io, ret_b, error);
    }
    return r;
}

static int measure_word(const tally_config *config, const char *name, const struct io *io,
                        struct cost *ret_with, struct cost *ret_without,
                        struct tally_error *error) {
    char no[64] = "no-";
    tally_config *with = NULL, *without = NULL;
    strncat(no, name, sizeof(no) - strlen(no) - 1);
    int r = vary(config, name, &with, error);
    if (r == 0)
        r = vary(config, no, &without, error);
    /* a top that goes by it */
    if (r == 0 && tally_config_check(without, error) < 0)
        r = config_set(without, LAYER_CALLER, OPTION_TOP,
                       tally_option(OPTION_TOP)->default_value, error);
    if (r == 0)
        r = measure_by_turns(with, without, io, ret_with, ret_without, error);
    tally_config_free(with);
    tally_config_free(without);
    return r;
}

/* ---- The table -------------------------------------------------------------------------------- */

static void add_tenths(struct buf *to, int width, uint64_t ns, uint64_t unit_ns) {
    const unsigned long long tenths = (ns * 10 + unit_ns / 2) / unit_ns;
    buf_printf(to, "%*llu.%llu", width - 2, tenths / 10, tenths % 10);
}

static void add_row(struct buf *to, const char *name, const char *on, const struct cost *cost) {
    buf_printf(to, "%-18s  %-3s  ", name, on);
    add_tenths(to, 10, cost->processes ? cost->first_ns * 1000 / cost->processes : 0, 1000000);
    buf_add_str(to, "  ");
    add_tenths(to, 13, cost->first_ns, 1000000);
    buf_add_str(to, "  ");
    add_tenths(to, 8, cost->later_ns, 1000000);
    buf_add_char(to, '\n');
}

static uint64_t beyond(uint64_t with_ns, uint64_t without_ns) {
    return with_ns > without_ns ? with_ns - without_ns : 0;
}

int tally_explain_cost(const tally_config *config, tally_text *to, const char **ret_data,
                       size_t *ret_len, struct tally_error *error) {
    struct settings settings;
    struct cost all, without;
    if (error)
        error->text[0] = '\0';
    int r = config_settings(config, &settings);
    if (r < 0) {
        error_set(error, "out of memory");
        return r;
    }
    const unsigned collect = settings.collect;
    settings_free(&settings);
    r = measure_by_turns(config, NULL, &io_kernel, &all, &without, error);
    if (r < 0)
        return r;
    buf_reset(&to->data);
    buf_printf(&to->data, "CPU time with %llu processes, measured several times; the least counts.\n"
                          "COLLECTION reads all processes, LATER those that have run since.\n\n"
                          "%-18s  %-3s  %10s  %13s  %8s\n",
               (unsigned long long)all.processes, "PART", "ON", "us/PROCESS", "ms/COLLECTION",
               "ms/LATER");
    add_row(&to->data, "as configured", "", &all);
    for (size_t i = 0; i < COLLECTS; i++) {
        struct cost with = {0};
        r = measure_word(config, collect_names[i], &io_kernel, &with, &without, error);
        if (r < 0)
            break;
        with.first_ns = beyond(with.first_ns, without.first_ns);
        with.later_ns = beyond(with.later_ns, without.later_ns);
        add_row(&to->data, collect_names[i], collect & 1u << i ? "yes" : "no", &with);
    }
    return r < 0 ? r : text_finish(to, ret_data, ret_len);
}
