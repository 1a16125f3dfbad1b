/* SPDX-License-Identifier: MIT */
/* The buffer: what is in it, how it grows, its ceiling, and the error that sticks. */
#include "base/buf.h"

#include "failing_memory.h"
#include "suite.h"

#include <errno.h>

static struct buf b;

static void setup(void) {
    buf_init(&b, 1000);
}

static void teardown(void) {
    fail_allocation_at = 0;
    buf_free(&b);
}

#define ASSERT_HOLDS(literal) assert_bytes(b.data, b.len, (literal), sizeof(literal) - 1)

START_TEST(everything_that_can_be_added) {
    buf_add(&b, "a\0b", 3);
    buf_add_str(&b, "cd");
    buf_add_char(&b, '\n');
    buf_add_u64(&b, 0);
    buf_add_u64(&b, UINT64_MAX);
    buf_printf(&b, " %s=%d", "x", -7);
    buf_add_char(&b, 'z'); /* over the NUL byte that printf left */
    ck_assert_int_eq(b.error, 0);
    ASSERT_HOLDS("a\0bcd\n018446744073709551615 x=-7z");
}
END_TEST

START_TEST(nothing_is_nothing) {
    buf_add(&b, NULL, 0);
    buf_add_str(&b, "");
    ck_assert_int_eq(buf_reserve(&b, 0), 0);
    ck_assert_uint_eq(b.len, 0);
    ck_assert_ptr_null(b.data); /* and takes no memory */
    ck_assert_str_eq(buf_text(&b), "");
}
END_TEST

START_TEST(text_ends_with_a_byte_that_does_not_count) {
    buf_add_str(&b, "abc");
    ck_assert_str_eq(buf_text(&b), "abc");
    ck_assert_uint_eq(b.len, 3);
    buf_add_char(&b, 'd');
    ck_assert_str_eq(buf_text(&b), "abcd");
}
END_TEST

START_TEST(growth_keeps_what_is_there) {
    buf_init(&b, 100000);
    for (int i = 0; i < 100000; i++) {
        buf_add_char(&b, (char)(i * 31 + i / 256));
        ck_assert_uint_le(b.len, b.size);
        ck_assert_uint_le(b.size, b.ceiling);
    }
    ck_assert_int_eq(b.error, 0);
    for (int i = 0; i < 100000; i++)
        ck_assert_int_eq(b.data[i], (char)(i * 31 + i / 256));
}
END_TEST

/* 100,000 bytes one by one take a handful of allocations, not a thousand. */
START_TEST(growth_is_in_large_steps) {
    buf_init(&b, 100000);
    allocations = 0;
    fail_allocation_at = 1000000;
    for (int i = 0; i < 100000; i++)
        buf_add_char(&b, 'x');
    long first = allocations; /* an assertion allocates too */
    buf_reset(&b);
    for (int i = 0; i < 100000; i++)
        buf_add_char(&b, 'y');
    long second = allocations - first;
    fail_allocation_at = 0;
    ck_assert_int_le(first, 10); /* 256 << 9 is more */
    ck_assert_int_eq(second, 0);
    ck_assert_int_eq(b.error, 0);
}
END_TEST

START_TEST(full_to_the_ceiling) {
    char bytes[1000];

    memset(bytes, 'x', sizeof(bytes));
    buf_add(&b, bytes, 999);
    buf_add_char(&b, 'y');
    ck_assert_int_eq(b.error, 0);
    ck_assert_uint_eq(b.len, 1000);
    buf_add_char(&b, 'z');
    ck_assert_int_eq(b.error, -E2BIG);
    /* what fitted is as it was */
    ck_assert_uint_eq(b.len, 1000);
    bytes[999] = 'y';
    assert_bytes(b.data, b.len, bytes, 1000);
    /* there is no room for the end of a text either */
    ck_assert_str_eq(buf_text(&b), "");
}
END_TEST

