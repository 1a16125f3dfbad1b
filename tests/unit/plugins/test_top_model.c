/* SPDX-License-Identifier: MIT */
/* The rows of `proctally top` and what stands in them, on a recorded /proc. */
#include "top_model.h"

#include "failing_memory.h"
#include "suite.h"
#include "tree.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BOTH (TALLY_KEEP_PROCESSES | TALLY_KEEP_HOST)

static struct recorded init, shell, worker, helper;
static tally *t;
static struct top_model model;

static tally *collector(tally *from, const char *group_by) {
    const struct tally_new_opts opts = {
        .size = sizeof(opts), .keep = BOTH, .count_lifetimes = true, .inherit = from};
    return tree_collector_with(&opts, "cpu-mode", "core", "expire-after", "0s", "group-by",
                               group_by, NULL);
}

static void take_at(double seconds, bool is_regrouped) {
    clock_set(seconds);
    ck_assert_int_eq(top_model_take(&model, tree_collect(t), is_regrouped), 0);
    ck_assert_int_eq(top_model_arrange(&model), 0);
}

/* A shell of root, whose child ended unseen within the second from 100 to 101, two workers,
 * one of them the other's child, and one that began within it. */
static void setup(void) {
    tree_open();
    init = (struct recorded){.pid = 1, .start_ticks = 10, .comm = "init"};
    shell = (struct recorded){.pid = 100, .ppid = 1, .start_ticks = 5000, .comm = "Shell",
                              .rss_kib = 100, .rss_pages = 25};
    worker = (struct recorded){.pid = 200, .ppid = 100, .start_ticks = 6000, .comm = "worker",
                               .utime = 100, .rss_kib = 400, .rss_pages = 100, .uid = 1};
    helper = (struct recorded){.pid = 150, .ppid = 200, .start_ticks = 7000, .comm = "worker",
                               .read_bytes = 1000, .uid = 1};
    tree_put(&init);
    tree_put(&shell);
    tree_put(&worker);
    tree_put(&helper);
    tree_put_host("stat", "cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 0 0 0 0\nbtime 1700000000\n");
    tree_put_host("meminfo", "MemTotal: 1000 kB\nMemFree: 200 kB\nBuffers: 1 kB\nCached: 2 kB\n");
    t = collector(NULL, "name");
    ck_assert_int_eq(top_model_new(&model), 0);
    take_at(100, false);
}

static void second_look(void) {
    const struct recorded fresh = {.pid = 300, .ppid = 100, .start_ticks = 10050, .comm = "fresh",
                                   .utime = 5, .read_bytes = 70};
    shell.cutime = 30;
    worker.utime = 150;
    helper.utime = 10;
    helper.read_bytes = 3000;
    tree_put(&shell);
    tree_put(&worker);
    tree_put(&helper);
    tree_put(&fresh);
    tree_put_host("stat", "cpu  130 0 110 740 90 0 0 20 0 0\ncpu0 0 0 0 0\nbtime 1700000000\n");
    take_at(101, false);
}

static void teardown(void) {
    top_model_free(&model);
    tally_free(t);
    tree_close();
}

/* "NAME:VALUE", an indent of '.' for each level, of all rows in their order. */
static const char *rows(enum top_column column) {
    static char text[2048];
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < model.row_count; i++) {
        const struct top_row *row = &model.rows[i];
        uint64_t value;
        size_t len;
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%.*s%s:", i ? " " : "",
                               (int)row->depth, "........",
                               top_model_text(&model, row, TOP_NAME, &len));
        if (top_columns[column].form == TOP_TEXT) {
            const char *shown = top_model_text(&model, row, column, &len);
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%.*s", shown ? (int)len : 1,
                                   shown ? shown : "-");
        } else if (top_model_value(&model, row, column, &value)) {
            /* a ratio in thousandths */
            value = top_columns[column].form == TOP_PERCENT ? (value + 500000) / 1000000 : value;
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%" PRIu64, value);
        } else {
            at += (size_t)snprintf(text + at, sizeof(text) - at, "-");
        }
    }
    return text;
}

static void arrange(void) {
    ck_assert_int_eq(top_model_arrange(&model), 0);
}

