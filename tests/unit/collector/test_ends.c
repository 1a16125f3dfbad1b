/* SPDX-License-Identifier: MIT */
/* What is made of a source that sees every end, as the one with programs in the
 * kernel does: final figures, what was used unlisted, ancestors that are gone,
 * programs that were executed, sleepers, traffic. */
#include "failing_memory.h"
#include "script.h"

#include "build-config.h"
#include "collector/state.h"
#include "suite.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct actor shell = {
    .pid = 100, .ppid = 1, .start_ticks = LONG_AGO, .comm = "sh", .use = {.user_ms = 1000}};
static const struct actor worker = {.pid = 200,
                                    .ppid = 100,
                                    .start_ticks = LONG_AGO + 1000,
                                    .comm = "worker",
                                    .use = {.user_ms = 1000, .faults = 10, .read_bytes = 500}};

/* ---- Final figures --------------------------------------------------------------- */

/* In the collection that misses it, or that many seconds later. */
START_TEST(final_figures_count_once) {
    static const double delays[] = {0, 1, 10, 14};
    const double delay = delays[_i];
    const struct use last = {.user_ms = 1500, .system_ms = 200, .faults = 12, .read_bytes = 900};
    add_actor(shell);
    struct actor *w = add_actor(worker);
    tally *t = ends_collector(NULL, NULL);
    collect_at(t, 1000);
    w->gone = true;
    if (delay > 0) {
        collect_at(t, 1010);
        ck_assert_uint_eq(cpu_of(t, "worker"), 0);
        ck_assert_uint_eq(exits_of(t, "worker"), 0);
    }
    tell_end(w, last);
    collect_at(t, 1010 + delay);
    for (int again = 0; again < 4; again++) {
        ck_assert_uint_eq(value_of(t, "worker", METRIC_CPU_USER), 500 * MS);
        ck_assert_uint_eq(value_of(t, "worker", METRIC_CPU_SYSTEM), 200 * MS);
        ck_assert_uint_eq(value_of(t, "worker", METRIC_FAULTS_MINOR), 2);
        ck_assert_uint_eq(value_of(t, "worker", METRIC_IO_READ), 400);
        ck_assert_uint_eq(value_of(t, "worker", METRIC_PROCESSES), 0);
        ck_assert_uint_eq(exits_of(t, "worker"), 1);
        ck_assert_uint_eq(starts_of(t, "worker"), 0);
        ck_assert_uint_eq(cpu_of(t, "sh"), 0);
        ck_assert_uint_eq(self_of(t, METRIC_SELF_LOST_EVENTS), 0);
        /* even if it is told again */
        if (again == 0)
            tell_end(w, (struct use){.user_ms = 9000});
        collect_at(t, 1020 + delay + 10 * again);
    }
    ck_assert_uint_eq(t->counting.table.count, 1); /* the shell's */
    tally_free(t);
    ck_assert_uint_eq(script.freed, 1);
}
END_TEST

START_TEST(an_end_that_is_never_told_is_counted_after_a_while) {
    struct actor *w = add_actor(worker);
    tally *t = ends_collector(NULL, NULL);
    collect_at(t, 1000);
    w->gone = true;
    collect_at(t, 1010);
    collect_at(t, 1020);
    collect_at(t, 1024);
    ck_assert_uint_eq(exits_of(t, "worker"), 0);
    ck_assert_uint_eq(t->counting.table.count, 1);
    collect_at(t, 1025);
    ck_assert_uint_eq(exits_of(t, "worker"), 1);
    ck_assert_uint_eq(t->counting.table.count, 0);
    /* too late: nobody knows any more what of it was counted */
    tell_end(w, (struct use){.user_ms = 5000});
    collect_at(t, 1030);
    ck_assert_uint_eq(exits_of(t, "worker"), 1);
    ck_assert_uint_eq(cpu_of(t, "worker"), 0);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_LOST_EVENTS), 1);
    tally_free(t);
}
END_TEST

START_TEST(one_that_was_missed_in_a_list_is_waited_for_anew) {
    struct actor *w = add_actor(worker);
    tally *t = ends_collector(NULL, NULL);
    collect_at(t, 1000);
    w->gone = true;
    collect_at(t, 1010);
    w->gone = false;
    w->use.user_ms = 1300;
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "worker"), 300);
    w->gone = true;
    collect_at(t, 1030);
    collect_at(t, 1044);
    ck_assert_uint_eq(exits_of(t, "worker"), 0);
    tell_end(w, (struct use){.user_ms = 1400});
    collect_at(t, 1044.5);
    ck_assert_uint_eq(exits_of(t, "worker"), 1);
    ck_assert_uint_eq(cpu_of(t, "worker"), 400);
    tally_free(t);
}
END_TEST

START_TEST(an_end_of_somebody_unknown_is_lost) {
    add_actor(shell);
    tally *t = ends_collector(NULL, NULL);
    /* another reader of the same source has listed it */
    tell_end(&worker, (struct use){.user_ms = 5000});
    collect_at(t, 1000);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_LOST_EVENTS), 0);
    script.lost = 10;
    tell_end(&worker, (struct use){.user_ms = 5000});
    /* the same pid, but before the shell had it */
    tell_end(&(struct actor){.pid = 100, .start_ticks = LONG_AGO - 1}, (struct use){0});
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "sh"), 0);
    ck_assert_uint_eq(exits_of(t, "sh"), 0);
    ck_assert_uint_eq(tally_snapshot_groups(t->snapshots.current), 1);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_LOST_EVENTS), 12);
    tally_free(t);
}
END_TEST

/* The pid has another process before the end of the first one is told. */
START_TEST(a_pid_used_again_too_soon) {
    const bool same_name = _i;
    struct actor *old = add_actor(worker);
    tally *t = ends_collector(NULL, NULL);
    collect_at(t, 1000);
    old->gone = true;
    struct actor *new = add_actor(worker);
    new->comm = same_name ? "worker" : "new";
    new->start_ticks = TICKS(1005);
    new->from_birth = true;
    new->use = (struct use){.user_ms = 70};
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, new->comm), 70);
    ck_assert_uint_eq(starts_of(t, new->comm), 1);
    ck_assert_uint_eq(exits_of(t, "worker"), 0);
    tell_end(old, (struct use){.user_ms = 1600});
    new->use.user_ms = 80;
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "worker"), same_name ? 680 : 600);
    ck_assert_uint_eq(exits_of(t, "worker"), 1);
    ck_assert_uint_eq(cpu_of(t, new->comm), same_name ? 680 : 80);
    ck_assert_uint_eq(value_of(t, new->comm, METRIC_PROCESSES), 1);
    end(new, (struct use){.user_ms = 95});
    collect_at(t, 1030);
    ck_assert_uint_eq(cpu_of(t, new->comm), same_name ? 695 : 95);
    ck_assert_uint_eq(exits_of(t, new->comm), same_name ? 2 : 1);
    tally_free(t);
}
END_TEST

START_TEST(born_and_listed_counts_whole) {
    add_actor(shell);
    tally *t = ends_collector(NULL, NULL);
    collect_at(t, 1000);
    struct actor *w = add_actor(worker);
    /* seen to begin, though it is older than the last list: that one missed it */
    w->start_ticks = TICKS(999);
    w->from_birth = true;
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "worker"), 1000);
    ck_assert_uint_eq(starts_of(t, "worker"), 1);
    end(w, (struct use){.user_ms = 1100});
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "worker"), 1100);
    ck_assert_uint_eq(starts_of(t, "worker"), 1);
    ck_assert_uint_eq(exits_of(t, "worker"), 1);
    tally_free(t);
}
END_TEST

/* ---- Unlisted -------------------------------------------------------------------- */

START_TEST(unlisted_usage_goes_by_who_it_was) {
    add_actor(shell);
    tally *t = ends_collector(NULL, NULL);
    collect_at(t, 1000);
    /* of a group that is new, and of one that is known */
    tell_unlisted((struct unlisted){.comm = "cc",
                                    .ended = 3,
                                    .use = {.user_ms = 300, .system_ms = 40, .read_bytes = 7}});
    tell_unlisted((struct unlisted){.comm = "sh", .ended = 2, .use = {.user_ms = 5, .faults = 9}});
    /* not ended, but executed another program, and that one was listed */
    tell_unlisted((struct unlisted){.comm = "env", .use = {.user_ms = 1}});
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "cc", METRIC_CPU_USER), 300 * MS);
    ck_assert_uint_eq(value_of(t, "cc", METRIC_CPU_SYSTEM), 40 * MS);
    ck_assert_uint_eq(value_of(t, "cc", METRIC_IO_READ), 7);
    ck_assert_uint_eq(starts_of(t, "cc"), 3);
    ck_assert_uint_eq(exits_of(t, "cc"), 3);
    ck_assert_uint_eq(value_of(t, "cc", METRIC_PROCESSES), 0);
    /* 340 ms in 10 s on 4 CPUs */
    ck_assert_uint_eq(value_of(t, "cc", METRIC_CPU_USAGE), 8500000);
    ck_assert_uint_eq(cpu_of(t, "sh"), 5);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_FAULTS_MINOR), 9);
    ck_assert_uint_eq(starts_of(t, "sh"), 2);
    ck_assert_uint_eq(exits_of(t, "sh"), 2);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_PROCESSES), 1);
    ck_assert_uint_eq(cpu_of(t, "env"), 1);
    ck_assert_uint_eq(starts_of(t, "env"), 0);
    ck_assert_uint_eq(exits_of(t, "env"), 0);
    tell_unlisted((struct unlisted){.comm = "cc", .ended = 1, .use = {.user_ms = 10}});
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "cc"), 350);
    ck_assert_uint_eq(exits_of(t, "cc"), 4);
    ck_assert_uint_eq(cpu_of(t, "sh"), 5);
    tally_free(t);
}
END_TEST

START_TEST(unlisted_usage_in_the_first_collection_counts) {
    tally *t = ends_collector(NULL, NULL);
    tell_unlisted((struct unlisted){.comm = "cc", .ended = 1, .use = {.user_ms = 300}});
    collect_at(t, 1000);
    ck_assert_uint_eq(cpu_of(t, "cc"), 300);
    tally_free(t);
}
END_TEST

