/* SPDX-License-Identifier: MIT */
/* Names of users, from a made-up user database that counts how often it is asked. */
#include "source/users.h"

#include "base/number.h"
#include "failing_memory.h"
#include "suite.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

/* ---- The user database ------------------------------------------------------------- */

static char name_7[9000] = "alice"; /* of number 7; all others have none */
static int error, asked;
static uint64_t now_ns;

static uint64_t made_up_clock(void *data, clockid_t clock) {
    (void)data, (void)clock;
    return now_ns;
}
static const struct io io = {.clock_ns = made_up_clock};

int __wrap_getpwuid_r(uid_t uid, struct passwd *entry, char *buffer, size_t size,
                      struct passwd **ret);

int __wrap_getpwuid_r(uid_t uid, struct passwd *entry, char *buffer, size_t size,
                      struct passwd **ret) {
    asked++;
    *ret = NULL;
    if (error || uid != 7)
        return error;
    if (strlen(name_7) >= size) /* an assertion would allocate */
        return ERANGE;
    memcpy(buffer, name_7, strlen(name_7) + 1);
    *entry = (struct passwd){.pw_name = buffer, .pw_uid = uid};
    *ret = entry;
    return 0;
}

static struct users *users;

static void setup(void) {
    strcpy(name_7, "alice");
    error = asked = 0;
    now_ns = 5 * NS_PER_S;
    ck_assert_int_eq(users_new(&io, &users), 0);
}

static void teardown(void) {
    fail_allocation_at = 0;
    users = users_free(users);
    ck_assert_ptr_null(users);
}

static void assert_name(uint32_t uid, const char *wanted) {
    bool is_number;
    struct text name = users_name(users, uid, &is_number);

    assert_bytes(name.at, name.len, wanted, strlen(wanted));
    ck_assert_int_eq(is_number, wanted[0] >= '0' && wanted[0] <= '9');
}

/* ---- Tests ---------------------------------------------------------------------------- */

START_TEST(a_name_or_the_number) {
    assert_name(7, "alice");
    assert_name(0, "0");
    assert_name(UINT32_MAX, "4294967295");
}
END_TEST

/* Every Linux has this one group. */
START_TEST(names_of_groups) {
    users_free(users);
    ck_assert_int_eq(users_new_of_groups(&io, &users), 0);
    assert_name(0, "root");
    assert_name(UINT32_MAX, "4294967295");
    ck_assert_int_eq(asked, 0); /* of users */
}
END_TEST

START_TEST(each_is_asked_for_once) {
    for (int round = 0; round < 3; round++) {
        assert_name(7, "alice");
        assert_name(8, "8");
        assert_name(9, "9");
    }
    ck_assert_int_eq(asked, 3);
}
END_TEST

/* Names that were handed out stay while others are asked for. */
START_TEST(names_stay_valid) {
    bool unused;
    struct text alice = users_name(users, 7, &unused), nobody = users_name(users, 8, &unused);

    for (uint32_t uid = 1000; uid < 2000; uid++)
        users_name(users, uid, &unused);
    now_ns += 1000 * NS_PER_S;
    users_name(users, 8, &unused);
    assert_bytes(nobody.at, nobody.len, "8", 1);
    assert_bytes(alice.at, alice.len, "alice", 5);
}
END_TEST

/* The directory service is not up yet: it is asked again, but not all the time. */
START_TEST(a_database_that_does_not_answer) {
    static const int errors[] = {EIO, ERANGE, EINTR, EMFILE};

    error = errors[_i];
    assert_name(7, "7");
    int once = asked;
    now_ns += 9 * NS_PER_S;
    assert_name(7, "7");
    ck_assert_int_eq(asked, once);
    now_ns += NS_PER_S;
    assert_name(7, "7");
    ck_assert_int_gt(asked, once);
    once = asked;
    now_ns += 19 * NS_PER_S; /* the answer may have taken long: less often now */
    assert_name(7, "7");
    ck_assert_int_eq(asked, once);
    error = 0;
    now_ns += NS_PER_S;
    assert_name(7, "alice");
    now_ns += 100000 * NS_PER_S;
    assert_name(7, "alice");
    ck_assert_int_eq(asked, once + 1);
}
END_TEST

/* As is who is not known there. */
START_TEST(a_name_that_comes_later) {
    static const int errors[] = {0, ENOENT, ESRCH};
    char alice[] = "alice";

    error = errors[_i];
    name_7[0] = '\0';
    assert_name(7, "7");
    error = 0;
    strcpy(name_7, alice);
    now_ns += 299 * NS_PER_S;
    assert_name(7, "7");
    ck_assert_int_eq(asked, 1);
    now_ns += NS_PER_S;
    assert_name(7, "alice");
    ck_assert_int_eq(asked, 2);
}
END_TEST

START_TEST(odd_names) {
    name_7[0] = '\0'; /* none at all */
    assert_name(7, "7");
    users = users_free(users);
    ck_assert_int_eq(users_new(&io, &users), 0);
    memset(name_7, 'n', sizeof(name_7) - 1); /* longer than the first try has room for */
    assert_name(7, name_7);
    name_7[100] = '\0';
    assert_name(8, "8");
}
END_TEST

/* A user namespace can make up 4 billion numbers. */
START_TEST(a_full_cache_is_emptied) {
    bool unused;
    assert_name(7, "alice");
    for (uint32_t i = 1; i < 65536; i++)
        users_name(users, 100000 + i, &unused);
    ck_assert_int_eq(asked, 65536);
    assert_name(7, "alice"); /* it is still there */
    ck_assert_int_eq(asked, 65536);
    assert_name(8, "8"); /* one too many */
    ck_assert_int_eq(asked, 65537);
    assert_name(7, "alice");
    ck_assert_int_eq(asked, 65538);
    assert_name(8, "8");
    ck_assert_int_eq(asked, 65538);
}
END_TEST

/* The answer is right whichever allocation fails, and kept when there is memory. */
START_TEST(no_memory) {
    int failed = 0;

    for (long at = 1;; at++, failed++) {
        users = users_free(users);
        ck_assert_int_eq(users_new(&io, &users), 0);
        asked = 0;
        allocations = 0;
        fail_allocation_at = at;
        bool is_number;
        struct text name = users_name(users, 7, &is_number);
        bool was_last = allocations < at;
        fail_allocation_at = 0;
        assert_bytes(name.at, name.len, "alice", 5);
        ck_assert(!is_number);
        assert_name(7, "alice");
        assert_name(7, "alice");
        /* twice when there was none, and then once more */
        ck_assert_msg(asked <= (was_last ? 1 : 3), "allocation %ld failed: asked %d times", at,
                      asked);
        if (was_last)
            break;
    }
    ck_assert_int_gt(failed, 1);
    allocations = 0;
    fail_allocation_at = 1;
    struct users *none = NULL;
    int r = users_new(&io, &none);
    fail_allocation_at = 0;
    ck_assert_int_eq(r, -ENOMEM);
    ck_assert_ptr_null(none);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("users");
    TCase *tc = add_case(suite, "users");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_name_or_the_number);
    tcase_add_test(tc, names_of_groups);
    tcase_add_test(tc, each_is_asked_for_once);
    tcase_add_test(tc, names_stay_valid);
    tcase_add_loop_test(tc, a_database_that_does_not_answer, 0, 4);
    tcase_add_loop_test(tc, a_name_that_comes_later, 0, 3);
    tcase_add_test(tc, odd_names);
    tcase_add_test(tc, a_full_cache_is_emptied);
    tcase_add_test(tc, no_memory);
    return run_suite(suite);
}
