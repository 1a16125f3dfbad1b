/* SPDX-License-Identifier: MIT */
/* Following a process: it and its descendants count, also those whose parents have ended,
 * and nobody else does. With both ways of learning of ends: on a recorded /proc, and with a
 * source that is told of every one. */
#include "script.h"
#include "suite.h"

#include "collector/state.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define S UINT64_C(1000000000)
#define LATER 101000 /* ticks: after the first collection */

static const struct recorded other = {.pid = 50, .ppid = 1, .start_ticks = LONG_AGO, .comm = "other"};
static struct recorded root, child, grandchild;

static void setup(void) {
    script_open();
    root = (struct recorded){.pid = 100, .ppid = 1, .start_ticks = LONG_AGO, .comm = "root"};
    child = (struct recorded){.pid = 200, .ppid = 100, .start_ticks = LONG_AGO + 1, .comm = "child"};
    grandchild = (struct recorded){
        .pid = 300, .ppid = 200, .start_ticks = LONG_AGO + 2, .comm = "grandchild"};
    tree_put(&(struct recorded){.pid = 1, .start_ticks = 1, .comm = "init"});
    tree_put(&other);
    tree_put(&root);
    tree_put(&child);
    tree_put(&grandchild);
}

static tally *following(pid_t pid) {
    const struct tally_new_opts opts = {.size = sizeof(opts), .follow = &pid, .follow_count = 1};
    return tree_collector_with(&opts, NULL, NULL);
}

static void burn(struct recorded *p, uint64_t ticks) {
    p->utime += ticks;
    tree_put(p);
}

static uint64_t all_cpu(tally *t) {
    uint64_t sum = 0;
    for (size_t g = 0; g < tally_snapshot_groups(t->snapshots.current); g++) {
        const char *name = tally_snapshot_group_name(t->snapshots.current, g);
        sum += cpu_ns_of(t, name);
    }
    return sum;
}

/* ---- Of a recorded /proc ------------------------------------------------------------ */

START_TEST(a_tree_and_nobody_else) {
    tally *t = following(100);
    burn(&root, 10);
    burn(&child, 20);
    burn(&grandchild, 30);
    struct recorded beside = other;
    burn(&beside, 500);
    tree_put(&(struct recorded){
        .pid = 400, .ppid = 50, .start_ticks = LATER, .comm = "child", .utime = 300});
    const tally_snapshot *s = collect_at(t, 1010);
    ck_assert_uint_eq(tally_snapshot_groups(s), 3);
    ck_assert_uint_eq(cpu_of(t, "root"), 100);
    ck_assert_uint_eq(cpu_of(t, "child"), 200);
    ck_assert_uint_eq(cpu_of(t, "grandchild"), 300);
    ck_assert_uint_eq(value_of(t, "child", METRIC_PROCESSES), 1);
    tally_free(t);
}
END_TEST

/* From the moment on in which it was opened. */
START_TEST(what_is_done_before_the_first_snapshot) {
    burn(&child, 70);
    tally *t = following(100);
    burn(&child, 20);
    tree_remove(300);
    child.cutime = 40;
    burn(&child, 0);
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "child") + cpu_of(t, "grandchild"), 600);
    tally_free(t);
}
END_TEST

/* The chain between breaks, by ends and programs that are executed; init takes them in. */
START_TEST(descendants_whose_parents_have_ended) {
    tally *t = following(100);
    collect_at(t, 1000);
    tree_remove(200);
    grandchild.ppid = 1;
    burn(&grandchild, 10);
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "grandchild"), 100);
    /* the orphan becomes another program, and has a child */
    grandchild.comm = "daemon";
    grandchild.start_code = 77;
    burn(&grandchild, 5);
    struct recorded late = {
        .pid = 310, .ppid = 300, .start_ticks = TICKS(1015), .comm = "late", .utime = 40};
    tree_put(&late);
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "daemon"), 50);
    ck_assert_uint_eq(cpu_of(t, "late"), 400);
    /* and the root ends */
    tree_remove(100);
    tree_remove(300);
    late.ppid = 1;
    burn(&late, 10);
    collect_at(t, 1030);
    burn(&late, 10);
    collect_at(t, 1040);
    ck_assert_uint_eq(cpu_of(t, "late"), 600);
    ck_assert(!has_group(t, "other"));
    ck_assert(!has_group(t, "init"));
    tally_free(t);
}
END_TEST

