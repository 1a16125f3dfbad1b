/* SPDX-License-Identifier: MIT */
/* What other kernels have in /proc, or leave out: on a recorded tree. */
#include "source/linux/procfs.h"

#include "settings.h"
#include "tree.h"

#include "suite.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static struct recorded shell, worker;

static void setup(void) {
    tree_open();
    shell = (struct recorded){.pid = 100, .ppid = 1, .start_ticks = 5000, .comm = "sh"};
    worker = (struct recorded){.pid = 200, .ppid = 100, .start_ticks = 6000, .comm = "worker"};
}

static void collect_at(tally *t, double seconds) {
    clock_set(seconds);
    tree_collect(t);
}

/* ---- Times --------------------------------------------------------------------------- */

/* Nothing tells whether a process has run: it is read each time. */
START_TEST(a_kernel_without_schedstat) {
    worker.lacks_schedstat = true;
    tree_put(&worker);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    collect_at(t, 1010);
    collect_at(t, 1020);
    worker.utime = 100;
    worker.rchar = 50;
    tree_put(&worker);
    collect_at(t, 1030);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_CPU_USER), NS_PER_S);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_IO_READ), 50);
    ck_assert(has_value(t, "worker", METRIC_SWITCHES_VOLUNTARY));
    ck_assert(!has_value(t, "worker", METRIC_RUN_QUEUE_WAIT));
    ck_assert_uint_eq(value_of(t, "worker", METRIC_UNREADABLE), 0);
    tally_free(t);
}
END_TEST

START_TEST(threads_on_a_kernel_without_schedstat) {
    shell.lacks_schedstat = true;
    shell.threads = 2;
    tree_put(&shell);
    for (uint32_t tid = 100; tid < 102; tid++) {
        tree_put_thread(100, tid, 'S', 7, 3, 0);
        tree_put_schedstat(100, tid, "0 0 0\n");
    }
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    ck_assert(has_value(t, "sh", METRIC_SWITCHES_VOLUNTARY));
    ck_assert(!has_value(t, "sh", METRIC_RUN_QUEUE_WAIT));
    ck_assert_uint_eq(value_of(t, "sh", METRIC_UNREADABLE), 0);
    /* where one thread has it, the others just have not run yet */
    tree_put_thread(100, 101, 'S', 7, 3, 500);
    shell.utime = 1;
    tree_put(&shell);
    collect_at(t, 1010);
    tree_put_thread(100, 101, 'S', 7, 3, 700);
    shell.utime = 2;
    tree_put(&shell);
    collect_at(t, 1020);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_RUN_QUEUE_WAIT), 200);
    tally_free(t);
}
END_TEST

/* ---- Memory -------------------------------------------------------------------------- */

/* ps shows what status says. Since Linux 6.2 the figure of stat lags behind it. */
START_TEST(resident_memory_is_that_of_status) {
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    worker.rss_pages = 486;
    worker.rss_kib = 2075;
    worker.vsize = 1 << 20;
    worker.anon_kib = 416;
    worker.swap_kib = 7;
    shell.rss_pages = 3;
    tree_put(&worker);
    tree_put(&shell); /* an emulation of /proc without the line */
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_RSS), 2075 * 1024);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_FOOTPRINT), 423 * 1024);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_RSS), 3 * page);
    /* better than nothing */
    tree_refuse(200, "status", EACCES);
    worker.utime = 1;
    tree_put(&worker);
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_RSS), 486 * page);
    ck_assert(!has_value(t, "worker", METRIC_FOOTPRINT));
    tally_free(t);
}
END_TEST

/* ---- Those that are followed ------------------------------------------------------------- */

/* A child that slept when it was listed may have ended since, and its parent may show by now what
 * it used: then it is not taken for alive. */
START_TEST(a_sleeper_that_ends_after_the_listing) {
    const struct followed roots = {.count = 1, .roots = {{.pid = 100}}};
    const struct procfs_wants wants = {.collect = 1u << COLLECT_DELAYS, .followed = &roots};
    const struct listed *listed;
    struct source *source;
    struct sample s = {0};
    size_t count;
    shell.run_ns = worker.run_ns = 1000;
    tree_put(&shell);
    tree_put(&worker);
    tree_put_thread(100, 100, 'S', 0, 0, 0);
    tree_put_thread(200, 200, 'S', 0, 0, 0);
    tree_put_file(100, "task/100/children", "200 ");
    tree_put_file(200, "task/200/children", "");
    ck_assert_int_eq(procfs_new(tree_path(), &io_kernel, &wants, &source), 0);
    ck_assert_int_eq(source->ops->list(source, false, &listed, &count), 0);
    ck_assert_uint_eq(count, 2);
    ck_assert_int_eq(source->ops->open(source, &listed[1], 0, &s), 0);
    ck_assert_int_eq(source->ops->measure(source, &s, (struct measure_hints){0}), 0);
    source->ops->close(source);
    const uint64_t activity = s.activity;
    ck_assert_uint_gt(activity, 1000);

    /* nobody has been looked at since: it is as if it ended later */
    ck_assert_int_eq(source->ops->list(source, false, &listed, &count), 0);
    ck_assert_int_eq(source->ops->open(source, &listed[1], activity, &s), 1);
    ck_assert_int_eq(source->ops->open(source, &listed[0], 0, &s), 0);
    source->ops->close(source);
    ck_assert_int_eq(source->ops->open(source, &listed[1], activity, &s), 1);
    tree_remove(200);
    ck_assert_int_eq(source->ops->open(source, &listed[1], activity, &s), -ESRCH);
    source->ops->free(source);
}
END_TEST

