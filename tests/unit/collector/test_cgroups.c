/* SPDX-License-Identifier: MIT */
/* Figures of control groups beside those of their processes: which group gets which, read
 * once; over births, ends, restarts. On a recorded host. */
#include "suite.h"
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define ROOT "sys/fs/cgroup"

static struct recorded master, worker;
static char state_path[300];

static void setup(void) {
    tree_open();
    snprintf(state_path, sizeof(state_path), "%s/state", tree_path());
    master = (struct recorded){.pid = 100, .ppid = 1, .start_ticks = 5000, .comm = "web",
                               .cgroup = "0::/system.slice/web.service/main\n"};
    worker = (struct recorded){.pid = 200, .ppid = 100, .start_ticks = 6000, .comm = "worker",
                               .cgroup = "0::/system.slice/web.service/workers\n"};
    tree_put_beside(ROOT "/cgroup.controllers", "cpu memory pids\n");
}

/* Of its own birth only the moment can be recorded: the inode number comes from the file
 * system of the test. */
static void set_time(const char *dir, double seconds_since_boot) {
    char path[700];
    const time_t moment = (time_t)BOOT_TIME_S + (time_t)seconds_since_boot;
    const struct timespec times[2] = {{.tv_sec = moment}, {.tv_sec = moment}};
    snprintf(path, sizeof(path), "%s/../%s", tree_path(), dir);
    ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void put(const char *cgroup, const char *file, const char *content) {
    char name[500];
    snprintf(name, sizeof(name), ROOT "%s/%s", cgroup, file);
    tree_put_beside(name, content);
}

static void put_number(const char *cgroup, const char *file, uint64_t value) {
    char text[32];
    snprintf(text, sizeof(text), "%llu\n", (unsigned long long)value);
    put(cgroup, file, text);
}

/* One that was made then. */
static void put_cgroup(const char *cgroup, uint64_t memory, unsigned ooms, double made_s) {
    char text[64], dir[500];
    put_number(cgroup, "memory.current", memory);
    put_number(cgroup, "memory.max", 1000000);
    snprintf(text, sizeof(text), "low 0\nhigh 0\nmax 0\noom %u\noom_kill %u\n", ooms, ooms);
    put(cgroup, "memory.events", text);
    snprintf(dir, sizeof(dir), ROOT "%s", cgroup);
    set_time(dir, made_s);
}

static void collect_at(tally *t, double seconds) {
    clock_set(seconds);
    tree_collect(t);
}

#define MEMORY METRIC_CGROUP_MEMORY
#define KILLS METRIC_CGROUP_MEMORY_EVENTS_OOM_KILL
#define LIMIT METRIC_CGROUP_MEMORY_LIMIT

/* ---- Which -------------------------------------------------------------------------------- */

/* The unit's own has it all, and is read once. */
START_TEST(of_a_unit) {
    tree_put(&master);
    tree_put(&worker);
    put_cgroup("/system.slice/web.service", 5000, 0, 10);
    put_cgroup("/system.slice/web.service/main", 3000, 0, 10);
    put_cgroup("/system.slice/web.service/workers", 1000, 0, 10);
    tally *t = tree_collector("group-by", "unit", "collect", "cgroup", NULL);
    collect_at(t, 1000);
    ck_assert_uint_eq(value_of(t, "web.service", METRIC_PROCESSES), 2);
    ck_assert_uint_eq(value_of(t, "web.service", MEMORY), 5000);
    ck_assert_uint_eq(value_of(t, "web.service", LIMIT), 1000000);
    ck_assert_uint_eq(value_of(t, "web.service", KILLS), 0);
    ck_assert(!has_value(t, "web.service", METRIC_CGROUP_CPU_LIMIT));
    ck_assert(!has_value(t, "web.service", METRIC_CGROUP_SWAP));
    tally_free(t);
}
END_TEST

START_TEST(of_cgroups) {
    tree_put(&master);
    tree_put(&worker);
    put_cgroup("/system.slice/web.service", 5000, 0, 10);
    put_cgroup("/system.slice/web.service/main", 3000, 0, 10);
    put_cgroup("/system.slice/web.service/workers", 1000, 0, 10);
    tally *t = tree_collector("group-by", "cgroup", "collect", "cgroup", NULL);
    collect_at(t, 1000);
    ck_assert_uint_eq(value_of(t, "/system.slice/web.service/main", MEMORY), 3000);
    ck_assert_uint_eq(value_of(t, "/system.slice/web.service/workers", MEMORY), 1000);
    tally_free(t);
}
END_TEST

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char *const containers[][2] = {
    {"0::/system.slice/docker-" ID ".scope\n", "/system.slice/docker-" ID ".scope"},
    {"0::/system.slice/docker-" ID ".scope/init.scope\n", "/system.slice/docker-" ID ".scope"},
    {"0::/kubepods/burstable/pod1/" ID "/a\n", "/kubepods/burstable/pod1/" ID},
    {"0::/kubepods/burstable/pod1/" ID " (deleted)\n", "/kubepods/burstable/pod1/" ID},
    {"2:pids:/\n0::/machine.slice/libpod-" ID ".scope/container\n", "/machine.slice/libpod-" ID ".scope"},
};

START_TEST(of_a_container) {
    master.cgroup = containers[_i][0];
    tree_put(&master);
    put_cgroup(containers[_i][1], 3000, 0, 10);
    tally *t = tree_collector("group-by", "container", "collect", "cgroup", NULL);
    collect_at(t, 1000);
    ck_assert_uint_eq(value_of(t, "0123456789ab", MEMORY), 3000);
    tally_free(t);
}
END_TEST

/* With unit and container it is the one further down. */
START_TEST(of_the_last_key_that_is_there) {
    master.cgroup = "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID
                    ".scope/container\n";
    worker.cgroup = "0::/user.slice/user-1000.slice/user@1000.service/app.slice\n";
    tree_put(&master);
    tree_put(&worker);
    put_cgroup("/user.slice/user-1000.slice/user@1000.service", 5000, 0, 10);
    put_cgroup("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID ".scope", 3000,
               0, 10);
    tally *t = tree_collector("group-by", "unit,container", "collect", "cgroup", NULL);
    collect_at(t, 1000);
    ck_assert_uint_eq(value_of(t, "user@1000.service:0123456789ab", MEMORY), 3000);
    ck_assert_uint_eq(value_of(t, "user@1000.service:none", MEMORY), 5000);
    tally_free(t);
}
END_TEST

START_TEST(none_beside_other_keys) {
    tree_put(&master);
    put_cgroup("/system.slice/web.service", 5000, 0, 10);
    tally *t = tree_collector("group-by", "unit,name", "collect", "cgroup", NULL);
    collect_at(t, 1000);
    ck_assert(has_group(t, "web.service:web"));
    ck_assert(!has_value(t, "web.service:web", MEMORY));
    tally_free(t);
}
END_TEST

START_TEST(none_unless_asked_for) {
    tree_put(&master);
    put_cgroup("/system.slice/web.service", 5000, 0, 10);
    tally *t = tree_collector("group-by", "unit", NULL);
    collect_at(t, 1000);
    ck_assert_ptr_null(t->cgroup_files);
    ck_assert(!has_value(t, "web.service", MEMORY));
    tally_free(t);
}
END_TEST

/* Rules may take some processes of a unit only. Neither has a group without processes 0. */
START_TEST(none_of_rules) {
    tree_put(&master);
    tree_put(&worker);
    put_cgroup("/system.slice/web.service", 5000, 0, 10);
    tally *t = tree_collector("group-by", "unit", "collect", "cgroup", "rule", "others worker",
                              "rule", "nobody nobody", NULL);
    collect_at(t, 1000);
    ck_assert_uint_eq(value_of(t, "others", METRIC_PROCESSES), 1);
    ck_assert(!has_value(t, "others", MEMORY));
    ck_assert(!has_value(t, "nobody", MEMORY));
    ck_assert(!has_value(t, "nobody", KILLS));
    ck_assert_uint_eq(value_of(t, "web.service", MEMORY), 5000);
    tally_free(t);
}
END_TEST

START_TEST(none_of_the_root_or_of_no_unit) {
    master.cgroup = "0::/\n";
    tree_put(&master);
    put("", "memory.current", "5000\n");
    tally *t = tree_collector("group-by", "unit", "collect", "cgroup", NULL);
    collect_at(t, 1000);
    ck_assert(!has_value(t, "none", MEMORY));
    tally_free(t);
    t = tree_collector("group-by", "cgroup", "collect", "cgroup", NULL);
    collect_at(t, 1000);
    ck_assert(has_group(t, "/"));
    ck_assert(!has_value(t, "/", MEMORY));
    tally_free(t);
}
END_TEST

START_TEST(none_of_other) {
    tree_put(&master);
    worker.cgroup = "0::/system.slice/db.service\n";
    tree_put(&worker);
    put_cgroup("/system.slice/web.service", 5000, 0, 10);
    put_cgroup("/system.slice/db.service", 7000, 0, 10);
    tally *t = tree_collector("group-by", "unit", "collect", "cgroup", "max-groups", "1", NULL);
    collect_at(t, 1000);
    ck_assert_uint_eq(value_of(t, "web.service", MEMORY), 5000);
    ck_assert_uint_eq(value_of(t, "other", METRIC_PROCESSES), 1);
    ck_assert(!has_value(t, "other", MEMORY));
    tally_free(t);
}
END_TEST

/* With `top` it has the sums of those that it stands for, and no limits or peaks. */
START_TEST(sums_of_other) {
    tree_put(&master);
    worker.cgroup = "0::/system.slice/db.service\n";
    tree_put(&worker);
    put_cgroup("/system.slice/web.service", 5000, 0, 10);
    put_cgroup("/system.slice/db.service", 7000, 0, 10);
    tally *t = tree_collector("group-by", "unit", "collect", "cgroup", "top", "1 by memory", NULL);
    collect_at(t, 1000);
    const char *shown = "db.service"; /* as large, and the first by name */
    ck_assert(has_value(t, shown, METRIC_CGROUP_MEMORY_LIMIT));
    ck_assert_uint_eq(value_of(t, shown, MEMORY) + value_of(t, "other", MEMORY), 12000);
    for (enum metric m = METRIC_CGROUP_MEMORY_PEAK; m <= METRIC_CGROUP_PIDS_LIMIT; m++)
        ck_assert_msg(!has_value(t, "other", m), "%s", metric_table[m].metric.id);
    tally_free(t);
}
END_TEST

static void put_nested(unsigned ooms) {
    put_cgroup("/a", 5000, ooms, 10);
    put_cgroup("/a/b", 3000, ooms, 10);
}

/* What is inside of another one that `other` stands for is in that one's figures. */
START_TEST(nested_in_other) {
    struct recorded large = {.pid = 300, .ppid = 1, .start_ticks = 5000, .comm = "large",
                             .cgroup = "0::/large\n", .rss_pages = 100};
    master.cgroup = "0::/a\n";
    worker.cgroup = "0::/a/b\n";
    tree_put(&master);
    tree_put(&worker);
    tree_put(&large);
    put_cgroup("/large", 100, 0, 10);
    put_nested(0);
    tally *t = tree_collector("group-by", "cgroup", "collect", "cgroup", "top", "1 by memory", NULL);
    collect_at(t, 1000);
    ck_assert_uint_eq(value_of(t, "other", MEMORY), 5000);
    ck_assert(!has_value(t, "other", LIMIT));
    put_nested(2);
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "other", KILLS), 2);
    /* when it is shown its increase is still of `other`, once */
    worker.rss_pages = 1000;
    worker.utime = 1; /* it has run */
    tree_put(&worker);
    put_nested(3);
    collect_at(t, 1020);
    ck_assert_uint_eq(value_of(t, "/a/b", MEMORY), 3000);
    ck_assert_uint_eq(value_of(t, "/a/b", KILLS), 0);
    ck_assert_uint_eq(value_of(t, "other", MEMORY), 5000);
    ck_assert_uint_eq(value_of(t, "other", KILLS), 3);
    put_nested(4);
    collect_at(t, 1030);
    ck_assert_uint_eq(value_of(t, "/a/b", KILLS), 1);
    ck_assert_uint_eq(value_of(t, "other", KILLS), 4);
    tally_free(t);
}
END_TEST

