/* SPDX-License-Identifier: MIT */
/* The table of control groups: paths and records, who covers whom; and what a counter's
 * increase is. */
#include "count/cgroup_table.h"
#include "suite.h"

#include <string.h>

static struct cgroup_table table;
static struct tallies tallies;
static uint32_t group;

static void setup(void) {
    cgroup_table_init(&table, 3);
    ck_assert_int_eq(tallies_init(&tallies, 10, 1u << COLLECT_CGROUP, 0), 0);
    ck_assert_int_eq(tallies_group(&tallies, (struct text){"web", 3}, NULL, false, NO_OWNER, &group),
                     0);
    tallies.groups[group]->cgroups = 1;
}

static void teardown(void) {
    cgroup_table_clear(&table);
    tallies_clear(&tallies);
}

static uint32_t find(const char *path) {
    uint32_t index = 4711;
    ck_assert_int_eq(cgroup_table_find(&table, (struct text){path, strlen(path)}, &index), 0);
    return index;
}

static struct cgroup_record *at(const char *path) {
    const uint32_t index = find(path);
    struct cgroup_record *r = table.records[index];
    r->group = group;
    return r;
}

START_TEST(paths) {
    uint32_t a = find("/a"), b = find("/a/b");
    ck_assert_uint_ne(a, NO_CGROUP);
    ck_assert_uint_ne(a, b);
    ck_assert_uint_eq(find("/a"), a);
    ck_assert_uint_eq(find(""), NO_CGROUP);
    cgroup_table_remove(&table, a);
    ck_assert_uint_eq(find("/a/b"), b);
    ck_assert_uint_eq(find("/c"), a); /* its place is free */
}
END_TEST

START_TEST(no_more_than_the_limit) {
    uint32_t a = find("/a");
    find("/b");
    find("/c");
    ck_assert_uint_eq(find("/d"), CGROUP_NOT_KEPT);
    ck_assert_uint_eq(find("/a"), a);
    cgroup_table_remove(&table, a);
    ck_assert_uint_ne(find("/d"), CGROUP_NOT_KEPT);
}
END_TEST

START_TEST(covered_by_the_same_group_only) {
    struct cgroup_record *above = at("/a"), *below = at("/a/b/c"), *beside = at("/ab");
    ck_assert(cgroup_table_is_covered(&table, &tallies, below, _i));
    ck_assert(!cgroup_table_is_covered(&table, &tallies, above, _i));
    ck_assert(!cgroup_table_is_covered(&table, &tallies, beside, _i));
    above->is_gone = true;
    ck_assert(!cgroup_table_is_covered(&table, &tallies, below, _i));
    above->is_gone = false;
    above->group = GROUP_LEFT_OUT;
    ck_assert(!cgroup_table_is_covered(&table, &tallies, below, _i));
}
END_TEST

/* ---- Figures ------------------------------------------------------------------------------- */

static const struct cgroup_first_sight first_collection = {0}, lifetimes = {.counts_all = true},
                                       later = {.since_unix_ns = 1000};

static struct cgroup_figures with(enum cgroup_figure figure, uint64_t value, uint64_t inode) {
    struct cgroup_figures f = {0};
    cgroup_set(&f, figure, value);
    f.inode[cgroup_part_of(figure)] = inode;
    f.made_unix_ns[cgroup_part_of(figure)] = 1000;
    return f;
}

#define OOMS CGROUP_MEMORY_OOM_KILL
static uint64_t ooms(void) {
    const struct group *g = tallies.groups[group];
    ck_assert(g->have & METRIC_SET(METRIC_CGROUP_MEMORY_EVENTS_OOM_KILL));
    return g->value[METRIC_CGROUP_MEMORY_EVENTS_OOM_KILL];
}

static void credit(struct cgroup_record *r, uint64_t value, uint64_t inode,
                   const struct cgroup_first_sight *first) {
    struct cgroup_figures f = with(OOMS, value, inode);
    cgroup_credit(r, &f, first, true, true, &tallies);
}

START_TEST(increases) {
    struct cgroup_record *r = at("/a");
    credit(r, 100, 7, &first_collection); /* its history is not ours */
    ck_assert_uint_eq(ooms(), 0);
    credit(r, 103, 7, &later);
    ck_assert_uint_eq(ooms(), 3);
    credit(r, 103, 7, &later);
    ck_assert_uint_eq(ooms(), 3);
}
END_TEST

START_TEST(made_again) {
    struct cgroup_record *r = at("/a");
    credit(r, 100, 7, &first_collection);
    credit(r, 5, 8, &later);
    ck_assert_uint_eq(ooms(), 5);
    credit(r, 200, 9, &later); /* also if it has come further than the one before */
    ck_assert_uint_eq(ooms(), 205);
}
END_TEST

/* memory.failcnt can be set back to 0. */
START_TEST(set_back) {
    struct cgroup_record *r = at("/a");
    credit(r, 100, 7, &first_collection);
    credit(r, 2, 7, &later);
    ck_assert_uint_eq(ooms(), 2);
}
END_TEST

START_TEST(first_sight) {
    struct cgroup_record *r = at("/a");
    r->is_young = true;
    credit(r, 100, 7, &lifetimes);
    ck_assert_uint_eq(ooms(), 100);
    r = at("/b");
    r->is_young = true;
    credit(r, 10, 8, &later); /* it and all its processes are new */
    ck_assert_uint_eq(ooms(), 110);
    r = at("/c");
    r->is_young = false;
    credit(r, 1, 9, &later);
    ck_assert_uint_eq(ooms(), 110);
}
END_TEST