/* Traffic is told after its process has ended, and another one has its pid by now. */
START_TEST(usage_of_a_pid_that_was_used_again) {
    struct actor *a = add_actor(shell);
    tally *t = ends_collector(NULL, NULL);
    collect_at(t, 1000);
    const uint64_t start_ticks = a->start_ticks;
    end(a, a->use);
    struct actor other = shell;
    other.comm = "other";
    other.start_ticks += 500;
    add_actor(other);
    tell_unlisted((struct unlisted){.comm = "sh",
                                    .known_pid = a->pid,
                                    .known_start_ticks = start_ticks,
                                    .is_known = true,
                                    .use = {.user_ms = 70}});
    uint64_t before = cpu_of(t, "sh");
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "sh"), before + 70);
    before = cpu_of(t, "other");
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "other"), before);
    tally_free(t);
}
END_TEST

/* The source had no room for them, and does not know whether it has listed them. */
START_TEST(whole_life_of_one_that_may_have_been_listed) {
    struct actor *a = add_actor(shell);
    tally *t = ends_collector(NULL, NULL);
    collect_at(t, 1000);
    a->use.user_ms += 200;
    collect_at(t, 1010);
    uint64_t before = cpu_of(t, "sh"), exits = exits_of(t, "sh");
    a->gone = true;
    tell_unlisted((struct unlisted){.comm = "sh",
                                    .pid = a->pid,
                                    .start_ticks = a->start_ticks,
                                    .ended = 1,
                                    .use = {.user_ms = a->use.user_ms + 50}});
    /* no list has shown these; the last is from before us */
    tell_unlisted((struct unlisted){
        .comm = "cc", .pid = 77, .start_ticks = 100500, .ended = 1, .use = {.user_ms = 30}});
    tell_unlisted((struct unlisted){.comm = "ld", .pid = 78, .start_ticks = 5, .use = {.user_ms = 9}});
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "sh"), before + 50);
    ck_assert_uint_eq(exits_of(t, "sh"), exits + 1);
    ck_assert_uint_eq(starts_of(t, "sh"), 0);
    ck_assert_uint_eq(cpu_of(t, "cc"), 30);
    ck_assert_uint_eq(starts_of(t, "cc"), 1);
    ck_assert_uint_eq(exits_of(t, "cc"), 1);
    ck_assert(!has_group(t, "ld"));
    collect_at(t, 1060);
    ck_assert_uint_eq(exits_of(t, "sh"), exits + 1);
    tally_free(t);
}
END_TEST

START_TEST(filters_hold_for_unlisted_usage) {
    add_actor(shell);
    tally *t = ends_collector("exclude", "cc", NULL);
    collect_at(t, 1000);
    tell_unlisted((struct unlisted){.comm = "cc1", .ended = 1, .use = {.user_ms = 300}});
    tell_unlisted((struct unlisted){.comm = "ld", .ended = 1, .use = {.user_ms = 20}});
    collect_at(t, 1010);
    ck_assert(!has_group(t, "cc1"));
    ck_assert_uint_eq(cpu_of(t, "ld"), 20);
    ck_assert_uint_eq(tally_snapshot_groups(t->snapshots.current), 2);
    tally_free(t);
}
END_TEST

START_TEST(unlisted_usage_that_does_not_fit_is_others) {
    add_actor(shell);
    tally *t = ends_collector("max-groups", "1", NULL);
    collect_at(t, 1000);
    tell_unlisted((struct unlisted){.comm = "cc", .ended = 1, .use = {.user_ms = 300}});
    tell_unlisted((struct unlisted){.comm = "ld", .ended = 2, .use = {.user_ms = 20}});
    tell_unlisted((struct unlisted){.comm = "sh", .ended = 1, .use = {.user_ms = 3}});
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "other"), 320);
    ck_assert_uint_eq(starts_of(t, "other"), 3);
    ck_assert_uint_eq(exits_of(t, "other"), 3);
    ck_assert_uint_eq(cpu_of(t, "sh"), 3);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_OVERFLOWED), 2);
    tally_free(t);
}
END_TEST

/* Processes without a number can't be told apart by it. */
START_TEST(by_pid_unlisted_usage_is_others) {
    add_actor(shell);
    tally *t = ends_collector("group-by", "pid,name", NULL);
    collect_at(t, 1000);
    tell_unlisted((struct unlisted){.comm = "cc", .ended = 4, .use = {.user_ms = 300}});
    /* unless it is known whose it is */
    tell_unlisted((struct unlisted){
        .comm = "sh", .known_pid = 100, .is_known = true, .use = {.user_ms = 3}});
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "other"), 300);
    ck_assert_uint_eq(starts_of(t, "other"), 4);
    ck_assert_uint_eq(exits_of(t, "other"), 4);
    ck_assert_uint_eq(cpu_of(t, "100:sh"), 3);
    ck_assert_uint_eq(tally_snapshot_groups(t->snapshots.current), 2);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_OVERFLOWED), 0);
    tally_free(t);
}
END_TEST

START_TEST(by_pid_an_end_is_shown_once) {
    add_actor(shell);
    struct actor *w = add_actor(worker);
    tally *t = ends_collector("group-by", "pid", NULL);
    collect_at(t, 1000);
    end(w, (struct use){.user_ms = 1200});
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "200"), 200);
    ck_assert_uint_eq(exits_of(t, "200"), 1);
    collect_at(t, 1020);
    ck_assert(!has_group(t, "200"));
    tally_free(t);
}
END_TEST

/* The same of one that had the pid before the last, whose group a rule chose. */
START_TEST(by_pid_a_pid_used_again_twice) {
    add_actor(shell);
    struct actor *first = add_actor(worker);
    tally *t = ends_collector("group-by", "pid", "rule", "apps app", NULL);
    collect_at(t, 1000);
    first->gone = true;
    struct actor *second = add_actor(worker);
    second->comm = "app";
    second->start_ticks = TICKS(1001);
    second->from_birth = true;
    collect_at(t, 1002);
    ck_assert_uint_eq(starts_of(t, "apps"), 1);
    second->gone = true;
    struct actor *third = add_actor(worker);
    third->start_ticks = TICKS(1003);
    third->from_birth = true;
    third->use.user_ms = 70;
    collect_at(t, 1004);
    tell_end(first, (struct use){.user_ms = 5000});
    tell_end(second, (struct use){.user_ms = 1300});
    collect_at(t, 1006);
    ck_assert_uint_eq(cpu_of(t, "200"), 70);
    ck_assert_uint_eq(exits_of(t, "200"), 0);
    ck_assert_uint_eq(cpu_of(t, "apps"), 1300);
    ck_assert_uint_eq(exits_of(t, "apps"), 1);
    tally_free(t);
}
END_TEST

/* The group makes place for the new process at once; what is heard of the old one
 * afterwards must not go there. */
START_TEST(by_pid_a_pid_used_again_too_soon) {
    struct actor *old = add_actor(worker);
    tally *t = ends_collector("group-by", "pid", NULL);
    collect_at(t, 1000);
    double now = 1000;
    for (int i = 1; i <= 4; i++) {
        old->gone = true;
        struct actor *new = add_actor(worker);
        new->start_ticks = TICKS(now + 1);
        new->from_birth = true;
        new->use.user_ms = 70;
        collect_at(t, now += 2);
        ck_assert_uint_eq(cpu_of(t, "200"), 70);
        ck_assert_uint_eq(starts_of(t, "200"), 1);
        tell_end(old, (struct use){.user_ms = 5000});
        collect_at(t, now += 2);
        ck_assert_uint_eq(cpu_of(t, "200"), 70);
        ck_assert_uint_eq(exits_of(t, "200"), 0);
        old = new;
    }
    for (int i = 0; i < 4; i++)
        collect_at(t, now += 10);
    ck_assert_uint_eq(t->counting.table.count, 1);
    ck_assert_uint_eq(tally_snapshot_groups(t->snapshots.current), 1);
    tally_free(t);
}
END_TEST

START_TEST(a_group_of_the_unlisted_stays_while_it_is_used) {
    add_actor(shell);
    tally *t = ends_collector("expire-after", "60s", NULL);
    double now = 1000;
    collect_at(t, now);
    for (uint64_t n = 1; n <= 30; n++) {
        /* each time it would have gone with the next collection */
        tell_unlisted((struct unlisted){.comm = "cc", .ended = 1, .use = {.user_ms = 10}});
        collect_at(t, now += 55);
        ck_assert_uint_eq(cpu_of(t, "cc"), 10 * n);
        ck_assert_uint_eq(exits_of(t, "cc"), n);
    }
    collect_at(t, now + 59);
    ck_assert(has_group(t, "cc"));
    collect_at(t, now + 60);
    ck_assert(!has_group(t, "cc"));
    ck_assert(has_group(t, "sh"));
    tally_free(t);
}
END_TEST

/* ---- Whose it is ----------------------------------------------------------------- */

START_TEST(what_a_known_process_did_unlisted_is_its_own) {
    struct actor *w = add_actor(worker);
    tally *t = ends_collector(NULL, NULL);
    collect_at(t, 1000);
    /* whatever it was called then */
    tell_unlisted((struct unlisted){
        .comm = "before", .known_pid = 200, .is_known = true, .use = {.user_ms = 10}});
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "worker"), 10);
    ck_assert(!has_group(t, "before"));
    /* told after its end */
    end(w, (struct use){.user_ms = 1100});
    collect_at(t, 1020);
    tell_unlisted((struct unlisted){
        .comm = "before", .known_pid = 200, .is_known = true, .use = {.user_ms = 5}});
    collect_at(t, 1030);
    ck_assert_uint_eq(cpu_of(t, "worker"), 115);
    /* and when nothing is left of it: by its identity */
    collect_at(t, 1040);
    ck_assert_uint_eq(t->counting.table.count, 0);
    tell_unlisted((struct unlisted){
        .comm = "before", .known_pid = 200, .is_known = true, .use = {.user_ms = 2}});
    collect_at(t, 1050);
    ck_assert_uint_eq(cpu_of(t, "worker"), 115);
    ck_assert_uint_eq(cpu_of(t, "before"), 2);
    tally_free(t);
}
END_TEST

/* A worker that no list has shown is one of the kernel's threads as well, whatever its name;
 * a program that the kernel has started is none. */