/* Who has the root's number next, or is a child of that, is nobody's. */
START_TEST(a_pid_that_is_used_again) {
    tree_remove(200);
    tree_remove(300);
    tally *t = following(100);
    tree_remove(100);
    collect_at(t, 1010);
    root.start_ticks = TICKS(1015);
    root.comm = "stranger";
    burn(&root, 30);
    tree_put(&(struct recorded){
        .pid = 210, .ppid = 100, .start_ticks = TICKS(1016), .comm = "stranger", .utime = 9});
    collect_at(t, 1020);
    ck_assert(!has_group(t, "stranger"));
    tally_free(t);
}
END_TEST

START_TEST(filters_and_rules_stand_above) {
    const struct tally_new_opts opts = {.size = sizeof(opts), 
                                        .follow = (const pid_t[]){100},
                                        .follow_count = 1};
    tally *t = tree_collector_with(&opts, "exclude", "grandchild", "rule", "r child", "rule",
                                   "r other", "group-by", "", NULL);
    burn(&root, 10);
    burn(&child, 20);
    burn(&grandchild, 30);
    struct recorded beside = other;
    burn(&beside, 500);
    const tally_snapshot *s = collect_at(t, 1010);
    ck_assert_uint_eq(tally_snapshot_groups(s), 1);
    ck_assert_uint_eq(cpu_of(t, "r"), 200);
    /* a child of one that is left out is followed all the same */
    tree_put(&(struct recorded){
        .pid = 310, .ppid = 300, .start_ticks = TICKS(1015), .comm = "child", .utime = 4});
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "r"), 240);
    tally_free(t);
}
END_TEST

/* Its child is known to descend from it even before anybody can tell what it is. */
START_TEST(a_parent_in_the_middle_of_execve) {
    tally *t = following(100);
    struct recorded midway = {.pid = 400, .ppid = 100, .start_ticks = TICKS(1004), .comm = "midway"};
    midway.vsize = 4096;
    tree_put(&midway);
    tree_put(&(struct recorded){
        .pid = 410, .ppid = 400, .start_ticks = TICKS(1005), .comm = "below", .utime = 6});
    collect_at(t, 1005.5);
    ck_assert_uint_eq(cpu_of(t, "below"), 60);
    tally_free(t);
}
END_TEST

START_TEST(a_restart_goes_on_with_orphans) {
    char path[300];
    snprintf(path, sizeof(path), "%s/state", tree_path());
    struct tally_new_opts opts = {.size = sizeof(opts), .follow = (const pid_t[]){100}, .follow_count = 1};
    tally *t = tree_collector_with(&opts, "state-file", path, NULL);
    collect_at(t, 1000);
    tree_remove(200);
    grandchild.ppid = 1;
    burn(&grandchild, 10);
    collect_at(t, 1010);
    tally_free(t);
    burn(&grandchild, 10);
    clock_set(1020);
    t = tree_collector_with(&opts, "state-file", path, NULL);
    burn(&grandchild, 10);
    collect_at(t, 1030);
    ck_assert_uint_eq(cpu_of(t, "grandchild"), 300);

    /* inherited from memory the same; but not by somebody who follows another */
    opts.inherit = t;
    tally *next = tree_collector_with(&opts, NULL, NULL);
    burn(&grandchild, 10);
    collect_at(next, 1040);
    ck_assert_uint_eq(cpu_of(next, "grandchild"), 400);
    tally_free(next);
    opts.follow = (const pid_t[]){50};
    next = tree_collector_with(&opts, NULL, NULL);
    burn(&grandchild, 10);
    collect_at(next, 1050);
    /* what the first one had counted by then */
    ck_assert_uint_eq(cpu_of(next, "grandchild"), 400);
    ck_assert_uint_eq(value_of(next, "grandchild", METRIC_PROCESSES), 0);
    tally_free(next);
    tally_free(t);
}
END_TEST

