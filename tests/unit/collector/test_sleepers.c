/* SPDX-License-Identifier: MIT */
/* What others do to processes that sleep, and how late it shows at most: see "Sleepers" in
 * proctally-metrics(7). */
#include "suite.h"
#include "tree.h"

#include <errno.h>
#include <stdio.h>

#define FIRST 200u
#define MANY 300u
#define KIB UINT64_C(1024)
#define EVERY_S 10

static struct recorded sleeper;
static uint64_t scanned;
static double now_s;
static tally *t;

static void put_sleepers(uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        sleeper.pid = FIRST + i;
        tree_put(&sleeper);
    }
}

/* The kernel looks for pages to take, in whatever control group. */
static void reclaim(void) {
    char text[200];
    scanned += 32;
    snprintf(text, sizeof(text),
             "nr_free_pages %llu\npgscan_kswapd 0\npgscan_anon 7\npgscan_file %llu\npswpout 3\n",
             (unsigned long long)scanned * 3, (unsigned long long)scanned);
    tree_put_host("vmstat", text);
}

static void collect(void) {
    now_s += EVERY_S;
    clock_set(now_s);
    tree_collect(t);
}

/* All have slept for so long that the kernel's numbers from before are known. */
static void begin(uint32_t count) {
    put_sleepers(count);
    t = tree_collector(NULL, NULL);
    for (int i = 0; i < 40; i++)
        collect();
}

static void setup(void) {
    tree_open();
    scanned = 0;
    now_s = 1000;
    sleeper = (struct recorded){.ppid = 1, .start_ticks = 5000, .comm = "sleeper", .run_ns = 777,
                                .vsize = 1 << 20, .rss_kib = 100, .rss_pages = 25,
                                .anon_kib = 60, .swap_kib = 1, .fds = 1};
    reclaim();
}

static void teardown(void) {
    tally_free(t);
    t = NULL;
    tree_close();
}

/* How many show this and that by now, if each had 1 before and has 2 then. */
static uint64_t changed(enum metric metric, uint64_t unit) {
    return value_of(t, "sleeper", metric) / unit - MANY;
}

START_TEST(memory_that_was_taken_shows_within_a_minute) {
    begin(MANY);
    ck_assert_uint_eq(changed(METRIC_SWAP, KIB), 0);
    sleeper.swap_kib = 2;
    put_sleepers(MANY);
    reclaim();
    for (uint64_t i = 1, before = 0; i <= 6; i++) {
        collect();
        const uint64_t now = changed(METRIC_SWAP, KIB);
        /* evenly, and those whose turn it is to be read as a whole are among them */
        ck_assert_uint_eq(now - before, MANY / 6);
        before = now;
    }
    ck_assert_uint_eq(value_of(t, "sleeper", METRIC_SWAP), 2 * MANY * KIB);
    ck_assert_uint_eq(value_of(t, "sleeper", METRIC_UNREADABLE), 0);
}
END_TEST

/* It was taken after the kernel's numbers were read, and some of it before the process was. */
START_TEST(memory_that_is_taken_meanwhile_shows_within_a_minute) {
    begin(MANY);
    reclaim();
    collect();
    sleeper.swap_kib = 2;
    put_sleepers(MANY);
    for (int i = 0; i < 6; i++)
        collect();
    ck_assert_uint_eq(changed(METRIC_SWAP, KIB), MANY);
}
END_TEST

static void all_of_it_changes(void) {
    sleeper.swap_kib = 2;
    sleeper.fds = 2;
    sleeper.nice = 5;
    sleeper.fd_limit = 10;
    put_sleepers(MANY);
}

/* As where another process has cut a file that they have mapped, has their table of
 * descriptors, has reniced them or set their limits. */
START_TEST(anything_else_shows_within_five_minutes) {
    begin(MANY);
    all_of_it_changes();
    for (uint64_t i = 1; i <= 30; i++) {
        ck_assert_int_eq((int64_t)value_of(t, "sleeper", METRIC_NICE), 0);
        collect();
        ck_assert_uint_eq(changed(METRIC_OPEN_FDS, 1), i * MANY / 30);
        ck_assert_uint_eq(changed(METRIC_SWAP, KIB), i * MANY / 30);
    }
    ck_assert_int_eq((int64_t)value_of(t, "sleeper", METRIC_NICE), 5);
    ck_assert_uint_eq(value_of(t, "sleeper", METRIC_WORST_FD_RATIO), 200000000);
}
END_TEST