/* Names are cut, and then groups join: what is inside of another is in its figures. */
START_TEST(nested_in_one_group) {
    char above[700], below[720], name[GROUP_NAME_MAX + 1], lines[2][740];
    above[0] = '\0';
    for (int i = 0; i < 3; i++) {
        size_t len = strlen(above);
        above[len] = '/';
        memset(above + len + 1, 'a' + i, 200);
        above[len + 201] = '\0';
    }
    snprintf(below, sizeof(below), "%s/inside", above);
    snprintf(lines[0], sizeof(lines[0]), "0::%s\n", above);
    snprintf(lines[1], sizeof(lines[1]), "0::%s\n", below);
    snprintf(name, sizeof(name), "%.*s", GROUP_NAME_MAX, above);
    master.cgroup = lines[0];
    worker.cgroup = lines[1];
    tree_put(&master);
    tree_put(&worker);
    char path[800];
    snprintf(path, sizeof(path), ROOT "%s/memory.current", above);
    tree_put_beside(path, "5000\n");
    snprintf(path, sizeof(path), ROOT "%s/memory.current", below);
    tree_put_beside(path, "3000\n");
    tally *t = tree_collector("group-by", "cgroup", "collect", "cgroup", NULL);
    collect_at(t, 1000);
    ck_assert_uint_eq(value_of(t, name, METRIC_PROCESSES), 2);
    ck_assert_uint_eq(value_of(t, name, MEMORY), 5000);
    tally_free(t);
}
END_TEST