START_TEST(what_a_kernel_thread_forked_is_one) {
    add_actor((struct actor){.pid = 2, .start_ticks = 1, .comm = "kthreadd", .is_kernel = true});
    tally *t = ends_collector(NULL, NULL);
    collect_at(t, 1000);
    ck_assert_uint_eq(value_of(t, "kernel", METRIC_PROCESSES), 1);
    struct unlisted fork = {.comm = "kworker/0:9",
                            .known_pid = 2,
                            .forked_only = true,
                            .ended = 1,
                            .use = {.user_ms = 10}};
    tell_unlisted(fork);
    fork.comm = "modprobe";
    fork.forked_only = false;
    fork.use.user_ms = 7;
    tell_unlisted(fork);
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "kernel"), 10);
    ck_assert_uint_eq(cpu_of(t, "modprobe"), 7);
    ck_assert(!has_group(t, "kworker/0:9"));
    tally_free(t);
}
END_TEST

/* What was only forked is in the group of who it was forked from, even if its
 * identity can't tell that, as long as nothing speaks against it. */
START_TEST(what_was_only_forked_is_what_it_was_forked_from) {
    tally *t = ends_collector("group-by", "exe,user", NULL);
    struct actor *w = add_actor(worker);
    w->uid = 1000;
    collect_at(t, 1000);
    struct unlisted fork = {.comm = "worker",
                            .uid = 1000,
                            .known_pid = 200,
                            .forked_only = true,
                            .ended = 1,
                            .use = {.user_ms = 10}};
    tell_unlisted(fork);
    /* it gave itself another name, another user */
    fork.comm = "renamed";
    fork.use.user_ms = 3;
    tell_unlisted(fork);
    fork.comm = "worker";
    fork.uid = 0;
    fork.use.user_ms = 4;
    tell_unlisted(fork);
    /* nothing is known of who it was forked from; it executed a program */
    fork.uid = 1000;
    fork.known_pid = 201;
    fork.use.user_ms = 5;
    tell_unlisted(fork);
    fork.known_pid = 200;
    fork.forked_only = false;
    fork.use.user_ms = 20;
    tell_unlisted(fork);
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "/bin/it:somebody"), 10);
    ck_assert_uint_eq(exits_of(t, "/bin/it:somebody"), 1);
    ck_assert_uint_eq(cpu_of(t, "[renamed]:somebody"), 3);
    ck_assert_uint_eq(cpu_of(t, "[worker]:root"), 4);
    ck_assert_uint_eq(cpu_of(t, "[worker]:somebody"), 25);
    /* who is forked from one that has ended since */
    end(w, (struct use){.user_ms = 1000});
    collect_at(t, 1020);
    fork.forked_only = true;
    tell_unlisted(fork);
    collect_at(t, 1021);
    ck_assert_uint_eq(cpu_of(t, "/bin/it:somebody"), 30);
    tally_free(t);
}
END_TEST

/* ---- Inheritance ----------------------------------------------------------------- */

static const char build_rule[] = "build make";

static const struct actor make = {
    .pid = 300, .ppid = 1, .start_ticks = LONG_AGO, .comm = "make", .use = {.user_ms = 100}};

START_TEST(the_unlisted_inherit_from_a_known_process) {
    const bool children = _i;
    struct actor *m = add_actor(make);
    add_actor(shell);
    tally *t = ends_collector("rule", build_rule, "children", children ? "true" : "false",
                              NULL);
    collect_at(t, 1000);
    tell_unlisted(
        (struct unlisted){.comm = "cc", .known_pid = 300, .ended = 1, .use = {.user_ms = 10}});
    tell_unlisted(
        (struct unlisted){.comm = "ls", .known_pid = 100, .ended = 1, .use = {.user_ms = 3}});
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, children ? "build" : "cc"), 10);
    ck_assert_uint_eq(cpu_of(t, "ls"), 3);
    /* it is kept a while for that, past its own end */
    end(m, (struct use){.user_ms = 100});
    collect_at(t, 1020);
    tell_unlisted(
        (struct unlisted){.comm = "cc", .known_pid = 300, .ended = 1, .use = {.user_ms = 10}});
    collect_at(t, 1030);
    ck_assert_uint_eq(cpu_of(t, children ? "build" : "cc"), 20);
    ck_assert_uint_eq(exits_of(t, "build"), children ? 3 : 1);
    tally_free(t);
}
END_TEST

START_TEST(the_listed_inherit_from_who_is_gone) {
    tally *t = ends_collector("rule", build_rule, "children", "true", NULL);
    struct actor *m = add_actor(make);
    collect_at(t, 1000);
    end(m, (struct use){.user_ms = 100});
    collect_at(t, 1001);
    /* orphans, each as init's child: of make itself, and of a shell of make's */
    add_above((struct above){.number = 7, .comm = "sh", .known_pid = 300});
    add_above((struct above){.number = 8, .comm = "bash"});
    add_actor((struct actor){.pid = 400, .ppid = 1, .start_ticks = TICKS(1002), .comm = "as",
                             .from_birth = true, .ancestor_pid = 300, .use = {.user_ms = 1}});
    add_actor((struct actor){.pid = 401, .ppid = 1, .start_ticks = TICKS(1002), .comm = "as",
                             .from_birth = true, .ancestor = 7, .use = {.user_ms = 20}});
    add_actor((struct actor){.pid = 402, .ppid = 1, .start_ticks = TICKS(1002), .comm = "as",
                             .from_birth = true, .ancestor = 8, .use = {.user_ms = 300}});
    /* nobody knows the ancestor */
    add_actor((struct actor){.pid = 403, .ppid = 1, .start_ticks = TICKS(1002), .comm = "ld",
                             .from_birth = true, .ancestor = 9, .use = {.user_ms = 4000}});
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "build"), 21);
    ck_assert_uint_eq(cpu_of(t, "as"), 300);
    ck_assert_uint_eq(cpu_of(t, "ld"), 4000);
    /* it lasts, when the ancestors are forgotten */
    collect_at(t, 1050);
    tell_unlisted((struct unlisted){.comm = "cc", .known_pid = 401, .use = {.user_ms = 5}});
    script.actors[2].exec_marker++;
    collect_at(t, 1060);
    ck_assert_uint_eq(cpu_of(t, "build"), 26);
    ck_assert_uint_eq(value_of(t, "build", METRIC_PROCESSES), 2);
    tally_free(t);
}
END_TEST

/* As with procfs (test_classify.c): whoever takes an orphan in has nothing to give it. */
START_TEST(an_orphan_that_is_classified_again) {
    add_actor((struct actor){.pid = 50, .ppid = 1, .start_ticks = LONG_AGO, .comm = "manager"});
    struct actor *m = add_actor(make);
    struct actor *orphan = add_actor((struct actor){
        .pid = 400, .ppid = 300, .start_ticks = LONG_AGO + 2000, .comm = "cc"});
    tally *t = ends_collector("rule", build_rule, "rule", "managers manager", "children", "true",
                              NULL);
    collect_at(t, 1000);
    ck_assert_uint_eq(value_of(t, "build", METRIC_PROCESSES), 2);
    end(m, (struct use){.user_ms = 100});
    orphan->ppid = 50; /* a subreaper */
    collect_at(t, 1010);
    collect_at(t, 1050); /* nobody remembers its parent */
    orphan->comm = "other";
    orphan->exec_marker++;
    collect_at(t, 1060);
    ck_assert_uint_eq(value_of(t, "build", METRIC_PROCESSES), 1);
    ck_assert_uint_eq(value_of(t, "managers", METRIC_PROCESSES), 1);
    tally_free(t);
}
END_TEST

START_TEST(the_nearest_ancestor_that_a_rule_took_counts) {
    tally *t = ends_collector("rule", "by-{{.Comm}} make", "rule", "by-{{.Comm}} ninja", "rule",
                              "by-{{.Comm}} cmake", "children", "true", NULL);
    add_actor(shell);
    /* cc, started by sh, by make, by ninja, by cmake: each name has to last as long
     * as it takes to look further up */
    add_above((struct above){.number = 1, .comm = "sh", .ancestor = 2});
    add_above((struct above){.number = 2, .comm = "make", .ancestor = 3});
    add_above((struct above){.number = 3, .comm = "ninja", .ancestor = 4});
    add_above((struct above){.number = 4, .comm = "cmake"});
    collect_at(t, 1000);
    tell_unlisted((struct unlisted){.comm = "cc", .ancestor = 1, .use = {.user_ms = 10}});
    tell_unlisted((struct unlisted){.comm = "cc", .ancestor = 3, .use = {.user_ms = 20}});
    tell_unlisted((struct unlisted){.comm = "cmake", .ancestor = 3, .use = {.user_ms = 30}});
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "by-make"), 10);
    ck_assert_uint_eq(cpu_of(t, "by-ninja"), 20);
    ck_assert_uint_eq(cpu_of(t, "by-cmake"), 30);
    ck_assert(!has_group(t, "cc"));
    tally_free(t);
}
END_TEST

/* However long a chain is, or if it is a ring, the search ends. */
START_TEST(chains_of_ancestors_are_cut) {
    enum { DEPTH = 32 };
    tally *t = ends_collector("rule", build_rule, "children", "true", NULL);
    add_actor(shell);
    for (uint64_t n = 1; n <= DEPTH + 1; n++)
        add_above((struct above){.number = n,
                                 .comm = n == DEPTH + 1 ? "make" : "sh",
                                 .ancestor = n == DEPTH + 1 ? 0 : n + 1});
    add_above((struct above){.number = 100, .comm = "a", .ancestor = 101});
    add_above((struct above){.number = 101, .comm = "b", .ancestor = 100});
    collect_at(t, 1000);
    tell_unlisted((struct unlisted){.comm = "near", .ancestor = 2, .use = {.user_ms = 10}});
    tell_unlisted((struct unlisted){.comm = "far", .ancestor = 1, .use = {.user_ms = 20}});
    tell_unlisted((struct unlisted){.comm = "ring", .ancestor = 100, .use = {.user_ms = 30}});
    tell_unlisted((struct unlisted){.comm = "unknown", .ancestor = 99, .use = {.user_ms = 40}});
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "build"), 10);
    ck_assert_uint_eq(cpu_of(t, "far"), 20);
    ck_assert_uint_eq(cpu_of(t, "ring"), 30);
    ck_assert_uint_eq(cpu_of(t, "unknown"), 40);
    tally_free(t);
}
END_TEST

