/* SPDX-License-Identifier: MIT */
/* A top of groups over time: restarts, other configurations, collections without a snapshot,
 * and the processes of a snapshot. */
#include "suite.h"
#include "tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define S UINT64_C(1000000000)
#define HANDS 6

static struct recorded hands[HANDS];
static char state_path[300];

static void setup(void) {
    static const char *const names[HANDS] = {"a", "b", "c", "d", "e", "f"};
    tree_open();
    snprintf(state_path, sizeof(state_path), "%s/state", tree_path());
    for (uint32_t i = 0; i < HANDS; i++) {
        hands[i] = (struct recorded){.pid = 100 + i, .ppid = 1, .start_ticks = 5000,
                                     .comm = names[i], .rss_pages = 1};
        tree_put(&hands[i]);
    }
}

static void work(size_t hand, uint64_t ticks) {
    hands[hand].utime += ticks;
    tree_put(&hands[hand]);
}

static void collect_at(tally *t, double seconds) {
    clock_set(seconds);
    tree_collect(t);
}

static uint64_t cpu_of(tally *t, const char *group) {
    return value_of(t, group, METRIC_CPU_USER) / (S / 100);
}

static void count_only(tally *t, double seconds) {
    clock_set(seconds);
    ck_assert_int_eq(tally_collect(t, NULL), 0);
}

START_TEST(goes_on_after_a_restart) {
    tally *t = tree_collector("top", "1 by cpu", "state-file", state_path, NULL);
    collect_at(t, 1000);
    work(2, 50);
    work(1, 10);
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "c"), 0); /* it was hidden before */
    ck_assert_uint_eq(cpu_of(t, "other"), 60);
    work(2, 50);
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "c"), 50);
    tally_free(t);

    work(2, 3);
    work(1, 4);
    t = tree_collector("top", "1 by cpu", "state-file", state_path, NULL);
    collect_at(t, 1030);
    ck_assert_uint_eq(cpu_of(t, "c"), 53);
    ck_assert_uint_eq(cpu_of(t, "other"), 64);
    work(1, 5000);
    work(0, 4000);
    collect_at(t, 1040);
    ck_assert(has_group(t, "b") && !has_group(t, "c"));
    ck_assert_uint_eq(cpu_of(t, "b"), 0);
    tally_free(t);

    t = tree_collector("top", "1 by cpu", "state-file", state_path, NULL);
    work(1, 7);
    work(2, 9000);
    collect_at(t, 1050);
    ck_assert_uint_eq(cpu_of(t, "c"), 53);
    ck_assert_uint_eq(cpu_of(t, "b"), 7);
    ck_assert_uint_eq(cpu_of(t, "other"), 64 + 5000 + 4000 + 9000);
    tally_free(t);
}
END_TEST

/* A reload counts once more without showing it; what that found belongs to the interval. */
START_TEST(what_was_counted_and_not_shown_is_not_lost) {
    tally *t = tree_collector("top", "1 by cpu", NULL);
    collect_at(t, 1000);
    work(2, 50);
    collect_at(t, 1010);
    work(2, 50);
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "c"), 50);
    work(2, 1);
    work(1, 8000);
    work(3, 7000);
    count_only(t, 1025);
    tally *u = tree_collector_from(t, "top", "1 by cpu", NULL);
    tally_free(t);
    collect_at(u, 1030);
    ck_assert(!has_group(u, "c"));
    ck_assert_uint_eq(cpu_of(u, "b"), 0);
    ck_assert_uint_eq(cpu_of(u, "other"), 50 + 1 + 8000 + 7000);
    tally_free(u);
}
END_TEST

/* From all groups to a top and back. */
START_TEST(with_and_without_a_top) {
    tally *t = tree_collector("state-file", state_path, NULL);
    collect_at(t, 1000);
    for (size_t i = 0; i < HANDS; i++)
        work(i, 10 * (i + 1));
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "c"), 30);
    ck_assert(!has_group(t, "other"));
    tally_free(t);

    t = tree_collector("state-file", state_path, "top", "2 by cpu", NULL);
    work(2, 5);
    work(5, 100);
    work(4, 100);
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "f"), 160);
    ck_assert_uint_eq(cpu_of(t, "e"), 150);
    ck_assert_uint_eq(cpu_of(t, "other"), 5);
    tally_free(t);

    t = tree_collector("state-file", state_path, NULL);
    work(2, 1);
    collect_at(t, 1030);
    ck_assert_uint_eq(cpu_of(t, "c"), 31);
    ck_assert_uint_eq(cpu_of(t, "f"), 160);
    ck_assert_uint_eq(cpu_of(t, "other"), 5);
    tally_free(t);
}
END_TEST