/* ---- Over time ------------------------------------------------------------------------------- */

START_TEST(counters_count_from_the_first_collection) {
    tree_put(&master);
    put_cgroup("/system.slice/web.service", 5000, 7, 10);
    tally *t = tree_collector("group-by", "unit", "collect", "cgroup", NULL);
    collect_at(t, 1000);
    ck_assert_uint_eq(value_of(t, "web.service", KILLS), 0);
    put_cgroup("/system.slice/web.service", 5000, 9, 10);
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "web.service", KILLS), 2);
    tally_free(t);
}
END_TEST

START_TEST(a_unit_that_is_restarted) {
    tree_put(&master);
    put_cgroup("/system.slice/web.service", 5000, 7, 10);
    tally *t = tree_collector("group-by", "unit", "collect", "cgroup", NULL);
    collect_at(t, 1000);
    tree_remove(master.pid);
    tree_remove_beside(ROOT "/system.slice/web.service");
    collect_at(t, 1010); /* it has no memory while it is not there: that is not 0 */
    ck_assert(!has_value(t, "web.service", MEMORY));
    ck_assert_uint_eq(value_of(t, "web.service", KILLS), 0);
    master.pid = 300;
    master.start_ticks = TICKS(1015);
    tree_put(&master);
    put_cgroup("/system.slice/web.service", 6000, 3, 1015);
    collect_at(t, 1020);
    ck_assert_uint_eq(value_of(t, "web.service", MEMORY), 6000);
    ck_assert_uint_eq(value_of(t, "web.service", KILLS), 3);
    tally_free(t);
}
END_TEST