/* Of some the limit was read just before their turn comes. */
START_TEST(a_limit_that_was_read_lately_shows_within_five_minutes) {
    sleeper.fd_limit = 10;
    put_sleepers(MANY);
    t = tree_collector(NULL, NULL);
    for (int i = 0; i < 3; i++)
        collect();
    ck_assert_uint_eq(value_of(t, "sleeper", METRIC_WORST_FD_RATIO), 100000000);
    sleeper.fd_limit = 1000;
    put_sleepers(MANY);
    for (int i = 0; i < 31; i++)
        collect();
    ck_assert_uint_eq(value_of(t, "sleeper", METRIC_WORST_FD_RATIO), 1000000);
}
END_TEST

/* As before Linux 5.8, or with subset=pid. */
START_TEST(a_kernel_that_does_not_tell_is_not_believed) {
    begin(MANY);
    tree_put_host("vmstat", "pgscan_kswapd 1\npswpout 3\n");
    sleeper.swap_kib = 2;
    put_sleepers(MANY);
    for (int i = 0; i < 6; i++)
        collect();
    ck_assert_uint_eq(changed(METRIC_SWAP, KIB), MANY);
    sleeper.swap_kib = 1;
    put_sleepers(MANY);
    for (int i = 0; i < 6; i++)
        collect();
    ck_assert_uint_eq(changed(METRIC_SWAP, KIB), 0);
}
END_TEST

/* A collection that fails takes nobody's turn, and one that comes late is for all of them. */
START_TEST(turns_are_not_lost) {
    begin(MANY);
    reclaim();
    sleeper.swap_kib = 2;
    put_sleepers(MANY);
    const tally_snapshot *none;
    tree_hide(true);
    now_s += 2 * EVERY_S;
    clock_set(now_s);
    ck_assert_int_lt(tally_collect(t, &none), 0);
    tree_hide(false);
    now_s += 3 * EVERY_S;
    collect();
    ck_assert_uint_eq(changed(METRIC_SWAP, KIB), MANY);
    all_of_it_changes();
    now_s += 300;
    collect();
    ck_assert_uint_eq(changed(METRIC_OPEN_FDS, 1), MANY);
}
END_TEST

/* Where groups are told by it. */
START_TEST(another_control_group_shows_within_a_minute) {
    sleeper.cgroup = "0::/system.slice/a.service\n";
    put_sleepers(MANY);
    t = tree_collector("group-by", "unit", NULL);
    for (int i = 0; i < 40; i++)
        collect();
    sleeper.cgroup = "0::/system.slice/b.service\n";
    put_sleepers(MANY);
    for (uint64_t i = 1; i <= 6; i++) {
        collect();
        ck_assert_uint_eq(value_of(t, "b.service", METRIC_PROCESSES), i * MANY / 6);
        ck_assert_uint_eq(value_of(t, "a.service", METRIC_PROCESSES), MANY - i * MANY / 6);
    }
}
END_TEST

static void collect_until_turn(void) {
    while (((uint64_t)now_s + FIRST) % 60)
        collect();
}

/* The sleeper ends while its memory is looked at, and its number is given to another. */
static void replace(void) {
    tree_remove(FIRST);
    tree_put(&(struct recorded){.pid = FIRST, .ppid = 1, .start_ticks = TICKS(999),
                                .comm = "other", .swap_kib = 50, .vsize = 1 << 20,
                                .rss_kib = 1});
}

static void give_the_pid_away(const char *when_opened) {
    begin(1);
    collect_until_turn();
    reclaim();
    for (int i = 0; i < 5; i++)
        collect();
    tree_when_opened(FIRST, when_opened, replace);
    collect();
    ck_assert_uint_eq(value_of(t, "other", METRIC_SWAP), 50 * KIB);
    ck_assert_uint_eq(value_of(t, "sleeper", METRIC_PROCESSES), 0);
    ck_assert_uint_eq(value_of(t, "sleeper", METRIC_EXITS), 1);
}

START_TEST(who_got_the_pid_meanwhile_is_another) {
    give_the_pid_away("status");
}
END_TEST

/* Between the look at whether it has run and that at its memory. */
START_TEST(who_got_the_pid_before_is_another) {
    give_the_pid_away("schedstat");
}
END_TEST

