/* SPDX-License-Identifier: MIT */
#include "rate.h"

#include "suite.h"

START_TEST(lets_a_burst_through) {
    struct rate rate;
    rate_init(&rate, 1000, 3);
    for (int i = 0; i < 3; i++)
        ck_assert(rate_take(&rate, 5000));
    ck_assert(!rate_take(&rate, 5000));
    ck_assert(!rate_take(&rate, 5999));
    ck_assert(rate_take(&rate, 6000));
    ck_assert(!rate_take(&rate, 6000));
    /* a refusal costs nothing; it never holds more than the burst */
    for (int i = 0; i < 3; i++)
        ck_assert(rate_take(&rate, 1000000));
    ck_assert(!rate_take(&rate, 1000000));
}
END_TEST

START_TEST(has_no_limit_without_interval) {
    struct rate rate;
    rate_init(&rate, 0, 0);
    for (int i = 0; i < 1000; i++)
        ck_assert(rate_take(&rate, 7));
}
END_TEST

START_TEST(stands_great_numbers) {
    struct rate rate;
    rate_init(&rate, UINT64_MAX, 1000000000);
    ck_assert(rate_take(&rate, 7));
    ck_assert(!rate_take(&rate, 7));
    ck_assert(!rate_take(&rate, 1000000000));
    rate_init(&rate, 1000000000, 1000000000);
    for (int i = 0; i < 1000; i++)
        ck_assert(rate_take(&rate, INT64_MAX - 1));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("rate");
    TCase *tc = add_case(suite, "bucket");
    tcase_add_test(tc, lets_a_burst_through);
    tcase_add_test(tc, has_no_limit_without_interval);
    tcase_add_test(tc, stands_great_numbers);
    return run_suite(suite);
}
