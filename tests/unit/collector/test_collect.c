/* SPDX-License-Identifier: MIT */
/* Counting over time: births, deaths, reused pids, new programs, moves, orphans,
 * restarts, on a recorded /proc with a clock of its own. */
#include "failing_memory.h"
#include "tree.h"

#include "build-config.h"
#include "source/linux/thread_totals.h"
#include "suite.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define S UINT64_C(1000000000)

static struct recorded shell = {.pid = 100, .ppid = 1, .start_ticks = 5000, .comm = "sh"};
static struct recorded worker = {.pid = 200, .ppid = 100, .start_ticks = 6000, .comm = "worker"};

static void setup(void) {
    tree_open();
    shell = (struct recorded){.pid = 100, .ppid = 1, .start_ticks = 5000, .comm = "sh"};
    worker = (struct recorded){.pid = 200, .ppid = 100, .start_ticks = 6000, .comm = "worker"};
}

static uint64_t cpu_of(tally *t, const char *group) {
    return value_of(t, group, METRIC_CPU_USER) + value_of(t, group, METRIC_CPU_SYSTEM);
}

/* Time passes; processes that start from now on have the ticks of that time. */
static const tally_snapshot *collect_at(tally *t, double seconds) {
    clock_set(seconds);
    return tree_collect(t);
}

static char state_path[300];

static tally *with_state(void) {
    snprintf(state_path, sizeof(state_path), "%s/state", tree_path());
    return tree_collector("state-file", state_path, NULL);
}

/* ---- First sight -------------------------------------------------------------------- */

START_TEST(history_before_the_first_collection_is_not_ours) {
    shell.utime = 500;
    shell.read_bytes = 12345;
    tree_put(&shell);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    ck_assert_uint_eq(cpu_of(t, "sh"), 0);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_DISK_READ), 0);
    shell.utime = 550;
    shell.read_bytes = 12445;
    tree_put(&shell);
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "sh"), S / 2);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_DISK_READ), 100);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_STARTS), 0);
    tally_free(t);
}
END_TEST

START_TEST(a_process_born_later_counts_whole) {
    tree_put(&shell);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    worker.start_ticks = TICKS(1003);
    worker.utime = 150;
    worker.stime = 50;
    worker.minflt = 77;
    worker.rchar = 1000;
    worker.voluntary = 5;
    worker.wait_ns = 1234;
    tree_put(&worker);
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_CPU_USER), 1500000000);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_CPU_SYSTEM), 500000000);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_FAULTS_MINOR), 77);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_IO_READ), 1000);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWITCHES_VOLUNTARY), 5);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_RUN_QUEUE_WAIT), 1234);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_STARTS), 1);
    /* 2 s of CPU in 10 s on 4 CPUs */
    ck_assert_uint_eq(value_of(t, "worker", METRIC_CPU_USAGE), 50000000);
    tally_free(t);
}
END_TEST

START_TEST(an_old_process_that_appears_late_counts_from_then_on) {
    tree_put(&shell);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    worker.utime = 9999; /* started at 60 s: it was hidden until now */
    tree_put(&worker);
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "worker"), 0);
    tally_free(t);
}
END_TEST

START_TEST(lifetimes_leave_out_long_gone_children) {
    shell.utime = 500;
    shell.cutime = 700;
    shell.rchar = 10;
    tree_put(&shell);
    tally *t = tree_collector(NULL, NULL);
    t->count_lifetimes = true;
    collect_at(t, 1000);
    ck_assert_uint_eq(cpu_of(t, "sh"), 5 * S);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_IO_READ), 10);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_STARTS), 0);
    ck_assert(!has_value(t, "sh", METRIC_CPU_USAGE));
    shell.cutime = 800;
    tree_put(&shell);
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "sh"), 6 * S);
    tally_free(t);
}
END_TEST

/* ---- Exits --------------------------------------------------------------------------- */

START_TEST(what_a_known_child_did_at_last_is_credited_to_its_group) {
    tree_put(&shell);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    worker.start_ticks = TICKS(1001);
    worker.utime = 100;
    worker.minflt = 10;
    tree_put(&worker);
    collect_at(t, 1010);
    /* it used 3 more seconds and ended; the shell reaped it */
    tree_remove(200);
    shell.cutime = 400;
    shell.cminflt = 15;
    tree_put(&shell);
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "worker"), 4 * S);
    ck_assert_uint_eq(cpu_of(t, "sh"), 0);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_FAULTS_MINOR), 15);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_EXITS), 1);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_PROCESSES), 0);
    tally_free(t);
}
END_TEST

START_TEST(children_that_nobody_saw_are_the_parents) {
    tree_put(&shell);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    shell.cutime = 150;
    shell.cstime = 50;
    tree_put(&shell);
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_CPU_USER), 1500000000);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_CPU_SYSTEM), 500000000);
    tally_free(t);
}
END_TEST

START_TEST(a_child_gets_no_more_than_its_threads_can_have_used) {
    tree_put(&shell);
    tree_put(&worker);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    tree_remove(200);
    shell.cutime = 3000; /* 30 s in 10 s: most of it by others */
    tree_put(&shell);
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "worker"), 10 * S);
    ck_assert_uint_eq(cpu_of(t, "sh"), 20 * S);
    tally_free(t);
}
END_TEST

START_TEST(usage_before_the_first_collection_is_not_found_again_at_exit) {
    tree_put(&shell);
    worker.utime = 800; /* of a time that is not ours */
    worker.cutime = 100;
    worker.read_bytes = 5000;
    tree_put(&worker);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    tree_remove(200);
    shell.cutime = 900;
    shell.read_bytes = 5000;
    tree_put(&shell);
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "worker"), 0);
    ck_assert_uint_eq(cpu_of(t, "sh"), 0);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_DISK_READ), 0);
    tally_free(t);
}
END_TEST

START_TEST(a_chain_that_ends_in_one_interval_is_counted_once) {
    struct recorded grandchild = {.pid = 300, .ppid = 200, .comm = "cc"};
    tree_put(&shell);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    worker.start_ticks = TICKS(1001);
    worker.utime = 100;
    worker.cutime = 50; /* an unseen one */
    worker.rchar = 700;
    grandchild.start_ticks = TICKS(1002);
    grandchild.utime = 200;
    grandchild.rchar = 300;
    tree_put(&worker);
    tree_put(&grandchild);
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "worker"), 1500000000);
    ck_assert_uint_eq(cpu_of(t, "cc"), 2 * S);
    /* both end without using more: 100 + 50 + 200 ticks reach the shell */
    tree_remove(200);
    tree_remove(300);
    shell.cutime = 350;
    shell.rchar = 1000;
    tree_put(&shell);
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "worker"), 1500000000);
    ck_assert_uint_eq(cpu_of(t, "cc"), 2 * S);
    ck_assert_uint_eq(cpu_of(t, "sh"), 0);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_IO_READ), 0);
    tally_free(t);
}
END_TEST

START_TEST(childrens_io_is_not_counted_twice) {
    tree_put(&shell);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    worker.start_ticks = TICKS(1001);
    worker.rchar = 40000000;
    worker.syscr = 10;
    worker.minflt = 3;
    tree_put(&worker);
    collect_at(t, 1010);
    /* 10 MB more, then reaped; the shell itself read 7 bytes */
    tree_remove(200);
    shell.rchar = 50000007;
    shell.syscr = 14;
    shell.cminflt = 4;
    tree_put(&shell);
    collect_at(t, 1020);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_IO_READ), 40000000);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_IO_READ), 10000007);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_IO_READS), 4);
    tally_free(t);
}
END_TEST

static void worker_ends_unseen(void) {
    tree_remove(200);
}

START_TEST(a_child_that_ends_after_its_parent_was_read_is_counted_once) {
    tree_put(&shell);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    worker.start_ticks = TICKS(1001);
    worker.utime = 100;
    worker.rchar = 500;
    tree_put(&worker);
    collect_at(t, 1010);
    /* the shell is read first; the worker ends before its turn */
    tree_when_opened(100, "stat", worker_ends_unseen);
    shell.cutime = 30; /* of somebody else */
    shell.rchar = 100;
    tree_put(&shell);
    collect_at(t, 1020);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_EXITS), 1);
    /* now its use shows in the shell: 100 known, 70 new */
    shell.cutime = 30 + 170;
    shell.rchar = 100 + 600;
    tree_put(&shell);
    collect_at(t, 1030);
    ck_assert_uint_eq(cpu_of(t, "sh") + cpu_of(t, "worker"), 2 * S);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_IO_READ), 200);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_IO_READ), 500);
    tally_free(t);
}
END_TEST

/* pids have wrapped around: the child stands before its parent */
static struct recorded late_parent;

static void early_child_ends_and_is_reaped(void) {
    tree_remove(50);
    late_parent.cutime = 100;
    late_parent.cminflt = 20;
    late_parent.rchar = 500;
    tree_put(&late_parent);
}