START_TEST(what_is_refused_by_then_is_absent) {
    begin(1);
    collect_until_turn();
    reclaim();
    tree_refuse(FIRST, "status", EACCES);
    for (int i = 0; i < 5; i++) {
        collect();
        ck_assert_uint_eq(value_of(t, "sleeper", METRIC_SWAP), KIB);
    }
    collect();
    ck_assert(!has_value(t, "sleeper", METRIC_SWAP));
    ck_assert_uint_eq(value_of(t, "sleeper", METRIC_UNREADABLE), 1);
    ck_assert_uint_eq(value_of(t, "sleeper", METRIC_RSS), 100 * KIB); /* stat's */
    tree_refuse(FIRST, "status", 0);
    for (int i = 0; i < 6; i++) {
        reclaim();
        collect();
    }
    ck_assert_uint_eq(value_of(t, "sleeper", METRIC_SWAP), KIB);
    ck_assert_uint_eq(value_of(t, "sleeper", METRIC_UNREADABLE), 0);
}
END_TEST

/* Only status is read again: the others can't be, and are not missed. */
START_TEST(memory_is_read_from_one_file) {
    begin(1);
    collect_until_turn();
    if (((uint64_t)now_s + 60 + FIRST) % 300 == 0) /* its next turn is to be read as a whole */
        for (int i = 0; i < 6; i++)
            collect();
    reclaim();
    sleeper.swap_kib = 2;
    sleeper.anon_kib = 10;
    sleeper.rss_kib = 50;
    put_sleepers(1);
    tree_refuse(FIRST, "io", EIO);
    tree_refuse(FIRST, "stat", EIO);
    tree_refuse(FIRST, "limits", EIO);
    for (int i = 0; i < 6; i++)
        collect();
    ck_assert_uint_eq(value_of(t, "sleeper", METRIC_SWAP), 2 * KIB);
    ck_assert_uint_eq(value_of(t, "sleeper", METRIC_FOOTPRINT), 12 * KIB);
    ck_assert_uint_eq(value_of(t, "sleeper", METRIC_RSS), 50 * KIB);
    ck_assert_uint_eq(value_of(t, "sleeper", METRIC_VMS), 1 << 20);
    ck_assert_uint_eq(value_of(t, "sleeper", METRIC_OPEN_FDS), 1);
    ck_assert_uint_eq(value_of(t, "sleeper", METRIC_UNREADABLE), 0);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_HIDDEN), 0);
    for (int i = 0; i < 3; i++) { /* and is kept */
        collect();
        ck_assert_uint_eq(value_of(t, "sleeper", METRIC_SWAP), 2 * KIB);
    }
}
END_TEST

/* It got a CPU, and the kernel has not put down yet for how long: no sleeper any more. */
START_TEST(a_slice_that_has_just_begun_is_seen) {
    begin(1);
    sleeper.fds = 2;
    put_sleepers(1);
    tree_put_file(FIRST, "schedstat", "777 0 2\n");
    collect();
    ck_assert_uint_eq(value_of(t, "sleeper", METRIC_OPEN_FDS), 2);
}
END_TEST

/* Also where only its memory is read again, the file of which has no user's name to be shown. */
START_TEST(a_sleeper_keeps_its_name) {
    const struct tally_new_opts opts = {.size = sizeof(opts), .keep = TALLY_KEEP_PROCESSES};
    put_sleepers(MANY);
    t = tree_collector_with(&opts, NULL, NULL);
    for (int i = 0; i < 40; i++) {
        now_s += EVERY_S;
        clock_set(now_s);
        reclaim();
        const tally_snapshot *s = tree_collect(t);
        ck_assert_uint_ge(tally_snapshot_processes(s), MANY);
        for (size_t k = 0; k < tally_snapshot_processes(s); k++)
            if (tally_snapshot_process(s, k)->pid >= (pid_t)FIRST)
                ck_assert_str_eq(tally_snapshot_process(s, k)->name, "sleeper");
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("sleepers");
    TCase *c = add_case(s, "sleepers");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, memory_that_was_taken_shows_within_a_minute);
    tcase_add_test(c, memory_that_is_taken_meanwhile_shows_within_a_minute);
    tcase_add_test(c, anything_else_shows_within_five_minutes);
    tcase_add_test(c, a_limit_that_was_read_lately_shows_within_five_minutes);
    tcase_add_test(c, a_kernel_that_does_not_tell_is_not_believed);
    tcase_add_test(c, another_control_group_shows_within_a_minute);
    tcase_add_test(c, turns_are_not_lost);
    tcase_add_test(c, who_got_the_pid_meanwhile_is_another);
    tcase_add_test(c, who_got_the_pid_before_is_another);
    tcase_add_test(c, what_is_refused_by_then_is_absent);
    tcase_add_test(c, memory_is_read_from_one_file);
    tcase_add_test(c, a_slice_that_has_just_begun_is_seen);
    tcase_add_test(c, a_sleeper_keeps_its_name);
    return run_suite(s);
}
