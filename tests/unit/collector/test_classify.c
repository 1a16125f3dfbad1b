/* SPDX-License-Identifier: MIT */
/* Which group a process belongs to over time, on a recorded /proc: while nobody can tell
 * what it is, when its number is given again, when its parent is gone. */
#include "tree.h"

#include "suite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define S NS_PER_S

static struct recorded shell, worker;

static void setup(void) {
    tree_open();
    tree_show_layout();
    shell = (struct recorded){.pid = 100,
                              .ppid = 1,
                              .start_ticks = 5000,
                              .comm = "sh",
                              .cmdline = "sh",
                              .exe = "/bin/sh",
                              .vsize = 1 << 20,
                              .start_code = 70};
    worker = (struct recorded){.pid = 200,
                               .ppid = 100,
                               .start_ticks = TICKS(1001),
                               .comm = "worker",
                               .cmdline = "worker",
                               .exe = "/bin/worker",
                               .vsize = 1 << 20,
                               .start_code = 80};
}

static void collect_at(tally *t, double seconds) {
    clock_set(seconds);
    tree_collect(t);
}

static uint64_t cpu_of(tally *t, const char *group) {
    return value_of(t, group, METRIC_CPU_USER) + value_of(t, group, METRIC_CPU_SYSTEM);
}

static void assert_members(tally *t, const char *group, uint64_t count) {
    ck_assert_msg(has_group(t, group), "no group %s", group);
    ck_assert_uint_eq(value_of(t, group, METRIC_PROCESSES), count);
}

static void assert_counts(tally *t, const char *group, uint64_t starts, uint64_t exits) {
    ck_assert_uint_eq(value_of(t, group, METRIC_STARTS), starts);
    ck_assert_uint_eq(value_of(t, group, METRIC_EXITS), exits);
}

/* What /proc shows without an address space: at the end, or for a moment in execve(2). */
static void take_memory(struct recorded *p) {
    p->cmdline = NULL;
    p->exe = NULL;
    p->vsize = 0;
    p->start_code = 0;
}

/* ---- While nobody can tell what it is ---------------------------------------------------- */

START_TEST(a_zombie_keeps_its_group) {
    tree_put(&shell);
    tally *t = tree_collector("group-by", "exe", NULL);
    collect_at(t, 1000);
    tree_put(&worker);
    collect_at(t, 1010);
    take_memory(&worker);
    worker.state = 'Z';
    worker.utime = 70;
    tree_put(&worker);
    for (int i = 2; i < 6; i++) { /* it is not waited for soon */
        collect_at(t, 1000 + 10 * i);
        assert_members(t, "/bin/worker", 1);
        ck_assert_uint_eq(value_of(t, "/bin/worker", METRIC_STATE_ZOMBIE), 1);
        ck_assert_uint_eq(cpu_of(t, "/bin/worker"), 7 * S / 10);
    }
    tree_remove(200);
    shell.cutime = 71;
    shell.cminflt = 1;
    tree_put(&shell);
    collect_at(t, 1060);
    ck_assert_uint_eq(cpu_of(t, "/bin/worker"), 71 * S / 100);
    assert_counts(t, "/bin/worker", 1, 1);
    ck_assert_uint_eq(tally_snapshot_groups(t->snapshots.current), 2);
    tally_free(t);
}
END_TEST

START_TEST(one_that_ends_keeps_its_group) {
    tree_put(&worker);
    tally *t = tree_collector("group-by", "exe", NULL);
    collect_at(t, 1000);
    take_memory(&worker); /* but it is no zombie yet */
    worker.state = 'D';
    worker.utime = 5;
    tree_put(&worker);
    for (int i = 1; i < 4; i++) {
        collect_at(t, 1000 + 10 * i);
        assert_members(t, "/bin/worker", 1);
    }
    ck_assert_uint_eq(cpu_of(t, "/bin/worker"), S / 20);
    ck_assert_uint_eq(tally_snapshot_groups(t->snapshots.current), 1);
    tally_free(t);
}
END_TEST

