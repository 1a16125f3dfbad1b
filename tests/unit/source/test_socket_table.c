/* SPDX-License-Identifier: MIT */
/* The table of sockets: each once for an owner, and none of an earlier round. */
#include "source/socket_table.h"

#include "failing_memory.h"
#include "suite.h"

#include <errno.h>

static struct socket_table table;

static void setup(void) {
    socket_table_begin(&table);
}

static void teardown(void) {
    fail_allocation_at = 0;
    socket_table_free(&table);
}

START_TEST(once_for_an_owner) {
    ck_assert_int_eq(socket_table_find(&table, 7, 1), -ENOENT);
    ck_assert_int_eq(socket_table_add(&table, 7, 1, 3), 1);
    ck_assert_int_eq(socket_table_add(&table, 7, 1, 4), 0);
    ck_assert_int_eq(socket_table_find(&table, 7, 1), 3);
    ck_assert_int_eq(socket_table_add(&table, 7, 2, 5), 1);
    ck_assert_int_eq(socket_table_add(&table, 8, 1, 6), 1);
    ck_assert_int_eq(socket_table_find(&table, 7, 2), 5);
    ck_assert_int_eq(socket_table_find(&table, 8, 1), 6);
    ck_assert_int_eq(socket_table_find(&table, 8, 2), -ENOENT);
    ck_assert_uint_eq(table.count, 3);
}
END_TEST

START_TEST(large_numbers_are_told_apart) {
    const uint64_t inode = UINT64_C(1) << 40;

    ck_assert_int_eq(socket_table_add(&table, inode, UINT32_MAX, 1), 1);
    ck_assert_int_eq(socket_table_find(&table, 0, UINT32_MAX), -ENOENT);
    ck_assert_int_eq(socket_table_find(&table, inode, 0), -ENOENT);
    /* the two are mixed into one number */
    ck_assert_int_eq(socket_table_add(&table, UINT64_C(5) << 32, 0, 1), 1);
    ck_assert_int_eq(socket_table_add(&table, 0, 5, 1), 1);
}
END_TEST

START_TEST(growth_keeps_everything) {
    for (uint64_t i = 0; i < 100000; i++)
        ck_assert_int_eq(socket_table_add(&table, i * 3, (uint32_t)(i % 7), (uint8_t)(i % 11)),
                         1);
    for (uint64_t i = 0; i < 100000; i++) {
        ck_assert_int_eq(socket_table_find(&table, i * 3, (uint32_t)(i % 7)), (int)(i % 11));
        ck_assert_int_eq(socket_table_find(&table, i * 3 + 1, (uint32_t)(i % 7)), -ENOENT);
    }
}
END_TEST

START_TEST(a_round_begins_empty_and_takes_no_memory) {
    for (uint64_t i = 0; i < 5000; i++)
        ck_assert_int_eq(socket_table_add(&table, i, 0, 1), 1);
    const struct socket_slot *before = table.slots;
    for (int round = 0; round < 5; round++) {
        socket_table_begin(&table);
        ck_assert_uint_eq(table.count, 0);
        for (uint64_t i = 0; i < 5000; i++)
            ck_assert_int_eq(socket_table_find(&table, i, 0), -ENOENT);
        for (uint64_t i = 0; i < 5000; i++)
            ck_assert_int_eq(socket_table_add(&table, i + (uint64_t)round, 0, 2), 1);
    }
    ck_assert_ptr_eq(table.slots, before);
}
END_TEST

/* What was added in a round is not found 2^24 rounds later. */
START_TEST(rounds_are_counted_anew) {
    ck_assert_uint_eq(table.round, 1);
    ck_assert_int_eq(socket_table_add(&table, 7, 0, 3), 1);
    table.round = (1u << 24) - 1;
    ck_assert_int_eq(socket_table_add(&table, 8, 0, 3), 1);
    socket_table_begin(&table);
    ck_assert_uint_eq(table.round, 1);
    ck_assert_int_eq(socket_table_find(&table, 7, 0), -ENOENT);
    ck_assert_int_eq(socket_table_find(&table, 8, 0), -ENOENT);
}
END_TEST

START_TEST(there_is_a_ceiling) {
    for (uint64_t i = 0; i < SOCKETS_MOST; i++)
        if (socket_table_add(&table, i, 0, 1) != 1)
            ck_abort_msg("socket %llu", (unsigned long long)i);
    const size_t size = table.size;
    ck_assert_int_eq(socket_table_add(&table, SOCKETS_MOST, 0, 1), -E2BIG);
    ck_assert_int_eq(socket_table_add(&table, 5, 0, 1), 0);
    ck_assert_uint_eq(table.size, size);
    ck_assert_uint_le(size * sizeof(*table.slots), 32u << 20);
}
END_TEST

START_TEST(no_memory) {
    allocations = 0;
    fail_allocation_at = 1;
    ck_assert_int_eq(socket_table_add(&table, 7, 0, 1), -ENOMEM);
    for (uint64_t i = 0; i < 512; i++)
        ck_assert_int_eq(socket_table_add(&table, i, 0, 1), 1);
    allocations = 0;
    fail_allocation_at = 1;
    ck_assert_int_eq(socket_table_add(&table, 512, 0, 1), -ENOMEM);
    ck_assert_int_eq(socket_table_find(&table, 511, 0), 1);
    ck_assert_int_eq(socket_table_add(&table, 512, 0, 1), 1);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("socket_table");
    TCase *tc;

    tc = add_case(suite, "sockets");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, once_for_an_owner);
    tcase_add_test(tc, large_numbers_are_told_apart);
    tcase_add_test(tc, growth_keeps_everything);
    tcase_add_test(tc, a_round_begins_empty_and_takes_no_memory);
    tcase_add_test(tc, rounds_are_counted_anew);
    tcase_add_test(tc, there_is_a_ceiling);
    tcase_add_test(tc, no_memory);
    return run_suite(suite);
}
