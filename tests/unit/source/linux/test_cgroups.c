/* SPDX-License-Identifier: MIT */
/* Paths of control groups by their numbers, in the hierarchy of this host. Where there
 * is none, the program is skipped; where we may not make one, a part of it. */
#include "source/linux/cgroups.h"

#include "suite.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SKIPPED 77 /* to automake */

/* Numbers that no directory has: inode numbers of cgroups count up from 1. */
#define NOBODYS UINT64_C(0xfffffffffff00000)

static struct cgroups *cgroups;
/* One of our own for the whole program, empty if we may not make any; and the place
 * in it where a test makes another. */
static char outer[PATH_MAX], inner[PATH_MAX + 16];

static void make_outer(void) {
    int len = snprintf(outer, sizeof(outer), "%s/proctally-test-XXXXXX", cgroups_root(cgroups));

    if (len < 0 || (size_t)len >= sizeof(outer) || !mkdtemp(outer))
        outer[0] = '\0';
    snprintf(inner, sizeof(inner), "%s/inner", outer);
}

static void remove_outer(void) {
    if (outer[0]) {
        rmdir(inner); /* what a test that failed left behind */
        rmdir(outer);
    }
}

static void setup(void) {
    ck_assert_int_eq(cgroups_new(&cgroups), 0);
}

static void teardown(void) {
    if (outer[0])
        rmdir(inner);
    cgroups = cgroups_free(cgroups);
    ck_assert_ptr_null(cgroups);
}

/* False if we may not. */
static bool make_inner(void) {
    if (!outer[0])
        return false;
    ck_assert_int_eq(mkdir(inner, 0755), 0);
    return true;
}

static uint64_t number_of(const char *path) {
    struct stat st;

    ck_assert_msg(stat(path, &st) == 0, "%s", path);
    return st.st_ino;
}

static void assert_path(uint64_t id, const char *wanted) {
    struct text path = cgroups_path(cgroups, id);

    assert_bytes(path.at, path.len, wanted, strlen(wanted));
}

/* The path below the root of the hierarchy, as /proc/PID/cgroup has it. */
static const char *below_root(const char *path) {
    return path + strlen(cgroups_root(cgroups));
}

START_TEST(the_root) {
    ck_assert_int_eq(cgroups_root(cgroups)[0], '/');
    assert_path(number_of(cgroups_root(cgroups)), "/");
}
END_TEST

START_TEST(a_cgroup_and_one_in_it) {
    if (!make_inner())
        return;
    assert_path(number_of(inner), below_root(inner));
    assert_path(number_of(outer), below_root(outer));
    ck_assert_int_eq(below_root(inner)[0], '/');
}
END_TEST

/* The tree can be large: it is looked through once in a collection. */
START_TEST(a_new_one_is_found_in_the_next_collection) {
    assert_path(NOBODYS, "");
    if (!make_inner())
        return;
    assert_path(number_of(inner), "");
    cgroups_begin(cgroups);
    assert_path(number_of(inner), below_root(inner));
    assert_path(number_of(outer), below_root(outer));
}
END_TEST

/* Its processes are reported after it is gone. */
START_TEST(one_that_is_gone_is_remembered) {
    char path[PATH_MAX];

    if (!make_inner())
        return;
    uint64_t id = number_of(inner);
    snprintf(path, sizeof(path), "%s", below_root(inner));
    assert_path(id, path);
    ck_assert_int_eq(rmdir(inner), 0);
    cgroups_begin(cgroups);
    assert_path(id, path);
    assert_path(NOBODYS, ""); /* looked through anew */
    assert_path(id, path);
}
END_TEST

START_TEST(what_was_heard_of) {
    char path[] = "/a/b";

    cgroups_add(cgroups, NOBODYS, path);
    memset(path, 'x', sizeof(path) - 1); /* it was copied */
    assert_path(NOBODYS, "/a/b");
    cgroups_add(cgroups, NOBODYS, "/c"); /* what is known stays */
    assert_path(NOBODYS, "/a/b");
    cgroups_add(cgroups, NOBODYS + 1, "");
    assert_path(NOBODYS + 1, "");
    cgroups_begin(cgroups);
    assert_path(NOBODYS, "/a/b");
}
END_TEST

/* 16384 are kept; a host that makes one for each container has more in a day. */
START_TEST(many_do_not_stay_for_ever) {
    for (uint64_t i = 0; i < 16384; i++)
        cgroups_add(cgroups, NOBODYS + i, "/many");
    assert_path(NOBODYS, "/many");
    assert_path(NOBODYS + 16383, "/many");
    cgroups_add(cgroups, NOBODYS + 16383, "/again"); /* no new one */
    assert_path(NOBODYS, "/many");
    cgroups_add(cgroups, NOBODYS + 16384, "/one-more");
    assert_path(NOBODYS + 16384, "/one-more");
    assert_path(NOBODYS, "");
    /* those that are there are found again */
    cgroups_begin(cgroups);
    assert_path(number_of(cgroups_root(cgroups)), "/");
}
END_TEST

START_TEST(nothing_to_free) {
    ck_assert_ptr_null(cgroups_free(NULL));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("cgroups");
    TCase *tc = add_case(suite, "cgroups");
    int r = cgroups_new(&cgroups), status;

    if (r == -ENOENT) {
        printf("there is no unified hierarchy: skipped\n");
        return SKIPPED;
    }
    if (r < 0) {
        fprintf(stderr, "%s\n", strerror(-r));
        return EXIT_FAILURE;
    }
    make_outer();
    if (!outer[0])
        printf("no control group can be made here: some checks are left out\n");
    cgroups = cgroups_free(cgroups);

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, the_root);
    tcase_add_test(tc, a_cgroup_and_one_in_it);
    tcase_add_test(tc, a_new_one_is_found_in_the_next_collection);
    tcase_add_test(tc, one_that_is_gone_is_remembered);
    tcase_add_test(tc, what_was_heard_of);
    tcase_add_test(tc, many_do_not_stay_for_ever);
    tcase_add_test(tc, nothing_to_free);
    status = run_suite(suite);
    remove_outer();
    return status;
}