/* ---- Execution of a program ------------------------------------------------------ */

START_TEST(what_was_used_before_an_exec_is_the_old_groups) {
    struct actor *w = add_actor(worker);
    tally *t = ends_collector(NULL, NULL);
    collect_at(t, 1000);
    w->comm = "new";
    w->exec_marker++;
    w->executed = w->was_listed = true;
    w->until = (struct use){.user_ms = 1300, .faults = 13, .read_bytes = 503};
    /* in between it was a third one: that is told as unlisted use */
    w->since = (struct use){.user_ms = 1700, .faults = 17, .read_bytes = 507};
    w->use = (struct use){.user_ms = 1800, .faults = 19, .read_bytes = 600};
    tell_unlisted((struct unlisted){
        .comm = "between", .use = {.user_ms = 400, .faults = 4, .read_bytes = 4}});
    collect_at(t, 1010);
    for (int again = 0; again < 2; again++) {
        ck_assert_uint_eq(cpu_of(t, "worker"), 300);
        ck_assert_uint_eq(value_of(t, "worker", METRIC_FAULTS_MINOR), 3);
        ck_assert_uint_eq(value_of(t, "worker", METRIC_IO_READ), 3);
        ck_assert_uint_eq(cpu_of(t, "between"), 400);
        ck_assert_uint_eq(cpu_of(t, "new"), 100);
        ck_assert_uint_eq(value_of(t, "new", METRIC_FAULTS_MINOR), 2);
        ck_assert_uint_eq(value_of(t, "new", METRIC_IO_READ), 93);
        ck_assert_uint_eq(value_of(t, "new", METRIC_PROCESSES), 1);
        ck_assert_uint_eq(value_of(t, "worker", METRIC_PROCESSES), 0);
        /* it is the same process */
        ck_assert_uint_eq(starts_of(t, "new") + starts_of(t, "between"), 0);
        ck_assert_uint_eq(exits_of(t, "worker") + exits_of(t, "between"), 0);
        collect_at(t, 1020);
    }
    /* and another time */
    w->comm = "newer";
    w->exec_marker++;
    w->executed = true;
    w->until = w->since = (struct use){.user_ms = 1850, .faults = 19, .read_bytes = 600};
    w->use = (struct use){.user_ms = 1860, .faults = 19, .read_bytes = 601};
    collect_at(t, 1030);
    ck_assert_uint_eq(cpu_of(t, "new"), 150);
    ck_assert_uint_eq(cpu_of(t, "newer"), 10);
    ck_assert_uint_eq(value_of(t, "newer", METRIC_IO_READ), 1);
    end(w, (struct use){.user_ms = 1865, .faults = 19, .read_bytes = 601});
    collect_at(t, 1040);
    ck_assert_uint_eq(cpu_of(t, "newer"), 15);
    ck_assert_uint_eq(cpu_of(t, "new"), 150);
    tally_free(t);
}
END_TEST

START_TEST(a_newborn_that_executed_counts_from_then_on) {
    add_actor(shell);
    tally *t = ends_collector(NULL, NULL);
    collect_at(t, 1000);
    struct actor *w = add_actor(worker);
    w->start_ticks = TICKS(1005);
    w->from_birth = true;
    w->executed = true;
    w->was_listed = _i;
    w->until = (struct use){.user_ms = 100, .read_bytes = 30};
    w->since = (struct use){.user_ms = 200, .read_bytes = 40};
    w->use = (struct use){.user_ms = 250, .faults = 10, .read_bytes = 60};
    tell_unlisted((struct unlisted){
        .comm = "sh", .use = {.user_ms = 200, .read_bytes = 40}});
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "worker"), 50);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_IO_READ), 20);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_FAULTS_MINOR), 10);
    ck_assert_uint_eq(starts_of(t, "worker"), 1);
    ck_assert_uint_eq(cpu_of(t, "sh"), 200);
    w->use.user_ms = 300;
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "worker"), 100);
    tally_free(t);
}
END_TEST

/* ---- CPU time -------------------------------------------------------------------- */

START_TEST(exact_cpu_time_is_divided_and_never_falls) {
    struct actor *w = add_actor(worker);
    w->use = (struct use){.user_ms = 0, .system_ms = 0, .exact_ms = 1};
    tally *t = ends_collector(NULL, NULL);
    collect_at(t, 1000);
    uint64_t user = 0, system = 0;
    unsigned random = 12345;
    for (int i = 0; i < 3000; i++) {
        random = random * 1103515245 + 12345;
        /* the tick may have met it in either mode, or not at all */
        w->use.user_ms = random >> 8 & 1 ? random >> 9 & 1023 : 0;
        w->use.system_ms = random >> 19 & 1 ? random >> 20 & 1023 : 0;
        w->use.exact_ms += random >> 30 ? random >> 27 : 0;
        collect_at(t, 1010 + i);
        uint64_t user_now = count_of(t, "worker", METRIC_CPU_USER);
        uint64_t system_now = count_of(t, "worker", METRIC_CPU_SYSTEM);
        ck_assert_uint_ge(user_now, user);
        ck_assert_uint_ge(system_now, system);
        ck_assert_uint_eq(user_now + system_now, (w->use.exact_ms - 1) * MS);
        user = user_now;
        system = system_now;
    }
    ck_assert_uint_gt(user, 0);
    ck_assert_uint_gt(system, 0);
    tally_free(t);
}
END_TEST

START_TEST(cpu_time_is_divided_like_the_ticks) {
    struct actor *w = add_actor(worker);
    w->use = (struct use){.user_ms = 10, .system_ms = 30, .exact_ms = 100};
    tally *t = ends_collector(NULL, NULL);
    collect_at(t, 1000);
    w->use = (struct use){.user_ms = 20, .system_ms = 60, .exact_ms = 200};
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_CPU_USER), 25 * MS);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_CPU_SYSTEM), 75 * MS);
    /* at the end, and of what was never listed, alike; no tick met the last one */
    end(w, (struct use){.user_ms = 30, .system_ms = 90, .exact_ms = 300});
    tell_unlisted((struct unlisted){
        .comm = "cc", .use = {.user_ms = 3, .system_ms = 1, .exact_ms = 40}});
    tell_unlisted((struct unlisted){.comm = "ls", .use = {.exact_ms = 2}});
    collect_at(t, 1020);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_CPU_USER), 50 * MS);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_CPU_SYSTEM), 150 * MS);
    ck_assert_uint_eq(value_of(t, "cc", METRIC_CPU_USER), 30 * MS);
    ck_assert_uint_eq(value_of(t, "cc", METRIC_CPU_SYSTEM), 10 * MS);
    ck_assert_uint_eq(value_of(t, "ls", METRIC_CPU_USER), 2 * MS);
    tally_free(t);
}
END_TEST

/* The same at an exec, where the shares of each moment differ. */
START_TEST(exact_cpu_time_around_an_exec) {
    struct actor *w = add_actor(worker);
    w->use = (struct use){.user_ms = 10, .system_ms = 0, .exact_ms = 100};
    tally *t = ends_collector(NULL, NULL);
    collect_at(t, 1000);
    w->comm = "new";
    w->exec_marker++;
    w->executed = w->was_listed = true;
    w->until = (struct use){.user_ms = 10, .system_ms = 30, .exact_ms = 150};
    w->since = (struct use){.user_ms = 40, .system_ms = 30, .exact_ms = 170};
    w->use = (struct use){.user_ms = 0, .system_ms = 80, .exact_ms = 200};
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_ns_of(t, "worker"), 50 * MS);
    ck_assert_uint_eq(cpu_ns_of(t, "new"), 30 * MS);
    tally_free(t);
}
END_TEST

/* ---- Sleepers -------------------------------------------------------------------- */

START_TEST(a_sleeper_is_not_opened_and_is_as_it_was) {
    struct actor *w = add_actor(worker);
    w->rss_bytes = 4096;
    tally *t = ends_collector(NULL, NULL);
    collect_at(t, 1000);
    w->use.user_ms = 1400;
    collect_at(t, 1010);
    ck_assert_uint_eq(w->opened, 2);
    w->asleep = true;
    /* for longer than what is read from /proc would be believed */
    for (double now = 1020; now < 1200; now += 10) {
        collect_at(t, now);
        ck_assert_uint_eq(w->opened, 2);
        ck_assert_uint_eq(value_of(t, "worker", METRIC_PROCESSES), 1);
        ck_assert_uint_eq(value_of(t, "worker", METRIC_RSS), 4096);
        ck_assert_uint_eq(value_of(t, "worker", METRIC_STATE_SLEEPING), 1);
        ck_assert_uint_eq(value_of(t, "worker", METRIC_START_TIME),
                          (BOOT_TIME_S + 60) * NS_PER_S);
        ck_assert_uint_eq(cpu_of(t, "worker"), 400);
        ck_assert_uint_eq(self_of(t, METRIC_SELF_PROCESSES), 1);
    }
    w->asleep = false;
    w->use.user_ms = 1450;
    w->rss_bytes = 8192;
    collect_at(t, 1200);
    ck_assert_uint_eq(w->opened, 3);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_RSS), 8192);
    ck_assert_uint_eq(cpu_of(t, "worker"), 450);
    /* it sleeps, and the next that is heard of it is its end */
    w->asleep = true;
    collect_at(t, 1210);
    end(w, (struct use){.user_ms = 1460});
    collect_at(t, 1220);
    ck_assert_uint_eq(w->opened, 3);
    ck_assert_uint_eq(cpu_of(t, "worker"), 460);
    ck_assert_uint_eq(exits_of(t, "worker"), 1);
    tally_free(t);
}
END_TEST