START_TEST(a_new_unit_counts_whole) {
    tree_put(&worker);
    put_cgroup("/system.slice/web.service", 5000, 7, 10);
    tally *t = tree_collector("group-by", "unit", "collect", "cgroup", NULL);
    collect_at(t, 1000);
    master.start_ticks = TICKS(1005);
    master.cgroup = "0::/system.slice/db.service\n";
    tree_put(&master);
    put_cgroup("/system.slice/db.service", 6000, 3, 1005);
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "db.service", KILLS), 3);
    tally_free(t);
}
END_TEST

/* A job in a control group that an earlier one has left behind. */
START_TEST(a_new_process_in_an_old_one) {
    tally *t = tree_collector("group-by", "unit", "collect", "cgroup", NULL);
    collect_at(t, 1000);
    master.start_ticks = TICKS(1005);
    tree_put(&master);
    put_cgroup("/system.slice/web.service", 6000, 3, 400);
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "web.service", KILLS), 0);
    tally_free(t);
}
END_TEST

START_TEST(an_old_process_in_one_that_looks_new) {
    tally *t = tree_collector("group-by", "unit", "collect", "cgroup", NULL);
    collect_at(t, 1000);
    tree_put(&master); /* it was hidden until now */
    put_cgroup("/system.slice/web.service", 6000, 3, 1005);
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "web.service", KILLS), 0);
    tally_free(t);
}
END_TEST

