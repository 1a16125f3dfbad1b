/* SPDX-License-Identifier: MIT */
/* Threads by name, from the files to the snapshot, and over a restart. */
#include "suite.h"
#include "tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static tally *collector;
static char state[64];

static void setup(void) {
    tree_open();
    snprintf(state, sizeof(state), "/tmp/proctally-threads-%ld", (long)getpid());
}

static void teardown(void) {
    collector = tally_free(collector);
    unlink(state);
    tree_close();
}

static void put_process(uint64_t threads, uint64_t utime) {
    tree_put(&(struct recorded){.pid = 50, .ppid = 1, .start_ticks = TICKS(10), .comm = "server",
                                .threads = threads, .utime = utime, .minflt = 5});
}

static void put_thread(uint32_t tid, uint64_t start, const char *name, uint64_t utime,
                       uint64_t switches) {
    char file[64];

    tree_put_thread(50, tid, 'S', switches, 1, 0);
    tree_put_thread_stat(50, tid, name, utime, start);
    if (tid >= 100) /* one of very many */
        return;
    snprintf(file, sizeof(file), "task/%u/io", tid);
    tree_put_file(50, file, "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 4096\n"
                            "write_bytes: 8192\ncancelled_write_bytes: 0\n");
}

/* With one option more, or NULL. */
static void restart_with(const char *option, const char *value) {
    collector = tally_free(collector);
    collector = tree_collector("collect", "thread-names", "state-file", state, option, value, NULL);
}

static void open_collector(void) {
    restart_with(NULL, NULL);
}

static const tally_snapshot *collect(uint64_t at_s) {
    const tally_snapshot *s;

    clock_set((double)at_s);
    ck_assert_int_eq(tally_collect(collector, &s), 0);
    return s;
}

static size_t group_named(const tally_snapshot *s, const char *name) {
    for (size_t g = 0; g < tally_snapshot_groups(s); g++)
        if (strcmp(tally_snapshot_group_name(s, g), name) == 0)
            return g;
    ck_abort_msg("no group %s", name);
}

static size_t find(const tally_snapshot *s, const char *group, const char *name) {
    const size_t g = group_named(s, group);
    const char *at;
    for (size_t i = 0; (at = tally_snapshot_part_name(s, g, TALLY_SCOPE_THREAD_NAME, i)); i++)
        if (strcmp(at, name) == 0)
            return i;
    return SIZE_MAX;
}

static void check_of(const tally_snapshot *s, const char *group, const char *name,
                     const char *metric, uint64_t expected) {
    const size_t i = find(s, group, name);
    size_t m;
    uint64_t value;

    ck_assert_msg(i != SIZE_MAX, "no thread %s of %s", name, group);
    ck_assert_int_eq(tally_metric_find(metric, &m), 0);
    ck_assert_msg(tally_snapshot_part_value(s, group_named(s, group), i, m, &value),
                  "%s of %s of %s", metric, name, group);
    ck_assert_msg(value == expected, "%s of %s of %s: %llu, expected %llu", metric, name, group,
                  (unsigned long long)value, (unsigned long long)expected);
}

static void check_value(const tally_snapshot *s, const char *name, const char *metric,
                        uint64_t expected) {
    check_of(s, "server", name, metric, expected);
}

static uint64_t total_of(const tally_snapshot *s, const char *metric) {
    const size_t g = group_named(s, "server");
    uint64_t sum = 0, value;
    size_t m;

    ck_assert_int_eq(tally_metric_find(metric, &m), 0);
    for (size_t i = 0; i < tally_snapshot_parts(s, g, TALLY_SCOPE_THREAD_NAME); i++)
        if (tally_snapshot_part_value(s, g, i, m, &value))
            sum += value;
    return sum;
}

static const uint64_t tick_ns = 10000000;