/* The name is new, the address space is not there yet (0), or its arguments are not (1). */
START_TEST(in_the_middle_of_execve) {
    const char *old = _i ? "sh" : "/bin/sh", *new = _i ? "cc" : "/bin/cc";
    tree_put(&shell);
    tally *t = tree_collector("group-by", _i ? "cmdline" : "exe", NULL);
    collect_at(t, 1000);
    shell.comm = "cc";
    shell.utime = 10;
    take_memory(&shell);
    if (_i) {
        shell.vsize = 4096;
        shell.start_code = 71;
    }
    tree_put(&shell);
    collect_at(t, 1010);
    assert_members(t, old, 1);
    ck_assert_uint_eq(cpu_of(t, old), S / 10);
    ck_assert_uint_eq(tally_snapshot_groups(t->snapshots.current), 1);
    shell.cmdline = "cc";
    shell.exe = "/bin/cc";
    shell.vsize = 1 << 20;
    shell.start_code = 72;
    shell.utime = 30;
    tree_put(&shell);
    collect_at(t, 1010.1);
    assert_members(t, new, 1);
    assert_members(t, old, 0);
    ck_assert_uint_eq(cpu_of(t, old), S / 10);
    ck_assert_uint_eq(cpu_of(t, new), S / 5);
    tally_free(t);
}
END_TEST

/* Whoever has no arguments for longer was started so, though it sleeps ever since. */
START_TEST(without_arguments_for_long) {
    tree_put(&shell);
    tally *t = tree_collector("group-by", "cmdline", NULL);
    collect_at(t, 1000);
    shell.comm = "cc";
    shell.cmdline = NULL;
    shell.start_code = 71;
    shell.utime = 10;
    tree_put(&shell);
    for (int i = 0; i < 4; i++) {
        collect_at(t, 1010 + 0.5 * i);
        assert_members(t, "sh", 1);
    }
    collect_at(t, 1012);
    assert_members(t, "sh", 0);
    assert_members(t, "[cc]", 1);
    tally_free(t);
}
END_TEST

START_TEST(a_new_one_is_counted_when_it_is_known) {
    tree_put(&shell);
    tally *t = tree_collector("group-by", "exe", NULL);
    collect_at(t, 1000);
    const struct recorded known = worker;
    worker.utime = 20;
    worker.minflt = 100;
    take_memory(&worker);
    tree_put(&worker);
    collect_at(t, 1010);
    ck_assert_uint_eq(tally_snapshot_groups(t->snapshots.current), 1);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_PROCESSES), 1);
    worker = known;
    worker.utime = 50;
    worker.minflt = 300;
    tree_put(&worker);
    collect_at(t, 1010.5);
    assert_members(t, "/bin/worker", 1);
    ck_assert_uint_eq(cpu_of(t, "/bin/worker"), S / 2);
    ck_assert_uint_eq(value_of(t, "/bin/worker", METRIC_FAULTS_MINOR), 300);
    assert_counts(t, "/bin/worker", 1, 0);
    assert_members(t, "/bin/sh", 1);
    ck_assert_uint_eq(cpu_of(t, "/bin/sh"), 0);
    tally_free(t);
}
END_TEST

/* Another collector goes on from one for which a process was pending. */
START_TEST(pending_is_inherited) {
    tree_put(&shell);
    tally *t = tree_collector("group-by", "exe", NULL);
    collect_at(t, 1000);
    const struct recorded known = worker;
    worker.utime = 20;
    take_memory(&worker);
    tree_put(&worker);
    collect_at(t, 1010);
    const struct tally_new_opts opts = {.size = sizeof(opts), .inherit = t};
    tally *next = tree_collector_with(&opts, "group-by", "exe", NULL);
    tally_free(t);
    worker.utime = 30;
    tree_put(&worker);
    collect_at(next, 1010.5);
    ck_assert_uint_eq(self_of(next, METRIC_SELF_PROCESSES), 1);
    worker = known;
    worker.utime = 50;
    tree_put(&worker);
    collect_at(next, 1011);
    assert_members(next, "/bin/worker", 1);
    ck_assert_uint_eq(cpu_of(next, "/bin/worker"), S / 2);
    assert_counts(next, "/bin/worker", 1, 0);
    tally_free(next);
}
END_TEST

/* Of a forked child nobody knew more than that it was its parent's copy. */
START_TEST(a_new_one_that_ends_before_it_is_known) {
    tree_put(&shell);
    tally *t = tree_collector("group-by", "exe", NULL);
    collect_at(t, 1000);
    worker.utime = 20;
    worker.minflt = 100;
    take_memory(&worker);
    tree_put(&worker);
    collect_at(t, 1010);
    tree_remove(200);
    shell.cutime = 30;
    shell.cminflt = 150;
    tree_put(&shell);
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "/bin/sh"), 3 * S / 10);
    ck_assert_uint_eq(value_of(t, "/bin/sh", METRIC_FAULTS_MINOR), 150);
    assert_counts(t, "/bin/sh", 1, 1);
    ck_assert_uint_eq(tally_snapshot_groups(t->snapshots.current), 1);
    tally_free(t);
}
END_TEST