START_TEST(two_trees) {
    const struct tally_new_opts opts = {
        .size = sizeof(opts), .follow = (const pid_t[]){200, 50}, .follow_count = 2};
    tally *t = tree_collector_with(&opts, NULL, NULL);
    struct recorded beside = other;
    burn(&root, 10);
    burn(&child, 20);
    burn(&grandchild, 30);
    burn(&beside, 40);
    collect_at(t, 1010);
    ck_assert(!has_group(t, "root"));
    ck_assert_uint_eq(cpu_of(t, "child"), 200);
    ck_assert_uint_eq(cpu_of(t, "grandchild"), 300);
    ck_assert_uint_eq(cpu_of(t, "other"), 400);
    tally_free(t);
}
END_TEST

/* Its parents came and went unseen; whose child it is now tells all the same. */
START_TEST(an_orphan_of_somebody_unseen) {
    const struct tally_new_opts opts = {.size = sizeof(opts),
                                        .follow = (const pid_t[]){100},
                                        .follow_count = 1,
                                        .adopter = 50};
    tally *t = tree_collector_with(&opts, NULL, NULL);
    struct recorded orphan = {
        .pid = 400, .ppid = 50, .start_ticks = TICKS(1004), .comm = "orphan", .utime = 7};
    tree_put(&orphan);
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "orphan"), 70);
    ck_assert(!has_group(t, "other"));
    tally_free(t);
}
END_TEST

START_TEST(too_many) {
    pid_t pids[FOLLOWED_MAX + 1];
    for (size_t i = 0; i <= FOLLOWED_MAX; i++)
        pids[i] = 100;
    const struct tally_new_opts opts = {
        .size = sizeof(opts), .follow = pids, .follow_count = FOLLOWED_MAX + 1};
    struct tally_error error;
    tally_config *config;
    tally *t;
    ck_assert_int_eq(tally_config_new(&config), 0);
    ck_assert_int_eq(tally_config_set(config, "procfs", tree_path(), &error), 0);
    ck_assert_int_eq(collector_new(config, &opts, &tree_io, &t, &error), -EINVAL);
    ck_assert_str_eq(error.text, "65 processes are to be followed, expected at most 64");
    tally_config_free(config);
}
END_TEST

static void expect_none(pid_t pid) {
    const struct tally_new_opts opts = {.size = sizeof(opts), .follow = &pid, .follow_count = 1};
    struct tally_error error;
    tally_config *config;
    tally *t;
    ck_assert_int_eq(tally_config_new(&config), 0);
    ck_assert_int_eq(tally_config_set(config, "procfs", tree_path(), &error), 0);
    ck_assert_int_eq(collector_new(config, &opts, &tree_io, &t, &error), -ESRCH);
    char want[4200];
    snprintf(want, sizeof(want), "can't follow process %d: there is none in %s", (int)pid,
             tree_path());
    ck_assert_str_eq(error.text, want);
    tally_config_free(config);
}

static void remove_root(void) {
    tree_remove(100);
}

START_TEST(nobody_to_follow) {
    expect_none(12345);
    expect_none(-1);
    /* it is looked up, and gone when it is looked for */
    tree_when_opened(100, "stat", remove_root);
    expect_none(100);
}
END_TEST

/* ---- Told of every end ------------------------------------------------------------------ */

static const struct actor root_actor = {
    .pid = 100, .ppid = 1, .start_ticks = LONG_AGO, .comm = "root"};

/* The collector knows the tree from /proc; then it is told. */
static tally *following_events(void) {
    tally *t = with_source(following(100), "ends");
    add_actor((struct actor){.pid = 1, .start_ticks = 1, .comm = "init"});
    add_actor((struct actor){.pid = 50, .ppid = 1, .start_ticks = LONG_AGO, .comm = "other"});
    return t;
}