START_TEST(a_sleeping_parent_is_not_opened_for_its_child) {
    /* pids have wrapped around: the child stands first */
    struct actor *m = add_actor(make);
    tally *t = ends_collector("rule", build_rule, "children", "true", NULL);
    collect_at(t, 1000);
    m->asleep = true;
    add_actor((struct actor){.pid = 50, .ppid = 300, .start_ticks = TICKS(1005), .comm = "cc",
                             .from_birth = true, .use = {.user_ms = 10}});
    collect_at(t, 1010);
    ck_assert_uint_eq(m->opened, 1);
    ck_assert_uint_eq(cpu_of(t, "build"), 10);
    ck_assert_uint_eq(value_of(t, "build", METRIC_PROCESSES), 2);
    /* one that nobody knows yet has its turn first */
    struct actor *n = add_actor(make);
    n->pid = 301;
    n->start_ticks = TICKS(1011);
    add_actor((struct actor){.pid = 51, .ppid = 301, .start_ticks = TICKS(1012), .comm = "cc",
                             .from_birth = true, .use = {.user_ms = 5}});
    collect_at(t, 1020);
    ck_assert_uint_eq(value_of(t, "build", METRIC_PROCESSES), 4);
    ck_assert_uint_eq(cpu_of(t, "build"), 115);
    tally_free(t);
}
END_TEST

START_TEST(a_sleeper_that_nobody_remembers_is_hidden_until_it_is_shown) {
    add_actor(shell);
    struct actor *w = add_actor(worker);
    w->asleep = true;
    w->error = -EAGAIN; /* as there is nothing but the word that it sleeps */
    tally *t = ends_collector(NULL, NULL);
    collect_at(t, 1000);
    ck_assert(!has_group(t, "worker"));
    ck_assert_uint_eq(self_of(t, METRIC_SELF_HIDDEN), 1);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_PROCESSES), 1);
    w->asleep = false;
    w->error = 0;
    collect_at(t, 1010);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_HIDDEN), 0);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_PROCESSES), 1);
    ck_assert_uint_eq(cpu_of(t, "worker"), 0);
    ck_assert_uint_eq(starts_of(t, "worker"), 0);
    w->use.user_ms = 1100;
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "worker"), 100);
    /* hidden for long is not ended */
    w->error = -EAGAIN;
    for (double now = 1030; now < 1100; now += 10)
        collect_at(t, now);
    ck_assert_uint_eq(exits_of(t, "worker"), 0);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_PROCESSES), 0);
    w->error = 0;
    w->use.user_ms = 1250;
    collect_at(t, 1100);
    ck_assert_uint_eq(cpu_of(t, "worker"), 250);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_PROCESSES), 1);
    tally_free(t);
}
END_TEST

START_TEST(a_sleeper_can_be_explained) {
    const char *text;
    size_t len;
    struct actor *w = add_actor(worker);
    tally *t = ends_collector(NULL, NULL);
    collect_at(t, 1000);
    w->asleep = true;
    clock_set(1010);
    ck_assert_int_eq(tree_explain(t, 200, &text, &len), 0);
    ck_assert_ptr_nonnull(strstr(text, "group: worker\n"));
    ck_assert_int_eq(tree_explain(t, 201, &text, &len), -ESRCH);
    tally_free(t);
}
END_TEST

/* ---- Time for matching ----------------------------------------------------------- */

#ifdef HAVE_PCRE2
/* Takes more time than one match may have. */
#define ENDLESS "/(a|a)*(a|a)*(a|a)*(a|a)*[bc]$/"

/* Three of them need more than there is for one user. */
START_TEST(a_sleeper_is_matched_when_there_is_time) {
    tally *t = ends_collector("exclude", ENDLESS, NULL);
    struct actor *last = NULL;
    for (uint32_t pid = 10; pid < 13; pid++)
        last = add_actor((struct actor){.pid = pid,
                                        .start_ticks = LONG_AGO,
                                        .comm = "aaaaaaaaaaaaaaa",
                                        .uid = 1000});
    collect_at(t, 1000);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_PATTERN_LIMITS), 3);
    for (size_t i = 0; i < 3; i++)
        script.actors[i].asleep = true;
    for (int round = 1; round < 4; round++) {
        collect_at(t, 1000 + 10 * round);
        ck_assert_uint_eq(self_of(t, METRIC_SELF_PATTERN_LIMITS), 4);
        ck_assert_uint_eq(value_of(t, "aaaaaaaaaaaaaaa", METRIC_PROCESSES), 3);
        ck_assert_uint_eq(last->opened, 2);
    }
    tally_free(t);
}
END_TEST

START_TEST(unlisted_usage_is_counted_without_time_to_match) {
    tally *t = ends_collector("exclude", ENDLESS, "exclude", "gone", "group-by", "user", NULL);
    add_actor((struct actor){.pid = 10, .start_ticks = LONG_AGO, .comm = "sh"});
    collect_at(t, 1000);
    for (size_t i = 0; i < 8; i++)
        tell_unlisted((struct unlisted){
            .comm = "aaaaaaaaaaaaaaa", .uid = 1000, .use = {.user_ms = 10}, .ended = 1});
    tell_unlisted((struct unlisted){
        .comm = "gone", .uid = 1000, .use = {.user_ms = 1000}, .ended = 1});
    tell_unlisted((struct unlisted){.comm = "sh", .use = {.user_ms = 5}, .ended = 1});
    collect_at(t, 1010);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_PATTERN_LIMITS), 8);
    ck_assert_uint_eq(cpu_of(t, "somebody"), 80);
    ck_assert_uint_eq(exits_of(t, "somebody"), 8);
    ck_assert_uint_eq(cpu_of(t, "root"), 5);
    tally_free(t);
}
END_TEST
#endif

/* ---- Traffic and what was lost --------------------------------------------------- */

#define TRAFFIC_OF(i) ((enum metric)(METRIC_RECEIVED_BYTES_TCP + (i)))

START_TEST(traffic_goes_to_its_rows) {
    static const enum metric rows[TRAFFIC_COUNTERS] = {
        METRIC_RECEIVED_BYTES_TCP,    METRIC_RECEIVED_BYTES_UDP,
        METRIC_RECEIVED_PACKETS_TCP,  METRIC_RECEIVED_PACKETS_UDP,
        METRIC_TRANSMITTED_BYTES_TCP, METRIC_TRANSMITTED_BYTES_UDP,
        METRIC_TRANSMITTED_PACKETS_TCP, METRIC_TRANSMITTED_PACKETS_UDP};
    add_actor(shell);
    add_actor(worker);
    script.sees_traffic = true;
    tally *t = ends_collector("rule", "sh sh", "rule", "none x", NULL);
    collect_at(t, 1000);
    for (size_t i = 0; i < TRAFFIC_COUNTERS; i++) {
        ck_assert_uint_eq(value_of(t, "sh", rows[i]), 0);
        ck_assert_uint_eq(value_of(t, "worker", rows[i]), 0);
        ck_assert_uint_eq(value_of(t, "none", rows[i]), 0);
    }
    struct unlisted u = {.comm = "sh", .known_pid = 100, .is_known = true};
    for (size_t i = 0; i < TRAFFIC_COUNTERS; i++)
        u.traffic[i] = 100 + i;
    tell_unlisted(u);
    tell_unlisted((struct unlisted){.comm = "curl", .ended = 1, .traffic = {[5] = 7}});
    collect_at(t, 1010);
    for (size_t i = 0; i < TRAFFIC_COUNTERS; i++) {
        ck_assert_uint_eq(value_of(t, "sh", rows[i]), 100 + i);
        ck_assert_uint_eq(value_of(t, "worker", rows[i]), 0);
        ck_assert_uint_eq(value_of(t, "none", rows[i]), 0);
        ck_assert_uint_eq(value_of(t, "curl", rows[i]), i == 5 ? 7 : 0);
    }
    ck_assert_uint_eq(starts_of(t, "sh"), 0);
    tell_unlisted(u);
    collect_at(t, 1020);
    for (size_t i = 0; i < TRAFFIC_COUNTERS; i++)
        ck_assert_uint_eq(value_of(t, "sh", rows[i]), 2 * (100 + i));
    tally_free(t);
}
END_TEST

/* Both protocols in one, in the schema that has it so. */
START_TEST(traffic_in_the_process_schema) {
    static const char *const lines[] = {"receive_bytes_total", "receive_packets_total",
                                        "transmit_bytes_total", "transmit_packets_total"};
    char line[200];
    const char *text;
    size_t len;
    add_actor(shell);
    script.sees_traffic = true;
    tally *t = ends_collector("schema", "process", NULL);
    collect_at(t, 1000);
    struct unlisted u = {.comm = "sh", .known_pid = 100, .is_known = true};
    for (size_t i = 0; i < TRAFFIC_COUNTERS; i++)
        u.traffic[i] = 100 + i;
    tell_unlisted(u);
    collect_at(t, 1010);
    ck_assert_int_eq(tree_prometheus(t, &text, &len), 0);
    for (int i = 0; i < COUNT(lines); i++) {
        snprintf(line, sizeof(line), "process_net_%s{groupname=\"sh\",name=\"sh\",user=\"root\"} %d\n",
                 lines[i], 201 + 4 * i);
        ck_assert_msg(memmem(text, len, line, strlen(line)), "no %s", line);
    }
    tally_free(t);
}
END_TEST

START_TEST(traffic_that_is_not_seen_is_absent) {
    struct tally_error notice;
    add_actor(shell);
    tally *t = ends_collector(NULL, NULL);
    collect_at(t, 1000);
    for (size_t i = 0; i < TRAFFIC_COUNTERS; i++)
        ck_assert(!has_value(t, "sh", TRAFFIC_OF(i)));
    ck_assert(!tally_notice(t, &notice));
    /* if it is to be seen and can't, that is told, once */
    script.no_traffic = "it is too early";
    collect_at(t, 1010);
    ck_assert(tally_notice(t, &notice));
    ck_assert_str_eq(notice.text, "network traffic is not counted: it is too early");
    collect_at(t, 1020);
    ck_assert(!tally_notice(t, &notice));
    ck_assert(!has_value(t, "sh", METRIC_RECEIVED_BYTES_TCP));
    /* nor is it passed over in silence that a part of it is not seen */
    script.no_traffic = NULL;
    script.sees_traffic = script.misses_old_sockets = true;
    tally_free(t);
    t = ends_collector(NULL, NULL);
    collect_at(t, 1030);
    ck_assert(tally_notice(t, &notice));
    ck_assert_str_eq(notice.text,
                     "network traffic is not counted of sockets that were there before proctally: "
                     "whose they are could not be told");
    tally_free(t);
}
END_TEST