START_TEST(from_the_files) {
    put_process(2, 30);
    put_thread(50, TICKS(10), "server", 20, 4);
    put_thread(51, TICKS(11), "worker-1", 10, 5);
    open_collector();
    const tally_snapshot *s = collect(100);
    check_value(s, "server", "thread_count", 1);
    check_value(s, "worker-1", "thread_count", 1);
    check_value(s, "worker-1", "thread_cpu_user", 0); /* its history is not ours */
    put_process(3, 45);
    put_thread(51, TICKS(11), "worker-1", 17, 9);
    put_thread(52, TICKS(105), "worker-2", 8, 6);
    s = collect(110);
    check_value(s, "worker-1", "thread_cpu_user", 7 * tick_ns);
    check_value(s, "worker-1", "thread_context_switches_voluntary", 4);
    check_value(s, "worker-2", "thread_cpu_user", 8 * tick_ns);
    check_value(s, "worker-2", "thread_cpu_system", 2 * tick_ns);
    check_value(s, "worker-2", "thread_page_faults_minor", 7);
    check_value(s, "worker-2", "thread_page_faults_major", 3);
    check_value(s, "worker-2", "thread_disk_read", 4096);
    check_value(s, "worker-2", "thread_disk_written", 8192);
    check_value(s, "worker-2", "thread_context_switches_involuntary", 1);
    /* one ends: its part stays */
    put_process(2, 46);
    put_thread(50, TICKS(10), "server", 20, 4);
    put_thread(51, TICKS(11), "worker-1", 17, 9);
    tree_remove_thread(50, 52);
    s = collect(120);
    check_value(s, "worker-2", "thread_count", 0);
    check_value(s, "worker-2", "thread_cpu_user", 8 * tick_ns);
    /* and the process */
    tree_remove(50);
    s = collect(130);
    check_value(s, "worker-1", "thread_count", 0);
    check_value(s, "worker-1", "thread_cpu_user", 7 * tick_ns);
}
END_TEST

START_TEST(one_thread_is_told_by_the_process) {
    put_process(1, 30);
    open_collector();
    collect(100);
    put_process(1, 37);
    const tally_snapshot *s = collect(110);
    check_value(s, "server", "thread_count", 1);
    check_value(s, "server", "thread_cpu_user", 7 * tick_ns);
    /* it had others, so that its own figures speak for more than its main thread */
    put_process(2, 40);
    put_thread(50, TICKS(10), "server", 38, 4);
    put_thread(51, TICKS(115), "worker", 2, 5);
    s = collect(120);
    check_value(s, "server", "thread_cpu_user", 8 * tick_ns);
    check_value(s, "worker", "thread_cpu_user", 2 * tick_ns);
    put_process(1, 45);
    put_thread(50, TICKS(10), "server", 43, 4);
    s = collect(130);
    check_value(s, "server", "thread_cpu_user", 13 * tick_ns);
}
END_TEST

START_TEST(over_a_restart) {
    put_process(2, 30);
    put_thread(50, TICKS(10), "server", 20, 4);
    put_thread(51, TICKS(11), "worker", 10, 5);
    open_collector();
    collect(100);
    put_process(2, 45);
    put_thread(51, TICKS(11), "worker", 25, 9);
    collect(110);
    put_process(3, 60);
    put_thread(51, TICKS(11), "worker", 29, 10);
    put_thread(52, TICKS(115), "late", 11, 1);
    open_collector();
    const tally_snapshot *s = collect(120);
    check_value(s, "worker", "thread_cpu_user", 19 * tick_ns);
    check_value(s, "worker", "thread_context_switches_voluntary", 5);
    check_value(s, "worker", "thread_count", 1);
    check_value(s, "late", "thread_cpu_user", 11 * tick_ns);
    /* without the word they are forgotten, and begin anew with it */
    collector = tally_free(collector);
    collector = tree_collector("state-file", state, NULL);
    s = collect(130);
    ck_assert_uint_eq(tally_snapshot_parts(s, group_named(s, "server"), TALLY_SCOPE_THREAD_NAME),
                      0);
    struct tally_error why;
    ck_assert(!tally_notice(collector, &why));
    open_collector();
    s = collect(140);
    check_value(s, "worker", "thread_cpu_user", 0);
    check_value(s, "worker", "thread_count", 1);
}
END_TEST

