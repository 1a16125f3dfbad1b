/* SPDX-License-Identifier: MIT */
/* With the option metrics: what nobody asks for is neither shown nor read. */
#include "suite.h"
#include "tree.h"

#include <errno.h>
#include <string.h>

#define S UINT64_C(1000000000)

static struct recorded shell, child;

static const char *const files[] = {"stat", "status", "io", "limits", "schedstat"};
enum { FILES = sizeof(files) / sizeof(files[0]) };
static unsigned opened;
#define NOTE(i) \
    static void note_##i(void) { opened |= 1u << i; }
NOTE(0)
NOTE(1)
NOTE(2)
NOTE(3)
NOTE(4)
static void (*const notes[FILES])(void) = {note_0, note_1, note_2, note_3, note_4};

static void setup(void) {
    tree_open();
    shell = (struct recorded){.pid = 100, .ppid = 1, .start_ticks = 5000, .comm = "sh",
                              .rss_pages = 10, .rss_kib = 44, .fds = 5, .uid = 7};
    child = (struct recorded){.pid = 200, .ppid = 100, .start_ticks = 6000, .comm = "child"};
    tree_put(&shell);
}

static void collect_at(tally *t, double seconds) {
    clock_set(seconds);
    tree_collect(t);
}

/* Is this file of the shell opened by a collection? One at a time can be watched. */
static bool reads(const char *metrics, const char *file) {
    size_t at = 0;
    while (strcmp(files[at], file) != 0)
        at++;
    opened = 0;
    tally *t = tree_collector("metrics", metrics, NULL);
    tree_when_opened(100, file, notes[at]);
    collect_at(t, 1000);
    tree_when_opened(100, file, NULL);
    tally_free(t);
    return opened & 1u << at;
}

START_TEST(files_that_are_not_opened) {
    ck_assert(reads("!priority", "status") && reads("!priority", "io") &&
              reads("!priority", "limits") && reads("!priority", "stat"));
    ck_assert(reads("cpu_*", "stat"));
    ck_assert(!reads("cpu_*", "status"));
    ck_assert(!reads("cpu_*", "io"));
    ck_assert(!reads("cpu_*", "limits"));
    ck_assert(!reads("!io_*,!disk_*", "io") && reads("!io_*", "io"));
    ck_assert(reads("memory_rss", "status") && reads("memory_swap", "status"));
    ck_assert(!reads("open_fds", "limits") && reads("worst_fd_ratio", "limits"));
    /* a recorded tree has no taskstats: those of one thread are in status */
    ck_assert(reads("context_switches_*", "status"));
}
END_TEST

START_TEST(only_what_was_asked_for_is_known) {
    tally *t = tree_collector("metrics", "cpu_*,memory_rss,!cpu_coverage", NULL);
    collect_at(t, 1000);
    shell.utime = 100;
    tree_put(&shell);
    tree_set_host(1000, 4);
    collect_at(t, 1010);
    const tally_snapshot *s = t->snapshots.current;
    for (size_t m = 0; m < METRICS_OF_GROUP; m++) {
        const bool is_wanted = m == METRIC_CPU_USER || m == METRIC_CPU_SYSTEM ||
                               m == METRIC_CPU_USAGE || m == METRIC_RSS;
        uint64_t value;
        ck_assert_msg(tally_snapshot_value(s, 0, m, &value) == is_wanted, "%s",
                      metric_table[m].metric.id);
    }
    ck_assert_uint_eq(value_of(t, "sh", METRIC_CPU_USER), S);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_CPU_USAGE), 25000000);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_RSS), 44 * 1024);
    ck_assert(has_value(t, "sh", METRIC_SELF_DURATION));
    ck_assert(!has_value(t, "sh", METRIC_SELF_COVERAGE));
    tally_free(t);
}
END_TEST

/* A sum whose parts nobody asks for is known all the same, and nothing that is not read is
 * said to have been readable. */
START_TEST(sums_and_refusals) {
    shell.majflt = 3;
    tree_put(&shell);
    tally *t = tree_collector("metrics", "page_faults,!page_faults_*,unreadable*", "schema",
                              "process", NULL);
    collect_at(t, 1000);
    shell.majflt = 7;
    tree_put(&shell);
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_FAULTS), 4);
    ck_assert(!has_value(t, "sh", METRIC_FAULTS_MAJOR));
    ck_assert(has_value(t, "sh", METRIC_UNREADABLE));
    ck_assert(!has_value(t, "sh", METRIC_UNREADABLE_IO));
    ck_assert(!has_value(t, "sh", METRIC_UNREADABLE_STATUS));
    tally_free(t);
}
END_TEST

/* Whose ends the parent does not hear of is known without status. */
START_TEST(ignored_children_without_status) {
    shell.ignores_children = true;
    tree_put(&shell);
    tree_put(&child);
    tally *t = tree_collector("metrics", "cpu_*,starts,exits", "group-by", "user,name", NULL);
    collect_at(t, 1000);
    ck_assert(tree_process(t, 100)->ignores_children);
    ck_assert(!tree_process(t, 200)->ignores_children);
    child.utime = 30;
    tree_put(&child);
    collect_at(t, 1010);
    tree_remove(200);
    collect_at(t, 1020);
    tree_put(&shell);
    collect_at(t, 1030);
    tally_free(t);
}
END_TEST

/* Counting goes on behind what is not shown: it can be asked for again. */
START_TEST(what_is_not_sent_is_counted_if_it_comes_for_free) {
    tally *t = tree_collector("metrics", "cpu_*", NULL);
    collect_at(t, 1000);
    shell.minflt = 40;
    tree_put(&shell);
    collect_at(t, 1010);
    ck_assert(!has_value(t, "sh", METRIC_FAULTS_MINOR));
    tally *u = tree_collector_from(t, NULL, NULL);
    collect_at(u, 1020);
    ck_assert_uint_eq(value_of(u, "sh", METRIC_FAULTS_MINOR), 40);
    tally_free(t);
    tally_free(u);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("spared");
    TCase *tc = add_case(suite, "spared");
    tcase_add_checked_fixture(tc, setup, tree_close);
    tcase_add_test(tc, files_that_are_not_opened);
    tcase_add_test(tc, only_what_was_asked_for_is_known);
    tcase_add_test(tc, sums_and_refusals);
    tcase_add_test(tc, ignored_children_without_status);
    tcase_add_test(tc, what_is_not_sent_is_counted_if_it_comes_for_free);
    return run_suite(suite);
}