START_TEST(a_child_read_before_its_parent_is_looked_at_again) {
    struct recorded early = {.pid = 50, .ppid = 900, .comm = "early"};
    late_parent = (struct recorded){.pid = 900, .ppid = 1, .start_ticks = 5000, .comm = "late"};
    tree_put(&late_parent);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    early.start_ticks = TICKS(1001);
    early.utime = 100;
    early.minflt = 20;
    early.rchar = 500;
    tree_put(&early);
    /* it is read with 1 s of CPU, ends, and stands in the parent's numbers when
     * those are read in the same collection */
    tree_put(&(struct recorded){.pid = 60, .ppid = 1, .start_ticks = 5000, .comm = "between"});
    tree_when_opened(60, "stat", early_child_ends_and_is_reaped);
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "early"), S);
    ck_assert_uint_eq(cpu_of(t, "late"), 0);
    ck_assert_uint_eq(value_of(t, "late", METRIC_IO_READ), 0);
    ck_assert_uint_eq(value_of(t, "early", METRIC_EXITS), 1);
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "early"), S);
    ck_assert_uint_eq(cpu_of(t, "late"), 0);
    tally_free(t);
}
END_TEST

START_TEST(an_orphan_is_reaped_by_init) {
    struct recorded init = {.pid = 1, .start_ticks = 0, .comm = "init"};
    struct recorded orphan = {.pid = 300, .ppid = 200, .comm = "orphan"};
    tree_put(&init);
    tree_put(&shell);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    worker.start_ticks = TICKS(1001);
    worker.utime = 100;
    orphan.start_ticks = TICKS(1002);
    orphan.utime = 300;
    tree_put(&worker);
    tree_put(&orphan);
    collect_at(t, 1010);
    /* the worker ends first (its 1 s goes to the shell), the orphan then (its
     * 3 s, and 1 s more, go to init) */
    tree_remove(200);
    tree_remove(300);
    shell.cutime = 100;
    init.cutime = 400;
    tree_put(&shell);
    tree_put(&init);
    collect_at(t, 1020);
    uint64_t total = cpu_of(t, "init") + cpu_of(t, "sh") + cpu_of(t, "worker") +
                     cpu_of(t, "orphan");
    ck_assert_uint_eq(total, 5 * S);
    ck_assert_uint_eq(cpu_of(t, "sh"), 0);
    collect_at(t, 1030);
    total = cpu_of(t, "init") + cpu_of(t, "sh") + cpu_of(t, "worker") + cpu_of(t, "orphan");
    ck_assert_uint_eq(total, 5 * S);
    tally_free(t);
}
END_TEST

START_TEST(an_orphan_is_found_past_a_sleeper_whose_parent_is_gone) {
    struct recorded init = {.pid = 1, .start_ticks = 0, .comm = "init"};
    struct recorded gone = {.pid = 80, .ppid = 1, .start_ticks = 1000, .comm = "gone"};
    struct recorded sleeper = {.pid = 90, .ppid = 80, .start_ticks = 2000, .comm = "sleeper",
                               .run_ns = 1};
    struct recorded orphan = {.pid = 300, .ppid = 200, .comm = "orphan"};
    shell.ppid = 90;
    tree_put(&init);
    tree_put(&gone);
    tree_put(&sleeper);
    tree_put(&shell);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    collect_at(t, 1010); /* the sleeper has not run: it is not read again */
    tree_remove(80);
    sleeper.ppid = 1;
    tree_put(&sleeper);
    worker.start_ticks = TICKS(1011);
    worker.utime = 100;
    orphan.start_ticks = TICKS(1012);
    orphan.utime = 300;
    tree_put(&worker);
    tree_put(&orphan);
    collect_at(t, 1020);
    /* the worker ends first, after 1 s more, then the orphan */
    tree_remove(200);
    tree_remove(300);
    shell.cutime = 200;
    init.cutime = 300;
    tree_put(&shell);
    tree_put(&init);
    collect_at(t, 1030);
    uint64_t total = cpu_of(t, "init") + cpu_of(t, "sh") + cpu_of(t, "worker") +
                     cpu_of(t, "orphan") + cpu_of(t, "sleeper");
    ck_assert_uint_eq(total, 5 * S);
    tally_free(t);
}
END_TEST

START_TEST(a_sleeping_orphan_that_a_subreaper_took_in) {
    struct recorded init = {.pid = 1, .start_ticks = 0, .comm = "init"};
    struct recorded reaper = {.pid = 50, .ppid = 1, .start_ticks = 1000, .comm = "reaper"};
    tree_put(&init);
    tree_put(&reaper);
    tree_put(&shell);
    worker.cutime = 2000; /* of children long gone */
    worker.run_ns = 1;
    tree_put(&worker);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    collect_at(t, 1010); /* the worker sleeps */
    tree_remove(100);
    worker.ppid = 50;
    tree_put(&worker);
    collect_at(t, 1020);
    collect_at(t, 1030);
    /* it ends, and has used 1 s more */
    tree_remove(200);
    reaper.cutime = 2100;
    tree_put(&reaper);
    collect_at(t, 1040);
    ck_assert_uint_eq(cpu_of(t, "reaper") + cpu_of(t, "worker") + cpu_of(t, "init"), S);
    tally_free(t);
}
END_TEST

/* Who waits for an orphan is only known when it is read again: it ends before that. */
START_TEST(an_orphan_that_a_subreaper_took_in_ends_at_once) {
    struct recorded init = {.pid = 1, .start_ticks = 0, .comm = "init"};
    struct recorded reaper = {.pid = 50, .ppid = 1, .start_ticks = 1000, .comm = "reaper"};
    struct recorded middle = {.pid = 60, .ppid = 50, .start_ticks = 1000, .comm = "middle"};
    shell.ppid = 60;
    tree_put(&init);
    tree_put(&reaper);
    tree_put(&middle);
    tree_put(&shell);
    worker.run_ns = 1;
    tree_put(&worker);
    tally *t = with_state();
    collect_at(t, 1000);
    worker.utime += 300;
    worker.run_ns++;
    tree_put(&worker);
    collect_at(t, 1010);
    collect_at(t, 1020); /* the worker sleeps */
    tree_remove(100);
    worker.ppid = 50;
    tree_put(&worker);
    collect_at(t, 1030);
    tally_free(t);
    t = with_state();
    /* it ends, and has used 1 s more; a child of `middle` that nobody saw as well */
    tree_remove(200);
    reaper.cutime = worker.utime + 100;
    tree_put(&reaper);
    middle.cutime = 50;
    tree_put(&middle);
    collect_at(t, 1040);
    ck_assert_uint_eq(cpu_of(t, "worker") + cpu_of(t, "reaper") + cpu_of(t, "middle") +
                          cpu_of(t, "init") + cpu_of(t, "sh"),
                      9 * S / 2);
    tally_free(t);
}
END_TEST

static struct recorded ending;

static void orphan_ends_unseen(void) {
    tree_remove(ending.pid);
}

/* init was read before the orphan ended: it shows in init's numbers the next time. */
START_TEST(an_orphan_that_ends_after_init_was_read_is_counted_once) {
    struct recorded init = {.pid = 1, .start_ticks = 0, .comm = "init", .run_ns = 1};
    tree_put(&init);
    tree_put(&shell);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    worker.start_ticks = TICKS(1001);
    tree_put(&worker);
    ending = (struct recorded){
        .pid = 300, .ppid = 200, .comm = "orphan", .start_ticks = TICKS(1002), .utime = 300};
    tree_put(&ending);
    collect_at(t, 1010);
    tree_remove(200);
    tree_when_opened(1, "stat", orphan_ends_unseen);
    init.run_ns++;
    tree_put(&init);
    collect_at(t, 1020);
    ck_assert_uint_eq(value_of(t, "orphan", METRIC_EXITS), 1);
    init.cutime = 400;
    init.run_ns++;
    tree_put(&init);
    collect_at(t, 1030);
    collect_at(t, 1040);
    ck_assert_uint_eq(cpu_of(t, "init") + cpu_of(t, "sh") + cpu_of(t, "orphan"), 4 * S);
    tally_free(t);
}
END_TEST

START_TEST(a_parent_that_ignores_its_children_takes_in_nothing) {
    shell.ignores_children = true;
    tree_put(&shell);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    worker.start_ticks = TICKS(1001);
    worker.rchar = 500;
    tree_put(&worker);
    collect_at(t, 1010);
    tree_remove(200);
    shell.rchar = 400; /* all its own */
    tree_put(&shell);
    collect_at(t, 1020);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_IO_READ), 400);
    tally_free(t);
}
END_TEST

START_TEST(a_zombie_is_a_member_until_it_is_reaped) {
    tree_put(&shell);
    tree_put(&worker);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    worker.state = 'Z';
    worker.utime = 100;
    tree_put(&worker);
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_STATE_ZOMBIE), 1);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_STATE_SLEEPING), 0);
    ck_assert_uint_eq(cpu_of(t, "worker"), S);
    tree_remove(200);
    shell.cutime = 100;
    tree_put(&shell);
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "worker"), S);
    ck_assert_uint_eq(cpu_of(t, "sh"), 0);
    tally_free(t);
}
END_TEST

/* ---- Incarnations ----------------------------------------------------------------------- */

START_TEST(a_reused_pid_is_another_process) {
    worker.utime = 500;
    tree_put(&shell);
    tree_put(&worker);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    worker.comm = "other-one";
    worker.start_ticks = TICKS(1005);
    worker.utime = 20;
    tree_put(&worker);
    shell.cutime = 500; /* the first one's history */
    tree_put(&shell);
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "other-one"), S / 5);
    ck_assert_uint_eq(value_of(t, "other-one", METRIC_STARTS), 1);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_EXITS), 1);
    ck_assert_uint_eq(cpu_of(t, "worker"), 0);
    ck_assert_uint_eq(cpu_of(t, "sh"), 0);
    tally_free(t);
}
END_TEST