/* After the limit it is taken for what its name says. */
START_TEST(a_new_one_that_stays_unclear) {
    tree_put(&shell);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    worker.start_ticks = TICKS(1009);
    worker.utime = 20;
    take_memory(&worker);
    tree_put(&worker);
    collect_at(t, 1010);
    collect_at(t, 1011.9);
    ck_assert(!has_group(t, "worker"));
    collect_at(t, 1012);
    assert_members(t, "worker", 1);
    ck_assert_uint_eq(cpu_of(t, "worker"), S / 5);
    assert_counts(t, "worker", 1, 0);
    tally_free(t);
}
END_TEST

/* A history is not ours, and nobody has just been forked that is that old. */
START_TEST(at_the_very_start) {
    shell.cmdline = NULL;
    tree_put(&shell);
    worker.start_ticks = TICKS(999.5);
    take_memory(&worker);
    tree_put(&worker);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1000);
    assert_members(t, "sh", 1);
    ck_assert(!has_group(t, "worker"));
    tally_free(t);
}
END_TEST

/* ---- Numbers given again ----------------------------------------------------------------- */

/* 0: at once; 1: in the collection after the one that saw the end; 2: after a restart. */
START_TEST(by_pid_a_number_given_again_is_another_group) {
    char path[300];
    snprintf(path, sizeof(path), "%s/state", tree_path());
    tree_put(&shell);
    tree_put(&worker);
    tally *t = tree_collector("group-by", "pid", "state-file", path, NULL);
    collect_at(t, 1000);
    worker.utime = 300;
    tree_put(&worker);
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "200"), 3 * S);
    tree_remove(200);
    if (_i > 0)
        collect_at(t, 1020);
    if (_i == 2) {
        tally_free(t);
        t = tree_collector("group-by", "pid", "state-file", path, NULL);
    }
    worker.start_ticks = TICKS(1025);
    worker.ppid = 1;
    worker.exe = "/bin/new";
    worker.utime = 7;
    tree_put(&worker);
    collect_at(t, 1030);
    ck_assert_uint_eq(cpu_of(t, "200"), 7 * S / 100);
    assert_counts(t, "200", 1, 0);
    const char *key, *value;
    ck_assert(tally_snapshot_label(t->snapshots.current, 1, 1, &key, &value));
    ck_assert_str_eq(key, "ppid");
    ck_assert_str_eq(value, "1");
    ck_assert(tally_snapshot_label(t->snapshots.current, 1, 4, &key, &value));
    ck_assert_str_eq(value, "/bin/new");
    ck_assert_uint_eq(self_of(t, METRIC_SELF_OVERFLOWED), 0);
    collect_at(t, 1040);
    ck_assert_uint_eq(tally_snapshot_groups(t->snapshots.current), 2);
    tally_free(t);
}
END_TEST

/* What rules make is limited, however many processes stand by themselves. */
START_TEST(by_pid_the_limit_holds) {
    char comm[40][16];
    for (uint32_t i = 0; i < 40; i++) {
        snprintf(comm[i], sizeof(comm[i]), "app%u", i);
        tree_put(&(struct recorded){
            .pid = 10 + i, .ppid = 1, .start_ticks = 5000, .comm = comm[i], .exe = "/bin/app"});
    }
    for (uint32_t i = 0; i < 30; i++)
        tree_put(&(struct recorded){
            .pid = 60 + i, .ppid = 1, .start_ticks = 5000, .comm = "x", .utime = 1});
    tally *t = tree_collector("group-by", "pid", "max-groups", "5", "rule", "{{.Comm}}s app0",
                              "rule", "{{.Comm}}s app1", "rule", "{{.Comm}}s app2", "rule",
                              "{{.Comm}}s app3", "rule", "{{.Comm}}s app4", "rule",
                              "{{.Comm}}s app5", "rule", "{{.Comm}}s app6", NULL);
    collect_at(t, 1000);
    /* app0 … app4; other has the two that did not fit, and no room is left for singles */
    ck_assert_uint_eq(tally_snapshot_groups(t->snapshots.current), 6);
    assert_members(t, "app4s", 1);
    assert_members(t, "other", 2);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_OVERFLOWED), 2);
    tally_free(t);
}
END_TEST

/* ---- Ancestors ----------------------------------------------------------------------------- */