/* One that is run once shows lives, or what is new: not all of it as the rest. */
START_TEST(run_once) {
    const struct tally_new_opts opts = {.size = sizeof(opts), .count_lifetimes = true};
    for (size_t i = 0; i < HANDS; i++)
        work(i, 10 * (i + 1));
    tally *t = tree_collector_with(&opts, "top", "2 by cpu", NULL);
    collect_at(t, 1000);
    ck_assert_uint_eq(cpu_of(t, "f"), 60);
    ck_assert_uint_eq(cpu_of(t, "e"), 50);
    ck_assert_uint_eq(cpu_of(t, "other"), 100);
    ck_assert_uint_eq(value_of(t, "other", METRIC_PROCESSES), 4);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_GROUPS), 3);
    tally_free(t);
}
END_TEST

START_TEST(groups_of_rules_are_always_shown) {
    tally *t = tree_collector("top", "1 by cpu", "rule", "web a", "rule", "idle nobody", NULL);
    collect_at(t, 1000);
    work(1, 500);
    collect_at(t, 1010);
    ck_assert(has_group(t, "web") && has_group(t, "idle") && has_group(t, "b"));
    ck_assert(!has_group(t, "c"));
    tally_free(t);
}
END_TEST

START_TEST(processes_know_where_they_are) {
    const struct tally_new_opts opts = {.size = sizeof(opts), .keep = TALLY_KEEP_PROCESSES};
    tally *t = tree_collector_with(&opts, "top", "1 by memory", NULL);
    hands[3].rss_pages = 1000;
    tree_put(&hands[3]);
    clock_set(1000);
    const tally_snapshot *s = tree_collect(t);
    ck_assert_uint_eq(tally_snapshot_processes(s), HANDS);
    for (size_t i = 0; i < HANDS; i++) {
        const struct tally_process *p = tally_snapshot_process(s, i);
        ck_assert_uint_lt(p->group, tally_snapshot_groups(s));
        ck_assert_str_eq(tally_snapshot_group_name(s, p->group), i == 3 ? "d" : "other");
    }
    tally_free(t);
}
END_TEST

START_TEST(of_single_processes) {
    tally *t = tree_collector("group-by", "pid", "top", "1 by cpu", "expire-after", "10s", NULL);
    collect_at(t, 1000);
    work(1, 500);
    work(2, 30);
    collect_at(t, 1010);
    ck_assert(has_group(t, "101") && !has_group(t, "102"));
    ck_assert_uint_eq(cpu_of(t, "other"), 530);
    work(2, 5);
    collect_at(t, 1020);
    tree_remove(102);
    collect_at(t, 1030);
    collect_at(t, 1040);
    ck_assert_uint_eq(cpu_of(t, "other"), 535);
    ck_assert_uint_eq(value_of(t, "other", METRIC_EXITS), 1);
    tally_free(t);
}
END_TEST

/* What the top goes by is read, whatever is sent. */
START_TEST(traffic_that_is_not_seen) {
    struct tally_error text;
    tally *t = tree_collector("top", "1 by network", "source", "procfs", NULL);
    hands[3].rss_pages = 1000;
    tree_put(&hands[3]);
    collect_at(t, 1000);
    ck_assert(has_group(t, "d") && !has_group(t, "a"));
    bool is_told = false;
    while (tally_notice(t, &text))
        is_told |= strstr(text.text, "top goes by network") != NULL;
    ck_assert(is_told);
    collect_at(t, 1010);
    ck_assert(!tally_notice(t, &text));
    tally_free(t);
}
END_TEST

START_TEST(what_it_goes_by_is_read) {
    tally *t = tree_collector("top", "1 by io", "metrics", "cpu_*", NULL);
    collect_at(t, 1000);
    hands[4].read_bytes = 5000;
    tree_put(&hands[4]);
    work(1, 500);
    collect_at(t, 1010);
    ck_assert(has_group(t, "e") && !has_group(t, "b"));
    ck_assert(!has_value(t, "e", METRIC_DISK_READ));
    tally_free(t);
}
END_TEST

static const char *other_of(tally *t) {
    static tally_text *text;
    const char *data;
    size_t len;
    if (!text)
        ck_assert_int_eq(tally_text_new(&text), 0);
    ck_assert_int_eq(tally_explain_other(t, text, &data, &len), 0);
    return data;
}