START_TEST(lifetimes) {
    tree_put(&master);
    put_cgroup("/system.slice/web.service", 5000, 7, 10);
    tally *t = tree_collector("group-by", "unit", "collect", "cgroup", NULL);
    t->count_lifetimes = true;
    collect_at(t, 1000);
    ck_assert_uint_eq(value_of(t, "web.service", KILLS), 7);
    tally_free(t);
}
END_TEST

static void remove_unit(void) {
    tree_remove_beside(ROOT "/system.slice/web.service");
}

START_TEST(it_goes_while_it_is_read) {
    tree_put(&master);
    put_cgroup("/system.slice/web.service", 5000, 7, 10);
    tally *t = tree_collector("group-by", "unit", "collect", "cgroup", NULL);
    collect_at(t, 1000);
    tree_when_opened(master.pid, "stat", remove_unit);
    collect_at(t, 1010);
    ck_assert(!has_value(t, "web.service", MEMORY));
    ck_assert_uint_eq(value_of(t, "web.service", KILLS), 0);
    struct tally_error notice;
    while (tally_notice(t, &notice))
        ck_assert_msg(!strstr(notice.text, "cgroup"), "%s", notice.text);
    tally_free(t);
}
END_TEST

/* Of those that are gone nothing is kept, however many there are. */
START_TEST(many_come_and_go) {
    char lines[80], cgroup[64], dir[80];
    tally *t = tree_collector("group-by", "unit", "collect", "cgroup", "expire-after", "10s", NULL);
    collect_at(t, 1000);
    for (int i = 0; i < 50; i++) {
        const double now = 1010 + 10 * i;
        snprintf(cgroup, sizeof(cgroup), "/system.slice/job%d.service", i);
        snprintf(lines, sizeof(lines), "0::%s\n", cgroup);
        master.cgroup = lines;
        master.pid = 1000 + (uint32_t)i;
        master.start_ticks = TICKS(now - 5);
        tree_put(&master);
        put_cgroup(cgroup, 100, 1, now - 5);
        collect_at(t, now);
        snprintf(dir, sizeof(dir), "job%d.service", i);
        ck_assert_uint_eq(value_of(t, dir, KILLS), 1);
        ck_assert_uint_le(t->counting.cgroups.count, 3);
        tree_remove(master.pid);
        snprintf(dir, sizeof(dir), ROOT "%s", cgroup);
        tree_remove_beside(dir);
    }
    tally_free(t);
}
END_TEST

/* ---- Restarts ------------------------------------------------------------------------------------ */

static tally *restart(tally *t) {
    tally_free(t);
    return tree_collector("group-by", "unit", "collect", "cgroup", "state-file", state_path, NULL);
}