/* Half of something is worse than nothing: later parts that would fit stay out. */
START_TEST(the_error_sticks) {
    char bytes[1001] = {0};

    buf_add_str(&b, "abc");
    buf_add(&b, bytes, sizeof(bytes));
    ck_assert_int_eq(b.error, -E2BIG);
    buf_add_str(&b, "d");
    buf_add_char(&b, 'e');
    buf_add_u64(&b, 5);
    buf_printf(&b, "%d", 6);
    ck_assert_int_eq(buf_reserve(&b, 1), -E2BIG);
    ck_assert_int_eq(buf_reserve(&b, 0), -E2BIG);
    ASSERT_HOLDS("abc");
    ck_assert_str_eq(buf_text(&b), "");
    /* until it is reset */
    buf_reset(&b);
    ck_assert_uint_eq(b.len, 0);
    buf_add_str(&b, "new");
    ck_assert_int_eq(b.error, 0);
    ASSERT_HOLDS("new");
}
END_TEST

START_TEST(sums_do_not_overflow) {
    buf_init(&b, SIZE_MAX);
    buf_add_str(&b, "abc");
    ck_assert_int_eq(buf_reserve(&b, SIZE_MAX - 2), -E2BIG);
    buf_reset(&b);
    b.ceiling = 1000;
    buf_add_str(&b, "abc");
    ck_assert_int_eq(buf_reserve(&b, SIZE_MAX), -E2BIG);
}
END_TEST

START_TEST(printf_fits_or_leaves_nothing) {
    char wide[1001];

    memset(wide, 'w', sizeof(wide));
    wide[999] = '\0';
    buf_printf(&b, "%s", wide); /* with its NUL byte it is as large as may be */
    ck_assert_int_eq(b.error, 0);
    ck_assert_uint_eq(b.len, 999);
    buf_reset(&b);
    wide[999] = 'w';
    wide[1000] = '\0';
    buf_printf(&b, "%s", wide);
    ck_assert_int_eq(b.error, -E2BIG);
    ck_assert_uint_eq(b.len, 0);
}
END_TEST

START_TEST(no_memory) {
    buf_add_str(&b, "abc");
    allocations = 0;
    fail_allocation_at = 1;
    int r = buf_reserve(&b, 900);
    fail_allocation_at = 0;
    ck_assert_int_eq(r, -ENOMEM);
    buf_add_str(&b, "d");
    ck_assert_int_eq(b.error, -ENOMEM);
    ASSERT_HOLDS("abc");
    buf_reset(&b);
    ck_assert_int_eq(buf_reserve(&b, 900), 0);
}
END_TEST

START_TEST(freed_it_can_be_used_again) {
    char bytes[1001] = {0};

    buf_add(&b, bytes, sizeof(bytes));
    buf_free(&b);
    ck_assert_ptr_null(b.data);
    ck_assert_uint_eq(b.size, 0);
    ck_assert_int_eq(b.error, 0);
    buf_add_str(&b, "again");
    ASSERT_HOLDS("again");
    /* below the same ceiling */
    ck_assert_int_eq(buf_reserve(&b, 996), -E2BIG);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("buf");
    TCase *tc = add_case(suite, "buf");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, everything_that_can_be_added);
    tcase_add_test(tc, nothing_is_nothing);
    tcase_add_test(tc, text_ends_with_a_byte_that_does_not_count);
    tcase_add_test(tc, growth_keeps_what_is_there);
    tcase_add_test(tc, growth_is_in_large_steps);
    tcase_add_test(tc, full_to_the_ceiling);
    tcase_add_test(tc, the_error_sticks);
    tcase_add_test(tc, sums_do_not_overflow);
    tcase_add_test(tc, printf_fits_or_leaves_nothing);
    tcase_add_test(tc, no_memory);
    tcase_add_test(tc, freed_it_can_be_used_again);
    return run_suite(suite);
}