/* ---- How they ended -------------------------------------------------------------- */

#define ALL_ENDINGS ((1u << ENDINGS) - (1u << ENDING_OK))

static void check_endings(tally *t, const char *group, uint64_t ok, uint64_t error,
                          uint64_t by_signal, uint64_t core, uint64_t oom) {
    ck_assert_uint_eq(value_of(t, group, METRIC_EXITS_OK), ok);
    ck_assert_uint_eq(value_of(t, group, METRIC_EXITS_ERROR), error);
    ck_assert_uint_eq(value_of(t, group, METRIC_EXITS_SIGNAL), by_signal);
    ck_assert_uint_eq(value_of(t, group, METRIC_EXITS_CORE), core);
    ck_assert_uint_eq(value_of(t, group, METRIC_EXITS_OOM), oom);
}

START_TEST(endings_go_to_their_rows) {
    add_actor(shell);
    struct actor *w = add_actor(worker);
    script.endings = ALL_ENDINGS;
    tally *t = ends_collector("collect", "exits", "rule", "none x", NULL);
    collect_at(t, 1000);
    check_endings(t, "sh", 0, 0, 0, 0, 0);
    check_endings(t, "none", 0, 0, 0, 0, 0);
    /* one that was listed, several of the same, and two of which it is not known */
    end(w, (struct use){.user_ms = 1});
    script.ended[0].ending = ENDING_OOM;
    tell_unlisted((struct unlisted){.comm = "cc",
                                    .ended = 12,
                                    .ended_by = {[ENDING_OK] = 1,
                                                 [ENDING_ERROR] = 2,
                                                 [ENDING_SIGNAL] = 3,
                                                 [ENDING_CORE] = 4}});
    collect_at(t, 1010);
    check_endings(t, "worker", 0, 0, 0, 0, 1);
    check_endings(t, "cc", 1, 2, 3, 4, 0);
    check_endings(t, "sh", 0, 0, 0, 0, 0);
    ck_assert_uint_eq(exits_of(t, "cc"), 12);
    tally_free(t);
}
END_TEST

START_TEST(ends_told_one_by_one_have_endings) {
    add_actor(shell);
    struct actor *w = add_actor(worker);
    script.endings = ALL_ENDINGS;
    tally *t = ends_collector("collect", "exits", NULL);
    collect_at(t, 1000);
    /* it was listed after all; the next was not, and the last began before anybody counted */
    w->gone = true;
    tell_unlisted((struct unlisted){.comm = "worker",
                                    .pid = worker.pid,
                                    .start_ticks = worker.start_ticks,
                                    .ended = 1,
                                    .ending = ENDING_CORE,
                                    .ended_by = {[ENDING_CORE] = 1}});
    tell_unlisted((struct unlisted){.comm = "cc",
                                    .pid = 77,
                                    .start_ticks = 100500,
                                    .ended = 1,
                                    .ending = ENDING_ERROR,
                                    .ended_by = {[ENDING_ERROR] = 1}});
    tell_unlisted((struct unlisted){.comm = "sh",
                                    .pid = 78,
                                    .start_ticks = 500,
                                    .ending = ENDING_ERROR,
                                    .ended_by = {[ENDING_ERROR] = 1}});
    collect_at(t, 1010);
    check_endings(t, "worker", 0, 0, 0, 1, 0);
    check_endings(t, "cc", 0, 1, 0, 0, 0);
    check_endings(t, "sh", 0, 0, 0, 0, 0);
    ck_assert_uint_eq(exits_of(t, "worker"), 1);
    tally_free(t);
}
END_TEST

START_TEST(endings_that_are_not_told_are_absent) {
    struct tally_error notice;
    add_actor(shell);
    /* not asked for */
    script.endings = ALL_ENDINGS;
    tally *t = ends_collector(NULL, NULL);
    collect_at(t, 1000);
    for (enum metric m = METRIC_EXITS_OK; m <= METRIC_EXITS_OOM; m++)
        ck_assert(!has_value(t, "sh", m));
    tally_free(t);
    /* a kernel without the mark lacks that alone */
    script.endings &= ~(1u << ENDING_OOM);
    t = ends_collector("collect", "exits", NULL);
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "sh", METRIC_EXITS_CORE), 0);
    ck_assert(!has_value(t, "sh", METRIC_EXITS_OOM));
    ck_assert(!tally_notice(t, &notice));
    tally_free(t);
    /* a source that can't tell: that is said, once */
    script.endings = 0;
    t = ends_collector("collect", "exits", NULL);
    collect_at(t, 1020);
    for (enum metric m = METRIC_EXITS_OK; m <= METRIC_EXITS_OOM; m++)
        ck_assert(!has_value(t, "sh", m));
    ck_assert(tally_notice(t, &notice));
    ck_assert_str_eq(notice.text, "how processes end is not counted: that needs source bpf");
    collect_at(t, 1030);
    ck_assert(!tally_notice(t, &notice));
    tally_free(t);
}
END_TEST

START_TEST(lost_events_are_shown) {
    uint64_t value;
    add_actor(shell);
    tally *t = ends_collector(NULL, NULL);
    collect_at(t, 1000);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_LOST_EVENTS), 0);
    script.lost = 17;
    collect_at(t, 1010);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_LOST_EVENTS), 17);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_SOURCE_PROCFS), 0);
    tally_free(t);
    /* a source that can't know does not say 0 */
    t = tree_collector(NULL, NULL);
    clock_set(1020);
    tree_collect(t);
    ck_assert(!tally_snapshot_value(t->snapshots.current, 0, METRIC_SELF_LOST_EVENTS, &value));
    tally_free(t);
}
END_TEST

/* ---- The state ------------------------------------------------------------------- */

static char state_path[300], state[1 << 16];

/* A collector with that source from the beginning: the state of another one is
 * otherwise read before it has it. NULL: the recorded /proc. */
static tally *with_state(const char *source) {
    snprintf(state_path, sizeof(state_path), "%s/state", tree_path());
    if (!source)
        return tree_collector("state-file", state_path, NULL);
    tally *t = with_source(tree_collector("collect", "exits", NULL), source);
    t->settings.state_file = strdup(state_path);
    FILE *f = fopen(state_path, "r");
    if (f) {
        size_t len = fread(state, 1, sizeof(state), f);
        fclose(f);
        ck_assert_int_eq(tree_decode_state(t, state, len), 0);
    }
    return t;
}

START_TEST(after_a_restart_it_goes_on_exactly) {
    script.sees_traffic = true;
    script.endings = ALL_ENDINGS;
    add_actor(shell);
    struct actor *w = add_actor(worker), *gone;
    w->use.exact_ms = 1010;
    w->use.switches = 40;
    struct actor late = worker;
    late.pid = 201;
    late.comm = "late";
    gone = add_actor(late);
    tally *t = with_state("ends");
    collect_at(t, 1000);
    w->use = (struct use){.user_ms = 1500, .system_ms = 500, .exact_ms = 2010, .faults = 20,
                          .read_bytes = 600, .switches = 50};
    gone->gone = true; /* its end is told after the restart */
    tell_unlisted((struct unlisted){
        .comm = "cc", .ended = 2, .use = {.user_ms = 300}, .traffic = {11},
        .ended_by = {[ENDING_CORE] = 2}});
    collect_at(t, 1010);
    ck_assert(tally_state_is_saved(t));
    ck_assert_uint_eq(cpu_of(t, "worker"), 1000);
    tally_free(t);

    t = with_state("ends");
    w->use = (struct use){.user_ms = 3000, .system_ms = 0, .exact_ms = 3010, .faults = 25,
                          .read_bytes = 700, .switches = 70};
    tell_end(gone, (struct use){.user_ms = 1070});
    tell_unlisted((struct unlisted){
        .comm = "cc", .ended = 1, .use = {.user_ms = 3}, .traffic = {1},
        .ended_by = {[ENDING_CORE] = 1}});
    /* born in between */
    struct actor newborn = worker;
    newborn.pid = 202;
    newborn.comm = "newborn";
    newborn.from_birth = true;
    newborn.start_ticks = TICKS(1011);
    add_actor(newborn);
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "worker"), 2000);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_FAULTS_MINOR), 15);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_IO_READ), 200);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWITCHES_VOLUNTARY), 30);
    ck_assert_uint_eq(cpu_of(t, "cc"), 303);
    ck_assert_uint_eq(exits_of(t, "cc"), 3);
    ck_assert_uint_eq(value_of(t, "cc", METRIC_RECEIVED_BYTES_TCP), 12);
    ck_assert_uint_eq(value_of(t, "cc", METRIC_EXITS_CORE), 3);
    ck_assert_uint_eq(cpu_of(t, "late"), 70);
    ck_assert_uint_eq(exits_of(t, "late"), 1);
    ck_assert_uint_eq(cpu_of(t, "newborn"), 1000);
    ck_assert_uint_eq(starts_of(t, "newborn"), 1);
    ck_assert_uint_eq(starts_of(t, "worker"), 0);
    /* who had ended is not in the state any more, and does not end again */
    tally_free(t);
    t = with_state("ends");
    for (double now = 1030; now < 1080; now += 10)
        collect_at(t, now);
    ck_assert_uint_eq(cpu_of(t, "late"), 70);
    ck_assert_uint_eq(exits_of(t, "late"), 1);
    tally_free(t);
}
END_TEST

/* What the source adds up of threads may begin anew with it. */
START_TEST(after_a_restart_what_begins_anew_does_not_stall) {
    struct actor *w = add_actor(worker);
    tally *t = with_state("ends");
    collect_at(t, 1000);
    w->use = (struct use){.user_ms = 1100, .faults = 20, .read_bytes = 600, .switches = 50};
    collect_at(t, 1010);
    tally_free(t);
    t = with_state("ends");
    w->use = (struct use){.user_ms = 1200, .faults = 25, .read_bytes = 30, .switches = 5};
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "worker"), 200);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_FAULTS_MINOR), 15);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_IO_READ), 100);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWITCHES_VOLUNTARY), 50);
    w->use.read_bytes = 40;
    w->use.switches = 6;
    collect_at(t, 1030);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_IO_READ), 110);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWITCHES_VOLUNTARY), 51);
    tally_free(t);
}
END_TEST