START_TEST(a_reused_pid_of_the_same_name_does_not_go_backwards) {
    worker.utime = 500;
    worker.rchar = 1000;
    tree_put(&worker);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    worker.start_ticks = TICKS(1005);
    worker.utime = 20;
    worker.rchar = 10;
    tree_put(&worker);
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "worker"), S / 5);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_IO_READ), 10);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_PROCESSES), 1);
    tally_free(t);
}
END_TEST

START_TEST(a_value_that_dips_is_not_counted_again) {
    tree_put(&shell);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    shell.utime = 100;
    tree_put(&shell);
    collect_at(t, 1010);
    shell.utime = 99;
    tree_put(&shell);
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "sh"), S);
    shell.utime = 101;
    tree_put(&shell);
    collect_at(t, 1030);
    ck_assert_uint_eq(cpu_of(t, "sh"), 1010000000);
    tally_free(t);
}
END_TEST

START_TEST(a_new_name_moves_later_usage) {
    tree_put(&shell);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    shell.utime = 100;
    tree_put(&shell);
    collect_at(t, 1010);
    shell.comm = "python";
    shell.utime = 150;
    tree_put(&shell);
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "sh"), S);
    ck_assert_uint_eq(cpu_of(t, "python"), S / 2);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_PROCESSES), 0);
    ck_assert_uint_eq(value_of(t, "python", METRIC_PROCESSES), 1);
    ck_assert_uint_eq(value_of(t, "python", METRIC_STARTS), 0);
    tally_free(t);
}
END_TEST

START_TEST(an_exec_under_the_same_name_is_seen) {
    shell.exe = "/bin/one";
    shell.start_code = 0x1000;
    tree_put(&shell);
    tally *t = tree_collector("group-by", "exe", NULL);
    collect_at(t, 1000);
    shell.exe = "/bin/two";
    tree_put(&shell);
    collect_at(t, 1010); /* what can't have changed is not read again */
    ck_assert(has_group(t, "/bin/one"));
    ck_assert(!has_group(t, "/bin/two"));
    shell.start_code = 0x2000;
    shell.run_ns = 1000000;
    tree_put(&shell);
    collect_at(t, 1020);
    ck_assert_uint_eq(value_of(t, "/bin/two", METRIC_PROCESSES), 1);
    tally_free(t);
}
END_TEST

START_TEST(a_move_to_another_cgroup_is_seen) {
    shell.cgroup = "0::/system.slice/a.service\n";
    tree_put(&shell);
    tally *t = tree_collector("group-by", "unit", NULL);
    collect_at(t, 1000);
    ck_assert(has_group(t, "a.service"));
    collect_at(t, 1010);
    shell.cgroup = "0::/system.slice/b.service\n";
    tree_put(&shell);
    collect_at(t, 1020);
    collect_at(t, 1080); /* a minute later at the latest */
    ck_assert_uint_eq(value_of(t, "b.service", METRIC_PROCESSES), 1);
    ck_assert_uint_eq(value_of(t, "a.service", METRIC_PROCESSES), 0);
    tally_free(t);
}
END_TEST

static bool is_directory_up;

int __real_getpwuid_r(uid_t uid, struct passwd *entry, char *buffer, size_t size,
                      struct passwd **ret);
int __wrap_getpwuid_r(uid_t uid, struct passwd *entry, char *buffer, size_t size,
                      struct passwd **ret);

int __wrap_getpwuid_r(uid_t uid, struct passwd *entry, char *buffer, size_t size,
                      struct passwd **ret) {
    static char name[] = "late";
    if (uid != 4242)
        return __real_getpwuid_r(uid, entry, buffer, size, ret);
    *entry = (struct passwd){.pw_name = name, .pw_uid = uid};
    *ret = is_directory_up ? entry : NULL;
    return is_directory_up ? 0 : EIO;
}

/* The directory service came up after it: it need not run for that. */
START_TEST(a_user_that_gets_a_name_is_seen) {
    worker.uid = 4242;
    tree_put(&worker);
    tally *t = tree_collector("group-by", "user", NULL);
    collect_at(t, 1000);
    ck_assert(has_group(t, "4242"));
    is_directory_up = true;
    collect_at(t, 1005);
    ck_assert(!has_group(t, "late"));
    collect_at(t, 1070);
    ck_assert_uint_eq(value_of(t, "late", METRIC_PROCESSES), 1);
    ck_assert_uint_eq(value_of(t, "4242", METRIC_PROCESSES), 0);
    tally_free(t);
}
END_TEST

/* By number, as by name; and when it takes another one. */
START_TEST(a_rule_by_the_group_of_users) {
    worker.uid = 7;
    worker.gid = 4242;
    tree_put(&worker);
    tree_put(&shell);
    tally *t = tree_collector("rule", "web gid=4242", "rule", "ours gid=root", NULL);
    collect_at(t, 1000);
    ck_assert_uint_eq(value_of(t, "web", METRIC_PROCESSES), 1);
    ck_assert_uint_eq(value_of(t, "ours", METRIC_PROCESSES), 1);
    worker.gid = 0;
    worker.utime = 10;
    tree_put(&worker);
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "web", METRIC_PROCESSES), 0);
    ck_assert_uint_eq(value_of(t, "ours", METRIC_PROCESSES), 2);
    ck_assert_uint_eq(cpu_of(t, "ours"), 100000000);
    tally_free(t);
}
END_TEST

START_TEST(children_inherit_and_keep_it_as_orphans) {
    struct recorded init = {.pid = 1, .start_ticks = 0, .comm = "init"};
    tree_put(&init);
    tree_put(&shell);
    tally *t = tree_collector("rule", "app sh", "children", "true", NULL);
    collect_at(t, 1000);
    worker.start_ticks = TICKS(1001);
    tree_put(&worker);
    tree_put(&(struct recorded){
        .pid = 300, .ppid = 200, .start_ticks = TICKS(1002), .comm = "grandchild"});
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "app", METRIC_PROCESSES), 3);
    /* the shell ends, the worker becomes an orphan with a new program */
    tree_remove(100);
    worker.ppid = 1;
    worker.comm = "renamed";
    tree_put(&worker);
    collect_at(t, 1020);
    ck_assert_uint_eq(value_of(t, "app", METRIC_PROCESSES), 2);
    ck_assert(has_group(t, "init"));
    tally_free(t);
}
END_TEST

START_TEST(a_child_with_a_lower_pid_inherits_too) {
    tree_put(&shell);
    tally *t = tree_collector("rule", "app late", "children", "true", NULL);
    collect_at(t, 1000);
    tree_put(&(struct recorded){
        .pid = 900, .ppid = 1, .start_ticks = TICKS(1001), .comm = "late"});
    tree_put(&(struct recorded){
        .pid = 50, .ppid = 900, .start_ticks = TICKS(1002), .comm = "early", .utime = 7});
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "app", METRIC_PROCESSES), 2);
    ck_assert_uint_eq(cpu_of(t, "app"), 70000000);
    ck_assert(!has_group(t, "early"));
    tally_free(t);
}
END_TEST

/* ---- Threads --------------------------------------------------------------------------- */

START_TEST(switches_of_ended_threads_stay) {
    worker.threads = 3;
    tree_put(&worker);
    tree_put_thread(200, 200, 'S', 10, 1, 100);
    tree_put_thread(200, 201, 'R', 20, 2, 200);
    tree_put_thread(200, 202, 'S', 30, 3, 300);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWITCHES_VOLUNTARY), 0);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_THREADS_RUNNING), 1);
    worker.utime = 10;
    tree_put(&worker);
    tree_put_thread(200, 201, 'R', 25, 2, 250);
    tree_put_thread(200, 202, 'R', 36, 3, 300);
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWITCHES_VOLUNTARY), 11);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_RUN_QUEUE_WAIT), 50);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_THREADS_RUNNING), 2);
    /* one ends, one comes: a sum over live threads would fall */
    tree_remove_thread(200, 202);
    tree_put_thread(200, 203, 'S', 4, 0, 0);
    worker.utime = 20;
    tree_put(&worker);
    collect_at(t, 1020);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWITCHES_VOLUNTARY), 15);
    /* down to the main thread */
    tree_remove_thread(200, 201);
    tree_remove_thread(200, 203);
    tree_put_thread(200, 200, 'S', 13, 1, 100);
    worker.threads = 1;
    worker.utime = 30;
    tree_put(&worker);
    collect_at(t, 1030);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWITCHES_VOLUNTARY), 18);
    tally_free(t);
}
END_TEST

START_TEST(a_thread_number_that_is_given_again_counts_whole) {
    worker.threads = 2;
    tree_put(&worker);
    tree_put_thread(200, 200, 'S', 10, 0, 0);
    tree_put_thread(200, 201, 'S', 100, 0, 0);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    tree_put_thread(200, 201, 'S', 7, 0, 0);
    worker.utime = 1;
    tree_put(&worker);
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWITCHES_VOLUNTARY), 7);
    tally_free(t);
}
END_TEST

#define MANY 2500u /* more than are read in one collection */

static void put_many_threads(uint32_t first, uint64_t voluntary) {
    worker.utime++;
    tree_put(&worker);
    for (uint32_t i = first; i < MANY; i++)
        tree_put_thread(200, 200 + i, 'S', voluntary, 0, 0);
}