START_TEST(all_that_came_and_went) {
    tally *t = following_events();
    struct actor *r = add_actor(root_actor);
    collect_at(t, 1001);
    /* children of the root, of an unlisted child of it, and of somebody else */
    add_above((struct above){.number = 7, .comm = "between", .known_pid = 100});
    add_above((struct above){.number = 8, .comm = "between", .known_pid = 50});
    tell_unlisted((struct unlisted){
        .comm = "short", .known_pid = 100, .use = {.user_ms = 2}, .ended = 1});
    tell_unlisted((struct unlisted){.comm = "short", .ancestor = 7, .use = {.user_ms = 4}, .ended = 2});
    tell_unlisted((struct unlisted){.comm = "short", .ancestor = 8, .use = {.user_ms = 8}, .ended = 4});
    tell_unlisted((struct unlisted){
        .comm = "short", .known_pid = 50, .use = {.user_ms = 16}, .ended = 8});
    tell_unlisted((struct unlisted){.comm = "short", .use = {.user_ms = 32}, .ended = 16});
    r->use.user_ms = 1;
    collect_at(t, 1002);
    ck_assert_uint_eq(cpu_of(t, "short"), 6);
    ck_assert_uint_eq(starts_of(t, "short"), 3);
    ck_assert_uint_eq(exits_of(t, "short"), 3);
    ck_assert_uint_eq(all_cpu(t), 7 * MS);

    /* the root ends at once: its last figures, and what its children tell later */
    end(r, (struct use){.user_ms = 9});
    tell_unlisted((struct unlisted){
        .comm = "short", .known_pid = 100, .use = {.user_ms = 3}, .ended = 1});
    collect_at(t, 1003);
    tell_unlisted((struct unlisted){.comm = "short", .ancestor = 7, .use = {.user_ms = 1}, .ended = 1});
    collect_at(t, 1004);
    ck_assert_uint_eq(cpu_of(t, "root"), 9);
    ck_assert_uint_eq(cpu_of(t, "short"), 10);
    ck_assert_uint_eq(all_cpu(t), 19 * MS);
    tally_free(t);
}
END_TEST

/* Listed when whoever started it has come and gone; and its child. */
START_TEST(orphans_that_are_told_of) {
    tally *t = following_events();
    add_actor(root_actor);
    collect_at(t, 1001);
    add_above((struct above){.number = 7, .comm = "between", .known_pid = 100});
    add_above((struct above){.number = 8, .comm = "between", .known_pid = 50});
    struct actor *daemon = add_actor((struct actor){.pid = 400,
                                                    .ppid = 1,
                                                    .start_ticks = LATER,
                                                    .comm = "daemon",
                                                    .from_birth = true,
                                                    .ancestor = 7,
                                                    .use = {.user_ms = 5}});
    add_actor((struct actor){.pid = 500,
                             .ppid = 1,
                             .start_ticks = LATER,
                             .comm = "daemon",
                             .from_birth = true,
                             .ancestor = 8,
                             .use = {.user_ms = 50}});
    add_actor((struct actor){.pid = 390,
                             .ppid = 400,
                             .start_ticks = LATER + 1,
                             .comm = "below",
                             .from_birth = true,
                             .use = {.user_ms = 7}});
    collect_at(t, 1010);
    ck_assert_uint_eq(cpu_of(t, "daemon"), 5);
    ck_assert_uint_eq(cpu_of(t, "below"), 7);
    ck_assert_uint_eq(value_of(t, "daemon", METRIC_PROCESSES), 1);

    /* it becomes another program, with what it used until then as who it was */
    daemon->comm = "changed";
    daemon->exec_marker++;
    daemon->executed = daemon->was_listed = true;
    daemon->until = (struct use){.user_ms = 6};
    daemon->since = (struct use){.user_ms = 6};
    daemon->use = (struct use){.user_ms = 10};
    collect_at(t, 1020);
    ck_assert_uint_eq(cpu_of(t, "daemon"), 6);
    ck_assert_uint_eq(cpu_of(t, "changed"), 4);
    ck_assert_uint_eq(all_cpu(t), 17 * MS);
    tally_free(t);
}
END_TEST

int main(void) {
    const struct {
        const char *name;
        const TTest *test;
    } tests[] = {
#define T(name) {#name, name}
        T(a_tree_and_nobody_else),
        T(what_is_done_before_the_first_snapshot),
        T(descendants_whose_parents_have_ended),
        T(a_pid_that_is_used_again),
        T(filters_and_rules_stand_above),
        T(a_parent_in_the_middle_of_execve),
        T(a_restart_goes_on_with_orphans),
        T(two_trees),
        T(an_orphan_of_somebody_unseen),
        T(too_many),
        T(nobody_to_follow),
        T(all_that_came_and_went),
        T(orphans_that_are_told_of),
#undef T
    };
    Suite *suite = suite_create("follow");
    for (int i = 0; i < COUNT(tests); i++) {
        TCase *tc = add_case(suite, tests[i].name);
        tcase_add_checked_fixture(tc, setup, tree_close);
        tcase_add_test(tc, tests[i].test);
    }
    return run_suite(suite);
}