START_TEST(new_processes_in_an_old_one) {
    struct cgroup_record *r = at("/a");
    const struct cgroup_first_sight since = {.since_unix_ns = 1001};
    r->is_young = true;
    credit(r, 100, 7, &since);
    ck_assert_uint_eq(ooms(), 0);
}
END_TEST

START_TEST(not_always_readable) {
    struct cgroup_record *r = at("/a");
    const struct cgroup_figures nothing = {.inode = {[CGROUP_MEMORY] = 7}};
    const struct cgroup_figures another = {.inode = {[CGROUP_MEMORY] = 8}};
    credit(r, 100, 7, &first_collection);
    cgroup_credit(r, &nothing, &later, true, true, &tallies);
    credit(r, 104, 7, &later);
    ck_assert_uint_eq(ooms(), 4);
    cgroup_credit(r, &another, &later, true, true, &tallies);
    credit(r, 3, 8, &later); /* nobody knows how much of it is new */
    ck_assert_uint_eq(ooms(), 4);
    credit(r, 5, 8, &later);
    ck_assert_uint_eq(ooms(), 6);
}
END_TEST

START_TEST(parts_are_made_again_one_by_one) {
    struct cgroup_record *r = at("/a");
    struct cgroup_figures f = with(OOMS, 100, 7);
    cgroup_set(&f, CGROUP_CPU_PERIODS, 50);
    f.inode[CGROUP_CPU] = 8;
    cgroup_credit(r, &f, &first_collection, true, true, &tallies);
    cgroup_set(&f, CGROUP_CPU_PERIODS, 60);
    f.inode[CGROUP_CPU] = 9;
    cgroup_credit(r, &f, &later, true, true, &tallies);
    ck_assert_uint_eq(ooms(), 0);
    ck_assert_uint_eq(tallies.groups[group]->value[METRIC_CGROUP_CPU_PERIODS], 60);
}
END_TEST

/* What is in the figures of the one above is not added, nor lost when that goes. */
START_TEST(not_shown) {
    struct cgroup_record *r = at("/a");
    struct cgroup_figures f = with(OOMS, 100, 7);
    credit(r, 90, 7, &first_collection);
    cgroup_credit(r, &f, &later, false, false, &tallies);
    ck_assert_uint_eq(ooms(), 0);
    credit(r, 101, 7, &later);
    ck_assert_uint_eq(ooms(), 1);
}
END_TEST

static bool has(enum metric m) {
    return tallies.groups[group]->have & METRIC_SET(m);
}

START_TEST(gauges) {
    struct cgroup_record *r = at("/a");
    struct cgroup_figures f = with(CGROUP_MEMORY_BYTES, 100, 7);
    cgroup_set(&f, CGROUP_MEMORY_LIMIT_BYTES, 300);
    cgroup_credit(r, &f, &later, true, true, &tallies);
    ck_assert_uint_eq(tallies.groups[group]->value[METRIC_CGROUP_MEMORY], 100);
    ck_assert_uint_eq(tallies.groups[group]->value[METRIC_CGROUP_MEMORY_LIMIT], 300);
    ck_assert(!has(METRIC_CGROUP_SWAP));
}
END_TEST

START_TEST(several_have_sums_and_no_limits) {
    struct cgroup_figures f = with(CGROUP_MEMORY_BYTES, 100, 7);
    cgroup_set(&f, CGROUP_MEMORY_LIMIT_BYTES, 300);
    cgroup_set(&f, CGROUP_MEMORY_PEAK_BYTES, 200);
    tallies.groups[group]->cgroups = 2;
    cgroup_credit(at("/a"), &f, &later, true, true, &tallies);
    cgroup_credit(at("/b"), &f, &later, true, true, &tallies);
    ck_assert_uint_eq(tallies.groups[group]->value[METRIC_CGROUP_MEMORY], 200);
    ck_assert(!has(METRIC_CGROUP_MEMORY_LIMIT));
    ck_assert(!has(METRIC_CGROUP_MEMORY_PEAK));
}
END_TEST

START_TEST(no_sum_without_all_of_them) {
    struct cgroup_figures f = with(CGROUP_MEMORY_BYTES, 100, 7);
    tallies.groups[group]->cgroups = CGROUPS_TOO_MANY;
    cgroup_credit(at("/a"), &f, &later, true, true, &tallies);
    ck_assert(!has(METRIC_CGROUP_MEMORY));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("cgroup_table");
    TCase *tc = add_case(suite, "table");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, paths);
    tcase_add_test(tc, no_more_than_the_limit);
    tcase_add_loop_test(tc, covered_by_the_same_group_only, 0, 2);
    tc = add_case(suite, "figures");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, increases);
    tcase_add_test(tc, made_again);
    tcase_add_test(tc, set_back);
    tcase_add_test(tc, first_sight);
    tcase_add_test(tc, new_processes_in_an_old_one);
    tcase_add_test(tc, not_always_readable);
    tcase_add_test(tc, parts_are_made_again_one_by_one);
    tcase_add_test(tc, not_shown);
    tcase_add_test(tc, gauges);
    tcase_add_test(tc, several_have_sums_and_no_limits);
    tcase_add_test(tc, no_sum_without_all_of_them);
    return run_suite(suite);
}