static size_t descriptors(void) {
    size_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

START_TEST(too_many_threads_are_read_in_parts) {
    size_t before = descriptors();
    worker.threads = MANY;
    put_many_threads(0, 10);
    tree_put(&shell);
    tally *t = with_state();
    collect_at(t, 1000);
    ck_assert(!has_value(t, "worker", METRIC_SWITCHES_VOLUNTARY));
    ck_assert(!has_value(t, "worker", METRIC_THREADS_RUNNING));
    ck_assert_uint_eq(value_of(t, "worker", METRIC_THREADS), MANY);
    /* it is not refused: its turn has not come */
    ck_assert_uint_eq(value_of(t, "worker", METRIC_UNREADABLE_SCHED), 0);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_UNREADABLE), 0);
    uint64_t skipped = self_of(t, METRIC_SELF_THREADS_SKIPPED);
    ck_assert_uint_ge(skipped, MANY - 2000);
    ck_assert_uint_lt(skipped, MANY - 1900);
    ck_assert(has_value(t, "sh", METRIC_SWITCHES_VOLUNTARY));

    /* from when all are known the counter goes up part by part; idle or not */
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWITCHES_VOLUNTARY), 0);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_UNREADABLE_SCHED), 0);
    ck_assert_uint_gt(self_of(t, METRIC_SELF_THREADS_SKIPPED), skipped + 1900);
    put_many_threads(0, 11);
    collect_at(t, 1020);
    uint64_t part = value_of(t, "worker", METRIC_SWITCHES_VOLUNTARY);
    ck_assert_uint_gt(part, 1900);
    ck_assert_uint_le(part, 2000);
    collect_at(t, 1030);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWITCHES_VOLUNTARY), MANY);

    /* now nothing is left to be read */
    skipped = self_of(t, METRIC_SELF_THREADS_SKIPPED);
    collect_at(t, 1040);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_THREADS_SKIPPED), skipped);

    /* those that end in the middle stay counted, and after a restart it goes on */
    put_many_threads(0, 12);
    collect_at(t, 1050);
    for (uint32_t i = 0; i < 1000; i++)
        tree_remove_thread(200, 200 + i);
    collect_at(t, 1060);
    part = value_of(t, "worker", METRIC_SWITCHES_VOLUNTARY);
    ck_assert_uint_ge(part, 2 * MANY - 1000);
    ck_assert_uint_le(part, 2 * MANY);
    tally_free(t);
    t = with_state();
    for (int second = 1070; second < 1090; second += 10)
        collect_at(t, second);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWITCHES_VOLUNTARY), part);
    put_many_threads(1000, 15);
    for (int second = 1090; second < 1110; second += 10)
        collect_at(t, second);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWITCHES_VOLUNTARY), part + 3 * (MANY - 1000));

    /* one that ends half way leaves nothing open */
    put_many_threads(0, 20);
    collect_at(t, 1110);
    tree_remove(200);
    collect_at(t, 1120);
    collect_at(t, 1130);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWITCHES_VOLUNTARY) > part, 1);
    size_t open = descriptors();
    tally_free(t);
    ck_assert_uint_eq(open, descriptors() + 1);
    ck_assert_uint_eq(descriptors(), before);
}
END_TEST

/* Two such processes and one with fewer threads: each gets its turn. */
START_TEST(large_processes_take_turns) {
    for (uint32_t pid = 201; pid <= 203; pid++) {
        char comm[16];
        snprintf(comm, sizeof(comm), "many%u", pid);
        tree_put(&(struct recorded){
            .pid = pid, .ppid = 1, .comm = comm, .threads = pid < 203 ? MANY : 1500});
        for (uint32_t i = 0; pid < 203 && i < MANY; i++)
            tree_put_thread(pid, 10000 * pid + i, 'S', 1, 0, 0);
    }
    tree_put_thread(203, 203, 'S', 1, 0, 0);
    tally *t = tree_collector(NULL, NULL);
    for (int i = 0; i < 8; i++)
        collect_at(t, 1000 + i);
    for (uint32_t pid = 201; pid <= 203; pid++) {
        char comm[16];
        snprintf(comm, sizeof(comm), "many%u", pid);
        ck_assert_msg(has_value(t, comm, METRIC_SWITCHES_VOLUNTARY), "%s was never read", comm);
    }
    tally_free(t);
}
END_TEST

static bool only_three_is_alive(void *data, uint32_t tid) {
    (void)data;
    return tid == 3;
}

START_TEST(a_thread_that_a_listing_missed_is_not_counted_again) {
    struct thread_totals *totals;
    struct thread_values ten = {.voluntary_switches = 10}, values;
    ck_assert_int_eq(thread_totals_new(&totals), 0);
    for (int listing = 0; listing < 3; listing++) {
        ck_assert_int_eq(thread_totals_begin(totals, 200, 6000, true), 0);
        for (uint32_t tid = 1; tid <= (listing == 1 ? 1 : 3); tid++)
            ck_assert_int_eq(thread_totals_add(totals, tid, &ten), 0);
        ck_assert(thread_totals_end(totals, only_three_is_alive, NULL, &values));
    }
    /* the second one had ended: its number was given again */
    ck_assert_uint_eq(values.voluntary_switches, 40);
    thread_totals_free(totals);
}
END_TEST

/* Three processes of 900 threads each: two fit into the budget, and the third
 * is first in the next collection. */
START_TEST(the_budget_for_threads_goes_round) {
    for (uint32_t pid = 201; pid <= 203; pid++) {
        char comm[16];
        snprintf(comm, sizeof(comm), "many%u", pid);
        tree_put(&(struct recorded){.pid = pid, .ppid = 1, .comm = comm, .threads = 900});
        tree_put_thread(pid, pid, 'S', 5, 0, 0);
    }
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    ck_assert(has_value(t, "many201", METRIC_SWITCHES_VOLUNTARY));
    ck_assert(!has_value(t, "many203", METRIC_SWITCHES_VOLUNTARY));
    for (uint32_t pid = 201; pid <= 203; pid++) {
        char comm[16];
        snprintf(comm, sizeof(comm), "many%u", pid);
        tree_put(
            &(struct recorded){.pid = pid, .ppid = 1, .comm = comm, .threads = 900, .utime = 5});
    }
    collect_at(t, 1010);
    ck_assert(has_value(t, "many203", METRIC_SWITCHES_VOLUNTARY));
    tally_free(t);
}
END_TEST

/* ---- What can't be read -------------------------------------------------------------------- */

START_TEST(absent_is_not_zero) {
    worker.rchar = 100;
    tree_put(&worker);
    tree_refuse(200, "io", EACCES);
    tree_refuse(200, "fd", EACCES);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    ck_assert(!has_value(t, "worker", METRIC_IO_READ));
    ck_assert(!has_value(t, "worker", METRIC_OPEN_FDS));
    ck_assert(!has_value(t, "worker", METRIC_WORST_FD_RATIO));
    ck_assert_uint_eq(value_of(t, "worker", METRIC_UNREADABLE_IO), 1);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_UNREADABLE), 1);
    ck_assert(has_value(t, "worker", METRIC_RSS));
    struct tally_error text;
    ck_assert(tally_notice(t, &text));
    ck_assert_ptr_nonnull(strstr(text.text, "1 of 1 processes"));
    ck_assert(!tally_notice(t, &text));
    /* when it can be read after all, it counts from then on */
    tree_refuse(200, "io", 0);
    worker.utime = 1;
    tree_put(&worker);
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_IO_READ), 0);
    worker.rchar = 150;
    tree_put(&worker);
    collect_at(t, 1020);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_IO_READ), 50);
    ck_assert(!tally_notice(t, &text));
    tally_free(t);
}
END_TEST

/* ---- What is told ------------------------------------------------------------------------ */

static void assert_told(tally *t, const char *part) {
    struct tally_error text = {{0}};
    ck_assert_msg(tally_notice(t, &text), "nothing is told, expected \"%s\"", part);
    ck_assert_msg(strstr(text.text, part) != NULL, "%s", text.text);
    ck_assert_msg(!tally_notice(t, &text), "also told: %s", text.text);
}

static void assert_nothing_told(tally *t) {
    struct tally_error text;
    ck_assert_msg(!tally_notice(t, &text), "told: %s", text.text);
}

static struct recorded extra = {.pid = 300, .ppid = 1, .start_ticks = 50000, .comm = "extra"};

/* As long as it is so, once; and again when it comes back. */
START_TEST(too_many_groups_are_told_while_there_are) {
    tree_put(&shell);
    tree_put(&worker);
    tally *t = tree_collector("max-groups", "2", NULL);
    collect_at(t, 1000);
    assert_nothing_told(t);
    tree_put(&extra);
    collect_at(t, 1010);
    assert_told(t, "more groups than max-groups (2)");
    /* it stays in the group other, however long */
    for (int i = 1; i < 9; i++) {
        collect_at(t, 1010 + 200 * i);
        assert_nothing_told(t);
    }
    tree_remove(300);
    collect_at(t, 3000);
    collect_at(t, 3700);
    tree_put(&extra);
    collect_at(t, 3710);
    assert_told(t, "more groups than max-groups");
    tally_free(t);
}
END_TEST