#define DETAILS \
    "VmHWM:\t3000 kB\nVmLck:\t64 kB\nRssFile:\t1200 kB\nRssShmem:\t800 kB\nVmPTE:\t48 kB\n"

START_TEST(details_of_memory) {
    static const enum metric metrics[] = {METRIC_RSS_PEAK, METRIC_MEMORY_USAGE, METRIC_SHARED,
                                          METRIC_SHMEM, METRIC_LOCKED, METRIC_PAGE_TABLES,
                                          METRIC_WORST_OOM_SCORE};
    worker.rss_kib = 2500;
    worker.vsize = shell.vsize = 1 << 20;
    worker.status_lines = DETAILS;
    tree_put(&worker);
    tree_put(&shell); /* an emulation of /proc without the lines */
    tree_put_file(200, "oom_score", "667\n");
    tree_put_host("meminfo", "MemTotal: 10000 kB\nSwapTotal: 0 kB\n");
    tally *t = tree_collector("collect", "memory-details", NULL);
    for (int i = 0; i < 3; i++) { /* at last from memory, of a sleeper */
        collect_at(t, 1000 + 10 * i);
        ck_assert_uint_eq(value_of(t, "worker", METRIC_RSS_PEAK), 3000 * 1024);
        ck_assert_uint_eq(value_of(t, "worker", METRIC_MEMORY_USAGE), 250000000);
        ck_assert_uint_eq(value_of(t, "worker", METRIC_SHARED), 2000 * 1024);
        ck_assert_uint_eq(value_of(t, "worker", METRIC_SHMEM), 800 * 1024);
        ck_assert_uint_eq(value_of(t, "worker", METRIC_LOCKED), 64 * 1024);
        ck_assert_uint_eq(value_of(t, "worker", METRIC_PAGE_TABLES), 48 * 1024);
        ck_assert_uint_eq(value_of(t, "worker", METRIC_WORST_OOM_SCORE), 667);
        ck_assert(!has_value(t, "worker", METRIC_WORST_MAPPINGS));
        for (size_t m = 0; m < sizeof(metrics) / sizeof(metrics[0]); m++)
            if (metrics[m] != METRIC_MEMORY_USAGE)
                ck_assert_msg(!has_value(t, "sh", metrics[m]), "%s",
                              metric_table[metrics[m]].metric.id);
    }
    /* without the total there is no share; and what can't be read is left out */
    tree_put_host("meminfo", "");
    tree_put_file(200, "oom_score", "many\n");
    worker.utime = 1;
    tree_put(&worker);
    collect_at(t, 1040);
    ck_assert(!has_value(t, "worker", METRIC_MEMORY_USAGE));
    ck_assert(!has_value(t, "worker", METRIC_WORST_OOM_SCORE));
    ck_assert_uint_eq(value_of(t, "worker", METRIC_LOCKED), 64 * 1024);
    tally_free(t);
    /* off by default */
    tree_put_host("meminfo", "MemTotal: 10000 kB\n");
    t = tree_collector(NULL, NULL);
    collect_at(t, 1050);
    for (size_t m = 0; m < sizeof(metrics) / sizeof(metrics[0]); m++)
        ck_assert(!has_value(t, "worker", metrics[m]));
    tally_free(t);
}
END_TEST

/* A thread of the kernel's has nothing of it, one that has ended nothing that is known. */
START_TEST(details_without_an_address_space) {
    struct recorded thread = {
        .pid = 300, .ppid = 2, .start_ticks = 100, .comm = "kswapd0", .flags = 0x00200000};
    worker.state = 'Z';
    tree_put(&worker);
    tree_put(&thread);
    tree_put_file(200, "oom_score", "0\n");
    tree_put_file(300, "oom_score", "0\n");
    tally *t = tree_collector("collect", "memory-details", NULL);
    collect_at(t, 1000);
    ck_assert_uint_eq(value_of(t, "kernel", METRIC_WORST_OOM_SCORE), 0);
    ck_assert_uint_eq(value_of(t, "kernel", METRIC_LOCKED), 0);
    ck_assert_uint_eq(value_of(t, "kernel", METRIC_SHARED), 0);
    ck_assert(!has_value(t, "worker", METRIC_WORST_OOM_SCORE));
    ck_assert(!has_value(t, "worker", METRIC_LOCKED));
    tally_free(t);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("procfs");
    TCase *tc = add_case(suite, "other kernels");

    tcase_add_checked_fixture(tc, setup, tree_close);
    tcase_add_test(tc, a_kernel_without_schedstat);
    tcase_add_test(tc, threads_on_a_kernel_without_schedstat);
    tcase_add_test(tc, resident_memory_is_that_of_status);
    tc = add_case(suite, "followed");
    tcase_add_checked_fixture(tc, setup, tree_close);
    tcase_add_test(tc, a_sleeper_that_ends_after_the_listing);
    tcase_add_test(tc, details_of_memory);
    tcase_add_test(tc, details_without_an_address_space);
    return run_suite(suite);
}
