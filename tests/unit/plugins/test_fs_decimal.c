/* SPDX-License-Identifier: MIT */
/* Numbers as text and back, as the library in plugins/fs writes and takes them. */
#include "decimal.h"

#include "suite.h"

#include <errno.h>
#include <math.h>

static struct buf b;

static void setup(void) {
    buf_init(&b, 1000);
}

static void teardown(void) {
    buf_free(&b);
}

static const struct {
    double value;
    const char *text;
} doubles[] = {
    {0, "0"}, {-0.0, "-0"}, {0.1, "0.1"}, {1e21, "1e+21"}, {-2.5, "-2.5"}, {100, "100"},
    {1.0 / 3, "0.3333333333333333"}, {300000000 / 1e9, "0.3"}, {5e-324, "4.94065645841247e-324"},
    {NAN, "NaN"}, {INFINITY, "+Inf"}, {-INFINITY, "-Inf"},
};

START_TEST(a_double) {
    decimal_add_double(&b, doubles[_i].value);
    ck_assert_str_eq(buf_text(&b), doubles[_i].text);
}
END_TEST

START_TEST(integers) {
    decimal_add_i64(&b, INT64_MIN);
    buf_add_char(&b, ' ');
    decimal_add_i64(&b, -1);
    buf_add_char(&b, ' ');
    decimal_add_i64(&b, INT64_MAX);
    buf_add_char(&b, ' ');
    decimal_add_u128(&b, (unsigned __int128)UINT64_MAX);
    buf_add_char(&b, ' ');
    decimal_add_u128(&b, (unsigned __int128)UINT64_MAX + 1);
    buf_add_char(&b, ' ');
    decimal_add_u128(&b, ~(unsigned __int128)0);
    ck_assert_str_eq(buf_text(&b), "-9223372036854775808 -1 9223372036854775807 "
                                   "18446744073709551615 18446744073709551616 "
                                   "340282366920938463463374607431768211455");
}
END_TEST

static const struct {
    const char *text;
    int r;
    uint64_t value;
} u64s[] = {
    {"0", 0, 0}, {"12\n", 0, 12}, {"7 \t\n", 0, 7}, {"0012", 0, 12},
    {"18446744073709551615", 0, UINT64_MAX}, {"18446744073709551616", -ERANGE, 0},
    {"10000000000000000000000", -ERANGE, 0}, {"", -EINVAL, 0}, {"\n", -EINVAL, 0},
    {"12xyz", -EINVAL, 0}, {"-1", -EINVAL, 0}, {"+1", -EINVAL, 0}, {" 1", -EINVAL, 0},
    {"1 2", -EINVAL, 0}, {"0x10", -EINVAL, 0}, {"1.0", -EINVAL, 0}, {"abc", -EINVAL, 0},
};

START_TEST(a_u64) {
    uint64_t value = 99;
    ck_assert_int_eq(decimal_parse_u64(u64s[_i].text, strlen(u64s[_i].text), &value), u64s[_i].r);
    ck_assert_uint_eq(value, u64s[_i].r ? 99 : u64s[_i].value);
}
END_TEST

static const struct {
    const char *text;
    int r;
    int64_t value;
} i64s[] = {
    {"-1", 0, -1}, {"5\n", 0, 5}, {"-0", 0, 0}, {"-9223372036854775808", 0, INT64_MIN},
    {"9223372036854775807", 0, INT64_MAX}, {"9223372036854775808", -ERANGE, 0},
    {"-9223372036854775809", -ERANGE, 0}, {"--1", -EINVAL, 0}, {"-", -EINVAL, 0}, {"", -EINVAL, 0},
};

START_TEST(an_i64) {
    int64_t value = 99;
    ck_assert_int_eq(decimal_parse_i64(i64s[_i].text, strlen(i64s[_i].text), &value), i64s[_i].r);
    ck_assert_int_eq(value, i64s[_i].r ? 99 : i64s[_i].value);
}
END_TEST

static const struct {
    const char *text;
    int r;
    double value;
} parsed[] = {
    {"0.5\n", 0, 0.5}, {"-1e3", 0, -1000}, {"7", 0, 7}, {".5", 0, 0.5},
    {"1e999", -ERANGE, 0}, {"nan", -EINVAL, 0}, {"inf", -EINVAL, 0}, {"0x1p3", -EINVAL, 0},
    {"1,5", -EINVAL, 0}, {"", -EINVAL, 0}, {"1.5.2", -EINVAL, 0}, {"1 2", -EINVAL, 0},
    {"e", -EINVAL, 0}, {"+1", -EINVAL, 0},
};

START_TEST(a_text) {
    double value = 99;
    ck_assert_int_eq(decimal_parse_double(parsed[_i].text, strlen(parsed[_i].text), &value),
                     parsed[_i].r);
    ck_assert_double_eq(value, parsed[_i].r ? 99 : parsed[_i].value);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("fs_decimal");
    TCase *tc = add_case(suite, "fs_decimal");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, a_double, 0, COUNT(doubles));
    tcase_add_test(tc, integers);
    tcase_add_loop_test(tc, a_u64, 0, COUNT(u64s));
    tcase_add_loop_test(tc, an_i64, 0, COUNT(i64s));
    tcase_add_loop_test(tc, a_text, 0, COUNT(parsed));
    return run_suite(suite);
}