/* Nobody hears twice of what a reload has not changed, or of what it has mended. */
START_TEST(told_things_outlive_a_reload) {
    tree_put(&shell);
    tree_put(&worker);
    tree_put(&extra);
    tree_refuse(200, "io", EACCES);
    tally *t = tree_collector("max-groups", "2", NULL);
    collect_at(t, 1000);
    struct tally_error text;
    ck_assert(tally_notice(t, &text));
    ck_assert(tally_notice(t, &text));
    assert_nothing_told(t);
    tally *u = tree_collector_from(t, "max-groups", "2", NULL);
    t = tally_free(t);
    collect_at(u, 1010);
    assert_nothing_told(u);
    tally *v = tree_collector_from(u, "max-groups", "50", NULL);
    tally_free(u);
    collect_at(v, 1020);
    collect_at(v, 1700);
    assert_nothing_told(v);
    /* it had gone away */
    u = tree_collector_from(v, "max-groups", "2", NULL);
    tally_free(v);
    collect_at(u, 1710);
    assert_told(u, "more groups than max-groups (2)");
    tally_free(u);
}
END_TEST

/* The counter is kept with the state, the condition is not. */
START_TEST(a_limit_that_was_raised_is_not_told) {
    tree_put(&shell);
    tree_put(&worker);
    snprintf(state_path, sizeof(state_path), "%s/state", tree_path());
    tally *t = tree_collector("state-file", state_path, "max-groups", "1", NULL);
    collect_at(t, 1000);
    assert_told(t, "more groups than max-groups (1)");
    tally_free(t);
    t = tree_collector("state-file", state_path, "max-groups", "1", NULL);
    collect_at(t, 1010);
    assert_told(t, "more groups than max-groups (1)");
    tally_free(t);
    t = tree_collector("state-file", state_path, "max-groups", "9", NULL);
    collect_at(t, 1020);
    assert_nothing_told(t);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_OVERFLOWED), 1);
    tally_free(t);
}
END_TEST

START_TEST(an_unreadable_group_stays_absent_when_it_is_empty) {
    tree_put(&shell);
    tally *t = tree_collector("rule", "app worker", "rule", "nobody none", NULL);
    collect_at(t, 1000);
    /* no member ever: the sums are known to be 0, extremes are not */
    ck_assert_uint_eq(value_of(t, "nobody", METRIC_PROCESSES), 0);
    ck_assert_uint_eq(value_of(t, "nobody", METRIC_IO_READ), 0);
    ck_assert_uint_eq(value_of(t, "nobody", METRIC_RSS), 0);
    ck_assert_uint_eq(cpu_of(t, "nobody"), 0);
    ck_assert(!has_value(t, "nobody", METRIC_START_TIME));
    ck_assert(!has_value(t, "nobody", METRIC_NICE));
    ck_assert(!has_value(t, "nobody", METRIC_PSS));
    worker.start_ticks = TICKS(1001);
    tree_put(&worker);
    tree_refuse(200, "io", EACCES);
    collect_at(t, 1010);
    ck_assert(!has_value(t, "app", METRIC_IO_READ));
    tree_remove(200);
    collect_at(t, 1020);
    ck_assert(!has_value(t, "app", METRIC_IO_READ));
    ck_assert_uint_eq(value_of(t, "app", METRIC_RSS), 0);
    tally_free(t);
}
END_TEST

START_TEST(what_is_switched_off_is_absent) {
    tree_put(&worker);
    tally *t = tree_collector("collect", "no-io,no-fds,no-states,no-threads,no-delays",
                              "collect", "no-context-switches", NULL);
    collect_at(t, 1000);
    ck_assert(!has_value(t, "worker", METRIC_IO_READ));
    ck_assert(!has_value(t, "worker", METRIC_OPEN_FDS));
    ck_assert(!has_value(t, "worker", METRIC_STATE_SLEEPING));
    ck_assert(!has_value(t, "worker", METRIC_THREADS_RUNNING));
    ck_assert(!has_value(t, "worker", METRIC_SWITCHES_VOLUNTARY));
    ck_assert(!has_value(t, "worker", METRIC_RUN_QUEUE_WAIT));
    ck_assert(!has_value(t, "worker", METRIC_UNREADABLE_IO));
    ck_assert(has_value(t, "worker", METRIC_THREADS));
    tally_free(t);
}
END_TEST

START_TEST(hidden_processes_are_counted) {
    tree_put(&shell);
    tree_put(&worker);
    tree_refuse(200, "stat", EPERM);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_HIDDEN), 1);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_PROCESSES), 1);
    ck_assert(!has_group(t, "worker"));
    tally_free(t);
}
END_TEST

/* Without descriptors nothing is known of who can't be opened; nobody has ended. */
START_TEST(want_of_descriptors_ends_nobody) {
    const tally_snapshot *s;
    const int errors[] = {EMFILE, ENFILE};
    worker.utime = 100;
    tree_put(&shell);
    tree_put(&worker);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    for (size_t i = 0; i < 2; i++) {
        tree_refuse(200, "stat", errors[i]);
        clock_set(1001 + (double)i);
        ck_assert_int_eq(tally_collect(t, &s), -errors[i]);
    }
    tree_refuse(200, "stat", 0);
    worker.utime = 150;
    tree_put(&worker);
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_PROCESSES), 1);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_EXITS), 0);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_CPU_USER), 500000000);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_HIDDEN), 0);
    tally_free(t);
}
END_TEST

/* What the files of a process say is taken from memory while it sleeps, but never what the
 * kernel can have taken from it for longer than a minute (see test_sleepers.c). */
START_TEST(a_process_that_does_not_run_is_remembered) {
    worker.swap_kib = 8;
    worker.anon_kib = 100;
    worker.rss_pages = 50;
    worker.vsize = 1 << 20;
    worker.fds = 3;
    worker.run_ns = 777;
    tree_put(&worker);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 990);
    collect_at(t, 1000);
    /* these can't be read any more, and need not be */
    tree_refuse(200, "status", EIO);
    tree_refuse(200, "io", EIO);
    tree_refuse(200, "limits", EIO);
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWAP), 8192);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_FOOTPRINT), 108 * 1024);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_OPEN_FDS), 3);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_IO_READ), 0);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWITCHES_VOLUNTARY), 0);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_THREADS_RUNNING), 0);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_UNREADABLE), 0);
    ck_assert(has_value(t, "worker", METRIC_WORST_FD_RATIO));
    tree_refuse(200, "status", 0);
    tree_refuse(200, "io", 0);
    tree_refuse(200, "limits", 0);
    /* the kernel swaps some of it out: nothing runs, and it is seen within a
     * minute */
    worker.swap_kib = 88;
    worker.anon_kib = 20;
    worker.rss_pages = 30;
    tree_put(&worker);
    collect_at(t, 1020);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWAP), 8192);
    collect_at(t, 1060);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWAP), 88 * 1024);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_RSS),
                      30 * (uint64_t)sysconf(_SC_PAGESIZE));
    collect_at(t, 1070);
    /* and one that runs is read, whatever it did */
    worker.fds = 9;
    worker.rchar = 70;
    worker.run_ns = 778;
    tree_put(&worker);
    collect_at(t, 1080);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_OPEN_FDS), 9);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_IO_READ), 70);
    tally_free(t);
}
END_TEST

START_TEST(a_process_that_vanishes_half_way_is_no_error) {
    tree_put(&shell);
    tree_put(&worker);
    tree_refuse(200, "io", ESRCH);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_VANISHED), 1);
    ck_assert(!has_group(t, "worker"));
    struct tally_error text;
    ck_assert(!tally_notice(t, &text));
    tally_free(t);
}
END_TEST

/* The worker ends while it is read, and its number is given to another at once. */
static void replace_worker(void) {
    tree_remove(200);
    tree_put(&(struct recorded){.pid = 200, .ppid = 100, .start_ticks = TICKS(999),
                                .comm = "other", .cmdline = "other", .rchar = 1000000});
}

START_TEST(who_got_the_pid_meanwhile_is_not_mixed_in) {
    /* one that is not the last to be read; with status to hold on to, and without */
    static const char *const opened[] = {"cmdline", "io"};
    for (size_t i = 0; i < 2; i++) {
        worker.cmdline = "worker";
        tree_put(&worker);
        tree_refuse(200, "status", i ? EACCES : 0);
        tree_when_opened(200, opened[i], replace_worker);
        tally *t = tree_collector("group-by", "cmdline", NULL);
        collect_at(t, 1000);
        ck_assert_uint_eq(self_of(t, METRIC_SELF_VANISHED), 1);
        ck_assert_uint_eq(self_of(t, METRIC_SELF_PROCESSES), 0);
        tree_refuse(200, "status", 0);
        collect_at(t, 1010);
        ck_assert_uint_eq(value_of(t, "other", METRIC_PROCESSES), 1);
        tally_free(t);
    }
}
END_TEST

/* ---- Gauges ------------------------------------------------------------------------------ */