/* A thread that has exited and is not freed yet is missing from one list: what the process used
 * with it is not new when it comes back. */
START_TEST(a_dip_long_after_a_restart_counts_nothing) {
    script.lacks_switches = _i;
    struct actor *w = add_actor(worker);
    tally *t = with_state("ends");
    collect_at(t, 1000);
    tally_free(t);
    t = with_state("ends");
    w->use = (struct use){.user_ms = 1100, .faults = 20, .read_bytes = 600};
    collect_at(t, 1010);
    for (double now = 1020; now < 1060; now += 20) {
        w->use.faults = 12;
        w->use.read_bytes = 40;
        collect_at(t, now);
        w->use.faults = 20;
        w->use.read_bytes = 600;
        collect_at(t, now + 10);
        ck_assert_uint_eq(value_of(t, "worker", METRIC_FAULTS_MINOR), 10);
        ck_assert_uint_eq(value_of(t, "worker", METRIC_IO_READ), 100);
    }
    tally_free(t);
}
END_TEST

/* The source knows one sum over threads at once, and the other after a while. */
START_TEST(after_a_restart_what_comes_late_does_not_stall) {
    struct actor *w = add_actor(worker);
    tally *t = with_state("ends");
    w->use.switches = 1000;
    w->use.wait_ms = 10;
    collect_at(t, 1000);
    tally_free(t);
    t = with_state("ends");
    t->source->known_late = BIT(FIELD_VOLUNTARY_SWITCHES);
    script.lacks_switches = true;
    w->use.switches = 5;
    collect_at(t, 1010);
    script.lacks_switches = false;
    collect_at(t, 1020);
    w->use.switches = 7;
    collect_at(t, 1030);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWITCHES_VOLUNTARY), 2);
    /* from then on a dip is one */
    w->use.switches = 6;
    collect_at(t, 1040);
    w->use.switches = 8;
    collect_at(t, 1050);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWITCHES_VOLUNTARY), 3);
    tally_free(t);
}
END_TEST

/* To another source that sees ends, and from and to /proc. */
START_TEST(after_a_change_of_source_nothing_counts_twice) {
    static const struct {
        const char *before, *after;
    } changes[] = {{"ends", "other"}, {"ends", NULL}, {NULL, "ends"}};
    const char *after = changes[_i % 3].after;
    /* known as a whole, or only from the first collection on */
    const bool young = _i >= 3;
    const uint64_t whole = young;
    struct actor *w = add_actor(worker);
    struct recorded recorded = {.pid = 200, .ppid = 100, .comm = "worker", .utime = 100,
                                .minflt = 10, .rchar = 500};
    w->gone = young;
    w->from_birth = young;
    w->start_ticks = recorded.start_ticks = young ? TICKS(1005) : worker.start_ticks;
    if (!young)
        tree_put(&recorded);
    tally *t = with_state(changes[_i % 3].before);
    collect_at(t, 1000);
    w->gone = false;
    w->use = (struct use){.user_ms = 1100, .faults = 20, .read_bytes = 600, .switches = 50};
    recorded.utime = 110;
    recorded.minflt = 20;
    recorded.rchar = 600;
    recorded.voluntary = 50;
    tree_put(&recorded);
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "worker"), 100 + whole * 1000);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_IO_READ), 100 + whole * 500);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWITCHES_VOLUNTARY), 50);
    tally_free(t);

    /* it counts I/O with that of reaped children, or without, and switches of threads
     * that the other had not seen */
    t = with_state(after);
    w->use = (struct use){.user_ms = 1150, .faults = 22, .read_bytes = 90000, .switches = 7000};
    recorded.utime = 115;
    recorded.minflt = 22;
    recorded.rchar = 90000;
    recorded.voluntary = 7000;
    tree_put(&recorded);
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "worker"), 150 + whole * 1000);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_FAULTS_MINOR), 12 + whole * 10);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_IO_READ), 100 + whole * 500);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWITCHES_VOLUNTARY), 50);
    w->use = (struct use){.user_ms = 1160, .faults = 22, .read_bytes = 90010, .switches = 7001};
    recorded.utime = 116;
    recorded.rchar = 90010;
    recorded.voluntary = 7001;
    tree_put(&recorded);
    collect_at(t, 1030);
    ck_assert_uint_eq(cpu_of(t, "worker"), 160 + whole * 1000);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_IO_READ), 110 + whole * 500);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_SWITCHES_VOLUNTARY), 51);
    ck_assert_uint_eq(starts_of(t, "worker"), whole);
    ck_assert_uint_eq(exits_of(t, "worker"), 0);
    tally_free(t);
}
END_TEST

/* A new configuration takes over what the old one knew, be an end still to come. */
START_TEST(a_new_configuration_goes_on_exactly) {
    struct actor *w = add_actor(worker);
    tally *old = ends_collector(NULL, NULL);
    collect_at(old, 1000);
    w->use.user_ms = 1100;
    collect_at(old, 1010);
    w->gone = true;
    collect_at(old, 1020);
    tally *t = ends_collector("exclude", "nobody", NULL);
    ck_assert_int_eq(tree_encode_state(old), 0);
    ck_assert_int_eq(tree_decode_state(t, old->state.data, old->state.len), 0);
    tally_free(old);
    tell_end(w, (struct use){.user_ms = 1150, .faults = 11, .read_bytes = 501});
    collect_at(t, 1030);
    ck_assert_uint_eq(cpu_of(t, "worker"), 150);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_FAULTS_MINOR), 1);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_IO_READ), 1);
    ck_assert_uint_eq(exits_of(t, "worker"), 1);
    tally_free(t);
}
END_TEST

/* What ended while it was read is known to the old one alone … */
START_TEST(a_new_configuration_has_what_ended_unlisted_before_it) {
    tree_put(&(struct recorded){.pid = 100, .ppid = 1, .start_ticks = LONG_AGO, .comm = "sh"});
    add_actor(shell);
    tally *old = ends_collector(NULL, NULL);
    collect_at(old, 1000);
    tell_unlisted((struct unlisted){.comm = "cc", .ended = 3, .use = {.user_ms = 300}});
    clock_set(1010);
    tally *t = tree_collector_from(old, NULL, NULL);
    tally_free(old);
    tree_collect(t);
    ck_assert_uint_eq(cpu_of(t, "cc"), 300);
    ck_assert_uint_eq(exits_of(t, "cc"), 3);
    tally_free(t);
}
END_TEST

/* … and what both know is counted once. */
START_TEST(what_another_collector_has_counted_is_passed_over) {
    struct actor *w = add_actor(worker);
    tally *t = ends_collector(NULL, NULL);
    collect_at(t, 1000);
    t->passes_unlisted = true;
    tell_unlisted((struct unlisted){.comm = "cc", .ended = 3, .use = {.user_ms = 300},
                                    .traffic = {7}});
    /* the old one has shown it alive: its end is told by itself, and is news */
    w->gone = true;
    tell_unlisted((struct unlisted){.comm = "worker",
                                    .pid = w->pid,
                                    .start_ticks = w->start_ticks,
                                    .ended = 1,
                                    .use = {.user_ms = 1040}});
    struct actor newborn = shell;
    newborn.from_birth = true;
    newborn.start_ticks = TICKS(1001);
    add_actor(newborn);
    collect_at(t, 1010);
    ck_assert(!has_group(t, "cc"));
    ck_assert_uint_eq(cpu_of(t, "worker"), 40);
    ck_assert_uint_eq(exits_of(t, "worker"), 1);
    ck_assert_uint_eq(cpu_of(t, "sh"), 1000);
    ck_assert_uint_eq(starts_of(t, "sh"), 1);
    t->passes_unlisted = false;
    tell_unlisted((struct unlisted){.comm = "cc", .ended = 1, .use = {.user_ms = 5}});
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "cc"), 5);
    ck_assert_uint_eq(exits_of(t, "cc"), 1);
    tally_free(t);
}
END_TEST

/* CPU time was counted by the tick, and is a little less when it is known exactly. */
START_TEST(exact_cpu_time_after_ticks_does_not_fall) {
    struct actor *w = add_actor(worker);
    tally *t = with_state("other");
    collect_at(t, 1000);
    w->use = (struct use){.user_ms = 1100, .system_ms = 50};
    collect_at(t, 1010);
    tally_free(t);
    t = with_state("ends");
    w->use = (struct use){.user_ms = 1000, .system_ms = 110, .exact_ms = 1140};
    collect_at(t, 1020);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_CPU_USER), 100 * MS);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_CPU_SYSTEM), 50 * MS);
    w->use.exact_ms = 1170;
    collect_at(t, 1030);
    ck_assert_uint_eq(cpu_of(t, "worker"), 170);
    ck_assert_uint_ge(value_of(t, "worker", METRIC_CPU_USER), 100 * MS);
    ck_assert_uint_ge(value_of(t, "worker", METRIC_CPU_SYSTEM), 50 * MS);
    tally_free(t);
}
END_TEST

START_TEST(a_sleeper_after_a_restart_is_shown_anew) {
    struct actor *w = add_actor(worker);
    tally *t = with_state("ends");
    collect_at(t, 1000);
    w->use.user_ms = 1200;
    collect_at(t, 1010);
    tally_free(t);
    t = with_state("ends");
    w->asleep = true;
    w->error = -EAGAIN;
    collect_at(t, 1020);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_HIDDEN), 1);
    ck_assert_uint_eq(cpu_of(t, "worker"), 200);
    w->asleep = false;
    w->error = 0;
    collect_at(t, 1030);
    ck_assert_uint_eq(value_of(t, "worker", METRIC_PROCESSES), 1);
    ck_assert_uint_eq(cpu_of(t, "worker"), 200);
    ck_assert_uint_eq(exits_of(t, "worker") + starts_of(t, "worker"), 0);
    tally_free(t);
}
END_TEST

/* ---- Memory runs out ------------------------------------------------------------- */