/* Each has used so many clock ticks. */
static void put_pool(uint64_t used) {
    put_process(3, 20 + 2 * used);
    put_thread(50, TICKS(10), "server", 20, 4);
    put_thread(51, TICKS(11), "pool-1", used, 4);
    put_thread(52, TICKS(11), "pool-2", used, 4);
}

/* A restart may bring other rules for names: those that are alive go by them at once, what was
 * used stays where it was counted. */
START_TEST(by_other_names_after_a_restart) {
    put_pool(10);
    restart_with("fold-thread-names", "false");
    collect(100);
    put_pool(15);
    collect(110);
    restart_with("fold-thread-names", "true");
    put_pool(16);
    const tally_snapshot *s = collect(120);
    ck_assert_uint_eq(find(s, "server", "pool-1"), SIZE_MAX);
    check_value(s, "pool-N", "thread_count", 2);
    check_value(s, "pool-N", "thread_cpu_user", 2 * 6 * tick_ns);
    restart_with("fold-thread-names", "false");
    put_pool(18);
    s = collect(130);
    check_value(s, "pool-N", "thread_count", 0);
    check_value(s, "pool-N", "thread_cpu_user", 2 * 6 * tick_ns);
    check_value(s, "pool-2", "thread_count", 1);
    check_value(s, "pool-2", "thread_cpu_user", 2 * tick_ns);
}
END_TEST

/* Which names are the first is the source's affair. */
START_TEST(more_or_fewer_names_after_a_restart) {
    put_pool(10);
    restart_with("max-thread-names", "10");
    collect(100);
    put_pool(15);
    collect(110);
    restart_with("max-thread-names", "2");
    put_pool(16);
    const tally_snapshot *s = collect(120);
    ck_assert_uint_eq(tally_snapshot_parts(s, group_named(s, "server"), TALLY_SCOPE_THREAD_NAME),
                      3);
    check_value(s, "other", "thread_count", 1);
    ck_assert_uint_eq(total_of(s, "thread_count"), 3);
    ck_assert_uint_eq(total_of(s, "thread_cpu_user"), 2 * 6 * tick_ns);
    restart_with("max-thread-names", "10");
    put_pool(18);
    s = collect(130);
    check_value(s, "other", "thread_count", 0);
    check_value(s, "server", "thread_count", 1);
    check_value(s, "pool-1", "thread_count", 1);
    check_value(s, "pool-2", "thread_count", 1);
    ck_assert_uint_eq(total_of(s, "thread_cpu_user"), 2 * 8 * tick_ns);
}
END_TEST

static void put_rivals(uint64_t utime) {
    static const char *const names[] = {"rival", "third"};

    for (uint32_t i = 0; i < 2; i++)
        tree_put(&(struct recorded){.pid = 60 + i, .ppid = 1, .start_ticks = TICKS(10),
                                    .comm = names[i], .threads = 1, .utime = utime});
}

static void put_server(uint64_t of_worker) {
    put_process(2, 30 + of_worker);
    put_thread(51, TICKS(11), "worker", of_worker, of_worker);
}

static void open_top(void) {
    collector = tally_free(collector);
    collector = tree_collector("collect", "thread-names", "state-file", state, "top", "1 by cpu",
                               NULL);
}