START_TEST(nothing_is_known_at_first) {
    uint64_t value;
    ck_assert_str_eq(rows(TOP_CPU), "Shell:- init:- worker:-");
    ck_assert_str_eq(rows(TOP_ENDED_CPU), "Shell:- init:- worker:-");
    ck_assert_str_eq(rows(TOP_READ), "Shell:- init:- worker:-");
    ck_assert_str_eq(rows(TOP_CPU_TIME), "Shell:0 init:0 worker:1000000000");
    ck_assert_str_eq(rows(TOP_MEMBERS), "Shell:1 init:1 worker:2");
    ck_assert(!top_model_cpu_share(&model, 0, &value));
    ck_assert(!top_model_ended(&model, &value));
}
END_TEST

START_TEST(groups_by_cpu) {
    second_look();
    ck_assert_str_eq(rows(TOP_CPU), "worker:600 Shell:300 fresh:50 init:0");
    model.is_reversed = true;
    arrange();
    ck_assert_str_eq(rows(TOP_CPU), "init:0 fresh:50 Shell:300 worker:600");
}
END_TEST

START_TEST(what_has_ended) {
    uint64_t ended;
    second_look();
    ck_assert_str_eq(rows(TOP_ENDED_CPU), "worker:0 Shell:300 fresh:0 init:0");
    ck_assert(top_model_ended(&model, &ended));
    ck_assert_uint_eq(ended, 300000000);
    model.sort = TOP_ENDED_CPU;
    arrange();
    ck_assert_str_eq(rows(TOP_ENDED_CPU), "Shell:300 fresh:0 init:0 worker:0");
    model.view = TOP_PROCESSES; /* where there is no such column */
    arrange();
    ck_assert_int_eq(model.sort, TOP_CPU);
    ck_assert_str_eq(rows(TOP_CPU), "worker:500 (ended):300 worker:100 fresh:50 init:0 Shell:0");
    ck_assert_str_eq(rows(TOP_GROUP_NAME),
                     "worker:worker (ended):Shell worker:worker fresh:fresh init:init Shell:Shell");
    /* it has nothing else, and no pid */
    ck_assert_str_eq(rows(TOP_RSS), "worker:409600 (ended):- worker:0 fresh:0 init:0 Shell:102400");
    ck_assert_str_eq(rows(TOP_PID), "worker:200 (ended):- worker:150 fresh:300 init:1 Shell:100");
}
END_TEST

START_TEST(one_that_moved_used_the_rest_elsewhere) {
    second_look();
    worker.comm = "other"; /* what it uses from now on is the new group's */
    worker.utime = 190;
    tree_put(&worker);
    take_at(102, false);
    ck_assert_str_eq(rows(TOP_ENDED_CPU), "other:0 Shell:0 fresh:0 init:0 worker:0");
}
END_TEST

/* Nobody knows how much of the interval's work was its, so nor how much was of the ended. */
START_TEST(one_that_was_hidden) {
    const struct recorded late = {.pid = 250, .start_ticks = 3000, .comm = "worker", .utime = 9};
    tree_put(&late);
    second_look();
    ck_assert_str_eq(rows(TOP_ENDED_CPU), "worker:- Shell:300 fresh:0 init:0");
    ck_assert_str_eq(rows(TOP_CPU), "worker:600 Shell:300 fresh:50 init:0");
}
END_TEST

START_TEST(processes_of_a_group) {
    second_look();
    model.view = TOP_PROCESSES;
    snprintf(model.only_group, sizeof(model.only_group), "Shell");
    arrange();
    ck_assert_str_eq(rows(TOP_CPU), "(ended):300 Shell:0");
    snprintf(model.only_group, sizeof(model.only_group), "worker");
    arrange();
    ck_assert_str_eq(rows(TOP_PID), "worker:200 worker:150");
    snprintf(model.only_group, sizeof(model.only_group), "gone");
    arrange();
    ck_assert_uint_eq(model.row_count, 0);
}
END_TEST