START_TEST(what_did_not_fit_is_told_by_name) {
    struct tally_error text;
    const char *why;
    size_t len;
    tally *t = tree_collector("max-groups", "2", NULL);
    for (uint32_t pid = 200; pid < 205; pid++)
        tree_put(&(struct recorded){.pid = pid, .ppid = 1, .start_ticks = 6000, .comm = "many"});
    tree_put(&(struct recorded){.pid = 300, .ppid = 1, .start_ticks = 6000, .comm = "f"});
    collect_at(t, 1000);
    bool is_told = false;
    while (tally_notice(t, &text))
        is_told |= strstr(text.text, "\"other\"; most of it is many (5 processes), f (2 processes), "
                                     "c (1 process)") != NULL;
    ck_assert(is_told);
    ck_assert_str_eq(other_of(t), "group: other, of 10 processes\n"
                                  "max-groups: 2, and 5 more do not fit\n"
                                  "         5  many\n"
                                  "         2  f\n"
                                  "         1  c\n"
                                  "         1  d\n"
                                  "         1  e\n");
    ck_assert_int_eq(tree_explain(t, 204, &why, &len), 0);
    ck_assert_ptr_nonnull(strstr(why, "group: other\nmax-groups: 2, and 5 more do not fit\n"));
    tally_free(t);
    t = tree_collector(NULL, NULL);
    ck_assert_str_eq(other_of(t), "group: other, of 0 processes\n"
                                  "max-groups: 1000, and all groups fit\n");
    tally_free(t);
}
END_TEST

START_TEST(what_the_top_leaves_is_told_by_name) {
    const char *why;
    size_t len;
    tally *t = tree_collector("top", "3 by memory", NULL);
    for (size_t i = 0; i < HANDS; i++) {
        hands[i].rss_pages = 10 * i;
        tree_put(&hands[i]);
    }
    clock_set(1000);
    ck_assert_str_eq(other_of(t), "group: other, of 3 processes\n"
                                  "max-groups: 1000, and all groups fit\n"
                                  "top: 3 groups are not shown, as of this one look\n"
                                  "         1  c\n"
                                  "         1  b\n"
                                  "         1  a\n");
    ck_assert_int_eq(tree_explain(t, 100, &why, &len), 0);
    ck_assert_ptr_nonnull(strstr(why, "group: a, which is shown as part of other (top)\n"));
    ck_assert_int_eq(tree_explain(t, 105, &why, &len), 0);
    ck_assert_ptr_nonnull(strstr(why, "group: f\n"));
    tally_free(t);
}
END_TEST

/* Through restarts and reloads: no counter falls, and all that is shown adds up. */
START_TEST(whatever_happens_it_adds_up) {
    uint64_t last[HANDS + 1] = {0}, whole = 0;
    double now = 1000;
    srandom((unsigned)_i);
    tally *t = tree_collector("state-file", state_path, "top", "2 by cpu", NULL);
    collect_at(t, now);
    for (int round = 0; round < 25; round++) {
        for (size_t i = 0; i < HANDS; i++) {
            const uint64_t ticks = random() % 2 ? (uint64_t)random() % 100 : 0;
            whole += ticks;
            work(i, ticks);
        }
        clock_set(now += 1);
        if (random() % 3 == 0)
            count_only(t, now += 1);
        const int how = (int)(random() % 4);
        clock_set(now += 1);
        if (how == 1) { /* a restart */
            tally_free(t);
            t = tree_collector("state-file", state_path, "top", "2 by cpu", NULL);
        } else if (how == 2) { /* a reload */
            count_only(t, now);
            tally *u = tree_collector_from(t, "state-file", state_path, "top", "2 by cpu", NULL);
            tally_free(t);
            t = u;
        }
        collect_at(t, now += 1);
        uint64_t sum = 0;
        for (size_t i = 0; i <= HANDS; i++) {
            const char *name = i < HANDS ? hands[i].comm : "other";
            if (has_group(t, name)) {
                ck_assert_uint_ge(cpu_of(t, name), last[i]);
                last[i] = cpu_of(t, name);
            }
            sum += last[i];
        }
        ck_assert_uint_eq(sum, whole);
    }
    tally_free(t);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("tops");
    TCase *tc = add_case(suite, "tops");
    tcase_add_checked_fixture(tc, setup, tree_close);
    tcase_add_test(tc, goes_on_after_a_restart);
    tcase_add_test(tc, what_was_counted_and_not_shown_is_not_lost);
    tcase_add_test(tc, with_and_without_a_top);
    tcase_add_test(tc, run_once);
    tcase_add_test(tc, groups_of_rules_are_always_shown);
    tcase_add_test(tc, processes_know_where_they_are);
    tcase_add_test(tc, of_single_processes);
    tcase_add_test(tc, what_did_not_fit_is_told_by_name);
    tcase_add_test(tc, what_the_top_leaves_is_told_by_name);
    tcase_add_test(tc, traffic_that_is_not_seen);
    tcase_add_test(tc, what_it_goes_by_is_read);
    tcase_add_loop_test(tc, whatever_happens_it_adds_up, 0, 20);
    return run_suite(suite);
}