/* How it was before, and all that can happen between two collections, once each. */
static void put_world(void) {
    struct actor late = worker;
    script = (struct script){.sees_traffic = true};
    late.pid = 201;
    late.comm = "late";
    add_actor(shell);
    add_actor(worker);
    add_actor(late);
    add_actor(make)->rss_bytes = 4096;
    add_above((struct above){.number = 1, .comm = "sh", .ancestor = 2});
    add_above((struct above){.number = 2, .comm = "make"});
}

static void change_world(void) {
    script.actors[0].use.user_ms += 50;
    struct actor *w = &script.actors[1];
    w->comm = "new";
    w->exec_marker++;
    w->executed = w->was_listed = true;
    w->until.user_ms = 1300;
    w->since.user_ms = 1700;
    w->use.user_ms = 1800;
    end(&script.actors[2], (struct use){.user_ms = 1070});
    script.actors[3].asleep = true;
    add_actor((struct actor){.pid = 400, .ppid = 100, .start_ticks = TICKS(1015), .comm = "born",
                             .from_birth = true, .ancestor = 9, .use = {.user_ms = 40}});
    add_actor((struct actor){.pid = 401, .ppid = 100, .start_ticks = TICKS(1015), .comm = "execed",
                             .from_birth = true, .executed = true, .since = {.user_ms = 200},
                             .use = {.user_ms = 250}});
    tell_unlisted((struct unlisted){.comm = "between", .use = {.user_ms = 400}});
    tell_unlisted((struct unlisted){.comm = "before", .use = {.user_ms = 200}});
    tell_unlisted((struct unlisted){.comm = "cc", .ended = 3, .use = {.user_ms = 300}});
    tell_unlisted((struct unlisted){
        .comm = "as", .ancestor = 1, .ended = 1, .use = {.user_ms = 9}, .traffic = {5}});
    tell_unlisted((struct unlisted){
        .comm = "x", .known_pid = 100, .is_known = true, .use = {.user_ms = 3}});
}

/* By how much what is unlisted has to be there too: nobody has it but the source,
 * so that one of them is lost if there is no memory for its group. */
static const struct {
    const char *group;
    uint64_t cpu_ms, unlisted_ms, starts, exits, processes;
} truth[] = {
    {"sh", 50, 3, 0, 0, 1},      {"worker", 300, 0, 0, 0, 0}, {"new", 100, 0, 0, 0, 1},
    {"late", 70, 0, 0, 1, 0},    {"born", 40, 0, 1, 0, 1},    {"execed", 50, 0, 1, 0, 1},
    {"between", 0, 400, 0, 0, 0}, {"before", 0, 200, 0, 0, 0}, {"cc", 0, 300, 3, 3, 0},
    {"build", 0, 9, 1, 1, 1},
};

static void check_truth(tally *t, long at, uint64_t of_sh_ms) {
    size_t lost = 0, groups = 0;
    for (size_t i = 0; i < sizeof(truth) / sizeof(truth[0]); i++) {
        const char *group = truth[i].group;
        const bool is_unlisted = truth[i].cpu_ms == 0;
        const uint64_t all = truth[i].cpu_ms + truth[i].unlisted_ms + (i == 0 ? of_sh_ms : 0);
        if (is_unlisted && truth[i].processes == 0 && !has_group(t, group)) {
            lost++;
            continue;
        }
        groups++;
        uint64_t cpu = cpu_of(t, group);
        bool is_lost = cpu != all;
        lost += is_lost;
        ck_assert_msg(cpu == all || cpu + truth[i].unlisted_ms == all,
                      "allocation %ld: group %s has used %llu ms", at, group,
                      (unsigned long long)cpu);
        ck_assert_msg(starts_of(t, group) == (is_lost && is_unlisted ? 0 : truth[i].starts) &&
                          exits_of(t, group) == (is_lost && is_unlisted ? 0 : truth[i].exits),
                      "allocation %ld: group %s has %llu starts, %llu exits", at, group,
                      (unsigned long long)starts_of(t, group),
                      (unsigned long long)exits_of(t, group));
        ck_assert_uint_eq(value_of(t, group, METRIC_PROCESSES), truth[i].processes);
    }
    ck_assert_msg(lost <= 1, "allocation %ld: %zu are lost", at, lost);
    ck_assert_uint_eq(value_of(t, "build", METRIC_RSS), 4096);
    ck_assert_uint_eq(tally_snapshot_groups(t->snapshots.current), groups);
}

static tally *world_collector(void) {
    tally *t = ends_collector("rule", build_rule, "children", "true", NULL);
    snprintf(state_path, sizeof(state_path), "%s/state", tree_path());
    t->settings.state_file = strdup(state_path);
    return t;
}

/* The same story each time; false if it has fewer allocations. */
static bool play(long at, bool in_first) {
    const tally_snapshot *s;
    put_world();
    tally *t = world_collector();
    fail_allocation_at = in_first ? at : 0;
    allocations = 0;
    clock_set(1000);
    int r = tally_collect(t, &s);
    bool fired = in_first && allocations >= at;
    fail_allocation_at = 0;
    ck_assert_msg(r == 0 || (fired && r == -ENOMEM), "allocation %ld: %d", at, r);
    /* it may be the first one that counts */
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "sh"), 0);

    change_world();
    fail_allocation_at = in_first ? 0 : at;
    allocations = 0;
    clock_set(1020);
    r = tally_collect(t, &s);
    fired = fired || (!in_first && allocations >= at);
    fail_allocation_at = 0;
    ck_assert_msg(r == 0 || (fired && r == -ENOMEM), "allocation %ld: %d", at, r);

    collect_at(t, 1030);
    check_truth(t, at, 0);
    ck_assert(tally_state_is_saved(t));
    tally_free(t);

    /* and so it stays, also in the state */
    t = world_collector();
    FILE *f = fopen(state_path, "r");
    ck_assert_ptr_nonnull(f);
    size_t len = fread(state, 1, sizeof(state), f);
    fclose(f);
    ck_assert_int_eq(tree_decode_state(t, state, len), 0);
    script.actors[0].use.user_ms += 25;
    script.actors[3].asleep = false;
    collect_at(t, 1040);
    check_truth(t, at, 25);
    tally_free(t);
    return fired;
}

START_TEST(each_allocation_of_a_collection_fails_once) {
    long at = 1;
    while (play(at, _i))
        at++;
    ck_assert_int_gt(at, 10);
}
END_TEST

int main(void) {
    const struct {
        const char *name;
        const TTest *test;
        int times;
    } tests[] = {
#define T(name, times) {#name, name, times}
        T(final_figures_count_once, 4),
        T(an_end_that_is_never_told_is_counted_after_a_while, 1),
        T(one_that_was_missed_in_a_list_is_waited_for_anew, 1),
        T(an_end_of_somebody_unknown_is_lost, 1),
        T(a_pid_used_again_too_soon, 2),
        T(born_and_listed_counts_whole, 1),
        T(unlisted_usage_goes_by_who_it_was, 1),
        T(unlisted_usage_in_the_first_collection_counts, 1),
        T(whole_life_of_one_that_may_have_been_listed, 1),
        T(usage_of_a_pid_that_was_used_again, 1),
        T(filters_hold_for_unlisted_usage, 1),
        T(unlisted_usage_that_does_not_fit_is_others, 1),
        T(by_pid_unlisted_usage_is_others, 1),
        T(by_pid_an_end_is_shown_once, 1),
        T(by_pid_a_pid_used_again_too_soon, 1),
        T(by_pid_a_pid_used_again_twice, 1),
        T(a_group_of_the_unlisted_stays_while_it_is_used, 1),
        T(what_a_known_process_did_unlisted_is_its_own, 1),
        T(what_a_kernel_thread_forked_is_one, 1),
        T(what_was_only_forked_is_what_it_was_forked_from, 1),
        T(the_unlisted_inherit_from_a_known_process, 2),
        T(the_listed_inherit_from_who_is_gone, 1),
        T(an_orphan_that_is_classified_again, 1),
        T(the_nearest_ancestor_that_a_rule_took_counts, 1),
        T(chains_of_ancestors_are_cut, 1),
        T(what_was_used_before_an_exec_is_the_old_groups, 1),
        T(a_newborn_that_executed_counts_from_then_on, 2),
        T(exact_cpu_time_is_divided_and_never_falls, 1),
        T(cpu_time_is_divided_like_the_ticks, 1),
        T(exact_cpu_time_around_an_exec, 1),
        T(a_sleeper_is_not_opened_and_is_as_it_was, 1),
        T(a_sleeping_parent_is_not_opened_for_its_child, 1),
        T(a_sleeper_that_nobody_remembers_is_hidden_until_it_is_shown, 1),
        T(a_sleeper_can_be_explained, 1),
#ifdef HAVE_PCRE2
        T(a_sleeper_is_matched_when_there_is_time, 1),
        T(unlisted_usage_is_counted_without_time_to_match, 1),
#endif
        T(traffic_goes_to_its_rows, 1),
        T(traffic_in_the_process_schema, 1),
        T(traffic_that_is_not_seen_is_absent, 1),
        T(endings_go_to_their_rows, 1),
        T(ends_told_one_by_one_have_endings, 1),
        T(endings_that_are_not_told_are_absent, 1),
        T(lost_events_are_shown, 1),
        T(after_a_restart_it_goes_on_exactly, 1),
        T(after_a_restart_what_begins_anew_does_not_stall, 1),
        T(a_dip_long_after_a_restart_counts_nothing, 2),
        T(after_a_restart_what_comes_late_does_not_stall, 1),
        T(after_a_change_of_source_nothing_counts_twice, 6),
        T(a_new_configuration_goes_on_exactly, 1),
        T(a_new_configuration_has_what_ended_unlisted_before_it, 1),
        T(what_another_collector_has_counted_is_passed_over, 1),
        T(exact_cpu_time_after_ticks_does_not_fall, 1),
        T(a_sleeper_after_a_restart_is_shown_anew, 1),
        T(each_allocation_of_a_collection_fails_once, 2),
#undef T
    };
    Suite *suite = suite_create("ends");
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        TCase *tc = tcase_create(tests[i].name);
        tcase_add_checked_fixture(tc, script_open, tree_close);
        tcase_add_loop_test(tc, tests[i].test, 0, tests[i].times);
        tcase_set_timeout(tc, 60); /* a slow machine is no failure */
        suite_add_tcase(suite, tc);
    }
    return run_suite(suite);
}