START_TEST(by_any_column) {
    second_look();
    model.view = TOP_PROCESSES;
    model.sort = TOP_PID;
    arrange();
    ck_assert_str_eq(rows(TOP_PID), "init:1 Shell:100 worker:150 worker:200 fresh:300 (ended):-");
    model.is_reversed = true; /* what is not known stays last */
    arrange();
    ck_assert_str_eq(rows(TOP_PID), "fresh:300 worker:200 worker:150 Shell:100 init:1 (ended):-");
    model.is_reversed = false;
    model.sort = TOP_NAME;
    arrange();
    ck_assert_str_eq(rows(TOP_STATE), "(ended):- Shell:S fresh:S init:S worker:S worker:S");
    model.sort = TOP_MEMORY_SHARE;
    arrange();
    ck_assert_str_eq(rows(TOP_MEMORY_SHARE),
                     "worker:400 Shell:100 init:0 worker:0 fresh:0 (ended):-");
    enum top_column column;
    ck_assert_int_eq(top_model_find(TOP_PROCESSES, "rss", &column), 0);
    ck_assert_int_eq(column, TOP_RSS);
    ck_assert_int_eq(top_model_find(TOP_PROCESSES, "ended%", &column), -ENOENT);
    model.sort = TOP_CPU_TIME;
    ck_assert_int_eq(top_model_neighbour(&model, -1), TOP_CPU); /* ENDED% is in groups only */
    model.sort = TOP_NAME;
    ck_assert_int_eq(top_model_neighbour(&model, 1), TOP_NAME);
}
END_TEST

START_TEST(rates) {
    second_look();
    model.view = TOP_PROCESSES;
    model.sort = TOP_READ;
    arrange();
    ck_assert_str_eq(rows(TOP_READ), "worker:2000 fresh:70 init:0 Shell:0 worker:0 (ended):-");
    /* what can't be read is not 0, and nor is it once it can again */
    tree_refuse(150, "io", EACCES);
    helper.utime++;
    tree_put(&helper);
    take_at(103, false);
    ck_assert_str_eq(rows(TOP_READ), "init:0 Shell:0 worker:0 fresh:0 worker:-");
    /* no network without programs in the kernel */
    ck_assert_str_eq(rows(TOP_RECEIVED), "init:- Shell:- worker:- fresh:- worker:-");
}
END_TEST

START_TEST(a_tree_of_processes) {
    second_look();
    model.view = TOP_PROCESSES;
    model.is_tree = true;
    arrange();
    ck_assert_str_eq(rows(TOP_CPU),
                     "(ended):300 init:0 .Shell:0 ..worker:500 ...worker:100 ..fresh:50");
    model.sort = TOP_PID;
    model.is_reversed = true;
    arrange();
    ck_assert_str_eq(rows(TOP_PID),
                     "init:1 .Shell:100 ..fresh:300 ..worker:200 ...worker:150 (ended):-");
    /* what leads to a match stays */
    snprintf(model.filter, sizeof(model.filter), "150");
    arrange();
    ck_assert_str_eq(rows(TOP_PID), "init:1 .Shell:100 ..worker:200 ...worker:150");
}
END_TEST

/* The parent's number was given to one that began later, or both wait for each other. */
START_TEST(no_parent_is_younger) {
    init = (struct recorded){.pid = 400, .ppid = 500, .start_ticks = 9000, .comm = "a"};
    tree_put(&init);
    init = (struct recorded){.pid = 500, .ppid = 400, .start_ticks = 9000, .comm = "b"};
    tree_put(&init);
    init = (struct recorded){.pid = 350, .ppid = 500, .start_ticks = 8000, .comm = "c"};
    tree_put(&init);
    take_at(101, false);
    model.view = TOP_PROCESSES;
    model.is_tree = true;
    model.sort = TOP_NAME;
    snprintf(model.filter, sizeof(model.filter), "50");
    arrange();
    ck_assert_uint_eq(model.row_count, 0); /* a part of a number is none */
    model.filter[0] = '\0';
    arrange();
    ck_assert_str_eq(rows(TOP_PID),
                     "a:400 .b:500 c:350 init:1 .Shell:100 ..worker:200 ...worker:150");
}
END_TEST

START_TEST(a_tree_of_groups) {
    second_look();
    model.is_tree = true;
    arrange();
    ck_assert_str_eq(rows(TOP_CPU), "worker:600 .worker:500 .worker:100 Shell:300 .(ended):300 "
                                    ".Shell:0 fresh:50 .fresh:50 init:0 .init:0");
}
END_TEST