START_TEST(gauges_of_a_group) {
    tree_put(&(struct recorded){.pid = 10, .ppid = 1, .start_ticks = 7000, .comm = "g",
                                .priority = 20, .nice = 0, .rss_pages = 10, .vsize = 40960,
                                .anon_kib = 12, .swap_kib = 8, .fds = 10, .threads = 1,
                                .state = 'R'});
    tree_put(&(struct recorded){.pid = 11, .ppid = 1, .start_ticks = 6000, .comm = "g",
                                .priority = -51, .nice = -5, .rss_pages = 5, .vsize = 4096,
                                .anon_kib = 4, .fds = 30, .fd_limit = 40, .state = 'D'});
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    ck_assert_uint_eq(value_of(t, "g", METRIC_PROCESSES), 2);
    ck_assert_uint_eq(value_of(t, "g", METRIC_RSS), 15 * page);
    ck_assert_uint_eq(value_of(t, "g", METRIC_VMS), 45056);
    ck_assert_uint_eq(value_of(t, "g", METRIC_SWAP), 8192);
    ck_assert_uint_eq(value_of(t, "g", METRIC_FOOTPRINT), 24 * 1024);
    ck_assert_uint_eq(value_of(t, "g", METRIC_DATA), 2 * 8192);
    ck_assert_uint_eq(value_of(t, "g", METRIC_STACK), 2 * 4096);
    ck_assert_uint_eq(value_of(t, "g", METRIC_CODE), 2 * 3072);
    ck_assert_uint_eq(value_of(t, "g", METRIC_OPEN_FDS), 40);
    ck_assert_uint_eq(value_of(t, "g", METRIC_WORST_FD_RATIO), 750000000);
    ck_assert_int_eq((int64_t)value_of(t, "g", METRIC_PRIORITY), -51);
    ck_assert_int_eq((int64_t)value_of(t, "g", METRIC_NICE), -5);
    ck_assert_uint_eq(value_of(t, "g", METRIC_START_TIME), (BOOT_TIME_S + 60) * S);
    ck_assert_uint_eq(value_of(t, "g", METRIC_STATE_RUNNING), 1);
    ck_assert_uint_eq(value_of(t, "g", METRIC_STATE_DISK_SLEEP), 1);
    ck_assert_uint_eq(value_of(t, "g", METRIC_THREADS_RUNNING), 1);
    tally_free(t);
}
END_TEST

START_TEST(cpu_mode_core) {
    tree_put(&shell);
    tally *t = tree_collector("cpu-mode", "core", NULL);
    collect_at(t, 1000);
    shell.utime = 1500;
    tree_put(&shell);
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_CPU_USAGE), 1500000000);
    tally_free(t);
}
END_TEST

START_TEST(coverage_is_of_all_processes) {
    tree_set_host(1000, 4);
    tree_put(&shell);
    tree_put(&worker);
    tally *t = tree_collector("exclude", "worker", NULL);
    collect_at(t, 1000);
    shell.utime = 30;
    worker.utime = 60;
    tree_put(&shell);
    tree_put(&worker);
    tree_set_host(1100, 4);
    collect_at(t, 1010);
    ck_assert(!has_group(t, "worker"));
    ck_assert_uint_eq(self_of(t, METRIC_SELF_COVERAGE), 900000000);
    tally_free(t);
}
END_TEST

START_TEST(a_clock_stepped_backwards_does_no_harm) {
    tree_put(&shell);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    clock_step_realtime(-3600);
    shell.utime = 100;
    tree_put(&shell);
    const tally_snapshot *s = collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "sh"), S);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_CPU_USAGE), 25000000);
    ck_assert_uint_eq(tally_snapshot_time(s), (BOOT_TIME_S + 1010 - 3600) * S);
    tally_free(t);
}
END_TEST

START_TEST(groups_end) {
    tree_put(&shell);
    tree_put(&worker);
    tally *t = tree_collector("rule", "app worker", "expire-after", "30s", NULL);
    collect_at(t, 1000);
    tree_remove(100);
    tree_remove(200);
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_PROCESSES), 0);
    collect_at(t, 1039);
    ck_assert(has_group(t, "sh"));
    collect_at(t, 1041);
    ck_assert(!has_group(t, "sh"));
    ck_assert(has_group(t, "app"));
    collect_at(t, 100000);
    ck_assert_uint_eq(value_of(t, "app", METRIC_PROCESSES), 0);
    tally_free(t);
}
END_TEST

START_TEST(single_processes_are_shown_by_use) {
    for (uint32_t pid = 10; pid < 20; pid++)
        tree_put(&(struct recorded){.pid = pid, .ppid = 1, .start_ticks = 5000, .comm = "x",
                                    .rss_pages = pid, .exe = "/bin/x", .uid = 7, .gid = 8});
    tally *t = tree_collector("group-by", "pid", "top", "3", NULL);
    const tally_snapshot *s = collect_at(t, 1000);
    ck_assert_uint_eq(tally_snapshot_groups(s), 3);
    ck_assert(has_group(t, "19") && has_group(t, "18") && has_group(t, "17"));
    tree_put(&(struct recorded){.pid = 10, .ppid = 1, .start_ticks = 5000, .comm = "x",
                                .utime = 3, .rss_pages = 10});
    tree_remove(19);
    s = collect_at(t, 1010);
    ck_assert(has_group(t, "10") && has_group(t, "18"));
    const char *key, *value;
    static const char *const wanted[][2] = {
        {"pid", "10"}, {"ppid", "1"}, {"uid", "7"}, {"gid", "8"}, {"path", "/bin/x"}};
    for (size_t i = 0; i < 5; i++) {
        ck_assert(tally_snapshot_label(s, 0, i, &key, &value));
        ck_assert_str_eq(key, wanted[i][0]);
        ck_assert_str_eq(value, wanted[i][1]);
    }
    collect_at(t, 1020);
    ck_assert_uint_eq(t->counting.tallies.count, 9);
    tally_free(t);
}
END_TEST

/* ---- Restarts ---------------------------------------------------------------------------- */

START_TEST(counting_goes_on_after_a_restart) {
    tree_put(&shell);
    tree_put(&worker);
    tally *t = with_state();
    collect_at(t, 1000);
    shell.utime = 100;
    tree_put(&shell);
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "sh"), S);
    tally_free(t);

    /* while nobody looks: the shell works, the worker ends, another comes */
    shell.utime = 150;
    shell.cutime = 70;
    tree_put(&shell);
    tree_remove(200);
    tree_put(&(struct recorded){
        .pid = 300, .ppid = 100, .start_ticks = TICKS(1015), .comm = "new", .utime = 30});
    t = with_state();
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "sh"), 1500000000);
    ck_assert_uint_eq(cpu_of(t, "worker"), 700000000);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_EXITS), 1);
    ck_assert_uint_eq(cpu_of(t, "new"), 300000000);
    ck_assert_uint_eq(value_of(t, "new", METRIC_STARTS), 1);
    ck_assert(has_value(t, "sh", METRIC_CPU_USAGE));
    struct tally_error text;
    ck_assert(!tally_notice(t, &text));
    tally_free(t);
}
END_TEST

START_TEST(another_boot_starts_anew) {
    tree_put(&shell);
    tally *t = with_state();
    collect_at(t, 1000);
    shell.utime = 100;
    tree_put(&shell);
    collect_at(t, 1010);
    tally_free(t);

    tree_set_boot_id("00000000-0000-0000-0000-000000000002");
    t = with_state();
    struct tally_error text;
    collect_at(t, 50);
    ck_assert_uint_eq(cpu_of(t, "sh"), 0);
    /* which is how it should be: nobody need hear of it, or find it set aside */
    ck_assert(!tally_notice(t, &text));
    char aside[320];
    snprintf(aside, sizeof(aside), "%s.rejected", state_path);
    ck_assert_int_ne(access(aside, F_OK), 0);
    tally_free(t);
}
END_TEST

START_TEST(threads_after_a_restart_do_not_stall_the_counter) {
    worker.threads = 2;
    tree_put(&worker);
    tree_put_thread(200, 200, 'S', 10, 0, 0);
    tree_put_thread(200, 201, 'S', 1000000, 0, 0);
    tally *t = with_state();
    collect_at(t, 1000);
    tree_remove_thread(200, 201);
    tree_put_thread(200, 202, 'S', 5, 0, 0);
    worker.utime = 1;
    tree_put(&worker);
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWITCHES_VOLUNTARY), 5);
    tally_free(t);
    /* the ended thread's million is forgotten with the program */
    t = with_state();
    worker.utime = 2;
    tree_put(&worker);
    collect_at(t, 1020);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWITCHES_VOLUNTARY), 5);
    tree_put_thread(200, 202, 'S', 8, 0, 0);
    worker.utime = 3;
    tree_put(&worker);
    collect_at(t, 1030);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWITCHES_VOLUNTARY), 8);
    tally_free(t);
}
END_TEST

/* That it had a lower counter than before is believed of a thread sum that is yet to come, and
 * nobody waits for what is not collected. */
START_TEST(after_a_restart_what_is_collected_is_waited_for) {
    static const struct {
        const char *switches, *delays;
        bool is_waited_for;
    } cases[] = {{"context-switches", "delays", true},
                 {"no-context-switches", "delays", true},
                 {"context-switches", "no-delays", true},
                 {"no-context-switches", "no-delays", false}};
    worker.threads = 2;
    tree_put(&worker);
    tree_put_thread(200, 200, 'S', 10, 0, 1000);
    tree_put_thread(200, 201, 'S', 20, 0, 1000);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const double now = 1000 + 100 * (double)i;
        worker.utime++;
        tree_put(&worker);
        tally *t = with_state();
        collect_at(t, now);
        tally_free(t);
        tree_refuse(200, "task", EACCES);
        t = tree_collector("state-file", state_path, "collect", cases[i].switches, "collect",
                           cases[i].delays, NULL);
        collect_at(t, now + 10);
        ck_assert_int_eq(tree_process(t, 200)->restored, cases[i].is_waited_for);
        tree_refuse(200, "task", 0);
        worker.utime++;
        tree_put(&worker);
        collect_at(t, now + 20);
        ck_assert(!tree_process(t, 200)->restored);
        tally_free(t);
    }
}
END_TEST