/* A parent with the higher number is called for by its new child, asleep as it is. */
START_TEST(a_sleeping_parent_with_the_higher_pid) {
    shell.pid = 300;
    shell.rss_pages = 50;
    shell.fds = 3;
    tree_put(&shell);
    tally *t = tree_collector("children", "true", "rule", "app sh", NULL);
    collect_at(t, 980);
    collect_at(t, 990);
    collect_at(t, 1000);
    worker.ppid = 300;
    worker.fds = 2;
    tree_put(&worker);
    collect_at(t, 1010);
    assert_members(t, "app", 2);
    ck_assert_uint_eq(value_of(t, "app", METRIC_OPEN_FDS), 5);
    ck_assert_uint_gt(value_of(t, "app", METRIC_RSS), 0);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_PROCESSES), 2);
    ck_assert_uint_eq(self_of(t, METRIC_SELF_HIDDEN), 0);
    collect_at(t, 1020);
    assert_members(t, "app", 2);
    tally_free(t);
}
END_TEST

/* Whoever takes an orphan in has nothing to give it: it keeps what it has from the parent
 * that started it, also when it is classified again; and after a restart. */
START_TEST(an_orphan_that_is_classified_again) {
    char path[300];
    snprintf(path, sizeof(path), "%s/state", tree_path());
    tree_put(&(struct recorded){.pid = 50, .ppid = 1, .start_ticks = 4000, .comm = "manager"});
    shell.ppid = 50;
    tree_put(&shell);
    worker.start_ticks = 6000;
    tree_put(&worker);
    tally *t = tree_collector("children", "true", "state-file", path, "rule", "app sh", "rule",
                              "managers manager", NULL);
    collect_at(t, 1000);
    assert_members(t, "app", 2);
    tree_remove(100);
    worker.ppid = 50; /* a subreaper */
    worker.utime = 1;
    tree_put(&worker);
    collect_at(t, 1010);
    if (_i) {
        tally_free(t);
        t = tree_collector("children", "true", "state-file", path, "rule", "app sh", "rule",
                           "managers manager", NULL);
    }
    worker.comm = "other";
    worker.start_code = 99;
    worker.utime = 2;
    tree_put(&worker);
    collect_at(t, 1020);
    assert_members(t, "app", 1);
    assert_members(t, "managers", 1);
    tally_free(t);
}
END_TEST

/* However far up, and whether it is still there or not; also for who goes on from a state file
 * (1) or from another collector (2), whose rules stand in another order. */
START_TEST(descendants_of_what_a_rule_asks_for) {
    char path[600];
    struct recorded grandchild = worker, late = worker, init = shell;
    init.pid = 1;
    init.ppid = 0;
    init.comm = "init";
    grandchild.pid = 300;
    grandchild.ppid = late.ppid = 200;
    grandchild.comm = "grandchild";
    late.pid = 400;
    late.comm = "late";
    late.start_ticks = TICKS(1025);
    snprintf(path, sizeof(path), "%s/state", tree_path());
    tree_put(&init);
    tree_put(&shell);
    tally *t = tree_collector("state-file", path, "rule", "below parent=sh", "rule",
                              "other parent=worker", NULL);
    collect_at(t, 1000);
    tree_put(&worker);
    tree_put(&grandchild);
    collect_at(t, 1010);
    assert_members(t, "below", 2); /* the first rule decides */
    assert_members(t, "sh", 1); /* it is none of its own ancestors */
    assert_members(t, "other", 0);
    tree_remove(100);
    worker.ppid = 1;
    tree_put(&worker);
    collect_at(t, 1020);
    assert_members(t, "below", 2);
    if (_i) {
        const struct tally_new_opts opts = {.size = sizeof(opts), .inherit = _i == 2 ? t : NULL};
        tally *next = _i == 2 ? tree_collector_with(&opts, "rule", "none parent=x", "rule",
                                                    "below parent=sh", NULL)
                              : NULL;
        tally_free(t);
        t = next ? next
                 : tree_collector("state-file", path, "rule", "renamed renamed", "rule",
                                  "below parent=sh", NULL);
    }
    /* when it is looked at again, and what it starts from now on */
    grandchild.comm = "elsewhere";
    tree_put(&grandchild);
    tree_put(&late);
    collect_at(t, 1030);
    assert_members(t, "below", 3);
    tally_free(t);
}
END_TEST

/* A rule that is new asks for what nobody has noted; the child, of a lower number, is looked at
 * before its parent. */
START_TEST(a_new_rule_for_descendants) {
    struct recorded child = worker;
    child.pid = 50;
    child.ppid = 100;
    tree_put(&shell);
    tree_put(&child);
    tally *t = tree_collector(NULL, NULL);
    collect_at(t, 1010);
    tally *next = tree_collector_from(t, "rule", "below parent=sh", NULL);
    tally_free(t);
    collect_at(next, 1020);
    collect_at(next, 1030);
    assert_members(next, "below", 1);
    /* and that is that */
    ck_assert(!tree_process(next, 50)->unsure);
    tally_free(next);
}
END_TEST