START_TEST(over_a_restart) {
    tree_put(&master);
    put_cgroup("/system.slice/web.service", 5000, 7, 10);
    tally *t = restart(NULL);
    collect_at(t, 1000);
    put_cgroup("/system.slice/web.service", 5000, 9, 10);
    t = restart(t);
    collect_at(t, 1010);
    ck_assert_uint_eq(value_of(t, "web.service", KILLS), 2);
    put_cgroup("/system.slice/web.service", 5000, 10, 10);
    t = restart(t);
    put_cgroup("/system.slice/web.service", 5000, 11, 10);
    collect_at(t, 1020);
    ck_assert_uint_eq(value_of(t, "web.service", KILLS), 4);
    tally_free(t);
}
END_TEST

/* Switched off and on again: what happened meanwhile was not looked at. */
START_TEST(over_a_time_without_it) {
    tree_put(&master);
    put_cgroup("/system.slice/web.service", 5000, 7, 10);
    tally *t = restart(NULL);
    collect_at(t, 1000);
    tally_free(t);
    put_cgroup("/system.slice/web.service", 5000, 9, 10);
    t = tree_collector("group-by", "unit", "state-file", state_path, NULL);
    collect_at(t, 1010);
    ck_assert(!has_value(t, "web.service", KILLS));
    t = restart(t);
    collect_at(t, 1020);
    ck_assert_uint_eq(value_of(t, "web.service", KILLS), 0);
    put_cgroup("/system.slice/web.service", 5000, 10, 10);
    collect_at(t, 1030);
    ck_assert_uint_eq(value_of(t, "web.service", KILLS), 1);
    tally_free(t);
}
END_TEST

START_TEST(inherited) {
    tree_put(&master);
    put_cgroup("/system.slice/web.service", 5000, 7, 10);
    tally *t = tree_collector("group-by", "unit", "collect", "cgroup", NULL);
    collect_at(t, 1000);
    put_cgroup("/system.slice/web.service", 5000, 9, 10);
    tally *next = tree_collector_from(t, "group-by", "unit", "collect", "cgroup", NULL);
    tally_free(t);
    collect_at(next, 1010);
    ck_assert_uint_eq(value_of(next, "web.service", KILLS), 2);
    tally_free(next);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("cgroups");
    TCase *tc = add_case(suite, "which");
    tcase_add_checked_fixture(tc, setup, tree_close);
    tcase_add_test(tc, of_a_unit);
    tcase_add_test(tc, of_cgroups);
    tcase_add_loop_test(tc, of_a_container, 0, COUNT(containers));
    tcase_add_test(tc, of_the_last_key_that_is_there);
    tcase_add_test(tc, none_beside_other_keys);
    tcase_add_test(tc, none_unless_asked_for);
    tcase_add_test(tc, none_of_rules);
    tcase_add_test(tc, none_of_the_root_or_of_no_unit);
    tcase_add_test(tc, none_of_other);
    tcase_add_test(tc, sums_of_other);
    tcase_add_test(tc, nested_in_other);
    tcase_add_test(tc, nested_in_one_group);
    tc = add_case(suite, "over time");
    tcase_add_checked_fixture(tc, setup, tree_close);
    tcase_add_test(tc, counters_count_from_the_first_collection);
    tcase_add_test(tc, a_unit_that_is_restarted);
    tcase_add_test(tc, a_new_unit_counts_whole);
    tcase_add_test(tc, a_new_process_in_an_old_one);
    tcase_add_test(tc, an_old_process_in_one_that_looks_new);
    tcase_add_test(tc, lifetimes);
    tcase_add_test(tc, it_goes_while_it_is_read);
    tcase_add_test(tc, many_come_and_go);
    tc = add_case(suite, "restarts");
    tcase_add_checked_fixture(tc, setup, tree_close);
    tcase_add_test(tc, over_a_restart);
    tcase_add_test(tc, over_a_time_without_it);
    tcase_add_test(tc, inherited);
    return run_suite(suite);
}