START_TEST(a_new_configuration_inherits) {
    tree_put(&shell);
    tree_put(&worker);
    tally *old = tree_collector(NULL, NULL);
    collect_at(old, 1000);
    shell.utime = 100;
    tree_put(&shell);
    collect_at(old, 1010);
    tally *t = tree_collector_from(old, "rule", "renamed worker", NULL);
    tally_free(old);
    shell.utime = 130;
    worker.utime = 40;
    tree_put(&shell);
    tree_put(&worker);
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "sh"), 1300000000);
    ck_assert_uint_eq(cpu_of(t, "renamed"), 400000000);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_PROCESSES), 0);
    tally_free(t);
}
END_TEST

/* What a service does when its configuration has changed: what is shown next is of the
 * time since something was shown, not of the moment since the old collector's last look. */
START_TEST(usage_after_a_reload_is_of_the_whole_interval) {
    tree_set_host(1000, 4);
    tree_put(&shell);
    tally *old = tree_collector(NULL, NULL);
    collect_at(old, 1000);
    shell.utime = 400;
    tree_set_host(1500, 4);
    tree_put(&shell);
    collect_at(old, 1010);
    ck_assert_uint_eq(value_of(old, "sh", METRIC_CPU_USAGE), 100000000);
    ck_assert_uint_eq(self_of(old, METRIC_SELF_COVERAGE), 800000000);

    shell.utime += 395;
    tree_set_host(1990, 4);
    tree_put(&shell);
    clock_set(1019.9);
    ck_assert_int_eq(tally_collect(old, NULL), 0);
    tally *t = tree_collector_from(old, NULL, NULL);
    tally_free(old);
    shell.utime += 5; /* the host's own figures go by whole ticks, and all at once */
    tree_set_host(2000, 4);
    tree_put(&shell);
    const tally_snapshot *s = collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "sh"), 8 * S);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_CPU_USAGE), 100000000);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_COVERAGE), 800000000);
    ck_assert_uint_eq(tally_snapshot_interval(s), 10 * S);
    tally_free(t);
}
END_TEST

START_TEST(proc_that_can_not_be_read_is_an_error_and_loses_nothing) {
    tree_put(&shell);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    shell.utime = 100;
    tree_put(&shell);
    collect_at(t, 1010);
    struct tally_error error;
    tally_config *config;
    tally *none;
    ck_assert_int_eq(tally_config_new(&config), 0);
    ck_assert_int_eq(tally_config_set(config, "procfs", "/nonexistent/proc", &error), 0);
    ck_assert_int_eq(collector_new(config, NULL, &tree_io, &none, &error), -ENOENT);
    ck_assert_ptr_nonnull(strstr(error.text, "/nonexistent/proc"));
    tally_config_free(config);
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "sh"), S);
    tally_free(t);
}
END_TEST

/* ---- Time for matching ------------------------------------------------------------------ */

/* Each look at the clock of CPU time finds so much more of it used; 0: what was. */
static uint64_t look_ns, looked_ns;

int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret) {
    if (look_ns == 0 || clock != CLOCK_THREAD_CPUTIME_ID)
        return __real_clock_gettime(clock, ret);
    looked_ns += look_ns;
    *ret = (struct timespec){(time_t)(looked_ns / S), (long)(looked_ns % S)};
    return 0;
}

#ifdef HAVE_PCRE2
#define MS UINT64_C(1000000)
#define LINE 4096

/* To `app` it takes some 4,000 steps, 7 ms; `never` gives up after 20 ms. */
static const char slow_rules[] = "[{name: never, cmdline: ['(a+)+$']},"
                                 " {name: app, cmdline: ['java .*-jar']}]";

static struct recorded with_line(uint32_t pid, uint32_t uid, const char *comm,
                                 const char *line) {
    return (struct recorded){.pid = pid,
                             .ppid = 1,
                             .start_ticks = 5000,
                             .comm = comm,
                             .uid = uid,
                             .cmdline = line,
                             .cmdline_len = LINE};
}

static char hostile_line[LINE], honest_line[LINE], other_line[LINE];

static void fill_lines(void) {
    memset(hostile_line, 'a', LINE);
    memset(honest_line, 'x', LINE);
    memset(other_line, 'x', LINE);
    hostile_line[LINE - 1] = 'b';
    memcpy(honest_line, "java -jar ", 10);
    look_ns = MS / 10;
}

/* The time of a user is up when its third process comes; those behind it are matched
 * again. What is known stays where it is, and others do not notice. */
START_TEST(who_takes_long_takes_his_own_time) {
    static const char *const names[] = {"h0", "h1", "h2"};
    struct recorded late = with_line(200, 1000, "late", honest_line);
    struct recorded other = with_line(300, 7, "other", honest_line);
    fill_lines();
    for (uint32_t i = 0; i < 3; i++) {
        struct recorded hostile = with_line(100 + i, 1000, names[i], hostile_line);
        tree_put(&hostile);
    }
    tree_put(&late);
    tree_put(&other);
    tally *t = tree_collector("process_names", slow_rules, NULL);
    uint64_t before_ns = looked_ns;
    collect_at(t, 1000);
    ck_assert_uint_lt(looked_ns - before_ns, 80 * MS); /* 50 and 7 */
    ck_assert_uint_eq(value_of(t, "app", METRIC_PROCESSES), 1);
    ck_assert_uint_eq(value_of(t, "late", METRIC_PROCESSES), 1);
    ck_assert_uint_eq(value_of(t, "h2", METRIC_PROCESSES), 1);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_PATTERN_LIMITS), 4);

    /* those that had their time are not asked again, so that it is others' */
    late.utime = 100;
    tree_put(&late);
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "app", METRIC_PROCESSES), 2);
    ck_assert_uint_eq(cpu_of(t, "app"), S);
    ck_assert_uint_eq(value_of(t, "late", METRIC_PROCESSES), 0);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_PATTERN_LIMITS), 5);
    collect_at(t, 1020);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_PATTERN_LIMITS), 5);

    /* renamed all the time; one would be in no rule's group any more, but there is no
     * time to tell, also when it sleeps */
    late.comm = "moved";
    late.cmdline = other_line;
    late.utime = 200;
    tree_put(&late);
    other.comm = "moved";
    other.cmdline = other_line;
    other.utime = 200;
    tree_put(&other);
    for (uint32_t round = 0; round < 5; round++) {
        for (uint32_t i = 0; i < 3; i++) {
            struct recorded hostile =
                with_line(100 + i, 1000, names[(i + round + 1) % 3], hostile_line);
            hostile.utime = round + 1;
            tree_put(&hostile);
        }
        before_ns = looked_ns;
        collect_at(t, 1030 + 10 * round);
        ck_assert_uint_lt(looked_ns - before_ns, 60 * MS);
        ck_assert_uint_eq(value_of(t, "app", METRIC_PROCESSES), 1);
        ck_assert_uint_eq(value_of(t, "moved", METRIC_PROCESSES), 1);
        ck_assert_uint_eq(cpu_of(t, "app"), 2 * S);
    }
    collect_at(t, 1080); /* one of the hostile has a turn, too */
    ck_assert_uint_eq(value_of(t, "app", METRIC_PROCESSES), 0);
    ck_assert_uint_eq(value_of(t, "moved", METRIC_PROCESSES), 2);
    tally_free(t);
}
END_TEST

/* Who had all the time there is will not need less of it the next time. */
START_TEST(what_takes_too_long_by_itself_is_not_matched_again) {
    struct recorded hostile = with_line(100, 1000, "worker", hostile_line);
    fill_lines();
    tree_put(&hostile);
    tally *t = tree_collector("process_names",
                              "[{name: a, cmdline: ['(a+)+$']}, {name: b, cmdline: ['(a+)+$']},"
                              " {name: c, cmdline: ['(a+)+$']}, {name: d, cmdline: ['(a+)+$']}]",
                              NULL);
    for (int round = 0; round < 3; round++) {
        collect_at(t, 1000 + 10 * round);
        ck_assert_uint_eq(value_of(t, "worker", METRIC_PROCESSES), 1);
        ck_assert_uint_eq(self_of(t, METRIC_SELF_PATTERN_LIMITS), 4);
    }
    tally_free(t);
}
END_TEST

/* As many users as one likes to have: some have the same time together. */
START_TEST(users_without_number_share_the_rest_of_the_time) {
    struct recorded victim = with_line(900, 7, "victim", honest_line);
    fill_lines();
    for (uint32_t i = 0; i < 200; i++) {
        struct recorded hostile = with_line(100 + i, 1000 + i / 4, "hostile", hostile_line);
        tree_put(&hostile);
    }
    tree_put(&victim);
    tally *t = tree_collector("process_names", slow_rules, NULL);
    for (int round = 0; round < 20; round++) {
        uint64_t before_ns = looked_ns;
        collect_at(t, 1000 + 10 * round);
        /* and what is free for the new */
        ck_assert_uint_lt(looked_ns - before_ns,
                          (MATCH_USERS + 1) * 55 * MS + (round ? 0 : 200 * MS));
        ck_assert_uint_eq(value_of(t, "hostile", METRIC_PROCESSES), 200);
        ck_assert(round > 0 || value_of(t, "victim", METRIC_PROCESSES) == 1);
    }
    ck_assert_uint_eq(value_of(t, "app", METRIC_PROCESSES), 1);
    tally_free(t);
}
END_TEST
#endif