/* ---- Pid files --------------------------------------------------------------------------- */

static void put_text(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    ck_assert_int_eq(fclose(f), 0);
}

/* It moves when the file does, though it may sleep; and is nobody's when that is gone. */
START_TEST(whom_a_pid_file_means) {
    char path[600], rule[640];
    struct tally_error notice;
    snprintf(path, sizeof(path), "%s/x.pid", tree_path());
    snprintf(rule, sizeof(rule), "daemon pid_file=%s", path);
    shell.uid = worker.uid = getuid();
    shell.run_ns = worker.run_ns = 1;
    tree_put(&shell);
    tree_put(&worker);
    tally *t = tree_collector("rule", rule, NULL);
    for (int i = 0; i < 3; i++) {
        collect_at(t, 1002 + i);
        assert_members(t, "daemon", 0);
        assert_members(t, "sh", 1);
    }
    ck_assert(!tally_notice(t, &notice));
    put_text(path, "100\n");
    collect_at(t, 1010);
    assert_members(t, "daemon", 1);
    assert_members(t, "worker", 1);
    collect_at(t, 1011);
    put_text(path, "200\n");
    worker.utime = 50;
    tree_put(&worker);
    collect_at(t, 1012);
    assert_members(t, "daemon", 1);
    assert_members(t, "sh", 1);
    ck_assert_uint_eq(cpu_of(t, "daemon"), S / 2);
    put_text(path, "what\n");
    collect_at(t, 1013);
    assert_members(t, "daemon", 0);
    assert_members(t, "worker", 1);
    ck_assert_uint_eq(cpu_of(t, "daemon"), S / 2);
    ck_assert(tally_notice(t, &notice));
    ck_assert_ptr_nonnull(strstr(notice.text, "x.pid means nobody: it does not begin with"));
    ck_assert(!tally_notice(t, &notice));
    ck_assert_int_eq(unlink(path), 0);
    collect_at(t, 1014);
    put_text(path, "2000\n");
    collect_at(t, 1015);
    assert_members(t, "daemon", 0);
    ck_assert(!tally_notice(t, &notice));
    tally_free(t);
}
END_TEST

/* A collection that failed has not moved anybody. */
START_TEST(a_pid_file_that_changed_before_a_failure) {
    char path[600], rule[640];
    snprintf(path, sizeof(path), "%s/x.pid", tree_path());
    snprintf(rule, sizeof(rule), "daemon pid_file=%s", path);
    shell.uid = getuid();
    tree_put(&shell);
    tally *t = tree_collector("rule", rule, NULL);
    collect_at(t, 1002);
    put_text(path, "100\n");
    tree_hide(true);
    ck_assert_int_eq(tally_collect(t, NULL), -EIO);
    tree_hide(false);
    collect_at(t, 1004);
    assert_members(t, "daemon", 1);
    tally_free(t);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("classify");
    TCase *tc;

    tc = add_case(suite, "unclear");
    tcase_add_checked_fixture(tc, setup, tree_close);
    tcase_add_test(tc, a_zombie_keeps_its_group);
    tcase_add_test(tc, one_that_ends_keeps_its_group);
    tcase_add_loop_test(tc, in_the_middle_of_execve, 0, 2);
    tcase_add_test(tc, without_arguments_for_long);
    tcase_add_test(tc, a_new_one_is_counted_when_it_is_known);
    tcase_add_test(tc, a_new_one_that_ends_before_it_is_known);
    tcase_add_test(tc, a_new_one_that_stays_unclear);
    tcase_add_test(tc, pending_is_inherited);
    tcase_add_test(tc, at_the_very_start);
    tc = add_case(suite, "numbers");
    tcase_add_checked_fixture(tc, setup, tree_close);
    tcase_add_loop_test(tc, by_pid_a_number_given_again_is_another_group, 0, 3);
    tcase_add_test(tc, by_pid_the_limit_holds);
    tc = add_case(suite, "ancestors");
    tcase_add_checked_fixture(tc, setup, tree_close);
    tcase_add_test(tc, a_sleeping_parent_with_the_higher_pid);
    tcase_add_loop_test(tc, descendants_of_what_a_rule_asks_for, 0, 3);
    tcase_add_test(tc, a_new_rule_for_descendants);
    tcase_add_loop_test(tc, an_orphan_that_is_classified_again, 0, 2);
    tc = add_case(suite, "pid files");
    tcase_add_checked_fixture(tc, setup, tree_close);
    tcase_add_test(tc, whom_a_pid_file_means);
    tcase_add_test(tc, a_pid_file_that_changed_before_a_failure);
    return run_suite(suite);
}