START_TEST(a_filter) {
    second_look();
    snprintf(model.filter, sizeof(model.filter), "sHEL");
    arrange();
    ck_assert_str_eq(rows(TOP_CPU), "Shell:300");
    model.view = TOP_PROCESSES;
    arrange();
    ck_assert_str_eq(rows(TOP_CPU), "(ended):300 Shell:0");
    snprintf(model.filter, sizeof(model.filter), "root");
    arrange();
    ck_assert_str_eq(rows(TOP_USER), "fresh:root init:root Shell:root");
    snprintf(model.filter, sizeof(model.filter), "no such");
    arrange();
    ck_assert_uint_eq(model.row_count, 0);
}
END_TEST

START_TEST(the_host) {
    static const uint64_t wanted[TOP_CPU_MODES] = {300, 0, 100, 400, 0, 0, 0, 200};
    uint64_t value;
    second_look();
    for (size_t i = 0; i < TOP_CPU_MODES; i++) { /* waiting for I/O fell: that is no share */
        ck_assert(top_model_cpu_share(&model, i, &value));
        ck_assert_uint_eq(value / 1000000, wanted[i]);
    }
    ck_assert(top_model_metric(&model, TOP_M_MEMORY_TOTAL, &value));
    ck_assert_uint_eq(value, 1024000);
    ck_assert(!top_model_metric(&model, TOP_M_LOAD_1, &value));
}
END_TEST

START_TEST(grouped_anew) {
    tally *from = t;
    second_look();
    worker.utime = 190;
    tree_put(&worker);
    clock_set(101.5);
    ck_assert_int_eq(tally_collect(t, NULL), 0);
    t = collector(from, "user");
    tally_free(from);
    take_at(102, true);
    /* what they used was the old groups' in part; the old ones are not shown */
    ck_assert_str_eq(rows(TOP_CPU), "daemon:- root:-");
    ck_assert_str_eq(rows(TOP_ENDED_CPU), "daemon:- root:-");
    ck_assert_str_eq(rows(TOP_READ), "daemon:- root:-");
    model.view = TOP_PROCESSES;
    arrange();
    ck_assert_str_eq(rows(TOP_CPU), "worker:400 init:0 Shell:0 worker:0 fresh:0");
    model.view = TOP_GROUPS;
    worker.utime = 200;
    tree_put(&worker);
    take_at(103, false);
    ck_assert_str_eq(rows(TOP_CPU), "daemon:100 root:0");
    ck_assert_str_eq(rows(TOP_ENDED_CPU), "daemon:0 root:0");
}
END_TEST

START_TEST(a_process_is_found_again) {
    uint64_t start_ns;
    size_t index;
    second_look();
    start_ns = tally_snapshot_process(model.now, 0)->start_ns;
    ck_assert(top_model_find_process(&model, 1, start_ns + 1000, &index));
    ck_assert_uint_eq(index, 0);
    ck_assert(!top_model_find_process(&model, 1, start_ns + UINT64_C(1000000000), &index));
    ck_assert(!top_model_find_process(&model, 2, start_ns, &index));
}
END_TEST

START_TEST(memory_runs_out) {
    long at;
    second_look();
    top_model_free(&model);
    ck_assert_int_eq(top_model_new(&model), 0);
    clock_set(102);
    const tally_snapshot *s = tree_collect(t);
    for (at = 1;; at++) {
        fail_allocation_at = at;
        allocations = 0;
        int r = top_model_take(&model, s, false);
        if (r == 0)
            r = top_model_arrange(&model);
        fail_allocation_at = 0;
        if (r == 0)
            break;
        ck_assert_int_eq(r, -ENOMEM);
        ck_assert_uint_eq(model.row_count, 0);
    }
    ck_assert_int_ge(at, 4);
    ck_assert_uint_eq(model.row_count, 4);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        nothing_is_known_at_first, groups_by_cpu, what_has_ended,
        one_that_moved_used_the_rest_elsewhere, one_that_was_hidden, processes_of_a_group,
        by_any_column, rates, a_tree_of_processes, no_parent_is_younger, a_tree_of_groups,
        a_filter, the_host, grouped_anew, a_process_is_found_again, memory_runs_out};
    Suite *suite = suite_create("top_model");
    TCase *tc = add_case(suite, "rows");

    tcase_add_checked_fixture(tc, setup, teardown);
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        tcase_add_test(tc, tests[i]);
    return run_suite(suite);
}