/* ---- Proportional set size ------------------------------------------------------------------ */

START_TEST(pss_is_read_oldest_first) {
    char path[300];
    shell.vsize = worker.vsize = 4096;
    tree_put(&shell);
    tree_put(&worker);
    snprintf(path, sizeof(path), "%s/100/smaps_rollup", tree_path());
    FILE *f = fopen(path, "w");
    fputs("0-1 ---p 0 00:00 0 [rollup]\nRss: 100 kB\nPss: 60 kB\nSwapPss: 20 kB\n", f);
    fclose(f);
    tree_refuse(200, "smaps_rollup", EACCES);
    tally *t = tree_collector("collect", "pss", NULL);
    collect_at(t, 1000);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_PSS), 60 * 1024);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_SWAP_PSS), 20 * 1024);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_PSS_AGE), 0);
    ck_assert(!has_value(t, "worker", METRIC_PSS));
    ck_assert_uint_eq(value_of(t, "worker", METRIC_UNREADABLE_PSS), 1);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_UNREADABLE_PSS), 0);
    unlink(path);
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_PSS), 60 * 1024);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_SWAP_PSS), 20 * 1024);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_PSS_AGE), 10 * S);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_UNREADABLE_PSS), 1);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_UNREADABLE), 1);
    /* a process with two refusals is one process */
    tree_refuse(200, "io", EACCES);
    worker.utime = 1;
    tree_put(&worker);
    collect_at(t, 1020);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_UNREADABLE_IO), 1);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_UNREADABLE), 1);
    tally_free(t);
}
END_TEST

/* The first read takes longer than all may take: the other process waits. */
static void time_passes(void) {
    clock_set(1000.06);
}

START_TEST(whose_turn_has_not_come_is_not_refused) {
    char path[300];
    shell.vsize = worker.vsize = 4096;
    tree_put(&shell);
    tree_put(&worker);
    snprintf(path, sizeof(path), "%s/100/smaps_rollup", tree_path());
    FILE *f = fopen(path, "w");
    fputs("Pss: 60 kB\n", f);
    fclose(f);
    tree_refuse(200, "smaps_rollup", EACCES);
    tree_when_opened(100, "smaps_rollup", time_passes);
    tally *t = tree_collector("collect", "pss", NULL);
    collect_at(t, 1000);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_PSS), 60 * 1024);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_UNREADABLE_PSS), 0);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_UNREADABLE), 0);
    /* it is refused now, and not asked for before all others for ever */
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_UNREADABLE_PSS), 1);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_UNREADABLE), 1);
    ck_assert_uint_eq(tree_process(t, 200)->pss_s, 1010);
    tree_refuse(200, "smaps_rollup", 0);
    snprintf(path, sizeof(path), "%s/200/smaps_rollup", tree_path());
    f = fopen(path, "w");
    fputs("Pss: 7 kB\n", f);
    fclose(f);
    collect_at(t, 1020);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_PSS), 7 * 1024);
    ck_assert(!has_value(t, "worker", METRIC_SWAP_PSS)); /* it was not told */
    ck_assert_uint_eq(value_of(t, "worker", METRIC_UNREADABLE), 0);
    tally_free(t);
}
END_TEST

/* ---- No allocation in the steady state --------------------------------------------------------- */

START_TEST(the_steady_state_allocates_nothing) {
    const char *text;
    size_t len;
    for (uint32_t pid = 10; pid < 200; pid++) {
        char comm[16];
        snprintf(comm, sizeof(comm), "p%u", pid % 17);
        tree_put(&(struct recorded){
            .pid = pid, .ppid = 1, .start_ticks = 5000, .comm = comm, .utime = pid});
    }
    tally *t = with_state();
    for (int round = 0; round < 6; round++) {
        for (uint32_t pid = 10; pid < 200; pid += 3) {
            char comm[16];
            snprintf(comm, sizeof(comm), "p%u", pid % 17);
            tree_put(&(struct recorded){.pid = pid,
                                        .ppid = 1,
                                        .start_ticks = 5000,
                                        .comm = comm,
                                        .utime = pid + (uint64_t)round,
                                        .rchar = (uint64_t)round * 100});
        }
        clock_set(1000 + 10 * round);
        const tally_snapshot *snapshot;
        /* the test and libcheck allocate as they like */
        fail_allocation_at = round >= 3 ? LONG_MAX : 0;
        int r = tally_collect(t, &snapshot);
        if (r == 0)
            r = tree_prometheus(t, &text, &len);
        if (r == 0)
            r = tree_influx(t, &text, &len);
        fail_allocation_at = 0;
        ck_assert_int_eq(r, 0);
    }
    ck_assert_int_eq(allocations, 0);
    tally_free(t);
}
END_TEST

int main(void) {
    const struct {
        const char *name;
        const TTest *test;
    } tests[] = {
#define T(name) {#name, name}
        T(history_before_the_first_collection_is_not_ours),
        T(a_process_born_later_counts_whole),
        T(an_old_process_that_appears_late_counts_from_then_on),
        T(lifetimes_leave_out_long_gone_children),
        T(what_a_known_child_did_at_last_is_credited_to_its_group),
        T(children_that_nobody_saw_are_the_parents),
        T(a_child_gets_no_more_than_its_threads_can_have_used),
        T(usage_before_the_first_collection_is_not_found_again_at_exit),
        T(a_chain_that_ends_in_one_interval_is_counted_once),
        T(childrens_io_is_not_counted_twice),
        T(a_child_that_ends_after_its_parent_was_read_is_counted_once),
        T(a_child_read_before_its_parent_is_looked_at_again),
        T(an_orphan_is_reaped_by_init),
        T(an_orphan_is_found_past_a_sleeper_whose_parent_is_gone),
        T(a_sleeping_orphan_that_a_subreaper_took_in),
        T(an_orphan_that_a_subreaper_took_in_ends_at_once),
        T(an_orphan_that_ends_after_init_was_read_is_counted_once),
        T(a_parent_that_ignores_its_children_takes_in_nothing),
        T(a_zombie_is_a_member_until_it_is_reaped),
        T(a_reused_pid_is_another_process),
        T(a_reused_pid_of_the_same_name_does_not_go_backwards),
        T(a_value_that_dips_is_not_counted_again),
        T(a_new_name_moves_later_usage),
        T(an_exec_under_the_same_name_is_seen),
        T(a_move_to_another_cgroup_is_seen),
        T(a_user_that_gets_a_name_is_seen),
        T(a_rule_by_the_group_of_users),
        T(children_inherit_and_keep_it_as_orphans),
        T(a_child_with_a_lower_pid_inherits_too),
        T(switches_of_ended_threads_stay),
        T(a_thread_number_that_is_given_again_counts_whole),
        T(too_many_threads_are_read_in_parts),
        T(large_processes_take_turns),
        T(a_thread_that_a_listing_missed_is_not_counted_again),
        T(the_budget_for_threads_goes_round),
        T(absent_is_not_zero),
        T(too_many_groups_are_told_while_there_are),
        T(told_things_outlive_a_reload),
        T(a_limit_that_was_raised_is_not_told),
        T(an_unreadable_group_stays_absent_when_it_is_empty),
        T(what_is_switched_off_is_absent),
        T(hidden_processes_are_counted),
        T(want_of_descriptors_ends_nobody),
        T(a_process_that_does_not_run_is_remembered),
        T(a_process_that_vanishes_half_way_is_no_error),
        T(who_got_the_pid_meanwhile_is_not_mixed_in),
        T(gauges_of_a_group),
        T(cpu_mode_core),
        T(coverage_is_of_all_processes),
        T(a_clock_stepped_backwards_does_no_harm),
        T(groups_end),
        T(single_processes_are_shown_by_use),
        T(counting_goes_on_after_a_restart),
        T(another_boot_starts_anew),
        T(threads_after_a_restart_do_not_stall_the_counter),
        T(after_a_restart_what_is_collected_is_waited_for),
        T(a_new_configuration_inherits),
        T(usage_after_a_reload_is_of_the_whole_interval),
        T(proc_that_can_not_be_read_is_an_error_and_loses_nothing),
        T(pss_is_read_oldest_first),
        T(whose_turn_has_not_come_is_not_refused),
#ifdef HAVE_PCRE2
        T(who_takes_long_takes_his_own_time),
        T(what_takes_too_long_by_itself_is_not_matched_again),
        T(users_without_number_share_the_rest_of_the_time),
#endif
        T(the_steady_state_allocates_nothing),
#undef T
    };
    Suite *suite = suite_create("collect");
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        TCase *tc = tcase_create(tests[i].name);
        tcase_add_checked_fixture(tc, setup, tree_close);
        tcase_add_test(tc, tests[i].test);
        tcase_set_timeout(tc, 60); /* a slow machine is no failure */
        suite_add_tcase(suite, tc);
    }
    return run_suite(suite);
}