/* While their group is one of the many their use is that of `other`, as the group's is. */
START_TEST(of_groups_that_are_not_at_the_top) {
    put_rivals(0);
    put_server(10);
    put_thread(50, TICKS(10), "server", 20, 4);
    open_top();
    const tally_snapshot *s = collect(100); /* of equals the first is shown: rival */
    check_of(s, "other", "worker", "thread_count", 1);
    check_of(s, "other", "server", "thread_count", 1);
    check_of(s, "other", "third", "thread_count", 1);
    put_server(60);
    s = collect(110); /* shown from now on: nobody can see this increase in its own series */
    check_value(s, "worker", "thread_cpu_user", 0);
    check_value(s, "worker", "thread_count", 1);
    check_of(s, "other", "worker", "thread_cpu_user", 50 * tick_ns);
    check_of(s, "other", "worker", "thread_context_switches_voluntary", 50);
    check_of(s, "other", "worker", "thread_count", 0);
    put_server(65);
    s = collect(120);
    check_value(s, "worker", "thread_cpu_user", 5 * tick_ns);
    put_server(72);
    put_rivals(1000);
    s = collect(130); /* these two are at the top, and the server is not */
    check_of(s, "other", "worker", "thread_cpu_user", 57 * tick_ns);
    check_of(s, "other", "worker", "thread_count", 1);
    check_of(s, "rival", "rival", "thread_cpu_user", 1000 * tick_ns);
    put_server(76); /* counted, not shown */
    clock_set(135);
    ck_assert_int_eq(tally_collect(collector, NULL), 0);
    open_top();
    put_server(77);
    s = collect(140);
    check_of(s, "other", "worker", "thread_cpu_user", 62 * tick_ns);
    check_of(s, "other", "worker", "thread_count", 1);
    put_server(5077);
    s = collect(150);
    check_value(s, "worker", "thread_cpu_user", 5 * tick_ns);
    check_of(s, "other", "worker", "thread_cpu_user", 5062 * tick_ns);
    put_server(5079);
    s = collect(160);
    check_value(s, "worker", "thread_cpu_user", 7 * tick_ns);
    check_of(s, "other", "worker", "thread_cpu_user", 5062 * tick_ns);
}
END_TEST

/* What a process used whose group ends before it is shown. */
START_TEST(of_a_group_that_makes_place) {
    put_rivals(0);
    put_server(10);
    put_thread(50, TICKS(10), "server", 20, 4);
    collector = tree_collector("collect", "thread-names", "top", "1 by cpu", "group-by", "pid",
                               NULL);
    collect(100);
    put_server(17);
    clock_set(105);
    ck_assert_int_eq(tally_collect(collector, NULL), 0);
    tree_remove(50);
    tree_put(&(struct recorded){.pid = 50, .ppid = 1, .start_ticks = TICKS(106), .comm = "next",
                                .threads = 1});
    const tally_snapshot *s = collect(110);
    check_of(s, "other", "worker", "thread_cpu_user", 7 * tick_ns);
    check_of(s, "other", "worker", "thread_count", 0);
}
END_TEST

/* It is listed, and its files are gone. */
START_TEST(one_ends_while_it_is_read) {
    put_process(2, 30);
    put_thread(50, TICKS(10), "server", 20, 4);
    tree_put_thread(50, 51, 'S', 1, 1, 0);
    open_collector();
    const tally_snapshot *s = collect(100);
    check_value(s, "server", "thread_count", 1);
    ck_assert_uint_eq(
        tally_snapshot_parts(s, group_named(s, "server"), TALLY_SCOPE_THREAD_NAME), 1);
}
END_TEST

/* More threads than can be read at once: their number is not known before all were. */
START_TEST(more_than_the_budget) {
    char name[32];
    put_process(2100, 1);
    for (uint32_t i = 0; i < 2100; i++) {
        snprintf(name, sizeof(name), "worker-%u", i % 100);
        put_thread(i ? 100 + i : 50, TICKS(11), name, i, 1);
    }
    open_collector();
    for (uint64_t step = 0; step < 3; step++) {
        const tally_snapshot *s = collect(100 + 10 * step);
        put_process(2100, step + 2);
        ck_assert_uint_eq(
            tally_snapshot_parts(s, group_named(s, "server"), TALLY_SCOPE_THREAD_NAME), 51);
        ck_assert_uint_eq(total_of(s, "thread_count"), step == 0 ? 0 : 2100);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("threads");
    TCase *c = add_case(s, "threads");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, from_the_files);
    tcase_add_test(c, one_thread_is_told_by_the_process);
    tcase_add_test(c, over_a_restart);
    tcase_add_test(c, by_other_names_after_a_restart);
    tcase_add_test(c, more_or_fewer_names_after_a_restart);
    tcase_add_test(c, of_groups_that_are_not_at_the_top);
    tcase_add_test(c, of_a_group_that_makes_place);
    tcase_add_test(c, one_ends_while_it_is_read);
    tcase_add_test(c, more_than_the_budget);
    return run_suite(s);
}
